"""The words of an interface that shows a run moment by moment, in English and Korean: labels, hints, short answers.

`{0}`, `{1}` … are filled in by whoever shows them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["PHRASES", "Phrase", "by_language", "phrases_in"]

Phrase = str | dict[str, str]
"""Words, or words by the word that chooses among them."""

_PAIRS: Final[dict[str, tuple[Phrase, Phrase]]] = {
    # ---- the whole page ----
    "subtitle": ("where its memory comes from", "메모리는 어디에서 오는가"),
    "process": ("Process", "프로세스"),
    "theme": ("Light / dark", "밝게 / 어둡게"),
    "to_run": ("The whole run", "실행 전체"),
    "to_terms": ("Words", "용어"),
    "need_script": (
        "The moments of the run need JavaScript; what is below can be read without.",
        "실행의 순간을 보려면 자바스크립트가 필요하다. 아래 내용은 없이도 읽을 수 있다.",
    ),
    "close": ("Close", "닫기"),
    "events_total": ("{0} events", "사건 {0}개"),
    "ended_exit": ("ended with status {0}", "상태 {0}(으)로 끝남"),
    "ended_killed": ("killed by {0}", "{0}에 의해 강제로 끝남"),
    "ended_stopped": ("ended by the observer", "관찰자가 끝냄"),
    "ended_cut_off": ("the recording was cut off", "기록이 중간에 끊김"),
    "thinned": (
        "This run has {0} events. The page stands at {1} of them: every {2}th, and the rare ones. What it shows at "
        "each "
        "is exact.",
        "이 실행에는 사건이 {0}개 있다. 이 페이지는 그중 {1}개에서 멈춘다. {2}개마다 하나와 드문 사건들이다. 멈추는 "
        "곳에서 보이는 것은 정확하다.",
    ),
    "skipped_pieces": ("{0} smaller pieces are not drawn.", "작은 조각 {0}개는 그리지 않았다."),
    "skipped_pages": ("{0} later pages are not drawn.", "나중 페이지 {0}개는 그리지 않았다."),
    "skipped_processes": ("{0} further processes are not drawn.", "다른 프로세스 {0}개는 그리지 않았다."),
    # ---- the moment ----
    "moment": ("The moment", "지금 이 순간"),
    "slider": ("Event of the run", "실행의 사건"),
    "play": ("Play", "재생"),
    "pause": ("Pause", "멈춤"),
    "back": ("Previous event", "이전 사건"),
    "on": ("Next event", "다음 사건"),
    "key_help": (
        "← → one event · PgUp PgDn many · Home End · Tab, then arrows and Enter, for pieces and pages",
        "← → 한 사건 · PgUp PgDn 여러 사건 · Home End · 조각과 페이지는 Tab 뒤 화살표와 Enter",
    ),
    "event_n": ("event {0}", "사건 {0}"),
    "event_of": ("event {0} of {1}", "사건 {0} / {1}"),
    "kinds": (
        {"call": "allocator call", "syscall": "system call", "fault": "page fault", "signal": "signal",
         "process": "process", "library": "library call", "lost": "lost"},
        {"call": "할당자 호출", "syscall": "시스템 호출", "fault": "페이지 폴트", "signal": "시그널",
         "process": "프로세스",
         "library": "라이브러리 호출", "lost": "잃음"},
    ),
    # ---- steps and rings ----
    "steps": ("Six steps", "여섯 단계"),
    "step_states": (
        {"now": "now", "done": "done", "coming": "to come"}, {"now": "지금", "done": "지남", "coming": "다음"},
    ),
    "takes": ("steps {0}", "{0} 단계"),
    "is_step": ("step {0}", "{0}단계"),
    "no_step": ("none of them", "해당 없음"),
    "rings": ("User mode and kernel mode", "사용자 상태와 커널 상태"),
    "user_mode": ("user mode, ring 3", "사용자 상태, Ring 3"),
    "kernel_mode": ("kernel mode, ring 0", "커널 상태, Ring 0"),
    "ring_3": ("Ring 3: it all happens in user mode.", "Ring 3: 모두 사용자 상태에서 일어난다."),
    "ring_now": ("Rings {0}: {1}.", "Ring {0}: {1}."),
    "ring_words": (
        {"user": "no way into the kernel", "kernel": "in the kernel, on the program's behalf",
         "syscall": "through the portal of a system call and back", "fault": "a page fault enters the kernel, and back",
         "signal": "the processor refused, and the kernel answers with a signal"},
        {"user": "커널로 들어가지 않는다", "kernel": "커널 안에서, 프로그램을 위해",
         "syscall": "시스템 호출이라는 포털을 지나 돌아온다", "fault": "페이지 폴트로 커널에 들어갔다 돌아온다",
         "signal": "CPU가 거부하고, 커널이 시그널로 답한다"},
    ),
    # ---- source ----
    "source": ("Source", "소스 코드"),
    "file": ("File", "파일"),
    "in_function": ("in {0}, {1}", "{0} 안, {1}"),
    "callers": ("called by", "호출 순서"),
    "other_callers": ("further callers are not shown", "그 밖의 호출자는 보이지 않는다"),
    "no_source_of": ("Now in {0}: its source is not here.", "지금은 {0}: 소스가 여기에 없다."),
    "no_place": ("This event has no place in the program.", "이 사건은 프로그램 안의 자리가 없다."),
    "no_source": (
        "No source was found. Name the folder it lies in with --source FOLDER, and compile with -g.",
        "소스를 찾지 못했다. --source FOLDER로 폴더를 알려 주고, -g로 컴파일한다.",
    ),
    "more_lines": ("… {0} more lines", "… {0}줄 더"),
    "line_one": ("line {0}, {1} event", "{0}번 줄, 사건 {1}개"),
    "line_many": ("line {0}, {1} events", "{0}번 줄, 사건 {1}개"),
    # ---- address space ----
    "space": ("Address space", "주소 공간"),
    "space_hint": ("high addresses on top", "위가 높은 주소"),
    "heap": ("heap", "힙 영역"),
    "stack": ("stack", "스택 영역"),
    "mapped_region": ("mapping", "사상 영역"),
    "anonymous": ("anonymous memory", "익명 메모리"),
    "reserved": ("reserved", "예약됨"),
    "parts": (
        {"r-x": "code", "r--": "constants", "rw-": "data", "---": "reserved"},
        {"r-x": "코드", "r--": "상수", "rw-": "데이터", "---": "예약됨"},
    ),
    "files": ("{0} libraries and small mappings", "라이브러리와 작은 사상 영역 {0}개"),
    "gap": ("gap of {0}", "여유 공간 {0}"),
    "gap_heap": ("gap of {0}: room for the heap", "여유 공간 {0}: 힙이 자랄 곳"),
    "gap_stack": ("gap of {0}: room for the stack", "여유 공간 {0}: 스택이 자랄 곳"),
    "region_label": ("{0}: {1}, {2} seen brought in", "{0}: {1}, 들어온 것 {2}"),
    "here": ("the event is here", "사건이 여기에서 일어난다"),
    "nothing_mapped": ("Nothing is mapped yet.", "아직 아무것도 사상되지 않았다."),
    # ---- pieces and pages ----
    "two_levels": ("Two levels: pieces and pages", "두 단계: 메모리 조각과 페이지"),
    "region": ("Region", "영역"),
    "follow": ("follow the event", "사건 따라가기"),
    "zoom_in": ("Larger", "확대"),
    "zoom_out": ("Smaller", "축소"),
    "zoom_fit": ("All of it", "전체"),
    "pieces": ("Pieces: what malloc handed out, in user mode", "메모리 조각: malloc이 사용자 상태에서 나누어 준 것"),
    "pages": ("Pages: what the kernel put behind them", "페이지: 커널이 그 뒤에 놓은 것"),
    "pieces_list": ("Pieces, in the order of their addresses", "주소 순서의 메모리 조각"),
    "pages_list": ("Resident pages, in the order of their addresses", "주소 순서의 상주 페이지"),
    "none_here": ("nothing here at this moment", "지금은 여기에 아무것도 없다"),
    "break": ("break", "브레이크"),
    "strip_words": (
        "pieces in use: {0}, {1} asked for · address space: {2} · resident pages: {3}, {4}",
        "쓰는 조각 {0}개, 요청 {1} · 주소 공간 {2} · 상주 페이지 {3}개, {4}",
    ),
    "region_absent": ("At this moment the region does not exist.", "지금은 이 영역이 없다."),
    "piece_used": ("piece of {0} at +{1}, in use", "+{1}의 {0} 조각, 쓰는 중"),
    "piece_asked": ("piece of {0} at +{1}, being asked for", "+{1}의 {0} 조각, 요청하는 중"),
    "piece_free": ("free piece of {0} at +{1}", "+{1}의 {0} 여유 조각"),
    "pieces_used": ("{0} pieces in use, {1} together, from +{2}", "+{2}부터 쓰는 조각 {0}개, 모두 {1}"),
    "pieces_free": ("{0} free pieces, {1} together, from +{2}", "+{2}부터 여유 조각 {0}개, 모두 {1}"),
    "page_label": ("page {0}: {1}, {2}", "{0}번 페이지: {1}, {2}"),
    "pages_label": ("pages {0} to {1}: {2}", "{0}~{1}번 페이지: {2}"),
    "touched": (
        {"program": "first touched by the program", "allocator": "first touched by malloc",
         "libc": "first touched by the C library", "loader": "first touched by the loader",
         "kernel": "first touched by the kernel", "unknown": "touched by some code"},
        {"program": "프로그램이 처음 건드림", "allocator": "malloc이 처음 건드림", "libc": "C 라이브러리가 처음 건드림",
         "loader": "로더가 처음 건드림", "kernel": "커널이 처음 건드림", "unknown": "어떤 코드가 건드림"},
    ),
    "hows": (
        {"own": "a frame of its own", "zero": "the shared page of zeros", "shared": "shared with the parent process"},
        {"own": "자기 프레임", "zero": "함께 쓰는 제로 페이지", "shared": "부모 프로세스와 함께 씀"},
    ),
    "frame": ("frame {0}", "프레임 {0}"),
    "legend_used": ("in use", "쓰는 중"),
    "legend_free": ("free, kept by malloc", "여유 조각, malloc이 보관"),
    "legend_asked": ("being asked for", "요청하는 중"),
    "legend_none": ("never handed out", "아직 나누어 주지 않음"),
    "legend_program": ("P  touched by the program", "P  프로그램이 건드림"),
    "legend_allocator": ("M  touched by malloc", "M  malloc이 건드림"),
    "legend_other": ("K C L  kernel, C library, loader", "K C L  커널, C 라이브러리, 로더"),
    "legend_zero": ("0  page of zeros,  S  shared", "0  제로 페이지,  S  함께 씀"),
    "legend_empty": ("no frame yet", "아직 프레임 없음"),
    # ---- chart ----
    "levels": ("Asked, mapped, resident", "요청, 사상, 상주"),
    "level_names": (
        {"asked": "asked for with malloc", "mapped": "address space from the kernel", "resident": "resident in frames"},
        {"asked": "malloc으로 요청한 양", "mapped": "커널에게서 얻은 주소 공간", "resident": "프레임에 상주하는 양"},
    ),
    "log_scale": ("logarithmic scale", "로그 눈금"),
    "chart_label": (
        "At event {0}: asked for {1}, address space from the kernel {2}, resident {3}",
        "사건 {0}: 요청 {1}, 커널에게서 얻은 주소 공간 {2}, 상주 {3}",
    ),
    # ---- lives ----
    "life": ("A life", "한살이"),
    "life_hint": (
        "Choose a piece, a page, or a source line that has events: its life is told here.",
        "조각이나 페이지, 사건이 있는 소스 줄을 고르면 여기에서 그 한살이를 보여 준다.",
    ),
    "piece_title": ("Piece of {0} at +{1}", "+{1}의 {0} 조각"),
    "room_title": ("Free piece of {0} at +{1}", "+{1}의 {0} 여유 조각"),
    "page_title": ("Page {0}", "{0}번 페이지"),
    "asked_at": ("line", "줄"),
    "asked_by": ("asked by", "요청"),
    "served": ("served from", "가져온 곳"),
    "its_pages": ("its pages", "페이지"),
    "given_back": ("given back", "돌려줌"),
    "never": ("never: it is there at the end", "돌려주지 않았다: 끝까지 남아 있다"),
    "on_pages": ("pages it lies on: {0} · with a frame: {1}", "{0}개 페이지에 걸쳐 있고, {1}개에 프레임이 왔다"),
    "page_n": ("page {0}", "{0}번 페이지"),
    "before": (", before the piece", " (조각보다 먼저)"),
    "free_since": ("free since", "여유 시작"),
    "free_until": ("until", "여유 끝"),
    "still_free": ("the end of the run", "실행이 끝날 때까지"),
    "address": ("address", "주소"),
    "brought": ("brought in by", "들여온 것"),
    "is": ("it is", "종류"),
    "went": ("went with", "사라짐"),
    "pieces_on": ("pieces on it now", "지금 놓인 조각"),
    "no_piece": ("none", "없음"),
    "more": ("and {0} more", "그 밖에 {0}개"),
    "served_words": (
        {"tcache": "the thread cache", "fastbin": "a fast bin", "smallbin": "a small bin",
         "unsorted": "the unsorted bin",
         "largebin": "a large bin", "split": "a larger free piece that was split", "top": "the top chunk",
         "brk": "the heap that brk extended", "mmap": "a mapping of its own", "mremap": "mremap",
         "in place": "in place"},
        {"tcache": "스레드 캐시", "fastbin": "패스트 빈", "smallbin": "스몰 빈", "unsorted": "정렬 안 된 빈",
         "largebin": "라지 빈", "split": "나눈 더 큰 여유 조각", "top": "톱 청크", "brk": "brk가 늘린 힙",
         "mmap": "따로 사상한 영역", "mremap": "mremap", "in place": "제자리"},
    ),
    "events": ("Events around it", "앞뒤의 사건"),
    "one_byte": ("{0} byte", "{0}바이트"),
    "bytes": ("{0} bytes", "{0}바이트"),
    # ---- the whole run ----
    "numbers": ("In numbers", "숫자로 보기"),
    "calls": ("allocator calls", "할당자 호출"),
    "served_free": ("served without the kernel", "커널 없이 할당"),
    "grown": ("needed the kernel first", "커널에 먼저 요청"),
    "asked_total": ("asked for", "요청한 양"),
    "peak": ("alive at the most", "동시에 쓴 최대"),
    "from_kernel": ("obtained inside the allocator", "할당자 안에서 얻은 양"),
    "frames_total": ("frames (step 6)", "프레임(여섯째 단계)"),
    "syscalls": ("system calls, inside the allocator and outside", "시스템 호출, 할당자 안과 밖"),
    "faults": ("page faults", "페이지 폴트"),
    "sites": ("Where it was asked for", "어디에서 요청했나"),
    "leaks": ("Never given back", "돌려주지 않은 것"),
    "no_leaks": ("Every piece was given back.", "모든 조각을 돌려주었다."),
    "place": ("place", "자리"),
    "bytes_column": ("bytes", "바이트"),
    "calls_column": ("calls", "호출"),
    "frames_column": ("frames", "프레임"),
    "pieces_column": ("pieces", "조각"),
    "first_column": ("first", "처음"),
    "departures": ("Not in the book", "책에 없는 것"),
    "times": ("{0} ×", "{0}번"),
    "compared": ("Predicted beside observed", "예측과 관찰"),
    "compared_now": ("{0}: observed {1}; predicted {2}", "{0}: 관찰 {1}; 예측 {2}"),
    "predictor_book": (
        "The book's machine on the same calls and touches.",
        "같은 호출과 접근을 책의 기계에 시킨 결과이다.",
    ),
    "predictor_glibc": ("The model of glibc on the same calls.", "같은 호출을 glibc 모형에 시킨 결과이다."),
    "agree_calls": ("calls served alike", "같게 처리된 호출"),
    "agree_syscalls": ("system calls alike", "같은 시스템 호출"),
    "agree_faults": ("page faults alike, malloc's and the program's", "같은 페이지 폴트, malloc과 프로그램"),
    "unexplained": ("differences unexplained", "설명되지 않은 차이"),
    "unexplained_column": ("unexpl.", "설명 안 됨"),
    "of": ("{0} of {1}", "{1} 가운데 {0}"),
    "what": ("what", "무엇"),
    "observed": ("observed", "관찰"),
    "predicted": ("predicted", "예측"),
    "rule": ("difference", "차이"),
    "left_out": ("{0} further rows are left out.", "나머지 {0}행은 생략했다."),
    "ledger": ("Ledger", "대조표"),
    "ledger_hint": ("Does what was seen agree with what others counted?", "관찰한 것이 다른 곳에서 센 것과 같은가?"),
    "identity": ("identity", "항등식"),
    "seen": ("seen", "관찰"),
    "expected": ("expected", "기대"),
    "lost": ("lost", "잃음"),
    "verdict": ("verdict", "판정"),
    "machine": ("Machine", "기계"),
    "kernel": ("kernel", "커널"),
    "libc": ("C library", "C 라이브러리"),
    "page_size": ("page size", "페이지 크기"),
    "huge_pages": ("huge pages", "큰 페이지"),
    "memory": ("memory", "메모리"),
    "command": ("command", "명령"),
    "how": ("how it was seen", "관찰한 방법"),
    "notes": ("notes", "참고"),
    "glossary": ("Words", "용어"),
    "not_seen": (
        "Pages that no fault brought (a neighbour of a page of a file, a huge page) are not among those drawn.",
        "페이지 폴트 없이 들어온 페이지(파일의 이웃 페이지, 큰 페이지)는 그리지 않았다.",
    ),
}  # fmt: skip


def by_language(pairs: Mapping[str, tuple[Phrase, Phrase]]) -> dict[str, dict[str, Phrase]]:
    """Return *pairs* of English and Korean phrases as tables by language."""
    return {
        "en": {name: english for name, (english, _korean) in pairs.items()},
        "ko": {name: korean for name, (_english, korean) in pairs.items()},
    }


PHRASES: Final = by_language(_PAIRS)
"""By language, by name."""


def phrases_in(language: str) -> dict[str, Phrase]:
    """Return the phrases in *language*, en or ko."""
    return PHRASES[language]
