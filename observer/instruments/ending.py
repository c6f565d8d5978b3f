"""When a recording ends before its program does, and why: so many events, a disk that fills up, a place reached."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from observer.recording.room import Room
from observer.recording.sink import Sink

__all__ = ["Ending"]

_MANY: Final = 1 << 13
"""After so many records more the disk is looked at, however soon that is: fewer than are stored at once."""


class Ending:
    """Says when it is time. `why` is empty before; `stops` says that the program is to be ended, too.

    *most* events are recorded, *last* events are those after which the program is ended; *sampled* tells how many page
    faults there were by now, *bulk* how many bytes were written beside *sink*.
    """

    def __init__(
        self, sink: Sink, room: Room, *, most: int | None, last: int | None, sampled: Callable[[], int],
        bulk: Callable[[], int],
    ) -> None:  # fmt: skip
        self._sink = sink
        self._room = room
        self._limits = sorted(
            [(count, False) for count in [most] if count] + [(count, True) for count in [last] if count]
        )
        self._sampled = sampled
        self._bulk = bulk
        self._faults = 0
        self._next = _MANY
        self.why = ""
        self.stops = False

    def ask(self, why: str) -> None:
        """Have the recording end, for this reason; the first one counts."""
        self.why = self.why or why

    def is_due(self) -> bool:
        """Whether it is time: asked at every stop."""
        recorded = self._sink.recorded
        if self._limits and recorded + self._faults >= self._limits[0][0]:
            self._reached()
        if recorded >= self._next:
            self._next = recorded + _MANY
            self._look_at_disk()
        return bool(self.why)

    def _reached(self) -> None:
        (count, stops), *_more = self._limits
        if not self.why:
            self.stops = stops
        self.ask(f"{'--stop-after' if stops else '--max-events'} {count}")

    def _look_at_disk(self) -> None:
        error = self._sink.error()
        if error is not None:
            self.ask(f"nothing more can be stored: {error.strerror}")
        elif self._room.is_short(self.so_far[1]):
            self.ask(f"the disk is nearly full: {self._room.free >> 20} MiB are free")

    @property
    def so_far(self) -> tuple[int, int]:
        """How many events there are, and how many bytes were written."""
        return self._sink.recorded + self._faults, self._sink.written + self._bulk()

    def look(self) -> bool:
        """Look at what no stop tells, regularly and from any thread; return whether it is time."""
        self._faults = self._sampled() or self._faults
        self._look_at_disk()
        return bool(self.why) or self.is_due()
