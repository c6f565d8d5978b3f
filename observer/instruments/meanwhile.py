"""What is done on a thread of its own while the program runs and the tracing thread waits for its stops."""

from __future__ import annotations

from collections.abc import Callable

from observer.instruments.ending import Ending
from observer.tracee.engine import Engine
from observer.tracee.inline.recorder import InlineRecorder
from observer.tracee.waiting import summon

__all__ = ["Meanwhile"]


class Meanwhile:
    """Takes what programs recorded, at leisure and when a half is full, and sees to what no stop tells.

    *told* takes how many events and bytes there are by now.
    """

    def __init__(
        self, engine: Engine, inline: InlineRecorder | None, ending: Ending, told: Callable[[int, int], None]
    ) -> None:  # fmt: skip
        self._engine = engine
        self._inline = inline
        self._ending = ending
        self._told = told

    def pace(self, seconds: float) -> None:
        """Called now and then, so many *seconds* after the last time."""
        self._engine.pace(seconds)
        if self._inline is not None:
            with self._engine.handling:
                self._inline.pace()
        self._look()
        self._told(*self._ending.so_far)

    def filled(self) -> None:
        """Called when a program has filled a half of a block."""
        if self._inline is not None:
            with self._engine.handling:
                self._inline.flush()
            if self._ending.is_due():
                self._look()

    def _look(self) -> None:
        if self._ending.look():
            for tid in self._engine.known()[:1]:
                summon(tid)
