"""The line that says how far a run has come: on a terminal, of a long run, and gone in the end."""

from __future__ import annotations

import io
import os
import pty
import termios
import tty
from collections.abc import Iterator
from typing import Any

import pytest

from observer.cli import progress
from observer.cli.progress import Progress


class Clock:
    """Stands for the module `time`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Terminal:
    """A terminal's two ends: what is written on `stream` is `shown`."""

    def __init__(self) -> None:
        self._shown, self._fd = pty.openpty()
        self.stream = os.fdopen(os.dup(self._fd), "w")
        self._held = b""

    def shown(self) -> str:
        os.write(self._fd, b"#")  # what was written comes out of a terminal's other end a little later, in order
        while not self._held.endswith(b"#"):
            self._held += os.read(self._shown, 1 << 16)
        self._held = self._held.removesuffix(b"#")
        return self._held.decode()

    def draw(self) -> None:
        """Have a program that draws on it take it over."""
        tty.setraw(self._fd, termios.TCSANOW)

    def close(self) -> None:
        self.stream.close()
        os.close(self._fd)
        os.close(self._shown)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(progress, "time", made)
    return made


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal()
    yield made
    made.close()


def parts(*lengths: int) -> Iterator[Any]:
    return (range(length) for length in lengths)


def test_a_long_run_is_told_of_twice_a_second(clock: Clock, terminal: Terminal) -> None:
    line = Progress(terminal.stream, "en")
    for eighth in range(25):
        clock.now = 1000 + eighth / 8
        line.recording(1000 * eighth, eighth << 20)
    assert terminal.shown() == "".join(
        f"\r\x1b[Kobserver: recording for {seconds} s, {events} events (8,000/s), {size} MiB"
        for seconds, events, size in ((2, "16,000", 16), (2, "20,000", 20), (3, "24,000", 24))
    )


def test_a_short_run_is_not_told_of(clock: Clock, terminal: Terminal) -> None:
    line = Progress(terminal.stream, "en")
    clock.now += 1.9
    line.recording(1, 1)
    with line.finishing():
        assert len(list(line.listen(parts(3, 5), None, None, {}))) == 2  # type: ignore[arg-type]
    assert terminal.shown() == ""


def test_finishing_says_what_is_done_and_leaves_nothing_behind(clock: Clock, terminal: Terminal) -> None:
    line = Progress(terminal.stream, "ko")
    with line.finishing():
        for part in line.listen(parts(1000, 500), None, None, {}):  # type: ignore[arg-type]
            clock.now += 1
            assert len(part) in (1000, 500)
    assert terminal.shown().split("\r\x1b[K") == [
        "", "observer: 본 것에 이름을 붙이는 중, 사건 1,500개(초당 1,500개)", "observer: 대조표를 맞추는 중", "",
    ]  # fmt: skip


def test_where_there_is_no_terminal_nothing_is_ever_written(clock: Clock) -> None:
    stream = io.StringIO()
    line = Progress(stream, "en")
    clock.now += 60
    line.recording(10_000, 10_000)
    with line.finishing():
        for _part in line.listen(parts(1000, 500), None, None, {}):  # type: ignore[arg-type]
            clock.now += 60
    assert stream.getvalue() == ""


def test_a_terminal_that_the_program_draws_on_is_left_alone(clock: Clock, terminal: Terminal) -> None:
    terminal.draw()
    line = Progress(terminal.stream, "en")
    clock.now += 60
    line.recording(10_000, 10_000)
    assert terminal.shown() == ""


def test_a_terminal_that_was_hung_up_ends_the_line_not_the_run(clock: Clock, terminal: Terminal) -> None:
    class HungUp:
        def isatty(self) -> bool:
            return True

        def fileno(self) -> int:
            return terminal.stream.fileno()

        def write(self, text: str) -> None:
            raise OSError(5, "Input/output error")

    line = Progress(HungUp(), "en")  # type: ignore[arg-type]
    for _ in range(3):
        clock.now += 60
        line.recording(10_000, 10_000)
