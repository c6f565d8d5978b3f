"""Why a process was ended by a signal, in Korean; the counterpart of the words in `crashes`."""

from __future__ import annotations

from observer.model.events import Call
from observer.model.operations import ALLOCATING
from observer.story.crashes import Crash, CrashWords, Touched
from observer.story.korean import korean_counted, korean_sentence, misuse_in_korean
from observer.story.sentences import call_words
from observer.story.wording import number

__all__ = ["broken_in_korean", "crash_in_korean"]


def crash_in_korean(crash: Crash) -> CrashWords:
    """Tell a crash, and why it came (`crashes.crash_words`)."""
    call, because = crash.inside, []
    if call is not None and call != crash.misused:
        because.append(f"사건 {number(call.n)}, {_at(call)}{call_words(call)} 안에서 일어났다")
    if crash.misused is not None:
        because.append(broken_in_korean(crash.misused))
    if call is not None and crash.found_damage:
        what = "메모리가" if call.op in ALLOCATING else "조각이"
        because.append(f"C 라이브러리가 {what} 망가진 것을 발견했다. 그 전에 조각 밖에 무언가를 썼다")
    if crash.touched is not None:
        because.append(_touched(crash.touched))
    site = f"{crash.event.site.text}: " if crash.event.site is not None else ""
    return CrashWords(f"{site}{korean_sentence(crash.event, at_site=False)}", tuple(because))


def broken_in_korean(call: Call) -> str:
    """Say which rule of malloc(3) *call* breaks, where (`crashes.broken_words`)."""
    return f"사건 {number(call.n)}, {_at(call)}{call_words(call)}: {misuse_in_korean(call)}"


def _at(call: Call) -> str:
    return f"{call.site.text}의 " if call.site is not None else ""


def _touched(touched: Touched) -> str:
    piece, offset = touched.piece, korean_counted(touched.offset, "byte")
    name = f"{piece.place.text}에서 요청한 {korean_counted(piece.asked, 'byte')} 조각(사건 {number(piece.call)})"
    where = f"주소가 {name}의 {f'끝에서 {offset} 뒤' if touched.is_behind else f'{offset} 안쪽'}이다"
    gone = touched.freed
    if gone is None:
        return where
    freed = f"{gone.site.text}에서 " if gone.site is not None else ""
    return f"{where}. {freed}돌려준 조각이다(사건 {number(gone.call)})"
