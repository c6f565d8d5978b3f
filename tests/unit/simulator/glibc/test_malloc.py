"""glibc's allocator by the model: known addresses, system calls and quirks; the exact comparison is in properties/."""

from __future__ import annotations

import pytest

from observer.errors import BadWorkload
from observer.glibc.tunables import read_tunables
from observer.glibc.versions import VERSIONS, version_of
from observer.simulator.glibc.kernel import RecordedKernel, SimulatedKernel, SystemCall
from observer.simulator.glibc.malloc import Glibc

HEAP = 0x10000000


def glibc(version: str = "2.36", tunables: dict[str, int] | None = None, limit: int | None = None) -> Glibc:
    return Glibc(version, tunables, kernel=SimulatedKernel(HEAP, limit=limit), main_task=11)


@pytest.mark.parametrize(
    ("version", "offset"), [("2.31", 0x2A0), ("2.36", 0x2A0), ("2.41", 0x2A0), ("2.42", 0x310), ("2.43", 0x10)]
)
def test_the_first_small_pointer(version: str, offset: int) -> None:
    assert glibc(version).malloc(24).pointer == HEAP + offset


def test_the_first_call_asks_where_the_break_is_and_moves_it() -> None:
    assert [(ask.name, ask.arguments) for ask in glibc().malloc(24).asks] == [("brk", (0,)), ("brk", (HEAP + 0x21000,))]


def test_a_large_request_is_mapped_and_its_release_raises_the_threshold() -> None:
    allocator = glibc()
    first = allocator.malloc(200_000)
    assert [(ask.name, ask.arguments[1]) for ask in first.asks if ask.name == "mmap"] == [("mmap", 200_704)]
    assert first.served_by == "mmap"
    assert [ask.name for ask in allocator.free(first.pointer).asks] == ["munmap"]
    assert allocator.malloc(200_000).served_by == "growth"


@pytest.mark.parametrize(("version", "usable"), [("2.36", 200_688), ("2.43", 200_680)])
def test_how_much_of_a_mapped_piece_may_be_used(version: str, usable: int) -> None:
    allocator = glibc(version)
    assert allocator.malloc_usable_size(allocator.malloc(200_000).pointer) == usable


@pytest.mark.parametrize(("version", "same"), [("2.36", False), ("2.41", True)])
def test_whether_calloc_takes_from_the_threads_cache(version: str, same: bool) -> None:
    allocator = glibc(version)
    pointer = allocator.malloc(24).pointer
    allocator.free(pointer)
    assert (allocator.calloc(1, 24).pointer == pointer) == same


@pytest.mark.parametrize(("version", "offset"), [("2.36", 0x3A0), ("2.39", 0x330)])
def test_what_memalign_leaves_behind(version: str, offset: int) -> None:
    allocator = glibc(version)
    allocator.malloc(24)
    assert allocator.memalign(64, 100).pointer == HEAP + 0x2C0
    assert allocator.malloc(24).pointer & 0xFFF == offset


def test_realloc_reads_what_the_program_never_wrote() -> None:
    allocator = glibc()
    old = allocator.malloc(20_000).pointer
    allocator.malloc(24)
    moved = allocator.realloc(old, 40_000)
    assert (old, 20_008, False) in moved.touched
    assert moved.served_by == "top"


def test_calloc_of_fresh_memory_clears_eight_bytes_into_the_first_new_page() -> None:
    allocator = glibc()
    allocator.malloc(0x21000 - 0x290 - 0x28 - 8)
    cleared = allocator.calloc(1, 60_000)
    assert cleared.touched[-1] == (cleared.pointer, 0x20 - 8, True)


def test_trim_with_the_smallest_top_grows_the_heap() -> None:
    allocator = glibc()
    allocator.malloc(0x21000 - 0x290 - 0x20 - 8)
    outcome = allocator.malloc_trim(0)
    assert [ask.arguments for ask in outcome.asks] == [(HEAP + 0x22000,)]
    assert outcome.pointer == 1


def test_where_the_break_cannot_move_a_region_is_mapped() -> None:
    allocator = glibc(limit=HEAP)
    assert [ask.name for ask in allocator.malloc(24).asks] == ["brk", "brk", "mmap"]
    assert allocator.malloc(24).served_by == "top"


def test_what_cannot_be_had_is_null() -> None:
    allocator = glibc()
    assert allocator.malloc(1 << 63).pointer == 0
    assert allocator.calloc(1 << 40, 1 << 40).pointer == 0
    assert allocator.posix_memalign(24, 100).pointer == 0
    assert allocator.reallocarray(0, 1 << 40, 1 << 40).pointer == 0


@pytest.mark.parametrize(("version", "refused"), [("2.36", False), ("2.38", True)])
def test_whether_aligned_alloc_refuses_what_is_no_power_of_two(version: str, refused: bool) -> None:
    assert (glibc(version).aligned_alloc(48, 100).pointer == 0) == refused


def test_a_pointer_that_was_never_handed_out_is_an_error() -> None:
    with pytest.raises(BadWorkload):
        glibc().free(HEAP + 0x100)


def test_a_release_that_is_not_known_is_an_error() -> None:
    assert version_of("2.36-9+deb12u14") is VERSIONS["2.36"]
    with pytest.raises(ValueError, match=r"2\.17"):
        glibc("2.17")


def test_a_thread_has_an_arena_of_its_own() -> None:
    allocator = glibc()
    allocator.malloc(24)
    first = allocator.malloc(24, 12)
    assert [ask.name for ask in first.asks] == ["mmap", "munmap", "munmap", "mprotect"]
    assert first.pointer & 0x3FFFFFF == 0xB70


def test_a_thread_that_ends_leaves_its_arena_to_the_next() -> None:
    allocator = glibc()
    first = allocator.malloc(24, 12)
    allocator.free(first.pointer, 12)
    allocator.end_thread(12)
    assert allocator.malloc(2000, 13).pointer & -0x4000000 == first.pointer & -0x4000000


def test_with_one_arena_threads_share_the_main_one() -> None:
    allocator = glibc(tunables={"arena_max": 1})
    allocator.malloc(24)
    assert allocator.malloc(24, 12).pointer < HEAP + 0x21000


def test_pieces_of_one_thread_go_to_the_cache_of_the_one_that_frees_them() -> None:
    allocator = glibc()
    pointer = allocator.malloc(24).pointer
    allocator.malloc(24, 12)
    allocator.free(pointer, 12)
    assert allocator.malloc(24).pointer != pointer
    assert allocator.malloc(24, 12).pointer == pointer


def test_a_forked_child_goes_on_alone() -> None:
    parent = glibc()
    pieces = [parent.malloc(size).pointer for size in (24, 700, 2000, 5000, 60, 200_000)]
    for pointer in pieces[::2]:
        parent.free(pointer)
    child = parent.copy(child=21, kernel=SimulatedKernel(HEAP + 0x21000))
    sizes = (24, 2000, 30, 600, 60, 90_000)
    there = [child.malloc(size).pointer for size in sizes]
    assert there == [parent.malloc(size).pointer for size in sizes]
    child.free(there[1])
    assert parent.malloc(2000).pointer != there[1]


def test_a_child_of_a_thread_has_the_other_arenas_to_spare() -> None:
    parent = glibc()
    parent.malloc(24)
    heaps = [parent.malloc(24, task).pointer & -0x4000000 for task in (12, 13)]
    child = parent.copy(task=12, child=31)
    assert child.malloc(2000).pointer & -0x4000000 == heaps[0]
    assert child.malloc(2000, 32).pointer & -0x4000000 == heaps[1]
    assert child.malloc(2000, 33).pointer < HEAP + 0x22000


def test_without_touches_the_answers_are_the_same() -> None:
    quiet = Glibc("2.36", kernel=SimulatedKernel(HEAP), touches=False)
    loud = glibc()
    for size in (24, 1000, 5000, 200_000):
        assert quiet.malloc(size).pointer == loud.malloc(size).pointer
    assert quiet.malloc(24).touched == ()


def test_a_recording_answers_in_order_and_tells_what_differs() -> None:
    kernel = RecordedKernel()
    allocator = Glibc("2.36", kernel=kernel)
    kernel.begin([SystemCall("brk", (0,), HEAP), SystemCall("brk", (HEAP + 0x21000,), HEAP + 0x21000)])
    assert allocator.malloc(24).pointer == HEAP + 0x2A0
    kernel.begin([SystemCall("munmap", (1, 2), 0)])
    allocator.malloc(24)
    kernel.finish()
    assert [mismatch.recorded for mismatch in kernel.mismatches] == [SystemCall("munmap", (1, 2), 0)]


@pytest.mark.parametrize(
    ("version", "text", "expected"),
    [
        ("2.36", "glibc.malloc.top_pad=4096k", {"top_pad": 4096}),
        ("2.39", "glibc.malloc.top_pad=4096k", {}),
        ("2.36", "glibc.malloc.mxfast=0x20:glibc.malloc.perturb=256", {"mxfast": 32}),
        ("2.39", "glibc.malloc.mxfast=1:", {}),
        ("2.39", "glibc.malloc.mxfast=1:glibc.malloc.mxfast=2", {"mxfast": 2}),
        ("2.31", "glibc.malloc.hugetlb=1", {}),
        ("2.31", "glibc.malloc.mmap_max=-1", {"mmap_max": -1}),
        ("2.36", "glibc.malloc.mmap_max=-1", {}),
        ("2.36", "glibc.malloc.arena_max=0:glibc.malloc.check=1", {}),
    ],
)
def test_tunables_are_read_as_the_loader_reads_them(version: str, text: str, expected: dict[str, int]) -> None:
    assert read_tunables({"GLIBC_TUNABLES": text}, VERSIONS[version]) == expected


def test_mallopt_takes_and_refuses() -> None:
    allocator = glibc()
    assert allocator.mallopt(1, 161).pointer == 0
    assert allocator.mallopt(-3, 4096).pointer == 1
    assert allocator.malloc(131_032).pointer
    assert glibc("2.31").mallopt(-3, (32 << 20) + 1).pointer == 0
