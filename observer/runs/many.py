"""The calls of a part as columns for the story, which makes no event of each."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from observer.model.events import is_glibc
from observer.model.operations import FAMILY
from observer.story.many_calls import FREES, Alike, ManyCalls, kind_of
from observer.trace.columns import Words, objects
from observer.trace.part import Part
from observer.trace.values import calls_of

__all__ = ["many_calls"]

Integers = npt.NDArray[np.int64]


def many_calls(part: Part, unfinished: frozenset[int]) -> ManyCalls | None:
    """Return the calls of *part* as columns, None where they have to be told one by one.

    That is so where some did not return, or the thread of one that did not (*unfinished*) went on.
    """
    numbers, coded, words = part.calls.numbers, part.calls.coded, part.sites.words
    if not part.calls.length or not numbers["returned"].all():
        return None
    if unfinished and np.isin(numbers["tid"], list(unfinished)).any():
        return None
    kinds, asked = _kinds(coded["op"], words), _asked(numbers)
    results = np.where(numbers["has_result"] == 1, numbers["result"], np.uint64(0))
    rows = _telling(part, (kinds != 0) & (kinds != FREES) & (results == 0))
    from_caches = coded["served_by"] == words.number("tcache")
    return ManyCalls(
        n=numbers["n"].tolist(), pids=numbers["pid"].tolist(), kinds=kinds.tolist(),
        pointers=np.where(numbers["has_pointer"] == 1, numbers["pointer"], np.uint64(0)).tolist(),
        results=results.tolist(), asked=asked, sites=objects([None, *part.sites.sites])[numbers["site"]].tolist(),
        wastes=words.are(coded["allocator"], is_glibc).tolist(), alike=_alike(coded, words),
        tasks=_tasks(numbers["pid"], numbers["tid"]), from_caches=numbers["n"][from_caches].tolist(),
        telling=dict(zip(rows.tolist(), calls_of(part, rows), strict=True)),
    )  # fmt: skip


def _kinds(ops: npt.NDArray[Any], words: Words) -> npt.NDArray[np.int8]:
    known = np.zeros(int(ops.max()) + 1, dtype=np.int8)
    for operation in FAMILY:
        number = words.number(operation.name)
        if number < len(known):
            known[number] = kind_of(operation.name)
    kinds: npt.NDArray[np.int8] = known[ops]
    return kinds


def _asked(numbers: dict[str, npt.NDArray[Any]]) -> list[int]:
    """Return the bytes that each call asked for in all, which may be more than 64 bits hold."""
    sizes: list[int] = np.where(numbers["has_size"] == 1, numbers["size"], np.uint64(0)).tolist()
    if not numbers["has_count"].any():
        return sizes
    counts = np.where(numbers["has_count"] == 1, numbers["count"], np.uint64(1)).tolist()
    return [size * count for size, count in zip(sizes, counts, strict=True)]


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
