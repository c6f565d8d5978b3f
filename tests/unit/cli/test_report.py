"""observer report: where the page is written, and what is never replaced."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from observer.cli import report
from observer.errors import ObserverError
from observer.model.events import Event
from observer.model.machine import Outcome
from observer.model.stacks import CallStack
from observer.report.page.page import MARKER
from tests.builders import held, meta, story_run


class StoryTrace:
    """Stands where a trace on disk would."""

    meta = meta(outcome=Outcome(0, None, "exit", len(story_run()), 0.062))

    @classmethod
    def open(cls, _path: Path, _listeners: object) -> StoryTrace:
        return cls()

    def stacks(self) -> dict[int, CallStack]:
        return {}

    def events(self, kinds: frozenset[str] | None = None) -> Iterator[Event]:
        return iter(held(story_run())(kinds))


@pytest.fixture(autouse=True)
def _trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("observer.trace.reader.Trace", StoryTrace)


def write(*words: str) -> int:
    parser = argparse.ArgumentParser(prog="observer report")
    report.configure(parser)
    return report.run(parser.parse_args(["story.trace", *words]))


def test_a_page_is_written_and_an_older_one_replaced(tmp_path: Path) -> None:
    target = tmp_path / "story.html"
    assert write("-o", str(target)) == 0
    first = target.read_bytes()
    target.write_bytes(first[:1000])
    assert write("-o", str(target)) == 0
    assert target.read_bytes() == first
    assert [path.name for path in tmp_path.iterdir()] == ["story.html"]
    assert target.stat().st_mode & 0o777 == 0o644 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_what_is_no_page_is_left_alone_unless_forced(tmp_path: Path) -> None:
    target = tmp_path / "thesis.html"
    target.write_text("years of work")
    with pytest.raises(ObserverError, match="no page of the observer"):
        write("-o", str(target))
    assert target.read_text() == "years of work"
    assert write("-o", str(target), "--force") == 0
    assert MARKER in target.read_text(encoding="utf-8")


def test_no_link_is_followed(tmp_path: Path) -> None:
    victim, link = tmp_path / "victim", tmp_path / "story.html"
    victim.write_text(f"<!DOCTYPE html>\n{MARKER}")
    link.symlink_to(victim)
    with pytest.raises(ObserverError, match="cannot write") as raised:
        write("-o", str(link))
    assert raised.value.why == "it is a link, which is not followed"
    assert write("-o", str(link), "--force") == 0
    assert victim.read_text() == f"<!DOCTYPE html>\n{MARKER}"
    assert not link.is_symlink()


def test_a_fifo_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", ""):
        with pytest.raises(ObserverError, match="cannot write") as raised:
            write("-o", str(tmp_path / name))
        assert raised.value.why == "not a regular file"


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ObserverError, match="cannot write") as raised:
        write("-o", str(tmp_path / "gone" / "story.html"))
    assert raised.value.why == "No such file or directory"


def test_a_dash_is_standard_output(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    assert write("-o", "-") == 0
    assert capsysbinary.readouterr().out.endswith(b"</html>")
