"""What holds in the book's heap and on its machine after any operations; each fit beside a list that is simply walked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given

from observer.model.addresses import PAGE
from observer.model.events import Call, Event, Fault, Process, Syscall
from observer.simulator.book import FITS, HEADER, BookAllocator
from observer.simulator.generate import PROFILES, generate
from observer.simulator.machine import BookMachine
from observer.simulator.workload import Operation, parse, render
from tests.properties.strategies import allocator_steps, allocator_workloads, workloads
from tests.unit.seeded import seeded

Steps = list[tuple[str, int, int]]

done: Counter[str] = Counter()
"""Operations that were performed, by test; the last test of this module counts them."""


class NaiveHeap:
    """The book's allocator as a list of pieces in address order, used or free, walked from one end to the other."""

    def __init__(self, fit: str, start: int) -> None:
        self.fit = fit
        self.end = start
        self.pieces: list[list[int]] = []  # [start, size, address handed out or 0]
        self.next = 0

    def free_list(self) -> list[tuple[int, int]]:
        return [(start, size) for start, size, address in self.pieces if not address]

    def search(self, room: int) -> int | None:
        fitting = [(start, size) for start, size in self.free_list() if size >= room]
        if not fitting:
            return None
        if self.fit == "best":
            return min(fitting, key=lambda piece: (piece[1], piece[0]))[0]
        found = fitting[0][0]
        if self.fit == "next":
            found = next((start for start, _size in fitting if start >= self.next), found)
            self.next = found
        return found

    def allocate(self, size: int, alignment: int = 16) -> int:
        whole = max(-(-(size + 16) // 16) * 16, 32)
        room = whole + (alignment + 16 if alignment > 16 else 0)
        start = self.search(room)
        if start is None:
            last = self.pieces[-1] if self.pieces and not self.pieces[-1][2] else None
            more = -(-(room - (last[1] if last else 0)) // PAGE) * PAGE
            if last:
                last[1] += more
            else:
                self.pieces.append([self.end, more, 0])
            self.end += more
            start = self.pieces[-1][0]
        i = next(i for i, piece in enumerate(self.pieces) if piece[0] == start)
        have = self.pieces[i][1]
        address = -(-(start + 16) // alignment) * alignment
        if 0 < address - 16 - start < 32:
            address += alignment
        lead = address - 16 - start
        rest = have - lead - whole
        used = whole if rest >= 32 else have - lead
        new = [[start, lead, 0]] if lead else []
        new.append([start + lead, used, address])
        if rest >= 32:
            new.append([start + lead + whole, rest, 0])
        self.pieces[i : i + 1] = new
        return address

    def free(self, address: int) -> None:
        next(piece for piece in self.pieces if piece[2] == address)[2] = 0
        self.join()

    def join(self) -> None:
        joined: list[list[int]] = []
        for piece in self.pieces:
            if joined and not joined[-1][2] and not piece[2]:
                joined[-1][1] += piece[1]
            else:
                joined.append(piece)
        self.pieces = joined

    def realloc(self, address: int, size: int) -> int:
        i = next(i for i, piece in enumerate(self.pieces) if piece[2] == address)
        start, have, _address = self.pieces[i]
        whole = max(-(-(size + 16) // 16) * 16, 32)
        if whole <= have:
            if have - whole >= 32:
                self.pieces[i : i + 1] = [[start, whole, address], [start + whole, have - whole, 0]]
                self.join()
            return address
        moved = self.allocate(size)
        self.free(address)
        return moved


def perform(steps: Steps, *heaps: BookAllocator | NaiveHeap) -> Iterator[list[int]]:
    """Do *steps* on all *heaps*; yield the pointers that each gave for each step."""
    live: list[list[int]] = [[] for _ in heaps]
    for what, size, choice in steps:
        given_out = []
        for heap, pointers in zip(heaps, live, strict=True):
            if what in ("malloc", "memalign") or not pointers:
                pointers.append(_allocated(heap, size, 1 << choice % 13 if what == "memalign" else 16))
                given_out.append(pointers[-1])
            elif what == "free":
                heap.free(pointers.pop(choice % len(pointers)))
                given_out.append(0)
            else:
                i = choice % len(pointers)
                moved = heap.realloc(pointers[i], size)
                pointers[i] = moved if isinstance(moved, int) else moved.result
                given_out.append(pointers[i])
        yield given_out


def _allocated(heap: BookAllocator | NaiveHeap, size: int, alignment: int) -> int:
    if isinstance(heap, NaiveHeap):
        return heap.allocate(size, max(alignment, 16))
    return (heap.memalign(alignment, size) if alignment != 16 else heap.malloc(size)).result


def check(heap: BookAllocator) -> None:
    """Pieces in use and free ones tile the heap; none overlaps, no two free ones touch, nothing is lost."""
    used = [(address - HEADER, heap.end_of(address), False) for address in heap.used()]
    free = [(start, start + size, True) for start, size in heap.free_pieces()]
    tiles = sorted(used + free)
    assert tiles[0][0] == heap.start
    assert tiles[-1][1] == heap.end
    for (_start, end, is_free), (start, _end, next_is_free) in pairwise(tiles):
        assert end == start
        assert not (is_free and next_is_free)
    assert all(address % 16 == 0 and heap.end_of(address) - address >= size for address, size in heap.used().items())
    assert sum(end - start for start, end, is_free in tiles if is_free) == heap.bytes_between
    assert sum(end - start for start, end, is_free in tiles if not is_free) == heap.bytes_inside + heap.asked
    assert heap.largest_free == max((size for _start, size in heap.free_pieces()), default=0)


@pytest.mark.parametrize("fit", FITS)
def test_each_fit_gives_the_pointers_of_a_list_that_is_walked(fit: str) -> None:
    @seeded
    @given(allocator_steps)
    def holds(steps: Steps) -> None:
        heap = BookAllocator(fit=fit)
        naive = NaiveHeap(fit, heap.start)
        for real, expected in perform(steps, heap, naive):
            assert real == expected
            done[fit] += 1
        assert (heap.free_pieces(), heap.end) == (naive.free_list(), naive.end)

    holds()
    assert done[fit] >= 8000


@pytest.mark.parametrize("fit", FITS)
def test_pieces_tile_the_heap_after_every_operation(fit: str) -> None:
    @seeded
    @given(allocator_steps)
    def holds(steps: Steps) -> None:
        heap = BookAllocator(fit=fit)
        for _pointers in perform([(what.replace("memalign", "malloc"), *rest) for what, *rest in steps], heap):
            check(heap)
            done[f"tiles {fit}"] += 1

    holds()
    assert done[f"tiles {fit}"] >= 8000


@pytest.mark.parametrize("fit", ["first", "best"])
def test_a_childs_heap_does_what_its_parents_would_have_done_and_moves_nothing_there(fit: str) -> None:
    @seeded
    @given(allocator_steps)
    def holds(steps: Steps) -> None:
        parent = BookAllocator(fit=fit)
        live: list[int] = [pointers[0] for pointers in perform(steps[::2], parent) if pointers[0]]
        child = parent.copy()
        before = parent.used(), parent.free_pieces(), parent.end, parent.asked
        in_child = [child.malloc(size).result for _what, size, _choice in steps[1::2]]
        child.free(in_child[-1])
        assert (parent.used(), parent.free_pieces(), parent.end, parent.asked) == before
        assert [parent.malloc(size).result for _what, size, _choice in steps[1::2]] == in_child
        assert child.used().keys() <= parent.used().keys()
        assert live

    holds()


def test_a_childs_next_fit_goes_on_where_its_parents_search_ended() -> None:
    parent = BookAllocator(fit="next")
    pieces = [parent.malloc(100).result for _ in range(7)]
    for address in pieces[:6:2]:
        parent.free(address)
    parent.malloc(3000)  # behind them all; the search goes on from there
    child = parent.copy()
    assert child.malloc(50).result == parent.malloc(50).result


@pytest.mark.parametrize("alignment", [32, 64, 4096])
def test_an_aligned_piece_has_the_bytes_that_were_asked_for(alignment: int) -> None:
    for before in range(0, 2 * alignment, 16):
        heap = BookAllocator()
        heap.malloc(before)
        hole = heap.malloc(alignment + 16).result  # a free piece of just the room that the search asks for
        heap.malloc(16)
        heap.free(hole)
        address = heap.memalign(alignment, 16).result
        assert heap.end_of(address) - address >= 16


@seeded
@given(allocator_steps)
def test_a_search_never_looks_at_more_pieces_than_there_are(steps: Steps) -> None:
    for fit in FITS:
        heap = BookAllocator(fit=fit)
        for _what, size, choice in steps:
            pieces = len(heap.free_pieces())
            outcome = heap.malloc(size)
            assert (outcome.looked == pieces) if fit == "best" else (outcome.looked <= pieces)
            assert outcome.grew == (outcome.break_after != outcome.break_before)
            if choice % 2:
                heap.free(outcome.result)


# ---- the machine --------------------------------------------------------------------------------------------


def mappings_of(events: list[Event]) -> dict[int, list[tuple[int, int]]]:
    """What each process has mapped at some time, by its own system calls and those of its parents."""
    found: dict[int, list[tuple[int, int]]] = {1: []}
    first_break = 0
    for event in events:
        if isinstance(event, Process) and event.what == "fork" and event.child is not None:
            found[event.child] = list(found[event.pid])
        elif isinstance(event, Syscall) and event.name == "mmap" and event.errno is None:
            found[event.pid].append((event.result or 0, (event.result or 0) + event.args[1]))
        elif isinstance(event, Syscall) and event.name == "brk" and event.result:
            first_break = first_break or event.result
            found[event.pid].append((first_break, event.result))
    return found


@seeded
@given(workloads())
def test_faults_lie_inside_mappings_and_pages_that_are_resident_took_one(operations: list[Operation]) -> None:
    machine = BookMachine()
    events = list(machine.run(operations))
    done["machine"] += len(operations)
    mapped = mappings_of(events)
    for event in events:
        if isinstance(event, Fault):
            assert event.address % PAGE == 0
            assert any(start <= event.address < end for start, end in mapped[event.pid])
    memory = machine._now.memory
    resident = {page * PAGE for page, entry in memory._table.entries.items() if entry >> 2}
    assert len(resident) == machine.totals.resident_pages
    assert all(memory.is_mapped(page) for page in resident)
    assert all(any(start <= page < end for start, end in mapped[1]) for page in resident)


@seeded
@given(workloads())
def test_the_same_workload_gives_the_same_run_and_its_text_too(operations: list[Operation]) -> None:
    first = list(BookMachine().run(operations))
    assert list(BookMachine().run(operations)) == first
    assert list(BookMachine().run(parse(render(operations).encode().splitlines()))) == first
    assert [event.n for event in first] == list(range(len(first)))


@seeded
@given(allocator_workloads())
def test_what_a_child_does_is_nothing_to_its_parent(operations: list[Operation]) -> None:
    """Without its children the first process makes the same calls, with the same pointers."""
    depth, alone = 0, []
    for operation in operations:
        depth -= operation.kind == "exit"
        if not depth and operation.kind not in ("fork", "exit"):
            alone.append(operation)
        depth += operation.kind == "fork"
    done["forks"] += len(operations)
    with_children, without = BookMachine(), BookMachine()
    first = _calls(event for event in with_children.run(operations) if event.pid == 1)
    assert first == _calls(without.run(alone))
    assert with_children.totals.heap_bytes == without.totals.heap_bytes
    # Written pages stay written; a child can only make its parent take more faults for them, not hold fewer.
    assert with_children.totals.resident_pages == without.totals.resident_pages


def _calls(events: Iterator[Event]) -> list[tuple[str, int, int | None, int | None]]:
    return [(event.op, event.bytes_asked, event.pointer, event.result) for event in events if isinstance(event, Call)]


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_the_same_seed_gives_the_same_run(profile: str) -> None:
    first = list(BookMachine().run(generate(23, 500, profile)))
    assert list(BookMachine().run(generate(23, 500, profile))) == first


def test_no_fewer_than_ten_thousand_operations_were_performed() -> None:
    if len(done) < 8:
        pytest.skip(f"only a part of this module was run: {', '.join(done) or 'nothing'}")
    assert sum(done.values()) >= 60_000
    assert min(done.values()) >= 4000
