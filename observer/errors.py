"""What can go wrong, in the words a user needs.

ObserverError
├── UsageError        the command line asks for something that cannot be
├── NothingFound      the trace has nothing of what was asked for (status 1, as grep(1) does)
├── CannotLaunch      the program could not be started (status 126 or 127, as env(1) does)
├── CannotObserve     the machine refuses an instrument (ptrace, perf, /proc)
├── BadTrace          a trace folder cannot be written or read
├── BadWorkload       a workload names something that cannot be, at a line
└── BadLab            a lab's folder, a student's folder or a hand-in is not what it must be

Every message has three parts: what could not be done, the reason Linux gave, what to try.
"""

from __future__ import annotations

import errno
from typing import Final

__all__ = [
    "NO_PROC", "OURS", "SCARCE", "BadLab", "BadTrace", "BadWorkload", "CannotLaunch", "CannotObserve", "NothingFound",
    "ObserverError", "UsageError", "remedy_for",
]  # fmt: skip

SCARCE: Final = {
    errno.ENOSPC: "free space on that disk", errno.EDQUOT: "free space within your quota",
    errno.EMFILE: "ulimit -n with a larger number", errno.ENFILE: "close files: the whole machine has too many open",
    errno.EFBIG: "ulimit -f with a larger number",
    errno.ENOMEM: "ulimit -v with a larger number, or free memory", errno.EAGAIN: "ulimit -u with a larger number",
}  # fmt: skip
"""What gives more of that of which there is too little, by errno."""


OURS: Final = "/proc/self"
"""What is there wherever /proc is mounted."""

NO_PROC: Final = ("/proc is not mounted", "mount -t proc proc /proc")
"""Why nearly nothing can be done where it is not, and what to try."""


def remedy_for(error: OSError, otherwise: str = "") -> str:
    """Return what to try against *error*: more of what is scarce, a shorter name, or *otherwise*."""
    if error.errno == errno.ENAMETOOLONG:
        return "-o with a shorter name"
    return SCARCE.get(error.errno or 0, otherwise)


class ObserverError(Exception):
    """A failure that the user can act on; printed without a traceback."""

    exit_status = 125

    def __init__(self, what: str, why: str = "", remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.remedy = remedy

    def __str__(self) -> str:
        text = self.what if not self.why else f"{self.what}: {self.why}"
        return text if not self.remedy else f"{text}\n  try: {self.remedy}"


class UsageError(ObserverError):
    """The command line contradicts itself or names something unknown."""


class NothingFound(ObserverError):
    """What was asked for can be asked, and is not in the trace; the message says why."""

    exit_status = 1


class CannotLaunch(ObserverError):
    """The program could not be started; *exit_status* is 126 or 127 as for env(1) and timeout(1)."""

    def __init__(self, what: str, why: str = "", remedy: str = "", *, exit_status: int = 126) -> None:
        super().__init__(what, why, remedy)
        self.exit_status = exit_status


class CannotObserve(ObserverError):
    """The kernel or its configuration refuses what an instrument needs."""


class BadTrace(ObserverError):
    """A trace folder is missing, not a trace, damaged, or cannot be written."""


class BadWorkload(ObserverError):
    """A workload file is not one, or asks for something impossible (a double free, say) at a line."""

    exit_status = 2

    def __init__(self, what: str, why: str = "", remedy: str = "", *, line: int = 0, column: int = 0) -> None:
        place = f"line {line}" + (f", column {column}" if column else "") + ": " if line else ""
        super().__init__(place + what, why, remedy)
        self.line = line
        self.column = column


class BadLab(ObserverError):
    """The folder of a lab, of a student's work, or a hand-in is not what it must be; the message names the place."""

    exit_status = 2
