"""Where functions end, on code that a compiler and an assembler made, beside objdump's word."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from observer.code.elf import Elf
from observer.code.exits import exits_of, piece_of
from observer.code.prologue import prologue_of
from observer.model.operations import FAMILY
from tests.unit.code.compiled import address_of, compile_c, libc_path, lines_of, needs_binutils, needs_compiler

pytestmark = [needs_compiler, needs_binutils]

LIBRARY = """\
#include <stddef.h>
#include <string.h>

void *outside(size_t);
__attribute__((noinline)) static void *slow(size_t size) { return size & 1 ? outside(size) + 1 : (void *)outside; }

void *ends_twice(size_t size)
{
    if (size > 23)
        return outside(size) + 7;
    return (void *)size;
}
void *ends_in_its_own(size_t size) { return slow(size + 1); }
void *ends_elsewhere(size_t size) { return outside(size + 1); }
void *ends_in_memset(char *piece, size_t size) { return memset(piece, 0, size); }
void *(*pointer)(size_t);
void *ends_by_pointer(size_t size) { return pointer(size + 1); }
int by_table(int which)
{
    switch (which) {
    case 0: return outside(17) != 0;
    case 1: return outside(23) != pointer;
    case 2: pointer(3); return 9;
    case 3: pointer(5); return 19;
    case 4: pointer(7); pointer(11); return 29;
    case 5: return 37;
    }
    return 41;
}
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Elf:
    folder = tmp_path_factory.mktemp("exits")
    options = ("-O2", "-shared", "-fPIC", "-fno-builtin", "-fcf-protection=none", "-fno-inline")
    return Elf(str(compile_c(folder, "library.so", LIBRARY, *options)))


def function(elf: Elf, name: str) -> int:
    return address_of(elf, name)


def returns_of_objdump(elf: Elf, name: str) -> set[int]:
    rows = lines_of("objdump", "-d", "--no-show-raw-insn", f"--disassemble={name}", elf.path)
    return {int(row.split(":")[0], 16) for row in rows if re.search(r"\tret", row)}


@pytest.mark.parametrize("name", ["ends_twice", "by_table"])
def test_all_returns_of_a_function_are_found(library: Elf, name: str) -> None:
    exits = exits_of(library, function(library, name))
    assert exits.returns >= returns_of_objdump(library, name) != set()


def test_a_function_ends_where_the_one_that_it_jumps_to_ends(library: Elf) -> None:
    exits = exits_of(library, function(library, "ends_in_its_own"))
    assert exits.returns == returns_of_objdump(library, "slow") != set()
    assert exits.names == {"slow", "outside"} or exits.names == {"slow"}


@pytest.mark.parametrize(
    ("name", "ends_in"), [("ends_elsewhere", {"outside"}), ("ends_in_memset", {"memset"}), ("ends_by_pointer", set())]
)
def test_a_jump_to_where_nobody_knows_is_named(library: Elf, name: str, ends_in: set[str]) -> None:
    exits = exits_of(library, function(library, name))
    assert (exits.returns, exits.names) == (set(), ends_in)
    [jump] = exits.jumps
    start, end = piece_of(library, function(library, name)) or (0, 0)
    assert start <= jump < end


def test_the_pieces_are_those_of_the_symbol_table(library: Elf) -> None:
    for start, size, name in library.functions:
        if size and name.startswith("ends"):
            assert piece_of(library, start + size // 2) == (start, start + size)


def test_code_without_symbols_sizes_and_tables_is_followed(tmp_path: Path) -> None:
    source = """\
    __asm__(".globl bare\\n.type bare, @function\\nbare: test %rdi, %rdi\\n je 1f\\n call bare\\n jmp 2f\\n"
            "1: mov %rdi, %rax\\n ret\\n .byte 0xc3, 0xc3\\n2: rep ret\\n");
    """
    elf = Elf(str(compile_c(tmp_path, "bare.so", source, "-shared", "-fPIC")))
    start = address_of(elf, "bare")
    assert piece_of(elf, start) is None
    # test 3, je 2, call 5, jmp 2, mov 3, ret; then two bytes that nobody reaches, and the ret with a prefix.
    assert {place - start for place in exits_of(elf, start).returns} == {15, 18}


def test_the_allocator_family_of_the_c_library_is_known_to_its_ends() -> None:
    elf = Elf(libc_path())
    for symbol in elf.definitions_of(operation.name for operation in FAMILY):
        exits = exits_of(elf, symbol.address)
        # Padding that could be data shows as ret only where objdump shows it, too.
        assert exits.returns, symbol.name
        assert all(elf.read(place, 2)[:1] in (b"\xc3", b"\xf3", b"\xf2") for place in exits.returns)


def test_arguments_are_in_their_registers_where_it_is_planted(tmp_path: Path) -> None:
    source = """\
    __asm__(".globl pushes, keeps, reads, loops, enters\\n.type pushes, @function\\n.type keeps, @function\\n"
            ".type reads, @function\\n.type loops, @function\\n.type enters, @function\\n"
            "pushes: push %rbp\\n push %r12\\n mov %rsp, %rbp\\n pop %rbp\\n ret\\n"
            "keeps: mov (%rdi), %rdi\\n mov %rdi, %rax\\n ret\\n"
            "enters: enter $32, $0\\n mov %rdi, %rax\\n leave\\n ret\\n"
            "reads: cmpb $0, (%rdi)\\n push %rbx\\n mov (%rsi), %rax\\n lea 8(%rdi), %rdx\\n pop %rbx\\n ret\\n"
            "loops: push %rbx\\n1: mov %rdi, %rax\\n test %rax, %rax\\n jne 1b\\n pop %rbx\\n ret\\n");
    """
    elf = Elf(str(compile_c(tmp_path, "asm.so", source, "-shared", "-fPIC")))
    starts = {name: address_of(elf, name) for name in ("pushes", "keeps", "reads", "loops", "enters")}
    places = {name: prologue_of(elf, start) for name, start in starts.items()}
    assert {name: (found.place - starts[name], found.pushed) for name, found in places.items()} == {
        "pushes": (3, 16),  # push rbp (1), push r12 (2)
        "keeps": (0, 0),  # its first instruction takes the argument away
        "reads": (7, 8),  # cmpb (3), push rbx (1), mov (3); lea touches no memory
        "loops": (0, 0),  # behind the push a loop comes back
        "enters": (0, 0),  # where the stack pointer is behind it nobody tells
    }
