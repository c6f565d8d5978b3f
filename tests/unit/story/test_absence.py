"""Why a source line has no events."""

from __future__ import annotations

import pytest

from observer.errors import NothingFound
from observer.model.events import Event
from observer.story.absence import nothing_at_line
from tests.builders import HEAP, call, fault, site

EVENTS: list[Event] = [
    call(11, site=site(23, "/home/ada/list.c")),
    fault(1013, HEAP + 3 * 4096, site=site(29, "/home/ada/list.c")),
    call(17, site=site(41, "/home/ada/list.c")),
    call(19, site=site(7, "/home/ada/table.c")),
    call(23, site=None),
]


def said(file: str, line: int, events: list[Event] = EVENTS) -> NothingFound:
    error = nothing_at_line(events, file, line)
    assert error.exit_status == 1
    return error


def test_a_line_that_did_nothing_names_its_neighbours() -> None:
    error = said("list.c", 25)
    assert error.what == "nothing is told at list.c:25"
    assert error.why == (
        "it was not reached, or called no allocator, made no system call of those recorded and touched no new page"
    )
    assert error.remedy == "--line list.c:23 or list.c:29"


def test_a_line_behind_a_page_fault_names_the_page_that_is_resident() -> None:
    assert said("list.c", 31).why.endswith(": page 3 of the heap, say, is resident since event 1,013, at line 29")


@pytest.mark.parametrize(("line", "near"), [(1, "list.c:23"), (99, "list.c:41")])
def test_before_the_first_and_behind_the_last_there_is_one_neighbour(line: int, near: str) -> None:
    assert said("list.c", line).remedy == f"--line {near}"


@pytest.mark.parametrize("name", ["lits.c", "./List.c", "/home/eve/lists.c", "src/list.c"])
def test_a_name_that_is_nearly_one_is_guessed(name: str) -> None:
    error = said(name, 23)
    assert error.why == f"no event of this trace is in a file {name}"
    assert error.remedy == "--line list.c:23"


def test_a_name_like_none_gets_the_names_that_there_are() -> None:
    assert said("zoo.rs", 3).remedy == "--line with a line of list.c or table.c"


def test_code_without_lines_is_said_to_have_none() -> None:
    error = said("list.c", 23, [call(1, site=None), call(2, site=site(None, None))])
    assert (error.why, error.remedy) == ("no code in this trace has line numbers", "compile the program with -g")


def test_a_line_whose_events_the_other_options_leave_out_is_said_to_have_some() -> None:
    assert said("list.c", 41).why == "it has events, but none that the other options choose"


def test_where_faults_were_only_counted_nothing_is_said_of_pages() -> None:
    why = nothing_at_line(EVENTS, "list.c", 31, sees_faults=False).why
    assert (why.startswith("page faults were only counted"), "resident" in why) == (True, False)
