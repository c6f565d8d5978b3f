"""What all calls of a trace came to, which DuckDB counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

from observer.model.call_columns import CallTotals, StepsTaken
from observer.trace.about import AMONG, REFUSED
from observer.trace.rows import site_of

__all__ = ["steps_of", "totals_of"]

_EVIDENCE: Final = 5
"""Events that a departure from the book is shown at."""
_KINDS: Final = """
    select op, steps, end_ns is null, pid, tid, count(*), min(n) from read_parquet(?) group by all order by min(n)"""


_STEPS: Final = """
    select min(n), any_value(site), op, steps, count(*) from read_parquet(?) group by hash(site), op, steps"""


def steps_of(query: Callable[..., Iterable[tuple[Any, ...]]]) -> Iterator[StepsTaken]:
    """Yield which steps calls took, of each slice of the table, for which *query* stands as for `totals_of`."""
    for first, site, *others in query(_STEPS):
        yield StepsTaken(first, site_of(site), *others)


def totals_of(query: Callable[..., Iterable[tuple[Any, ...]]], telling: Sequence[int]) -> CallTotals:
    """Return what all calls came to.

    Args:
        query: yields the rows that a query of the table of calls has, of each slice of it in their order; its
            parameters but for the table's path follow.
        telling: the numbers of the calls of which an event is needed.
    """
    alike, tasks = Counter[tuple[str, str | None, bool]](), set[tuple[int, int]]()
    for op, steps, unfinished, pid, tid, times, _first in query(_KINDS):
        alike[op, steps, unfinished] += times
        tasks.add((pid, tid))
    cached = f"from read_parquet(?) where served_by = 'tcache' and not {AMONG}"
    count = sum(times for (times,) in query(f"select count(*) {cached}", [telling]))
    first = [int(n) for (n,) in islice(query(f"select n {cached} order by n limit {_EVIDENCE}", [telling]), _EVIDENCE)]
    refused = sum(times for (times,) in query(f"select count(*) from read_parquet(?) where {REFUSED}"))
    return CallTotals([(*kind, times) for kind, times in alike.items()], frozenset(tasks), refused, count, first)
