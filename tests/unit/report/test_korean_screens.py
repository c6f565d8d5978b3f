"""The last screen and the story in Korean: wide letters in narrow columns, and no word left in English by chance."""

from __future__ import annotations

import re
from itertools import dropwhile

import pytest
from rich.cells import cell_len, set_cell_size
from syrupy.assertion import SnapshotAssertion

from observer.model.chunks import Chunk
from observer.model.events import Event, Misuse
from observer.model.ledger import balance
from observer.report.glance import print_glance
from observer.report.heap import print_heap
from observer.report.ledger import print_ledger
from observer.report.lists import print_counts, print_events, print_steps
from observer.report.places import print_leaks, print_top
from observer.report.profile import print_fragmentation, print_lifetimes, print_peak, print_sizes
from observer.report.screen import filled, left, right
from observer.report.source import Sources
from observer.report.space import print_space
from observer.report.terminal import tell, tell_events
from observer.story.breaks import Breaks
from observer.story.by_line import steps_by_line, steps_in
from observer.story.glance import Glance
from observer.story.language import ENGLISH, KOREAN, Language
from observer.story.moment import moment
from observer.story.profile import RANKS, ranked
from tests.builders import (
    HEAP,
    PID,
    call,
    fault,
    free,
    ledger,
    lost,
    meta,
    process,
    process_end,
    signal,
    site,
    story_run,
)
from tests.columned import used
from tests.unit.report.screens import ascii_screen, screen

KOREAN_LETTER = re.compile("[가-힣]")
COLUMN = 16
"""Where the facts of the last screen begin."""
NO_SOURCES = Sources(None)


def taken(events: list[Event]) -> Glance:
    glance = Glance()
    for event in events:
        glance.take(event)
    return glance


def glance(events: list[Event], columns: int = 80, language: Language = KOREAN, **fields: object) -> list[str]:
    told = meta(**fields)  # type: ignore[arg-type]
    seen = taken(events)
    return screen(lambda c: print_glance(c, told, seen, "story.trace", language=language), columns).splitlines()


def crashing() -> list[Event]:
    one = HEAP + 0x1000
    events: list[Event] = [call(0, size=101, result=one, site=site(3)), free(1, one, site=site(7))]
    events += [call(n, size=101 + n, result=HEAP + n * 512, site=site(n)) for n in range(4, 103)]
    return [*events, signal(103, address=one + 13, reason="nothing mapped", site=site(30))]


def damaged() -> list[Event]:
    one, rule = HEAP + 0x1000, Misuse("freed before", 0, "story.c:3", 1, "story.c:7")
    first, second, *rest = crashing()
    return [first, second, *(free(n, one, site=site(8), misuse=rule) for n in (2, 3)), *rest]


def threads() -> list[Event]:
    return [
        call(0),
        process(1, "clone", child=PID + 1),
        call(2, tid=PID + 1),
        process(3, "fork", child=77),
        free(4, HEAP, pid=77, tid=77),
        lost(5),
        process(6, "exit", status=0, pid=77, tid=77),
    ]


RUNS = {"story": story_run, "crashing": crashing, "threads": threads, "nothing": lambda: [lost(0)]}
TOO_MUCH = ("crashing", 60)
"""A crash, its piece and what was not freed are 25 lines of 60 columns, in English too."""


@pytest.mark.parametrize(
    ("run", "columns"), [(run, columns) for run in RUNS for columns in (60, 80, 132) if (run, columns) != TOO_MUCH]
)
def test_the_last_screen_fits(columns: int, run: str) -> None:
    lines = glance(RUNS[run](), columns)
    assert len(lines) <= 23
    assert max(map(cell_len, lines)) <= columns


@pytest.mark.parametrize(("run", "columns"), [("damaged", 60), ("damaged", 80), ("damaged", 132), ("crashing", 60)])
def test_where_there_is_too_much_to_say_it_takes_no_more_lines_than_in_english(run: str, columns: int) -> None:
    events = damaged() if run == "damaged" else crashing()
    lines = glance(events, columns)
    assert len([line for line in lines if line.startswith("  규칙 위반  ")]) == (2 if run == "damaged" else 0)
    assert len(lines) <= len(glance(events, columns, ENGLISH))
    assert max(map(cell_len, lines)) <= columns


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("columns", [60, 80])
def test_every_label_ends_before_the_facts_which_begin_in_one_column(columns: int, run: str) -> None:
    lists = (KOREAN.say("most_asked"), KOREAN.say("not_freed", "", "", "").split(":")[0])
    facts, in_list = 0, False
    title_goes_on = re.compile(r"  (스레드 )?\d")
    lines = dropwhile(title_goes_on.match, glance(RUNS[run](), columns)[1:])
    for line in lines:
        in_list = line.strip().startswith(lists) or (in_list and bool(re.match(r" {2,}[\d.]+(바이트| .iB) ", line)))
        if in_list:
            continue
        label = set_cell_size(line, COLUMN)
        assert line.startswith(label), line
        assert label.endswith("  ") or not label.strip(), line
        facts += 1
    assert facts > 3


def test_the_last_screen_is_in_korean(snapshot: SnapshotAssertion) -> None:
    text = "\n".join(glance(story_run()))
    assert "./story 0.062초 만에 상태 0으로 끝남: 사건 331개" in text
    assert text == snapshot


def test_the_screen_of_a_crash_is_in_korean(snapshot: SnapshotAssertion) -> None:
    assert "\n".join(glance(crashing())) == snapshot


def test_a_loss_and_a_ledger_that_does_not_balance_are_said() -> None:
    lines = glance([lost(0, count=3)], ledger=(balance("page faults", 331, 337, lost=3),))
    assert "  잃음          사건 3개" in lines
    assert any(line.strip() == "page faults: 관찰 331, 기대 337, 잃음 3" for line in lines)


def test_the_commands_for_more_tell_in_korean_too() -> None:
    assert any("observer show story.trace --full --lang ko " in line for line in glance(story_run()))
    events: list[Event] = [call(n, site=site(n + 1)) for n in range(100)]
    text = screen(lambda c: tell_events(c, events, rows=10, directory="a.trace", language=KOREAN))
    assert "    ... 90줄 더 있음: observer show a.trace --all --lang ko\n" in text


def test_the_story_is_told_in_korean(snapshot: SnapshotAssertion) -> None:
    text = screen(lambda c: tell(c, meta(), story_run(), directory="story.trace", language=KOREAN))
    assert max(map(cell_len, text.splitlines())) <= 80
    assert text == snapshot


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("columns", [60, 80])
def test_no_line_of_the_story_is_wider_than_the_terminal(columns: int, run: str) -> None:
    text = screen(lambda c: tell_events(c, RUNS[run](), language=KOREAN), columns)
    assert max(map(cell_len, text.splitlines())) <= columns


def test_tasks_and_loops_are_named_in_korean() -> None:
    titles = [line.split("  ")[0] for line in screen(lambda c: tell_events(c, threads(), language=KOREAN)).splitlines()]
    assert [title for title in titles if title] == [
        "story.c:28, main 안", "프로세스", "story.c:28, main 안, 스레드 2", "프로세스", "story.c:28, main 안, 자식 1",
        "소스 줄 없음", "자식 1",
    ]  # fmt: skip
    loop: list[Event] = [maker(2 * i + j) for i in range(9) for j, maker in enumerate((call, fault))]
    assert screen(lambda c: tell_events(c, loop, language=KOREAN)).splitlines() == [
        "반복 story.c:28, story.c:29                                               0.0 µs",
        "      0 1-5              │ 9 × malloc(100): 900바이트 (story.c:28)",
        "      1 6         3→0→3  │ 페이지 폴트 9번: 프로그램이 힙 영역의 1번 페이지에",
        "                         │   쓴다 (story.c:29)",
    ]


def heap_of(events: list[Event], columns: int = 80, language: Language = KOREAN) -> str:
    chunks = [
        Chunk(HEAP + 0x290 * i, 0x290, state)
        for i, state in enumerate(("cache", "in use", "tcache", "fast", "unsorted", "small", "large", "free", "top"))
    ]
    then = moment(events, [process_end()], 4096, PID, 310, "/home/ada/story")
    return screen(lambda c: print_heap(c, then, chunks, KOREAN.say("chunks_by_calls"), language=language), columns)


USE = used(crashing())
PARTS = {
    "space": lambda: screen(lambda c: print_space(c, process_end(), language=KOREAN)),
    "heap": lambda: heap_of(story_run()),
    "ledger": lambda: screen(lambda c: print_ledger(c, ledger(), KOREAN)),
    "events": lambda: screen(lambda c: print_events(c, story_run(), Breaks(), KOREAN)),
    "steps": lambda: screen(lambda c: print_steps(c, steps_by_line(steps_in(story_run())), KOREAN)),
    "counts": lambda: screen(lambda c: print_counts(c, "story.c:28", {"call": 3, "fault": 7}, KOREAN)),
    "leaks": lambda: screen(lambda c: print_leaks(c, ranked(USE.places, "live"), NO_SOURCES, KOREAN)),
    **{
        measure: lambda measure=measure: screen(
            lambda c: print_top(c, measure, ranked(USE.places, measure), NO_SOURCES, KOREAN)
        )
        for measure in RANKS
    },
    "peak": lambda: screen(lambda c: print_peak(c, USE, NO_SOURCES, KOREAN)),
    "lifetimes": lambda: screen(lambda c: print_lifetimes(c, USE.profile, NO_SOURCES, KOREAN, inferred=True)),
    "sizes": lambda: screen(lambda c: print_sizes(c, USE.profile, KOREAN)),
    "fragmentation": lambda: screen(lambda c: print_fragmentation(c, USE, KOREAN, beside=True)),
}  # fmt: skip
ENGLISH_WORDS = re.compile(
    r"\b(the|of|in|and|more|places?|pieces?|bytes?|events?|rows?|pages?|process|free|gap|room|break|seen|lost|calls|"
    r"frames|faults?|asked|not)\b"
)


@pytest.mark.parametrize("part", [part for part in PARTS if part != "ledger"])
def test_a_part_has_korean_words_alone_and_fits(part: str) -> None:
    lines = PARTS[part]().splitlines()
    assert any(KOREAN_LETTER.search(line) for line in lines)
    assert [line for line in lines if ENGLISH_WORDS.search(re.sub(r"(× free$)|free\(", "", line))] == []
    assert max(map(cell_len, lines)) <= 80


@pytest.mark.parametrize("language", [ENGLISH, KOREAN])
def test_the_heap_fits_a_narrow_terminal(language: Language) -> None:
    assert max(map(cell_len, heap_of(story_run(), 60, language).splitlines())) <= 60


def test_the_columns_of_the_ledger_stand_below_their_titles() -> None:
    lines = PARTS["ledger"]().splitlines()
    titles = next(line for line in lines if line.strip().startswith("항등식"))
    row = next(line for line in lines if "COMPLETE*" in line)
    assert cell_len(titles[: titles.index("판정")]) == cell_len(row[: row.index("COMPLETE*")])
    assert cell_len(titles[: titles.index("관찰") + 2]) == cell_len(row[: row.index("331") + 3])


def test_the_boxes_of_the_address_space_are_closed_in_one_column() -> None:
    ends = {cell_len(line[: line.rindex("│")]) for line in PARTS["space"]().splitlines() if line.count("│") == 2}
    assert len(ends) == 1


def test_korean_on_a_terminal_of_ascii_is_no_error() -> None:
    seen = taken(story_run())
    assert "malloc" in ascii_screen(lambda c: print_glance(c, meta(), seen, "story.trace", language=KOREAN))


def test_text_is_padded_by_the_cells_it_takes() -> None:
    assert (left("조각", 6), right("조각", 6), left("piece", 6), right("조각조각", 6)) == (
        "조각  ", "  조각", "piece ", "조각조각",
    )  # fmt: skip


def test_a_template_is_filled_in_its_own_order_and_keeps_styles() -> None:
    text = filled("{1}초 만에 {0}.", ("{1} [b]", "bold"), "3")
    assert text.plain == "3초 만에 {1} [b]."
    assert [(span.start, span.end, span.style) for span in text.spans] == [(6, 13, "bold")]
