"""The book's words, each explained in two sentences, in English and Korean."""

from __future__ import annotations

from typing import Final, NamedTuple

from observer.model.chapter import STEPS

__all__ = ["GLOSSARY", "STEPS_IN_KOREAN", "Term", "Words", "steps_in"]


class Words(NamedTuple):
    """A term's name, and what it means."""

    name: str
    meaning: str


class Term(NamedTuple):
    """A term by language; `concept` is the chapter's concept that it belongs to (`model.chapter.CONCEPTS`)."""

    concept: str
    en: Words
    ko: Words

    def words(self, language: str) -> Words:
        """Return the term in *language*, en or ko."""
        return self.ko if language == "ko" else self.en


GLOSSARY: Final = {
    "malloc": Term(
        "allocators",
        Words("malloc", "The standard library's memory allocator. It hands out pieces of the heap, takes them back, "
                        "and "
              "asks the operating system only when it has nothing that fits."),
        Words("malloc", "표준 라이브러리의 메모리 할당자이다. 힙 영역의 메모리 조각을 나누어 주고 돌려받으며, 맞는 "
                        "조각이 없을 때만 운영 체제에 요청한다."),
    ),
    "piece": Term(
        "brk",
        Words("piece (chunk)", "What one malloc handed out. It lies somewhere in the heap, or in a mapping of its "
                               "own."),
        Words("메모리 조각(chunk)", "malloc 한 번이 내어 준 메모리이다. 힙 영역이나 따로 사상된 영역에 있다."),
    ),
    "free piece": Term(
        "brk",
        Words("free piece", "A piece that was given back with free. It stays with malloc, which hands it out again; "
                            "the "
              "operating system learns nothing of it."),
        Words("여유 메모리 조각", "free로 돌려준 조각이다. malloc이 보관하다가 다시 할당에 사용하며, 운영 체제는 "
                           "알지 못한다."),
    ),
    "heap": Term(
        "gap",
        Words("heap", "The region of the address space that malloc manages. It begins behind the program's data and "
                      "ends "
              "at the break."),
        Words("힙 영역", "malloc이 관리하는 주소 공간의 영역이다. 프로그램의 데이터 뒤에서 시작하여 "
                      "브레이크(break)에서 끝난다."),
    ),
    "break": Term(
        "brk",
        Words("break", "The address where the heap ends. The system call brk moves it: up, and the heap has more "
                       "room."),
        Words("브레이크(break)", "힙 영역이 끝나는 주소이다. brk 시스템 호출이 이 주소를 옮기며, 올리면 힙 영역이 "
                             "늘어난다."),
    ),
    "gap": Term(
        "gap",
        Words("gap", "Addresses between heap and stack that belong to nobody. The heap grows into it from below, the "
                     "stack "
              "from above."),
        Words("여유 공간", "힙과 스택 사이의, 아직 아무에게도 속하지 않은 주소이다. 힙은 아래에서, 스택은 위에서 "
                       "이곳으로 자란다."),
    ),
    "mapping": Term(
        "two-level",
        Words("mapping", "A region of addresses that the operating system has promised: with a file behind it, or with "
              "nothing but zeros. mmap makes one, munmap takes it away."),
        Words("사상 영역(mapping)", "운영 체제가 약속한 주소 영역이다. 파일이 뒤에 있거나 0으로 채워진다. mmap이 "
                                "만들고 munmap이 없앤다."),
    ),
    "stack": Term(
        "gap",
        Words("stack", "Where functions keep their local variables. It grows downwards by page faults, without any "
                       "call."),
        Words("스택 영역", "함수가 지역 변수를 두는 곳이다. 호출 없이 페이지 폴트만으로 아래쪽으로 자란다."),
    ),
    "address space": Term(
        "gap",
        Words("address space", "All the addresses that a process may name. Most of them belong to nobody."),
        Words("주소 공간", "프로세스가 사용할 수 있는 모든 주소이다. 대부분은 아무에게도 속하지 않는다."),
    ),
    "virtual memory": Term(
        "virtual",
        Words("virtual memory", "Addresses are a promise. malloc and brk hand out addresses only; physical memory "
                                "comes "
              "later, page by page, when a page is first used."),
        Words("가상 메모리", "주소는 약속일 뿐이다. malloc과 brk는 주소만 내어 주고, 물리 메모리는 나중에 페이지를 "
                        "처음 사용할 때 할당된다."),
    ),
    "page": Term(
        "virtual",
        Words("page", "The unit in which the operating system gives memory, usually 4096 bytes."),
        Words("페이지", "운영 체제가 메모리를 주는 단위로, 보통 4096바이트이다."),
    ),
    "frame": Term(
        "virtual",
        Words("page frame", "A page of physical memory. A page of the address space is resident when a frame stands "
              "behind it."),
        Words("페이지 프레임", "물리 메모리의 한 페이지이다. 주소 공간의 페이지 뒤에 프레임이 있으면 그 페이지는 "
                         "상주(resident)한다."),
    ),
    "resident": Term(
        "virtual",
        Words("resident", "Backed by physical memory at this moment."),
        Words("상주(resident)", "지금 물리 메모리와 사상되어 있는 상태이다."),
    ),
    "page fault": Term(
        "virtual",
        Words("page fault", "The processor finds no frame behind a page and enters the kernel, which brings one. The "
              "program notices nothing. This is step 6."),
        Words("페이지 폴트", "페이지 뒤에 프레임이 없어 CPU가 커널로 들어가고, 커널이 물리 메모리를 연결한다. "
                        "프로그램은 알지 못한다. 여섯째 단계이다."),
    ),
    "zero page": Term(
        "virtual",
        Words("zero page", "One page of zeros that all share. Memory that is only read shows it; the first write "
                           "brings a "
              "frame of its own."),
        Words("제로 페이지", "모두가 함께 쓰는, 0으로 채워진 한 페이지이다. 읽기만 하면 이 페이지가 보이고, 처음 쓸 "
                        "때 자기 프레임을 얻는다."),
    ),
    "copy on write": Term(
        "virtual",
        Words("copy on write", "After fork parent and child share their frames. Whoever writes first gets a copy."),
        Words("쓰기 시 복사(copy on write)",
        "fork 뒤에 부모와 자식은 프레임을 함께 쓴다. 먼저 쓰는 쪽이 복사본을 얻는다."),
    ),
    "system call": Term(
        "portal",
        Words("system call", "The only portal into the kernel: a special instruction switches the processor to "
                             "kernel mode "
              "and back."),
        Words("시스템 호출", "커널로 들어가는 유일한 포털이다. 특수한 CPU 명령어가 커널 상태로, 그리고 다시 사용자 "
                        "상태로 전환한다."),
    ),
    "user mode": Term(
        "rings",
        Words("user mode (ring 3)", "The privilege level of ordinary programs: they may touch their own memory only."),
        Words("사용자 상태(Ring 3)", "일반 프로그램의 특권 단계이다. 자기 메모리에만 접근할 수 있다."),
    ),
    "kernel mode": Term(
        "rings",
        Words("kernel mode (ring 0)", "The highest privilege level: the operating system may touch everything."),
        Words("커널 상태(Ring 0)", "가장 높은 특권 단계이다. 운영 체제는 모든 것에 접근할 수 있다."),
    ),
    "signal": Term(
        "modes",
        Words("signal", "How the kernel tells a program what happened. An access that no page can help ends in "
                        "SIGSEGV, a "
              "segmentation fault."),
        Words("시그널", "커널이 프로그램에 일어난 일을 알리는 방법이다. 어떤 페이지로도 해결할 수 없는 접근은 "
                     "SIGSEGV(segmentation fault)로 끝난다."),
    ),
    "peak": Term(
        "allocators",
        Words("peak", "The moment at which most bytes were alive: asked for and not yet given back, in all processes "
              "that had not ended."),
        Words("가장 많을 때", "요청되어 아직 돌려주지 않은 바이트가, 끝나지 않은 모든 프로세스를 합쳐 "
              "가장 많던 때이다."),
    ),
    "lifetime": Term(
        "allocators",
        Words("lifetime", "How long a piece lived: from the malloc that handed it out to the free or realloc that took "
              "it back."),
        Words("수명", "조각이 쓰인 기간이다. 내어 준 malloc부터 돌려받은 free나 realloc까지이다."),
    ),
    "internal fragmentation": Term(
        "allocators",
        Words("internal fragmentation", "What is lost inside of pieces: malloc rounds sizes up, so a piece is "
              "larger than what was asked for."),
        Words("내부 단편화", "조각 안에서 잃는 메모리이다. malloc이 크기를 올림하므로 조각은 요청보다 크다."),
    ),
    "external fragmentation": Term(
        "allocators",
        Words("external fragmentation", "What malloc has of the kernel, but hands out to nobody: free pieces between "
              "pieces in use, and the end of the heap."),
        Words("외부 단편화", "malloc이 커널에서 받았지만 내어 주지 않은 메모리이다. 쓰는 조각 사이의 여유 조각과 "
              "힙의 끝이다."),
    ),
    "ledger": Term(
        "story",
        Words("ledger", "What was seen beside what the kernel counted by itself. If both agree, nothing was missed."),
        Words("대조표", "관찰한 것과 커널이 스스로 센 것을 나란히 놓은 표이다. 둘이 같으면 놓친 것이 없다."),
    ),
}  # fmt: skip
"""By id, in the order in which a reader meets them."""

STEPS_IN_KOREAN: Final = {
    1: "malloc이 여유 메모리 조각을 검색한다",
    2: "맞는 조각이 없으면 malloc이 brk 같은 시스템 호출을 한다",
    3: "커널 상태: 운영 체제가 프로그램의 가상 메모리를 늘린다",
    4: "시스템 호출이 끝나고 malloc으로 돌아온다. 다시 사용자 상태이다",
    5: "malloc이 적절한 메모리 조각을 반환한다",
    6: "코드가 메모리를 사용한다: 페이지 폴트, 물리 메모리가 할당된다",
}
"""The six steps of section 3.5.8 (`model.chapter.STEPS`)."""


def steps_in(language: str) -> dict[int, str]:
    """Return the six steps in *language*, en or ko."""
    return STEPS_IN_KOREAN if language == "ko" else STEPS
