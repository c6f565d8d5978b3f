"""Work that is done aside, by a thread if one can be had."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["done_aside"]

Result = TypeVar("Result")


def done_aside(threads: ThreadPoolExecutor, work: Callable[[], Result]) -> Future[Result]:
    """Have one of *threads* do some *work*; where none can be had it is done at once."""
    try:
        return threads.submit(work)
    except RuntimeError:
        done = Future[Result]()
        done.set_result(work())
        return done
