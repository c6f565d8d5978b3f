"""Rows in Korean: one line of text for one event, or for a thousand alike ones; the counterpart of `lines`."""

from __future__ import annotations

from collections import Counter
from typing import Final

from observer.model.addresses import PAGE
from observer.model.events import Call, Fault, Process, Syscall
from observer.model.operations import ALLOCATING
from observer.story.korean import (
    exactly_in_korean,
    for_whom_in_korean,
    korean_counted,
    korean_place,
    korean_sentence,
    korean_size,
    misuse_in_korean,
    touch_in_korean,
)
from observer.story.lines import NOUNS
from observer.story.rows import Row
from observer.story.sentences import call_words, page_of
from observer.story.terminal_phrases import TERMINAL_PHRASES
from observer.story.wording import number

__all__ = ["korean_before_main", "korean_row"]

_MOST: Final = 4


def korean_row(row: Row) -> str:
    """Tell *row* in Korean: its sentence if it is one event, else how many alike and what they span."""
    if row.before_main is not None:
        return korean_before_main(row.before_main)
    if row.count == 1:
        return korean_sentence(row.first, row.moved, at_site=False)
    if isinstance(row.first, Call):
        return f"{number(row.count)} × {_calls(row, row.first)}"
    if isinstance(row.first, Fault):
        return _faults(row, row.first)
    if isinstance(row.first, Syscall):
        return f"{number(row.count)} × {_syscalls(row, row.first)}"
    if isinstance(row.first, Process):
        return _children(row, row.first)
    return f"{number(row.count)} × {korean_sentence(row.first, at_site=False)}"


def korean_before_main(tally: Counter[tuple[str, str]]) -> str:
    """Tell the start-up: `시스템 호출 21번 (mmap 12, mprotect 5, ...), 페이지 폴트 96번 (로더 70, ...)`."""
    parts = []
    for kind, noun in NOUNS.items():
        names = Counter({who: count for (of, who), count in tally.items() if of == kind})
        if names:
            parts.append(f"{korean_counted(names.total(), noun)} ({_most(names)})")
    return ", ".join(parts) or "기록된 것이 없다"


def _most(names: Counter[str]) -> str:
    touchers = TERMINAL_PHRASES["ko"]["touchers"]
    assert isinstance(touchers, dict)
    shown = [f"{touchers.get(name, name)} {number(count)}" for name, count in names.most_common(_MOST)]
    return ", ".join([*shown, "..."] if len(names) > _MOST else shown)


def _children(row: Row, first: Process) -> str:
    noun = "새 스레드" if first.what == "clone" else "자식 프로세스"
    last = row.last.child if isinstance(row.last, Process) else None
    return f"{number(row.count)} × {first.what}: {noun} {first.child}부터 {last}까지"


def _calls(row: Row, first: Call) -> str:
    if first.op not in ALLOCATING:
        words = f"{first.op}(p)" if first.pointer else call_words(first)
        whose = for_whom_in_korean(first).rstrip()
        return f"{words}{whose and f': {whose}'}{misuse_in_korean(first, '; 처음 것은: ')}"
    whose = for_whom_in_korean(first)
    if row.low == row.high:
        return f"{call_words(first)}: {whose}{korean_counted(row.total, 'byte')}"
    return f"{first.op}: {whose}{_span(row.low, row.high)}, 모두 {korean_size(row.total)}"


def _span(low: int, high: int) -> str:
    return f"{number(low)}~{number(high)}바이트"


def _syscalls(row: Row, first: Syscall) -> str:
    if first.errno or first.end_ns is None:
        return korean_sentence(first, at_site=False)
    if first.name == "brk" and row.moved:
        way = "올라간다" if row.moved > 0 else "내려간다"
        by = f"{exactly_in_korean(row.low)}씩" if row.low == row.high else f"모두 {korean_size(abs(row.moved))}"
        return f"brk: 브레이크가 {by} {way}"
    if first.name == "brk" or row.low == row.high:
        return korean_sentence(first, row.moved, at_site=False)
    return f"{first.name}: {korean_size(row.low)}~{korean_size(row.high)}, 모두 {korean_size(row.total)}"


def _faults(row: Row, first: Fault) -> str:
    disk = ". 디스크에서 읽는다" if first.major else ""
    return f"{korean_counted(row.count, 'page fault')}: {touch_in_korean(first, _pages(row, first))}{disk}"


def _pages(row: Row, first: Fault) -> str:
    if row.mixed:
        return "여러 사상 영역의 페이지"
    span = (row.high // PAGE) - (row.low // PAGE) + 1
    page, place = page_of(first), korean_place(first.mapping)
    if page is None:
        return f"{place}의 페이지"
    first_page = page + (row.low // PAGE - first.address // PAGE)
    if span == 1:
        return f"{place}의 {number(first_page)}번 페이지"
    pages = f"{place}의 {number(first_page)}~{number(first_page + span - 1)}번 페이지"
    return pages if row.count == span else f"{pages} 일부"
