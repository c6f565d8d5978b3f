"""One sentence for one event, and one for many."""

from __future__ import annotations

from typing import Any

import pytest

from observer.model.events import ChunkRef, Misuse
from observer.story.fold import fold
from observer.story.lines import row_words
from observer.story.sentences import sentence
from tests.builders import HEAP, LIBC, MAP, call, fault, free, library, lost, process, signal, syscall

CALLS = [
    (call(result=HEAP + 0x2A0), "malloc(100) asks for 100 bytes, gets heap+0x2a0, at story.c:28"),
    (call(size=1, result=HEAP, site=None), "malloc(1) asks for 1 byte, gets heap+0x0"),
    (call(op="calloc", count=10, size=16, result=HEAP, site=None), "calloc(10, 16) asks for 160 bytes, gets heap+0x0"),
    (
        call(op="posix_memalign", alignment=64, result=HEAP, site=None),
        "posix_memalign(&p, 64, 100) asks for 100 bytes, gets heap+0x0",
    ),
    (call(op="realloc", pointer=HEAP, result=HEAP, site=None), "realloc(p, 100) keeps the piece at heap+0x0"),
    (call(op="realloc", pointer=HEAP, result=MAP, site=None), "realloc(p, 100) moves the piece to map#3+0x0"),
    (
        call(op="realloc", pointer=0, result=HEAP, site=None),
        "realloc(NULL, 100) asks for 100 bytes, gets heap+0x0",
    ),
    (call(result=None, end_ns=None, site=None), "malloc(100) never returned"),
    (call(size=1 << 62, result=0, errno=12, site=None), "malloc(4611686018427387904) returns NULL: ENOMEM"),
    (
        call(result=HEAP, served_by="tcache", site=None),
        "malloc(100) asks for 100 bytes, gets heap+0x0, from the thread cache",
    ),
    (
        call(result=HEAP, served_by="free list", site=None),
        "malloc(100) asks for 100 bytes, gets heap+0x0, from the list of free pieces",
    ),
    (
        call(op="realloc", pointer=HEAP, result=HEAP, served_by="in place", site=None),
        "realloc(p, 100) keeps the piece at heap+0x0",
    ),
    (
        call(op="realloc", pointer=MAP, result=MAP + 16, served_by="mremap", site=None),
        "realloc(p, 100) moves the piece to map#3+0x10, by mremap",
    ),
    (free(1, HEAP + 16, site=None), "free(heap+0x10) gives the piece back to the allocator"),
    (free(1, 0, site=None), "free(NULL) does nothing"),
    (
        call(1, "mallopt", None, parameter=-3, value=60000, result=1, where=None, site=None),
        "mallopt(M_MMAP_THRESHOLD, 60000) changes a setting of the allocator",
    ),
    (call(1, "mallopt", None, parameter=77, value=-1, result=0, where=None, site=None), "mallopt(77, -1) is refused"),
    (
        free(9, HEAP + 16, misuse=Misuse("freed before", 3, "a.c:7", 5, "a.c:9"), site=None),
        "free(heap+0x10): the piece of call 3 (a.c:7) was given back already, by call 5 (a.c:9)",
    ),
    (
        free(9, HEAP + 48, misuse=Misuse("inside", 3, "a.c:7"), end_ns=None, site=None),
        "free(p) never returned: the pointer is not the one that call 3 (a.c:7) returned, but lies inside that piece",
    ),
    (
        free(9, 0x7FFC_0000_0010, where="stack", misuse=Misuse("never given"), site=None),
        "free(stack): no call that was seen returned this pointer",
    ),
    (
        call(result=HEAP, misuse=Misuse("two hands", 3), site=None),
        "malloc(100) asks for 100 bytes, gets heap+0x0; the piece is in use already, by who got it from call 3: it was"
        " given back twice",
    ),
    (
        call(result=HEAP, misuse=Misuse("overlap", 3, "a.c:7"), site=None),
        "malloc(100) asks for 100 bytes, gets heap+0x0; the piece overlaps that of call 3 (a.c:7), which is in use: a size"
        " or a list was overwritten",
    ),
    (
        call(result=0x5581_0B11_A040, where="story+0x4040", misuse=Misuse("elsewhere"), site=None),
        "malloc(100) asks for 100 bytes, gets story+0x4040; the allocator never had this memory: a list was overwritten, or"
        " what is no piece was given back",
    ),
    (
        call(result=HEAP, misuse=Misuse("too small", 3, "a.c:7", 5, "a.c:9"), site=None),
        "malloc(100) asks for 100 bytes, gets heap+0x0; the piece of call 3 (a.c:7), given back by call 5 (a.c:9), is"
        " smaller: its size or a list was overwritten",
    ),
]
KERNEL = [
    (syscall(1, "brk", 0, result=HEAP), 0, "brk: where is the break?"),
    (syscall(1, "brk", HEAP, result=HEAP), 0x21000, "brk: the break moves up by 132 KiB (0x21000)"),
    (syscall(1, "brk", HEAP, result=HEAP), -0x1000, "brk: the break moves down by 4 KiB (0x1000)"),
    (syscall(1, "brk", HEAP, result=HEAP - 1), 0, "brk: the kernel leaves the break where it is: no room"),
    (syscall(1, "mmap", 0, 0x201000, 3, 0x22, 0, 0), None, "mmap: 2.0 MiB (0x201000) of new memory mapped"),
    (syscall(1, "mmap", 0, 1 << 27, 0, 0x4022, 0, 0), None, "mmap: 128 MiB (0x8000000) reserved, no access yet"),
    (syscall(1, "mmap", 0, 8192, 1, 2, 3, 0), None, "mmap: 8 KiB of a file mapped"),
    (syscall(1, "munmap", MAP, 0x2000), None, "munmap: 8 KiB (0x2000) go back to the kernel"),
    (
        syscall(1, "mremap", MAP, 4096, 8192, 1, result=MAP),
        None,
        "mremap: the kernel resizes the mapping, 4 KiB to 8 KiB",
    ),
    (syscall(1, "mprotect", MAP, 0x21000, 3), None, "mprotect: 132 KiB (0x21000) become rw-"),
    (syscall(1, "madvise", MAP, 8192, 4), None, "madvise: MADV_DONTNEED: the kernel takes the pages of 8 KiB back"),
    (syscall(1, "mmap", 0, 1 << 60, 3, 0x22, result=-12, errno=12), None, "mmap fails: ENOMEM"),
    (syscall(1, "openat", 0xFF, 3, result=5), None, "openat(0xff, 3) = 5"),
    (syscall(1, "openat", 0xFF, 3, result=5, decoded=("AT_FDCWD", '"a"')), None, 'openat(AT_FDCWD, "a") = 5'),
    (syscall(1, "openat", 0xFF, result=-2, errno=2, decoded=('"a"',)), None, 'openat("a") fails: ENOENT'),
    (syscall(1, "getpid", result=7, gate="int80", decoded=()), None, "getpid() by int 0x80 = 7"),
    (syscall(1, "brk", 0, result=HEAP, gate="int80"), None, "brk by int 0x80: where is the break?"),
    (syscall(1, "mmap", result=0), None, "mmap() = 0x0"),
    (syscall(1, "exit_group", 0, result=None, end_ns=None), None, "exit_group(0) never returned"),
]
OTHERS = [
    (fault(1, HEAP + 0x3010, site=None), "page fault: the program writes page 3 of the heap"),
    (
        fault(1, HEAP, access=None, toucher="allocator", site=None),
        "page fault: the allocator touches page 0 of the heap",
    ),
    (
        fault(1, MAP, ring=0, toucher="kernel", site=None),
        "page fault: the kernel, for the program, writes page 0 of map#3",
    ),
    (
        fault(1, HEAP, chunk=ChunkRef(7, HEAP, 30011), frame=0x1A2B, site=None),
        "page fault: the program writes page 0 of the heap, in the 30,011 bytes of call 7 (frame 0x1a2b)",
    ),
    (
        fault(1, LIBC, access="exec", major=True, toucher="loader", site=None),
        "page fault: the loader executes page 0 of libc.so.6; read from disk",
    ),
    (fault(1, 64, where="stack", mapping="[stack]", site=None), "page fault: the program writes a page of the stack"),
    (
        signal(1, site=None),
        "`mov byte ptr [rax], 0x61` writes page 0, where nothing is ever mapped: page fault (#PF); signal SIGSEGV "
        "(SEGV_MAPERR) at 0x0: the process ends",
    ),
    (
        signal(1, site=None, code=0x80, instruction="cli", exception="#GP", reason="privileged instruction"),
        "`cli` may only run in ring 0: general protection (#GP); signal SIGSEGV (SI_KERNEL): the process ends",
    ),
    (signal(1, "SIGTERM", site=None, code=0, exception=None, fatal=False), "signal SIGTERM"),
    (process(1, "fork", child=77), "fork: a child process, 77"),
    (process(1, "exit", status=3), "exit with status 3"),
    (library(1, site=None), "library call: putc, no system call"),
    (library(1, crossings=2, site=None), "library call: putc, 2 system calls"),
    (library(1, crossings=None, site=None), "library call: putc"),
    (library(1, "__vdso_time", module="[vdso]", site=None), "time is answered in the vDSO, no system call"),
    (lost(1), "LOST: 7 events that faults could not record"),
]


@pytest.mark.parametrize(("event", "told"), CALLS + OTHERS)
def test_an_event_is_told_in_one_sentence(event: Any, told: str) -> None:
    assert sentence(event) == told


@pytest.mark.parametrize(("event", "moved", "told"), KERNEL)
def test_a_system_call_is_told_by_what_it_did(event: Any, moved: int | None, told: str) -> None:
    assert sentence(event, moved, at_site=False) == told


def told_as_one(*events: Any) -> str:
    (passage,) = fold(events)
    (row,) = passage.rows.values()
    return row_words(row)


def test_alike_calls_are_counted_with_their_bytes() -> None:
    assert told_as_one(*(call(n) for n in range(999))) == "999 × malloc(100): 99,900 bytes"
    assert told_as_one(call(0, size=17), call(1, size=129)) == "2 × malloc: 17 to 129 bytes, 146 bytes in all"


def test_alike_faults_name_their_pages() -> None:
    pages = [fault(i, HEAP + 4096 * (3 + i)) for i in range(5)]
    assert told_as_one(*pages) == "5 page faults: the program writes pages 3 to 7 of the heap"
    gaps = [fault(i, HEAP + 4096 * 4 * i) for i in range(5)]
    assert told_as_one(*gaps) == "5 page faults: the program writes some of the pages 0 to 16 of the heap"
    downwards = [fault(i, HEAP + 4096 * (9 - i)) for i in range(3)]
    assert told_as_one(*downwards) == "3 page faults: the program writes pages 7 to 9 of the heap"


def test_faults_on_several_mappings_name_no_page() -> None:
    told = told_as_one(fault(0, MAP), fault(1, MAP + 4096, mapping="map#4"))
    assert told == "2 page faults: the program writes pages of several mappings"
