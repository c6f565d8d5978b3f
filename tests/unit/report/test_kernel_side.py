"""What the kernel did, told behind a sentence and under a row, in both languages."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from observer.model.events import Event, KernelWork
from observer.report.kernel_side import kernel_words, told
from observer.report.lists import print_events
from observer.report.terminal import tell_events
from observer.story.breaks import Breaks
from observer.story.kernel_side import KernelSum
from observer.story.language import ENGLISH, KOREAN
from tests.builders import HEAP, PAGE, call, fault, syscall
from tests.unit.report.screens import screen

FRESH = KernelWork(1100, 1, 0x246F36, 0, True, 0)
COPIED = KernelWork(2300, 1, 0x17, 0, False, 2)
NONE = KernelWork(600, 0, None, None, None, 0)


def words(*works: KernelWork) -> str:
    first, *rest = map(KernelSum.of, works)
    for each in rest:
        first.absorb(each)
    return kernel_words(first, ENGLISH)


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (FRESH, "kernel: 1 page of order 0, zeroed, frame 0x246f36, 1.1 µs"),
        (COPIED, "kernel: 1 page of order 0, frame 0x17, 2 pages for its own use, 2.3 µs"),
        (NONE, "kernel: no new page, 0.6 µs"),
        (KernelWork(91_000, 512, 0x200, 9, None, 0), "kernel: 512 pages of order 9, frame 0x200, 91.0 µs"),
        (KernelWork(91_000, 23, 0x200, 0, True, 1), "kernel: 23 pages, first of order 0, zeroed, frame 0x200, 1 page for its own use, 91.0 µs"),
    ],
    ids=["fresh", "copied", "none", "huge", "populated"],
)  # fmt: skip
def test_one_handling(work: KernelWork, said: str) -> None:
    assert words(work) == said


def test_many_handlings_are_summed() -> None:
    assert words(FRESH, COPIED, NONE) == "kernel: 2 pages, 2 pages for its own use, 1.3 µs each (0.6 to 2.3 µs)"
    slow = KernelWork(2_300_000, 0, None, None, None, 0)
    assert words(NONE, slow) == "kernel: no new page, 1.150 ms each (0.6 µs to 2.300 ms)"


def test_how_much_of_it_was_in_handle_mm_fault() -> None:
    known = KernelWork(1100, 0, None, None, None, 0, 700)
    assert words(known) == "kernel: no new page, 1.1 µs (0.7 µs in handle_mm_fault)"
    assert words(known, known).endswith("1.1 µs each (1.1 to 1.1 µs) (0.7 µs in handle_mm_fault)")


def test_in_korean() -> None:
    assert kernel_words(KernelSum.of(FRESH), KOREAN) == "커널: 차수 0의 페이지 1개, 0으로 채움, 프레임 0x246f36, 1.1 µs"


def test_an_event_is_told_as_ever_where_nothing_is_known() -> None:
    assert told(ENGLISH, fault(3)) == ENGLISH.sentence(fault(3))
    assert told(ENGLISH, fault(3, kernel=NONE)) == f"{ENGLISH.sentence(fault(3))}; kernel: no new page, 0.6 µs"


def run() -> list[Event]:
    """A malloc that asks for memory, and three pages touched."""
    return [
        call(0, steps="1-2-3-4-5"), syscall(1, "brk", HEAP, result=HEAP, cause=0, kernel=NONE),
        *(fault(2 + i, HEAP + PAGE * i, kernel=FRESH) for i in range(3)),
    ]  # fmt: skip


def test_it_stands_under_its_row_within_eighty_columns() -> None:
    lines = screen(lambda console: tell_events(console, run())).splitlines()
    assert max(map(cell_len, lines)) <= 80
    beneath = {
        line.strip(): " ".join(lines[i - 2 : i]) for i, line in enumerate(lines) if line.strip().startswith("kernel")
    }
    assert list(beneath) == ["kernel: no new page, 0.6 µs", "kernel: 3 pages, 1.1 µs each (1.1 to 1.1 µs)"]
    assert "brk" in beneath["kernel: no new page, 0.6 µs"]
    assert "3 page faults" in beneath["kernel: 3 pages, 1.1 µs each (1.1 to 1.1 µs)"]


def test_a_list_of_events_says_it_of_each() -> None:
    text = " ".join(screen(lambda console: print_events(console, run(), Breaks())).split())
    assert text.count("kernel: 1 page of order 0, zeroed, frame 0x246f36, 1.1 µs") == 3
    assert text.count("kernel: no new page, 0.6 µs") == 1
