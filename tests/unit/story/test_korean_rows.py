"""Rows of many alike events, in Korean: every kind of them."""

from __future__ import annotations

from collections import Counter

import pytest

from observer.model.events import Event, Misuse
from observer.story.fold import fold
from observer.story.korean_rows import korean_before_main, korean_row
from observer.story.lines import row_words
from observer.story.rows import Row
from tests.builders import HEAP, LIBC, MAP, call, fault, free, library, lost, process, signal, story_run, syscall

PAGE = 4096


def row_of(*events: Event, moved: tuple[int | None, ...] = ()) -> Row:
    row = Row.of(events[0], moved[0] if moved else None)
    for i, event in enumerate(events[1:], 1):
        row.absorb(Row.of(event, moved[i] if moved else None))
    return row


ROWS = [
    (row_of(call(0, site=None), call(1)), "2 × malloc(100): 200바이트"),
    (row_of(call(0, size=3), call(1, size=7), call(2, size=5)), "3 × malloc: 3~7바이트, 모두 15바이트"),
    (row_of(call(0, size=1024), call(1, size=5120)), "2 × malloc: 1,024~5,120바이트, 모두 6 KiB"),
    (row_of(call(0, origin="libc"), call(1, origin="libc")), "2 × malloc(100): C 라이브러리 자신을 위해 200바이트"),
    (row_of(free(0, HEAP), free(1, HEAP + 32)), "2 × free(p)"),
    (row_of(free(0, 0), free(1, 0)), "2 × free(NULL)"),
    (row_of(free(0, HEAP, origin="loader"), free(1, HEAP, origin="loader")), "2 × free(p): 로더 자신을 위해"),
    (
        row_of(*(free(n, HEAP, misuse=Misuse("freed before", 3, "a.c:7", 5, "a.c:9")) for n in range(3))),
        "3 × free(p); 처음 것은: 호출 3(a.c:7)의 조각은 이미 호출 5(a.c:9)에서 돌려주었다",
    ),
    (row_of(fault(0)), "페이지 폴트: 프로그램이 힙 영역의 1번 페이지에 쓴다"),
    (row_of(*(fault(n, HEAP + n * PAGE) for n in range(1, 4))), "페이지 폴트 3번: 프로그램이 힙 영역의 1~3번 페이지에 쓴다"),
    (
        row_of(fault(0, HEAP, access="read"), fault(1, HEAP + 7 * PAGE, access="read")),
        "페이지 폴트 2번: 프로그램이 힙 영역의 0~7번 페이지 일부를 읽는다",
    ),
    (
        row_of(fault(0, access=None, toucher="kernel"), fault(1, access=None, toucher="kernel")),
        "페이지 폴트 2번: 커널이 프로그램을 위해 힙 영역의 1번 페이지에 접근한다",
    ),
    (row_of(fault(0, MAP), fault(1, LIBC)), "페이지 폴트 2번: 프로그램이 여러 사상 영역의 페이지에 쓴다"),
    (
        row_of(*(fault(n, where=None, mapping=None, access="exec", major=True) for n in range(2))),
        "페이지 폴트 2번: 프로그램이 메모리의 페이지를 실행한다. 디스크에서 읽는다",
    ),
    (row_of(syscall(0, "brk", 0, site=None), moved=(0,)), "brk: 브레이크가 어디인지 묻는다"),
    (
        row_of(*(syscall(n, "brk", HEAP, result=HEAP) for n in range(2)), moved=(4096, 4096)),
        "2 × brk: 브레이크가 4 KiB (0x1000)씩 올라간다",
    ),
    (
        row_of(*(syscall(n, "brk", HEAP, result=HEAP) for n in range(2)), moved=(-4096, -8192)),
        "2 × brk: 브레이크가 모두 12 KiB 내려간다",
    ),
    (
        row_of(syscall(0, "munmap", MAP, 4096), syscall(1, "munmap", MAP, 12288)),
        "2 × munmap: 4 KiB~12 KiB, 모두 16 KiB",
    ),
    (
        row_of(syscall(0, "munmap", MAP, 8192), syscall(1, "munmap", MAP, 8192)),
        "2 × munmap: 8 KiB (0x2000)가 커널로 돌아간다",
    ),
    (
        row_of(*(syscall(n, "mmap", 0, 8192, 3, 0x22, 0, 0, result=-1, errno=12) for n in range(2))),
        "2 × mmap: 실패한다 (ENOMEM)",
    ),
    (row_of(*(process(n, "clone", child=71 + n) for n in range(3))), "3 × clone: 새 스레드 71부터 73까지"),
    (row_of(*(process(n, "fork", child=71 + n) for n in range(3))), "3 × fork: 자식 프로세스 71부터 73까지"),
    (row_of(library(0), library(1)), "2 × 라이브러리 호출: putc, 시스템 호출 없음"),
    (row_of(lost(0), lost(1)), "2 × 잃음: faults이(가) 기록하지 못한 사건 7개"),
    (
        row_of(signal(0, "SIGUSR1", exception=None, fatal=False), signal(1, "SIGUSR1", exception=None, fatal=False)),
        "2 × 시그널 SIGUSR1",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("row", "words"), ROWS, ids=[row_words(row) for row, _words in ROWS])
def test_a_row(row: Row, words: str) -> None:
    assert korean_row(row) == words


def test_the_start_up_before_main() -> None:
    tally = Counter({("syscall", "mmap"): 8, ("fault", "loader"): 28, ("fault", "program"): 1, ("call", "malloc"): 2})
    assert korean_before_main(tally) == (
        "시스템 호출 8번 (mmap 8), 페이지 폴트 29번 (로더 28, 프로그램 1), 할당자 호출 2번 (malloc 2)"
    )
    assert korean_before_main(Counter()) == "기록된 것이 없다"
    many = Counter({("syscall", name): 7 - i for i, name in enumerate("abcde")})
    assert korean_before_main(many) == "시스템 호출 25번 (a 7, b 6, c 5, d 4, ...)"


def test_the_rows_of_a_run_have_the_numbers_of_the_english_ones() -> None:
    rows = [row for passage in fold(story_run()) for row in passage.rows.values()]
    assert len(rows) > 11
    for row in rows:
        assert f"{row.count:,}" in korean_row(row) or row.count == 1 or row.before_main is not None
        assert ("×" in korean_row(row)) == ("×" in row_words(row))
