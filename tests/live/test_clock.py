"""What a program records itself is told in its order where no clock was read: faults, stops and processors lie between."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from observer.model.events import Call, Fault, Signal, Syscall
from observer.recording.records import HEAD, INLINE
from observer.recording.slots import Unfolded, unfolded
from tests.conftest import needs_inline
from tests.live.programs import compile_c
from tests.recordings import Recorded, run_observer

pytestmark = [
    needs_inline,
    pytest.mark.skipif(
        os.uname().machine != "x86_64", reason="the recorder of this architecture reads the clock each time"
    ),
]
HEAD_OF_ALL = r"""
#define _GNU_SOURCE
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
static unsigned at = 1;
static unsigned next(void) { return (at = at * 1103515245 + 12345) >> 16; }
static char *fresh(long pages)
{
    return mmap(0, pages * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}
"""
# What each step does is told by a byte; a call's argument says which step it belongs to.
STEPS = (
    HEAD_OF_ALL
    + r"""
static void on_usr1(int number) { (void)number; free(malloc(7)); }
int main(int count, char **words)
{
    enum { STEPS = 4000 };
    static char told[STEPS + 1];
    static void *kept[STEPS];
    char *page = fresh(STEPS);
    int cpus[2] = {0, 0}, n = 0;
    cpu_set_t mask;
    signal(SIGUSR1, on_usr1);
    sched_getaffinity(0, sizeof mask, &mask);
    for (int i = 0; i < 1024 && n < 2; i++) if (CPU_ISSET(i, &mask)) cpus[n++] = i;
    int kinds = count > 1 ? atoi(words[1]) : 4;
    for (int i = 0; i < 200; i++) free(malloc(40));
    madvise(page, 4096, MADV_NORMAL);
    for (int i = 0; i < STEPS; i++) {
        unsigned what = next() % 8;
        if (what == 0) { *(volatile char *)page = 1; page += 4096; told[i] = 'f'; }
        else if (what == 1 && kinds > 1) { madvise(page, 4096, MADV_NORMAL); told[i] = 's'; }
        else if (what == 2 && kinds > 2) { raise(SIGUSR1); told[i] = 'g'; }
        else if (what == 3 && kinds > 3 && n > 1) {
            CPU_ZERO(&mask);
            CPU_SET(cpus[next() & 1], &mask);
            sched_setaffinity(0, sizeof mask, &mask);
            told[i] = '-';
        } else { kept[i] = malloc(24); told[i] = 'c'; }
    }
    madvise(page, 4096, MADV_NORMAL);
    write(1, told, STEPS);
    return 0;
}
"""
)
QUIET = (
    HEAD_OF_ALL
    + r"""
int main(void)
{
    static void *slot[64];
    for (long i = 0; i < 100000; i++) {
        void **one = &slot[next() & 63];
        free(*one);
        *one = malloc(16 + (next() & 255));
    }
    return 0;
}
"""
)
THREAD = (
    HEAD_OF_ALL
    + r"""
#include <pthread.h>
static void *work(void *word) { for (long i = 0; i < 20000; i++) free(malloc(24 + (i & 63))); return word; }
int main(void)
{
    pthread_t thread;
    for (long i = 0; i < 20000; i++) free(malloc(24 + (i & 63)));
    pthread_create(&thread, 0, work, 0);
    work(0);
    pthread_join(thread, 0);
    return 0;
}
"""
)
CHILD = (
    HEAD_OF_ALL
    + r"""
int main(int count, char **words)
{
    for (long i = 0; i < 2000; i++) free(malloc(24 + (i & 63)));
    if (count > 1) return 0;
    for (int turn = 0; turn < 5; turn++) {
        if (vfork() == 0) { free(malloc(100 + turn)); execl(words[0], words[0], "again", (char *)0); _exit(9); }
        wait(0);
        if (fork() == 0) { free(malloc(200 + turn)); _exit(0); }
        wait(0);
        free(malloc(300 + turn));
    }
    return 0;
}
"""
)


LIMITED = (
    HEAD_OF_ALL
    + r"""
#include <sys/resource.h>
int main(void)
{
    struct rlimit most = {64 << 20, 64 << 20};
    int count = 0;
    setrlimit(RLIMIT_AS, &most);
    for (long i = 0; i < 2000; i++) free(malloc(24 + (i & 63)));
    while (malloc(1 << 20)) count++;
    printf("%d\n", count);
    return 0;
}
"""
)
AFTER_VFORK = (
    HEAD_OF_ALL
    + r"""
int main(void)
{
    for (long i = 0; i < 2000; i++) free(malloc(24 + (i & 63)));
    for (int turn = 0; turn < 20; turn++) {
        if (vfork() == 0) { free(malloc(7000)); execl("/bin/true", "true", (char *)0); _exit(9); }
        for (int i = 0; i < 20; i++) free(malloc(5000));
        wait(0);
    }
    return 0;
}
"""
)

# What the child of a vfork touches lies between its calls, and what its parent touches then between its own.
BORROWED = (
    HEAD_OF_ALL
    + r"""
int main(void)
{
    char *page = fresh(4000);
    for (long i = 0; i < 2000; i++) free(malloc(32 + (i & 7)));
    madvise(page, 4096, MADV_NORMAL);
    for (int turn = 0; turn < 400; turn++) {
        if (vfork() == 0) {
            free(malloc(24)), page[0] = 1, page += 4096, free(malloc(24)), free(malloc(24)), page[0] = 1, page += 4096;
            _exit(0);
        }
        free(malloc(24)), page[0] = 1, page += 4096, free(malloc(24)), free(malloc(24));
    }
    madvise(page, 4096, MADV_NORMAL);
    return 0;
}
"""
)
SEEN = (
    HEAD_OF_ALL
    + r"""
int main(void)
{
    char line[512];
    unsigned long from, to, total = 0;
    for (long i = 0; i < 2000; i++) free(malloc(24 + (i & 63)));
    FILE *maps = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, maps))
        if (strstr(line, "perf_event") && sscanf(line, "%lx-%lx", &from, &to) == 2) total += to - from;
    printf("%lu\n", total / sysconf(_SC_PAGESIZE));
    return 0;
}
"""
)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    folder = tmp_path_factory.mktemp("clock")
    return lambda source: compile_c(source, folder / f"program{abs(hash(source))}")


def recorded_of(program: str, folder: Path, *options: str, words: Sequence[str] = ()) -> Recorded:
    found = run_observer(
        (program, *words), folder / "trace", options=("-q", "-e", "trace=memory", "--recorder", "inline", *options)
    )
    found.assert_balanced()
    return found


def counters(program: str, folder: Path, *options: str) -> list[Unfolded]:
    """Return what each batch of a run holds that was recorded only."""
    run_observer((program,), folder / "only", options=("-q", "--record-only", "--recorder", "inline", *options))
    raw = np.frombuffer((folder / "only" / "spool" / INLINE.file).read_bytes(), dtype=INLINE.dtype)
    batches, at = [], 0
    while at < len(raw):
        count = int(raw[at]["a0"]) ^ HEAD
        batches.append(unfolded(raw[at + 1 : at + 1 + count]))
        at += 1 + count
    return batches


def told(found: Recorded) -> str:
    """Return what the program did between its first madvise and its last, a letter a step."""
    marks = [at for at, event in enumerate(found.events) if isinstance(event, Syscall) and event.name == "madvise"]
    first = found.events[marks[0]]
    assert isinstance(first, Syscall)
    pages = range(first.args[0], first.args[0] + 4000 * 4096)
    letters = []
    for event in found.events[marks[0] + 1 : marks[-1]]:
        if isinstance(event, Call) and event.size == 24:
            letters.append("c")
        elif isinstance(event, Fault) and event.address in pages:
            letters.append("f")
        elif isinstance(event, Syscall) and event.name == "madvise":
            letters.append("s")
        elif isinstance(event, Signal) and event.signal == "SIGUSR1":
            letters.append("g")
    return "".join(letters)


def unread(batches: Sequence[Unfolded]) -> float:
    """Return which part of the times was not read."""
    times = np.concatenate([np.concatenate((batch.began, batch.ended)) for batch in batches])
    return float((times == 0).mean())


@pytest.mark.parametrize(
    "kinds", ["1", "2", "3", "4"], ids=["faults", "system calls, too", "signals, too", "processors, too"]
)
def test_what_lies_between_calls_is_told_between_them(
    compiled: Callable[[str], str], tmp_path: Path, kinds: str
) -> None:
    found = recorded_of(compiled(STEPS), tmp_path, words=(kinds,))
    expected = found.stdout.replace("-", "")
    assert len(expected) > 3000
    assert told(found) == expected
    assert found.trace.meta.totals["calls_inline"] > 2000
    assert found.trace.meta.how["call.t_ns"].startswith("inferred: ")


def test_the_same_is_told_where_the_clock_is_read_each_time(compiled: Callable[[str], str], tmp_path: Path) -> None:
    found = recorded_of(compiled(STEPS), tmp_path, "--times")
    assert told(found) == found.stdout.replace("-", "")


def test_where_breakpoints_tell_all_times_are_exact(compiled: Callable[[str], str], tmp_path: Path) -> None:
    found = run_observer((compiled(STEPS),), tmp_path / "trace", options=("-q", "--recorder", "breakpoint"))
    assert "call.t_ns" not in found.trace.meta.how


def test_where_nothing_happens_no_clock_is_read(compiled: Callable[[str], str], tmp_path: Path) -> None:
    assert unread(counters(compiled(QUIET), tmp_path)) > 0.95


def test_all_times_are_read_where_they_are_asked_for(compiled: Callable[[str], str], tmp_path: Path) -> None:
    assert unread(counters(compiled(QUIET), tmp_path, "--times")) == 0


def test_threads_read_the_clock_from_the_second_on(compiled: Callable[[str], str], tmp_path: Path) -> None:
    program = compiled(THREAD)
    batches = counters(program, tmp_path)
    found = recorded_of(program, tmp_path)
    tids = {call.tid for call in found.calls}
    assert len(tids) == 2
    assert sum(map(len, batches)) > 100_000
    assert 0 < unread(batches) < 0.5  # of the first thread, as long as it was alone
    for tid in tids:
        times = [(call.t_ns, call.end_ns) for call in found.calls if call.tid == tid]
        assert times == sorted(times)


def test_children_are_told_in_their_places(compiled: Callable[[str], str], tmp_path: Path) -> None:
    found = recorded_of(compiled(CHILD), tmp_path)
    sizes = [call.size for call in found.calls if call.op == "malloc" and (call.size or 0) >= 100]
    mine = [
        size
        for size in sizes
        if size in {100 + i for i in range(5)} | {200 + i for i in range(5)} | {300 + i for i in range(5)}
    ]
    assert mine == [base + turn for turn in range(5) for base in (100, 200, 300)]


@pytest.mark.parametrize("recorder", ["inline", "breakpoint"])
def test_what_a_parent_does_while_its_child_executes_a_program_is_the_parents(
    compiled: Callable[[str], str], tmp_path: Path, recorder: str
) -> None:
    found = run_observer((compiled(AFTER_VFORK),), tmp_path / "trace", options=("-q", "--recorder", recorder))
    found.assert_balanced()
    calls = [call for call in found.calls if call.op == "malloc" and call.size in (5000, 7000)]
    root = found.calls[0].pid
    assert sum(call.size == 5000 and call.pid == root for call in calls) == 400
    assert sum(call.size == 7000 and call.pid != root for call in calls) == 20


def test_what_the_child_of_a_vfork_touches_is_told_between_its_calls(
    compiled: Callable[[str], str], tmp_path: Path
) -> None:
    found = recorded_of(compiled(BORROWED), tmp_path)
    assert told(found) == 400 * "cfccfcfcc"
    assert found.trace.meta.totals["calls_inline"] > 4000


def test_a_program_maps_two_pages_to_see_its_faults_and_no_ring_that_we_map(
    compiled: Callable[[str], str], tmp_path: Path
) -> None:
    # What both had mapped would be taken off what its user may lock, for as long as that has a process (Linux 6.18).
    assert recorded_of(compiled(SEEN), tmp_path).stdout == "2\n"


def test_a_program_with_little_address_space_has_about_as_much_of_it(
    compiled: Callable[[str], str], tmp_path: Path
) -> None:
    program = compiled(LIMITED)
    alone = int(subprocess.run([program], capture_output=True, text=True, check=True).stdout)
    assert alone - int(recorded_of(program, tmp_path).stdout) < 8


def test_the_ring_that_the_program_looks_at_is_no_mapping_of_its_own(
    compiled: Callable[[str], str], tmp_path: Path
) -> None:
    found = recorded_of(compiled(QUIET), tmp_path)
    [end] = [end for end in found.trace.meta.ends if end.mappings]
    assert not any("perf_event" in mapping.path for mapping in end.mappings)
