"""Which allocators are told of: one a file and a place, however often its loader maps it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from observer.code.elf import Elf
from observer.instruments import allocator
from observer.instruments.allocator import AllocatorCalls
from observer.tracee.memory import Memory

START, END = 0x10000, 0x20000


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> tuple[AllocatorCalls, list[Any], list[int]]:
    """Return an instrument, the notes that it makes, and the numbers that it plants with."""
    notes: list[Any] = []
    numbers: list[int] = []

    def plant(self: object, task: object, elf: Elf, bias: int, start: int, end: int, role: str, number: int,
              found: list[str]) -> int:  # fmt: skip
        numbers.extend(number for _each in found)
        return len(found)

    monkeypatch.setattr(allocator, "family_in", lambda elf, role: ["malloc"])
    monkeypatch.setattr(allocator, "named_in", lambda elf, role, roles: [])
    monkeypatch.setattr(allocator, "_is_glibcs", lambda elf: True)
    monkeypatch.setattr(allocator.Planter, "plant", plant)
    parts: list[Any] = [SimpleNamespace(notes=notes), SimpleNamespace(), SimpleNamespace(tell=lambda listener: 0)]
    return AllocatorCalls(*parts), notes, numbers


def library(inode: int) -> Any:
    return SimpleNamespace(identity=(1, inode, 0, 0), path=f"/lib/{inode}")


def test_a_file_that_is_mapped_twice_in_its_place_is_one_allocator(
    planted: tuple[AllocatorCalls, list[Any], list[int]],
) -> None:
    calls, notes, numbers = planted
    memory = Memory.__new__(Memory)
    memory.allocators, memory.glibcs, memory.breakpoints = {}, [], {}
    task: Any = SimpleNamespace(pid=7, memory=memory)
    for elf in (library(5), library(5), library(6)):
        calls.plant(task, elf, START, START, END, "libc")
    assert numbers == [1, 1, 2]
    assert [(note.number, note.path) for note in notes] == [(1, "/lib/5"), (2, "/lib/6")]
    assert len(memory.glibcs) == 2


def test_what_comes_where_a_file_was_unmapped_is_another_allocator(
    planted: tuple[AllocatorCalls, list[Any], list[int]],
) -> None:
    calls, _notes, numbers = planted
    memory = Memory.__new__(Memory)
    memory.allocators, memory.glibcs, memory.breakpoints = {}, [], {}
    task: Any = SimpleNamespace(pid=7, memory=memory)
    calls.plant(task, library(5), START, START, END, "libc")
    memory.forget = lambda start, end: None  # type: ignore[method-assign]
    memory.unmapped(START, START + 1)
    calls.plant(task, library(5), START, START, END, "libc")
    assert numbers == [1, 2]
