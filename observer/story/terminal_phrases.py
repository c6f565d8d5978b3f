"""The words of the last screen and of the story on a terminal, in English and Korean, beside those of `phrases`.

`{0}`, `{1}` … are filled in by whoever shows them. A Korean particle in two forms, `을(를)`, becomes the one that suits
what stands before it (`korean.with_particles`). Labels of the last screen are at most 13 cells wide, those of the
numbers 19: a Korean letter takes two.
"""

from __future__ import annotations

from typing import Final

from observer.story.phrases import Phrase, by_language

__all__ = ["COUNTED_IN_KOREAN", "TERMINAL_PHRASES"]

_REFUSED: Final = {
    "privileged instruction": "특권 명령", "non-canonical address": "없는 주소", "misaligned vector": "정렬 안 된 벡터",
    "software interrupt": "소프트웨어 인터럽트", "segment": "세그먼트", "reserved bits": "예약된 비트",
    "kernel address": "커널 주소", "vsyscall page": "vsyscall 페이지", "null pointer": "널 포인터",
    "nothing mapped": "사상되지 않은 주소", "stack overrun": "스택 넘침", "read-only": "읽기 전용",
    "not executable": "실행 금지", "no access": "접근 금지", "not permitted": "허용되지 않음",
    "protection key": "보호 키", "beyond the file": "파일 끝 너머",
    "divide error": "나눗셈 오류", "debug": "디버그", "breakpoint": "중단점", "overflow": "오버플로",
    "bound range exceeded": "범위를 벗어난 인덱스", "invalid opcode": "없는 명령어", "stack fault": "스택 오류",
    "general protection": "일반 보호", "page fault": "페이지 폴트", "x87 floating point": "x87 부동소수점",
    "alignment check": "정렬 검사", "SIMD floating point": "SIMD 부동소수점", "machine check": "하드웨어 고장",
    "control protection": "제어 흐름 보호", "exception": "예외",
}  # fmt: skip
"""What the processor refused, by the reason that a signal carries, else by the exception."""

_PAIRS: Final[dict[str, tuple[Phrase, Phrase]]] = {
    # ---- the end of a run ----
    "title": ("{0} {1} after {2} s: {3}", "{0} {2}초 만에 {1}: {3}"),
    "title_exit": ("ended with status {0}", "상태 {0}(으)로 끝남"),
    "title_killed": ("was killed by {0}", "{0}에 의해 강제로 끝남"),
    "title_stopped": ("was ended by the observer", "관찰자가 끝냄"),
    "title_cut_off": ("was cut off", "기록이 중간에 끊김"),
    "a_signal": ("a signal", "시그널"),
    "processes_many": ("{0} processes", "프로세스 {0}개"),
    "closing": ("{0}{1}. Ledger: {2}.", "{0}{1}. 대조표: {2}."),
    "closing_events": ("{0} {1} events in {2} s", "{0} {2}초 동안 사건 {1}개"),
    "closing_kept": (", kept in {0}", ", {0}에 보관"),
    "closing_exit": ("The program ended with status {0}.", "프로그램이 상태 {0}(으)로 끝났다."),
    "closing_killed": ("The program was killed by {0}.", "프로그램이 {0}에 의해 강제로 끝났다."),
    "closing_stopped": ("The observer ended the program ({0}).", "관찰자가 프로그램을 끝냈다({0})."),
    "closing_closed": (
        "{0} The recording had ended after {1} s ({2}).", "{0} 기록은 {1}초 뒤에 먼저 끝났다({2})."
    ),
    "closing_cut_off": ("The recording was cut off.", "기록이 중간에 끊겼다."),
    # ---- the last screen ----
    "crashed": ("crashed", "비정상 종료"),
    "heap_label": ("heap", "힙 영역"),
    "rule_broken": ("rule broken", "규칙 위반"),
    "rules_broken": ("rules broken", "규칙 위반"),
    "rules_broken_how_many": (
        "{0} calls broke a rule of malloc(3): --full tells each",
        "malloc(3)의 규칙을 어긴 호출 {0}개: --full이 하나씩 보여 준다",
    ),
    "asked_label": ("asked for", "요청"),
    "alive_label": ("alive at most", "동시에 최대"),
    "mapped_label": ("mapped", "사상"),
    "resident_label": ("resident", "상주"),
    "mallocs_label": ("mallocs", "malloc"),
    "syscalls_label": ("system calls", "시스템 호출"),
    "progress_recording": (
        "observer: recording for {0} s, {1} events ({2}/s), {3}",
        "observer: {0}초째 기록 중, 사건 {1}개(초당 {2}개), {3}",
    ),
    "progress_naming": (
        "observer: naming what was seen, {0} events ({1}/s)",
        "observer: 본 것에 이름을 붙이는 중, 사건 {0}개(초당 {1}개)",
    ),
    "progress_balancing": ("observer: balancing the ledger", "observer: 대조표를 맞추는 중"),
    "closed_label": ("recorded", "기록"),
    "closed": (
        "until {0} s ({1}); the program ran on unobserved for {2} s",
        "{0}초까지({1}); 그 뒤 {2}초 동안 프로그램은 관찰 없이 실행됨",
    ),
    "closed_stopped": ("until {0} s ({1}); then the program was ended", "{0}초까지({1}); 그때 프로그램을 끝냄"),
    "lost_label": ("LOST", "잃음"),
    "refused_label": ("refused", "거부"),
    "departures_label": ("not in book", "책에 없는 것"),
    "ledger_label": ("ledger", "대조표"),
    "note_label": ("note", "참고"),
    "more_label": ("more", "더 보기"),
    "no_calls": (
        "no call of an allocator was made, or none was asked to be seen",
        "할당자 호출이 없었거나, 관찰 대상이 아니었다",
    ),
    "asked_in": ("in {0}", "{0}"),
    "alive_at_end": ("at the end {0} in {1}", "끝날 때 {1}, {0}"),
    "mapped_in": ("{0} in mallocs", "malloc의 {0}"),
    "mapped_nothing": ("nothing in mallocs", "malloc이 얻은 것 없음"),
    "mapped_back": ("; {0} back", "; {0} 돌려줌"),
    "resident_by": ("{0} by first touch", "{0}, 처음 사용할 때"),
    "mallocs_took": (
        "{0} found a free piece (1-5), {1} asked the kernel (1-2-3-4-5)",
        "여유 조각 {0}번 (1-5), 커널에 요청 {1}번 (1-2-3-4-5)",
    ),
    "mallocs_neither": (", {0} neither", ", 그 밖 {0}번"),
    "syscalls_made": ("{0} in mallocs{1}, {2} elsewhere", "malloc 안 {0}번{1}, 밖 {2}번"),
    "faults_by": ("{0}: by {1}{2}", "{0}번: {1}{2}"),
    "from_disk": ("; {0} read from disk", "; 디스크에서 읽음 {0}번"),
    "not_observed": ("not observed", "관찰하지 않음"),
    "refused_survived": ("with a signal, by the processor: {0}", "CPU가 시그널로 거부: {0}"),
    "most_asked": ("asked for most", "가장 많이 요청한 자리"),
    "not_freed": ("not freed: {0} in {1}{2}", "돌려주지 않음: {1}, {0}{2}"),
    "not_freed_yet": ("alive where the recording ended: {0} in {1}{2}", "기록이 끝날 때 살아 있음: {1}, {0}{2}"),
    "not_freed_places": (" by {0} places", " (자리 {0}곳)"),
    "accounted": ("every event is accounted for", "모두 설명됨"),
    "not_accounted": ("NOT everything is accounted for", "설명되지 않은 것이 있음"),
    "ledger_differs": ("{0}: seen {1}, expected {2}, lost {3}", "{0}: 관찰 {1}, 기대 {2}, 잃음 {3}"),
    "notes_in_all": ("{0} in all, see --full; ", "모두 {0}개, --full에 있다; "),
    "show_full": ("the whole story", "이야기 전체"),
    "show_line": ("what one line did", "한 줄이 한 일"),
    "show_help": ("steps, map, ledger, one piece", "단계, 주소 공간, 대조표, 조각"),
    "item": ("{0} {1}", "{1} {0}"),
    "item_times": ("{0} {1}", "{1} {0}번"),
    # ---- the story ----
    "pages_of": ("pages of {0}", "페이지 {0}"),
    "huge_pages_are": ("huge pages {0}", "큰 페이지 {0}"),
    "aslr_is": ({"on": "ASLR on", "off": "ASLR off"}, {"on": "ASLR 켜짐", "off": "ASLR 꺼짐"}),
    "how_mark": ("how: ", "방법: "),
    "note_mark": ("note: ", "참고: "),
    "the_steps": ("The six steps", "여섯 단계"),
    "the_steps_hint": ("the second column of the story", "이야기의 둘째 열"),
    "the_rings": (
        "Rings: 3 is user mode, 0 kernel mode; 3→0→3 is a way into the kernel and back.",
        "Ring: 3은 사용자 상태, 0은 커널 상태. 3→0→3은 커널에 들어갔다 돌아온 것이다.",
    ),
    "story": ("The story", "이야기"),
    "story_hint": ("as many events as tell the same are one row", "같은 내용의 사건은 한 줄로 묶었다"),
    "rows_more": ("... {0} more{1}", "... {0} 더 있음{1}"),
    "rows_more_in_loop": ("and {0} more", "그 밖에 {0}"),
    "loop_at": ("loop at {0}", "반복 {0}"),
    "the_process": ("the process", "프로세스"),
    "before_main": ("before main", "main 이전"),
    "no_source_line": ("no source line", "소스 줄 없음"),
    "line_in": ("{0} in {1}", "{0}, {1} 안"),
    "row_at": ("{0}, at {1}", "{0} ({1})"),
    "child_n": ("child {0}", "자식 {0}"),
    "process_n": ("process {0}", "프로세스 {0}"),
    "thread_n": ("thread {0}", "스레드 {0}"),
    # ---- the numbers ----
    "none": ("none", "없음"),
    "never_returned": ("; {0} never returned", "; 돌아오지 않음 {0}번"),
    "steps_row": ("  steps {0}", "  {0} 단계"),
    "step_six_row": ("  step 6", "  6 단계"),
    "steps_mean": (
        {"1-5": "a fitting piece was free: no system call", "1-2-3-4-5": "nothing fitted: the kernel gave memory first",
         "1": "never returned, or returned NULL at once", "1-2-3": "never returned from the kernel",
         "1-2-3-4": "the kernel refused: NULL"},
        {"1-5": "맞는 여유 조각이 있었다: 시스템 호출 없음",
         "1-2-3-4-5": "맞는 조각이 없어 커널이 먼저 메모리를 주었다",
         "1": "돌아오지 않았거나 바로 NULL을 반환했다", "1-2-3": "커널에서 돌아오지 않았다",
         "1-2-3-4": "커널이 거절했다: NULL"},
    ),
    "step_six_means": ("page faults that brought the memory in", "물리 메모리를 들여온 페이지 폴트"),
    "asked_row": ("asked for", "요청"),
    "mapped_row": ("mapped (brk, mmap)", "사상 (brk, mmap)"),
    "frames_row": ("frames (step 6)", "프레임 (6 단계)"),
    "huge_row": ("  of huge pages", "  큰 페이지"),
    "huge_means": ("came beside a touched page, without a fault", "건드린 페이지 옆에 폴트 없이 함께 왔다"),
    "alive_row": ("alive", "쓰는 조각"),
    "alive_means": ("{0} at the most, {1}", "최대 {0}, {1}"),
    "alive_end": ("{0} in {1} at the end", "끝날 때 {1}, {0}"),
    "back_row": ("back to the kernel", "커널에 돌려줌"),
    "level_row": ("privilege level", "특권 단계"),
    "level_means": ("ring {0} at {1}{2} (CS {3}: {4})", "{2}{1}에서 Ring {0} (CS {3}: {4})"),
    "exception_level_means": (
        "EL0, the book's ring {0}, at {1}{2} (PSTATE.M {3})", "{2}{1}에서 EL0, 책의 Ring {0} (PSTATE.M {3})",
    ),
    "level_all": ("all ", " 모두"),
    "level_code": (
        {"0x33": "64-bit code", "0x23": "32-bit code", "other": "code"},
        {"0x33": "64비트 코드", "0x23": "32비트 코드", "other": "코드"},
    ),
    "entered_row": ("  entered by", "  들어간 명령"),
    "inside": ("{0} inside the allocator{1}", "할당자 안 {0}번{1}"),
    "outside": ("{0} outside{1}", "밖 {0}번{1}"),
    "ring_count": ("{0} in ring {1}", "Ring {1}에서 {0}번"),
    "on_places": ("on {0}; {1}{2}", "{0}; {1}{2}"),
    "library_row": ("library calls", "라이브러리 호출"),
    "library_crossing": (", of which {0} made system calls", ", 그중 시스템 호출을 한 것 {0}번"),
    "vdso_row": ("vDSO answers", "vDSO의 답"),
    "vdso_but": ("but for {0}", "{0}번만 시스템 호출"),
    "vdso_all": ("without a system call", "시스템 호출 없음"),
    "touchers": (
        {"program": "program", "allocator": "allocator", "libc": "libc", "loader": "loader", "kernel": "kernel",
         "unknown": "unknown"},
        {"program": "프로그램", "allocator": "할당자", "libc": "C 라이브러리", "loader": "로더", "kernel": "커널",
         "unknown": "알 수 없음"},
    ),
    "fault_places": (
        {"heap": "heap", "stack": "stack", "files": "files", "mapped region": "mapped region", "unknown": "unknown"},
        {"heap": "힙 영역", "stack": "스택 영역", "files": "파일", "mapped region": "사상 영역",
         "unknown": "알 수 없음"},
    ),
    "departure_seen": ("{0} × (event {1})", "{0}번 (사건 {1})"),
    # ---- what the processor refused ----
    "refusals": ("What the processor refused", "CPU가 거부한 것"),
    "refusals_hint": ("unlike the {0} that the kernel resolved", "커널이 해결한 {0}과는 다르다"),
    "refusal_titles": ({reason: reason for reason in _REFUSED}, _REFUSED),
    "refusal_often": ("{0} ×, {1}", "{0}번, {1}"),
    "refusal_ring": ("ring {0}: ", "Ring {0}: "),
    "refusal_answer": ("the kernel sends {0} ({1}){2}; {3}", "커널이 {0} ({1}{2})를 보낸다; {3}"),
    "refusal_at": (" at {0}", ", 주소 {0}"),
    "refusal_no_address": (", no address", ", 주소 없음"),
    "refusal_fatal": ("the process ends", "프로세스가 끝난다"),
    "refusal_handled": ("the program's own handler runs", "프로그램의 처리기가 실행된다"),
    # ---- the address space ----
    "space_at_end": ("The address space at the end", "실행이 끝날 때의 주소 공간"),
    "space_after": ("The address space after event {0}", "사건 {0} 뒤의 주소 공간"),
    "space_resident": (
        "resident: what page faults brought in; neighbours of file pages and huge pages come without one",
        "상주: 페이지 폴트로 들어온 것. 파일의 이웃 페이지와 큰 페이지는 폴트 없이도 들어온다",
    ),
    "of_process": ("of {0}, process {1}", "{0}, 프로세스 {1}"),
    "the_program": ("the program", "프로그램"),
    "space_columns": ("high addresses at the top, not to scale", "위가 높은 주소, 비례하지 않음"),
    "size_column": ("size", "크기"),
    "resident_column": ("resident", "상주"),
    "space_parts": (
        {"r-x": "text: machine code", "r--": "read-only data", "rw-": "data", "---": "reserved"},
        {"r-x": "코드: 기계어", "r--": "읽기 전용 데이터", "rw-": "데이터", "---": "예약됨"},
    ),
    "reserved_region": ("reserved, no access", "예약됨, 접근 불가"),
    "region_mapped": ("mapped region", "사상 영역"),
    "regions_files": ("{0} libraries, files", "라이브러리, 파일 {0}개"),
    "regions_mappings": ("{0} mappings", "사상 영역 {0}개"),
    "break_start": ("break at the start", "처음 브레이크"),
    "break_now": ("break now", "지금 브레이크"),
    "space_gap": ("gap: {0}", "여유 공간: {0}"),
    "space_gap_heap": ("gap: {0}, room for the heap", "여유 공간: {0}, 힙이 자랄 곳"),
    "space_gap_stack": ("gap: {0}, room for the stack", "여유 공간: {0}, 스택이 자랄 곳"),
    "space_total": ("mapped {0}, resident {1}", "사상 {0}, 상주 {1}"),
    "space_heap": ("; the heap is {0} long", "; 힙 영역의 길이 {0}"),
    # ---- the heap ----
    "heap_after": ("The heap after event {0}", "사건 {0} 뒤의 힙 영역"),
    "heap_to_break": ("{0} to the break {1}: {2}", "{0}부터 브레이크 {1}까지: {2}"),
    "no_chunk": ("no chunk is there", "조각(chunk)이 없다"),
    "heap_columns": (
        {"place": "place", "size": "size", "pages": "pages", "what": "what"},
        {"place": "자리", "size": "크기", "pages": "페이지", "what": "무엇"},
    ),
    "heap_more": ("... {0} more: --all", "... {0} 더 있음: --all"),
    "heap_strips": ({"pieces": "pieces", "pages": "pages"}, {"pieces": "조각", "pages": "페이지"}),
    "heap_key": (
        "█ in use, ░ free, · top; pages: █ a frame, 0 the page of zeros",
        "█ 쓰는 중, ░ 여유, · 톱 청크; 페이지: █ 프레임, 0 제로 페이지",
    ),
    "chunk_states": (
        {"in use": "in use", "tcache": "free, in a thread cache", "fast": "free, in a fast bin",
         "unsorted": "free, unsorted", "small": "free, in a small bin", "large": "free, in a large bin", "free": "free",
         "top": "top", "fence": "end of a part", "mmapped": "in use, mapped", "cache": "a thread cache itself",
         "given back": "given back"},
        {"in use": "쓰는 중", "tcache": "여유, 스레드 캐시", "fast": "여유, 패스트 빈",
         "unsorted": "여유, 정렬 안 된 빈", "small": "여유, 스몰 빈", "large": "여유, 라지 빈", "free": "여유",
         "top": "톱 청크", "fence": "부분의 끝", "mmapped": "쓰는 중, 따로 사상",
         "cache": "스레드 캐시 자신", "given back": "돌려줌"},
    ),
    "chunks_by_model": ("free chunks by the model of glibc {0}{1}", "여유 조각은 glibc {0} 모형을 따른다{1}"),
    "chunks_doubt": (
        "; some calls came otherwise, so what is free may be cut otherwise",
        "; 모형과 다른 호출이 있어, 여유 조각은 다르게 나뉘었을 수 있다",
    ),
    "chunks_by_snapshot": (
        "as a snapshot read it from the process when this call returned",
        "이 호출이 돌아올 때 프로세스에서 직접 읽은 스냅숏이다",
    ),
    "chunks_by_calls": (
        "only what the calls tell: no model knows this C library's free chunks",
        "호출로 알 수 있는 것만: 이 C 라이브러리의 여유 조각을 아는 모형이 없다",
    ),
    "chunk_asked": ("{0}: {1}, {2}, event {3}", "{0}: {1}, {2}, 사건 {3}"),
    # ---- places ----
    "top_titles": (
        {"bytes": "Most bytes asked for", "calls": "Most calls of the allocator",
         "live": "Most bytes not freed at the end", "resident": "Most page frames",
         "waste": "Most bytes that nobody asked for", "faults": "Most page faults"},
        {"bytes": "가장 많이 요청한 자리", "calls": "할당자를 가장 많이 호출한 자리",
         "live": "끝까지 가장 많이 돌려주지 않은 자리", "resident": "프레임이 가장 많이 온 자리",
         "waste": "요청하지 않은 바이트가 가장 많은 자리", "faults": "페이지 폴트가 가장 많은 자리"},
    ),
    "top_hints": (
        {"bytes": "by lines that call the allocator", "calls": "", "live": "",
         "resident": "that came to the pieces a line asked for",
         "waste": "in glibc's chunks, as sizes are rounded up", "faults": "taken by a line of the program"},
        {"bytes": "할당자를 부르는 줄마다", "calls": "", "live": "", "resident": "그 줄이 요청한 조각에 온 프레임",
         "waste": "glibc가 청크 크기를 올림하여 생긴다", "faults": "프로그램의 줄마다"},
    ),
    "top_columns": (
        {"bytes": "asked for", "calls": "calls", "live": "not freed", "resident": "frames", "waste": "wasted",
         "faults": "faults", "place": "place"},
        {"bytes": "요청", "calls": "호출", "live": "안 돌려줌", "resident": "프레임", "waste": "낭비", "faults": "폴트",
         "place": "자리"},
    ),
    "top_nothing": ("no place has any", "해당하는 자리가 없다"),
    "top_more": ("and {0} more", "그 밖에 {0}"),
    "more_callers": ("… further callers are not known", "… 그 밖의 호출자는 알 수 없다"),
    "leaks_title": ("Not freed", "돌려주지 않은 것"),
    "leaks_hint": ("{0} in {1} when their processes ended", "프로세스가 끝날 때 {1}, {0}"),
    "leaks_hint_closed": ("{0} in {1} where the recording ended ({2})", "기록이 끝날 때({2}) {1}, {0}"),
    # ---- lists ----
    "line_caused": ("{0} caused {1}.", "{0}에서 일어난 것: {1}."),
    "steps_by_line": ("Steps by source line", "소스 줄마다의 단계"),
    "steps_by_line_hint": ("in the order of their first event", "처음 사건의 순서로"),
    "fault_noun": ("page fault", "페이지 폴트"),
    # ---- the kernel's side ----
    "kernel_did": ("kernel: {0}", "커널: {0}"),
    "kernel_no_page": ("no new page", "새 페이지 없음"),
    "kernel_pages": ("{0} of order {1}", "차수 {1}의 {0}"),
    "kernel_pages_from": ("{0}, first of order {1}", "{0}, 처음 것은 차수 {1}"),
    "kernel_zeroed": ("zeroed", "0으로 채움"),
    "kernel_frame": ("frame {0}", "프레임 {0}"),
    "kernel_others": ("{0} for its own use", "커널 자신을 위해 {0}"),
    "kernel_each": ("{0} each ({1} to {2})", "하나에 {0} ({1}~{2})"),
    "kernel_handling": ("{0} in handle_mm_fault", "그중 handle_mm_fault {0}"),
    # ---- the ledger ----
    "the_ledger": ("The ledger", "대조표"),
    "the_ledger_hint": (
        "does what we saw agree with what others counted?", "관찰한 것이 다른 곳에서 센 것과 같은가?"
    ),
    "ledger_empty": ("nothing was balanced in this run", "이 실행에는 대조한 것이 없다"),
    "ledger_columns": (
        {"identity": "identity", "seen": "seen", "expected": "expected", "lost": "lost", "excluded": "excl.",
         "unexplained": "unexpl", "verdict": "verdict"},
        {"identity": "항등식", "seen": "관찰", "expected": "기대", "lost": "잃음", "excluded": "제외",
         "unexplained": "미설명", "verdict": "판정"},
    ),
    "ledger_exclusions": (
        "* {0}: a counted part is left out, as said here", "* {0}: 아래와 같이 수를 아는 부분을 제외했다"
    ),
    "ledger_excluded": ("{0}: {1} excluded, {2}", "{0}: {1} 제외, {2}"),
    "ledger_verdict": ("verdict: ", "판정: "),
}  # fmt: skip

TERMINAL_PHRASES: Final = by_language(_PAIRS)
"""By language, by name, as in `phrases.PHRASES`; no name is in both."""

COUNTED_IN_KOREAN: Final = {
    "piece": "조각 {0}개", "event": "사건 {0}개", "frame": "프레임 {0}개", "thread": "스레드 {0}개", "row": "{0}줄",
    "place": "자리 {0}곳", "byte": "{0}바이트", "call": "호출 {0}개", "page fault": "페이지 폴트 {0}번",
    "system call": "시스템 호출 {0}번", "allocator call": "할당자 호출 {0}번", "library call": "라이브러리 호출 {0}번",
    "signal": "시그널 {0}개", "page": "페이지 {0}개", "stop": "정지 {0}번",
}  # fmt: skip
"""How things are counted, by the English noun."""
