"""Heaps with one thing wrong in each: it is found, named with its address, and the walk comes to an end all the same."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from observer.glibc.layout import LAYOUTS, Layout
from observer.heap.values import Heap
from observer.heap.walking import walk
from tests.unit.heap.building import ARENA, HEAP, HEAP_SIZE, PAGE, THREAD, THREAD_SIZE, A, M, Made, P, made, set_count

LAYOUT = next(layout for layout in LAYOUTS if layout.since == 35)
WILD = 0x4141_4141_4140
Harm = Callable[[Made], int]
"""Does the damage; returns the address that a finding has to name."""


def word(name: str, offset: int, value: Callable[[Made], int] | int) -> Harm:
    """Another word in a chunk."""

    def harm(new: Made) -> int:
        new.memory.put(new.at[name] + offset, value if isinstance(value, int) else value(new))
        return new.at[name] + offset

    return harm


def size(name: str, head: int) -> Harm:
    return word(name, 8, head)


def at(place: Callable[[Made], int], value: Callable[[Made], int] | int) -> Harm:
    """Another word anywhere."""

    def harm(new: Made) -> int:
        new.memory.put(place(new), value if isinstance(value, int) else value(new))
        return place(new)

    return harm


def of(name: str, offset: int = 0) -> Callable[[Made], int]:
    return lambda new: new.at[name] + offset


def state(offset: int) -> Callable[[Made], int]:
    return lambda _new: ARENA + offset


def linked(name: str, pointer: Callable[[Made], int] | int) -> Harm:
    """Another next chunk in a singly linked list."""

    def harm(new: Made) -> int:
        place = new.at[name] + 16
        new.memory.put(place, new.mangled(place, pointer if isinstance(pointer, int) else pointer(new)))
        return place

    return harm


def counted(index: int, number: int) -> Harm:
    def harm(new: Made) -> int:
        set_count(new, "cache", index, number)
        return new.cache() + LAYOUT.cache_heads + 8 * index

    return harm


def free_twice(new: Made) -> int:
    """The first chunk of a fast list comes again at its end: what a double free leaves."""
    new.memory.put(new.at["f2"] + 16, new.mangled(new.at["f2"] + 16, new.at["f1"]))
    return new.at["f2"] + 16


def in_two_lists(new: Made) -> int:
    new.memory.put(new.cache() + LAYOUT.cache_heads + 8 * 2, new.at["f1"] + 16)
    set_count(new, "cache", 2, 1)
    new.memory.put(new.at["f1"] + 16, new.mangled(new.at["f1"] + 16, 0))
    return new.at["f1"]


def overlapping(new: Made) -> int:
    """A forged chunk inside a piece of the program's, in a fast bin."""
    forged = new.at["f"] + 0x40
    new.memory.put(forged + 8, 0x40 | P)
    new.memory.put(forged + 16, new.mangled(forged + 16, 0))
    new.memory.put(new.at["f2"] + 16, new.mangled(new.at["f2"] + 16, forged))
    return forged


def truncated(new: Made) -> int:
    """The page that the walk comes to is not there, and never was."""
    page = (new.at["j"] // PAGE + 1) * PAGE
    new.memory.put(new.at["j"] + 8, page + 0x100 - new.at["j"] | P)
    new.memory.lose(page)
    return page + 0x100


def heap_ring(new: Made) -> int:
    new.memory.put(THREAD + 8, THREAD)
    return THREAD + 8


DAMAGE: dict[str, tuple[Harm, str]] = {
    "a size of zero": (size("b", 0), "a chunk of 0x0 bytes cannot be"),
    "a size of zero with a flag": (size("d", P), "a chunk of 0x0 bytes cannot be"),
    "a size below the least": (size("e", 0x10 | P), "a chunk of 0x10 bytes cannot be"),
    "an odd size": (size("c", 0x58 | P), "a chunk of 0x58 bytes cannot be"),
    "a size larger than the heap": (size("g", 0x4000_0000 | P), "a chunk of 0x40000000 bytes reaches beyond its heap"),
    "a size of all ones": (size("h", (1 << 64) - 1), "reaches beyond its heap|cannot be"),
    "an overflow by one byte of zero": (size("u2", 0x500), "a chunk of|the chunk behind it|of 0x500|size"),
    "text over a header": (size("f", 0x4141_4141_4141_4141), "cannot be|reaches beyond"),
    "a larger size that swallows a neighbour": (size("a", 0x50 | P), "it lies inside the chunk at"),
    "a wrong size before a free chunk": (word("d", 0, 0x120), "says that it has another size"),
    "a free chunk said to be in use": (size("d", 0x20 | P), "says that it is in use, and it is in a bin"),
    "a piece in use said to be free": (size("f1", 0x40), "says that it is free, and it is in no list"),
    "a cached chunk said to be free": (size("t2", 0x20), "the chunk behind it says that it is free"),
    "a mark of a mapping": (size("c", 0x50 | P | M), "claims to have a mapping of its own"),
    "a mark of a thread's arena": (size("c", 0x50 | P | A), "claims to be of a thread's arena"),
    "no mark of a thread's arena": (size("l", 0x20 | P), "claims to be of the main arena"),
    "a wild next pointer in the unsorted bin": (word("u1", 16, WILD), "leads to 0x414141414140, where no chunk can be"),
    "an odd next pointer in the unsorted bin": (word("u1", 16, of("u2", 4)), "where no chunk can be"),
    "a next pointer of zero": (word("s1", 16, 0), "leads to 0x0, where no chunk can be"),
    "a wrong previous pointer": (word("u2", 24, WILD), "the chunk before it should be"),
    "a cycle in the unsorted bin": (word("u2", 16, of("u1")), "the list is a cycle"),
    "a chunk that follows itself in a small bin": (word("s1", 16, of("s1")), "the list is a cycle"),
    "a cycle in a large bin": (word("l3", 16, of("l2")), "the list is a cycle"),
    "a bin that begins elsewhere": (at(lambda new: new.bin(9) + 16, WILD), "where no chunk can be"),
    "a bin that ends elsewhere": (at(lambda new: new.bin(9) + 24, of("s1")), "its last chunk should be"),
    "a chunk in the bin of another size": (size("s2", 0xA0 | P), "of 0xa0 bytes is in the list"),
    "a wrong link to the next size": (word("l1", 32, WILD), "the next size's chunk should be"),
    "a wrong link to the size before": (word("l2", 40, of("l3")), "the next size's chunk should be"),
    "sizes that rise in a large bin": (size("l1", 0x400 | P), "stands behind one of"),
    "a cycle in a fast bin": (free_twice, "the list is a cycle"),
    "a wild pointer in a fast bin": (linked("f1", WILD), "where no chunk can be"),
    "a pointer in a fast bin that was not mangled": (word("f1", 16, of("f2")), "where no chunk can be"),
    "a chunk of another size in a fast bin": (linked("f2", of("b")), "of 0x60 bytes is in the list"),
    "a wild head of a fast bin": (at(state(0x10), WILD), "where no chunk can be"),
    "a count too many in a cache": (counted(0, 3), "3 chunks are counted, and the list has 2"),
    "a count too few in a cache": (counted(0, 1), "1 chunks are counted, and the list has more"),
    "a count without chunks": (counted(9, 2), "2 chunks are counted, and the list has 0"),
    "a cycle in a cache": (lambda new: (counted(0, 5)(new), linked("t2", of("t1", 16))(new))[1], "the list is a cycle"),
    "a wild pointer in a cache": (linked("t1", WILD), "leads to 0x414141414140, where no chunk can be"),
    "a wild head of a cache": (at(lambda new: new.cache() + 128, WILD), "where no chunk can be"),
    "a chunk of another size in a cache": (linked("t1", of("b", 16)), "of 0x60 bytes is in the list"),
    "a chunk in two lists": (in_two_lists, "the chunk is"),
    "a forged chunk inside a piece": (overlapping, "it lies inside the chunk at"),
    "a header in memory that was never used": (truncated, "where the memory was never used"),
    "top elsewhere": (at(state(0x60), WILD), "nothing is there to read at 0x414141414140 in the main arena"),
    "top too large": (size("top", 0x400_0000 | P), "top lies in no memory of the heap|more than there are"),
    "more memory than there is": (at(state(0x888), 1 << 40), "more than there are"),
    "a wild next arena": (at(state(0x870), WILD), "the next arena is 0x414141414140, where none is"),
    "a ring of arenas that does not close": (
        at(lambda new: new.other + 0x870, lambda new: new.other), "does not come back to the main arena",
    ),
    "a heap's header of another arena": (at(lambda _new: THREAD, WILD), "the next arena is"),
    "a heap's header with a wild size": (at(lambda _new: THREAD + 16, 1 << 50), "its heap's header is"),
    "heaps in a cycle": (heap_ring, "the list of heaps is a cycle"),
    "a thread's top elsewhere": (at(lambda new: new.other + 0x60, of("a")), "top lies in no heap of its arena"),
}  # fmt: skip


def check(new: Made, heap: Heap, says: str) -> None:
    assert heap.findings, "nothing was found"
    texts = [str(finding) for finding in heap.findings]
    assert any(word in text for text in texts for word in says.split("|")), texts


@pytest.mark.parametrize("name", DAMAGE)
@pytest.mark.timeout(10)
def test_damage_is_found(name: str) -> None:
    harm, says = DAMAGE[name]
    new = made(LAYOUT)
    assert new.walk().findings == ()
    harm(new)
    check(new, new.walk(), says)


PLACES: dict[str, tuple[Callable[[Made], int], Callable[[Made], int]]] = {
    "a size of zero": (of("b", 8), of("b")),
    "a wrong size before a free chunk": (of("u1", 8), of("u1")),
    "a wild next pointer in the unsorted bin": (of("u1", 16), lambda _new: 0),
    "a wrong previous pointer": (of("u2", 24), of("u2")),
    "a cycle in the unsorted bin": (of("u2", 16), of("u1")),
    "a chunk in the bin of another size": (of("s2", 8), of("s2")),
    "a wrong link to the next size": (of("l1", 32), of("l1")),
    "a cycle in a fast bin": (of("f2", 16), of("f1")),
    "a count too many in a cache": (lambda new: new.cache(), lambda _new: 0),
    "a wild pointer in a cache": (of("t1", 16), lambda _new: 0),
    "a chunk in two lists": (of("f1"), of("f1")),
    "a wild next arena": (state(0x870), lambda _new: 0),
}


@pytest.mark.parametrize("name", PLACES)
def test_a_finding_names_the_place_and_the_chunk(name: str) -> None:
    new = made(LAYOUT)
    DAMAGE[name][0](new)
    address, chunk = PLACES[name]
    assert (address(new), chunk(new)) in [(finding.address, finding.chunk) for finding in new.walk().findings]


def test_behind_the_damage_the_walk_goes_on() -> None:
    new = made(LAYOUT)
    new.memory.put(new.head("b"), 0)
    found = {chunk.address: chunk.state for chunk in new.walk().chunks()}
    assert new.at["b"] not in found
    assert [found[new.at[name]] for name in ("a", "t1", "f1", "c", "u1", "l3", "j", "top")] == [
        "in use", "tcache", "fast", "in use", "unsorted", "large", "in use", "top",
    ]  # fmt: skip


def test_what_a_broken_link_hides_is_reached_from_the_other_end() -> None:
    new = made(LAYOUT)
    new.memory.put(new.at["l1"] + 16, WILD)
    found = {chunk.address: chunk.state for chunk in new.walk().chunks()}
    assert {found[new.at[name]] for name in ("l1", "l2", "l3")} == {"large"}


def test_one_arenas_damage_leaves_the_others_alone() -> None:
    new = made(LAYOUT)
    new.memory.put(new.head("a"), 0)
    other = new.walk().arenas[1]
    assert {state: part.chunks for state, part in other.sums.items()} == {
        "in use": 3, "tcache": 1, "small": 1, "top": 1, "cache": 1,
    }  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.timeout(60)
def test_noise_anywhere_ends_in_findings_or_in_a_heap(layout: Layout, seed: int) -> None:
    random, new = Random(seed), made(layout)
    places = [*range(HEAP, HEAP + 0x3000, 8), *range(THREAD, THREAD + 0xC00, 8), *range(ARENA, ARENA + 0x8A0, 8)]
    for _ in range(40):
        chosen = random.choice(places)
        old = new.memory.get(chosen)
        value = random.choice(
            (0, (1 << 64) - 1, random.getrandbits(64), random.choice(places), old ^ 1 << random.randrange(64))
        )
        new.memory.put(chosen, value)
        heap = walk(new.memory, new.where(main_arena=ARENA))
        for arena in heap.arenas:
            for region in arena.regions:
                assert region.end - region.start <= max(HEAP_SIZE, THREAD_SIZE)
    assert heap.findings
