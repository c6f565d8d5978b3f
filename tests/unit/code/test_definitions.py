"""What bears a name: beside the processor's own answer, which is one of those that a resolver may choose."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from observer.code.definitions import definitions, undetermined
from observer.code.elf import Elf
from tests.unit.code.compiled import addresses_of, compile_c, lines_of, needs_compiler

SOURCE = """\
#ifdef EXPORTED
#define CHOICE
#else
#define CHOICE static
#endif
CHOICE int one(void) { return 1; }
CHOICE int two(void) { return 2; }
static void *choose(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") ? two : one;
}
int give(void) __attribute__((ifunc("choose")));
int other(void) { return 3; }
"""
TABLE = """\
static int one(void) { return 1; }
static int two(void) { return 2; }
static int (*const table[])(void) = {one, two};
static void *choose(void)
{
    __builtin_cpu_init();
    return table[!!__builtin_cpu_supports("avx2")];
}
int give(void) __attribute__((ifunc("choose")));
"""


@needs_compiler
@pytest.mark.parametrize("options", [("-O0",), ("-O2",), ("-O2", "-DEXPORTED"), ("-Os", "-fcf-protection=full")])
def test_all_that_a_resolver_may_choose_bears_the_name(tmp_path: Path, options: tuple[str, ...]) -> None:
    path = compile_c(tmp_path, "chosen.so", SOURCE, "-shared", "-fPIC", *options)
    elf = Elf(str(path))
    found = definitions(elf, ["give", "other", "absent"])
    assert {each.address for each in found} == {*addresses_of(elf, "one", "two", "other")}
    assert {each.name for each in found} == {"give", "other"}
    assert undetermined(elf, ["give", "other"]) == []
    library = ctypes.CDLL(str(path))
    chosen = ctypes.cast(library.give, ctypes.c_void_p).value
    other = ctypes.cast(library.other, ctypes.c_void_p).value
    assert chosen is not None
    assert other is not None
    (place,) = addresses_of(elf, "other")
    assert chosen - (other - place) in {each.address for each in found if each.name == "give"}


@needs_compiler
def test_a_stripped_library_tells_as_much(tmp_path: Path) -> None:
    path = compile_c(tmp_path, "chosen.so", SOURCE, "-shared", "-fPIC")
    places = {each.address for each in definitions(Elf(str(path)), ["give"])}
    lines_of("strip", path)
    assert {each.address for each in definitions(Elf(str(path)), ["give"])} == places
    assert len(places) == 2


@needs_compiler
def test_what_is_taken_out_of_a_table_is_undetermined(tmp_path: Path) -> None:
    elf = Elf(str(compile_c(tmp_path, "table.so", TABLE, "-shared", "-fPIC", "-O0")))
    assert definitions(elf, ["give"]) == []
    assert undetermined(elf, ["give", "nothing"]) == ["give"]
