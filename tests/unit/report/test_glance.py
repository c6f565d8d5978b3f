"""The last screen of a run: at most 24 lines, whatever there is to say."""

from __future__ import annotations

import os
import subprocess

import pytest
from rich.cells import cell_len

from observer.model.events import Event
from observer.model.ledger import balance
from observer.report.glance import print_glance
from observer.story.glance import Glance
from tests.builders import HEAP, call, lost, meta, site, story_run
from tests.unit.report.screens import screen


def glance(events: list[Event], columns: int = 80, *, directory: str = "story.trace", **fields: object) -> list[str]:
    taken = Glance()
    for event in events:
        taken.take(event)
    told = meta(**fields)  # type: ignore[arg-type]
    return screen(lambda console: print_glance(console, told, taken, directory), columns).splitlines()


@pytest.mark.parametrize("columns", [60, 80, 132])
def test_the_chapter_fits_on_a_screen(columns: int) -> None:
    lines = glance(story_run(), columns)
    assert len(lines) <= 23
    assert max(map(cell_len, lines)) <= columns


def test_it_says_where_the_memory_came_from() -> None:
    text = "\n".join(glance(story_run()))
    assert "7 brk, 1 mmap in mallocs" in text
    assert "161 frames by first touch" in text
    assert "story.c:53" in text


@pytest.mark.parametrize("columns", [60, 80])
def test_a_hundred_places_are_five_and_what_is_not_freed_three(columns: int) -> None:
    events: list[Event] = [call(n, size=101 + n, result=HEAP + n * 512, site=site(n)) for n in range(100)]
    lines = glance(events, columns)
    assert len(lines) <= 23
    assert [line for line in lines if "story.c:99" in line]
    assert any(line.startswith("  not freed: ") for line in lines)


def test_a_loss_and_a_ledger_that_does_not_balance_are_said() -> None:
    lines = glance([lost(0, count=3)], ledger=(balance("page faults", 331, 337, lost=3),))
    assert "  LOST          3 events" in lines
    assert any(line.strip() == "page faults: seen 331, expected 337, lost 3" for line in lines)


def test_a_line_that_is_proposed_can_be_typed_whatever_its_file_is_called() -> None:
    lines = glance([call(0, size=101, result=HEAP, site=site(7, file="a b>&c.c"))])
    assert any(line.split(" --line ")[-1].startswith("'a b>&c.c:7'") for line in lines if " --line " in line)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("two words.trace", "'two words.trace'"), ("-x.trace", "./-x.trace"), ("it's\n.trace", "$'it\\'s\\x0a.trace'"),
        ("\x1b[31m.trace", "$'\\x1b[31m.trace'"), ("\udcff.trace", "$'\\xff.trace'"),
    ],
)  # fmt: skip
def test_what_is_proposed_leads_to_the_trace_whatever_its_folder_is_called(name: str, shown: str) -> None:
    lines = glance(story_run(), directory=name)
    assert any(f"observer show {shown} --full" in line for line in lines)
    words = subprocess.run(["bash", "-c", f"printf %s {shown}"], capture_output=True, check=True).stdout
    assert os.path.normpath(words) == os.fsencode(name)


def test_a_number_stays_with_what_was_counted_and_further_lines_stand_below_the_words() -> None:
    ops = ("malloc",) * 218 + ("realloc",) * 3 + ("reallocarray",) * 2
    lines = glance([call(n, op, size=1, count=1, result=HEAP + n * 64) for n, op in enumerate(ops)])
    at = next(i for i, line in enumerate(lines) if line.startswith("  asked for"))
    assert lines[at].endswith("in 218 malloc, 3 realloc,")
    assert lines[at + 1] == " " * lines[at].index("in 218") + "2 reallocarray"


def test_where_no_line_is_known_it_says_what_would_name_them() -> None:
    bare = site(None, file=None)
    hint = "  asked for most  no lines are known: compile with -g"
    assert hint in glance([call(0, size=101, result=HEAP, site=bare)])
    assert "  asked for most" in glance([call(0, result=HEAP, site=bare), call(1, result=HEAP + 256, site=site(7))])


@pytest.mark.parametrize("columns", [60, 80])
def test_very_many_calls_do_not_run_into_what_they_asked_for(columns: int) -> None:
    taken = Glance()
    for event in story_run():
        taken.take(event)
    place = taken.places.top("bytes")[0]
    place.calls, place.asked = 50_000_000, 24 << 30
    shown = screen(lambda console: print_glance(console, meta(), taken, "story.trace"), columns).splitlines()
    [line] = [line for line in shown if "50,000,000" in line]
    assert line.split()[:4] == ["24", "GiB", "50,000,000", "×"]
    assert max(map(cell_len, shown)) <= columns
