"""Snapshots of a heap in the midst of a run: when they are taken, and what is kept of each beside its chunks."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import msgspec

from observer.errors import UsageError
from observer.model.events import Site

__all__ = ["AtLine", "EveryNth", "HeapSnapshot", "When", "parse_when"]

_EVERY: Final = re.compile(r"every\s+([0-9][0-9,]{0,14})\s+calls?")
_LINE: Final = re.compile(r"line\s+(.+):([0-9]{1,9})")
_EXAMPLES: Final = "--snapshot 'every 100 calls' or --snapshot 'line story.c:28'"


class EveryNth(NamedTuple):
    """After each *calls*-th allocator call of a process."""

    calls: int

    def __str__(self) -> str:
        return f"every {self.calls:,} call{'s' if self.calls > 1 else ''}"


class AtLine(NamedTuple):
    """After each allocator call that was made at a source line; *file* is a whole path, or the end of one."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"line {self.file}:{self.line}"

    def is_at(self, site: Site) -> bool:
        """Whether *site* is this line."""
        return site.line == self.line and self.is_in(site.file or "")

    def is_in(self, path: str) -> bool:
        """Whether the source *path* is the file that is meant."""
        return path == self.file or path.endswith(f"/{self.file.removeprefix('./')}")


When = EveryNth | AtLine
"""When a heap is walked."""


def parse_when(text: str) -> When:
    """Return what --snapshot *text* means.

    >>> parse_when("every 7 calls"), parse_when("line story.c:28")
    (EveryNth(calls=7), AtLine(file='story.c', line=28))

    Raises:
        UsageError: it is neither.
    """
    if (found := _EVERY.fullmatch(text.strip())) and (calls := int(found[1].replace(",", ""))):
        return EveryNth(calls)
    if (found := _LINE.fullmatch(text.strip())) and int(found[2]):
        return AtLine(found[1], int(found[2]))
    raise UsageError(f"--snapshot {text!r} says no moment", "", _EXAMPLES)


class HeapSnapshot(msgspec.Struct, frozen=True):
    """The heap of process `pid` as the call `n` of its thread `tid` returned, at `t_ns`; `when` is what asked for it.

    `chunks` counts its chunks. `damage` says what cannot be, empty if nothing, `findings` how many such things there
    are, `unread` why parts are not known. `others` counts the other threads, which ran on during the walk, `under_way`
    calls of theirs that had not returned.
    """

    n: int
    t_ns: int
    pid: int
    tid: int
    when: str
    chunks: int
    damage: str = ""
    findings: int = 0
    unread: str = ""
    others: int = 0
    under_way: int = 0
