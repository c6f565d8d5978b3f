"""The notes of a recording as they are read back: each by its kind, every value of the type that the replay expects.

A note that the replay does not know passes as it is. One that is no note at all (a line that somebody else wrote, or
that was being written when the observer ended) is left out and counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal, NotRequired, TypedDict

import msgspec
from msgspec import Meta

from observer.model.addresses import Mapping

__all__ = ["Note", "read_notes"]

Note = dict[str, Any]

_PATH: Final = 1 << 16  # characters: PATH_MAX bytes, each written as \xff at the most
_PAGES: Final = 1 << 24  # that one interval brings in: 64 GiB

_Pid = Annotated[int, Meta(ge=0, le=(1 << 31) - 1)]
_Time = Annotated[int, Meta(ge=1, le=(1 << 62) - 1)]
_Count = Annotated[int, Meta(ge=0, le=(1 << 62) - 1)]
_Word = Annotated[int, Meta(ge=0)]
_Small = Annotated[int, Meta(ge=-(1 << 31), le=(1 << 32) - 1)]
_Path = Annotated[str, Meta(max_length=_PATH)]
_Name = Annotated[str, Meta(max_length=_PATH, min_length=1)]
_Value = Annotated[str, Meta(max_length=1 << 20)]
_Run = tuple[Annotated[int, Meta(ge=0, le=1 << 52)], Annotated[int, Meta(ge=1, le=_PAGES)]]
_Code = Annotated[str, Meta(pattern="^([0-9a-f][0-9a-f]){0,16}$")]


class _Exec(TypedDict):
    pid: _Pid
    tid: _Pid
    t: _Time
    path: _Path
    former: _Pid
    first: bool
    minor: _Count
    major: _Count
    break_start: _Word
    mappings: list[Mapping]
    environment: NotRequired[dict[str, _Value]]


class _Allocator(TypedDict):
    pid: _Pid
    t: _Time
    number: _Count
    path: _Path
    is_glibc: bool


class _Born(TypedDict):
    pid: _Pid
    tid: _Pid
    t: _Time
    how: Literal["fork", "vfork", "clone"]
    child: _Pid
    child_pid: _Pid
    shares: bool


class _Region(TypedDict):
    pid: _Pid
    t: _Time
    start: _Word
    end: _Word
    mappings: list[Mapping]


class _Detached(TypedDict):
    pid: _Pid
    t: _Time
    address: _Word


class _Copied(TypedDict):
    pid: _Pid
    t: _Time
    mappings: Annotated[list[Mapping], Meta(min_length=1)]
    pages: list[_Run]


class _Leaving(TypedDict):
    pid: _Pid
    tid: _Pid
    t: _Time
    first: _Count
    counts: list[_Count]


class _Beyond(TypedDict):
    pid: _Pid
    tid: _Pid
    t: _Time
    by: Literal["io_uring", "process_madvise", "userfaultfd"]


class _File(TypedDict):
    pid: _Pid
    t: _Time
    start: _Word
    path: _Path


class _Image(TypedDict):
    pid: _Pid
    t: _Time
    path: _Path
    bias: int
    start: _Word
    end: _Word
    build_id: str
    role: str


class _Signal(TypedDict):
    pid: _Pid
    tid: _Pid
    t: _Time
    signal: _Name
    code: _Small
    address: _Word | None
    ip: _Word
    sp: _Word
    cs: _Small
    stack: _Count
    behind: _Code
    bytes: _Code
    in_call: bool
    reason: str | None
    access: str | None


class _Populated(TypedDict):
    pid: _Pid
    tid: _Pid
    t: _Time
    end: _Time
    caller: _Pid
    number: _Small
    faults: int


class _Exiting(TypedDict):
    pid: _Pid
    tid: _Pid
    t: _Time
    minor: _Count
    major: _Count
    last: bool


class _End(TypedDict):
    pid: _Pid
    t: _Time
    path: _Path
    frames: list[tuple[_Word, _Count, _Count]]
    mappings: list[Mapping]
    resident: dict[int, _Count]
    rss: dict[str, _Count]
    break_start: _Word


class _Gone(TypedDict):
    pid: _Pid
    tid: _Pid
    t: _Time
    status: _Small


class _Interval(TypedDict):
    pid: _Pid
    tid: _Pid
    t: _Time
    count: _Count
    pages: list[_Run]


class _Handler(TypedDict):
    pid: _Pid
    tid: _Pid
    t: _Time
    end: _Time
    sp: _Word


class _Aside(TypedDict):
    pid: _Pid
    tid: _Pid
    t: _Time
    sp: _Word


class _Unobserved(TypedDict):
    pid: _Pid
    t: _Time
    path: _Path
    why: str


class _Rings(TypedDict):
    major_ids: list[_Count]


class _Probe(TypedDict):
    number: Annotated[int, Meta(ge=0, le=(1 << 32) - 1)]
    function: _Name
    module: str | None


class _Other(TypedDict):
    what: str


_KINDS: Final[dict[str, Any]] = {
    "exec": _Exec, "allocator": _Allocator, "born": _Born, "region": _Region, "detached": _Detached, "copied": _Copied,
    "leaving": _Leaving, "beyond": _Beyond, "file": _File, "image": _Image, "signal": _Signal,
    "populated": _Populated, "exiting": _Exiting, "end": _End, "gone": _Gone, "interval": _Interval, "rings": _Rings,
    "probe": _Probe, "handler": _Handler, "aside": _Aside, "unobserved": _Unobserved,
}  # fmt: skip
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
        note = msgspec.json.decode(line, type=dict[str, Any])
        kind = _KINDS.get(note["what"], _Other)
        msgspec.convert(note, kind, str_keys=True)
        _WORDS_ONLY.encode(note)
    except (msgspec.MsgspecError, KeyError, TypeError, OverflowError, UnicodeDecodeError, RecursionError):
        return None
    return note
