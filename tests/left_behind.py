"""Which processes of a run are there still: those that found a certain variable in their environment."""

from __future__ import annotations

import os
import time
from pathlib import Path

__all__ = ["left_after", "processes_with"]


def processes_with(variable: str) -> dict[int, str]:
    """Return number and command of all living processes but this one that began with *variable* (NAME=VALUE).

    Those of other users are seen by root alone; what has ended and waits for its parent is not counted.
    """
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            environment = Path(f"/proc/{entry}/environ").read_bytes()
            command = Path(f"/proc/{entry}/cmdline").read_bytes()
        except OSError:
            continue  # gone meanwhile, or another user's
        if command and variable.encode() in environment.split(b"\0"):
            found[int(entry)] = command.replace(b"\0", b" ").decode(errors="replace").strip()
    return found


def left_after(variable: str, seconds: float) -> dict[int, str]:
    """Return what `processes_with` *variable* finds, once it finds nothing or so many seconds have gone by."""
    deadline = time.monotonic() + seconds
    while (left := processes_with(variable)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left
