"""What the kernel did, beside what pagemap, the kernel's own counters and the program say of the same pages."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest

from observer.instruments.bcc import why_not
from observer.model.events import Event, Fault, KernelWork, Syscall
from tests.conftest import needs_bcc, needs_kernel_side
from tests.recordings import OBSERVER, Recorded, environment_of_commands, run_observer
from tests.witness.programs import SAMPLES

ASKED = ("-q", "-e", "kernel")
ALL = ("-q", "-e", "trace=all,kernel")
PAGE = 4096


def works(events: Iterator[Event] | list[Event]) -> list[KernelWork]:
    return [event.kernel for event in events if isinstance(event, Fault | Syscall) and event.kernel is not None]


@needs_kernel_side
@pytest.mark.parametrize("name", SAMPLES)
def test_every_fault_of_a_sample_is_seen_handled(
    name: str, sample: Callable[[str], str], recorded: Callable[..., Recorded]
) -> None:
    run = recorded(sample(name), options=ASKED)
    run.assert_balanced()
    joined = [fault for fault in run.faults if fault.kernel is not None]
    assert len(joined) >= 0.99 * len(run.faults) > 0
    for line in run.trace.meta.ledger:
        if line.identity.startswith("page faults seen handled"):
            assert (line.seen, line.expected) == (len(joined), len(run.faults))


@needs_kernel_side
def test_every_first_touch_has_a_zeroed_frame_of_its_own(
    sample: Callable[[str], str], recorded: Callable[..., Recorded]
) -> None:
    run = recorded(sample("first_touch"), options=ASKED)
    line = int(run.facts["line_touch"])
    touched = [fault for fault in run.faults if fault.site is not None and fault.site.line == line]
    assert len(touched) == int(run.facts["faults_program"])
    done = works(list(touched))
    assert len(done) >= 0.99 * len(touched)
    if run.trace.meta.machine.thp != "always":
        assert {(work.pages, work.order, work.zeroed) for work in done} == {(1, 0, True)}
        # A frame that is in use is not given to anybody else.
        assert len({work.frame for work in done}) == len(done)


@needs_kernel_side
def test_the_frame_that_was_given_is_the_frame_that_is_there(
    sample: Callable[[str], str], recorded: Callable[..., Recorded]
) -> None:
    """Of each page the last fault that allocated: later ones are copies on write, which allocate another."""
    run = recorded(sample("story"), options=ASKED)
    if not run.trace.meta.how["fault.frame"].startswith("exact"):
        pytest.skip("frame numbers are not visible to this user")
    last = {fault.address // PAGE: fault for fault in run.faults if fault.kernel is not None and fault.kernel.pages}
    both = [fault for fault in last.values() if fault.frame is not None]
    same = [fault for fault in both if fault.kernel is not None and fault.kernel.frame == fault.frame]
    assert len(both) > 100
    assert len(same) >= 0.99 * len(both)


@needs_kernel_side
def test_times_are_in_order_and_within_the_run(sample: Callable[[str], str], recorded: Callable[..., Recorded]) -> None:
    """A thread handles one fault at a time, and faults within the system call that it is in."""
    run = recorded(sample("first_touch"), options=ASKED)
    spans = sorted(
        (fault.t_ns - fault.kernel.ns, fault.t_ns) for fault in run.faults if fault.kernel is not None
    )  # fmt: skip
    assert all(began < ended for began, ended in spans)
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(spans))
    assert sum(ended - began for began, ended in spans) < run.trace.meta.outcome.seconds * 1e9
    calls = [call for call in run.syscalls if call.kernel is not None and call.end_ns is not None]
    assert len(calls) > 10
    for call in calls:
        assert call.kernel is not None
        assert call.end_ns is not None
        assert 0 < call.kernel.ns < call.end_ns - call.t_ns


@needs_kernel_side
def test_faults_take_no_longer_than_the_program_had_the_processor(
    tmp_path: Path, recorded: Callable[..., Recorded]
) -> None:
    """By the kernel's own account of its time; a fault during which others had the processor is left out."""
    program = tmp_path / "touch"
    source = (
        "#include <stdio.h>\n#include <sys/mman.h>\n#include <time.h>\n"
        "int main(void) {\n"
        "  struct timespec began, ended;\n"
        "  char *piece = mmap(0, 20011 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);\n"
        "  madvise(piece, 20011 * 4096, MADV_NOHUGEPAGE);\n"
        "  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &began);\n"
        "  for (int i = 0; i < 20011; i++) piece[i * 4096] = 1;\n"
        "  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ended);\n"
        '  printf("fact ns %lld\\n", (ended.tv_sec - began.tv_sec) * 1000000000LL + ended.tv_nsec - began.tv_nsec);\n'
        "  return 0; }\n"
    )
    subprocess.run(["gcc", "-x", "c", "-o", program, "-"], input=source, text=True, check=True)
    run = recorded(str(program), options=ASKED)
    run.assert_balanced()
    touched = works([fault for fault in run.faults if fault.toucher == "program" and fault.access == "write"])
    zeroed = [work.ns for work in touched if work.zeroed]
    assert len(zeroed) >= 0.99 * 20011
    usual = sorted(zeroed)[len(zeroed) // 2]
    assert 0 < sum(ns for ns in zeroed if ns < 10 * usual) < int(run.facts["ns"])


@needs_kernel_side
def test_memory_is_asked_for_without_frames_and_populated_with(
    tmp_path: Path, recorded: Callable[..., Recorded]
) -> None:
    """Step 3 gives addresses: frames come in step 6, unless MAP_POPULATE asks for them at once."""
    program = tmp_path / "populate"
    source = (
        "#include <sys/mman.h>\n"
        "int main(void) {\n"
        "  mmap(0, 311 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);\n"
        "  mmap(0, 317 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);\n"
        "  return 0; }\n"
    )
    subprocess.run(["gcc", "-x", "c", "-o", program, "-"], input=source, text=True, check=True)
    run = recorded(str(program), options=ASKED)
    plain, populated = (
        call.kernel for length in (311, 317) for call in run.syscalls
        if call.name == "mmap" and call.args[1] == length * PAGE
    )  # fmt: skip
    assert plain is not None
    assert populated is not None
    assert (plain.pages, populated.pages) == (0, 317)
    assert populated.ns > plain.ns


@needs_kernel_side
def test_a_fork_copies_tables_and_each_writer_gets_its_copy(
    sample: Callable[[str], str], recorded: Callable[..., Recorded]
) -> None:
    run = recorded(sample("fork_cow"), options=ALL)
    run.assert_balanced()
    (fork,) = (call.kernel for call in run.syscalls if call.name in ("clone", "fork", "clone3"))
    assert fork is not None
    assert fork.others > 1
    line = int(run.facts["line_child_write"])
    written = [fault for fault in run.faults if fault.site is not None and fault.site.line == line]
    assert len(written) == int(run.facts["faults_child_write"]) > 7
    copies = works(list(written))
    assert len(copies) >= 0.99 * len(written)
    if run.trace.meta.machine.thp != "always":
        # Filled from the parent's page, not with zeroes.
        assert {(copy.pages, copy.order, copy.zeroed) for copy in copies} == {(1, 0, False)}


@needs_kernel_side
def test_exports_have_the_kernels_side(sample: Callable[[str], str], recorded: Callable[..., Recorded]) -> None:
    run = recorded(sample("first_touch"), options=ASKED)

    def observer(*words: str) -> str:
        done = subprocess.run(
            [*OBSERVER, *words], capture_output=True, text=True, check=True,
            env={**environment_of_commands(), "COLUMNS": "80", "NO_COLOR": "1"},
        )  # fmt: skip
        return done.stdout

    lines = [json.loads(line) for line in observer("export", str(run.directory), "--to", "jsonl").splitlines()]
    exported = [line["kernel"] for line in lines if line["kind"] == "fault" and line["kernel"]]
    expected = [fault.kernel for fault in run.faults if fault.kernel is not None]
    assert [work["ns"] for work in exported] == [work.ns for work in expected]
    assert [work["frame"] for work in exported] == [hex(work.frame) if work.frame else None for work in expected]
    counted = observer("query", str(run.directory), "select sum(kernel.pages)::bigint as pages from faults", "--json")
    assert json.loads(counted) == {"pages": sum(work.pages for work in expected)}
    story = observer("show", str(run.directory), "--full")
    assert max(map(len, story.splitlines())) <= 80
    assert "kernel: 263 pages" in story or "kernel: 262 pages" in story


@needs_bcc
@needs_kernel_side
@pytest.mark.parametrize("name", ["first_touch", "fork_cow", "threads", "exec_self"])
def test_bcc_tells_of_the_same_frames(
    name: str, sample: Callable[[str], str], recorded: Callable[..., Recorded]
) -> None:
    run = recorded(sample(name), options=("-q", "-e", "bcc"))
    assert run.status == 0, run.stderr
    run.assert_balanced()
    lines = {line.identity: line for line in run.trace.meta.ledger}
    line = lines["page frames that bcc tells of = perf does"]
    assert (line.verdict in ("COMPLETE", "COMPLETE WITH EXCLUSIONS"), line.unexplained) == (True, 0)
    assert line.seen is not None
    assert line.seen >= sum(work.pages for work in works(run.events)) > 0
    timed = [fault.kernel for fault in run.faults if fault.kernel is not None and fault.kernel.handling_ns is not None]
    if not any("handle_mm_fault is not timed" in note for note in run.trace.meta.notes):
        assert len(timed) >= 0.99 * len(run.faults)
        assert all(work.handling_ns is not None and work.handling_ns > 0 for work in timed)
        # The probe at the return comes behind the fault's sample, and takes as long as all the rest in QEMU's emulation.
        is_emulated = "QEMU TCG CPU" in Path("/proc/cpuinfo").read_text()
        assert is_emulated or all((work.handling_ns or 0) <= work.ns + 10_000 for work in timed)
        assert median(work.handling_ns or 0 for work in timed) < 2 * median(work.ns for work in timed)


def test_a_run_goes_on_where_bcc_finds_no_headers(
    sample: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BCC_KERNEL_SOURCE", "/nonexistent")
    refused = why_not()
    if refused is not None:
        pytest.skip(str(refused))
    run = run_observer([sample("first_touch")], tmp_path / "trace", options=("-q", "-e", "bcc"))
    assert run.status == 0, run.stderr
    run.assert_balanced()
    (note,) = (line.note for line in run.trace.meta.ledger if line.identity.startswith("page frames that bcc tells of"))
    assert note.startswith("cannot ask bcc: Unable to find kernel headers;")
