"""Who called whom, as far as it was kept with an allocator call."""

from __future__ import annotations

from typing import NamedTuple

from observer.model.events import Site

__all__ = ["CallStack"]


class CallStack(NamedTuple):
    """The `callers` of a call, the innermost first.

    `is_whole` says that the last of them was called by nobody; else there were others, which were not kept.
    """

    callers: tuple[Site, ...]
    is_whole: bool
