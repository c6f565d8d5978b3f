"""Each sample's own stated facts, confirmed by what was observed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import pytest

from observer.model.events import Call, Fault, Syscall
from tests.conftest import needs_fault_events
from tests.recordings import Recorded
from tests.witness.programs import SAMPLES

Record = Callable[..., Recorded]
# In these the process that states the facts is not the only one, or calls jump out: what they state is checked apart.
STATING = [name for name in SAMPLES if name not in ("exec_self",)]


def own_calls(recorded: Recorded, name: str) -> list[Call]:
    """Calls that the program's own source makes, in the process that states the facts."""
    root = recorded.processes[0].pid
    source = name.removesuffix("-static") + ".c"
    return [
        call for call in recorded.calls
        if call.pid == root and call.site is not None and (call.site.file or "").endswith("/" + source)
    ]  # fmt: skip


def faults_at(recorded: Recorded, line: int) -> list[Fault]:
    return [fault for fault in recorded.faults if fault.site is not None and fault.site.line == line
            and not (fault.site.file or "").endswith(".h")]  # fmt: skip


@pytest.mark.parametrize("name", STATING)
def test_calls_equal_what_the_sample_says(name: str, sample: Callable[[str], str], recorded: Record) -> None:
    run = recorded(sample(name), options=("-q",))
    facts = run.facts
    seen = Counter(call.op for call in own_calls(run, name) if call.origin == "program")
    # aligned_alloc and memalign are one function in glibc before 2.38: which name was called cannot be seen.
    aligned = int(facts.get("memalign_calls", 0)) + int(facts.get("aligned_alloc_calls", 0))
    assert seen.pop("memalign", 0) + seen.pop("aligned_alloc", 0) == aligned
    stated = {
        key.removesuffix("_calls"): int(value) for key, value in facts.items()
        if key.endswith("_calls") and key.removesuffix("_calls") in seen
    }  # fmt: skip
    assert dict(seen) == stated
    assert sum(seen.values()) + aligned == int(facts["calls"])


@pytest.mark.parametrize("name", STATING)
def test_bytes_asked_equal_what_the_sample_says(name: str, sample: Callable[[str], str], recorded: Record) -> None:
    run = recorded(sample(name), options=("-q",))
    if "bytes_requested" not in run.facts:
        assert run.facts["calls"] == "0"
        return
    allocating = [call for call in own_calls(run, name) if call.steps is not None and call.origin == "program"]
    assert sum(call.bytes_asked for call in allocating) == int(run.facts["bytes_requested"])


FAULT_LINES = {
    "story": {
        "line_second_write": "faults_second",
        "line_blocks_write": "faults_blocks",
        "line_large_write": "faults_large",
    },
    "story-static": {"line_blocks_write": "faults_blocks", "line_large_write": "faults_large"},
    "first_touch": {"line_touch": "faults_program"},
    "zero_page": {"line_read": "faults_read", "line_write": "faults_write"},
    "memset_line": {"line_memset": "faults_memset", "line_memcpy": "faults_memcpy", "line_strcpy": "faults_strcpy"},
}


@needs_fault_events
@pytest.mark.parametrize("name", sorted(FAULT_LINES))
def test_faults_of_a_line_equal_what_the_sample_says(name: str, sample: Callable[[str], str], recorded: Record) -> None:
    run = recorded(sample(name), options=("-q",))
    facts = run.facts
    for line, count in FAULT_LINES[name].items():
        on_pieces = [fault for fault in faults_at(run, int(facts[line])) if fault.chunk is not None]
        assert len(on_pieces) == int(facts[count]), (line, count)


@pytest.mark.parametrize("name", ["story", "story-static", "fork_cow", "library"])
def test_what_happens_in_a_call_has_the_calls_place(
    name: str, sample: Callable[[str], str], recorded: Record
) -> None:  # fmt: skip
    run = recorded(sample(name), options=("-q",))
    events = list(run.trace.events())
    sites = {event.n: event.site for event in events if isinstance(event, Call)}
    caused = [event for event in events if isinstance(event, Syscall | Fault) and event.cause is not None]
    assert caused
    assert all(event.site == sites[event.cause] for event in caused)


def test_faults_inside_read_are_the_kernels(sample: Callable[[str], str], recorded: Record) -> None:
    run = recorded(sample("read_fresh"), options=("-q",))
    if run.trace.meta.how["faults in kernel mode"] != "exact":
        pytest.skip("kernel-mode faults are not visible to this user")
    by_kernel = [fault for fault in run.faults if fault.toucher == "kernel" and fault.chunk is not None]
    assert len(by_kernel) == int(run.facts["faults_kernel"])
    assert {fault.ring for fault in by_kernel} == {0}


@needs_fault_events
def test_copy_on_write_faults_belong_to_the_process_that_wrote(sample: Callable[[str], str], recorded: Record) -> None:
    run = recorded(sample("fork_cow"), options=("-q",))
    root = run.processes[0].pid
    child = next(process.child for process in run.processes if process.what == "fork")
    written = [
        fault for fault in run.faults if fault.chunk is not None and fault.site and fault.site.module == "fork_cow"
    ]
    by_child = [fault for fault in written if fault.pid == child]
    assert len(by_child) == int(run.facts["faults_child_write"]) + int(run.facts["faults_child_read"])
    forked = next(process.n for process in run.processes if process.what == "fork")
    by_parent = [fault for fault in written if fault.pid == root and fault.n > forked]
    assert len(by_parent) == int(run.facts["faults_parent_write"])


@pytest.mark.parametrize("name", ["brk_growth", "trim", "small_blocks"])
def test_break_movements_equal_what_the_sample_says(name: str, sample: Callable[[str], str], recorded: Record) -> None:
    run = recorded(sample(name), options=("-q",))
    first = min(call.n for call in own_calls(run, name))
    breaks = [(call.result or 0, call.cause) for call in run.syscalls if call.name == "brk"]
    moves = [(after - before, cause) for (before, _), (after, cause) in pairwise(breaks)]
    growing = {cause for moved, cause in moves if moved > 0 and cause is not None and cause >= first}
    shrinking = {cause for moved, cause in moves if moved < 0}
    stated = int(run.facts.get("brk_growths", 0)) + int(run.facts.get("brk_growths_second", 0))
    assert len(growing) == stated
    assert len(shrinking) == int(run.facts.get("brk_shrinks", 0))
    assert None not in shrinking


def test_a_crash_is_told_with_its_address_and_line(sample: Callable[[str], str], recorded: Record) -> None:
    run = recorded(sample("crash"), options=("-q",))
    assert run.status == -11
    fatal = [signal for signal in run.signals if signal.fatal]
    assert [signal.signal for signal in fatal] == ["SIGSEGV"]
    assert fatal[0].code == int(run.facts["si_code"])
    assert fatal[0].address == int(run.facts["fault_address"], 0)
    assert fatal[0].site is not None
    assert fatal[0].site.line == int(run.facts["line_crash"])
    assert fatal[0].instruction


def test_a_call_that_never_returns_is_still_an_event(sample: Callable[[str], str], recorded: Record) -> None:
    run = recorded(sample("longjmp"), options=("-q",))
    unreturned = [call for call in run.calls if call.end_ns is None]
    assert len(unreturned) == int(run.facts["calls_never_returned"])
    assert all(call.result is None for call in unreturned)


def test_threads_allocate_outside_the_heap(sample: Callable[[str], str], recorded: Record) -> None:
    run = recorded(sample("threads"), options=("-q",))
    root = run.processes[0].pid
    by_threads = [call for call in own_calls(run, "threads") if call.tid != root and call.op == "malloc"]
    outside = [call for call in by_threads if not (call.where or "").startswith("heap")]
    assert len(outside) == int(run.facts["blocks_outside_heap"])


def test_exec_is_followed_into_every_child(sample: Callable[[str], str], recorded: Record) -> None:
    run = recorded(sample("exec_self"), options=("-q",))
    kinds = Counter(process.what for process in run.processes)
    assert kinds["vfork"] == int(run.facts["vforks"]) + int(run.facts["spawns"])
    assert kinds["fork"] == int(run.facts["forks"])
    assert kinds["exec"] == int(run.facts["execs"])
