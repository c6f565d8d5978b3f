"""The system calls of a program for another processor, as the emulator that runs it lists them (qemu-user -strace).

The emulator translates each call into one of this machine's: what it lists is what the program asked for. Its process
is not observed, so there are no lines and no library calls.
"""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import Final

from observer.errors import CannotObserve

__all__ = ["listed_calls"]

_LINE: Final = re.compile(r"^\d+ (\w+)\(", re.MULTILINE)
_SECONDS: Final = 60.0


def listed_calls(emulator: str, words: list[str], log: Path) -> dict[str, int]:
    """Run the program *words* under *emulator* and return how often it made which system call.

    Args:
        log: a file for the emulator's list.

    Raises:
        CannotObserve: it did not end in time, or listed nothing.
    """
    command = [emulator, "-strace", "-D", str(log), *words]
    try:
        subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            timeout=_SECONDS, check=False,
        )  # fmt: skip
        names = _LINE.findall(log.read_text(errors="replace"))
    except (subprocess.TimeoutExpired, OSError) as error:
        raise CannotObserve(f"{emulator} did not run {words[0]} to its end", str(error)) from error
    if not names:
        raise CannotObserve(f"{emulator} listed no system call of {words[0]}")
    return dict(Counter(names).most_common())
