"""What the instruments counted, kept beside the spools: with it they can be finished later, and as well.

Room for it is set aside before the program starts, so that it is there on a disk that the run has filled.
"""

from __future__ import annotations

from typing import Final

import msgspec

from observer.errors import BadTrace
from observer.files import Folder, NewFile
from observer.instruments.session import Recording
from observer.model.filenames import typed
from observer.recording.text import to_json
from observer.trace.layout import META, RECORDING, SPOOL

__all__ = ["Kept", "changed", "read_kept"]

_ROOM: Final = 1 << 15
_LARGEST: Final = 1 << 24
_NAMED: Final = 3
_MOST: Final = 1 << 62
_LONGEST: Final = 1e9
"""Seconds: some thirty years."""
_LARGEST_STATUS: Final = 0xFFFF
"""Of those that wait(2) tells, but for that of a process that goes on."""


class Kept:
    """The file that the recording will be written to; raises OSError when there is no room for it."""

    def __init__(self, spool: Folder) -> None:
        self._spool = spool
        self._file = NewFile(spool, RECORDING)
        self._file.reserve(_ROOM)

    def write(self, recording: Recording) -> None:
        """Write *recording*; raises OSError when it needs more room than there is."""
        self._file.cut(0)
        self._file.append(to_json(recording))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def refuse_changes(self, folder: Folder, recording: Recording) -> None:
        """Raise BadTrace when somebody else has changed the trace's *folder*, or a file in it, during the recording."""
        if not (folder.is_at_its_path() and self._spool.is_at_its_path()):
            raise changed(folder, "it was removed, renamed or replaced")
        if recording.changed:
            raise changed(folder, f"{_some(recording.changed)} in {SPOOL} truncated, written to, removed or replaced")
        strangers = folder.strangers() + self._spool.strangers() + ([] if folder.has(META) else [META])
        if strangers:
            raise changed(folder, f"{_some(strangers)} in it came from somebody else")


def read_kept(spool: Folder) -> Recording | None:
    """Return what the instruments counted; None when the observer ended before they could, or it is damaged."""
    try:
        recording = msgspec.json.decode(spool.read(RECORDING, _LARGEST), type=Recording)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return recording if _is_sound(recording) else None


def _is_sound(recording: Recording) -> bool:
    """Whether its numbers are of such a size as what can be counted in a run."""
    counts = (*recording.totals.values(), *recording.lost.values())
    return (
        all(0 <= count < _MOST for count in counts)
        and 0 <= recording.seconds < _LONGEST
        and (recording.status is None or 0 <= recording.status <= _LARGEST_STATUS)
    )


def changed(folder: Folder, why: str) -> BadTrace:
    """Return the error that says that somebody else changed the trace in *folder*, and how: *why*."""
    remedy = f"observer show {typed(folder.path)} tells what is whole"
    return BadTrace(f"somebody changed {folder.path} while it was recorded", why, remedy)


def _some(names: list[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
