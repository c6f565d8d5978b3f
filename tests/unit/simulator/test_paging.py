"""Pages come in at first touch and are shared and copied as Linux does it."""

from __future__ import annotations

from observer.simulator.paging import PAGE, Memory


def kinds(faults: object) -> list[str]:
    assert isinstance(faults, list)
    return [fault.kind for fault in faults]


def test_a_first_write_brings_one_frame_a_page() -> None:
    memory = Memory()
    assert kinds(memory.write(0x1000, 3 * PAGE)) == ["first write"] * 3
    assert memory.write(0x1000, 3 * PAGE) == []
    assert memory.resident_pages == 3


def test_a_read_maps_the_zero_page_and_a_later_write_is_a_second_fault() -> None:
    memory = Memory()
    assert kinds(memory.read(0x1000)) == ["first read"]
    assert memory.resident_pages == 0
    assert kinds(memory.write(0x1000)) == ["write after read"]
    assert memory.resident_pages == 1


def test_after_a_fork_the_first_writer_copies_and_the_last_owner_does_not() -> None:
    parent = Memory()
    parent.write(0x1000, 2 * PAGE)
    child = parent.fork()
    assert parent.frames_in_use == 2
    assert kinds(child.write(0x1000)) == ["copy on write"]
    assert kinds(parent.write(0x1000)) == ["last owner"]
    assert parent.frames_in_use == 3
    assert child.read(0x2000) == []


def test_a_child_that_ends_gives_its_copies_back() -> None:
    parent = Memory()
    parent.write(0x1000)
    child = parent.fork()
    child.write(0x1000)
    child.end()
    assert parent.frames_in_use == 1
    assert kinds(parent.write(0x1000)) == ["last owner"]


def test_dropped_pages_are_touched_anew() -> None:
    memory = Memory()
    memory.write(0x1000, 3 * PAGE)
    assert memory.drop(0x1800, 2 * PAGE) == 1
    assert not memory.is_resident(0x2000)
    assert kinds(memory.write(0x1000, 3 * PAGE)) == ["first write"]
