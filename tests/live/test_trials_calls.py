"""Calls are seen without being felt: registers, stacks, signals, code and confinement are what they are without us."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.live.users import Observe, compiled, observe, workshop
from tests.recordings import Recorded

__all__ = ["observe", "workshop"]

X86_ONLY = pytest.mark.skipif(os.uname().machine != "x86_64", reason="what the program does only this processor has")
NOT_HERE = 77
PRELOADED = {
    "tcmalloc": "libtcmalloc_minimal.so.4", "jemalloc": "libjemalloc.so.2", "mimalloc": "libmimalloc.so.2.0",
}  # fmt: skip


def bare(*command: str) -> tuple[int, str]:
    """Return status and output of *command* without an observer."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", timeout=60)
    return done.returncode if done.returncode >= 0 else 128 - done.returncode, done.stdout


def status(recorded: Recorded) -> int:
    return recorded.status if recorded.status >= 0 else 128 - recorded.status


def alike(recorded: Recorded, *command: str) -> Recorded:
    """The observed run ended and printed as the bare one did, and its ledger explains everything."""
    assert (status(recorded), recorded.stdout) == bare(*command), recorded.stderr
    recorded.assert_balanced()
    return recorded


def of_program(recorded: Recorded, operation: str, size: int | None = None) -> int:
    return sum(
        call.op == operation and call.origin == "program" and size in (None, call.size) for call in recorded.calls
    )


# ---- a process that forbids to be read -----------------------------------------------------------------------


@pytest.mark.parametrize("how", ["alone", "fork"])
def test_registers_are_kept_in_a_process_that_forbids_to_be_read(observe: Observe, workshop: Path, how: str) -> None:
    program = compiled(workshop, "keeps")
    found = alike(observe(program, how), program, how)
    sizes = Counter(call.size for call in found.calls if call.op == "malloc")
    assert {sizes[5003 + i] for i in range(11)} == {2 if how == "fork" else 1}


def test_an_agent_that_forks_runs_its_command(observe: Observe) -> None:
    if shutil.which("ssh-agent") is None:
        pytest.skip("ssh-agent is not installed")
    found = observe("ssh-agent", "true")
    assert found.status == 0
    found.assert_balanced()


# ---- births, ends, limits -------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["fork", "vfork", "thread"])
def test_who_is_killed_while_making_a_child_leaves_nobody_waiting(observe: Observe, workshop: Path, what: str) -> None:
    program = compiled(workshop, "births", "-pthread")
    found = observe(program, what, "11")
    assert (found.status, found.stdout) == (3, "end\n"), found.stderr
    found.assert_balanced()


@pytest.mark.parametrize("limit", [40, 64])
def test_more_processes_than_descriptors_are_followed(observe: Observe, workshop: Path, limit: int) -> None:
    program = compiled(workshop, "crowd")
    found = observe(program, "71", before=("prlimit", f"--nofile={limit}:{limit}"))
    assert (found.status, found.stdout) == (0, "71 children, 0 wrong\n"), found.stderr
    found.assert_balanced()
    sizes = Counter(call.size for call in found.calls if call.op == "malloc" and call.origin == "program")
    assert all(sizes[17 + i] + sizes[23 + i] >= 2 for i in range(71))


def test_the_program_finds_its_own_limit_of_files(observe: Observe) -> None:
    found = observe("sh", "-c", "ulimit -Sn; ulimit -Hn", before=("prlimit", "--nofile=65:97"))
    assert found.stdout == "65\n97\n"


# ---- signals without end -------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["alarm", "queue"])
def test_a_timer_faster_than_it_is_told_of_lets_the_program_get_on(observe: Observe, workshop: Path, how: str) -> None:
    program = compiled(workshop, "rapid")
    found = observe(program, how, before=("timeout", "-k", "3", "60"))
    assert (found.status, found.stdout) == (0, "end\n"), found.stderr
    found.assert_balanced()
    name = "SIGALRM" if how == "alarm" else "SIGRT_2"
    assert sum(event.signal == name for event in found.signals) >= 50


def test_a_handler_that_forks_inside_malloc_starves_nobody_and_its_children_add_up(
    observe: Observe, workshop: Path
) -> None:
    found = observe(compiled(workshop, "forks_inside"), before=("timeout", "-k", "3", "60"))
    assert (found.status, found.stdout) == (0, "end\n"), found.stderr
    found.assert_balanced()
    assert sum(event.what == "fork" for event in found.processes) >= 41


# ---- what unwinds, and what looks at the stack ---------------------------------------------------------------


@pytest.mark.parametrize("allocator", ["glibc", *PRELOADED])
def test_an_exception_that_an_allocator_throws_is_caught(observe: Observe, workshop: Path, allocator: str) -> None:
    program = compiled(workshop, "unwound")
    library = f"/usr/lib/x86_64-linux-gnu/{PRELOADED.get(allocator, '')}"
    if allocator in PRELOADED and not Path(library).exists():
        pytest.skip(f"{allocator} is not installed")
    command = ("env", f"LD_PRELOAD={library}" if allocator in PRELOADED else "NOTHING=1", program, "throw")
    found = observe(*command)
    assert (status(found), found.stdout) == bare(*command), found.stderr
    found.assert_balanced()


@pytest.mark.parametrize("recorder", ["auto", "inline", "breakpoint"])
def test_functions_that_merely_jump_to_the_librarys_return_with_it(
    observe: Observe, workshop: Path, recorder: str
) -> None:
    program = compiled(workshop, "wraps", "-O2")
    found = observe(program, options=("-q", "--recorder", recorder))
    assert (found.status, found.stdout) == (0, "wrapped\n"), found.stderr
    found.assert_balanced()
    calls = [call for call in found.calls if call.allocator == "wraps"]
    counts = Counter(call.op for call in calls)
    assert [counts[op] for op in ("calloc", "realloc", "memalign", "valloc", "free")] == [300, 300, 300, 300, 1200]
    assert counts["malloc"] == 301  # one of them is for what puts(3) has to say
    assert [call for call in calls if call.op != "free" and not call.result] == []
    assert all(call.steps is not None for call in calls if call.op == "calloc")


def test_a_backtrace_out_of_a_handler_reaches_main(observe: Observe, workshop: Path) -> None:
    program = compiled(workshop, "unwound")
    alike(observe(program, "profile"), program, "profile")


def test_a_thread_that_is_cancelled_in_malloc_cleans_up(observe: Observe, workshop: Path) -> None:
    program = compiled(workshop, "cancelled", "-pthread")
    alike(observe(program), program)


@pytest.mark.parametrize("place", range(8))
def test_a_freed_array_of_the_stack_ends_as_without_us(observe: Observe, workshop: Path, place: int) -> None:
    program = compiled(workshop, "stack_array", f"-DPLACE={place}", "-Wno-free-nonheap-object")
    found = observe(program)
    assert status(found) == bare(program)[0] == 134
    assert "invalid pointer" in found.stderr


@pytest.mark.parametrize("where", ["map", "heap"])
def test_a_coroutine_that_yields_in_malloc_leaves_no_call_behind(observe: Observe, workshop: Path, where: str) -> None:
    program = compiled(workshop, "yields", "-Wno-builtin-declaration-mismatch")
    found = alike(observe(program, where), program, where)
    [line] = [line for line in found.trace.meta.ledger if line.identity.startswith("allocator calls returned")]
    assert not any(part.why == "left by a jump" and part.count for part in line.excluded), line
    assert of_program(found, "malloc") >= 120


# ---- signal handlers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["plain", "aside"])
def test_what_a_handler_does_inside_malloc_is_not_mallocs(observe: Observe, workshop: Path, how: str) -> None:
    program = compiled(workshop, "storm")
    found = alike(observe(program, how), program, how)
    causes = {call.n: call.op for call in found.calls}
    caused = [call for call in found.syscalls if call.cause is not None and call.cause in causes]
    # Within malloc the kernel is asked for more heap; mapping and unmapping is the handler's alone.
    assert {call.name for call in caused} == {"brk"}
    mapped = [call for call in found.syscalls if call.name == "munmap" and call.args[1] == 8192]
    assert len(mapped) > 0
    assert {call.cause for call in mapped} == {None}


def test_the_number_of_breaks_in_mallocs_is_straces(observe: Observe, workshop: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    program = compiled(workshop, "storm")
    found = observe(program, "plain")
    told = subprocess.run(
        ["strace", "-e", "trace=brk", "-e", "signal=none", program, "plain"], capture_output=True, text=True, check=True
    ).stderr
    seen = [call for call in found.syscalls if call.name == "brk"]
    assert len(seen) == sum(line.startswith("brk(") for line in told.splitlines())
    assert sum(call.cause is None for call in seen) == 1  # the loader's


def test_a_handler_that_jumps_out_ends_with_its_jump(observe: Observe, workshop: Path) -> None:
    program = compiled(workshop, "storm")
    alike(observe(program, "jump"), program, "jump")


TRAPS = ["plain", "ignored", "masked by a handler", "sigsuspend", "ppoll", "back from sigsuspend", "inherited", "child"]


@pytest.mark.parametrize("how", TRAPS)
def test_sigtrap_is_blocked_and_handled_as_the_program_wants(observe: Observe, workshop: Path, how: str) -> None:
    program = compiled(workshop, "trapped")
    alike(observe(program, how), program, how)


@X86_ONLY
def test_a_program_that_steps_through_malloc_comes_out_again(observe: Observe, workshop: Path) -> None:
    program = compiled(workshop, "steps_itself")
    found = alike(observe(program), program)
    assert (of_program(found, "malloc", 23), of_program(found, "malloc", 29)) == (11, 101)


@X86_ONLY
@pytest.mark.parametrize("more", [(), ("behind",)], ids=["from the beginning", "behind calls"])
def test_a_program_may_answer_its_own_system_calls(observe: Observe, workshop: Path, more: tuple[str, ...]) -> None:
    program = compiled(workshop, "dispatches")
    if bare(program, *more)[0] == NOT_HERE:
        pytest.skip("this kernel has no PR_SET_SYSCALL_USER_DISPATCH")
    found = alike(observe(program, *more), program, *more)
    rounds = 1 + len(more)
    assert (of_program(found, "malloc", 23), of_program(found, "malloc", 200003)) == (rounds * 101, rounds * 13)


@pytest.mark.parametrize("how", ["begin", "behind", "thread"])
def test_a_program_may_forbid_itself_the_clock(observe: Observe, workshop: Path, how: str) -> None:
    program = compiled(workshop, "no_clock", "-pthread")
    if bare(program, how)[0] == NOT_HERE:
        pytest.skip("this machine has no PR_SET_TSC")
    found = alike(observe(program, how), program, how)
    assert of_program(found, "malloc", 23) == {"begin": 3, "behind": 4, "thread": 6}[how] * 101


# ---- the code of the allocator -------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["none", "discard", "discard all", "restore", "hook"])
def test_calls_are_seen_though_their_code_was_dropped_or_moved(observe: Observe, workshop: Path, how: str) -> None:
    program = compiled(workshop, "rewritten")
    found = alike(observe(program, how), program, how)
    assert (of_program(found, "malloc", 23), of_program(found, "malloc", 29)) == (10, 100)


def test_calls_that_cannot_be_seen_any_more_are_said_to_be_missing(observe: Observe, workshop: Path) -> None:
    program = compiled(workshop, "rewritten")
    found = observe(program, "through proc")
    assert found.stdout == bare(program, "through proc")[1]
    assert found.status == 125
    [line] = [line for line in found.trace.meta.ledger if line.identity.startswith("breakpoints standing")]
    assert (line.verdict, line.lost) == ("INCOMPLETE", line.expected - line.seen)
    assert any("malloc: the program changed the code" in note for note in found.trace.meta.notes)


@pytest.mark.parametrize("how", ["discard", "protect", "unmap", "over"])
def test_a_program_can_do_without_the_code_of_its_loader(observe: Observe, workshop: Path, how: str) -> None:
    program = compiled(workshop, "loader_gone", "-Wl,-z,now")
    found = alike(observe(program, how), program, how)
    assert of_program(found, "malloc", 31) == 101


# ---- what is unnoticed -----------------------------------------------------------------------------------------

CONFINED = ["asks", "strict", "strict and more", "strict by seccomp", "traces itself", "untraced child", "orphan"]


@pytest.mark.parametrize("how", CONFINED)
def test_confinement_is_what_it_is_without_us(observe: Observe, workshop: Path, how: str) -> None:
    program = compiled(workshop, "confined")
    found = observe(program, how)
    assert (status(found), sorted(found.stdout.splitlines())) == _sorted(bare(program, how)), found.stderr
    found.assert_balanced()


def _sorted(run: tuple[int, str]) -> tuple[int, list[str]]:
    return run[0], sorted(run[1].splitlines())


@pytest.mark.parametrize(
    ("how", "said"),
    [("seizes its parent", "seized -1"), ("attaches to its parent", "attached -1"), ("stops its parent", "stopped 0")],
)
def test_the_observer_is_neither_traced_nor_stopped(observe: Observe, workshop: Path, how: str, said: str) -> None:
    program = compiled(workshop, "confined")
    found = observe(program, how)
    assert (found.status, found.stdout) == (0, f"{said}\nend 0\n")
    assert any("its parent, the observer" in note for note in found.trace.meta.notes)
