"""A crash is linked to the piece of memory that it touched, and to the call that broke a rule before."""

from __future__ import annotations

from observer.model.events import Event, Misuse
from observer.story.crashes import Crash, crash_words
from observer.story.glance import Glance
from observer.story.korean_crashes import crash_in_korean
from tests.builders import HEAP, call, free, signal, site

ONE = HEAP + 0x1000


def last_crash(*events: Event) -> Crash:
    glance = Glance()
    for event in events:
        glance.take(event)
    return glance.crashes[-1]


def because(*events: Event) -> tuple[str, ...]:
    return crash_words(last_crash(*events)).because


def because_in_korean(*events: Event) -> tuple[str, ...]:
    return crash_in_korean(last_crash(*events)).because


def crash(address: int) -> Event:
    return signal(
        9, address=address, fatal=True, exception="#PF", reason="nothing mapped", access="read", site=site(30)
    )


def abort(n: int) -> Event:
    return signal(n, "SIGABRT", code=-6, address=None, exception=None, reason=None, access=None, fatal=True)


def test_a_touch_of_freed_memory_names_who_asked_and_who_freed() -> None:
    events = [call(0, size=101, result=ONE, site=site(3)), free(1, ONE, site=site(7)), crash(ONE + 13)]
    assert because(*events) == (
        "the address lies 13 bytes into the 101 bytes that story.c:3 asked for (event 0), freed by story.c:7 (event 1)",
    )


def test_a_touch_behind_a_piece_names_the_nearest_one() -> None:
    events = [
        call(0, size=101, result=ONE, site=site(3)),
        call(1, size=11, result=ONE + 0x80, site=site(4)),
        crash(ONE + 118),
    ]
    assert because(*events) == ("the address lies 17 bytes behind the 101 bytes that story.c:3 asked for (event 0)",)


def test_an_address_near_no_piece_is_linked_to_none() -> None:
    assert because(call(0, size=101, result=ONE, site=site(3)), crash(0x28)) == ()


def test_an_abort_in_free_is_linked_to_the_call_that_broke_the_rule() -> None:
    twice = free(
        2, ONE, site=site(8), end_ns=None,
        misuse=Misuse("freed before", given=0, given_at="story.c:3", freed=1, freed_at="story.c:7"),
    )  # fmt: skip
    events = [call(0, size=101, result=ONE, site=site(3)), free(1, ONE, site=site(7)), twice, abort(3)]
    assert because(*events) == (
        "event 2, free(p) at story.c:8: the piece of call 0 (story.c:3) was given back already, by call 1 (story.c:7)",
    )


def test_who_is_killed_from_outside_in_a_malloc_is_told_of_no_damage() -> None:
    asked = call(0, size=101, site=site(3), end_ns=None)
    for name, code in (("SIGTERM", 0), ("SIGALRM", 0x80), ("SIGABRT", 0)):
        end = signal(1, name, code=code, address=None, exception=None, reason=None, access=None, fatal=True)
        assert because(asked, end) == ("this happened in malloc(101) at story.c:3, event 0",)


def test_a_call_that_was_left_by_a_jump_is_not_where_a_later_crash_happened() -> None:
    left, later = call(0, size=101, site=site(3), end_ns=None), call(1, size=7, result=ONE, site=site(4))
    assert because(left, later, crash(0x28)) == ()


def test_an_abort_in_free_without_a_broken_rule_is_damage_from_outside() -> None:
    events = [call(0, size=101, result=ONE, site=site(3)), free(1, ONE, site=site(7), end_ns=None), abort(2)]
    assert because(*events)[1] == (
        "the C library found the piece damaged: something was written outside its piece before"
    )


def test_in_korean_a_touch_names_the_same_piece() -> None:
    asked, given_back = call(0, size=101, result=ONE, site=site(3)), free(1, ONE, site=site(7))
    assert because_in_korean(asked, given_back, crash(ONE + 13)) == (
        "주소가 story.c:3에서 요청한 101바이트 조각(사건 0)의 13바이트 안쪽이다. story.c:7에서 돌려준 조각이다(사건 1)",
    )
    assert because_in_korean(asked, crash(ONE + 118)) == (
        "주소가 story.c:3에서 요청한 101바이트 조각(사건 0)의 끝에서 17바이트 뒤이다",
    )
    assert because_in_korean(asked, crash(0x28)) == ()


def test_in_korean_an_abort_names_the_call_and_the_rule() -> None:
    twice = free(
        2, ONE, site=site(8), end_ns=None,
        misuse=Misuse("freed before", given=0, given_at="story.c:3", freed=1, freed_at="story.c:7"),
    )  # fmt: skip
    asked = call(0, size=101, result=ONE, site=site(3))
    assert because_in_korean(asked, free(1, ONE, site=site(7)), twice, abort(3)) == (
        "사건 2, story.c:8의 free(p): 호출 0(story.c:3)의 조각은 이미 호출 1(story.c:7)에서 돌려주었다",
    )
    assert because_in_korean(asked, free(1, ONE, site=site(7), end_ns=None), abort(2)) == (
        "사건 1, story.c:7의 free(p) 안에서 일어났다",
        "C 라이브러리가 조각이 망가진 것을 발견했다. 그 전에 조각 밖에 무언가를 썼다",
    )


def test_in_korean_what_happened_is_told_with_its_place() -> None:
    words = crash_in_korean(last_crash(crash(0x28))).what
    assert words.startswith("story.c:30: `mov byte ptr [rax], 0x61`: 아무것도 사상되지 않은 주소에 접근했다 (#PF)")
    assert words.endswith("주소 0x28: 프로세스가 끝난다")
