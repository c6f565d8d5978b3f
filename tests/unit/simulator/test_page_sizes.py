"""Other pages than the reference machine's: 16 KiB, as some arm64 kernels have them."""

from __future__ import annotations

import pytest

from observer.model.account import alignment_of, ask_of, request_of
from observer.model.addresses import PAGE, AddressSpace, page_down, page_up
from observer.simulator.book import BookAllocator
from observer.simulator.frame_side import FrameSide
from observer.simulator.frames import Frames
from observer.simulator.glibc.kernel import SimulatedKernel
from observer.simulator.glibc.malloc import Glibc
from observer.simulator.machine import BookMachine
from observer.simulator.page_sizes import PageSizes
from observer.simulator.paging import Memory
from observer.simulator.recorded import RecordedWorkload
from observer.simulator.workload import parse
from tests.builders import HEAP, MAP, call, fault, held, syscall

LARGE = 16384
PLACE = 0x4000_0000
MAPPED = MAP & -LARGE


def test_the_reference_machine_has_pages_of_4_kib() -> None:
    sizes = PageSizes()
    assert (sizes.page, sizes.shift, sizes.huge, sizes.huge_shift, sizes.huge_page) == (4096, 12, 512, 9, 2 << 20)
    assert (page_up(1), page_down(8191), PAGE) == (4096, 4096, 4096)


def test_a_table_is_one_page_of_entries() -> None:
    sizes = PageSizes(LARGE)
    assert (sizes.shift, sizes.huge, sizes.huge_shift, sizes.huge_page) == (14, 2048, 11, 32 << 20)


@pytest.mark.parametrize("page", [0, 4, 3000])
def test_what_is_no_power_of_two_is_no_page(page: int) -> None:
    with pytest.raises(ValueError, match="no page"):
        PageSizes(page)


def test_ranges_are_widened_or_narrowed_to_whole_pages() -> None:
    sizes = PageSizes(LARGE)
    assert (sizes.up(16385), sizes.down(32767)) == (32768, 16384)
    assert (sizes.pages(5000, 20000), sizes.whole_pages(5000, 50000)) == ((0, 2), (1, 3))


def test_memory_comes_in_pages_of_its_frames() -> None:
    memory = Memory(frames=Frames(page_size=LARGE))
    memory.map(PLACE, 100_000, "anonymous")
    assert memory.mapped() == [(PLACE, 7 * LARGE)]
    assert [fault.address for fault in memory.write(PLACE + 5000, 30_000)] == [PLACE, PLACE + LARGE, PLACE + 2 * LARGE]
    child = memory.fork()
    assert [fault.kind for fault in child.write(PLACE + 12_287, 4)] == ["copy on write"]


def test_huge_pages_grow_with_the_page() -> None:
    memory = Memory(thp="always", frames=Frames(page_size=LARGE))
    memory.map(PLACE, 32 << 20, "anonymous")
    assert [(fault.kind, fault.pages) for fault in memory.write(PLACE)] == [("huge first write", 2048)]


def test_the_books_heap_grows_by_whole_pages() -> None:
    heap = BookAllocator(page_size=LARGE)
    heap.malloc(1)
    assert heap.end - heap.start == LARGE
    twin = heap.copy()
    twin.malloc(LARGE)
    assert twin.end - twin.start == 2 * LARGE


def test_the_books_machine_has_the_pages_of_its_frames() -> None:
    machine = BookMachine(frames=Frames(page_size=LARGE))
    text = b"map m 20000\ntouch m 0 20000\nunmap m\n"
    events = list(machine.run(parse(text.splitlines())))
    assert [event.args[1] for event in events if hasattr(event, "args") and event.name in ("mmap", "munmap")] == [
        2 * LARGE, 2 * LARGE,
    ]  # fmt: skip
    assert machine.totals.faults_program == 2


def test_glibcs_heap_begins_with_whole_pages_of_the_machine() -> None:
    grown = {}
    for page in (PAGE, LARGE):
        kernel = SimulatedKernel(PLACE, page_size=page)
        Glibc("2.36", kernel=kernel, page_size=page).malloc(24)
        grown[page] = kernel.end - PLACE
    assert grown == {PAGE: 0x21000, LARGE: 0x24000}  # as strace shows on kernels with either


def test_the_simulated_kernel_maps_whole_pages() -> None:
    kernel = SimulatedKernel(top=PLACE, page_size=LARGE)
    assert kernel.mmap(0, 1, 3, 0x22) == PLACE - LARGE


def test_a_recorded_process_is_followed_in_its_pages() -> None:
    side = FrameSide("never", LARGE)
    side.apply(syscall(1, "mmap", 0, 20_000, 3, 0x22, result=MAPPED))
    assert side.memory.mapped() == [(MAPPED, 2 * LARGE)]
    assert side.copy().memory.sizes.page == LARGE


def test_a_recorded_workload_has_its_machines_pages() -> None:
    first, second = fault(2, MAPPED), fault(3, MAPPED + LARGE)
    mapped = syscall(1, "mmap", 0, 20_000, 3, 0x22, result=MAPPED)
    operations = list(RecordedWorkload(held([mapped, first, second]), LARGE).operations())
    assert [(each.kind, each.numbers) for each in operations] == [("map", (2 * LARGE,)), ("touch", (0, LARGE + 1))]


def test_calls_and_mappings_are_rounded_to_the_machines_pages() -> None:
    assert request_of(call(0, "pvalloc", 5000, result=HEAP), LARGE) == LARGE
    assert alignment_of(call(0, "valloc", 5000, result=HEAP), LARGE) == LARGE
    assert ask_of(syscall(1, "mmap", 0, 20_000, 3, 0x22, result=MAPPED), 0, LARGE).amount == 2 * LARGE
    space = AddressSpace(page=LARGE)
    space.map(PLACE, 1, "rw-")
    assert [mapping.size for mapping in space.copy().mappings] == [LARGE]
