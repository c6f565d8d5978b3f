"""Chains of callers: walked once, found again by the words that decide them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from observer.arch.known import NATIVE
from observer.arch.x86_64 import X86_64
from observer.code.stepping import FP, SP, Rule
from observer.instruments.chains import Chains, words_of
from observer.model.through import Through

if NATIVE is not X86_64:
    pytest.skip("a return address lies on the stack here", allow_module_level=True)

SP_AT = 0x7FFC_0000_1000
MALLOCS_CALLERS = {
    0x1100: "xmalloc",
    0x1200: "work",
    0x1300: "main",
    0x1400: "_start",
    0x2100: "printf",
    0x1500: "other",
}
LAST = Rule(SP, 8, is_last=True)


class Code:
    """What a CodeMap knows, made up: `asked` counts the rules that a walk wanted."""

    def __init__(self, rules: Mapping[int, Rule | None]) -> None:
        self._rules = rules
        self.changes = self.asked = 0

    def rule_before(self, back: int) -> Rule | None:
        self.asked += 1
        return self._rules[back]

    def role_at(self, back: int) -> str:
        return "libc" if back == 0x2100 else "program" if back in MALLOCS_CALLERS else ""

    def function_before(self, back: int) -> str | None:
        return MALLOCS_CALLERS.get(back)

    def image_at(self, back: int) -> object | None:
        return object() if back in MALLOCS_CALLERS else None

    def is_behind_call(self, back: int) -> bool:
        return back in MALLOCS_CALLERS


def chains(code: Code, most: int = 8, *through: str) -> Chains:
    made: Any = code
    return Chains(made, most, Through(through))


def stack(*words: int, sp: int = SP_AT, bp: int = 0) -> memoryview:
    return words_of(sp, bp, 0, b"".join(word.to_bytes(8, "little") for word in words), 8)


def found(known: Chains, words: memoryview) -> tuple[tuple[int, ...], int, bool]:
    chain = known.of(words, 0, words[4], 1 << 20)
    return chain.addresses, chain.told, chain.is_whole


FIXED = {0x1100: Rule(SP, 16), 0x1200: Rule(SP, 24), 0x1300: Rule(SP, 8), 0x1400: LAST}


def test_callers_are_found_and_the_first_that_is_no_wrapper_is_told() -> None:
    words = stack(0x1100, 77, 0x1200, 78, 79, 0x1300, 0x1400)
    assert found(chains(Code(FIXED)), words) == ((0x1100, 0x1200, 0x1300, 0x1400), 0x1200, True)
    assert found(chains(Code(FIXED), 8, "work"), words)[1] == 0x1300


def test_no_more_are_kept_than_were_asked_for_and_one_further_out_is_told_all_the_same() -> None:
    words = stack(0x1100, 77, 0x1200, 78, 79, 0x1300, 0x1400)
    assert found(chains(Code(FIXED), 1), words) == ((0x1100,), 0x1200, False)
    assert found(chains(Code(FIXED), 2, "work"), words) == ((0x1100, 0x1200), 0x1300, False)
    assert found(chains(Code(FIXED), 4), words)[2]


def test_what_was_walked_once_is_found_by_the_words_that_decided_it() -> None:
    code = Code(FIXED)
    known = chains(code)
    first = known.of(stack(0x1100, 77, 0x1200, 78, 79, 0x1300, 0x1400), 0, 0x1100, 1 << 20)
    asked = code.asked
    again = known.of(stack(0x1100, 1, 0x1200, 2, 3, 0x1300, 0x1400, 5, sp=SP_AT - 512), 0, 0x1100, 1 << 20)
    assert again is first
    assert code.asked == asked


def test_another_return_address_anywhere_is_another_chain() -> None:
    known = chains(Code({**FIXED, 0x1500: Rule(SP, 8)}))
    one = found(known, stack(0x1100, 77, 0x1200, 78, 79, 0x1300, 0x1400))
    other = found(known, stack(0x1100, 77, 0x1200, 78, 79, 0x1500, 0x1300, 0x1400))
    assert (one[0][2:], other[0][2:]) == ((0x1300, 0x1400), (0x1500, 0x1300, 0x1400))
    assert found(known, stack(0x1100, 77, 0x1200, 78, 79, 0x1300, 0x1400)) == one


BY_POINTER = {
    0x1100: Rule(SP, 8),
    0x1200: Rule(FP, 16, saved_rbp=-16),
    0x1300: Rule(FP, 16, saved_rbp=-16),
    0x1400: LAST,
}


def pointed(room: int, *, sp: int = SP_AT, filled: int = 5) -> memoryview:
    """xmalloc's frame has nothing, work's *room* words of its own: rbp says where it ends."""
    works = sp + 16 + 8 * room
    mains = works + 16
    return stack(0x1100, 0x1200, *([filled] * room), mains, 0x1300, 0, 0x1400, sp=sp, bp=works)


def test_a_frame_of_no_fixed_size_is_left_by_its_frame_pointer_wherever_that_leads() -> None:
    known = chains(Code(BY_POINTER))
    for room in (0, 3, 1, 3):
        for sp in (SP_AT, SP_AT - 4096):
            assert found(known, pointed(room, sp=sp)) == ((0x1100, 0x1200, 0x1300, 0x1400), 0x1200, True)
    assert found(known, pointed(3, filled=0x1500))[0] == (0x1100, 0x1200, 0x1300, 0x1400)


def test_a_walk_ends_where_the_piece_does_and_goes_on_in_a_longer_one() -> None:
    known, words = chains(Code(FIXED)), (0x1100, 77, 0x1200, 78, 79, 0x1300, 0x1400)
    assert found(known, stack(*words[:5])) == ((0x1100, 0x1200), 0x1200, False)
    assert found(known, stack(*words)) == ((0x1100, 0x1200, 0x1300, 0x1400), 0x1200, True)
    assert found(known, stack(*words[:5])) == ((0x1100, 0x1200), 0x1200, False)


def test_code_without_rules_is_left_by_its_frame_pointer_if_that_leads_behind_a_call() -> None:
    rules = {**FIXED, 0x1200: None}
    frame = SP_AT + 24
    assert found(chains(Code(rules)), stack(0x1100, 77, 0x1200, frame, 0x1300, 0x1400, bp=frame))[0] == (
        0x1100, 0x1200, 0x1300, 0x1400,
    )  # fmt: skip
    assert found(chains(Code(rules)), stack(0x1100, 77, 0x1200, frame, 0x9999, 0x1400, bp=frame))[0] == (0x1100, 0x1200)
    assert found(chains(Code(rules)), stack(0x1100, 77, 0x1200, frame, 0x1300, bp=SP_AT - 64))[0] == (0x1100, 0x1200)


def test_the_c_librarys_own_code_is_seen_through_and_code_of_nobody_is_not_told_behind_it() -> None:
    rules = {0x2100: Rule(SP, 8), **FIXED, 0x9999: None}
    assert found(chains(Code(rules)), stack(0x2100, 0x1300, 0x1400))[1] == 0x1300
    assert found(chains(Code(rules)), stack(0x2100, 0x9999))[:2] == ((0x2100, 0x9999), 0)
    assert found(chains(Code(rules)), stack(0x9999, 0x1300))[:2] == ((0x9999,), 0x9999)


def test_in_other_code_nothing_is_known() -> None:
    code = Code(FIXED)
    known = chains(code)
    words = stack(0x1100, 77, 0x1200, 78, 79, 0x1300, 0x1400)
    first = known.of(words, 0, 0x1100, 1 << 20)
    code.changes += 1
    assert known.of(words, 0, 0x1100, 1 << 20) is not first
