"""Instructions done elsewhere, and stretches that give way to a jump."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from observer.code.elf import Elf
from observer.code.exits import exits_of
from observer.code.moving import (
    FAR_JUMP,
    JUMP,
    Stretch,
    covered,
    entry_stretch,
    exit_stretch,
    far_jump,
    jump,
    moved,
)

HERE, THERE = 0x7F00_0000_1000, 0x7F00_1000_0000
DISTANCE = THERE - HERE

FUNCTIONS = """
    .text
    .globl short, long, marked, looped, calling, ending, tight, tabled
    .type short, @function
short:  .cfi_startproc
        test %rdi, %rdi
        je 1f
        mov %rdi, %rax
1:      ret
        .cfi_endproc
        .size short, . - short
        .balign 16, 0x90
    .type long, @function
long:   .cfi_startproc
        push %rbp
        push %rbx
        mov %rdi, %rbx
        sub $24, %rsp
        add $24, %rsp
        pop %rbx
        pop %rbp
        ret
        .cfi_endproc
        .size long, . - long
        .byte 0x55
        .balign 16, 0xcc
    .type marked, @function
marked: .cfi_startproc
        endbr64
        mov %rsi, %rax
        add %rdi, %rax
        ret
        .cfi_endproc
        .size marked, . - marked
        .balign 16, 0x90
    .type looped, @function
looped: .cfi_startproc
        xor %eax, %eax
1:      inc %rax
        cmp %rdi, %rax
        jb 1b
        ret
        .cfi_endproc
        .size looped, . - looped
        .balign 16, 0x90
    .type calling, @function
calling: .cfi_startproc
        call long
        nop
        nop
        ret
        .cfi_endproc
        .size calling, . - calling
        .byte 0x55
        .balign 16, 0xcc
    .type ending, @function
ending: .cfi_startproc
        jmp long
        .cfi_endproc
        .size ending, . - ending
        .balign 16, 0x90
    .type tight, @function
tight:  .cfi_startproc
        test %edi, %edi
        jne 2f
        add $1, %rax
2:      pop %rcx
        ret
        .cfi_endproc
        .size tight, . - tight
        .byte 0x55
        .balign 16, 0xcc
    .type tabled, @function
tabled: .cfi_startproc
        jmp *%rdi
        pop %rbx
        pop %rbp
        pop %r12
        ret
        .cfi_endproc
        .size tabled, . - tabled
        .byte 0x55
"""


@pytest.fixture(scope="module")
def elf(tmp_path_factory: pytest.TempPathFactory) -> Elf:
    if shutil.which("gcc") is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("moving")
    (folder / "functions.s").write_text(FUNCTIONS)
    library = folder / "functions.so"
    subprocess.run(["gcc", "-shared", "-nostdlib", "-o", library, folder / "functions.s"], check=True)
    return Elf(str(library))


def place(elf: Elf, name: str) -> int:
    return elf.definitions_of([name])[0].address


def entry(elf: Elf, name: str, room: int) -> Stretch | None:
    at = place(elf, name)
    return entry_stretch(elf, at, exits_of(elf, at).targets, room)


def the_end(elf: Elf, name: str) -> Stretch | None:
    exits = exits_of(elf, place(elf, name))
    return exit_stretch(elf, max(exits.returns), exits.targets)


def test_a_jump_leads_from_behind_itself() -> None:
    assert jump(0x1000, 0x1005) == b"\xe9\0\0\0\0"
    assert jump(0x1000, 0x1000) == b"\xe9\xfb\xff\xff\xff"
    with pytest.raises(OverflowError):
        jump(0, 1 << 32)


def test_a_far_jump_names_its_word_and_not_its_place() -> None:
    assert far_jump(0x12345678) == b"\xff\x24\x25\x78\x56\x34\x12"
    assert len(far_jump(0)) == FAR_JUMP


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (b"\x55\x53", b"\x55\x53"),  # push rbp, push rbx
        (b"\x48\x8b\x05\x10\0\0\0", b"\x48\x8b\x05" + (0x10 - DISTANCE).to_bytes(4, "little", signed=True)),
        # cmp byte ptr [rip + 0x40], 0: a constant stands behind the distance
        (b"\x80\x3d\x40\0\0\0\0", b"\x80\x3d" + (0x40 - DISTANCE).to_bytes(4, "little", signed=True) + b"\0"),
        (b"\x74\x10", b"\x0f\x84" + (2 + 0x10 - 6 - DISTANCE).to_bytes(4, "little", signed=True)),
        (b"\x0f\x85\x10\0\0\0", b"\x0f\x85" + (0x10 - DISTANCE).to_bytes(4, "little", signed=True)),
        (b"\xeb\x10", b"\xe9" + (2 + 0x10 - 5 - DISTANCE).to_bytes(4, "little", signed=True)),
        (b"\xe3\x10", None),  # jrcxz
        (b"\xff", None),
    ],
)
def test_what_counts_from_its_own_place_counts_from_the_new_one(code: bytes, expected: bytes | None) -> None:
    made = moved(code, HERE, THERE)
    assert (made.code if made is not None else None) == expected


def test_each_instruction_says_what_it_stands_for() -> None:
    made = moved(b"\x55\x74\x10\x53", HERE, THERE)
    assert made is not None
    assert made.places == ((0, 1, HERE), (1, 6, HERE + 1), (7, 1, HERE + 3))


def test_too_far_away_nothing_can_be_moved() -> None:
    assert moved(b"\x74\x10", HERE, HERE + (1 << 33)) is None


def test_whole_instructions_give_way(elf: Elf) -> None:
    at = place(elf, "long")
    assert entry(elf, "long", JUMP) == Stretch(at, elf.read(at, 5))
    assert entry(elf, "long", FAR_JUMP) == Stretch(at, elf.read(at, 9))


def test_the_mark_of_a_function_stays_first(elf: Elf) -> None:
    found = entry(elf, "marked", JUMP)
    assert found is not None
    assert found.address == place(elf, "marked") + 4


@pytest.mark.parametrize("name", ["looped", "calling"])
def test_what_is_jumped_into_or_returned_to_does_not_give_way(elf: Elf, name: str) -> None:
    assert entry(elf, name, JUMP) is None


def test_a_function_that_is_but_a_jump_gives_way_with_what_follows(elf: Elf) -> None:
    found = entry(elf, "ending", FAR_JUMP)
    assert found is not None
    assert found.code[0] in (0xE9, 0xEB)
    assert len(found.code) >= FAR_JUMP


def test_a_return_with_room_behind_it_gives_way_itself(elf: Elf) -> None:
    exits = exits_of(elf, place(elf, "short"))
    found = the_end(elf, "short")
    assert found is not None
    assert found.address == max(exits.returns)


def test_a_return_without_gives_way_with_what_is_before(elf: Elf) -> None:
    found = the_end(elf, "long")
    assert found is not None
    assert (found.code[-1:], len(found.code)) == (b"\xc3", 7)
    assert found.code.startswith(b"\x48\x83\xc4")


@pytest.mark.parametrize("name", ["tight", "tabled", "calling"])
def test_a_return_whose_neighbours_are_come_by_otherwise_stays(elf: Elf, name: str) -> None:
    assert the_end(elf, name) is None


def test_stretches_that_share_a_byte_are_told() -> None:
    first = Stretch(10, bytes(5))
    assert covered([first], Stretch(14, bytes(5)))
    assert not covered([first], Stretch(15, bytes(5)))
