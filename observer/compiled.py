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
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Final

__all__ = ["HOT", "Compiled", "build", "place", "use"]

HOT: Final = (
    "code/stepping", "code/unwind", "compare/hypotheses", "compare/impossible", "compare/models", "compare/order",
    "compare/served_by",
    "compare/witness", "glibc/chunks", "instruments/places", "model/addresses", "model/chapter", "model/lives",
    "model/memory_calls", "model/pieces", "model/where", "runs/sources", "runs/told", "simulator/glibc",
    "simulator/glibc_side", "story/breaks", "story/departures", "story/fold", "story/memory", "story/opening",
    "story/places", "story/refusals", "story/rows", "story/steps", "story/summary", "story/telling", "trace/beside",
    "trace/callers", "trace/columns", "trace/doubts", "trace/heap_pages", "trace/process", "trace/replay",
    "trace/row_groups", "trace/values",
)  # fmt: skip
"""Modules, and rooms whose modules are all meant, below the package. None of them asks Linux itself."""

_PACKAGE: Final = Path(__file__).resolve().parent
_SUFFIX: Final = importlib.machinery.EXTENSION_SUFFIXES[0]
_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH
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
    digest = hashlib.sha256(f"{sys.implementation.cache_tag} {os.uname().machine}".encode())
    for path in sorted(_PACKAGE.rglob("*.py")):
        digest.update(f"{path.relative_to(_PACKAGE)}\0".encode() + path.read_bytes())
    return _cache() / digest.hexdigest()[:24]


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
        folder = place()
        about = folder.stat()
        if about.st_uid == os.geteuid() and not about.st_mode & _OTHERS:
            sys.meta_path.insert(0, Compiled(folder))
            return True
    return False


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
