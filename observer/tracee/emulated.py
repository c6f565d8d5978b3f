"""The system calls of a program for another processor, as the emulator that runs it lists them (qemu-user -strace).

The emulator translates each call into one of this machine's: what it lists is what the program asked for. Its process
is not observed, so there are no lines and no library calls.
"""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from observer.errors import CannotObserve
from observer.model.signals import name_of_signal
from observer.tracee.builds import Build, emulator

__all__ = ["listed_calls"]

_LINE: Final = re.compile(r"^\d+ (\w+)\(", re.MULTILINE)
_SECONDS: Final = 60.0


def listed_calls(program: Build, words: Sequence[str], log: Path) -> tuple[dict[str, int], str]:
    """Run *program* with the arguments *words* in its emulator, with our own standard streams.

    Args:
        log: a file for the emulator's list.

    Returns:
        how often it made which system call, and how it ended: `exit 0` or the signal's name.

    Raises:
        CannotObserve: there is no emulator, it did not come to an end in time, or it listed nothing.
    """
    runs_it = emulator(program.side)
    if runs_it is None:
        raise CannotObserve("it is built, and nothing here runs it", "", "apt-get install qemu-user")
    command = [runs_it, "-strace", "-D", str(log), program.path, *words]
    try:
        done = subprocess.run(command, timeout=_SECONDS, check=False)
        names = _LINE.findall(log.read_text(errors="replace"))
    except (subprocess.TimeoutExpired, OSError) as error:
        raise CannotObserve(f"{runs_it} did not run it to its end", str(error)) from error
    if not names:
        raise CannotObserve(f"{runs_it} listed no system call of it")
    status = f"exit {done.returncode}" if done.returncode >= 0 else name_of_signal(-done.returncode)
    return dict(Counter(names).most_common()), status
