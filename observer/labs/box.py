"""Where a student's program runs: within limits by prlimit(1); as a user of its own, or in bubblewrap, if a stranger's.

The observer stands outside of the box and follows everything in it; what is in bubblewrap sees neither the observer
nor its files. As root, what is in a box runs as a user of its own, whom RLIMIT_NPROC counts alone (setrlimit(2)); else
newer kernels count by itself what is in a user namespace.
"""

from __future__ import annotations

import enum
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import psutil

from observer.errors import ObserverError

__all__ = ["Box", "Limits", "user_of_box"]

_ENVIRONMENT: Final = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
_INSIDE: Final = Path("/box")
_USERS: Final = range(60001, 61001)
_SYSTEM: Final = ("bin", "sbin", "lib", "lib64", "lib32", "libx32")
_TMPFS: Final = 64 << 20
_HELD: Final[list[socket.socket]] = []


@dataclass(frozen=True, slots=True)
class Limits:
    """What each process may use: seconds of processor time, bytes of address space and of a file; and how many."""

    seconds: int
    memory: int
    file: int = 16 << 20
    processes: int = 32


class Box(enum.Enum):
    """NONE: as whoever runs this. USER: as a user of its own, made for containers of one hand-in. BUBBLEWRAP: nothing
    but the system, read-only, and its own folder; no network, no process of others, nothing that outlives it."""

    NONE = "none"
    USER = "user"
    BUBBLEWRAP = "bubblewrap"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the commands: a program's own has no settings for the loader or the allocator."""
        return {"PATH": _ENVIRONMENT["PATH"]} if self is Box.BUBBLEWRAP else dict(_ENVIRONMENT)

    def inside(self, folder: Path) -> Path:
        """Return where *folder* lies for what is in the box."""
        return _INSIDE if self is Box.BUBBLEWRAP else folder

    def owns(self, folder: Path) -> None:
        """Make *folder* that of whom the box runs as."""
        if self is not Box.NONE and os.geteuid() == 0:
            os.chown(folder, user_of_box(), user_of_box())

    def command(self, words: Sequence[str], folder: Path, limits: Limits, *, writing: bool = False) -> tuple[str, ...]:
        """Return the command that runs *words* in the box within *limits*, *writing* into *folder* if allowed."""
        counted = self is not Box.NONE and os.geteuid() == 0  # processes, where they have a user of their own
        if self is Box.BUBBLEWRAP:
            if not counted and _counts_in_box():
                words = ["prlimit", f"--nproc={limits.processes}", "--", *words]
            words = _bubblewrap(words, folder, writing)
        if counted:
            user = user_of_box()
            words = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--no-new-privs", *words]
        limit = ["prlimit", f"--cpu={limits.seconds}:{limits.seconds + 1}", f"--as={limits.memory}", "--core=0"]
        limit += [f"--fsize={limits.file}", *([f"--nproc={limits.processes}"] if counted else [])]
        return (*limit, "--", *words)

    def clear(self) -> None:
        """End what a program has left behind: in bubblewrap it has ended with it."""
        if self is Box.USER:
            for process in psutil.process_iter():
                with suppress(psutil.NoSuchProcess):
                    if process.uids().real == user_of_box():
                        process.kill()

    def why_not(self, folder: Path) -> str:
        """Return why nothing can be run in the box on this machine; empty if it can. *folder* is one to be shown."""
        if self is Box.USER and os.geteuid() != 0:
            return "only root runs programs as another user"
        for tool in ("bwrap", "prlimit", "setpriv") if self is Box.BUBBLEWRAP else ("prlimit", "setpriv"):
            if shutil.which(tool) is None:
                return f"{tool} is not installed (apt install bubblewrap util-linux)"
        command = self.command(["true"], folder, Limits(5, 1 << 29))
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        return "" if done.returncode == 0 else f"{self.value} does not run here: {done.stderr.strip()}"


@cache
def _counts_in_box() -> bool:
    """Whether RLIMIT_NPROC counts what is in a user namespace by itself: Linux does since 5.14."""
    found = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return found is not None and (int(found[1]), int(found[2])) >= (5, 14)


@cache
def user_of_box() -> int:
    """Return the user whom this process's boxes run as when root makes them: no other grader's on this machine.

    What one box has of processes is so nobody else's. A name in Linux's abstract space of sockets holds it for as long
    as this process lives (unix(7)).

    Raises:
        ObserverError: each of them is taken.
    """
    for user in _USERS:
        holder = socket.socket(socket.AF_UNIX)
        try:
            holder.bind(f"\0malloc-observer-box-{user}")
        except OSError:
            holder.close()
        else:
            _HELD.append(holder)
            return user
    raise ObserverError("nothing can be run in a box", f"users {_USERS[0]} to {_USERS[-1]} are all taken")


def _bubblewrap(command: Sequence[str], folder: Path, writing: bool) -> list[str]:
    words = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv"]
    for name, value in _ENVIRONMENT.items():
        words += ["--setenv", name, value]
    words += ["--ro-bind", "/usr", "/usr", *_system(), "--proc", "/proc", "--dev", "/dev"]
    words += ["--size", str(_TMPFS), "--tmpfs", "/tmp", "--bind" if writing else "--ro-bind", str(folder), str(_INSIDE)]
    return [*words, "--chdir", str(_INSIDE), "--", *command]


def _system() -> list[str]:
    words: list[str] = []
    for name in _SYSTEM:
        path = Path("/", name)
        if path.is_symlink():
            words += ["--symlink", os.readlink(path), str(path)]
        elif path.is_dir():
            words += ["--ro-bind", str(path), str(path)]
    return words
