"""Pictures of a run, as files that other programs read."""

from __future__ import annotations

import argparse
import errno
import os
import struct
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from observer.cli import plot
from observer.errors import ObserverError, UsageError
from observer.report.plot import picture
from observer.story.curves import curve
from tests.builders import PAGE, story_run
from tests.unit.cli.test_show import StoryTrace

HOSTILE = "<script>alert(1)</script>\x1b[31m&]]>"


def test_a_png_is_one_by_its_first_bytes_and_its_size() -> None:
    drawn = picture(curve(story_run(), PAGE), "story", "png")
    assert drawn[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", drawn[16:24])
    assert width > 1000
    assert height > 500


@pytest.mark.parametrize("over_time", [False, True])
def test_an_svg_holds_the_curves_and_the_title_as_text(over_time: bool) -> None:
    drawn = picture(curve(story_run(), PAGE), HOSTILE, "svg", over_time=over_time)
    root = ElementTree.fromstring(drawn)
    texts = {element.text for element in root.iter() if element.text}
    assert {"asked for", "mapped (brk, mmap)", "resident (page frames)", "MiB"} <= texts
    assert not [element for element in root.iter() if element.tag.endswith("script")]
    assert b"\x1b" not in drawn


def test_a_run_without_memory_is_an_empty_picture() -> None:
    assert ElementTree.fromstring(picture([], "nothing", "svg")).tag.endswith("svg")


def test_what_draws_is_named_by_what_installs_it_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "altair", None)
    with pytest.raises(UsageError) as raised:
        picture(curve(story_run(), PAGE), "story", "svg")
    assert f"{sys.executable} -m pip install altair vl-convert-python" in str(raised.value)


def drawn_to(path: Path, *words: str) -> int:
    parser = argparse.ArgumentParser()
    plot.configure(parser)
    return plot.run(parser.parse_args(["story.trace", "-o", str(path), *words]))


def test_the_verb_writes_the_file_and_refuses_what_it_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("observer.trace.reader.Trace", StoryTrace)
    assert drawn_to(tmp_path / "story.svg", "--title", "seventeen blocks") == 0
    assert b"seventeen blocks" in (tmp_path / "story.svg").read_bytes()
    with pytest.raises(UsageError, match="the name tells the format"):
        drawn_to(tmp_path / "story.pdf")
    with pytest.raises(ObserverError, match="cannot write"):
        drawn_to(tmp_path / "nowhere" / "story.svg")


def test_what_draws_and_panics_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class PanicException(BaseException):
        pass

    def panic(specification: str) -> str:
        raise PanicException(f"failed to spawn thread: {os.strerror(errno.EAGAIN)}")

    monkeypatch.setattr("vl_convert.vegalite_to_svg", panic)
    with pytest.raises(ObserverError, match="failed to spawn thread") as caught:
        picture([], "./story", "svg")
    assert caught.value.remedy == "ulimit -u with a larger number"
