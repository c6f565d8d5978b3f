"""The calls of a part as columns for the story, which makes no event of each."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from observer.model.call_columns import CallColumns
from observer.model.events import is_glibc
from observer.model.operations import FAMILY, FREES, kind_of
from observer.story.many_calls import Alike, ManyCalls
from observer.trace.columns import Words
from observer.trace.part import Part
from observer.trace.values import calls_of

__all__ = ["many_calls"]

Integers = npt.NDArray[np.int64]

_ENOUGH: Final = 64
"""Calls that are faster told together than one by one."""
_MOST: Final = np.uint64((1 << 64) - 1)


def many_calls(part: Part, unfinished: frozenset[int]) -> ManyCalls | None:
    """Return the calls of *part* as columns, None where they have to be told one by one.

    That is so where some did not return, or the thread of one that did not (*unfinished*) went on; and where processes
    come and go all the time.
    """
    numbers, coded, words = part.calls.numbers, part.calls.coded, part.sites.words
    ends = len(part.processes) + len(part.signals)
    if not part.calls.length or part.calls.length < _ENOUGH * ends or not numbers["returned"].all():
        return None
    if unfinished and np.isin(numbers["tid"], list(unfinished)).any():
        return None
    sizes = np.where(numbers["has_size"] == 1, numbers["size"], np.uint64(0))
    if numbers["has_count"].any():
        counts = np.where(numbers["has_count"] == 1, numbers["count"], np.uint64(1))
        if (sizes > _MOST // np.maximum(counts, np.uint64(1))).any():
            return None
        sizes = sizes * counts
    kinds = _kinds(coded["op"], words)
    results = np.where(numbers["has_result"] == 1, numbers["result"], np.uint64(0))
    columns = CallColumns(
        n=numbers["n"], t_ns=numbers["t_ns"], end_ns=numbers["end_ns"], pid=numbers["pid"], kind=kinds,
        pointer=np.where(numbers["has_pointer"] == 1, numbers["pointer"], np.uint64(0)), result=results, asked=sizes,
        place=numbers["site"], wastes=words.are(coded["allocator"], is_glibc), own=words.are(coded["origin"], _is_own),
    )  # fmt: skip
    from_caches = coded["served_by"] == words.number("tcache")
    return ManyCalls(
        columns=columns, sites=(None, *part.sites.sites), alike=_alike(coded, words),
        tasks=_tasks(numbers["pid"], numbers["tid"]), from_caches=numbers["n"][from_caches].tolist(),
        telling=calls_of(part, _telling(part, (kinds != 0) & (kinds != FREES) & (results == 0))),
    )  # fmt: skip


def _kinds(ops: npt.NDArray[Any], words: Words) -> npt.NDArray[np.int8]:
    known = np.zeros(int(ops.max()) + 1, dtype=np.int8)
    for operation in FAMILY:
        number = words.number(operation.name)
        if number < len(known):
            known[number] = kind_of(operation.name)
    kinds: npt.NDArray[np.int8] = known[ops]
    return kinds


def _is_own(origin: str | None) -> bool:
    return origin != "program"


def _telling(part: Part, refused: npt.NDArray[np.bool_]) -> Integers:
    """Return the rows of calls that others lie in, or may still, that may have been refused, and of misuses."""
    n = part.calls.numbers["n"]
    causes = np.concatenate([part.syscalls.numbers.get("cause", n[:0]), part.faults.numbers.get("cause", n[:0])])
    causes = np.unique(causes[causes >= n[0]])
    odd = np.flatnonzero(refused | (part.calls.coded["misuse"] != 0))
    open_rows = np.array(part.open_rows, dtype=np.int64)
    return np.unique(np.concatenate([np.searchsorted(n, causes), odd, open_rows]))


def _alike(coded: dict[str, npt.NDArray[Any]], words: Words) -> list[Alike]:
    keys = coded["op"].astype(np.int64) << 32 | coded["steps"]
    kinds, firsts, counts = np.unique(keys, return_index=True, return_counts=True)
    found = []
    for i in np.argsort(firsts).tolist():
        op, steps = int(kinds[i]) >> 32, int(kinds[i]) & 0xFFFF_FFFF
        found.append(Alike(words.words[op] or "", words.words[steps], int(counts[i])))
    return found


def _tasks(pids: Integers, tids: Integers) -> set[tuple[int, int]]:
    tasks = np.unique(pids << 32 | tids).tolist()
    return {(task >> 32, task & 0xFFFF_FFFF) for task in tasks}
