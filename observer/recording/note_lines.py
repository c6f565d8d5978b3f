"""Lines of notes read back, each checked against what stands beside the fields of its kind."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from observer.recording.notes import Copied, End, Exec, Note, Region

__all__ = ["read_notes"]

_LINE: Final = msgspec.json.Decoder(Note)
_WORDS_ONLY: Final = msgspec.msgpack.Encoder()  # knows no number that has more than 64 bits


def read_notes(lines: Iterable[bytes]) -> tuple[list[Note], int]:
    """Return the notes that stand in *lines*, and how many whole lines are none.

    The last line may have no end: it was being written when the observer ended, and is neither.
    """
    notes: list[Note] = []
    odd = 0
    for line in lines:
        note = _note(line)
        if note is not None:
            notes.append(note)
        elif line.endswith(b"\n"):
            odd += 1
    return notes, odd


def _note(line: bytes) -> Note | None:
    try:
        note: Note = _LINE.decode(line)
        _WORDS_ONLY.encode(note)
    except (msgspec.MsgspecError, OverflowError, UnicodeDecodeError, RecursionError):
        return None
    # Beside the fields of a mapping nothing stands that is checked: its module may be compiled, which drops that.
    mappings = note.mappings if isinstance(note, Exec | Copied | End | Region) else ()
    return note if all(min(mapping.start, mapping.end) >= 0 for mapping in mappings) else None
