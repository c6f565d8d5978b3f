"""The commands that keep a student's program within limits: prlimit(1) always, bubblewrap where it is not trusted.

The observer stands outside of the box and follows everything in it; what is in it sees neither the observer nor its
files. As root, what is in the box runs as a user of its own, whom RLIMIT_NPROC counts alone (setrlimit(2)).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["ENVIRONMENT", "INSIDE", "USER", "Limits", "boxed", "limited", "why_no_box"]

ENVIRONMENT: Final = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
"""The whole environment of a student's program: the loader and the allocator find no settings in it."""
INSIDE: Final = Path("/box")
"""Where the folder of the program lies in the box."""
USER: Final = 60001
"""The user and group in a box that root makes."""
_SYSTEM: Final = ("bin", "sbin", "lib", "lib64", "lib32", "libx32")
_TMPFS: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """What each process may use: seconds of processor time, bytes of address space and of a file; and how many."""

    seconds: int
    memory: int
    file: int = 16 << 20
    processes: int = 32


def limited(command: Sequence[str], limits: Limits, *, counted: bool) -> tuple[str, ...]:
    """Return *command* within *limits*; processes are *counted* only where they have a user of their own."""
    words = ["prlimit", f"--cpu={limits.seconds}:{limits.seconds + 1}", f"--as={limits.memory}", "--core=0"]
    words += [f"--fsize={limits.file}", *([f"--nproc={limits.processes}"] if counted else [])]
    return (*words, "--", *command)


def boxed(command: Sequence[str], folder: Path, limits: Limits, *, writing: bool = False) -> tuple[str, ...]:
    """Return *command* in a box: no network, the system read-only, *folder* at INSIDE, *writing* there if allowed."""
    words = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv"]
    for name, value in ENVIRONMENT.items():
        words += ["--setenv", name, value]
    words += ["--ro-bind", "/usr", "/usr", *_system(), "--proc", "/proc", "--dev", "/dev"]
    words += ["--size", str(_TMPFS), "--tmpfs", "/tmp", "--bind" if writing else "--ro-bind", str(folder), str(INSIDE)]
    words += ["--chdir", str(INSIDE), "--", *command]
    if os.geteuid() == 0:
        words = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--no-new-privs", *words]
    return limited(words, limits, counted=os.geteuid() == 0)


def _system() -> list[str]:
    words: list[str] = []
    for name in _SYSTEM:
        path = Path("/", name)
        if path.is_symlink():
            words += ["--symlink", os.readlink(path), str(path)]
        elif path.is_dir():
            words += ["--ro-bind", str(path), str(path)]
    return words


def why_no_box(folder: Path) -> str:
    """Return why nothing can be run in a box on this machine; empty if it can. *folder* is one that may be shown."""
    for tool in ("bwrap", "prlimit", "setpriv"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed (apt install bubblewrap util-linux)"
    command = boxed(["true"], folder, Limits(5, 1 << 29))
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    return "" if done.returncode == 0 else f"bubblewrap does not run here: {done.stderr.strip()}"
