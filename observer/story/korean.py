"""One plain Korean sentence for one event, in the terms of the book's Korean edition; the counterpart of `sentences`.

Names of functions, files and places, and what was read from registers, stand as they are in English sentences.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from observer.model.events import ADDRESS_RESULTS, Call, Event, Fault, Library, Lost, Process, Signal, Syscall
from observer.model.memory_calls import Advise, Break, Map, MemoryCall, Move, Protect, Unmap, memory_call
from observer.model.operations import ALLOCATING, RESIZING
from observer.story.refusals import code_name
from observer.story.sentences import call_words, gate_name, page_of, syscall_words
from observer.story.steps import is_step_six
from observer.story.terminal_phrases import COUNTED_IN_KOREAN
from observer.story.wording import error_name, number, short_size
from observer.story.wording import size as english_size

__all__ = [
    "exactly_in_korean", "for_whom_in_korean", "korean_counted", "korean_place", "korean_refusal", "korean_sentence",
    "korean_short_size", "korean_size", "misuse_in_korean", "touch_in_korean", "with_particles",
]  # fmt: skip

_PLAIN: Final = frozenset({"pkey_mprotect"})  # its arguments tell the key, too
_SERVED: Final = {
    "tcache": "스레드 캐시에서", "fastbin": "패스트 빈에서", "smallbin": "스몰 빈에서", "unsorted": "정렬 안 된 빈에서",
    "largebin": "라지 빈에서", "split": "더 큰 여유 조각을 나누어", "top": "톱 청크에서", "brk": "brk가 늘린 힙에서",
    "mmap": "따로 사상한 영역에서", "mremap": "mremap으로", "in place": "제자리에서",
    "free list": "여유 조각 목록에서",
}  # fmt: skip
_TOUCHER: Final = {
    "program": "프로그램이", "allocator": "할당자가", "libc": "C 라이브러리가", "loader": "로더가",
    "kernel": "커널이 프로그램을 위해", "unknown": "어떤 코드가",
}  # fmt: skip
_VERB: Final = {"read": "읽는다", "write": "쓴다", "exec": "실행한다"}
_DOES: Final = {"read": "읽으려 했다", "write": "쓰려 했다", "exec": "실행하려 했다", None: "접근하려 했다"}
_PLACES: Final = {"[heap]": "힙 영역", "[stack]": "스택 영역", "anonymous": "익명 메모리"}
_ADVICE: Final = {
    "dontneed": "커널이 {0}의 페이지를 도로 가져간다", "free": "커널이 {0}의 페이지를 가져가도 된다",
    "hugepage": "{0}에 큰 페이지를 써도 된다", "nohugepage": "{0}에 큰 페이지를 쓰면 안 된다",
}  # fmt: skip
_REASONS: Final = {
    "privileged instruction": "Ring 0에서만 실행할 수 있는 특권 명령이다",
    "non-canonical address": "x86-64에 없는 주소이다",
    "misaligned vector": "16의 배수인 주소가 필요하다",
    "software interrupt": "Ring 3에서 부를 수 없는 인터럽트이다",
    "segment": "가질 수 없는 세그먼트나 링을 적재하려 했다",
    "reserved bits": "CPU가 예약한 비트를 적재하려 했다",
    "kernel address": "커널의 주소에 접근했다",
    "vsyscall page": "vsyscall 페이지에 접근했다",
    "null pointer": "아무것도 사상되지 않는 널 포인터에 접근했다",
    "nothing mapped": "아무것도 사상되지 않은 주소에 접근했다",
    "stack overrun": "더 자랄 수 없는 스택 아래에 접근했다",
    "read-only": "읽기 전용으로 사상된 곳에 쓰려 했다",
    "not executable": "실행할 수 없는 곳으로 뛰었다",
    "no access": "접근이 금지된 곳에 접근했다",
    "not permitted": "허용되지 않은 접근이다",
    "protection key": "보호 키가 막은 곳에 접근했다",
    "beyond the file": "파일 끝을 넘은 페이지에 접근했다",
}  # fmt: skip
_EXCEPTIONS: Final = {
    "UNDEF": "프로그램이 쓸 수 있는 명령어가 아니다",
    "BRK": "중단점이다",
    "STEP": "디버그 트랩으로 끝났다",
    "WATCH": "디버거가 기다리던 곳이다",
    "ALIGN": "정렬되지 않은 주소이다",
    "SEA": "하드웨어가 고장이라고 알린 메모리에 접근했다",
    "FP": "부동소수점 연산의 결과가 없다",
    "FPAC": "서명이 틀린 포인터이다",
    "#DE": "0으로 나누었거나 몫이 너무 크다",
    "#UD": "이 CPU의 명령어가 아니다",
    "#BP": "중단점이다",
    "#DB": "디버그 트랩으로 끝났다",
    "#AC": "정렬되지 않은 주소이다",
    "#SS": "x86-64에 없는 스택 주소이다",
    "#MF": "x87 연산의 결과가 없다",
    "#XM": "SSE 연산의 결과가 없다",
    "#GP": "CPU가 명령어를 거부했다",
    "#BR": "인덱스가 범위를 벗어났다",
    "#OF": "오버플로가 일어났다",
    "#MC": "하드웨어가 고장이라고 알린 메모리에 접근했다",
    "#CP": "호출하지 않은 곳으로 돌아가려 했다",
}  # fmt: skip

_DIGITS: Final = "0123456789abcdef"
_CLOSED: Final = "013678"
"""The digits whose names end in a consonant: 영, 일, 삼, 육, 칠, 팔."""
_ENDING_IN_L: Final = "178"
_SYLLABLES: Final = (0xAC00, 0xD7A3)
_ENDINGS: Final = 28
"""Unicode has the syllables in the order of their final consonants: none first, ㄹ as the ninth."""
_L: Final = 8
_PARTICLE: Final = re.compile(r"을\(를\)|이\(가\)|\(으\)로")


def korean_sentence(event: Event, moved: int | None = None, *, at_site: bool = True) -> str:
    """Tell *event* in Korean; *moved* is what a brk did to the break (`Breaks.follow`); *at_site* adds its line."""
    text = _TELL[type(event)](event, moved)
    site = getattr(event, "site", None)
    return f"{text} ({site.text})" if at_site and site is not None and site.text != "?" else text


def with_particles(text: str) -> str:
    """Return *text* with that form of each particle, `을(를)`, `이(가)` or `(으)로`, which suits what stands before it.

    A syllable and a digit have one ending; behind anything else both forms stay.

    >>> with_particles("heap+0x2a0을(를) 5이(가) 1(으)로 stack을(를)")
    'heap+0x2a0을 5가 1로 stack을(를)'
    >>> with_particles("조각을(를) 시스템 호출이(가) 톱 청크(으)로 서울(으)로")
    '조각을 시스템 호출이 톱 청크로 서울로'
    """
    return _PARTICLE.sub(lambda found: _form(text[: found.start()], found.group()), text)


def _with(text: str, particle: str) -> str:
    return text + _form(text, particle)


def _form(text: str, particle: str) -> str:
    ending = _ending(text[-1:].lower())
    if ending is None:
        return particle
    closed, open_ = ("으로", "로") if particle == "(으)로" else (particle[0], particle[2])
    return closed if ending == "closed" or (ending == "l" and particle != "(으)로") else open_


def _ending(last: str) -> str | None:
    """Return how a syllable or a digit ends, `open`, `closed` or `l`; None of what may be read in several ways."""
    if last and _SYLLABLES[0] <= ord(last) <= _SYLLABLES[1]:
        final = (ord(last) - _SYLLABLES[0]) % _ENDINGS
        return "l" if final == _L else "closed" if final else "open"
    if not last or last not in _DIGITS:
        return None
    return "l" if last in _ENDING_IN_L else "closed" if last in _CLOSED else "open"


def korean_size(value: int) -> str:
    """Write a number of bytes as `wording.size` does.

    >>> korean_size(100), korean_size(135168)
    ('100바이트', '132 KiB')
    """
    return f"{number(value)}바이트" if abs(value) < 1024 else english_size(value)


def korean_short_size(value: int) -> str:
    """Write a size in eight places, or ten, as `wording.short_size` does."""
    return f"{value}바이트" if abs(value) < 1024 else short_size(value)


def korean_counted(count: int, noun: str) -> str:
    """Count what the English *noun* names, in Korean.

    >>> korean_counted(3, "piece"), korean_counted(1200, "page fault")
    ('조각 3개', '페이지 폴트 1,200번')
    """
    return COUNTED_IN_KOREAN[noun].format(number(count))


def exactly_in_korean(value: int) -> str:
    """Write a size for the eye and for the debugger: `132 KiB (0x21000)`."""
    return f"{korean_size(value)} ({value:#x})" if value >= 1024 else korean_size(value)


def for_whom_in_korean(event: Call) -> str:
    """Say, before what a call does, that it is the C library's or the loader's own (`sentences.for_whom`)."""
    return {"libc": "C 라이브러리 자신을 위해 ", "loader": "로더 자신을 위해 "}.get(event.origin, "")


def _call(event: Call, _moved: int | None) -> str:
    words = call_words(event)
    if event.end_ns is None:
        return f"{words}: 돌아오지 않았다{misuse_in_korean(event, '; ')}"
    if event.op not in ALLOCATING:
        return _releasing(event, words)
    return f"{words}: {for_whom_in_korean(event)}{_allocating(event)}{misuse_in_korean(event, '; ')}"


def _allocating(event: Call) -> str:
    if not event.result:
        return "NULL을 반환한다" + (f" ({error_name(event.errno)})" if event.errno else "")
    place, served = event.where or hex(event.result), _SERVED.get(event.served_by or "", event.served_by or "")
    served = f"{served} " if served else ""
    if event.op in RESIZING and event.pointer:
        if event.pointer == event.result:
            return f"{place}의 조각을 그대로 둔다"
        return f"조각을 {served}{_with(place, '(으)로')} 옮긴다"
    return f"{number(event.bytes_asked)}바이트를 요청하여 {served}{_with(place, '을(를)')} 얻는다"


def misuse_in_korean(event: Call, before: str = "") -> str:
    """Say which rule of malloc(3) the call breaks (`sentences.misuse_words`)."""
    if event.misuse is None:
        return ""
    misuse = event.misuse
    given, freed = _call_at(misuse.given, misuse.given_at), _call_at(misuse.freed, misuse.freed_at)
    told = {
        "freed before": f"{given}의 조각은 이미 {freed}에서 돌려주었다",
        "inside": f"포인터가 {given}의 조각 안쪽을 가리킨다",
        "never given": "관찰된 어떤 호출도 이 포인터를 반환하지 않았다",
        "two hands": f"이 조각은 {given}에서 받아 이미 쓰고 있다. 두 번 돌려준 것이다",
        "overlap": f"이 조각은 쓰고 있는 {given}의 조각과 겹친다. 크기나 리스트를 덮어쓴 것이다",
        "elsewhere": "할당자가 가진 적 없는 메모리이다. 리스트를 덮어썼거나 조각이 아닌 것을 돌려준 것이다",
        "other size": f"{given}의 조각과 다른 메모리가 커널로 돌아간다. 조각의 크기를 덮어쓴 것이다",
        "too small": f"{freed}에서 돌려준 {given}의 조각은 더 작다. 그 크기나 리스트를 덮어쓴 것이다",
    }
    return f"{before}{told[misuse.what]}"


def _call_at(number: int | None, site: str | None) -> str:
    return f"호출 {number}" + (f"({site})" if site else "")


def _releasing(event: Call, words: str) -> str:
    if event.op == "malloc_trim":
        return f"{words}: " + ("메모리를 커널에 돌려주었다" if event.result else "돌려줄 것이 없다")
    if event.op == "mallopt":
        return f"{words}: " + ("할당자의 설정을 바꾼다" if event.result else "거절된다")
    if event.op == "malloc_usable_size":
        return f"{words}: {number(event.result or 0)}바이트라고 답한다"
    if not event.pointer:
        return f"{event.op}(NULL): 아무 일도 하지 않는다"
    told = misuse_in_korean(event) or f"{for_whom_in_korean(event)}조각을 할당자에게 돌려준다"
    return f"{event.op}({event.where or hex(event.pointer)}): {told}"


def _syscall(event: Syscall, moved: int | None) -> str:
    gate = f" ({name})" if (name := gate_name(event)) else ""
    words = f"{syscall_words(event)}{gate}"
    if event.end_ns is None:
        return f"{words}: 돌아오지 않았다"
    call = memory_call(event)
    told = "" if call is None or event.name in _PLAIN else _memory(call, moved)
    if event.errno:
        return f"{event.name if told else words}: 실패한다 ({error_name(event.errno)})"
    if told:
        return f"{event.name}{gate}: {told}"
    value = event.result or 0
    return f"{words} = {hex(value) if event.name in ADDRESS_RESULTS else value}"


def _memory(call: MemoryCall, moved: int | None) -> str:
    if isinstance(call, Break):
        return _break(call, moved)
    if isinstance(call, Map):
        if "anonymous" not in call.flags:
            return f"파일의 {korean_size(call.length)}를 사상한다"
        if call.reserves:
            return f"{exactly_in_korean(call.length)}를 예약한다. 아직 접근할 수 없다"
        return f"새 메모리 {exactly_in_korean(call.length)}를 사상한다"
    if isinstance(call, Unmap):
        return f"{exactly_in_korean(call.length)}가 커널로 돌아간다"
    if isinstance(call, Move):
        verb = "옮긴다" if call.new_start != call.start else "크기를 바꾼다"
        return f"커널이 사상 영역을 {verb}: {korean_size(call.length)}에서 {korean_size(call.new_length)}로"
    if isinstance(call, Protect):
        return f"{exactly_in_korean(call.length)}의 보호를 {call.protection}로 바꾼다"
    if isinstance(call, Advise):
        return _ADVICE.get(call.advice or "", f"{{0}}에 대한 조언 {call.number}").format(korean_size(call.length))
    return ""


def _break(call: Break, moved: int | None) -> str:
    if call.is_question:
        return "브레이크가 어디인지 묻는다"
    if moved is None:
        return f"브레이크가 이제 {call.end or 0:#x}에 있다"
    if moved == 0:
        return "커널이 브레이크를 그대로 둔다" + (": 자리가 없다" if (call.end or 0) < call.asked else "")
    verb, way = ("늘린다", "올라간다") if moved > 0 else ("줄인다", "내려간다")
    return f"힙 영역을 {verb}: 브레이크가 {exactly_in_korean(abs(moved))} {way}"


def korean_place(mapping: str | None) -> str:
    """Name a mapping in a sentence: `힙 영역`, `map#3`, `libc.so.6`."""
    if not mapping:
        return "메모리"
    return _PLACES.get(mapping) or mapping.strip("[]").rsplit("/", 1)[-1]


def touch_in_korean(event: Fault, what: str) -> str:
    """Say who does what to *what*, some words that end in a vowel: `할당자가 힙 영역의 3번 페이지에 쓴다`."""
    verb = _VERB.get(event.access or "")
    particle = "를" if verb and event.access != "write" else "에"
    return f"{_TOUCHER.get(event.toucher, event.toucher)} {what}{particle} {verb or '접근한다'}"


def _fault(event: Fault, _moved: int | None) -> str:
    page, place = page_of(event), korean_place(event.mapping)
    what = f"{place}의 한 페이지" if page is None else f"{place}의 {number(page)}번 페이지"
    text = f"페이지 폴트: {touch_in_korean(event, what)}"
    if event.chunk is not None:
        text += f". 호출 {event.chunk.call}의 {number(event.chunk.size)}바이트 안이다"
    if event.major:
        text += ". 디스크에서 읽는다"
    return text + (f" (프레임 {event.frame:#x})" if event.frame and is_step_six(event) else "")


def _signal(event: Signal, _moved: int | None) -> str:
    ending = ": 프로세스가 끝난다" if event.fatal else ""
    if event.exception is None:
        return f"시그널 {event.signal}{ending}"
    address = f", 주소 {event.address:#x}" if event.address is not None and event.exception != "#GP" else ""
    return f"{korean_refusal(event)}; 시그널 {event.signal} ({code_name(event)}){address}{ending}"


def korean_refusal(event: Signal) -> str:
    """Say what the processor refused, and why (`refusals.exception_words`)."""
    reason = _REASONS.get(event.reason or "") or _EXCEPTIONS.get(event.exception or "") or _DOES[event.access]
    subject = f"`{event.instruction}`: " if event.instruction else ""
    return f"{subject}{reason} ({event.exception})"


_PROCESS: Final[dict[str, Callable[[Process], str]]] = {
    "start": lambda event: f"프로그램이 시작된다: {event.path}",
    "exec": lambda event: f"프로세스가 다른 프로그램이 된다: {event.path}",
    "fork": lambda event: f"fork: 자식 프로세스 {event.child}",
    "vfork": lambda event: f"vfork: 자식 프로세스 {event.child}, exec를 부를 때까지 같은 메모리를 쓴다",
    "clone": lambda event: f"clone: 새 스레드 {event.child}",
    "exit": lambda event: (
        f"상태 {_with(str(event.status), '(으)로')} 끝난다"
        if event.tid == event.pid
        else f"스레드 {_with(str(event.tid), '이(가)')} 끝난다"
    ),
    "killed": lambda event: f"시그널 {event.status}에 의해 강제로 끝난다",
    "released": lambda _event: "기록은 여기서 끝나고, 프로세스는 관찰 없이 계속 실행된다",
    "joined": lambda event: f"기록이 시작된다. 프로세스는 이미 있다: {event.path}",
    "unfollowed": lambda event: f"프로세스는 여기서부터 따라가지 않는다: {event.path}",
    "stopped": lambda _event: "요청받은 대로 관찰자가 여기서 프로세스를 끝낸다",
}


def _process(event: Process, _moved: int | None) -> str:
    teller = _PROCESS.get(event.what)
    return teller(event) if teller else event.what


def _library(event: Library, _moved: int | None) -> str:
    name = event.function.removeprefix("__vdso_")
    in_vdso = f"vDSO가 {name}에 답하지 못한다" if event.crossings else f"vDSO가 {name}에 답한다"
    text = in_vdso if event.module == "[vdso]" else f"라이브러리 호출: {name}"
    if event.crossings is None or (event.end_ns is None and event.crossings == 0):
        return text
    return f"{text}, 시스템 호출 " + ("없음" if event.crossings == 0 else f"{number(event.crossings)}번")


def _lost(event: Lost, _moved: int | None) -> str:
    return f"잃음: {event.instrument}이(가) 기록하지 못한 사건 {number(event.count)}개"


_TELL: Final[dict[type, Callable[..., str]]] = {
    Call: _call, Syscall: _syscall, Fault: _fault, Signal: _signal, Process: _process, Library: _library, Lost: _lost,
}  # fmt: skip
