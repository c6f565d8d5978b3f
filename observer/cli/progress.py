"""One line on a terminal that says how far a long run has come, and what is being done of it afterwards.

Nothing is written where stderr is no terminal, nothing before a run is long, and nothing while the program has the
terminal for itself (an editor, a prompt that reads single keys).
"""

from __future__ import annotations

import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from observer.model.machine import Machine, Request
    from observer.story.language import Language
    from observer.trace.part import Part

__all__ = ["Progress"]

_LONG: Final = 2.0
"""Seconds after which a run is long."""
_OFTEN: Final = 0.5
_ERASED: Final = "\r\x1b[K"
_LOCAL_FLAGS: Final = 3
"""The place of a terminal's local flags (termios(3))."""


class Progress:
    """Writes on *stream*, if it is a terminal, in the language that *lang* names; told by any thread, one at a time."""

    def __init__(self, stream: TextIO, lang: str) -> None:
        self._stream = stream
        self._lang = lang
        self._is_terminal = stream.isatty()
        self._began = self._at = time.monotonic()
        self._events = 0
        self._is_shown = False

    def recording(self, events: int, size: int) -> None:
        """So many *events* are recorded by now, in *size* bytes."""
        now = time.monotonic()
        if not self._is_due(now, _LONG) or not _has_lines(self._stream):
            return
        rate = int((events - self._events) / (now - self._at))
        self._events = events
        seconds = int(now - self._began)
        self._show(
            now, "progress_recording", seconds, f"{events:,}", f"{max(rate, 0):,}", self._language().size(size)
        )  # fmt: skip

    def _is_due(self, now: float, least: float) -> bool:
        return self._is_terminal and now - self._began >= least and now - self._at >= _OFTEN

    def _show(self, now: float, phrase: str, *values: object) -> None:
        self._at, self._is_shown = now, True
        self._write(f"{_ERASED}{self._language().say(phrase, *values)}")

    def _language(self) -> Language:
        from observer.story.language import LANGUAGES  # hardly any run is long: the others start without it

        return LANGUAGES[self._lang]

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:
            self._is_terminal = False  # it was hung up: nobody is there to be told

    def _erase(self) -> None:
        if self._is_shown:
            self._is_shown = False
            self._write(_ERASED)

    @contextmanager
    def finishing(self) -> Iterator[None]:
        """The program has ended; inside, its records are made into a trace."""
        self._erase()
        self._events = 0
        self._began = self._at = time.monotonic()
        try:
            yield
        finally:
            self._erase()

    def listen(
        self, parts: Iterator[Part], machine: Machine, request: Request, how: dict[str, str]
    ) -> Iterator[Part]:  # fmt: skip
        """Yield all *parts* while saying how many events they hold; then say that the rest is done."""
        for part in parts:
            self._events += len(part)
            now = time.monotonic()
            if self._is_due(now, 0):
                rate = int(self._events / max(now - self._began, 1e-9))
                self._show(now, "progress_naming", f"{self._events:,}", f"{rate:,}")
            yield part
        now = time.monotonic()
        if self._is_shown:
            self._show(now, "progress_balancing")


def _has_lines(stream: TextIO) -> bool:
    """Whether the terminal takes lines, as nobody has it who draws on it, or reads single keys."""
    try:
        return bool(termios.tcgetattr(stream.fileno())[_LOCAL_FLAGS] & termios.ICANON)
    except (termios.error, OSError):
        return False
