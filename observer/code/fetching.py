"""Files that only a program gives, which may be one that is observed: FUSE's (fuse(4)); nobody waits for them for ever.

Whoever opens or reads such a file waits until the program that serves it has answered. If that stands still for us
meanwhile, both wait. So another thread opens the file and copies it, for a while at most; what it has not by then is
not ours.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from errno import ETIMEDOUT
from typing import Final

__all__ = ["copied", "fetched", "is_served_by_a_program"]

_PATIENCE: Final = 2.0
"""Seconds: a server that is free to answer takes some thousandths of one, and some tenths for 100 MB."""
_SERVED: Final = (b"fuse", b"fuseblk")
_MOUNTS = "/proc/{}/mountinfo"
_PIECE: Final = 1 << 20


def is_served_by_a_program(tid: int, device: int) -> bool:
    """Whether the files of *device* (st_dev), of which the task *tid* has mapped one, are a program's to give.

    Raises OSError when the task is gone.
    """
    if device == _device_of_root():
        return False
    number = f"{os.major(device)}:{os.minor(device)}".encode()
    with open(_MOUNTS.format(tid), "rb", buffering=0) as file:
        mounts = file.readall().splitlines()
    return any(_kind(mount).split(b".")[0] in _SERVED for mount in mounts if mount.split(b" ", 3)[2] == number)


def _kind(mount: bytes) -> bytes:
    return mount.partition(b" - ")[2].split(b" ", 1)[0]


def _device_of_root() -> int:
    return os.stat("/").st_dev


def fetched(opened: Callable[[], int], *, is_here: Callable[[os.stat_result], bool]) -> tuple[os.stat_result, int]:
    """Return the status of the file that *opened* opens, and a descriptor of a copy in memory; -1 if it *is_here*.

    Raises:
        OSError: it cannot be opened; ETIMEDOUT: whoever serves it has not answered.
    """
    fetch = _Fetch(opened, is_here)
    thread = threading.Thread(target=fetch.run, name="fetch", daemon=True)
    thread.start()
    thread.join(_PATIENCE)
    return fetch.result()


class _Fetch:
    """What the thread has brought; if nobody wants it any longer, it is let go of."""

    def __init__(self, opened: Callable[[], int], is_here: Callable[[os.stat_result], bool]) -> None:
        self._opened = opened
        self._is_here = is_here
        self._lock = threading.Lock()
        self._is_late = False
        self._found: tuple[os.stat_result, int] | None = None
        self._refused: OSError | None = None

    def run(self) -> None:
        try:
            fd = self._opened()
            try:
                status = os.fstat(fd)
                self._bring(status, -1 if self._is_here(status) else copied(fd))
            finally:
                os.close(fd)  # of which FUSE's servers are told, too
        except OSError as error:
            self._refused = error

    def _bring(self, status: os.stat_result, copy: int) -> None:
        with self._lock:
            if not self._is_late:
                self._found = status, copy
            elif copy >= 0:
                os.close(copy)

    def result(self) -> tuple[os.stat_result, int]:
        with self._lock:
            if self._found is not None:
                return self._found
            self._is_late = True
        raise self._refused or OSError(ETIMEDOUT, "the program that serves it did not answer while it was observed")


def copied(fd: int) -> int:
    """Return a descriptor of a copy in memory of the file *fd* (memfd_create(2))."""
    copy = os.memfd_create("copy", os.MFD_CLOEXEC)
    try:
        at = 0
        while piece := os.pread(fd, _PIECE, at):
            os.write(copy, piece)
            at += len(piece)
    except OSError:
        with contextlib.suppress(OSError):
            os.close(copy)
        raise
    return copy
