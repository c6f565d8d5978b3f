"""The chunks of the model lie side by side, from the heap's start to the end of top, each in one state."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observer.glibc.chunks import HEADER, chunk_size
from observer.glibc.versions import VERSIONS
from observer.simulator.glibc.kernel import SimulatedKernel
from observer.simulator.glibc.malloc import Glibc
from tests.unit.seeded import seeded

HEAP = 0x10000000
OPERATIONS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 9000)), min_size=1, max_size=120)


@seeded
@given(version=st.sampled_from(sorted(VERSIONS)), operations=OPERATIONS)
def test_chunks_fill_the_heap_without_a_gap(version: str, operations: list[tuple[int, int]]) -> None:
    allocator, live = Glibc(version, kernel=SimulatedKernel(HEAP), main_task=11), dict[int, int]()
    for pick, size in operations:
        if live and pick < 18:
            allocator.free(list(live)[pick % len(live)])
            live.pop(list(live)[pick % len(live)])
        else:
            live[allocator.malloc(size).pointer] = size
    chunks = [chunk for chunk in allocator.chunks() if chunk.state != "mmapped"]
    assert chunks[0].address == HEAP
    for one, other in pairwise(chunks):
        assert one.address + one.size == other.address
    assert [chunk.state for chunk in chunks if chunk.state == "top"] == ["top"]
    assert chunks[-1].state == "top"
    held = {chunk.address + HEADER: chunk.size for chunk in chunks if chunk.state == "in use"}
    assert set(held) == set(live)
    assert all(held[pointer] >= chunk_size(size) for pointer, size in live.items())


@pytest.mark.parametrize(
    ("size", "state"), [(24, "tcache"), (2000, "unsorted"), (200_000, None)],
)  # fmt: skip
def test_a_freed_chunk_waits_where_its_size_belongs(size: int, state: str | None) -> None:
    allocator = Glibc("2.36", kernel=SimulatedKernel(HEAP), main_task=11)
    first = allocator.malloc(size).pointer
    allocator.malloc(16)
    before = {chunk.address: chunk.state for chunk in allocator.chunks()}
    assert before[first - HEADER] in ("in use", "mmapped")
    allocator.free(first)
    assert {chunk.address: chunk.state for chunk in allocator.chunks()}.get(first - HEADER) == state


def test_a_full_cache_leaves_chunks_to_the_fast_bins() -> None:
    allocator = Glibc("2.36", kernel=SimulatedKernel(HEAP), main_task=11)
    pointers = [allocator.malloc(24).pointer for _ in range(11)]
    for pointer in pointers:
        allocator.free(pointer)
    states = [chunk.state for chunk in allocator.chunks()]
    assert (states.count("tcache"), states.count("fast")) == (7, 4)
