"""The samples about the way into the kernel, as they tell it and as strace, objdump and the loader see it."""

from __future__ import annotations

import itertools
import os
import subprocess
from collections import Counter
from collections.abc import Callable
from math import ceil
from pathlib import Path
from shutil import which

import pytest

from tests.conftest import ROOT, needs
from tests.witness.straced import Asked, Straced, strace_run
from tests.witness.told import told_by

Sample = Callable[[str], str]

on_x86_64 = pytest.mark.skipif(os.uname().machine != "x86_64", reason="the instructions are those of x86-64")

EBADF, EFAULT = "9", "14"
READABLE_CLOCKS = {"tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter"}
"""Clocks that the vDSO can read in user mode."""


def facts_named(facts: dict[str, str], *names: str) -> list[int]:
    return [int(facts[name]) for name in names]


# ---- gates ----


@on_x86_64
@needs("strace")
def test_strace_sees_int_0x80_as_calls_of_a_32_bit_program(sample: Sample) -> None:
    seen = strace_run([sample("gates")])
    through = [call for call in seen.calls if call.bits == 32]
    if seen.facts["int80_works"] == "0":
        assert (through, [each.name for each in seen.signals]) == ([], ["SIGSEGV"])
        return
    assert [call.name for call in through] == ["getpid", "brk", "mmap2", "munmap"]
    assert len(through) == int(seen.facts["gate_int80"])
    assert through[0].result in [call.result for call in seen.calls if call.name == "getpid" and call.bits == 64]
    assert not seen.signals


@on_x86_64
@needs("strace")
def test_strace_finds_the_same_numbers_in_the_table_of_x86_64(sample: Sample) -> None:
    seen = strace_run([sample("gates")])
    start = next(at for at, call in enumerate(seen.calls) if call.name == "writev") - 1
    by_syscall = seen.calls[start : start + int(seen.facts["gate_syscall"])]
    assert [(call.name, call.error) for call in by_syscall] == [
        ("getpid", ""), ("writev", "EBADF"), ("recvfrom", "EBADF"), ("lgetxattr", "EFAULT"),
    ]  # fmt: skip
    assert {call.bits for call in by_syscall} == {64}
    assert [seen.facts[f"syscall_{number}_errno"] for number in (20, 45, 192)] == [EBADF, EBADF, EFAULT]


@on_x86_64
@needs("objdump")
@pytest.mark.parametrize(("instruction", "fact"), [("syscall", "gate_syscall"), ("int    $0x80", "gate_int80")])
def test_each_gate_is_an_instruction_on_the_line_that_is_told(instruction: str, fact: str, sample: Sample) -> None:
    facts = told_by([sample("gates")])
    if facts["int80_works"] == "0":
        pytest.skip("this kernel has no table of i386 system calls")
    program = sample("gates")
    listing = subprocess.run(
        ["objdump", "-d", "-l", "--no-show-raw-insn", program], capture_output=True, text=True, check=True
    ).stdout  # fmt: skip
    line, found = 0, []
    for row in listing.splitlines():
        if "/gates.c:" in row:
            line = int(row.partition("/gates.c:")[2].split()[0])
        elif row.rpartition("\t")[2].strip() == instruction:
            found.append(line)
    prefix = "line_syscall_" if fact == "gate_syscall" else "line_int80_"
    told = [int(value) for name, value in facts.items() if name.startswith(prefix) and not name.endswith("_write")]
    assert sorted(found) == sorted(told)
    assert len(found) == int(facts[fact])


@on_x86_64
def test_all_gates_lead_to_the_same_kernel(sample: Sample) -> None:
    facts = told_by([sample("gates")])
    assert facts["pid_syscall"] == "1"
    if facts["int80_works"] == "1":
        answers = facts_named(facts, "pid_int80", "int80_brk", "int80_page_low", "int80_page_touched", "int80_munmap")
        assert answers == [1, 1, 1, 1, 1]


@on_x86_64
@needs("strace")
def test_a_32_bit_program_has_two_gates(variant: Sample) -> None:
    program = variant("gates-i386-static")
    seen = strace_run([program])
    facts = seen.facts
    assert {call.bits for call in seen.calls[1:]} == {32}
    own = [call.name for call in seen.between("getpid", "brk")]
    # The library asks for both, too, before; where the break is it may know.
    assert own[0] == "getpid"
    assert own[-4:] == ["getpid", "brk", "getpid", "brk"]
    assert len(own) in (5, 6)
    assert (facts["gate_int80"], facts["gate_vdso"], facts["cs"]) == ("2", "2", "35")
    assert facts_named(facts, "pid_int80", "int80_brk", "pid_vdso", "vdso_brk") == [1, 1, 1, 1]
    vendor = Path("/proc/cpuinfo").read_text()
    if "GenuineIntel" in vendor:
        assert facts_named(facts, "vdso_has_sysenter", "vdso_has_syscall", "vdso_has_int80") == [1, 0, 1]
    elif "AuthenticAMD" in vendor:
        assert facts_named(facts, "vdso_has_sysenter", "vdso_has_syscall", "vdso_has_int80") == [0, 1, 1]


# ---- vdso_time ----


@needs("strace")
@pytest.mark.parametrize("name", ["vdso_time", "vdso_time-musl", "vdso_time-i386-static"])
def test_strace_sees_only_the_questions_that_are_system_calls(name: str, sample: Sample, variant: Sample) -> None:
    clock = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource").read_text().strip()
    if clock not in READABLE_CLOCKS:
        pytest.skip(f"the clock {clock} cannot be read in user mode")
    if name != "vdso_time" and os.uname().machine != "x86_64":
        pytest.skip("the variants are for x86-64")
    seen = strace_run([sample(name) if name == "vdso_time" else variant(name)])
    times = [call.name for call in seen.calls if "time" in call.name and call.name != "times"]
    assert times == ["clock_gettime"] * 10
    assert facts_named(seen.facts, "vdso_calls", "real_calls", "failed", "went_back") == [1000, 10, 0, 0]
    assert facts_named(seen.facts, "clock_gettime_calls", "gettimeofday_calls", "time_calls") == [400, 350, 250]


def test_the_loader_is_given_the_vdso_that_the_sample_has_found(sample: Sample) -> None:
    done = subprocess.run(
        [sample("vdso_time")], capture_output=True, text=True, check=True, env={**os.environ, "LD_SHOW_AUXV": "1"}
    )  # fmt: skip
    assert ("AT_SYSINFO_EHDR" in done.stdout) == ("fact has_vdso 1" in done.stdout)


# ---- files, loopback ----

FILES: list[tuple[set[str], str]] = [
    ({"mkdir", "mkdirat"}, ""),
    ({"open", "openat"}, ""),
    ({"write"}, "bytes_written"),
    ({"lseek", "_llseek"}, "position"),
    ({"read"}, "bytes_read"),
    ({"read"}, "bytes_at_end"),
    ({"fstat", "newfstatat", "statx", "fstat64"}, ""),
    ({"close"}, ""),
    ({"rename", "renameat", "renameat2"}, ""),
    ({"open", "openat"}, "ENOENT"),
    ({"open", "openat"}, ""),
    ({"read"}, "bytes_read_again"),
    ({"close"}, ""),
    ({"unlink", "unlinkat"}, ""),
    ({"stat", "newfstatat", "statx", "stat64"}, "ENOENT"),
    ({"rmdir", "unlinkat"}, ""),
]
"""The calls of files.c: what each may be called, and the fact that its result equals, or its error."""

LOOPBACK: list[tuple[set[str], str]] = [
    ({"socket"}, ""),
    ({"bind"}, ""),
    ({"listen"}, ""),
    ({"getsockname"}, ""),
    ({"socket"}, ""),
    ({"connect"}, ""),
    ({"accept", "accept4"}, ""),
    ({"sendto", "send"}, "bytes_sent"),
    ({"recvfrom", "recv"}, "bytes_arrived"),
    ({"sendto", "send"}, "bytes_returned"),
    ({"recvfrom", "recv"}, "bytes_echoed"),
    ({"shutdown"}, ""),
    ({"recvfrom", "recv"}, "at_end"),
    ({"close"}, ""),
    ({"close"}, ""),
    ({"close"}, ""),
]


def assert_calls(own: list[Asked], facts: dict[str, str], wanted: list[tuple[set[str], str]]) -> None:
    assert len(own) == len(wanted) == int(facts["system_calls"])
    for call, (names, told) in zip(own, wanted, strict=True):
        assert call.name in names
        if told.startswith("E"):
            assert (call.error, call.result) == (told, -1)
        else:
            assert call.error == ""
        # _llseek puts its answer in memory.
        if told in facts and call.name != "_llseek":
            assert call.result == int(facts[told])


@needs("strace")
@pytest.mark.parametrize("name", ["files", "files-musl", "files-i386-static"])
def test_each_line_of_files_is_one_system_call(name: str, sample: Sample, variant: Sample, tmp_path: Path) -> None:
    if name != "files" and os.uname().machine != "x86_64":
        pytest.skip("the variants are for x86-64")
    program = sample(name) if name == "files" else variant(name)
    seen = strace_run([program], environment={"TMPDIR": str(tmp_path)})
    last = "rmdir" if seen.named("rmdir") else "unlinkat"
    assert_calls(seen.between("mkdir", last), seen.facts, FILES)
    assert facts_named(seen.facts, "bytes_written", "bytes_read", "size", "gone") == [10007, 10007, 10007, 1]
    assert int(seen.facts["sum"]) == sum(ord("a") + i % 26 for i in range(10007))
    assert list(tmp_path.iterdir()) == []


@needs("strace")
@pytest.mark.parametrize("name", ["loopback", "loopback-musl", "loopback-i386-static"])
def test_each_line_of_loopback_is_one_system_call(name: str, sample: Sample, variant: Sample) -> None:
    if name != "loopback" and os.uname().machine != "x86_64":
        pytest.skip("the variants are for x86-64")
    seen = strace_run([sample(name) if name == "loopback" else variant(name)])
    assert_calls(seen.between("socket", "close"), seen.facts, LOOPBACK)
    told = facts_named(
        seen.facts, "port_chosen", "bytes_sent", "bytes_arrived", "bytes_returned", "bytes_echoed", "at_end"
    )
    assert told == [1, 1009, 1009, 1009, 1009, 0]
    assert int(seen.facts["sum"]) == sum(ord("a") + i % 26 for i in range(1009))


@pytest.mark.parametrize("name", ["files", "loopback", "library"])
def test_each_line_that_is_told_is_the_line_of_that_call(name: str, sample: Sample, tmp_path: Path) -> None:
    facts = told_by([sample(name)], environment={"TMPDIR": str(tmp_path)})
    source = (ROOT / "c_samples" / f"{name}.c").read_text().splitlines()
    told = {
        fact.removeprefix("line_"): source[int(line) - 1] for fact, line in facts.items() if fact.startswith("line_")
    }
    assert len(told) == {"files": 16, "loopback": 16, "library": 32}[name]
    for call, text in told.items():
        words = call.split("_")
        assert any("_".join(words[:length]) + "(" in text for length in range(1, len(words) + 1)), call


# ---- buffering ----


def writes_to_files(seen: Straced) -> list[list[int]]:
    """Return how many bytes each write took, file by file in the order they were opened."""
    found: list[list[int]] = []
    for call in seen.calls:
        if call.name in ("open", "openat") and "/buffering-sample-" in call.arguments:
            found.append([])
        elif call.name in ("write", "writev") and found and not call.arguments.startswith("1,"):
            found[-1].append(call.result or 0)
    return found


def pieces(largest: int) -> list[int]:
    """Return 10000 bytes in pieces of the largest size, and the rest."""
    return [largest] * (10_000 // largest) + ([10_000 % largest] if 10_000 % largest else [])


@needs("strace")
@pytest.mark.parametrize("way", ["full", "line", "none"])
def test_setvbuf_decides_how_often_the_kernel_is_asked(way: str, sample: Sample, tmp_path: Path) -> None:
    seen = strace_run([sample("buffering"), way], environment={"TMPDIR": str(tmp_path)})
    block = os.stat(tmp_path).st_blksize
    wanted = {"full": pieces(block), "line": pieces(100), "none": pieces(1)}[way]
    assert writes_to_files(seen) == [wanted]
    assert len(wanted) == {"full": ceil(10_000 / block), "line": 100, "none": 10_000}[way]
    before = int(seen.facts[f"bytes_before_close_{way}"])
    assert before == (10_000 - 10_000 % block if way == "full" else 10_000)
    assert facts_named(seen.facts, f"bytes_after_close_{way}", "putc_calls", "newlines", "ways") == [
        10_000,
        10_000,
        100,
        1,
    ]
    assert list(tmp_path.iterdir()) == []


@needs("strace")
def test_without_an_argument_buffering_goes_all_three_ways(sample: Sample, tmp_path: Path) -> None:
    seen = strace_run([sample("buffering")], environment={"TMPDIR": str(tmp_path)})
    block = int(seen.facts["block_bytes"])
    assert block == os.stat(tmp_path).st_blksize
    assert [len(sizes) for sizes in writes_to_files(seen)] == [ceil(10_000 / block), 100, 10_000]
    assert seen.facts["ways"] == "3"


@on_x86_64
@needs("strace")
def test_musl_has_a_smaller_buffer_and_another_system_call(variant: Sample) -> None:
    seen = strace_run([variant("buffering-musl")])
    # The character that finds the buffer full leaves together with it.
    assert writes_to_files(seen) == [pieces(1024 + 1), pieces(100), pieces(1)]
    assert {
        call.name for call in seen.calls if call.name.startswith("write") and not call.arguments.startswith("1,")
    } == {"writev"}


def test_an_unknown_way_of_buffering_ends_with_status_2(sample: Sample) -> None:
    assert subprocess.run([sample("buffering"), "half"], capture_output=True, check=False).returncode == 2


# ---- library ----


@on_x86_64
@pytest.mark.parametrize("ending", ["-static", "-musl", "-i386-static", "-arm64"])
def test_the_library_sample_does_the_same_with_every_library(ending: str, sample: Sample, variant: Sample) -> None:
    emulator = ["qemu-aarch64"] if ending == "-arm64" else []
    if emulator and which("qemu-aarch64") is None:
        pytest.skip("qemu-aarch64 is not installed")
    facts = told_by([sample("library")])
    assert facts_named(facts, "characters", "entries") == [len("one line, number 1\nand one more\n"), 3]
    assert told_by([*emulator, variant(f"library{ending}")]) == facts


@on_x86_64
@needs("strace")
def test_the_same_source_asks_the_kernel_differently(sample: Sample, variant: Sample, tmp_path: Path) -> None:
    programs = {
        "glibc": sample("library"),
        "musl": variant("library-musl"),
        "i386": variant("library-i386-static"),
    }
    asked = {
        name: Counter(call.name for call in strace_run([program], environment={"TMPDIR": str(tmp_path)}).between("mkdir", "rmdir"))
        for name, program in programs.items()
    }  # fmt: skip
    assert (asked["glibc"]["openat"], asked["glibc"]["open"]) == (3, 0)
    assert (asked["musl"]["openat"], asked["musl"]["open"]) == (0, 3)
    assert (asked["glibc"]["write"], asked["glibc"]["writev"]) == (2, 0)
    assert (asked["musl"]["write"], asked["musl"]["writev"]) == (0, 2)
    assert asked["i386"]["mmap2"] > 0
    assert asked["i386"]["mmap"] == asked["glibc"]["mmap2"] == asked["musl"]["mmap2"] == 0
    assert asked["i386"] != asked["glibc"] != asked["musl"]
    for name in programs:
        assert [asked[name][call] for call in ("mkdir", "socket", "bind", "unlink", "rmdir")] == [1, 1, 1, 1, 1], name
    assert list(tmp_path.iterdir()) == []


# ---- crossing ----

COSTS = ("function", "clock_vdso", "clock_syscall", "getpid", "brk", "first_touch", "second_touch")


def test_a_crossing_costs_more_than_a_call_and_a_first_touch_more_than_a_second(sample: Sample) -> None:
    facts = told_by([sample("crossing")])
    for name in COSTS:
        low, middle, high = facts_named(facts, *(f"{name}_ps_{part}" for part in ("p25", "p50", "p75")))
        assert 0 < low <= middle <= high, name
    cost = {name: int(facts[f"{name}_ps_p50"]) for name in COSTS}
    assert cost["function"] < min(cost["getpid"], cost["clock_syscall"], cost["brk"])
    assert cost["second_touch"] < cost["first_touch"]


def test_each_first_touch_is_a_fault_and_no_second_one(sample: Sample) -> None:
    facts = told_by([sample("crossing")])
    pages = int(facts["batches"]) * int(facts["first_touch_repetitions"])
    assert facts_named(facts, "faults_first_touch", "faults_second_touch") == [pages, 0]


@needs("strace")
def test_strace_counts_the_crossings_that_are_timed(sample: Sample) -> None:
    seen = strace_run([sample("crossing")], options=("-f", "--seccomp-bpf", "-e", "trace=getpid"))
    wanted = (int(seen.facts["batches"]) + 1) * int(seen.facts["getpid_repetitions"])
    assert len(seen.named("getpid")) == wanted == 30_200


def test_the_table_of_crossings_ranks_seven_operations_in_each_run() -> None:
    done = subprocess.run([str(ROOT / "scripts" / "crossing"), "2"], capture_output=True, text=True, check=True)
    rows = [row.split("   ")[-1].split() for row in done.stdout.splitlines()[1:8]]
    for run in (0, 1):
        ranks = sorted(int(row[run]) for row in rows)
        assert ranks[0] == 1
        # A rank is shared, or it is the number of those before it and one.
        assert all(rank in (place, ranks[place - 2]) for place, rank in enumerate(ranks, start=1))
    ways = {
        ((int(a[0]) > int(b[0])) - (int(a[0]) < int(b[0])), (int(a[1]) > int(b[1])) - (int(a[1]) < int(b[1])))
        for a, b in itertools.combinations(rows, 2)
    }
    same = not ways & {(1, -1), (-1, 1)}
    assert done.stdout.splitlines()[8] == f"runs: 2; the order was {'' if same else 'not '}the same in all of them"
