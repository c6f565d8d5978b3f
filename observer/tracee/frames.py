"""Calls of watched functions that have begun, and how they may end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from observer.tracee.breakpoints import Breakpoint

__all__ = ["CUT", "Frame", "Interruption"]

CUT: Final = 0
"""How a call ends whose task ended, or its address space did; the other ways are flags of its record."""


class Frame:
    """A call that was entered at `point` and has not returned: *sp* is where its return address stands.

    `tid` is the thread that entered it, `first`, `second` and `third` are its arguments, `inner` counts the calls that
    are part of it, `ends_in_another` says that it was seen to end by jumping to one of the functions in the point's
    `tails`, which then returns in its place. `trap` is the place that its return address was exchanged for, 0 where the
    stack is as the program made it. `counter` is the processor's when it began, where the program has recorded that, 0
    elsewhere; `began` is close to it then. `site` is the code that called, and `stack` the number of the piece of stack
    that was kept, where a listener looks for them. `is_counted` ends with the call; it is False from the beginning for
    the copies that a forked child finds on its stack.
    """

    __slots__ = (
        "began", "counter", "ends_in_another", "first", "inner", "is_counted", "point", "return_address", "second",
        "site", "sp", "stack", "third", "tid", "trap",
    )  # fmt: skip

    def __init__(self, point: Breakpoint, tid: int, sp: int, return_address: int, began: int) -> None:
        self.point = point
        self.tid = tid
        self.sp = sp
        self.return_address = return_address
        self.began = began
        self.counter = 0
        self.first = self.second = self.third = 0
        self.inner = 0
        self.ends_in_another = False
        self.is_counted = True
        self.site = 0
        self.stack = 0
        self.trap = 0

    def ghost(self, tid: int) -> Frame:
        """Return the copy that the forked child *tid* finds on its stack: to be returned from, not to be counted."""
        copy = Frame(self.point, tid, self.sp, self.return_address, self.began)
        copy.is_counted = False
        copy.first, copy.second, copy.third = self.first, self.second, self.third
        copy.site, copy.stack, copy.trap, copy.counter = self.site, self.stack, self.trap, self.counter
        copy.ends_in_another = self.ends_in_another
        return copy


@dataclass(slots=True, frozen=True)
class Interruption:
    """A signal handler that runs: the stack pointer at which the signal came, when, how many calls were open, whose."""

    sp: int
    began: int
    frames: int
    listener: int
