"""The C interpreter of workloads: found among the samples, compiled once, and named with its arguments."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from observer.errors import CannotLaunch

__all__ = ["FLAGS", "build", "cache_folder", "source"]

FLAGS: Final = ("-O0", "-g", "-fno-omit-frame-pointer", "-fno-builtin", "-std=gnu11", "-Wl,-z,now")
"""How it is compiled: slow and plain, so that each operation stays a call."""

_COMPILERS: Final = ("cc", "gcc", "clang")
_HERE: Final = Path(__file__).resolve().parent.parent


def source() -> Path:
    """Return the interpreter's source: beside the package in a checkout, inside it when installed.

    Raises:
        CannotLaunch: it is in neither place.
    """
    for folder in (_HERE / "c_samples", _HERE.parent / "c_samples"):
        if (folder / "workload.c").is_file():
            return folder / "workload.c"
    raise CannotLaunch("cannot run a workload", "c_samples/workload.c is not there", "install the package again")


def build(spare: Path) -> Path:
    """Return the compiled interpreter, kept in the user's cache by the contents of its source; else in *spare*.

    Raises:
        CannotLaunch: there is no C compiler, or it fails.
    """
    text = source()
    name = f"workload-{hashlib.sha256(text.read_bytes()).hexdigest()[:16]}"
    folder = cache_folder() or spare
    built = folder / name
    if not os.access(built, os.X_OK):
        _compile(text, built)
    return built


def cache_folder() -> Path | None:
    """Return the user's cache folder, or None for a user without a home that can be written."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = Path(base) / "malloc-observer"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK | os.X_OK):
            return folder
    except OSError:
        return None
    return None


def _compile(text: Path, built: Path) -> None:
    compiler = os.environ.get("CC") or next(filter(shutil.which, _COMPILERS), None)
    if compiler is None:
        raise CannotLaunch("cannot run a workload", "there is no C compiler here", "apt-get install gcc libc6-dev")
    # Compiled beside its place and moved there whole, since another run may be doing the same.
    partial = built.with_name(f"{built.name}.{os.getpid()}")
    done = subprocess.run(
        [*compiler.split(), *FLAGS, "-o", str(partial), str(text)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise CannotLaunch("cannot compile the interpreter of workloads", done.stderr.strip().splitlines()[-1])
    partial.replace(built)
