"""The model of glibc beside a recorded process: its own simulated runs, told as events, are predicted to the last bit."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from observer.errors import UsageError
from observer.model.events import Call, Site, Syscall
from observer.simulator.glibc.kernel import SimulatedKernel
from observer.simulator.glibc.malloc import Glibc, Outcome
from observer.simulator.glibc_side import ExactPrediction, GlibcSide
from tests.builders import HEAP, LIBC, PAGE, PID, call, in_libc, site, syscall

GROWN = 0x21000
OTHER = PID + 1
CHILD = PID + 7
RELEASES = ["2.31", "2.35", "2.36", "2.38", "2.39", "2.41", "2.42", "2.43"]
LOADER = Site("_dl_sysdep_start", None, None, "ld-linux-x86-64.so.2", 0x1C0D0)
Recorded = tuple[Call, list[Syscall]]


def side(version: str = "2.36", environment: dict[str, str] | None = None, **fields: Any) -> GlibcSide:
    return GlibcSide(version, environment or {}, PID, **{"cpus": 8, "thp": "never", **fields})


class Reality:
    """A simulated process whose calls are written down as events."""

    def __init__(self, version: str = "2.36", tunables: dict[str, int] | None = None) -> None:
        self.kernel = SimulatedKernel(HEAP, top=LIBC)
        self.model = Glibc(version, tunables, main_task=PID, kernel=self.kernel, cpus=8)
        self.said: list[tuple[Recorded, Outcome]] = []

    def do(self, op: str, size: int | None = None, tid: int = PID, **fields: Any) -> int:
        """Make a call; return its pointer."""
        given = [fields[name] for name in ("pointer", "count", "alignment") if name in fields]
        arguments = [*given, *([size] if size is not None else [])]
        if op in ("malloc_trim", "malloc_usable_size"):
            answer = getattr(self.model, op)(*arguments)
            outcome = answer if isinstance(answer, Outcome) else Outcome(answer)
        else:
            outcome = getattr(self.model, op)(*arguments, task=tid)
        self.said.append((recording(op, size, outcome, tid=tid, **fields), outcome))
        return outcome.pointer


def recording(op: str, size: int | None, outcome: Outcome, **fields: Any) -> Recorded:
    """A call as a recorder would have seen it."""
    event = call(0, op, size, result=None if op == "free" else outcome.pointer, **fields)
    inside = []
    for asked in outcome.asks:
        more = (-1, 0) if asked.name == "mmap" else ()
        wrong = {"result": -12, "errno": 12} if asked.result is None else {"result": asked.result}
        inside.append(syscall(0, asked.name, *asked.arguments, *more, cause=0, **wrong))
    return event, inside


def words(said: ExactPrediction) -> list[tuple[str, str]]:
    """What was asked otherwise than recorded: (predicted, observed)."""
    return [(each.predicted, each.observed) for each in said.wrong]


def assert_replayed(reality: Reality, made: GlibcSide) -> None:
    """Every call that was written down is predicted: pointer, system calls in words, the allocator's accesses."""
    for (event, inside), outcome in reality.said:
        said = made.predict(event, inside)
        assert (said.pointer, said.served_by) == (outcome.pointer, outcome.served_by)
        assert said.wrong == ()
        told = [f"{name}({', '.join(map(hex, arguments))})" for name, arguments, _result in outcome.asks]
        assert [asked.text for asked in said.asked] == told
        assert [(reach.start, reach.length, reach.write) for reach in said.reaches] == [
            tuple(touch) for touch in outcome.touched
        ]
        assert {reach.what for reach in said.reaches} <= {"allocator"}
    assert made.heap_bytes == reality.kernel.end - HEAP


def a_life(reality: Reality, seed: int, calls: int = 150) -> None:
    """Calls of the whole family, at random."""
    choose, held = random.Random(seed), [0]
    sizes = [0, 1, 24, 100, 1000, 1033, 5000, 40_000, 140_000, 300_000, 1 << 62]
    for _ in range(calls):
        op = choose.choice(["malloc"] * 5 + ["free"] * 5 + ["calloc", "realloc", "aligned", "trim", "usable"])
        size = choose.choice(sizes)
        if op == "malloc":
            held.append(reality.do("malloc", size))
        elif op == "calloc":
            held.append(reality.do("calloc", size, count=choose.choice([0, 1, 3, 1 << 40])))
        elif op == "realloc":
            at = choose.randrange(len(held))
            new = reality.do("realloc", size, pointer=held[at])
            if new or not size:
                held[at] = new
        elif op == "aligned":
            name = choose.choice(["memalign", "aligned_alloc", "posix_memalign"])
            held.append(reality.do(name, size, alignment=choose.choice([8, 16, 64, 4096, 1 << 20])))
        elif op == "trim":
            reality.do("malloc_trim", choose.choice([0, 1 << 16]))
        elif op == "usable":
            reality.do("malloc_usable_size", None, pointer=choose.choice(held))
        else:
            reality.do("free", None, pointer=held.pop(choose.randrange(len(held))) if len(held) > 1 else 0)


# ---- replays ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", RELEASES)
@pytest.mark.parametrize("seed", range(6))
def test_a_simulated_life_is_predicted(version: str, seed: int) -> None:
    reality = Reality(version)
    a_life(reality, seed)
    assert_replayed(reality, side(version))


@pytest.mark.parametrize("op", ["valloc", "pvalloc"])
def test_whole_pages_are_predicted(op: str) -> None:
    reality = Reality()
    reality.do(op, 100)
    reality.do("reallocarray", 100, pointer=reality.do("malloc", 10), count=30)
    assert_replayed(reality, side())


def test_cfree_frees() -> None:
    made = side()
    made.predict(*first_call())
    made.predict(call(1, "cfree", None, pointer=HEAP + 0x2A0), [])
    assert made.predict(call(2, "malloc", 24, result=HEAP + 0x2A0), []).served_by == "tcache"


def test_another_release_is_told_apart() -> None:
    reality = Reality("2.36")
    reality.do("malloc", 24)
    [((event, inside), outcome)] = reality.said
    assert side("2.43").predict(event, inside).pointer != outcome.pointer


def test_a_distributions_release_is_understood() -> None:
    assert side("2.36-9+deb12u14").predict(*first_call()).pointer == HEAP + 0x2A0


@pytest.mark.parametrize("version", ["9.99", "2.30", "", "musl"])
def test_an_unknown_release_is_refused(version: str) -> None:
    with pytest.raises(UsageError, match=r"no model of this C library: glibc .*is not known; known are 2\.31"):
        side(version)


def first_call(size: int = 24, grown: int = GROWN) -> Recorded:
    inside = [syscall(0, "brk", 0, result=HEAP), syscall(0, "brk", HEAP + grown, result=HEAP + grown)]
    return call(0, "malloc", size, result=HEAP + 0x2A0), inside


# ---- system calls that differ -------------------------------------------------------------------------------


def test_a_system_call_that_is_missing() -> None:
    event, inside = first_call()
    said = side().predict(event, inside[:1])
    assert words(said)[0] == (f"brk({HEAP + GROWN:#x})", "none")
    assert said.wrong[0].asked is not None


def test_a_system_call_more() -> None:
    event, inside = first_call()
    said = side().predict(event, [*inside, syscall(0, "munmap", LIBC, PAGE)])
    assert words(said) == [("none", f"munmap({LIBC:#x}, 0x1000)")]
    assert said.wrong[0].asked is None
    assert said.pointer == HEAP + 0x2A0


def test_a_system_call_with_another_argument() -> None:
    said = side().predict(*first_call(grown=2 * GROWN))
    assert words(said) == [(f"brk({HEAP + GROWN:#x})", f"brk({HEAP + 2 * GROWN:#x})")]


def test_what_was_wrong_in_one_call_is_not_told_again() -> None:
    made = side()
    event, inside = first_call()
    assert made.predict(event, [*inside, syscall(0, "munmap", LIBC, PAGE)]).wrong
    assert made.predict(call(1, "malloc", 24, result=HEAP + 0x2C0), []).wrong == ()


def test_system_calls_that_are_no_business_of_memory_are_passed_over() -> None:
    event, inside = first_call()
    assert side().predict(event, [inside[0], syscall(0, "openat", 1, 2), inside[1]]).wrong == ()


def test_a_refusal_of_the_kernel_is_believed() -> None:
    made = side()
    refused = syscall(0, "mmap", 0, 1 << 40, 3, 0x22, -1, 0, result=-12, errno=12)
    event, inside = first_call()
    made.predict(event, inside)
    said = made.predict(call(1, "malloc", (1 << 40) - 100, result=0), [refused])
    assert said.pointer == 0
    assert said.asked[0].text == "mmap(0x0, 0x10000000000, 0x3, 0x22)"


# ---- outside the allocator ----------------------------------------------------------------------------------


def sbrk(end: int, result: int | None = None, **fields: Any) -> Syscall:
    return syscall(0, "brk", end, result=end if result is None else result, **{"site": in_libc("__brk"), **fields})


def test_the_loaders_question_is_not_learnt_by_the_library() -> None:
    made = side()
    made.outside(sbrk(0, HEAP, site=LOADER))
    said = made.predict(*first_call())
    assert said.wrong == ()
    assert made.heap_bytes == GROWN


@pytest.mark.parametrize("function", ["_dl_early_allocate", "__libc_setup_tls"])
def test_the_start_of_a_static_program_is_not_learnt_by_the_library(function: str) -> None:
    made = side()
    begun, where = HEAP - 0xD40, Site(function, None, None, "story-static", 0x1000)
    made.outside(sbrk(0, begun, site=where))
    made.outside(sbrk(HEAP, site=where))
    said = made.predict(*first_call())
    assert (said.wrong, said.pointer) == ((), HEAP + 0x2A0)
    assert made.heap_bytes == GROWN + 0xD40


def test_a_program_that_asks_where_the_break_is_spares_the_library_the_question() -> None:
    made = side()
    made.outside(sbrk(0, HEAP))
    event, inside = first_call()
    said = made.predict(event, inside[1:])
    assert (said.wrong, said.pointer) == ((), HEAP + 0x2A0)


def test_a_program_that_moves_the_break_leaves_a_gap_in_the_heap() -> None:
    reality, made = Reality(), side()
    reality.do("malloc", 24)
    assert_replayed(reality, made)
    moved = reality.model.sbrk(5 * PAGE)
    made.outside(*recording("sbrk", None, moved)[1])
    reality.said.clear()
    for _ in range(3):
        reality.do("malloc", 100_000)
    assert_replayed(reality, made)
    assert made.heap_bytes > 5 * PAGE


def test_a_break_that_could_not_move_stays() -> None:
    made = side()
    made.predict(*first_call())
    made.outside(sbrk(HEAP + (1 << 46), HEAP + GROWN))
    assert made.heap_bytes == GROWN
    assert made.predict(call(1, "malloc", 24, result=HEAP + 0x2C0), []).pointer == HEAP + 0x2C0


@pytest.mark.parametrize(
    "event",
    [
        syscall(0, "mmap", 0, PAGE, 3, 0x22, -1, 0, result=LIBC), syscall(0, "brk", 0, result=None),
        syscall(0, "brk", 0, result=-12, errno=12), syscall(0, "openat", 1, 2),
    ],
    ids=["mapping", "unanswered", "failed", "file"],
)  # fmt: skip
def test_what_tells_nothing_about_the_break_changes_nothing(event: Syscall) -> None:
    made = side()
    made.outside(event)
    assert made.heap_bytes == 0
    assert made.predict(*first_call()).wrong == ()


def test_without_a_place_a_movement_is_the_programs() -> None:
    made = side()
    made.outside(sbrk(0, HEAP, site=None))
    made.outside(sbrk(HEAP + PAGE, site=site()))
    assert made.heap_bytes == PAGE


# ---- what the environment says ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "tunables"),
    [
        ({"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}, {"tcache_count": 0}),
        ({"GLIBC_TUNABLES": "glibc.malloc.top_pad=4096:glibc.malloc.mmap_max=0"}, {"top_pad": 4096, "mmap_max": 0}),
        ({"MALLOC_MMAP_THRESHOLD_": "5000"}, {"mmap_threshold": 5000}),
    ],
)
def test_tunables_of_the_environment_hold(environment: dict[str, str], tunables: dict[str, int]) -> None:
    reality, plain = Reality(tunables=tunables), Reality()
    a_life(reality, 3)
    a_life(plain, 3)
    assert [asked for _recorded, asked in reality.said] != [asked for _recorded, asked in plain.said]
    assert_replayed(reality, side("2.36", environment))


@pytest.mark.parametrize(("thp", "advised"), [("never", False), ("madvise", True), ("always", False)])
def test_huge_pages_are_asked_for_where_the_machine_leaves_them_to_programs(thp: str, advised: bool) -> None:
    made = side("2.36", {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}, thp=thp)
    said = made.predict(call(0, "malloc", 8 << 20, result=0), [])
    assert any(asked.name == "mmap" for asked in said.asked)
    landed = syscall(0, "mmap", 0, (8 << 20) + PAGE, 3, 0x22, -1, 0, result=LIBC)
    said = side("2.36", {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}, thp=thp).predict(
        call(0, "malloc", 8 << 20, result=LIBC + 16), [landed]
    )
    assert any(asked.name == "madvise" for asked in said.asked) == advised


# ---- threads and children -----------------------------------------------------------------------------------


@pytest.mark.parametrize("version", RELEASES)
def test_threads_have_arenas_and_caches_of_their_own(version: str) -> None:
    reality, made = Reality(version), side(version)
    reality.do("malloc", 24)
    reality.model.start_thread(OTHER)
    made.predict(*reality.said.pop()[0])
    made.start_thread(OTHER)
    for tid in (OTHER, PID, OTHER, OTHER):
        pointer = reality.do("malloc", 40, tid=tid)
        reality.do("free", None, tid=tid, pointer=pointer)
        reality.do("malloc", 2000, tid=tid)
    places = {recorded[0].tid: outcome.pointer for recorded, outcome in reality.said if recorded[0].op == "malloc"}
    assert abs(places[OTHER] - places[PID]) > 1 << 26
    assert_replayed(reality, made)


def test_what_a_thread_kept_is_given_back_when_it_ends() -> None:
    reality, made = Reality(), side()
    reality.do("malloc", 24)
    kept = reality.do("malloc", 40, tid=OTHER)
    reality.do("free", None, tid=OTHER, pointer=kept)
    assert_replayed(reality, made)
    reality.said.clear()
    reality.model.end_thread(OTHER)
    made.end_thread(OTHER)
    reality.do("malloc", 40, tid=OTHER + 1)
    reality.do("malloc", 40, tid=OTHER + 1)
    assert_replayed(reality, made)


def test_the_end_of_a_thread_that_never_allocated_is_nothing() -> None:
    made = side()
    made.end_thread(OTHER)
    assert made.predict(*first_call()).wrong == ()


def test_a_forked_child_goes_its_own_way() -> None:
    reality, made = Reality(), side()
    a_life(reality, 5)
    assert_replayed(reality, made)
    child_side = made.copy(PID, CHILD)
    child = Reality()
    child.kernel.end, child.kernel._top = reality.kernel.end, reality.kernel._top
    child.model = reality.model.copy(task=PID, child=CHILD, kernel=child.kernel)
    assert child_side.heap_bytes == made.heap_bytes
    for process, beside, tid in ((child, child_side, CHILD), (reality, made, PID)):
        process.said.clear()
        for size in (24, 100, 5000, 100_000, 100_000):
            process.do("malloc", size, tid=tid)
        assert_replayed(process, beside)


def test_the_child_of_a_thread_keeps_that_threads_arena() -> None:
    reality, made = Reality(), side()
    reality.do("malloc", 24)
    arenas = reality.do("malloc", 40, tid=OTHER)
    assert_replayed(reality, made)
    twin = made.copy(OTHER, CHILD)
    said = twin.predict(call(0, "malloc", 40, tid=CHILD, result=0), [])
    assert (said.pointer, said.wrong) == (arenas + 48, ())


# ---- recordings that cannot be ------------------------------------------------------------------------------


@pytest.mark.parametrize("op", ["free", "realloc", "malloc_usable_size", "cfree"])
@pytest.mark.parametrize("pointer", [7, HEAP + 0x5000, (1 << 64) - 16])
def test_a_pointer_that_was_never_handed_out_is_told(op: str, pointer: int) -> None:
    made = side()
    made.predict(*first_call())
    said = made.predict(call(1, op, 100 if op == "realloc" else None, pointer=pointer), [])
    assert (said.pointer, said.served_by) == (0, f"no piece of the heap begins at {pointer:#x}")
    assert made.predict(call(2, "malloc", 24, result=HEAP + 0x2C0), []).pointer == HEAP + 0x2C0


def test_a_large_pointer_that_is_freed_twice_is_told() -> None:
    reality, made = Reality(), side()
    pointer = reality.do("malloc", 5000)
    reality.do("malloc", 24)
    reality.do("free", None, pointer=pointer)
    assert_replayed(reality, made)
    assert "no piece of the heap" in made.predict(call(9, "free", None, pointer=pointer), []).served_by


@pytest.mark.parametrize("version", RELEASES)
def test_a_small_pointer_that_is_freed_twice_is_no_traceback(version: str) -> None:
    made = side(version)
    pointer = made.predict(*first_call()).pointer
    for n in range(1, 7):
        made.predict(call(n, "free", None, pointer=pointer), [])
    for n in range(7, 12):
        assert made.predict(call(n, "malloc", 24, result=pointer), []).pointer in (pointer, pointer + 32)


def test_more_frees_than_the_cache_holds_are_no_traceback() -> None:
    made = side()
    pointer = made.predict(*first_call()).pointer
    for n in range(1, 10):
        made.predict(call(n, "free", None, pointer=pointer), [])
    made.predict(call(10, "malloc", 5000, result=0), [])


def test_frees_at_random_are_no_traceback() -> None:
    for version in RELEASES:
        for seed in range(12):
            reality, made, choose = Reality(version), side(version), random.Random(seed)
            a_life(reality, seed, 80)
            for (event, inside), _outcome in reality.said:
                made.predict(event, inside)
                if choose.random() < 0.3 and event.result:
                    for _ in range(choose.choice([1, 2, 9])):
                        made.predict(call(9, "free", None, pointer=event.result), [])


def test_nonsense_in_system_calls_is_no_traceback() -> None:
    made = side()
    event, inside = first_call()
    said = made.predict(event, [replace_result(each, None) for each in inside])
    assert isinstance(said.pointer, int)
    made.predict(call(1, "malloc", 200_000, result=0), inside[::-1])
    made.predict(call(2, "free", None, pointer=HEAP), inside * 3)


def replace_result(event: Syscall, result: int | None) -> Syscall:
    return syscall(event.n, event.name, *event.args, result=result, cause=event.cause)


def test_predictions_are_values() -> None:
    said = side().predict(*first_call())
    assert msgspec.structs.replace(said) == said


def test_a_twin_goes_on_alike_and_alone() -> None:
    reality, made = Reality(), side()
    a_life(reality, 11)
    for tid in (OTHER, OTHER + 1, OTHER + 2):
        kept = reality.do("malloc", 40, tid=tid)
        reality.do("free", None, tid=tid, pointer=kept)
    assert_replayed(reality, made)
    reality.model.end_thread(OTHER + 1)
    made.end_thread(OTHER + 1)
    twin = made.twin()
    assert twin.same_as(made)
    reality.said.clear()
    for tid in (PID, OTHER, OTHER + 2, OTHER + 3):
        for size in (24, 40, 5000, 200_000):
            reality.do("malloc", size, tid=tid)
    assert_replayed(reality, twin)
    assert not twin.same_as(made)
    assert_replayed(reality, made)
    assert twin.same_as(made)
