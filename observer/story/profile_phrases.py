"""The words of a run's heap profile on a terminal: its peak, lifetimes, sizes, fragmentation; in English and Korean.

`{0}`, `{1}` … are filled in by whoever shows them.
"""

from __future__ import annotations

from typing import Final

from observer.story.phrases import Phrase, by_language

__all__ = ["PROFILE_PHRASES"]

_PAIRS: Final[dict[str, tuple[Phrase, Phrase]]] = {
    # ---- the peak ----
    "peak_title": ("The peak", "가장 많을 때"),
    "peak_hint": (
        "{0} alive in {1} behind event {2}, after {3}", "사건 {2} 뒤, {3}에 {1}, {0}을(를) 쓰고 있었다"
    ),
    "peak_nothing": ("nothing was ever alive", "쓰인 조각이 없다"),
    "peak_columns": (
        {"alive": "alive", "share": "share", "pieces": "pieces", "place": "place"},
        {"alive": "쓰는 중", "share": "비율", "pieces": "조각", "place": "자리"},
    ),
    "course_title": ("Over the run", "실행 동안"),
    "course_hint": (
        "the most in each of {0} equal stretches of its events", "사건 수가 같은 {0}개 구간마다 가장 많은 값"
    ),
    "course_rows": (
        {"alive": "alive", "mapped": "mapped", "resident": "resident"},
        {"alive": "쓰는 중", "mapped": "사상", "resident": "상주"},
    ),
    # ---- fragmentation ----
    "fragmentation_title": ("What the allocator's memory is", "할당자의 메모리는 무엇인가"),
    "fragmentation_hint": (
        "in all processes, when most was alive and before the last one ended",
        "모든 프로세스의 바이트, 가장 많을 때와 마지막 프로세스가 끝나기 전",
    ),
    "fragmentation_columns": ({"peak": "at the peak", "end": "at the end"}, {"peak": "가장 많을 때", "end": "끝"}),
    "fragmentation_rows": (
        {"mapped": "mapped: the kernel gave it", "asked": "  asked for and alive",
         "rounding": "  lost to rounding (internal)", "headers": "  the allocator's own word in each piece",
         "idle": "  not handed out (external)", "resident": "resident: a page frame behind it",
         "vacant": "  with no live piece on the page", "untouched": "alive, yet never touched: no frame"},
        {"mapped": "사상: 커널이 준 것", "asked": "  요청되어 쓰는 중", "rounding": "  올림으로 잃음 (내부 단편화)",
         "headers": "  조각마다 할당자 자신의 한 워드", "idle": "  내어 주지 않음 (외부 단편화)",
         "resident": "상주: 페이지 프레임이 있다", "vacant": "  쓰는 조각이 없는 페이지",
         "untouched": "쓰는 조각이지만 건드린 적 없음"},
    ),
    "fragmentation_words": (
        "internal: a chunk is larger than what was asked for. external: free pieces, the end of the heap, ends of "
        "pages.",
        "내부: 청크가 요청보다 크다. 외부: 여유 조각, 힙의 끝, 페이지의 끝.",
    ),
    "fragmentation_unknown": (
        "Pages that came beside a touched one (huge pages), or were asked for at once, count as never touched.",
        "건드린 페이지 옆에 함께 온 페이지(큰 페이지)나 한꺼번에 요청된 페이지는 건드린 적 없는 것으로 센다.",
    ),
    # ---- lifetimes ----
    "lifetimes_title": ("How long pieces lived", "조각의 수명"),
    "lifetimes_hint": ("{0} ended, {1} never did", "{0} 끝남, {1} 끝나지 않음"),
    "lifetimes_events": ("in events of the run, from the call that made it to the one that ended it",
                         "조각을 만든 호출부터 끝낸 호출까지의 사건 수"),
    "lifetimes_time": ("in time", "시간"),
    "lifetimes_inferred": (
        "in time (inferred: calls recorded inside the program lie between two readings of a clock)",
        "시간 (추정: 프로그램 안에서 기록된 호출은 시계를 읽은 두 때 사이에 있다)",
    ),
    "lifetimes_below": ("below {0}", "{0} 미만"),
    "lifetimes_from": ("from {0}", "{0} 이상"),
    "range": ("{0} to {1}", "{0}~{1}"),
    "lifetimes_places": ("by the line that asked for them", "요청한 줄마다"),
    "lifetimes_columns": (
        {"pieces": "ended", "half": "half lived", "never": "never", "place": "place"},
        {"pieces": "끝남", "half": "절반의 수명", "never": "안 끝남", "place": "자리"},
    ),
    # ---- sizes ----
    "sizes_title": ("Sizes", "크기"),
    "sizes_hint": (
        "a chunk of glibc's is 8 bytes longer than asked for, rounded up to 16",
        "glibc의 청크는 요청보다 8바이트 길고, 16의 배수로 올린다",
    ),
    "sizes_columns": (
        {"chunk": "chunk", "calls": "calls", "asked": "asked for", "lost": "lost", "peak": "at the peak",
         "pieces": "pieces"},
        {"chunk": "청크", "calls": "호출", "asked": "요청", "lost": "올림", "peak": "많을 때", "pieces": "조각"},
    ),
    "sizes_other": (
        "Of other allocators than glibc's the size asked for is classed, and what is lost is not known.",
        "glibc가 아닌 할당자는 요청한 크기로 나누며, 올림은 알 수 없다.",
    ),
    # ---- leaks ----
    "leaks_none": ("nothing of the program's own", "프로그램 자신의 것은 없다"),
    "leaks_own": ("The C library's own", "C 라이브러리 자신의 것"),
    "leaks_own_hint": (
        "{0} in {1}: by the lines that made it ask", "{1}, {0}: 요청하게 한 줄마다"
    ),
}  # fmt: skip

PROFILE_PHRASES: Final = by_language(_PAIRS)
"""By language, by name, as in `phrases.PHRASES`."""
