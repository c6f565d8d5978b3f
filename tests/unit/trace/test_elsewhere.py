"""What lies at an address of a process: memory that its allocator may have, or what it never had."""

from __future__ import annotations

import pytest

from observer.instruments.places import CodeMap
from observer.model.addresses import AddressSpace
from observer.model.machine import Image
from observer.trace.process import ProcessState
from tests.builders import HEAP, process_end

END = process_end()
PROGRAM = END.mappings[0].start
LIBC_DATA = next(
    mapping.start for mapping in END.mappings if mapping.path.endswith("libc.so.6") and "w" in mapping.protection
)
BSS = next(mapping.start for mapping in END.mappings if not mapping.path)
STACK = next(mapping.start for mapping in END.mappings if mapping.path == "[stack]")


IMAGES = tuple(
    Image(path=mapping.path, bias=0, start=mapping.start, end=mapping.end)
    for mapping in END.mappings
    if mapping.path.startswith("/")
)


def state() -> ProcessState:
    space = AddressSpace()
    space.become(0, max(mapping.end for mapping in END.mappings), END.mappings)
    space.break_start, space.break_end = HEAP, HEAP + 0x21000
    return ProcessState(space=space, code=CodeMap(IMAGES))


@pytest.mark.parametrize("address", [PROGRAM + 0x4040, LIBC_DATA + 8, BSS + 16, STACK + 32, STACK - 4096])
def test_variables_and_the_stack_are_never_the_allocators(address: int) -> None:
    assert state().lies_elsewhere(address)


@pytest.mark.parametrize("address", [HEAP, HEAP + 0x20FF0, 0x10, HEAP + (1 << 30)])
def test_the_heap_and_what_is_not_known_may_be(address: int) -> None:
    assert not state().lies_elsewhere(address)


def test_a_mapping_of_the_programs_may_be_wherever_it_lies() -> None:
    known = state()
    known.space.map(BSS, 0x2000, "rw-")
    assert not known.lies_elsewhere(BSS + 16)


def test_of_mappings_that_were_read_anew_those_without_a_name_may_be() -> None:
    known = state()
    known.doubts.is_copy = True
    assert not known.lies_elsewhere(BSS + 16)
    assert known.lies_elsewhere(LIBC_DATA + 8)
