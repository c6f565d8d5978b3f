"""Which call instructions of a function are reached, and which bytes only look like one."""

from __future__ import annotations

import pytest

from observer.arch.architecture import Architecture
from observer.arch.i386 import I386
from observer.arch.x86_64 import X86_64
from observer.code.reached import reached_calls

START = 0x1000
CALL = b"\xe8\x00\x10\x00\x00"  # 0x1005 from its end
NOP, RET, RETURNS_POPPING = b"\x90", b"\xc3", b"\xc2\x04\x00"
OVER = b"\xeb\x05"  # jmp, over five bytes


def addresses(code: bytes, rows: tuple[int, ...] = (), architecture: Architecture = X86_64) -> list[int]:
    return [call.address - START for call in reached_calls(code, START, [START + row for row in rows], architecture)]


def test_a_call_that_the_beginning_leads_to_is_reached() -> None:
    (call,) = reached_calls(NOP + CALL + RET, START, [], X86_64)
    assert (call.address, call.code, call.target) == (0x1001, CALL, 0x2006)


def test_a_call_through_a_pointer_has_no_target() -> None:
    (call,) = reached_calls(b"\xff\x15\x10\x00\x00\x00" + RET, START, [], X86_64)
    assert (call.target, len(call.code)) == (None, 6)


@pytest.mark.parametrize("ending", [OVER, RET, RETURNS_POPPING, b"\x0f\x0b", b"\xf4", b"\xf2\xc3"])
def test_what_lies_behind_an_end_is_not_reached(ending: bytes) -> None:
    assert addresses(ending + CALL + RET) == []


def test_a_row_of_the_line_table_leads_behind_an_end() -> None:
    assert addresses(RET + CALL + RET, rows=(1,)) == [1]


def test_a_jump_leads_forward_and_back() -> None:
    # je over the end to the second call; from there back to the first one, which nothing else leads to.
    code = b"\x74\x06" + RET + CALL + CALL + b"\xeb\xf4" + RET
    assert addresses(code) == [3, 8]


def test_instructions_begin_anew_where_a_jump_leads_into_the_middle_of_data() -> None:
    code = b"\xeb\x01" + b"\xe8" + CALL + RET  # the byte before the call would take its first four
    assert addresses(code) == [3]


def test_a_call_over_text_takes_its_return_address_as_data() -> None:
    assert addresses(b"\xe8\x05\x00\x00\x00" + b"\xe8text" + CALL + RET) == [10]


def test_bytes_that_are_no_instruction_end_nothing_that_is_led_to() -> None:
    assert addresses(b"\xeb\x02" + b"\x06\x06" + CALL + RET) == [4]
    assert addresses(b"\x06" * 7, rows=(3, 5)) == []
    assert addresses(b"") == []


def test_i386_is_read_as_i386() -> None:
    code = b"\x40\x48" + CALL + RET  # inc, dec: prefixes in 64-bit code
    assert addresses(code, architecture=I386) == [2]


def test_a_function_that_calls_itself_is_its_own_affair_later() -> None:
    (call,) = reached_calls(b"\xe8\xfb\xff\xff\xff" + RET, START, [], X86_64)
    assert call.target == START
