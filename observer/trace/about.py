"""Which rows of the tables a question is about, so that a large trace need not be read for one event or one line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from observer.model.events import Call
from observer.model.operations import FREEING, RESIZING

__all__ = ["About", "about_line", "ender_of", "giver_of", "lives_of"]

_FOR_BREAKS = {"syscall": "name = 'brk'", "process": "true"}
"""What moves the break, and who has which: told of, whatever else is asked."""
_NAME_OF_SITE = (
    "case when site.function is not null then site.function || coalesce(' (' || site.module || ')', '') "
    "else site.module || '+' || printf('0x%x', site.\"offset\") end"
)
"""`Site.text` of a place that has no line."""


@dataclass(frozen=True, slots=True)
class About:
    """Conditions in SQL by kind of event, with their parameters; of kinds that are not named there are no rows."""

    conditions: dict[str, str]
    parameters: dict[str, list[Any]] = field(default_factory=dict)

    def of(self, kind: str) -> tuple[str, list[Any]]:
        """Return the condition and the parameters for the table of *kind*."""
        own, always = self.conditions.get(kind, "false"), _FOR_BREAKS.get(kind, "false")
        return f"(({own}) or ({always}))", self.parameters.get(kind, [])


def about_line(file: str, line: int) -> About:
    """Return what *file*:*line* caused, `story.query.at_line`: what happens in a call has the place of the call."""
    asked: list[Any]
    if line:
        hit = "site.line = ? and (site.file = ? or ends_with(site.file, ?))"
        asked = [line, file, f"/{file.removeprefix('./')}"]
    else:
        hit = f"site.line is null and {_NAME_OF_SITE} = ?"
        asked = [file]
    kinds = ("call", "signal", "library", "syscall", "fault")
    return About(dict.fromkeys(kinds, hit), dict.fromkeys(kinds, asked))


def giver_of(call: Call) -> tuple[str, list[Any]]:
    """Return the condition for the calls that returned the pointer of *call*, of which the last did."""
    return "n < ? and pid = ? and result = ?", [call.n, call.pid, call.pointer]


def ender_of(call: Call) -> tuple[str, list[Any]]:
    """Return the condition for the calls that take over the piece of *call*, of which the first did.

    It is what `story.query.takes_over` says of a call.
    """
    freeing, resizing = (", ".join(f"'{op}'" for op in sorted(ops)) for ops in (FREEING, RESIZING))
    took = f"op in ({freeing}) or (op in ({resizing}) and (result <> 0 or size * coalesce(count, 1) = 0))"
    return f"n > ? and pid = ? and pointer = ? and op <> 'malloc_usable_size' and ({took})", [
        call.n, call.pid, call.result,
    ]  # fmt: skip


def lives_of(calls: Sequence[Call]) -> About:
    """Return what belongs to the life of the piece that *calls* made, moved and freed, `story.query.life_of`."""
    numbers = f"({', '.join(str(call.n) for call in calls)})"
    tids = ", ".join(str(call.tid) for call in calls if call.end_ns is None)
    return About({
        "call": f"n in {numbers}", "syscall": f"cause in {numbers}",
        "fault": f'cause in {numbers} or chunk."call" in {numbers}',
        "signal": f"fatal and tid in ({tids})" if tids else "false",
    })  # fmt: skip
