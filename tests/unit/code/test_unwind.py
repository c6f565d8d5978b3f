"""Who called: the rules of .eh_frame beside readelf's reading of them, and walks over made-up stacks."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from observer.arch.aarch64 import AARCH64
from observer.code import stepping
from observer.code.elf import Elf
from observer.code.stepping import Frame, Rule, step
from observer.code.unwind import Unwinder
from tests.unit.code.compiled import libc_path, lines_of, needs_binutils

REGISTERS = {"rbx": 3, "rbp": 6, "rsp": 7}
SP = 0x7FFD_0000_1000
Row = tuple[int, str, str | None, str | None]


def interpreted(path: str | Path) -> Iterator[Row]:
    """(address, CFA, where rbp is, where rbx is) of every row that readelf works out, except those of CIEs."""
    columns: list[str] = []
    in_entry = False
    for line in lines_of("readelf", "-W", "--debug-dump=frames-interp", path):
        words = line.split()
        if " FDE " in line or " CIE " in line:
            in_entry, columns = " FDE " in line, []
        elif words[:1] == ["LOC"]:
            columns = words
        elif in_entry and columns and len(words) == len(columns):
            row = dict(zip(columns, words, strict=True))
            yield int(row["LOC"], 16), row["CFA"], row.get("rbp"), row.get("rbx")


def as_readelf(rule: Rule) -> tuple[str, str, str]:
    name = {number: name for name, number in REGISTERS.items()}.get(rule.register, "?")
    saved = [f"c{offset:+d}" if offset is not None else "u" for offset in (rule.saved_rbp, rule.saved_rbx)]
    return ("exp" if rule.is_plt else f"{name}{rule.offset:+d}", *saved)  # type: ignore[return-value]


@needs_binutils
def test_the_rules_of_the_c_library_are_those_that_readelf_tells() -> None:
    path = libc_path()
    unwinder = Unwinder(Elf(path))
    understood = re.compile(r"(rsp|rbp|rbx)[+-]\d+$")
    rows = [row for row in interpreted(path) if understood.match(row[1]) and "exp" not in row]
    assert len(rows) > 10_000
    wrong = []
    for address, cfa, rbp, rbx in rows[::11]:
        rule = unwinder.rule_at(address)
        if rule is None or as_readelf(rule) != (cfa, rbp or "u", rbx or "u"):
            wrong.append((hex(address), cfa, rbp, rbx, rule))
    assert wrong == []


@needs_binutils
def test_the_rules_of_a_program_hold_up_to_the_next_row(program: Path) -> None:
    unwinder = Unwinder(Elf(str(program)))
    rows = [row for row in interpreted(program) if row[1] != "exp"]
    assert len(rows) > 8
    for (address, cfa, *_saved), (following, *_rest) in pairwise(rows):
        last = unwinder.rule_at(following - 1) if address < following < address + 64 else unwinder.rule_at(address)
        assert last is not None
        assert as_readelf(last)[0] == cfa, hex(address)


def test_where_there_is_no_function_there_is_no_rule(program: Path) -> None:
    unwinder = Unwinder(Elf(str(program)))
    assert [unwinder.rule_at(place) for place in (0, 1 << 47, -8)] == [None, None, None]


def test_a_file_without_rules_has_none(program: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    lines_of("strip", "-o", bare, program)
    elf = Elf(str(bare))
    elf.eh_frame = (0, b"")  # type: ignore[misc]
    assert Unwinder(elf).rule_at(elf.entry) is None


def stack(**words: int) -> dict[int, int]:
    """Words above SP, by their distance: `at_8=1`."""
    return {SP + int(name.removeprefix("at_")): value for name, value in words.items()}


def test_at_a_functions_beginning_the_return_address_is_on_top() -> None:
    caller = step(Frame(0x1000, SP, 6, 3), Rule(7, 8), stack(at_0=0x2000).get)
    assert caller == Frame(0x2000, SP + 8, 6, 3)


def test_saved_registers_are_taken_from_the_stack() -> None:
    rule = Rule(7, 32, saved_rbp=-16, saved_rbx=-24)
    caller = step(Frame(0x1000, SP, 6, 3), rule, stack(at_24=0x2000, at_16=60, at_8=30).get)
    assert caller == Frame(0x2000, SP + 32, 60, 30)


def test_a_frame_pointer_is_followed_where_the_rule_says_so() -> None:
    frame = Frame(0x1000, SP, SP + 0x40, 3)
    caller = step(frame, Rule(6, 16, saved_rbp=-16), stack(at_72=0x2000, at_64=99).get)
    assert caller == Frame(0x2000, SP + 0x50, 99, 3)


@pytest.mark.parametrize(("ip", "cfa"), [(0x1020, 8), (0x102A, 8), (0x102B, 16), (0x102F, 16)])
def test_in_the_procedure_linkage_table_one_word_was_pushed_from_the_eleventh_byte_on(ip: int, cfa: int) -> None:
    caller = step(Frame(ip, SP, 6, 3), Rule(7, 8, is_plt=True), {SP + cfa - 8: 0x2000}.get)
    assert caller == Frame(0x2000, SP + cfa, 6, 3)


def test_a_walk_ends_where_the_saved_stack_ends() -> None:
    assert step(Frame(0x1000, SP, 6, 3), Rule(7, 64), stack(at_0=0x2000).get) is None


def test_a_walk_never_goes_down_the_stack() -> None:
    assert step(Frame(0x1000, SP, SP - 0x100, 3), Rule(6, 16), lambda address: 0x2000) is None


def test_a_rule_on_a_register_that_is_not_known_ends_the_walk() -> None:
    assert step(Frame(0x1000, SP, 6, 3), Rule(12, 8), lambda address: 0x2000) is None


def test_a_procedure_linkage_table_pushes_as_its_expression_says(program: Path) -> None:
    rows = [row for row in interpreted(program) if row[1] == "exp"]
    if not rows or os.uname().machine != "x86_64":
        pytest.skip("this linker writes no expression for the procedure linkage table")
    rule = Unwinder(Elf(str(program))).rule_at(rows[0][0])
    assert rule is not None
    assert rule.is_plt


def test_a_recursion_returns_to_the_address_it_came_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stepping, "NATIVE", AARCH64)
    frame = Frame(ip=0x40_0100, sp=0x1000, bp=0, bx=0x40_0100)
    saved = {0x1018: 0x40_0100}
    assert step(frame, Rule(stepping.SP, 32, saved_rbx=-8), saved.get) == Frame(0x40_0100, 0x1020, 0, 0x40_0100)
    assert step(frame, Rule(stepping.SP, 32), saved.get) is None
    assert step(frame, Rule(stepping.SP, 0, saved_rbx=0x18), saved.get) is None
