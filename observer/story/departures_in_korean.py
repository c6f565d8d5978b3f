"""The departures from the book that the story tells of, in Korean: headline and reason by id "
"(`model.departures.TOLD`)."""

from __future__ import annotations

from typing import Final

__all__ = ["KOREAN"]

KOREAN: Final = {
    "mmap-threshold": (
        "큰 조각은 따로 사상한다",
        "문턱값(glibc는 처음에 128 KiB)을 넘으면 malloc은 brk 대신 mmap을 불러, 그 조각만 따로 커널에 돌려줄 수 "
        "있게 한다.",
    ),
    "thread-arena": (
        "스레드마다 자기 아레나가 있다",
        "첫 스레드가 아닌 스레드는 힙을 함께 쓰지 않는다. malloc이 mmap으로 영역을 예약하고 mprotect로 조금씩 연다.",
    ),
    "zero-page": (
        "제로 페이지: 한 페이지, 두 번의 폴트",
        "쓴 적 없는 메모리를 읽으면 모두가 함께 쓰는 0 페이지가 사상된다. 처음 쓸 때에야 자기 프레임을 얻는다.",
    ),
    "copy-on-write": (
        "쓰기 시 복사: 한 페이지, 두 번의 폴트",
        "부모 프로세스나 파일과 함께 쓰는 페이지는 처음 쓸 때 자기 프레임으로 복사된다.",
    ),
    "given-back-munmap": (
        "돌려준 메모리가 커널로 돌아간다",
        "책에서는 여유 조각이 malloc에 남는다. 따로 사상된 조각은 free할 때 해제되어, 다시 접근하면 segmentation "
        "fault가 된다.",
    ),
    "given-back-brk": (
        "브레이크가 다시 내려간다",
        "힙의 끝에 여유 메모리가 충분히 모이면 free가 brk로 돌려준다.",
    ),
    "given-back-madvise": (
        "페이지는 돌아가고 주소는 남는다",
        "madvise로 여유 페이지의 프레임을 커널이 가져가게 한다. 다음에 접근하면 다시 페이지 폴트가 일어난다.",
    ),
    "mremap": (
        "realloc이 바이트 대신 페이지를 옮긴다",
        "따로 사상된 조각은 mremap으로 크기를 바꾼다. 커널이 페이지 테이블만 고치고 아무것도 복사하지 않는다.",
    ),
    "allocator-touch": (
        "여섯째 단계가 malloc 안에서 일어난다",
        "할당자는 조각의 크기를 그 옆에 적는다. 그래서 페이지를 처음 건드리는 것은 프로그램이 아니라 malloc일 때가 "
        "많다.",
    ),
    "kernel-touch": (
        "커널이 먼저 건드린다",
        "read(2) 같은 시스템 호출이 아직 쓰지 않은 메모리를 채웠다. 페이지 폴트가 프로그램을 위해 Ring 0에서 일어난다.",
    ),
    "thread-cache": (
        "검색하기 전에 스레드 캐시가 답한다",
        "glibc는 최근에 돌려받은 조각을 크기별로 몇 개씩 스레드마다 보관한다. 검색이 필요 없다.",
    ),
    "populated": (
        "처음 사용하기 전의 프레임",
        "mlock이나 MAP_POPULATE가 프레임을 한꺼번에 요청하여, 페이지 폴트가 일어나지 않는다.",
    ),
    "major-fault": (
        "디스크를 읽는 페이지 폴트",
        "페이지가 메모리에 전혀 없었다. 내용을 파일이나 스왑에서 읽어 왔다.",
    ),
    "refused": (
        "malloc이 NULL을 반환한다",
        "커널이 메모리를 더 주지 않았거나 가질 수 없는 크기여서, 다섯째 단계가 오지 않았다.",
    ),
}
