"""Source lines of addresses, beside addr2line's."""

from __future__ import annotations

from pathlib import Path

import pytest

from observer.linux.elf import Elf
from observer.linux.lines import LineTable
from tests.unit.linux.compiled import PROGRAM, compile_c, lines_of, needs_binutils, needs_compiler


def told_by_addr2line(path: Path, places: list[int]) -> list[tuple[str, int] | None]:
    rows = lines_of("addr2line", "-e", path, *(hex(place) for place in places))
    parts = [row.split(" (")[0].rsplit(":", 1) for row in rows]
    return [None if line in ("?", "0") else (file, int(line)) for file, line in parts]


def code_of(elf: Elf, *names: str) -> list[int]:
    """Every address in some functions."""
    found = elf.addresses_of(names)
    return [place for start in found.values() for place in range(start, start + 200) if elf.function_at(place) in names]


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
    start = elf.addresses_of(["main"])["main"]
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
    assert LineTable(elf).find(elf.addresses_of(["main"])["main"]) is None


@needs_binutils
def test_where_one_file_ends_and_another_begins_the_beginning_counts(tmp_path: Path) -> None:
    (tmp_path / "z.c").write_text("\n\nint before(int x)\n{\n    return x + 1;\n}\n", encoding="ascii")
    source = "int before(int);\nint main(void)\n{\n    return before(-1);\n}\nint after(void)\n{\n    return 7;\n}\n"
    path = compile_c(tmp_path, "a", source, "-g", "-Os", "-falign-functions=1", "z.c")
    elf = Elf(str(path))
    border = elf.addresses_of(["after"])["after"]
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
    border = elf.addresses_of(["main"])["main"]
    assert elf.function_at(border - 1) == "cold"
    assert [LineTable(elf).find(border)] == told_by_addr2line(path, [border])
