"""Korean sentences, and that every word has its counterpart."""

from __future__ import annotations

import re

import pytest

from observer.arch.x86_exceptions import EXCEPTIONS
from observer.model.chapter import CONCEPTS, STEPS
from observer.model.departures import TOLD
from observer.model.events import Event, Misuse
from observer.story.departures_in_korean import KOREAN
from observer.story.glossary import GLOSSARY, steps_in
from observer.story.korean import korean_refusal, korean_sentence, with_particles
from observer.story.phrases import PHRASES, Phrase
from observer.story.refusals import REASONS
from observer.story.sentences import sentence
from observer.story.terminal_phrases import TERMINAL_PHRASES
from tests.builders import HEAP, MAP, ChunkRef, call, fault, free, library, lost, process, signal, story_run, syscall

HOLES = re.compile(r"\{\d\}")


@pytest.mark.parametrize(
    ("event", "moved", "words"),
    [
        (call(7, result=HEAP + 0x2A0, served_by="top"), None, "malloc(100): 100바이트를 요청하여 톱 청크에서 heap+0x2a0을 얻는다 (story.c:28)"),
        (call(7, size=1 << 60, result=0, errno=12), None, "malloc(1152921504606846976): NULL을 반환한다 (ENOMEM) (story.c:28)"),
        (call(7, end_ns=None), None, "malloc(100): 돌아오지 않았다 (story.c:28)"),
        (free(9, HEAP), None, "free(heap+0x0): 조각을 할당자에게 돌려준다 (story.c:28)"),
        (call(7, size=1024, result=HEAP, origin="libc", site=None), None, "malloc(1024): C 라이브러리 자신을 위해 1,024바이트를 요청하여 heap+0x0을 얻는다"),
        (free(7, HEAP, origin="loader", site=None), None, "free(heap+0x0): 로더 자신을 위해 조각을 할당자에게 돌려준다"),
        (free(9, HEAP, misuse=Misuse("freed before", 3, None, 5, None)), None, "free(heap+0x0): 호출 3의 조각은 이미 호출 5에서 돌려주었다 (story.c:28)"),
        (call(7, "realloc", 200, pointer=HEAP, result=MAP, served_by="mmap"), None, "realloc(p, 200): 조각을 따로 사상한 영역에서 map#3+0x0으로 옮긴다 (story.c:28)"),
        (syscall(8, "brk", 0, result=HEAP), 0, "brk: 브레이크가 어디인지 묻는다 (__brk (libc.so.6))"),
        (syscall(8, "brk", HEAP, result=HEAP), 135168, "brk: 힙 영역을 늘린다: 브레이크가 132 KiB (0x21000) 올라간다 (__brk (libc.so.6))"),
        (syscall(8, "brk", HEAP, result=HEAP), -4096, "brk: 힙 영역을 줄인다: 브레이크가 4 KiB (0x1000) 내려간다 (__brk (libc.so.6))"),
        (syscall(8, "munmap", MAP, 8192, site=None), None, "munmap: 8 KiB (0x2000)가 커널로 돌아간다"),
        (syscall(8, "mmap", 0, 8192, 0, 0x22, 0, 0, result=MAP, site=None), None, "mmap: 8 KiB (0x2000)를 예약한다. 아직 접근할 수 없다"),
        (syscall(8, "getpid", result=17, gate="int80", site=None), None, "getpid() (int 0x80) = 17"),
        (syscall(8, "munmap", MAP, 8192, gate="sysenter", site=None), None, "munmap (sysenter): 8 KiB (0x2000)가 커널로 돌아간다"),
        (syscall(8, "mprotect", MAP, 8192, 3, site=None), None, "mprotect: 8 KiB (0x2000)의 보호를 rw-로 바꾼다"),
        (fault(9, frame=0x17), None, "페이지 폴트: 프로그램이 힙 영역의 1번 페이지에 쓴다 (프레임 0x17) (story.c:29)"),
        (fault(9, access="read", toucher="kernel", chunk=ChunkRef(3, HEAP, 1000)), None, "페이지 폴트: 커널이 프로그램을 위해 힙 영역의 1번 페이지를 읽는다. 호출 3의 1,000바이트 안이다 (story.c:29)"),
        (signal(4, site=None), None, "`mov byte ptr [rax], 0x61`: 아무것도 사상되지 않는 널 포인터에 접근했다 (#PF); 시그널 SIGSEGV (SEGV_MAPERR), 주소 0x0: 프로세스가 끝난다"),
        (process(0, "exit", status=3), None, "상태 3으로 끝난다"),
        (process(0, "exit", tid=4128), None, "스레드 4128이 끝난다"),
        (process(0, "clone", child=4129), None, "clone: 새 스레드 4129"),
        (process(0, "fork", child=4129), None, "fork: 자식 프로세스 4129"),
        (process(0, "start", path="/bin/a"), None, "프로그램이 시작된다: /bin/a"),
        (process(0, "killed", status=9), None, "시그널 9에 의해 강제로 끝난다"),
        (library(4, site=None), None, "라이브러리 호출: putc, 시스템 호출 없음"),
        (lost(4, count=1007), None, "잃음: faults이(가) 기록하지 못한 사건 1,007개"),
    ],
)  # fmt: skip
def test_a_sentence(event: Event, moved: int | None, words: str) -> None:
    assert korean_sentence(event, moved) == words


RULES = ("freed before", "inside", "never given", "two hands", "overlap", "elsewhere", "other size", "too small")


@pytest.mark.parametrize("what", RULES)
def test_every_rule_that_a_call_breaks_is_told_with_its_places(what: str) -> None:
    misuse = Misuse(what, 31, "a.c:7", 37, "a.c:9")
    korean = korean_sentence(free(41, HEAP, misuse=misuse), at_site=False).removeprefix("free(heap+0x0): ")
    english = sentence(free(41, HEAP, misuse=misuse), at_site=False)
    assert re.search("[가-힣]", korean)
    for place, mark in (("call 31 (a.c:7)", "호출 31(a.c:7)"), ("call 37 (a.c:9)", "호출 37(a.c:9)")):
        assert (place in english) == (mark in korean), mark


def test_the_place_of_an_event_is_left_out_on_demand() -> None:
    assert korean_sentence(free(9, HEAP), at_site=False) == "free(heap+0x0): 조각을 할당자에게 돌려준다"


@pytest.mark.parametrize("exception", sorted(set(EXCEPTIONS) - {"#PF"}))
def test_every_exception_is_told(exception: str) -> None:
    event = signal(1, exception=exception, reason=None, access=None, site=None)
    assert "접근하려 했다" not in korean_refusal(event)
    assert korean_refusal(event).endswith(f" ({exception})")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("조각을(를)", "조각을"), ("페이지을(를)", "페이지를"), ("3이(가)", "3이"), ("4이(가)", "4가"), ("0(으)로", "0으로"),
        ("1(으)로", "1로"), ("2(으)로", "2로"), ("서울(으)로", "서울로"), ("톱(으)로", "톱으로"), ("heap+0xf을(를)", "heap+0xf를"),
        ("stack을(를)", "stack을(를)"), ("이(가)", "이(가)"), ("상태 3(으)로, 호출 7이(가)", "상태 3으로, 호출 7이"),
    ],
)  # fmt: skip
def test_a_particle_suits_what_stands_before_it(text: str, words: str) -> None:
    assert with_particles(text) == words


def test_every_event_of_a_run_has_a_korean_sentence() -> None:
    assert all(re.search("[가-힣]", korean_sentence(event)) for event in story_run() if not hasattr(event, "decoded"))


def test_every_word_has_its_counterpart() -> None:
    assert set(KOREAN) == set(TOLD)
    assert set(steps_in("ko")) == set(STEPS) == set(steps_in("en"))
    assert {term.concept for term in GLOSSARY.values()} <= set(CONCEPTS)
    assert not PHRASES["en"].keys() & TERMINAL_PHRASES["en"].keys()
    for table in (PHRASES, TERMINAL_PHRASES):
        same_names_and_holes(table)


def same_names_and_holes(table: dict[str, dict[str, Phrase]]) -> None:
    assert table["en"].keys() == table["ko"].keys()
    for name, english in table["en"].items():
        korean = table["ko"][name]
        assert type(english) is type(korean), name
        if isinstance(english, dict) and isinstance(korean, dict):
            assert english.keys() == korean.keys(), name
        elif isinstance(english, str) and isinstance(korean, str):
            assert sorted(HOLES.findall(english)) == sorted(HOLES.findall(korean)), name


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_every_reason_of_a_refusal_is_told(reason: str) -> None:
    assert "접근하려 했다" not in korean_sentence(signal(1, reason=reason, access=None))
