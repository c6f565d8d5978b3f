"""Which rows of the tables a question is about, so that a large trace need not be read for one event or one line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from observer.model.events import Call, Signal
from observer.model.operations import ALLOCATING, FREEING, RESIZING
from observer.trace.schema import COLUMNS

__all__ = [
    "AMONG", "LAST_OF_ENDED", "REFUSED", "TELLING", "About", "about_line", "calls_near", "ender_of", "giver_of",
    "lives_of", "numbered",
]  # fmt: skip

_FOR_BREAKS = {"syscall": "name = 'brk'", "process": "true"}
"""What moves the break, and who has which: told of, whatever else is asked."""
_NAME_OF_SITE = (
    "case when site.function is not null then site.function || coalesce(' (' || site.module || ')', '') "
    "else site.module || '+' || printf('0x%x', site.\"offset\") end"
)
"""`Site.text` of a place that has no line."""
_NEAR: Final = 4096
"""Bytes behind a piece in which a crash may have to do with it."""
_ASKED: Final = "cast(coalesce(size, 0) as hugeint) * coalesce(count, 1)"
REFUSED: Final = f"op in ({', '.join(repr(op) for op in sorted(ALLOCATING))}) and result = 0 and {_ASKED} > 0"
"""Of an allocation that returned NULL."""
AMONG: Final = "n in (select unnest(cast(? as bigint[])))"
"""Of what has one of the numbers in a list."""


_INSIDE: Final = "select cause from read_parquet({}) where cause is not null"
TELLING: Final = " union ".join(
    f"select n from read_parquet($1) where {condition}"
    for condition in (
        "misuse is not null", "end_ns is null", REFUSED,
        f"n in ({_INSIDE.format('$2')} union all {_INSIDE.format('$3')})",
    )
)  # fmt: skip
"""The query for calls of which an event is needed, however many calls there are: in which something happened that the
tables $2 and $3 tell, of system calls and page faults, that broke a rule, were refused or never returned. Each is asked
for alone: then DuckDB passes by the row groups in which there are none."""
LAST_OF_ENDED: Final = """
    select ended.n, max(called.n) from read_parquet($1) called join read_parquet($2) ended
    on called.tid = ended.tid and called.n < ended.n where ended.fatal group by ended.n"""
"""That for the last call of each thread that a signal of the table $2 ended, by that signal."""


@dataclass(frozen=True, slots=True)
class About:
    """Conditions in SQL by kind of event, with their parameters; of kinds that are not named there are no rows.

    `has_lists`: what is chosen by lists of numbers comes in no order.
    """

    conditions: dict[str, str]
    parameters: dict[str, list[Any]] = field(default_factory=dict)
    has_lists: bool = False

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


def calls_near(crash: Signal, calls: str) -> tuple[str, list[Any]]:
    """Return the condition for the calls that gave or took pieces at or before the address of a *crash*.

    Args:
        crash: a signal with an address.
        calls: the path of the table of calls.
    """
    assert crash.address is not None
    before = f"pid = {crash.pid} and n < {crash.n}"
    near = f"""select result from read_parquet(?) where {before} and result > 0 and result <= {crash.address}
        and {crash.address} - result < {_ASKED} + {_NEAR}"""
    return f"{before} and (result in ({near}) or pointer in ({near}))", [calls, calls]


def numbered(numbers: Sequence[int]) -> About:
    """Return the calls with these *numbers*, and everything that is no call."""
    kinds = {**dict.fromkeys(COLUMNS, "true"), "call": AMONG}
    return About(kinds, {"call": [list(numbers)]}, has_lists=True)


def lives_of(calls: Sequence[Call]) -> About:
    """Return what belongs to the life of the piece that *calls* made, moved and freed, `story.query.life_of`."""
    numbers = f"({', '.join(str(call.n) for call in calls)})"
    tids = ", ".join(str(call.tid) for call in calls if call.end_ns is None)
    return About({
        "call": f"n in {numbers}", "syscall": f"cause in {numbers}",
        "fault": f'cause in {numbers} or chunk."call" in {numbers}',
        "signal": f"fatal and tid in ({tids})" if tids else "false",
    })  # fmt: skip
