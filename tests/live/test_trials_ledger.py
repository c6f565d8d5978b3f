"""The ledger in front of sound programs: what the kernel does without telling is left out with its count and its reason."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from observer.model.ledger import COMPLETE, EXCLUSIONS, LedgerLine
from tests.conftest import FAULT_EVENTS_REFUSED, needs_fault_events
from tests.live.programs import compile_c
from tests.live.users import Observe, compiled, observe, workshop
from tests.recordings import OBSERVER, Recorded, environment_of_commands, run_observer

__all__ = ["observe", "workshop"]

NOT_HERE = 77
PAGES, LOCKED = 37, 3 * 37
PERF_EVENT_OPEN = 298
COUNTERS = "page faults = minflt + majflt of all tasks"
RUSAGE = "tasks' counters = getrusage of the tree"
HEAP_PAGES = "heap pages faulted in = resident at the end"
MAPPINGS = "mappings replayed = /proc/PID/maps"
REACHED, UNFOLLOWED, POPULATED = "process_vm_readv", "system calls reached first", "populated by mlock"


def lines(recorded: Recorded) -> dict[str, LedgerLine]:
    return {line.identity: line for line in recorded.trace.meta.ledger}


def sound(recorded: Recorded) -> Recorded:
    """What ran as it does alone, and adds up; skips where the kernel does not let its user do what the program does."""
    if recorded.status == NOT_HERE:
        pytest.skip("this kernel does not let the user do what the program does")
    assert recorded.status == 0, recorded.stderr
    recorded.assert_balanced()
    return recorded


def told(recorded: Recorded, identity: str, reason: str) -> int:
    """How many are left out of *identity* for *reason*."""
    return sum(part.count for part in lines(recorded)[identity].excluded if reason in part.why)


def story_of(recorded: Recorded) -> str:
    words = [*OBSERVER, "show", str(recorded.directory), "--full"]
    return subprocess.run(
        words, capture_output=True, text=True, check=True, env=environment_of_commands()
    ).stdout  # fmt: skip


def sees_kernel(recorded: Recorded) -> bool:
    return recorded.trace.meta.how["faults in kernel mode"] == "exact"


# ---- pages that the kernel reaches for a system call ---------------------------------------------------------


@needs_fault_events
@pytest.mark.parametrize(
    ("way", "least", "reason"),
    [
        ("readv", PAGES, REACHED), ("writev", PAGES, REACHED), ("vmsplice", 13, REACHED), ("aio", PAGES, REACHED),
        ("own-mem", PAGES, UNFOLLOWED), ("child-mem", PAGES, UNFOLLOWED), ("direct", PAGES, UNFOLLOWED),
        ("futex-pi", PAGES, UNFOLLOWED), ("futex-wake", PAGES, UNFOLLOWED), ("futex-shared", PAGES, UNFOLLOWED),
        ("core", 0, "core dump"), ("locked", 2 * PAGES, POPULATED), ("all-locked", LOCKED, POPULATED),
    ],
)  # fmt: skip
def test_pages_that_a_system_call_reaches_first_are_counted_by_their_reason(
    observe: Observe, workshop: Path, way: str, least: int, reason: str
) -> None:
    found = sound(observe(compiled(workshop, "reached"), way, str(workshop / "file")))
    line = lines(found)[COUNTERS]
    if least:
        assert line.verdict == EXCLUSIONS
    # Where faults in kernel mode are not visible, what has no event is hidden among them.
    measured = reason in (REACHED, POPULATED)
    assert told(found, COUNTERS, reason if measured or sees_kernel(found) else "kernel mode") >= least


@needs_fault_events
@pytest.mark.parametrize("way", ["readv-heap", "writev-heap", "own-mem-heap", "child-mem-heap"])
def test_such_pages_of_the_heap_are_no_more_than_the_faults_without_an_event(
    observe: Observe, workshop: Path, way: str
) -> None:
    found = sound(observe(compiled(workshop, "reached"), way, str(workshop / "file")))
    # Where faults in kernel mode are not visible, these may have been some of them.
    assert told(found, HEAP_PAGES, "without a fault event" if sees_kernel(found) else "") == PAGES


@pytest.mark.parametrize("what", ["advise", "buffers", "read", "worker", "poll"])
def test_what_a_ring_does_without_a_system_call_is_told(observe: Observe, workshop: Path, what: str) -> None:
    found = sound(observe(compiled(workshop, "ring"), what))
    if what == "advise" and not FAULT_EVENTS_REFUSED:
        assert told(found, HEAP_PAGES, "io_uring") == -11
    if what in ("worker", "poll") and sees_kernel(found):
        assert told(found, COUNTERS, "io_uring") == -told(found, RUSAGE, "io_uring") == -11


def test_a_program_that_others_may_not_read_loses_its_fault_events_and_says_so(
    observe: Observe, workshop: Path
) -> None:
    if os.geteuid() == 0:
        shutil.copy("/bin/true", workshop / "closed")
        (workshop / "closed").chmod(0o711)
    else:
        pytest.skip("only root can make a program that its user may not read")
    found = sound(observe("sh", "-c", f"{workshop}/closed; true"))
    if found.trace.meta.machine.uid:
        assert told(found, COUNTERS, "may be run but not read") > 0


# ---- pages of the heap ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "way",
    [
        "moved-away", "moved-and-kept", "anonymous-over", "shared-over", "file-over", "half-advised", "half-protected",
        "unmapped", "end-unmapped", "locked", "not-forked", "wiped", "forked-again", "raw-break",
    ],
)  # fmt: skip
def test_heap_pages_may_go_in_any_way(observe: Observe, workshop: Path, way: str) -> None:
    found = sound(observe(compiled(workshop, "heap_goes"), way))
    assert lines(found)[MAPPINGS].verdict == COMPLETE
    if sees_kernel(found):
        assert lines(found)[HEAP_PAGES].verdict == COMPLETE


@needs_fault_events
@pytest.mark.parametrize(
    ("way", "reason", "count"),
    [("moved-in", "mremap", 3), ("as-another", "process_madvise", -3), ("userfaultfd", "userfaultfd", 1)],
)
def test_what_came_or_went_unseen_has_its_reason(
    observe: Observe, workshop: Path, way: str, reason: str, count: int
) -> None:
    found = sound(observe(compiled(workshop, "heap_goes"), way))
    # What may have come by a fault in kernel mode is told as that where such faults are not visible.
    assert told(found, HEAP_PAGES, reason if sees_kernel(found) else "") == count


@pytest.mark.parametrize("way", ["lazily", "paged-out"])
def test_what_the_kernel_may_take_is_there_or_excluded(observe: Observe, workshop: Path, way: str) -> None:
    sound(observe(compiled(workshop, "heap_goes"), way))


# ---- processes and their memory ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    ["shares", "shares-by-another-signal", "waits-without-sharing", "execs", "outlives", "thread-with-a-signal"],
)
def test_children_share_what_the_kernel_says_they_share(observe: Observe, workshop: Path, kind: str) -> None:
    found = sound(observe(compiled(workshop, "sharers"), kind))
    if kind == "shares":
        assert sum(call.op == "malloc" for call in found.calls) == 7 * 16 + 1
        assert FAULT_EVENTS_REFUSED or lines(found)[HEAP_PAGES].unexplained == 0


def test_what_other_threads_did_during_a_fork_is_read_from_the_child(observe: Observe, workshop: Path) -> None:
    found = sound(observe(compiled(workshop, "meanwhile", "-pthread"), "23"))
    assert lines(found)[MAPPINGS].verdict == COMPLETE
    assert sum(event.what == "fork" for event in found.processes) == 23


def test_an_exec_that_fails_when_the_old_program_is_gone(observe: Observe, workshop: Path) -> None:
    cut_off = workshop / "cut_off"
    cut_off.write_bytes(Path("/bin/true").read_bytes()[:4096])
    cut_off.chmod(0o755)
    found = sound(observe(compiled(workshop, "half_exec"), str(cut_off)))
    assert found.stdout == "2\n"
    assert sum(call.op == "free" for call in found.calls) == 4 * 101
    assert not any("missing" in note for note in found.trace.meta.notes)


def test_what_the_killed_had_done_is_done(observe: Observe, workshop: Path) -> None:
    found = sound(observe(compiled(workshop, "cut_short"), "23"))
    assert lines(found)[MAPPINGS].unexplained == 0
    cut = sum(event.end_ns is None for event in found.syscalls)
    assert cut == told(found, "system calls left = entered", "did not return")


def test_memory_that_grows_downwards_is_as_large_as_it_was_made_by_touching(observe: Observe, workshop: Path) -> None:
    found = sound(observe(compiled(workshop, "grows")))
    assert found.stdout == "grown\n"
    assert lines(found)[MAPPINGS].verdict == COMPLETE


@pytest.mark.parametrize("what", ["stack", "mapping"])
def test_what_has_grown_may_be_cut_into_pieces(observe: Observe, workshop: Path, what: str) -> None:
    found = sound(observe(compiled(workshop, "guarded"), what))
    assert found.stdout == "guarded\n"
    assert lines(found)[MAPPINGS].verdict == COMPLETE


def test_what_is_executable_though_nobody_asked_for_that_is_seen_to_be(observe: Observe, workshop: Path) -> None:
    found = sound(observe(compiled(workshop, "readable")))
    assert found.stdout == "end\n"
    assert lines(found)[MAPPINGS].verdict == COMPLETE


@pytest.mark.skipif(shutil.which("as") is None, reason="there is no assembler here")
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="a program of i386")
def test_a_program_of_i386_that_says_nothing_of_its_stack_may_execute_what_it_reads(
    observe: Observe, workshop: Path
) -> None:
    source = """
        .globl _start
        _start: movl $192, %eax; xorl %ebx, %ebx; movl $8192, %ecx; movl $3, %edx; movl $0x22, %esi; movl $-1, %edi
        xorl %ebp, %ebp; int $0x80; movl $1, (%eax)
        movl $45, %eax; xorl %ebx, %ebx; int $0x80
        leal 8192(%eax), %ebx; movl $45, %eax; int $0x80; movl $1, -4(%ebx)
        movl $1, %eax; xorl %ebx, %ebx; int $0x80
    """
    made, program = str(workshop / "silent.o"), str(workshop / "silent")
    subprocess.run(["as", "--32", "-o", made], input=source, text=True, check=True)
    subprocess.run(["ld", "-m", "elf_i386", "-o", program, made], check=True)
    assert lines(sound(observe(program)))[MAPPINGS].verdict == COMPLETE


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may choose the next number of a process")
@pytest.mark.skipif(shutil.which("unshare") is None, reason="unshare is not installed")
def test_a_number_that_is_used_again_is_another_process(workshop: Path, tmp_path: Path) -> None:
    program = compiled(workshop, "again", "-pthread")
    found = run_observer(
        [program, "17"], tmp_path / "trace", options=["-q"], prefix=["unshare", "--pid", "--fork", "--mount-proc"]
    )
    assert sound(found).facts["same"] == "17"
    assert lines(found)[HEAP_PAGES].verdict == COMPLETE
    # Threads end by an event of the same name.
    assert sum(event.what == "exit" and event.tid == event.pid for event in found.processes) == 18


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a pid namespace without a user namespace")
@pytest.mark.skipif(shutil.which("unshare") is None, reason="unshare is not installed")
def test_a_proc_that_shows_the_processes_of_others_is_refused(workshop: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        ["unshare", "--pid", "--fork", "--kill-child", *OBSERVER, "run", "-o", str(tmp_path / "trace"), "true"],
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert (done.returncode, "/proc is that of another pid namespace" in done.stderr) == (125, True), done.stderr
    assert not (tmp_path / "trace").exists()


# ---- huge pages ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["small", "kept", "freed", "advised", "forked"])
def test_frames_of_huge_pages_are_counted_whether_kept_or_given_back(
    observe: Observe, workshop: Path, way: str
) -> None:
    found = sound(observe(compiled(workshop, "huge"), way))
    if way != "small" and int(found.facts["grown"]) < 20_000:
        pytest.skip("this kernel makes no huge pages")
    beside = found.trace.meta.totals["frames_beside"]
    if way == "small" and found.trace.meta.machine.thp == "madvise":
        assert beside == 0
    elif way != "small":
        assert beside == 12 * 511
        story = story_of(found)
        assert "came beside a touched page" in story


# ---- where perf is refused -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def deny(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("deny")
    for place in (folder, *list(folder.parents)[:2]):
        place.chmod(0o777)
    return compile_c((Path(__file__).parent / "deny.c").read_text(), folder / "deny")


@pytest.mark.parametrize(
    "command",
    [
        ("sh", "-c", "ls /; true"),
        ("sh", "-c", "exec env true"),
        ("sh", "-c", "(true | true) & wait"),
        ("python3", "-Sc", "import os; os.posix_spawn('/bin/true', ['true'], {}); os.wait()"),
        (
            "python3",
            "-Sc",
            "import threading as t; [t.Thread(target=bytearray, args=(99999,)).start() for i in range(7)]",
        ),
        (
            "python3",
            "-Sc",
            "import os, threading as t; t.Thread(target=os.execv, args=('/bin/true', ['true'])).start()",
        ),
    ],
)
def test_faults_of_an_exec_are_counted_where_perf_is_refused(
    observe: Observe, deny: str, command: tuple[str, ...]
) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    found = sound(observe(*command, before=(deny, str(PERF_EVENT_OPEN))))
    line = lines(found)[COUNTERS]
    assert (line.unexplained, line.verdict) == (0, EXCLUSIONS)


@pytest.mark.parametrize("kind", ["shares", "execs", "outlives"])
def test_shared_memory_is_no_riddle_without_perf(observe: Observe, workshop: Path, deny: str, kind: str) -> None:
    sound(observe(compiled(workshop, "sharers"), kind, before=(deny, str(PERF_EVENT_OPEN))))


def test_the_start_up_is_one_row_without_perf(observe: Observe, workshop: Path, deny: str) -> None:
    found = sound(observe(compiled(workshop, "sharers"), "shares", before=(deny, str(PERF_EVENT_OPEN))))
    touchers = {fault.toucher for fault in found.faults if fault.chunk is None and fault.cause is None}
    assert touchers == {"unknown"}
    story = story_of(found)
    before_main = story.partition("before main")[2].partition("fork:")[0]
    assert before_main.count("page fault") == 1
