"""ELF files: a compiled program as binutils see it, and files that only look like one."""

from __future__ import annotations

import re
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observer.code.elf import Elf, Segment, describe_foreign, load
from observer.code.lines import LineTable
from observer.code.unwind import Unwinder
from tests.unit.code.compiled import address_of, compile_c, libc_path, lines_of, needs_binutils, needs_compiler
from tests.unit.seeded import seeded


def functions_of(path: Path) -> dict[str, tuple[int, int]]:
    """(address, size) of each function, as readelf tells them."""
    rows = [line.split() for line in lines_of("readelf", "-W", "--syms", path)]
    rows = [row for row in rows if len(row) == 8 and row[3] == "FUNC" and row[6] != "UND" and int(row[1], 16)]
    return {row[7]: (int(row[1], 16), int(row[2], 0)) for row in rows}


@needs_binutils
def test_a_function_is_named_from_its_first_byte_to_its_last(program: Path) -> None:
    elf = Elf(str(program))
    functions = functions_of(program)
    for name in ("main", "touch", "inner"):
        start, size = functions[name]
        assert [elf.function_at(start), elf.function_at(start + size - 1)] == [name, name]
        assert elf.function_at(start + size) != name


def test_below_the_first_function_there_is_no_name(program: Path) -> None:
    assert Elf(str(program)).function_at(0) is None


@needs_binutils
def test_functions_are_found_by_name_and_others_are_left_out(program: Path) -> None:
    functions = functions_of(program)
    expected = {name: functions[name][0] for name in ("main", "touch")}
    found = Elf(str(program)).definitions_of(["main", "touch", "malloc", "nothing", "touched"])
    assert {symbol.name: symbol.address for symbol in found} == expected


@needs_binutils
def test_the_build_id_is_the_one_in_the_note(program: Path) -> None:
    (noted,) = [line.split()[-1] for line in lines_of("readelf", "-n", program) if "Build ID" in line]
    assert Elf(str(program)).build_id == noted
    assert re.fullmatch(r"[0-9a-f]{40}", noted)


@needs_binutils
def test_the_header_says_where_the_program_and_its_loader_begin(program: Path) -> None:
    elf = Elf(str(program))
    header = {
        key.strip(): value.strip() for key, _, value in (x.partition(":") for x in lines_of("readelf", "-h", program))
    }
    assert elf.entry == int(header["Entry point address"], 16)
    assert elf.interpreter is not None
    assert Path(elf.interpreter).exists()
    assert elf.has_debug_lines
    assert elf.has_symbols


def test_a_stripped_program_has_no_names_but_all_its_segments(program: Path, tmp_path: Path) -> None:
    stripped = tmp_path / "stripped"
    lines_of("strip", "-o", stripped, program)
    whole, bare = Elf(str(program)), Elf(str(stripped))
    assert (bare.has_debug_lines, bare.function_at(bare.entry)) == (False, None)
    assert bare.segments == whole.segments
    assert bare.build_id == whole.build_id


@needs_compiler
def test_of_two_names_for_one_place_the_public_one_is_told(tmp_path: Path) -> None:
    source = 'int __inner_name(void) { return 7; }\nint name(void) __attribute__((alias("__inner_name")));\n'
    path = compile_c(tmp_path, "aliases.so", source, "-shared", "-fPIC")
    elf = Elf(str(path))
    assert [name for _address, _size, name in elf.functions if "name" in name] == ["name"]


@needs_compiler
@pytest.mark.parametrize(
    ("attribute", "options", "is_defined"),
    [
        ("static", ("-shared", "-fPIC"), False),
        ("static", (), False),
        ('__attribute__((visibility("hidden")))', ("-shared", "-fPIC"), False),
        ('__attribute__((visibility("hidden")))', ("-static",), True),
        ('__attribute__((visibility("hidden")))', ("-static-pie",), True),
        ('__attribute__((visibility("hidden")))', ("-fPIE", "-pie"), True),
        ("static", ("-static-pie",), False),
        ("static", ("-fPIE", "-pie"), False),
        ('__attribute__((visibility("protected")))', ("-shared", "-fPIC"), True),
        ("__attribute__((weak))", ("-shared", "-fPIC"), True),
    ],
)
def test_a_name_is_a_files_own_where_others_call_it_by_that_name(
    tmp_path: Path, attribute: str, options: tuple[str, ...], is_defined: bool
) -> None:
    source = f"{attribute} __attribute__((noinline)) int give(int x) {{ return x; }}\n"
    source += "int use(int x) { return give(x); }\nint main(void) { return use(0); }\n"
    elf = Elf(str(compile_c(tmp_path, "scopes", source, "-O0", *options)))
    assert elf.function_at(address_of(elf, "give")) == "give"
    assert elf.defines("give") == is_defined


@needs_compiler
def test_a_function_of_one_source_is_found_by_its_name_and_is_no_definition(tmp_path: Path) -> None:
    source = "static int take(void) { return 1; }\nint give(void) { return take(); }\n"
    elf = Elf(str(compile_c(tmp_path, "own.so", source, "-shared", "-fPIC", "-O0")))
    assert {symbol.name for symbol in elf.functions_called({"take", "give", "lend"})} == {"take", "give"}
    assert {symbol.name for symbol in elf.definitions_of(["take", "give", "lend"])} == {"give"}


@needs_compiler
def test_each_version_of_a_name_is_a_definition(tmp_path: Path) -> None:
    (tmp_path / "map").write_text("V1 { global: give; local: *; };\nV2 { global: give; } V1;\n", encoding="ascii")
    source = "int old(int x) { return x; }\nint now(int x) { return x + 1; }\n"
    source += '__asm__(".symver old,give@V1\\n.symver now,give@@V2");\n'
    path = compile_c(tmp_path, "versions.so", source, "-shared", "-fPIC", f"-Wl,--version-script={tmp_path / 'map'}")
    lines_of("strip", path)
    elf = Elf(str(path))
    found = elf.definitions_of(["give"])
    assert len({symbol.address for symbol in found}) == 2


@needs_compiler
def test_a_resolver_is_told_from_a_function(tmp_path: Path) -> None:
    source = "static int one(void) { return 1; }\nstatic void *choose(void) { return one; }\n"
    source += 'int give(void) __attribute__((ifunc("choose")));\n'
    elf = Elf(str(compile_c(tmp_path, "chosen.so", source, "-shared", "-fPIC")))
    assert [symbol.name for symbol in elf.resolvers_of(["give", "choose"])] == ["give"]
    assert elf.definitions_of(["give", "choose"]) == []


@needs_compiler
@pytest.mark.parametrize(
    ("options", "soname", "is_program"),
    [
        (("-shared", "-fPIC"), "", False),
        (("-shared", "-fPIC", "-Wl,-soname,libgive.so.1"), "libgive.so.1", False),
        ((), "", True),
        (("-no-pie",), "", True),
        (("-static",), "", True),
        (("-static-pie",), "", True),
    ],
)
def test_programs_are_told_from_libraries(
    tmp_path: Path, options: tuple[str, ...], soname: str, is_program: bool
) -> None:
    elf = Elf(str(compile_c(tmp_path, "kinds", "int main(void) { return 0; }", *options)))
    assert (elf.soname, elf.is_program) == (soname, is_program)


def test_the_c_library_is_none_though_it_may_be_started() -> None:
    elf = Elf(libc_path())
    assert (elf.soname, elf.is_program) == ("libc.so.6", False)


@needs_compiler
def test_a_program_without_a_build_id_has_an_empty_one(tmp_path: Path) -> None:
    assert Elf(str(compile_c(tmp_path, "bare", "int main(void) { return 0; }", "-Wl,--build-id=none"))).build_id == ""


def test_bytes_are_read_where_a_segment_puts_them(program: Path) -> None:
    elf = Elf(str(program))
    raw = program.read_bytes()
    text = next(segment for segment in elf.segments if segment.executable)
    assert elf.read(text.address, 16) == raw[text.offset : text.offset + 16]
    end = text.address + text.file_size
    assert elf.read(end - 3, 16) == raw[text.offset + text.file_size - 3 : text.offset + text.file_size]
    assert elf.read(end, 16) == b""


def with_segments(program: Path, *segments: tuple[int, int, int, bool]) -> Elf:
    """The program as if it had other segments: (offset, address, size, executable)."""
    elf = Elf(str(program))
    elf.segments = tuple(Segment(offset, address, size, size, code) for offset, address, size, code in segments)
    return elf


@pytest.mark.parametrize(("start", "offset", "bias"), [
    (0x7F00_0000_1000, 0x1000, 0x7F00_0000_0000),
    (0x7F00_0000_0000, 0, 0x7F00_0000_0000),
    (0x7F00_0000_2000, 0x2000, 0x7F00_0000_0000),
    (0x7F00_0000_4000, 0x3000, 0x7F00_0000_0000),
    (0x7F00_0000_1000, 0x9000, None),
])  # fmt: skip
def test_the_bias_follows_from_any_part_of_the_file_that_is_mapped(
    program: Path, start: int, offset: int, bias: int | None
) -> None:
    # The last segment lies a page higher in memory than in the file, and begins inside a page.
    elf = with_segments(program, (0, 0, 0x800, False), (0x1000, 0x1000, 0x1A00, True), (0x3DB8, 0x4DB8, 0x258, False))
    assert elf.bias_of(start, offset) == bias


def test_code_that_begins_inside_a_page_has_the_bias_of_the_page(program: Path) -> None:
    elf = with_segments(program, (0, 0, 0xA40, False), (0xA40, 0x1A40, 0x500, True))
    assert elf.bias_of(0x7F00_0000_1000, 0) == 0x7F00_0000_0000


def test_a_program_with_fixed_addresses_has_no_bias(program: Path) -> None:
    elf = with_segments(program, (0, 0x400000, 0x500, False), (0x1000, 0x401000, 0x500, True))
    assert elf.bias_of(0x401000, 0x1000) == 0


@pytest.mark.parametrize(
    ("head", "told"),
    [
        (b"\x7fELF\x01\x01" + bytes(12) + b"\x03\x00", None),
        (b"\x7fELF\x01\x01" + bytes(12) + b"\x28\x00", "32-bit arm"),
        (b"\x7fELF\x02\x01" + bytes(12) + b"\xb7\x00", "64-bit aarch64"),
        (b"\x7fELF\x01\x01" + bytes(12) + b"\x3e\x00", "32-bit machine 62"),
        (b"\x7fELF\x02\x02" + bytes(12) + b"\x00\x16", "64-bit s390"),
        (b"\x7fELF\x02\x01" + bytes(12) + b"\xff\x00", "64-bit machine 255"),
        (b"\x7fELF\x02\x01" + bytes(12) + b"\x3e\x00", None),
        (b"\x7fELF\x02\x01", None),
        (b"#!/bin/sh\necho hello world", None),
        (b"", None),
    ],
)
def test_a_program_for_another_machine_is_told_by_its_head(head: bytes, told: str | None) -> None:
    if told is not None and head[4:6] == b"\x01\x01" and head[18] == 62:
        told = "32-bit x86-64"
    assert describe_foreign(head) == told


@needs_compiler
def test_a_file_that_is_replaced_is_read_again(tmp_path: Path) -> None:
    path = compile_c(tmp_path, "first", "int one(void) { return 1; } int main(void) { return 0; }")
    first = load(str(path))
    assert load(str(path)) is first
    compile_c(tmp_path, "second", "int two(void) { return 2; } int main(void) { return 0; }").replace(path)
    second = load(str(path))
    assert first is not None
    assert second is not None
    assert [elf.defines("two") for elf in (first, second)] == [False, True]


def test_what_is_no_elf_file_is_nothing(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_bytes(b"#!/bin/sh\n")
    assert [load(str(script)), load(str(tmp_path)), load(str(tmp_path / "gone")), load("/dev/null")] == [None] * 4
    with pytest.raises(ValueError, match="not a readable ELF file"):
        Elf(str(script))


def test_an_elf_file_of_another_machine_or_byte_order_is_refused(tmp_path: Path) -> None:
    narrow = tmp_path / "narrow"
    fields = (1, 0x8048000, 0, 0, 0, 52, 32, 0, 40, 0, 0)
    narrow.write_bytes(struct.pack("<16sHHIIIIIHHHHHH", b"\x7fELF\x01\x01\x01", 2, 40, *fields))
    i386 = tmp_path / "i386"
    i386.write_bytes(struct.pack("<16sHHIIIIIHHHHHH", b"\x7fELF\x01\x01\x01", 2, 3, *fields))
    found = load(str(i386))
    assert found is not None
    assert found.word == 4
    swapped = tmp_path / "swapped"
    head = struct.pack(">16sHHIQQQIHHHHHH", b"\x7fELF\x02\x02\x01", 2, 22, 1, 0x8048000, 0, 0, 0, 64, 56, 0, 64, 0, 0)
    swapped.write_bytes(head)
    assert [load(str(narrow)), load(str(swapped))] == [None, None]


# ---- damage -------------------------------------------------------------------------------------------------

SMALL = "int twice(int x) { return 2 * x; }\nint main(int n, char **v) { (void)v; return twice(n); }\n"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few kilobytes of ELF with symbols, call-frame rules and line tables, and a file beside it to damage."""
    folder = tmp_path_factory.mktemp("small")
    options = ("-g1", "-O1", "-shared", "-fPIC", "-nostdlib", "-Wl,-z,noseparate-code", "-Wl,--build-id=sha1")
    # Without the folder's name in it the file is the same at every run, and so is the damage.
    return compile_c(folder, "small", SMALL, *options, f"-ffile-prefix-map={folder}=/src")


def use(path: Path) -> None:
    """Ask a file everything there is to ask: it is refused at once, or answers."""
    elf = load(str(path))
    if elf is None:
        return
    places = [0, elf.entry, 0x100, 0x200, *(symbol.address for symbol in elf.definitions_of(["twice", "main"]))]
    for place in places:
        elf.function_at(place)
        elf.read(place, 16)
        elf.bias_of(0x7F00_0000_0000, place & -4096)
    unwinder, lines = Unwinder(elf), LineTable(elf)
    for place in places:
        unwinder.rule_at(place)
        lines.find(place)


def test_the_small_file_is_good_before_it_is_damaged(small: Path) -> None:
    elf = Elf(str(small))
    place = address_of(elf, "twice")
    assert Unwinder(elf).rule_at(place) is not None
    assert LineTable(elf).find(place) is not None
    assert small.stat().st_size < 20_000


def test_sections_of_impossible_sizes_and_places_cost_names_and_never_the_run(small: Path) -> None:
    raw = small.read_bytes()
    table, size, count = struct.unpack_from("<Q", raw, 0x28)[0], *struct.unpack_from("<HH", raw, 0x3A)
    damaged = small.with_name("impossible")
    for section in range(count):
        for field in (0x18, 0x20):  # sh_offset, sh_size
            for byte, value in ((7, 0x80), (5, 0x01), (2, 0x7F)):
                copy = bytearray(raw)
                copy[table + section * size + field + byte] = value
                damaged.write_bytes(copy)
                use(damaged)


def test_any_one_byte_of_the_line_tables_header_may_be_wrong(small: Path) -> None:
    raw = small.read_bytes()
    (row,) = [
        line.split("]", 1)[1].split() for line in lines_of("readelf", "-W", "-S", small) if ".debug_line " in line
    ]
    start = int(row[3], 16)
    damaged = small.with_name("header")
    for place in range(start, start + 60):
        for value in (0, 0x80, 0xFF):
            copy = bytearray(raw)
            copy[place] = value
            damaged.write_bytes(copy)
            use(damaged)


@needs_compiler
@settings(seeded, max_examples=80)
@given(data=st.data())
def test_damaged_bytes_cost_names_and_never_the_run(small: Path, data: st.DataObject) -> None:
    raw = bytearray(small.read_bytes())
    # Headers, tables and the section headers at the end: where a byte means most.
    regions = [st.integers(0, 0x400), st.integers(len(raw) - 0x900, len(raw) - 1), st.integers(0, len(raw) - 1)]
    flips = data.draw(st.lists(st.tuples(st.one_of(regions), st.integers(0, 255)), min_size=1, max_size=8))
    for place, byte in flips:
        raw[place] = byte
    damaged = small.with_name("damaged")
    damaged.write_bytes(raw)
    use(damaged)


@needs_compiler
@settings(seeded, max_examples=80)
@given(length=st.integers(0, 16_000))
def test_a_file_that_was_cut_off_costs_names_and_never_the_run(small: Path, length: int) -> None:
    cut = small.with_name("cut")
    cut.write_bytes(small.read_bytes()[:length])
    use(cut)


def test_variables_have_their_addresses_as_long_as_there_are_symbols(tmp_path: Path) -> None:
    source = "static int hidden = 7; int seen = 11; int main(void) { return hidden + seen; }"
    whole = compile_c(tmp_path, "whole", source, "-O0", "-Wl,--build-id=sha1")
    said = subprocess.run(["nm", str(whole)], capture_output=True, text=True, check=True).stdout
    lines = [line.split() for line in said.splitlines() if line.endswith((" hidden", " seen"))]
    places = {name: int(address, 16) for address, _kind, name in lines}
    elf = Elf(str(whole))
    assert {name: elf.variable(name) for name in ("hidden", "seen")} == places
    assert (elf.variable("absent"), elf.variable("main")) == (0, 0)
    subprocess.run(["strip", str(whole)], check=True)
    assert Elf(str(whole)).variable("hidden") == 0
