"""Who called malloc, in gdb's words: run by gdb itself (-x), and what it printed read back."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence

from tests.recordings import environment_of_commands

_HOW = """
import gdb
for setting in ("pagination off", "startup-with-shell off", "backtrace past-main on", "backtrace past-entry on",
                "breakpoint pending on"):
    gdb.execute("set " + setting)
gdb.execute("tbreak " + {begin!r})
gdb.execute("run")
gdb.execute("info proc mappings")

class Malloc(gdb.Breakpoint):
    def stop(self):
        callers, frame = [], gdb.newest_frame().older()
        while frame is not None and len(callers) < 64:
            if frame.type() not in (gdb.INLINE_FRAME, gdb.TAILCALL_FRAME):
                callers.append(str(frame.pc()))
            frame = frame.older()
        print("callers " + " ".join(callers))
        return False

Malloc("*malloc")
gdb.execute("continue")
"""


_MAPPED = re.compile(r"^ *(0x[0-9a-f]+) +(0x[0-9a-f]+) +0x[0-9a-f]+ +0x[0-9a-f]+ .* (/.*?) *$", re.MULTILINE)
"""A mapping of a file, as GDB tells it; from release 16 on its table begins at the line's beginning."""
_FIXED = 0x40_0000
"""Where programs lie that are linked to an address."""

Place = tuple[str | None, int | None]
"""A module's name, and how many bytes from its beginning the call ends."""


def mallocs_callers(command: Sequence[str], begin: str = "main") -> list[list[Place]]:
    """Run *command* under gdb; return who called malloc, for each time behind *begin* that it was.

    Of each call these are all its callers, the innermost first. Frames that are on no stack are left out: of inlined
    functions, and of those that ended by a jump to another, of which debug information tells.
    """
    done = subprocess.run(
        ["gdb", "-q", "-nx", "-batch", "-ex", "python exec(__import__('os').environ['CALLERS'])", "--args", *command],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False,
        env={**environment_of_commands(), "DEBUGINFOD_URLS": "", "LC_ALL": "C", "CALLERS": _HOW.format(begin=begin)},
    )  # fmt: skip
    lines = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("callers ")]
    assert lines, f"gdb saw no malloc of {os.path.basename(command[0])}: {done.stdout[-2000:]} {done.stderr[-2000:]}"
    mapped = mappings(done.stdout)
    return [[_place(int(word), mapped) for word in words] for words in lines]


def mappings(said: str) -> list[tuple[int, int, str]]:
    """Return the beginning, the end and the file of each mapping of one in what gdb *said*."""
    return [(int(start, 16), int(end, 16), path) for start, end, path in _MAPPED.findall(said)]


def _place(address: int, mapped: Sequence[tuple[int, int, str]]) -> Place:
    path = next((path for start, end, path in mapped if start <= address < end), None)
    if path is None:
        return None, None
    begins = min(start for start, _end, name in mapped if name == path)
    return os.path.basename(path), address - (begins if begins != _FIXED else 0)
