"""What holds in the model of paging after any operations, with as many frames as one likes and with few."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from observer.model.addresses import PAGE
from observer.simulator.page_table import ANON, EXCLUSIVE, SHIFT
from observer.simulator.paging import Frames, Memory, OutOfFrames, PageFault, SegmentationFault
from observer.simulator.replacement import POLICIES, Lru, count_faults

START = 0x4000_0000
KINDS = ["anonymous", "anonymous", "shared", "file", "heap"]
CALLS = [
    "write", "write", "write", "write", "read", "read", "read", "map", "unmap", "protect", "drop", "lazy_free", "lock",
    "unlock", "populate", "advise_huge", "fork", "end", "move",
]  # fmt: skip

Operation = tuple[str, int, int, int, int]
"""The call, which process, the first page, how many pages, and a number to choose by."""

operations = st.lists(
    st.tuples(
        st.sampled_from(CALLS), st.integers(0, 3), st.integers(0, 60), st.integers(1, 24), st.integers(0, 1 << 20)
    ),
    min_size=30, max_size=120,
)  # fmt: skip
machines = st.tuples(st.sampled_from([None, 6, 12, 40]), st.sampled_from(sorted(POLICIES)))


class Machine:
    """Up to four processes on the same frames."""

    def __init__(self, limit: int | None, policy: str, pages: int = 64) -> None:
        self.frames = Frames(limit, policy)
        self.processes = [Memory(frames=self.frames, thp="always")]
        for page, kind in enumerate(KINDS):
            self.processes[0].map(START + page * 16 * PAGE, 16 * PAGE, kind, object=1 if kind == "shared" else None)

    def perform(self, operation: Operation) -> object:
        name, who, first, count, choice = operation
        memory = self.processes[who % len(self.processes)]
        try:
            return self.call(memory, name, START + first * PAGE, count * PAGE, choice)
        except SegmentationFault as fault:
            return fault.address, fault.code, fault.faults
        except OutOfFrames:
            return "out of frames"

    def call(self, memory: Memory, name: str, start: int, length: int, choice: int) -> object:
        if name == "map":
            kind = KINDS[choice % 5]
            access = ("write", "write", "read", "none")[choice // 5 % 4]
            return memory.map(start, length, kind, access=access, object=1 if kind == "shared" else None)
        if name == "protect":
            return memory.protect(start, length, ("write", "write", "read", "none")[choice % 4])
        if name == "advise_huge":
            return memory.advise_huge(start, length, bool(choice % 2))
        if name == "move":
            there = START + (100 + choice % 100) * PAGE
            return memory.move(start, length, there, length) if memory.is_mapped(start) else None
        if name == "fork":
            return self.fork(memory)
        if name == "end":
            return self.end(memory)
        result: object = getattr(memory, name)(start, length)
        if name == "write":
            self.write_again(memory, start, length)
        return result

    def write_again(self, memory: Memory, start: int, length: int) -> None:
        if self.frames.limit is None:
            assert memory.write(start, length) == memory.read(start, length) == []
        else:
            assert memory.write(start + length - PAGE) == memory.read(start + length - PAGE) == []

    def fork(self, memory: Memory) -> None:
        if len(self.processes) < 4:
            before = self.frames.users.keys() | set()
            self.processes.append(memory.fork())
            assert self.frames.users.keys() == before

    def end(self, memory: Memory) -> None:
        if len(self.processes) > 1:
            self.processes.remove(memory)
            memory.end()

    # ---- what must hold -------------------------------------------------------------------------------------

    def check(self) -> None:
        maps: Counter[int] = Counter()
        waiting: Counter[int] = Counter()
        slots = {}
        for memory in self.processes:
            self.check_one(memory)
            maps.update(entry >> SHIFT for entry in memory._table.entries.values() if entry >> SHIFT)
            waiting.update(map(id, memory._table.swapped.values()))
            slots.update({id(slot): slot for slot in memory._table.swapped.values()})
        users = self.frames.users
        assert {frame: count for frame, count in users.items() if count} == maps
        assert all(frame in self.frames.cached for frame, count in users.items() if not count)
        assert {name: slot.waiting for name, slot in slots.items()} == waiting
        if self.frames.limit is not None:
            assert len(users) <= self.frames.limit
            assert {frame: len(mappers) for frame, mappers in self.frames._mappers.items()} == users

    def check_one(self, memory: Memory) -> None:
        table, regions = memory._table, list(memory._regions)
        assert all(one.end <= two.first for one, two in pairwise(regions))
        assert memory._regions._firsts == [region.first for region in regions]
        assert not table.entries.keys() & table.swapped.keys()
        assert memory.resident_pages == sum(entry >> SHIFT != 0 for entry in table.entries.values())
        for page, entry in table.entries.items():
            region = memory._regions.find(page)
            assert region is not None
            if entry & EXCLUSIVE:
                assert entry & ANON
                assert self.frames.users[entry >> SHIFT] == 1
            assert page >> 9 in table.tables or page >> 9 in table.huge
        assert all(memory._regions.find(page) is not None for page in table.swapped)
        assert not table.tables & table.huge
        assert all(page in memory._reads and not memory.would_fault(page * PAGE, write=True) for page in memory._writes)
        assert all(not memory.would_fault(page * PAGE, write=False) for page in memory._reads)


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(machine=machines, sequence=operations)
def test_frames_and_entries_agree_after_every_operation(
    machine: tuple[int | None, str], sequence: list[Operation]
) -> None:
    one, two = Machine(*machine), Machine(*machine)
    for operation in sequence:
        assert one.perform(operation) == two.perform(operation)  # the same sequence, the same result
        one.check()
    for process in one.processes:
        process.end()
    assert one.frames.users == {}
    assert one.frames.blank == set()


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(sequence=st.lists(st.tuples(st.integers(0, 2047), st.sampled_from("wwwrrdpfelmn")), min_size=40, max_size=80))
def test_huge_pages_keep_the_books_too(sequence: list[tuple[int, str]]) -> None:
    machine = Machine(None, "fifo")
    machine.processes[0].map(START, 2048 * PAGE, "anonymous")
    for page, letter in sequence:
        memory, start, length = machine.processes[-1], START + page * PAGE, min(300, 2048 - page) * PAGE
        if letter in "wrd":
            {"w": memory.write, "r": memory.read, "d": memory.drop}[letter](start, length)
        elif letter in "ln":
            memory.lazy_free(start, length) if letter == "l" else memory.advise_huge(start, length, page % 2 == 0)
        elif letter in "fe":
            machine.fork(memory) if letter == "f" else machine.end(memory)
        elif letter == "m":
            memory.map(start, length, "anonymous")
        else:
            memory.protect(start, length, "read")
            memory.protect(start, length, "write")
    machine.check()
    for process in machine.processes:
        process.end()
    assert machine.frames.users == {}


references = st.lists(st.integers(0, 12), min_size=20, max_size=150)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(string=references, capacity=st.integers(1, 8))
def test_lru_has_the_stack_property(string: list[int], capacity: int) -> None:
    few, many = count_faults(Lru(), capacity, string), count_faults(Lru(), capacity + 1, string)
    assert few[1] <= many[1]
    assert few[0] >= many[0]


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    string=st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=20, max_size=100), limit=st.integers(2, 8)
)
def test_memory_with_lru_has_it_too_and_sees_every_access(string: list[tuple[int, bool]], limit: int) -> None:
    held = []
    for capacity in (limit, limit + 1):
        memory = Memory(frames=Frames(capacity, "lru"))
        memory.map(START, 16 * PAGE, "anonymous")
        memory.write(START, 13 * PAGE)  # so that no page is a zero page
        faults: list[PageFault] = []
        for page, is_write in string:
            faults += (memory.write if is_write else memory.read)(START + page * PAGE)
        loaded = count_faults(Lru(), capacity, [*range(13), *(page for page, _ in string)])
        assert len(faults) == loaded[0] - 13
        held.append({page for page in range(13) if memory.is_resident(START + page * PAGE)})
        assert held[-1] == loaded[1]
    assert held[0] <= held[1]
