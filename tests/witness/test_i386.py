"""32-bit programs: their system calls beside strace's, their allocator calls and page faults beside what they say."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import FAULT_EVENTS_REFUSED, needs
from tests.live.programs import compile_c
from tests.recordings import OBSERVER, Recorded, environment_of_commands, run_observer
from tests.witness.test_facts import faults_at, own_calls
from tests.witness.test_faults import assert_equal_to_rusage
from tests.witness.test_portal import assert_equal_to_strace

pytestmark = pytest.mark.skipif(os.uname().machine != "x86_64", reason="i386 programs run on x86-64")

Sample = Callable[[str], str]
Record = Callable[..., Recorded]
ENDINGS = ["-i386", "-i386-static"]
STATING = ["library", "story", "reuse", "family", "fork_cow", "small_blocks", "threads", "crash"]
FAULTS_OF_LINES = {"story": {"faults_blocks": "line_blocks_write", "faults_large": "line_large_write"}}


DYNAMIC = ["gates", "library", "story", "family", "fork_cow", "exec_self", "small_blocks"]
STATIC = ["gates", "library", "exec_self"]


@needs("strace")
@pytest.mark.parametrize(
    ("name", "ending"), [(name, "-i386") for name in DYNAMIC] + [(name, "-i386-static") for name in STATIC]
)
def test_all_calls_equal_straces(name: str, ending: str, variant: Sample, tmp_path: Path) -> None:
    recorded = assert_equal_to_strace([variant(name + ending)], tmp_path, tries=3)
    calls = [call for call in recorded.syscalls if call.pid == recorded.processes[0].pid]
    if name != "exec_self":
        # On AMD's processors the vDSO's door is `syscall`, which the compatibility table answers, too.
        assert {call.gate for call in calls} <= {"int80", "sysenter", "syscall"}
        assert "int80" in {call.gate for call in calls} or ending == "-i386"
        # By the table of x86-64 these would be recvfrom, lgetxattr and writev.
        numbers = {call.number: call.name for call in calls}
        assert {numbers[number] for number in (45, 192, 20) if number in numbers} <= {"brk", "mmap2", "getpid"}
        assert numbers[45] == "brk"


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("name", STATING)
def test_allocator_calls_and_faults_equal_what_the_sample_says(
    name: str, ending: str, variant: Sample, recorded: Record
) -> None:
    run = recorded(variant(name + ending), options=("-q",))
    facts = run.facts
    own = [call for call in own_calls(run, name) if call.origin == "program"]
    assert len(own) == int(facts["calls"])
    seen = Counter(call.op for call in own)
    for key, value in facts.items():
        if key.endswith("_calls") and key.removesuffix("_calls") in seen and "align" not in key:
            assert seen[key.removesuffix("_calls")] == int(value), key
    if "bytes_requested" in facts:
        assert sum(call.bytes_asked for call in own if call.steps is not None) == int(facts["bytes_requested"])
    # Where faults are only counted, the instructions that took them are not known.
    for key, line_fact in () if FAULT_EVENTS_REFUSED else FAULTS_OF_LINES.get(name, {}).items():
        assert len(faults_at(run, int(facts[line_fact]))) == int(facts[key]), key
    run.assert_balanced()
    [line] = [line for line in run.trace.meta.ledger if line.identity.startswith("page faults")]
    assert line.verdict.startswith("COMPLETE")
    assert (line.seen or 0) + sum(part.count for part in line.excluded) == line.expected
    assert all(call.result is None or call.result < 1 << 32 for call in run.calls)
    assert {call.served_by for call in run.calls} <= {None}
    assert run.trace.meta.how["call.served_by"].startswith("not observed")


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_32_bit_crash_is_told_with_its_line(ending: str, variant: Sample, recorded: Record) -> None:
    run = recorded(variant(f"crash{ending}"), options=("-q",))
    [event] = run.signals
    assert run.status == -11
    assert event.site is not None
    assert (event.site.line, event.fatal, event.exception) == (int(run.facts["line_crash"]), True, "#PF")


@pytest.mark.parametrize("ending", ENDINGS)
def test_threads_of_a_32_bit_program_are_all_followed(ending: str, variant: Sample, recorded: Record) -> None:
    run = recorded(variant(f"threads{ending}"), options=("-q",))
    made = [process for process in run.processes if process.what == "clone"]
    assert len(made) == int(run.facts["threads"])
    assert len({call.tid for call in run.calls}) > 1


@pytest.mark.parametrize("ending", ENDINGS)
def test_faults_of_a_32_bit_program_equal_getrusage(ending: str, variant: Sample, tools: Path, tmp_path: Path) -> None:
    assert_equal_to_rusage([variant(f"small_blocks{ending}")], tools, tmp_path)


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_exec_changes_the_table_and_back(ending: str, sample: Sample, variant: Sample, tmp_path: Path) -> None:
    first = tmp_path / "first"
    second = tmp_path / "second"
    source = """
        #include <stdlib.h>
        #include <unistd.h>
        int main(int n, char **v) { free(malloc(NUMBER)); if (n > 1) execv(v[1], v + 1); return 7; }"""
    compile_c(source.replace("NUMBER", "101"), first)
    compiler = ["i686-linux-gnu-gcc", *(["-static"] if ending.endswith("static") else [])]
    variant(f"story{ending}")  # skips where there is no such compiler
    subprocess.run(
        [*compiler, "-O0", "-g", "-fno-builtin", "-x", "c", "-", "-o", str(second)],
        input=source.replace("NUMBER", "103"), text=True, check=True,
    )  # fmt: skip
    words = [str(first), str(second), str(first), sample("story")]
    recorded = run_observer(words, tmp_path / "trace", options=("-q", "-e", "trace=all"))
    recorded.assert_balanced()
    assert recorded.status == 0
    sizes = [call.size for call in recorded.calls if call.op == "malloc" and call.size in (101, 103)]
    assert sizes == [101, 103, 101]
    execs = [call for call in recorded.syscalls if call.name == "execve"]
    assert [call.decoded and call.decoded[0] for call in execs] == [f'"{word}"' for word in words[1:]]
    assert [call.number for call in execs] == [59, 11, 59]
    assert {call.gate for call in execs if call.number == 59} == {"syscall"}
    # In a static program the C library's code is the program's own, and has no lines.
    lines = [call.site.line if call.site is not None else None for call in execs]
    assert lines == [4, None if ending.endswith("static") else 4, 4]
    names = Counter(call.name for call in recorded.syscalls)
    assert names["brk"] > 6
    assert not {"recvfrom", "lgetxattr", "writev"} & set(names)


def test_the_registers_upper_halves_are_no_part_of_an_i386_call(tmp_path: Path) -> None:
    program = compile_c(
        """
        int main(void) {
            static char text[] = "gate\\n";
            long r;
            char *low = (char *)0x10000000;
            __asm__ volatile("" ::: "memory");
            extern void *mmap(void *, unsigned long, int, int, int, long);
            if (mmap(low, 4096, 3, 0x32, -1, 0) != low) return 2;
            for (int i = 0; i < 5; i++) low[i] = text[i];
            __asm__ volatile("int $0x80" : "=a"(r)
                : "0"(0xdead00000004), "b"(0xbeef00000001), "c"((long)low | 0x7654321000000000), "d"(0x1234500000005)
                : "memory", "r8", "r9", "r10", "r11");
            return r != 5;
        }""",
        tmp_path / "program",
    )
    recorded = run_observer([program], tmp_path / "trace", options=("-q", "-e", "trace=all"))
    if recorded.status == -11:
        pytest.skip("this kernel has no table of i386")
    assert recorded.status == 0
    [call] = [call for call in recorded.syscalls if call.gate == "int80"]
    assert (call.name, call.number, call.result) == ("write", 4, 5)
    assert call.args == (1, 0x10000000, 5)
    assert call.decoded == ("1", '"gate\\n"', "5")


@pytest.mark.parametrize("allocator", ["book", "glibc"])
def test_comparing_a_32_bit_program_is_refused_in_words(allocator: str, variant: Sample) -> None:
    done = subprocess.run(
        [*OBSERVER, "compare", "--allocator", allocator, "--", variant("story-i386")],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, env=environment_of_commands(),
    )  # fmt: skip
    assert done.returncode == 2
    assert "64-bit programs" in done.stderr
    assert "Traceback" not in done.stderr
