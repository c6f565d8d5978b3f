"""One source under several C libraries: what belongs to which call, and the sides beside each other."""

from __future__ import annotations

import pytest

from observer.model.events import Event, Site
from observer.story.libraries import LibraryRow, Side, align, canonical, side_of
from tests.builders import call, library, process, syscall


def at(line: int, file: str = "/home/ada/prog.c") -> Site:
    return Site(function="main", file=file, line=line, module="prog", offset=line)


@pytest.mark.parametrize(
    ("inside", "told"),
    [
        ("__isoc99_sscanf", "sscanf"), ("__isoc23_strtol", "strtol"), ("_IO_putc", "putc"), ("fopen64", "fopen"),
        ("_Exit", "_exit"), ("__printf_chk", "printf"), ("log10", "log10"), ("64", "64"),
    ],
)  # fmt: skip
def test_a_function_has_the_name_that_the_source_uses(inside: str, told: str) -> None:
    assert canonical(inside) == told


def run() -> list[Event]:
    return [
        process(0, "start", path="/tmp/prog"),
        syscall(1, "brk", 0, result=4096, site=None),
        library(2, "fopen", site=at(7), crossings=2),
        call(3, "malloc", 100, site=at(7), origin="libc"),
        syscall(4, "brk", 0, result=4096, cause=3, within=2),
        syscall(5, "openat", 0, result=3, within=2),
        library(6, "putc", site=at(9)),
        library(8, "putc", site=at(9), crossings=1),
        syscall(9, "write", 1, result=1, within=8),
        library(10, "__vdso_time", module="[vdso]", site=at(9)),
        call(11, "malloc", 100, site=at(11), origin="program"),
        syscall(12, "mmap", 0, 8192, result=8192, cause=11),
        library(13, "write", site=at(151, "/home/ada/facts.h"), crossings=1),
        syscall(14, "write", 1, result=1, within=13),
        syscall(15, "exit_group", 0, site=None),
    ]


def test_system_calls_belong_to_the_call_of_the_source_they_were_made_in() -> None:
    side = side_of("glibc", "cc", run(), "prog.c")
    assert side.calls == (
        LibraryRow(7, "fopen", 1, {"brk": 1, "openat": 1}),
        LibraryRow(9, "putc", 2, {"write": 1}),
        LibraryRow(11, "malloc", 1, {"mmap": 1}),
    )
    assert side.before == {"brk": 1}
    assert side.after == {"write": 1, "exit_group": 1}
    assert side.syscalls == {"brk": 2, "write": 2, "openat": 1, "mmap": 1, "exit_group": 1}
    assert side.gates == {"syscall": 7}


def side(name: str, *rows: LibraryRow) -> Side:
    return Side(name, "cc", rows, {}, {}, {}, {})


def test_sides_are_aligned_by_line_and_function() -> None:
    open_, puts, extra = (
        LibraryRow(1, "fopen", 1, {"open": 1}),
        LibraryRow(2, "puts", 1, {}),
        LibraryRow(2, "fputs", 1, {}),
    )
    other = LibraryRow(1, "fopen", 1, {"openat": 1})
    lines = align([side("glibc", open_, puts), side("musl", other, extra, puts)])
    assert [(line.line, line.function, line.rows) for line in lines] == [
        (1, "fopen", (open_, other)), (2, "fputs", (None, extra)), (2, "puts", (puts, puts)),
    ]  # fmt: skip
    assert [line.differs for line in lines] == [True, True, False]
