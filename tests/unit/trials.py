"""Makers of trials: a program under an allocator, by the numbers that matter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from observer.model.footprint import Conduct, LightRun, Trial

MIB = 1 << 20


def conduct(**fields: Any) -> Conduct:
    """An allocator's conduct, by default 23 calls and 7 of its own system calls."""
    return Conduct(
        **{"calls": {"malloc": 23}, "syscalls": {"brk": 7, "mmap": 11}, "own_syscalls": {"brk": 7}, **fields}
    )


def light(seconds: float = 0.4, peak: int = 10 * MIB, status: str = "exit 0") -> LightRun:
    """A light run."""
    return LightRun(331, peak, peak - 4096, 3 * peak, 4 * peak, seconds, seconds * 0.9, 1, status)


def trial(
    allocator: str = "glibc", times: Sequence[float] = (0.40, 0.41, 0.42, 0.41, 0.40), peak: int = 10 * MIB,
    status: str = "exit 0", **fields: Any,
) -> Trial:  # fmt: skip
    """An allocator's trial, one light run for each of *times*."""
    runs = tuple(light(seconds, peak, status) for seconds in times)
    values = {"version": "2.36", "version_from": "the banner", "conduct": conduct(), "verdict": "COMPLETE", **fields}
    return Trial(allocator=allocator, status=status, runs=runs, **values)
