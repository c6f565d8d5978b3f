"""Source lines of addresses, beside addr2line's."""

from __future__ import annotations

from pathlib import Path

import pytest

from observer.code import lines
from observer.code.elf import Elf
from observer.code.lines import LineTable
from tests.unit.code.compiled import (
    PROGRAM,
    address_of,
    addresses_of,
    compile_c,
    lines_of,
    needs_binutils,
    needs_compiler,
)


def told_by_addr2line(path: Path, places: list[int]) -> list[tuple[str, int] | None]:
    rows = lines_of("addr2line", "-e", path, *(hex(place) for place in places))
    parts = [row.split(" (")[0].rsplit(":", 1) for row in rows]
    return [None if line in ("?", "0") else (file, int(line)) for file, line in parts]


def code_of(elf: Elf, *names: str) -> list[int]:
    """Every address in some functions."""
    found = addresses_of(elf, *names)
    return [place for start in found for place in range(start, start + 200) if elf.function_at(place) in names]


@needs_binutils
@pytest.mark.parametrize(
    "options", [("-gdwarf-5", "-O0"), ("-gdwarf-5", "-O2"), ("-gdwarf-4", "-O1"), ("-gdwarf-3", "-O0")]
)
def test_every_address_of_a_function_has_the_line_that_addr2line_tells(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    path = compile_c(tmp_path, "lines", PROGRAM, *options)
    elf = Elf(str(path))
    places = code_of(elf, "main", "touch", "inner")
    assert len(places) > 40
    table = LineTable(elf)
    assert [table.find(place) for place in places] == told_by_addr2line(path, places)


@needs_compiler
def test_a_line_is_the_one_in_the_source(program: Path) -> None:
    elf = Elf(str(program))
    start = address_of(elf, "main")
    line = PROGRAM.splitlines().index("int main(void)") + 2
    assert LineTable(elf).find(start) == (str(program) + ".c", line)


def test_code_without_lines_has_none(program: Path) -> None:
    elf = Elf(str(program))
    table = LineTable(elf)
    assert [table.find(0), table.find(elf.entry), table.find(1 << 47)] == [None, None, None]


@needs_compiler
def test_a_program_without_debug_information_has_an_empty_table(tmp_path: Path) -> None:
    path = compile_c(tmp_path, "bare", PROGRAM, "-g0")
    elf = Elf(str(path))
    assert LineTable(elf).find(address_of(elf, "main")) is None


@needs_binutils
def test_where_one_file_ends_and_another_begins_the_beginning_counts(tmp_path: Path) -> None:
    (tmp_path / "z.c").write_text("\n\nint before(int x)\n{\n    return x + 1;\n}\n", encoding="ascii")
    source = "int before(int);\nint main(void)\n{\n    return before(-1);\n}\nint after(void)\n{\n    return 7;\n}\n"
    path = compile_c(tmp_path, "a", source, "-g", "-Os", "-falign-functions=1", "z.c")
    elf = Elf(str(path))
    border = address_of(elf, "after")
    assert elf.function_at(border - 1) == "before"
    table = LineTable(elf)
    assert table.find(border - 1) == (str(tmp_path / "z.c"), 6)
    assert [table.find(border)] == told_by_addr2line(path, [border])


@needs_binutils
def test_an_end_that_is_told_later_than_the_beginning_next_to_it_does_not_hide_it(tmp_path: Path) -> None:
    # The linker puts cold code first, whatever file it comes from, and main behind it.
    (tmp_path / "first.c").write_text("int cold(int);\nint main(void)\n{\n    return cold(-1);\n}\n", encoding="ascii")
    source = "__attribute__((cold)) int cold(int x)\n{\n    return x + 1;\n}\n"
    path = compile_c(tmp_path, "second", source, "-g", "-Os", "-falign-functions=1", "first.c")
    elf = Elf(str(path))
    border = address_of(elf, "main")
    assert elf.function_at(border - 1) == "cold"
    assert [LineTable(elf).find(border)] == told_by_addr2line(path, [border])


# ---- programs of other kinds ---------------------------------------------------------------------------------


@needs_binutils
@pytest.mark.parametrize(
    "options", [("-no-pie",), ("-static",), ("-gz",), ("-g1",), ("-gsplit-dwarf",), ("-gdwarf-4",)]
)
def test_lines_do_not_depend_on_how_a_program_is_linked_and_its_lines_are_stored(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    path = compile_c(tmp_path, "kind", PROGRAM, "-g", "-O0", *options)
    elf = Elf(str(path))
    places = code_of(elf, "main", "touch", "inner")
    assert len(places) > 40
    table = LineTable(elf)
    assert [table.find(place) for place in places] == told_by_addr2line(path, places)


@needs_binutils
def test_a_function_in_assembly_has_its_lines(tmp_path: Path) -> None:
    (tmp_path / "twice.s").write_text(
        ".globl twice\n.type twice,@function\ntwice:\n\tlea (%rdi,%rdi),%eax\n\tret\n.size twice, .-twice\n", "ascii"
    )
    source = "int twice(int);\nint main(void) { return twice(0); }\n"
    path = compile_c(tmp_path, "kind", source, "-g", "twice.s", "-Wl,-z,noexecstack")
    elf = Elf(str(path))
    start = address_of(elf, "twice")
    assert LineTable(elf).find(start) == (str(tmp_path / "twice.s"), 4)


@needs_compiler
def test_more_rows_than_can_be_read_in_seconds_are_left_and_lines_are_found(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elf = Elf(str(program))
    start = address_of(elf, "main")
    assert LineTable(elf).starts_within(start, start + 200) != []
    monkeypatch.setattr(lines, "MOST_ROWS", 16)
    table = LineTable(elf)
    assert not table.has_rows
    assert table.starts_within(start, start + 200) == []
    assert table.find(start) == (str(program) + ".c", PROGRAM.splitlines().index("int main(void)") + 2)


@needs_compiler
def test_sections_that_would_grow_beyond_measure_are_left_alone(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb"
    (tmp_path / "zeros.s").write_text('.section .debug_names,"",@progbits\n.zero 0x2000000\n', "ascii")
    source = "int main(void) { return 0; }"
    bomb = compile_c(tmp_path, "bomb", source, "-g", "-gz", "zeros.s", "-Wl,-z,noexecstack")
    elf = Elf(str(bomb))
    assert elf.has_debug_lines
    assert bomb.stat().st_size < 1 << 20
    assert LineTable(elf).find(address_of(elf, "main")) is None
    assert not LineTable(elf).is_readable
