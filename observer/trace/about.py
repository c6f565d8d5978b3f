"""Which rows of the tables a question is about, so that a large trace need not be read for one event or one line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from observer.model.events import Call

__all__ = ["About", "about_line", "life_bounds", "life_of_piece"]

_FOR_BREAKS = {"syscall": "name = 'brk'", "process": "true"}
"""What moves the break, and who has which: told of, whatever else is asked."""


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
    hit = "site.line = ? and (site.file = ? or ends_with(site.file, ?))"
    asked = [line, file, f"/{file.removeprefix('./')}"]
    kinds = ("call", "signal", "library", "syscall", "fault")
    return About(dict.fromkeys(kinds, hit), dict.fromkeys(kinds, asked))


def life_bounds(call: Call) -> tuple[str, list[Any]]:
    """Return the condition for the calls that end the piece of *call*, of which the first does."""
    return "n > ? and pid = ? and pointer = ? and op <> 'malloc_usable_size'", [call.n, call.pid, call.result or None]


def life_of_piece(call: Call, ender: int | None, last: int | None) -> About:
    """Return what belongs to the life of a piece, `story.query.life_of`.

    *ender* is the n of the call that ended it, *last* that of the next thing that its thread did, None: there is none.
    """
    both = f"({call.n}, {ender if ender is not None else call.n})"
    until = f"n < {last}" if last is not None else "true"
    conditions = {
        "call": f"n in {both}", "syscall": f"cause in {both} and {until}",
        "fault": f"(cause in {both} or chunk.\"call\" = {call.n}) and {until}",
        "signal": f"fatal and tid = {call.tid}",
    }  # fmt: skip
    return About(conditions)
