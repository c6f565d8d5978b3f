"""What an allocator did, in sentences."""

from __future__ import annotations

import pytest

from observer.story.conduct import conduct_sentences
from tests.unit.trials import MIB, conduct

GIB = 1 << 30


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"break_moves": 12, "break_grown": MIB}, "Moved the break 12 times, by 1 MiB in all, never used mmap."),
        ({"break_moves": 2, "break_grown": MIB}, "Moved the break twice, by 1 MiB in all, never used mmap."),
        ({"break_moves": 1, "break_grown": MIB, "maps": 1, "mapped": 3 * MIB, "largest": 3 * MIB},
         "Moved the break once, by 1 MiB in all, mapped 3 MiB in one mmap."),
        ({"maps": 1, "mapped": GIB, "largest": GIB, "largest_resident": 3 * MIB},
         "Never moved the break, reserved 1 GiB of address space in one mmap, at most 3 MiB of it resident."),
        ({"maps": 3, "mapped": GIB + 2 * MIB, "largest": GIB},
         "Never moved the break, reserved 1 GiB of address space in one mmap, never touched, "
         "and mapped 2 MiB in 2 more calls."),
        ({"maps": 17, "mapped": 680 * MIB, "largest": 40 * MIB, "largest_resident": 40 * MIB},
         "Never moved the break, mapped 680 MiB in 17 mmaps."),
        ({}, "Took nothing from the kernel."),
    ],
)  # fmt: skip
def test_how_memory_came(fields: dict[str, int], sentence: str) -> None:
    assert conduct_sentences(conduct(**fields))[0] == sentence


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"break_shrunk": 2 * MIB, "unmapped": MIB, "returned": {"MADV_DONTNEED": 3 * MIB}},
         "Moved the break down by 2 MiB, unmapped 1 MiB, gave 3 MiB back with madvise(MADV_DONTNEED)."),
        ({"returned": {"MADV_FREE": MIB, "MADV_DONTNEED": 0}}, "Offered 1 MiB back with madvise(MADV_FREE)."),
        ({"live_peak": MIB, "held_peak": MIB, "held_end": MIB}, "Kept all of it after free: 1 MiB."),
        ({"live_peak": MIB, "held_peak": 4 * MIB, "held_end": MIB}, "Kept 1 MiB of 4 MiB after free."),
        ({"live_peak": MIB, "held_peak": 40 * MIB, "held_end": MIB}, "Kept next to nothing after free: 1 MiB of 40 MiB."),
        ({"live_peak": 1000, "held_at_peak": 8192, "wasted": 7192},
         "When most was live (1,000 bytes) it held 8 KiB resident, 7.0 KiB of it not in live pieces."),
        ({"calls": {}}, "No call of the malloc family was seen."),
        ({}, "7 memory system calls for 23 allocator calls."),
    ],
)  # fmt: skip
def test_what_became_of_it(fields: dict[str, object], sentence: str) -> None:
    assert sentence in conduct_sentences(conduct(**fields))


def test_nothing_is_said_of_free_while_most_is_alive() -> None:
    told = conduct_sentences(conduct(live_peak=MIB, live_end=MIB, held_peak=MIB, held_end=MIB))
    assert not any("after free" in sentence for sentence in told)
