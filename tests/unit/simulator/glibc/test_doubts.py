"""After a call that came otherwise: no certain prediction is ever wrong, and what is seen again is certain again."""

from __future__ import annotations

import random

import pytest

from observer.model.operations import ALLOCATING
from observer.simulator.glibc_side import ExactPrediction, GlibcSide
from tests.builders import HEAP, PID, call
from tests.unit.simulator.test_glibc_side import RELEASES, Reality, Recorded, side

SIZES = [
    [24, 40, 100, 200], [24, 100, 1000, 1033, 5000, 40_000], [8, 24, 1000, 5000, 140_000, 300_000], [24, 5000, 100_000],
]  # fmt: skip


def a_life(reality: Reality, choose: random.Random, sizes: list[int], calls: int) -> None:
    held: list[int] = []
    for _ in range(calls):
        op = choose.choice(["malloc"] * 6 + ["free"] * 5 + ["calloc", "realloc", "memalign"])
        size = choose.choice(sizes)
        if op == "malloc" or not held:
            held.append(reality.do("malloc", size))
        elif op == "calloc":
            held.append(reality.do("calloc", size, count=choose.choice([1, 2, 3])))
        elif op == "realloc":
            at = choose.randrange(len(held))
            held[at] = reality.do("realloc", size, pointer=held[at])
        elif op == "memalign":
            held.append(reality.do("memalign", size, alignment=choose.choice([32, 64, 4096])))
        else:
            reality.do("free", None, pointer=held.pop(choose.randrange(len(held))))


def with_one_unseen(said: list[Recorded], choose: random.Random) -> list[Recorded]:
    """The same without one malloc, and without what gave its piece back; none that asked the kernel is left out."""
    may = [i for i, (event, inside) in enumerate(said) if event.op == "malloc" and not inside]
    at = choose.choice(may)
    pointer = said[at][0].result
    later = [(i, each) for i, each in enumerate(said[at:], at) if each[0].pointer == pointer]
    if not later:
        return [each for i, each in enumerate(said) if i != at]
    end, (event, inside) = later[0]
    whole = event.op != "free" or inside
    return said[:end] if whole else [each for i, each in enumerate(said) if i not in (at, end)]


def is_wrong(recorded: Recorded, said: ExactPrediction) -> bool:
    event, _inside = recorded
    return bool(said.wrong) or (event.op in ALLOCATING and said.pointer != event.result)


def follow(made: GlibcSide, said: list[Recorded]) -> tuple[int, int, int]:
    """Return how many calls were wrong, how many of those after the first were certain, and how many were not."""
    wrong = certain = open_ = 0
    for recorded in said:
        prediction = made.predict(*recorded)
        if not prediction.is_certain:
            open_ += 1
        elif is_wrong(recorded, prediction):
            wrong += 1
            made.adopt(*recorded)
        else:
            certain += wrong > 0
    return wrong, certain, open_


@pytest.mark.parametrize("version", RELEASES)
def test_after_the_first_divergence_nothing_certain_is_wrong(version: str) -> None:
    diverged = certain_again = 0
    for seed in range(25):
        choose = random.Random(f"{version} {seed}")
        reality = Reality(version)
        reality.do("free", None, pointer=reality.do("malloc", 24))
        a_life(reality, choose, choose.choice(SIZES), choose.choice([60, 200]))
        said = [recorded for recorded, _outcome in reality.said]
        wrong, certain, _open = follow(side(version), said[:2] + with_one_unseen(said[2:], choose))
        assert wrong <= 1, seed
        diverged += wrong
        certain_again += certain > 0
    assert diverged > 5
    assert certain_again > 0


def test_a_heap_that_grows_shows_where_its_top_is_and_larger_pieces_are_certain() -> None:
    reality, made = Reality(), side()
    reality.do("malloc", 24)
    reality.do("malloc", 88)  # nobody sees this one
    for size in (24, 300, 100_000, 100_000, 110_000, 130_000):
        reality.do("malloc", size)
    said = [recorded for recorded, _outcome in reality.said]
    certain = []
    for recorded in [said[0], *said[2:]]:
        prediction = made.predict(*recorded)
        certain.append(prediction.is_certain)
        if prediction.is_certain and is_wrong(recorded, prediction):
            made.adopt(*recorded)
    assert certain == [True, True, False, False, False, True, True]


def test_what_uses_all_that_is_open_up_ends_it() -> None:
    reality, made = Reality(), side()
    reality.do("malloc", 24)
    hidden = reality.do("malloc", 88)
    reality.do("malloc", 24)
    reality.do("free", None, pointer=hidden)
    for size in (100_000, 100_000):
        reality.do("malloc", size)
    assert reality.do("malloc", 88) == hidden
    reality.do("malloc", 24)
    said = [recorded for recorded, _outcome in reality.said]
    assert follow(made, [said[0], said[2], *said[4:]]) == (1, 1, 3)
    assert made._model.is_sure


def test_a_stranger_is_open_until_it_comes_back() -> None:
    reality, made = Reality(), side()
    kept = reality.do("malloc", 500)
    made.predict(*reality.said[0][0])
    stranger = call(1, "free", None, pointer=0x7FFC_0000_1010)
    said = made.predict(stranger, [])
    assert said.wrong
    made.adopt(stranger, [])
    assert not made.predict(call(2, "malloc", 40, result=0x7FFC_0000_1010), []).is_certain
    assert made._model.is_sure
    reality.do("free", None, pointer=kept)
    reality.do("malloc", 500)
    assert [made.predict(*recorded).is_certain for recorded, _outcome in reality.said[1:]] == [True, True]


def test_what_was_never_seen_is_lost_for_good() -> None:
    made = side()
    made.lose()
    assert not made.predict(call(0, "malloc", 24, result=HEAP + 0x2A0), []).is_certain
    assert not made.copy(PID, PID + 7).predict(call(1, "malloc", 24, result=HEAP + 0x2C0), []).is_certain


def test_threads_that_end_are_forgotten_by_a_model_that_is_lost_too() -> None:
    made, without = side(), side()
    made.lose()
    without.lose()
    made.start_thread(PID + 1)
    assert not made.same_as(without)
    made.end_thread(PID + 1)
    assert made.same_as(without)


def test_a_twin_is_the_same_until_it_does_something_else() -> None:
    reality, made = Reality(), side()
    a_life(reality, random.Random(5), SIZES[1], 80)
    for recorded, _outcome in reality.said:
        made.predict(*recorded)
    twin = made.twin()
    assert made.same_as(twin)
    twin.predict(call(999, "malloc", 24, result=HEAP), [])
    assert not made.same_as(twin)
    assert made.same_as(made.twin())


def test_a_further_copy_of_the_library_leaves_the_break_alone() -> None:
    made = side(is_first=False)
    said = made.predict(call(0, "malloc", 24, result=0), [])
    assert said.asked[0].name == "mmap"
    assert not [asked for asked in said.asked if asked.name == "brk"]


def test_calls_that_use_no_arena_say_so() -> None:
    reality, made = Reality(), side()
    reality.do("free", None, pointer=reality.do("malloc", 24))
    reality.do("malloc", 24)
    first, freed, again = (made.predict(*recorded) for recorded, _outcome in reality.said)
    assert (first.arenas, freed.arenas, again.arenas) == (frozenset({0}), frozenset(), frozenset())
