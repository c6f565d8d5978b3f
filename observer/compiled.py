"""The hot pure modules compiled: loaded in the place of their sources where somebody has compiled just these sources.

What runs once for every call of a program (replay, story, the model of glibc) is compiled by mypyc, as it stands, into
a folder aside; its name is made of the sources, so that other sources find nothing there. Without it everything runs
from the sources, some times slower. `scripts/compile` compiles; OBSERVER_COMPILED=no runs the sources all the same.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.machinery
import importlib.util
import os
import stat
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Final

__all__ = ["HOT", "Compiled", "build", "place", "use"]

HOT: Final = (
    "code/compat", "code/stepping", "code/unwind", "compare/hypotheses", "compare/impossible", "compare/models",
    "compare/order", "compare/served_by", "compare/witness", "glibc/chunks", "heap/agreement", "heap/arenas",
    "heap/bins", "heap/caches", "heap/image", "heap/mapped", "heap/parts", "heap/walking", "instruments/births",
    "instruments/call_stacks", "instruments/chains", "instruments/crossings", "instruments/ending",
    "instruments/huge_pages", "instruments/places", "instruments/remapped", "instruments/stack_pieces",
    "instruments/stacks", "instruments/unsampled", "instruments/watch", "model/addresses", "model/chapter",
    "model/lives", "model/memory_calls", "model/pieces", "model/where", "recording/spool", "runs/sources", "runs/told",
    "simulator/glibc", "simulator/glibc_side", "story/breaks", "story/departures", "story/fold", "story/memory",
    "story/opening", "story/places", "story/refusals", "story/rows", "story/steps", "story/summary", "story/telling",
    "trace/beside", "trace/callers", "trace/columns", "trace/doubts", "trace/heap_pages", "trace/process",
    "trace/replay", "trace/row_groups", "trace/values", "tracee/affinity", "tracee/births", "tracee/breakpoints",
    "tracee/calls", "tracee/engine", "tracee/task", "tracee/unnoticed",
)  # fmt: skip
"""Modules, and rooms whose modules are all meant, below the package."""

_PACKAGE: Final = Path(__file__).resolve().parent
_SUFFIX: Final = importlib.machinery.EXTENSION_SUFFIXES[0]
_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH
_DIGITS: Final = 24
_SETTLED: Final = 2_000_000_000
"""Nanoseconds after which a file that changes again shows it by its times."""
_SETUP: Final = """\
import sys
from mypyc.build import mypycify
from setuptools import setup
modules = mypycify(["--ignore-missing-imports", *sys.argv[1:]], opt_level="2")
setup(name="hot", packages=[], ext_modules=modules, script_args=["-q", "build_ext", "-i"])
"""


def _sources() -> list[Path]:
    """Return the sources of the hot modules in a fixed order."""
    found = [_PACKAGE / f"{name}.py" for name in HOT if not (_PACKAGE / name).is_dir()]
    for name in HOT:
        found += sorted(path for path in (_PACKAGE / name).glob("*.py") if path.name != "__init__.py")
    return sorted(found)


def place() -> Path:
    """Return the folder for what is compiled of these very sources by this Python.

    All of the package's count: constants of other modules are compiled in.
    """
    digest = hashlib.sha256(_python().encode())
    for path in sorted(_PACKAGE.rglob("*.py")):
        digest.update(f"{path.relative_to(_PACKAGE)}\0".encode() + path.read_bytes())
    return _cache() / digest.hexdigest()[:_DIGITS]


def _python() -> str:
    return f"{sys.implementation.cache_tag} {os.uname().machine}"


def _known_place() -> Path:
    """Return `place()`, without reading sources that are as they were when they were read last."""
    state, latest = _state()
    note = _cache() / f"{hashlib.sha256(os.fsencode(_PACKAGE)).hexdigest()[:_DIGITS]}.place"
    with contextlib.suppress(OSError, ValueError), open(note, encoding="ascii") as file:
        of_state, name = file.read(2 * _DIGITS + 1).split()
        if of_state == state and _is_ours(os.fstat(file.fileno())):
            return _cache() / name
    found = place()
    if time.time_ns() - latest > _SETTLED and _is_ours(_cache().stat()):
        _write_down(note, f"{state} {found.name}")
    return found


def _write_down(note: Path, text: str) -> None:
    partial = note.with_suffix(f".{os.getpid()}")
    with contextlib.suppress(OSError):  # sources are read again, then
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(text)
        partial.rename(note)


def _state() -> tuple[str, int]:
    """Return what tells whether a source has changed, and when the last one did (nanoseconds since 1970)."""
    files = sorted((path, about) for path, about in _files(os.fspath(_PACKAGE)))
    each = [(path, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns) for path, about in files]
    digest = hashlib.sha256(repr((_python(), each)).encode(errors="surrogateescape"))
    return digest.hexdigest()[:_DIGITS], max((about.st_ctime_ns for _path, about in files), default=0)


def _files(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".py"):
                yield entry.path, entry.stat()
            elif entry.is_dir() and entry.name != "__pycache__":
                yield from _files(entry.path)


def _cache() -> Path:
    folder = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(folder) / "malloc-observer" / "compiled"


class Compiled:
    """Finds modules of the package in *folder* (importlib.abc.MetaPathFinder)."""

    def __init__(self, folder: Path) -> None:
        self._files = {
            ".".join(path.relative_to(folder).parts).removesuffix(_SUFFIX): path
            for path in folder.rglob(f"*{_SUFFIX}")
        }  # fmt: skip

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:  # fmt: skip
        """Return where the module *name* is compiled, None if it is not."""
        found = self._files.get(name)
        return importlib.util.spec_from_file_location(name, found) if found is not None else None


def use() -> bool:
    """Have the hot modules loaded from where they are compiled, if they are; return whether they are.

    Nothing is loaded that another user may have written.
    """
    if os.environ.get("OBSERVER_COMPILED") == "no":
        return False
    with contextlib.suppress(OSError):
        _cache().stat()  # where nothing was ever compiled, no time is spent
        folder = _known_place()
        if _is_ours(folder.stat()):
            sys.meta_path.insert(0, Compiled(folder))
            return True
    return False


def _is_ours(about: os.stat_result) -> bool:
    return about.st_uid == os.geteuid() and not about.st_mode & _OTHERS


def build() -> str:
    """Compile the hot modules with mypyc, which takes a minute; return why it could not be done, empty if it was."""
    import shutil
    import subprocess
    import tempfile

    folder = place()
    if folder.is_dir():
        return ""
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="observer-compiled-") as work:
        shutil.copytree(_PACKAGE, f"{work}/observer", ignore=shutil.ignore_patterns("__pycache__"))
        sources = [str(Path("observer") / path.relative_to(_PACKAGE)) for path in _sources()]
        done = subprocess.run(
            [sys.executable, "-c", _SETUP, *sources], cwd=work, capture_output=True, text=True, check=False,
            stdin=subprocess.DEVNULL, env={**os.environ, "OBSERVER_COMPILED": "no", "PYTHONPATH": ""},
        )  # fmt: skip
        if done.returncode:
            return (done.stderr.strip() or done.stdout.strip()).splitlines()[-1]
        made = Path(tempfile.mkdtemp(dir=folder.parent))
        for path in Path(work).rglob(f"*{_SUFFIX}"):
            if "build" not in path.relative_to(work).parts:
                target = made / path.relative_to(work)
                target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                shutil.copyfile(path, target)
        with contextlib.suppress(OSError):  # somebody else was faster
            made.rename(folder)
        shutil.rmtree(made, ignore_errors=True)
    return ""
