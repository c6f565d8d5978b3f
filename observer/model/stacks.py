"""Who called whom, as far as it was kept with an allocator call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from observer.model.events import Site

__all__ = ["CallStack", "alike"]


class CallStack(NamedTuple):
    """The `callers` of a call, the innermost first.

    `is_whole` says that the last of them was called by nobody; else there were others, which were not kept.
    """

    callers: tuple[Site, ...]
    is_whole: bool


def alike(stacks: Mapping[int, CallStack]) -> dict[int, int]:
    """Return for the number of each of *stacks* that of the first whose callers bear the same names, on the same lines.

    They are one for their reader: a loop that a compiler unrolled calls from several places.
    """
    first: dict[tuple[object, ...], int] = {}
    return {
        number: first.setdefault((stack.is_whole, *((site.function, site.text) for site in stack.callers)), number)
        for number, stack in stacks.items()
    }
