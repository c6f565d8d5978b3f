"""What a machine allows, as a list."""

from __future__ import annotations

import pytest

from observer.instruments.capabilities import Capability
from observer.report.doctor import print_capabilities
from tests.unit.report.screens import screen

FOUND = (
    Capability("trace a program", works=True, how="PTRACE_SEIZE with EXITKILL", essential=True),
    Capability("lost fault samples counted by the kernel", works=True, how="PERF_FORMAT_LOST"),
    Capability("a second witness", works=False, how="", why_not="no headers " * 5, remedy="observer run, with " * 6),
)


@pytest.mark.parametrize("columns", [60, 76, 80, 120])
def test_the_list_fits(columns: int) -> None:
    lines = screen(lambda console: print_capabilities(console, FOUND), columns).splitlines()
    assert max(map(len, lines)) <= columns


def test_what_is_said_stands_in_one_column() -> None:
    lines = screen(lambda console: print_capabilities(console, FOUND)).splitlines()
    words = ("PTRACE_SEIZE", "PERF_FORMAT_LOST", "no headers")
    assert len({next(line.index(word) for line in lines if word in line) for word in words}) == 1
