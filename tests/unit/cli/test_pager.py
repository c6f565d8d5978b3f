"""Long output goes through the user's pager on a terminal, and nowhere else."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Iterator
from typing import TextIO

import pytest

from observer.cli.pager import paged
from observer.report.screen import make_console, put


@pytest.fixture
def terminal() -> Iterator[tuple[TextIO, int]]:
    """A terminal to write to, and the other end of it."""
    other, own = os.openpty()
    with os.fdopen(own, "w") as stream:
        yield stream, other
    os.close(other)


def seen(other: int, until: bytes) -> bytes:
    found = b""
    while until not in found:
        found += os.read(other, 4096)
    return found


@pytest.mark.timeout(20)
def test_on_a_terminal_the_pager_shows_it(terminal: tuple[TextIO, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGER", "sed s/^/paged:/")
    stream, other = terminal
    with paged(stream) as out:
        put(make_console(out, shown_on=stream), "seven pieces", style="bold")
        put(make_console(out, shown_on=stream), "the end")
    text = seen(other, b"the end")
    assert text.count(b"paged:") == 2
    assert b"\x1b[1mseven pieces" in text


@pytest.mark.timeout(20)
@pytest.mark.parametrize("pager", ["", "cat", "there-is-no-such-pager", "less '"])
def test_without_a_pager_it_is_written(
    pager: str, terminal: tuple[TextIO, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAGER", pager)
    with paged(terminal[0]) as out:
        assert out is terminal[0]


def test_a_file_is_never_paged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGER", "false")
    stream = io.StringIO()
    with paged(stream) as out:
        assert out is stream


@pytest.mark.timeout(20)
def test_a_pager_that_is_left_early_ends_nothing_else(
    terminal: tuple[TextIO, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAGER", "true")
    before = signal.getsignal(signal.SIGINT)
    with paged(terminal[0]) as out:
        for _ in range(20_000):
            out.write("a line that nobody reads any more\n")
    assert signal.getsignal(signal.SIGINT) == before


@pytest.mark.timeout(20)
def test_an_error_on_the_way_still_ends_the_pager(
    terminal: tuple[TextIO, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAGER", "sed s/^/paged:/")
    with pytest.raises(ValueError, match="in the midst"):
        written_until_it_fails(terminal[0])
    assert b"paged:the end" in seen(terminal[1], b"the end")


def written_until_it_fails(stream: TextIO) -> None:
    with paged(stream) as out:
        out.write("the end\n")
        raise ValueError("in the midst")
