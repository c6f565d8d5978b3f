"""Compiled modules are used where they are of these sources and nobody else can have written them."""

from __future__ import annotations

import importlib.machinery
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from observer import compiled
from observer.compiled import HOT, Compiled, place, use

SUFFIX = importlib.machinery.EXTENSION_SUFFIXES[0]
ASK = "import observer.story.fold as module; print(module.__file__)"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The place of what is compiled, with one module in it; what is used is forgotten afterwards."""
    made = tmp_path / "compiled"
    (made / "observer" / "story").mkdir(parents=True)
    (made / "observer" / "story" / f"fold{SUFFIX}").write_bytes(b"")
    (made / f"0123__mypyc{SUFFIX}").write_bytes(b"")
    made.chmod(0o700)
    monkeypatch.setattr(compiled, "place", lambda: made)
    monkeypatch.setattr(compiled, "_cache", lambda: tmp_path)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.delenv("OBSERVER_COMPILED", raising=False)
    return made


def test_a_module_is_found_by_its_name(folder: Path) -> None:
    finder = Compiled(folder)
    spec = finder.find_spec("observer.story.fold")
    assert spec is not None
    assert (spec.name, spec.origin) == ("observer.story.fold", str(folder / "observer" / "story" / f"fold{SUFFIX}"))
    assert finder.find_spec("0123__mypyc") is not None
    assert finder.find_spec("observer.story.rows") is None


def test_it_is_used_unless_somebody_says_no(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (use(), type(sys.meta_path[0])) == (True, Compiled)
    monkeypatch.setenv("OBSERVER_COMPILED", "no")
    assert use() is False


def test_what_others_may_write_is_not_loaded(folder: Path) -> None:
    before = list(sys.meta_path)
    folder.chmod(0o770)
    assert use() is False
    folder.chmod(0o702)
    assert use() is False
    assert sys.meta_path == before


@pytest.fixture
def settled(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package whose sources have not changed for long, read once."""
    package = folder.parent / "observer"
    (package / "story").mkdir(parents=True)
    (package / "story" / "fold.py").write_text("ROWS = 1\n")
    folder.parent.chmod(0o700)
    monkeypatch.setattr(compiled, "_PACKAGE", package)
    monkeypatch.setattr(compiled, "_SETTLED", -1)
    assert use() is True
    return package


def _reads(monkeypatch: pytest.MonkeyPatch, made: Path) -> list[Path]:
    """Return a list of the places that are found by reading all sources."""
    read: list[Path] = []
    monkeypatch.setattr(compiled, "place", lambda: read.append(made) or made)
    return read


def test_sources_that_did_not_change_are_not_read_again(
    folder: Path, settled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = _reads(monkeypatch, folder)
    assert (use(), read) == (True, [])
    status = (settled / "story" / "fold.py").stat()
    (settled / "story" / "fold.py").write_text("ROWS = 2\n")
    os.utime(settled / "story" / "fold.py", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (use(), read) == (True, [folder])


def test_sources_that_changed_just_now_are_read_again(
    folder: Path, settled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "_SETTLED", 1 << 62)
    (settled / "story" / "rows.py").touch()
    read = _reads(monkeypatch, folder)
    assert (use(), use(), read) == (True, True, [folder, folder])


def test_what_others_may_write_tells_nothing_of_sources(
    folder: Path, settled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [note] = folder.parent.glob("*.place")
    note.chmod(0o622)
    read = _reads(monkeypatch, folder)
    assert (use(), read) == (True, [folder])


def test_where_nothing_is_compiled_the_sources_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "place", lambda: folder / "gone")
    assert use() is False


def test_a_constant_of_any_module_is_reason_to_compile_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    here, package = place(), Path(compiled.__file__).parent
    shutil.copytree(package, tmp_path / "observer", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(compiled, "_PACKAGE", tmp_path / "observer")
    assert place() == here
    with (tmp_path / "observer" / "model" / "operations.py").open("a") as source:
        source.write("\nMORE = 1\n")
    assert (place().parent, place() != here) == (here.parent, True)


def test_every_module_that_is_named_is_there() -> None:
    package = Path(compiled.__file__).parent
    assert [name for name in HOT if not (package / f"{name}.py").exists() and not (package / name).is_dir()] == []


def test_a_fresh_interpreter_runs_what_is_compiled_or_the_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)  # others of this worker have one of their own
    for value, ending in (("no", ".py"), ("", SUFFIX)):
        if ending == SUFFIX and not place().is_dir():
            pytest.skip("the hot modules are not compiled here: scripts/compile does it")
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(Path.home()), "OBSERVER_COMPILED": value}
        done = subprocess.run([sys.executable, "-c", ASK], env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.strip().endswith(ending)
