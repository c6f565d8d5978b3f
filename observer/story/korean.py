"""One plain Korean sentence for one event, in the terms of the book's Korean edition; the counterpart of `sentences`.

Names of functions, files and places, and what was read from registers, stand as they are in English sentences.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from observer.model.events import ADDRESS_RESULTS, Call, Event, Fault, Library, Lost, Process, Signal, Syscall
from observer.model.memory_calls import Advise, Break, Map, MemoryCall, Move, Protect, Unmap, memory_call
from observer.model.operations import ALLOCATING, RESIZING
from observer.story.refusals import code_name
from observer.story.sentences import call_words, page_of, syscall_words
from observer.story.steps import is_step_six
from observer.story.wording import error_name, number
from observer.story.wording import size as english_size

__all__ = ["korean_sentence", "korean_size"]

_PLAIN: Final = frozenset({"pkey_mprotect"})  # its arguments tell the key, too
_SERVED: Final = {
    "tcache": "스레드 캐시에서", "fastbin": "패스트 빈에서", "smallbin": "스몰 빈에서", "unsorted": "정렬 안 된 빈에서",
    "largebin": "라지 빈에서", "split": "더 큰 여유 조각을 나누어", "top": "톱 청크에서", "brk": "brk가 늘린 힙에서",
    "mmap": "따로 사상한 영역에서", "mremap": "mremap으로", "in place": "제자리에서",
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

_DIGITS: Final = "0123456789abcdef"
_CLOSED: Final = "013678"
"""The digits whose names end in a consonant: 영, 일, 삼, 육, 칠, 팔."""
_ENDING_IN_L: Final = "178"


def korean_sentence(event: Event, moved: int | None = None) -> str:
    """Tell *event* in Korean, with its source line; *moved* is what a brk did to the break (`Breaks.follow`)."""
    text = _TELL[type(event)](event, moved)
    site = getattr(event, "site", None)
    return f"{text} ({site.text})" if site is not None and site.text != "?" else text


def _with(text: str, particle: str) -> str:
    """Return *text* with the form of a particle, `을(를)`, `이(가)` or `(으)로`, that suits how its last digit is read.

    >>> _with("heap+0x2a0", "을(를)"), _with("5", "이(가)"), _with("1", "(으)로"), _with("stack", "을(를)")
    ('heap+0x2a0을', '5가', '1로', 'stack을(를)')
    """
    last = text[-1:].lower()
    if not last or last not in _DIGITS:
        return text + particle
    closed, open_ = ("으로", "로") if particle == "(으)로" else (particle[0], particle[2])
    takes_closed = last in _CLOSED and not (particle == "(으)로" and last in _ENDING_IN_L)
    return text + (closed if takes_closed else open_)


def korean_size(value: int) -> str:
    """Write a number of bytes as `wording.size` does.

    >>> korean_size(100), korean_size(135168)
    ('100바이트', '132 KiB')
    """
    return f"{number(value)}바이트" if abs(value) < 1024 else english_size(value)


def _exactly(value: int) -> str:
    return f"{korean_size(value)} ({value:#x})" if value >= 1024 else korean_size(value)


def _call(event: Call, _moved: int | None) -> str:
    words = call_words(event)
    if event.end_ns is None:
        return f"{words}: 돌아오지 않았다{_misuse(event)}"
    if event.op not in ALLOCATING:
        return _releasing(event, words)
    if not event.result:
        return f"{words}: NULL을 반환한다" + (f" ({error_name(event.errno)})" if event.errno else "") + _misuse(event)
    place, served = event.where or hex(event.result), _SERVED.get(event.served_by or "", event.served_by or "")
    served = f"{served} " if served else ""
    if event.op in RESIZING and event.pointer:
        if event.pointer == event.result:
            return f"{words}: {place}의 조각을 그대로 둔다{_misuse(event)}"
        return f"{words}: 조각을 {served}{_with(place, '(으)로')} 옮긴다{_misuse(event)}"
    got = _with(place, "을(를)")
    return f"{words}: {number(event.bytes_asked)}바이트를 요청하여 {served}{got} 얻는다{_misuse(event)}"


def _misuse(event: Call) -> str:
    if event.misuse is None:
        return ""
    given, freed = event.misuse.given, event.misuse.freed
    return {
        "freed before": f"; 호출 {given}의 조각은 이미 호출 {freed}에서 돌려주었다",
        "inside": f"; 포인터가 호출 {given}의 조각 안쪽을 가리킨다",
        "never given": "; 관찰된 어떤 호출도 이 포인터를 반환하지 않았다",
        "two hands": f"; 이 조각은 호출 {_with(str(given), '이(가)')} 이미 쓰고 있다. 두 번 돌려준 것이다",
    }[event.misuse.what]


def _releasing(event: Call, words: str) -> str:
    if event.op == "malloc_trim":
        return f"{words}: " + ("메모리를 커널에 돌려주었다" if event.result else "돌려줄 것이 없다")
    if event.op == "mallopt":
        return f"{words}: " + ("할당자의 설정을 바꾼다" if event.result else "거절된다")
    if event.op == "malloc_usable_size":
        return f"{words}: {number(event.result or 0)}바이트라고 답한다"
    if not event.pointer:
        return f"{event.op}(NULL): 아무 일도 하지 않는다"
    freeing = f"{event.op}({event.where or hex(event.pointer)}): "
    return freeing + (_misuse(event).removeprefix("; ") or "조각을 할당자에게 돌려준다")


def _syscall(event: Syscall, moved: int | None) -> str:
    words = syscall_words(event)
    if event.end_ns is None:
        return f"{words}: 돌아오지 않았다"
    call = memory_call(event)
    told = "" if call is None or event.name in _PLAIN else _memory(call, moved)
    if event.errno:
        return f"{event.name if told else words}: 실패한다 ({error_name(event.errno)})"
    if told:
        return f"{event.name}: {told}"
    value = event.result or 0
    return f"{words} = {hex(value) if event.name in ADDRESS_RESULTS else value}"


def _memory(call: MemoryCall, moved: int | None) -> str:
    if isinstance(call, Break):
        return _break(call, moved)
    if isinstance(call, Map):
        if "anonymous" not in call.flags:
            return f"파일의 {korean_size(call.length)}를 사상한다"
        if call.reserves:
            return f"{_exactly(call.length)}를 예약한다. 아직 접근할 수 없다"
        return f"새 메모리 {_exactly(call.length)}를 사상한다"
    if isinstance(call, Unmap):
        return f"{_exactly(call.length)}가 커널로 돌아간다"
    if isinstance(call, Move):
        verb = "옮긴다" if call.new_start != call.start else "크기를 바꾼다"
        return f"커널이 사상 영역을 {verb}: {korean_size(call.length)}에서 {korean_size(call.new_length)}로"
    if isinstance(call, Protect):
        return f"{_exactly(call.length)}의 보호가 {call.protection}이 된다"
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
    return f"힙 영역을 {verb}: 브레이크가 {_exactly(abs(moved))} {way}"


def _place(mapping: str | None) -> str:
    if not mapping:
        return "메모리"
    return _PLACES.get(mapping) or mapping.strip("[]").rsplit("/", 1)[-1]


def _fault(event: Fault, _moved: int | None) -> str:
    page, place = page_of(event), _place(event.mapping)
    what = f"{place}의 한 페이지" if page is None else f"{place}의 {number(page)}번 페이지"
    verb = _VERB.get(event.access or "")
    object_marker = "에 " if event.access == "write" else "를 " if verb else "에 "
    text = f"페이지 폴트: {_TOUCHER.get(event.toucher, event.toucher)} {what}{object_marker}{verb or '접근한다'}"
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
    reason = _REASONS.get(event.reason or "", _DOES[event.access])
    subject = f"`{event.instruction}`: " if event.instruction else ""
    return f"{subject}{reason} ({event.exception}); 시그널 {event.signal} ({code_name(event)}){address}{ending}"


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
