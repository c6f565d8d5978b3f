"""Libraries side by side: the tables stay readable on 80 columns, and as JSON nothing is lost."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from observer.report.libraries import as_json, print_sides
from observer.story.libraries import LibraryRow, Side

NAMES = ("glibc", "static", "musl", "i386")
LONG = "posix_spawn_file_actions_addopen"


def side(name: str, *, status: str = "exit 0", syscalls: dict[str, int] | None = None) -> Side:
    made = syscalls if syscalls is not None else {"sched_get_priority_max": 12_345, "clock_nanosleep": 1}
    rows = (LibraryRow(7, "strlen", 2, {}), LibraryRow(11, LONG, 10_007, made))
    return Side(
        name, "cc -O0", rows, {"mmap": 5}, {"exit_group": 1}, {**made, "mmap": 5}, {"syscall": 6}, status=status
    )


def printed(*sides: Side, width: int = 80) -> list[str]:
    buffer = io.StringIO()
    print_sides(Console(file=buffer, width=width, color_system=None), "prog.c", sides, ["arm64 is left out: no qemu"])
    return buffer.getvalue().splitlines()


@pytest.mark.parametrize("count", [1, 2, 4])
def test_no_line_is_wider_than_the_screen(count: int) -> None:
    assert max(map(len, printed(*map(side, NAMES[:count])))) <= 80


def test_long_names_break_at_an_underscore() -> None:
    lines = [line.split() for line in printed(*map(side, NAMES))]
    assert ["11", "posix_spawn_file_", *["sched_get_"] * 4] in lines
    assert ["actions_addopen", *["priority_"] * 4] in lines


def test_short_names_stay_whole() -> None:
    lines = [line.split() for line in printed(side("glibc", syscalls={"clock_nanosleep": 3}))]
    assert any(line[-2:] == ["clock_nanosleep", "×3"] for line in lines)


def test_calls_whose_system_calls_differ_are_marked() -> None:
    lines = printed(side("glibc"), side("musl", syscalls={"open": 1}))
    marked = [line for line in lines if "! " in line[:8]]
    assert len(marked) == 1
    assert "posix_spawn" in marked[0]
    assert "  2 library calls in the source, 1 with other system calls" in lines


def test_the_end_is_told_where_one_did_not_end_well() -> None:
    assert not any(line.startswith("ended with") for line in printed(side("glibc"), side("musl")))
    lines = printed(side("glibc"), side("musl", status="SIGSEGV"))
    assert [line.split() for line in lines if line.startswith("ended with")] == [
        ["ended", "with", "exit", "0", "SIGSEGV"]
    ]


def test_a_side_that_was_only_listed_has_no_column_of_library_calls() -> None:
    listed = Side("arm64", "cc", (), {}, {}, {"openat": 3}, {}, observed=False)
    lines = [line.split() for line in printed(side("glibc"), listed)]
    assert ["line", "call", "glibc"] in lines
    assert ["system", "call", "glibc", "arm64"] in lines
    assert ["entered", "by", "syscall", "svc"] in lines


def test_as_json_each_side_is_an_object() -> None:
    (found,) = as_json([side("glibc", status="exit 3")])
    assert found["name"] == "glibc"
    assert (found["status"], found["observed"], found["gates"]) == ("exit 3", True, {"syscall": 6})
    assert found["calls"][0] == {"line": 7, "function": "strlen", "count": 2, "syscalls": {}}
