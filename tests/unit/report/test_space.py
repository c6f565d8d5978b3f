"""The drawn address space."""

from __future__ import annotations

import msgspec
import pytest
from rich.cells import cell_len
from syrupy.assertion import SnapshotAssertion

from observer.model.addresses import Mapping
from observer.model.machine import ProcessEnd
from observer.report.space import print_space, regions_of
from observer.story.language import ENGLISH, KOREAN, Language
from tests.builders import HEAP, LIBC, process_end
from tests.unit.report.screens import screen


def with_mappings(*mappings: Mapping) -> ProcessEnd:
    return msgspec.structs.replace(process_end(), mappings=mappings)


def test_the_address_space_is_drawn_upright(snapshot: SnapshotAssertion) -> None:
    assert screen(lambda console: print_space(console, process_end())) == snapshot


def test_mappings_of_one_library_and_its_zero_data_are_one_box() -> None:
    names = [region.name for region in regions_of(process_end())]
    assert names.count("libc.so.6") == 1
    libc = next(region for region in regions_of(process_end()) if region.name == "libc.so.6")
    assert (libc.start, libc.end) == (LIBC, LIBC + 0x1E4000)


def test_the_gap_above_the_heap_is_named_with_its_size() -> None:
    text = screen(lambda console: print_space(console, process_end()))
    assert "gap: 41.7 TiB, room for the heap" in text
    assert "gap: 843.9 GiB, room for the stack" in text
    assert "not to scale" in text


def test_the_break_is_marked_at_its_start_and_end() -> None:
    lines = screen(lambda console: print_space(console, process_end())).splitlines()
    assert any(f"{HEAP:x}" in line and "<- break at the start" in line for line in lines)
    assert any(f"{HEAP + 0x21000:x}" in line and "<- break now" in line for line in lines)


def test_without_a_heap_the_room_begins_above_the_program() -> None:
    end = process_end()
    bare = with_mappings(*(mapping for mapping in end.mappings if mapping.path != "[heap]"))
    assert "room for the heap" in screen(lambda console: print_space(console, bare))


def test_an_unknown_residency_is_a_question_mark() -> None:
    bare = msgspec.structs.replace(process_end(), resident={})
    line = next(line for line in screen(lambda console: print_space(console, bare)).splitlines() if "heap  " in line)
    assert line.endswith("132 KiB         ?")


def test_a_hundred_libraries_are_a_few_boxes() -> None:
    libraries = [
        Mapping(LIBC + (i << 24), LIBC + (i << 24) + 8192, "r-x", f"/usr/lib/lib{i}.so", inode=i) for i in range(100)
    ]
    heap = Mapping(HEAP, HEAP + 4096, "rw-", "[heap]")
    names = [region.name for region in regions_of(with_mappings(heap, *libraries))]
    assert names == ["heap", "100 libraries, files"]


def test_a_hostile_or_wide_name_does_not_break_the_box() -> None:
    wide = with_mappings(Mapping(LIBC, LIBC + 4096, "rw-", "/tmp/할당할당할당할당할당할당\x1b[2J", inode=3))
    text = screen(lambda console: print_space(console, wide))
    assert "\x1b" not in text
    assert "│ 할당할당할당할당할당할당" in text


def test_a_process_that_left_nothing_is_not_drawn() -> None:
    assert screen(lambda console: print_space(console, with_mappings())) == ""


@pytest.mark.parametrize("language", [ENGLISH, KOREAN])
@pytest.mark.parametrize("columns", [60, 66, 72, 75])
def test_a_narrow_terminal_has_the_boxes_without_bars(columns: int, language: Language) -> None:
    long_name = with_mappings(*process_end().mappings, Mapping(LIBC << 4, (LIBC << 4) + 4096, "rw-", f"/{'a' * 40}"))
    for end in (process_end(), long_name):
        lines = screen(lambda console, end=end: print_space(console, end, language=language), columns).splitlines()
        assert max(map(cell_len, lines)) <= columns
        assert any(f"{HEAP:x} ├" in line for line in lines)
