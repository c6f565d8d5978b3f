"""What each memory system call means, by its arguments and by what came of it."""

from __future__ import annotations

import mmap
from typing import Any

import pytest

from observer.model.memory_calls import (
    ADVICE,
    WORDS,
    Advise,
    Break,
    Lock,
    LockAll,
    Map,
    Move,
    Protect,
    Unlock,
    UnlockAll,
    Unmap,
    decode,
    map_flags,
    memory_call,
    protection_of,
)
from observer.model.selection import MEMORY_CALLS
from tests.builders import HEAP, MAP, PAGE, syscall

PLAIN = frozenset({"private", "anonymous"})
FIXED = frozenset({"private", "fixed"})
MOVING = frozenset({"maymove", "fixed", "dontunmap"})
DECODED = [
    ("brk", (0,), HEAP, Break(0, HEAP)),
    ("brk", (HEAP + PAGE,), HEAP, Break(HEAP + PAGE, HEAP)),
    ("mmap", (0, 8191, 3, 0x22, -1, 0), MAP, Map(0, 8191, "rw-", PLAIN, 0, MAP)),
    ("mmap", (0, 64 << 20, 0, 0x4022), MAP, Map(0, 64 << 20, "---", PLAIN | {"noreserve"}, 0, MAP)),
    ("mmap", (MAP, PAGE, 5, 0x12, 3, 7 * PAGE), MAP, Map(MAP, PAGE, "r-x", FIXED, 7 * PAGE, MAP)),
    ("mmap2", (0, PAGE, 1, 1, 3, 7), MAP, Map(0, PAGE, "r--", frozenset({"shared"}), 7 * 4096, MAP)),
    ("munmap", (MAP, 17), 0, Unmap(MAP, 17)),
    ("mremap", (MAP, PAGE, 2 * PAGE), HEAP, Move(MAP, PAGE, 2 * PAGE, frozenset(), HEAP)),
    ("mremap", (MAP, PAGE, PAGE, 7, HEAP), HEAP, Move(MAP, PAGE, PAGE, MOVING, HEAP)),
    ("mprotect", (MAP, PAGE, 4), 0, Protect(MAP, PAGE, "--x")),
    ("pkey_mprotect", (MAP, PAGE, 0, 1), 0, Protect(MAP, PAGE, "---")),
    ("madvise", (MAP, PAGE, 8), 0, Advise(MAP, PAGE, "free", 8)),
    ("madvise", (0, 0, 0), 0, Advise(0, 0, None, 0)),
    ("mlock", (MAP, PAGE), 0, Lock(MAP, PAGE, on_fault=False)),
    ("mlock2", (MAP, PAGE, 1), 0, Lock(MAP, PAGE, on_fault=True)),
    ("mlock2", (MAP, PAGE, 0), 0, Lock(MAP, PAGE, on_fault=False)),
    ("munlock", (MAP, PAGE), 0, Unlock(MAP, PAGE)),
    ("mlockall", (3,), 0, LockAll(current=True)),
    ("mlockall", (2,), 0, LockAll(current=False)),
    ("munlockall", (), 0, UnlockAll()),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args", "result", "meant"), DECODED)
def test_what_each_call_means(name: str, args: tuple[int, ...], result: int, meant: object) -> None:
    assert decode(name, args, result) == meant
    assert memory_call(syscall(1, name, *args, result=result)) == meant


def test_every_call_that_is_decoded_is_tried_here_and_is_a_memory_call() -> None:
    assert {name for name, *_rest in DECODED} == set(WORDS)
    assert WORDS.keys() <= MEMORY_CALLS


@pytest.mark.parametrize("name", ["openat", "msync", "process_madvise", "shmat"])
def test_other_calls_mean_nothing_here(name: str) -> None:
    assert decode(name, (MAP, PAGE, 3, 0x22, 0, 0), 0) is None


@pytest.mark.parametrize("name", [name for name, words in WORDS.items() if words])
def test_too_few_words_tell_nothing(name: str) -> None:
    assert decode(name, (1, 2, 3, 4)[: WORDS[name] - 1]) is None
    assert decode(name, (1, 2, 3, 4)[: WORDS[name]]) is not None


def test_before_its_return_a_call_only_asks() -> None:
    assert decode("brk", (HEAP,)) == Break(HEAP, None)
    assert decode("mmap", (0, PAGE, 3, 0x22)) == Map(0, PAGE, "rw-", PLAIN, 0, None)
    assert decode("mremap", (MAP, PAGE, 2 * PAGE, 1)) == Move(MAP, PAGE, 2 * PAGE, frozenset({"maymove"}), None)


def test_what_failed_is_nowhere() -> None:
    refused = {"result": -12, "errno": 12}
    assert memory_call(syscall(1, "mmap", 0, PAGE, 3, 0x22, **refused)) == Map(
        0, PAGE, "rw-", PLAIN, 0, None, failed=True
    )
    assert memory_call(syscall(1, "madvise", MAP, PAGE, 4, **refused)) == Advise(MAP, PAGE, "dontneed", 4, failed=True)


def test_the_question_for_the_break_is_told_from_a_wish() -> None:
    assert Break(0, HEAP).is_question
    assert not Break(HEAP, HEAP).is_question


def test_sizes_are_those_of_whole_pages() -> None:
    assert (Map(0, 1, "rw-", PLAIN, 0, MAP).size(), Unmap(MAP, PAGE + 1).size()) == (PAGE, 2 * PAGE)
    assert Move(MAP, 1, PAGE + 1, frozenset(), MAP).new_size() == 2 * PAGE


def test_a_lock_reaches_over_every_page_that_it_touches() -> None:
    assert Lock(MAP + PAGE - 1, 2, on_fault=False).pages() == (MAP, 2 * PAGE)
    assert Unlock(MAP + 7, PAGE - 7).pages() == (MAP, PAGE)


def test_whole_pages_are_those_of_the_machine_that_is_meant() -> None:
    large = 0x10000
    assert (Map(0, 1, "rw-", PLAIN, 0, MAP).size(large), Unmap(MAP, large + 1).size(large)) == (large, 2 * large)
    assert Move(MAP, 1, large + 1, frozenset(), MAP).new_size(large) == 2 * large
    assert Lock(MAP + large - 1, 2, on_fault=False).pages(large) == (MAP, 2 * large)


@pytest.mark.parametrize(
    ("length", "new_length", "flags", "shrinks"),
    [
        (2 * PAGE, PAGE, 1, True), (PAGE, PAGE - 17, 1, True), (PAGE - 17, PAGE, 1, True), (PAGE, PAGE + 1, 1, False),
        (2 * PAGE, PAGE, 3, False), (PAGE, PAGE, 5, False),
    ],
)  # fmt: skip
def test_what_shrinks_in_place(length: int, new_length: int, flags: int, shrinks: bool) -> None:
    call = decode("mremap", (MAP, length, new_length, flags))
    assert isinstance(call, Move)
    assert call.shrinks_in_place == shrinks


def test_only_a_mapping_that_nobody_may_touch_reserves() -> None:
    assert [Map(0, PAGE, protection, PLAIN, 0, MAP).reserves for protection in ("---", "r--", "--x")] == [
        True, False, False,
    ]  # fmt: skip


def test_flags_have_the_numbers_that_python_knows() -> None:
    flags: dict[str, Any] = {"shared": mmap.MAP_SHARED, "private": mmap.MAP_PRIVATE, "anonymous": mmap.MAP_ANONYMOUS}
    later = {"populate": "MAP_POPULATE", "noreserve": "MAP_NORESERVE"}
    flags |= {word: getattr(mmap, name) for word, name in later.items() if hasattr(mmap, name)}
    assert {word: map_flags(bits) for word, bits in flags.items()} == {word: {word} for word in flags}
    assert map_flags(3) == {"shared"}  # MAP_SHARED_VALIDATE
    assert map_flags(0x42010) == {"fixed", "locked", "hugetlb"}


def test_advice_has_the_numbers_that_python_knows() -> None:
    known = {word: getattr(mmap, f"MADV_{word}".upper(), number) for number, word in ADVICE.items()}
    assert known == {word: number for number, word in ADVICE.items()}
    assert sum(hasattr(mmap, f"MADV_{word}".upper()) for word in ADVICE.values()) >= 7
    later = {22: "populate_read", 23: "populate_write", 24: "dontneed_locked", 25: "collapse"}
    assert {number: word for number, word in ADVICE.items() if number > 19} == later


def test_protection_is_written_as_the_kernel_does() -> None:
    assert [protection_of(bits) for bits in (0, mmap.PROT_READ, mmap.PROT_READ | mmap.PROT_WRITE, 4)] == [
        "---", "r--", "rw-", "--x",
    ]  # fmt: skip
