"""The interpreter of workloads: what it tells, and that it adds nothing of its own to what the kernel and malloc do."""

from __future__ import annotations

import os
import re
import signal
import struct
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from observer.simulator.workload import FORMS
from tests.conftest import needs_fault_events
from tests.recordings import run_observer

PAGE = 4096
HUGE = 2 << 20
WINDOW = 16 * PAGE
"""What one read of a file brings in around it (fault_around_bytes)."""
ACCESS_ERROR = 2
"""SEGV_ACCERR of siginfo_t: the page is there, the access is not allowed."""

CRASHING = {
    "readonly": "map m 28K\ntouch m 0 28K\nreadonly m\nread m 0 28K\ntouch m 5K\nread m\n",
    "noaccess": "map m 28K\ntouch m 0 28K\nnoaccess m\nlock m\nread m 5K\nread m\n",
    "unmapped": "map m 28K\ntouch m 0 28K\nunmap m\nmalloc a 1\ntouch m 5K\nread m\n",
}


class Line(msgspec.Struct, frozen=True):
    """What came of one operation."""

    how: str
    index: int
    line: int
    depth: int
    address: int
    minflt: int
    majflt: int
    error: int


class Run(msgspec.Struct):
    """A finished run: how it ended, its report by line of the workload, what it said besides."""

    status: int
    end: str
    lines: list[Line]
    stderr: str

    def at(self, line: int) -> Line:
        [found] = [row for row in self.lines if row.line == line]
        return found

    def faults(self, *lines: int) -> list[int]:
        return [self.at(line).minflt + self.at(line).majflt for line in lines]


def reported(text: str) -> tuple[str, list[Line]]:
    *rows, end = text.splitlines()
    return end, [
        Line(how, int(i), int(line), int(depth), int(address, 16), int(minor), int(major), int(error))
        for how, i, line, depth, address, minor, major, error in map(str.split, rows)
    ]


Runs = Callable[..., Run]


@pytest.fixture(params=["workload", "workload-static"])
def run(request: pytest.FixtureRequest, sample: Callable[[str], str], tmp_path: Path) -> Runs:
    return lambda text: run_workload(sample(request.param), text, tmp_path)


@pytest.fixture
def run_dynamic(sample: Callable[[str], str], tmp_path: Path) -> Runs:
    return lambda text: run_workload(sample("workload"), text, tmp_path)


def run_workload(program: str, text: str | bytes, folder: Path) -> Run:
    file = folder / "workload"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    done = subprocess.run([program, file.name], capture_output=True, text=True, cwd=folder, timeout=60)
    end, lines = reported(done.stdout) if done.stdout else ("", [])
    return Run(done.returncode, end, lines, done.stderr)


def huge_pages_are_granted() -> bool:
    place = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    return place.exists() and "[never]" not in place.read_text() and os.sysconf("SC_PAGESIZE") == PAGE


# ---- faults -------------------------------------------------------------------------------------------------


def test_each_page_is_one_fault_and_the_second_time_none(run: Runs) -> None:
    done = run("map m 92K\ntouch m 0 92K\ntouch m 0 92K\nread m 0 92K\n")
    assert (done.status, done.end) == (0, "end 4")
    assert done.faults(1, 2, 3, 4) == [0, 23, 0, 0]
    assert done.at(1).address % PAGE == 0 != done.at(1).address
    assert [done.at(line).address for line in (2, 3, 4)] == [0, 0, 0]


def test_what_is_read_first_faults_again_when_written(run: Runs) -> None:
    assert run("map m 92K\nread m 0 92K\ntouch m 0 92K\n").faults(2, 3) == [23, 23]


def test_an_access_reaches_the_pages_of_its_bytes_only(run: Runs) -> None:
    done = run("map m 92K\ntouch m\ntouch m 4095 2\ntouch m 12K 0\ntouch m 0x4fff 0x1001\ntouch m 0 92K\n")
    assert done.faults(2, 3, 4, 5, 6) == [1, 1, 1, 2, 18]


def test_populated_and_locked_memory_faults_no_more(run: Runs) -> None:
    done = run("populate p 92K\ntouch p 0 92K\nmap m 92K\nlock m\ntouch m 0 92K\nunlock m\n")
    assert done.faults(2, 5) == [0, 0]


def test_dropped_pages_fault_again(run: Runs) -> None:
    done = run("map m 92K\ntouch m 0 92K\ndontneed m\ntouch m 0 92K\n")
    assert done.faults(2, 3, 4) == [23, 0, 23]


def test_of_a_piece_from_malloc_whole_pages_are_dropped(run: Runs) -> None:
    done = run(
        "malloc a 100K\ntouch a 0 100K\ndontneed a\ntouch a 0 100K\nmalloc b 100\ndontneed b\nreadonly b\ntouch b\n"
    )
    first = done.at(1).address
    assert done.faults(4) == [(first + (100 << 10)) // PAGE - -(-first // PAGE)]
    assert (done.status, {row.error for row in done.lines}) == (0, {0})


def test_a_file_comes_in_windows_and_is_copied_by_the_page(run: Runs) -> None:
    done = run("file f 1M\nread f 0 1M\ntouch f 0 1M\n")
    start = done.at(1).address
    windows = (start + (1 << 20) - 1) // WINDOW - start // WINDOW + 1
    assert done.faults(2, 3) == [windows, 256]


def test_a_file_of_an_odd_size_is_mapped_whole(run: Runs) -> None:
    done = run("file f 100003\ntouch f 0 100003\nread f 100002\n")
    assert (done.status, done.faults(2, 3)) == (0, [25, 0])


@pytest.mark.skipif(not huge_pages_are_granted(), reason="no huge pages here")
def test_a_huge_page_is_one_fault(run: Runs) -> None:
    done = run("map m 6M\nhugepage m\ntouch m 0 6M\nnohugepage m\ntouch m 0 6M\n")
    start = done.at(1).address
    huge = (start + (6 << 20)) // HUGE - -(-start // HUGE)
    assert done.faults(3, 5) == [huge + (6 << 20) // PAGE - huge * (HUGE // PAGE), 0]


def test_pieces_of_the_stack_follow_each_other_downwards(run: Runs) -> None:
    done = run("stack a 92K\nstack b 5K\ntouch a 0 92K\ntouch b 0 5K\ntouch a 0 92K\n")
    assert done.at(1).address - done.at(2).address == 2 * PAGE
    assert (done.at(1).address + (92 << 10)) % PAGE == 0
    assert done.faults(1, 2, 3, 4, 5) == [0, 0, 23, 2, 0]


# ---- the allocator ------------------------------------------------------------------------------------------


def test_the_first_piece_is_the_first_of_the_heap(run_dynamic: Runs) -> None:
    done = run_dynamic("malloc a 100\nmalloc b 100\nfree a\nmalloc c 100\nmalloc d 1\n")
    first = done.at(1).address
    assert first % PAGE == 0x2A0
    assert [done.at(line).address - first for line in (2, 4, 5)] == [0x70, 0, 0xE0]
    assert done.faults(1, 2, 3, 4) == [1, 0, 0, 0]


def test_nothing_but_the_workload_calls_the_allocator(sample: Callable[[str], str], tmp_path: Path) -> None:
    text = (
        "malloc a 100\ncalloc b 7 1K\nmap m 8K\nmemalign c 64 1000\nfile f 8K\nrealloc a 3M\nfork\nfree a\nmalloc d 17\nexit\n"
        "touch a 0 3M\nstack s 5K\ntouch s\nfree b\n"
    )
    (tmp_path / "w").write_text(text)
    recorded = run_observer([sample("workload"), str(tmp_path / "w")], tmp_path / "trace", options=("-q",))
    recorded.assert_balanced()
    main, child = dict.fromkeys(call.pid for call in recorded.calls)
    assert [call.op for call in recorded.calls if call.pid == main] == [
        "malloc", "calloc", "memalign", "realloc", "free",
    ]  # fmt: skip
    assert [call.op for call in recorded.calls if call.pid == child] == ["free", "malloc"]
    _, lines = reported(recorded.stdout)
    told = {row.line: row.address for row in lines}
    assert [call.result for call in recorded.calls if call.op != "free"] == [told[n] for n in (1, 2, 4, 6, 9)]


def test_an_independent_counter_finds_the_calls_of_the_workload_alone(
    sample: Callable[[str], str], tools: Path, tmp_path: Path
) -> None:
    (tmp_path / "w").write_text("malloc a 100\nmap m 8K\nfile f 8K\nfork\nfree a\nmalloc a 7\nexit\nrealloc a 200K\n")
    (tmp_path / "counts").mkdir()
    environment = {"LD_PRELOAD": str(tools / "counter.so"), "COUNTER_DIRECTORY": str(tmp_path / "counts")}
    subprocess.run([sample("workload"), tmp_path / "w"], env=environment, stdout=subprocess.DEVNULL, check=True)
    counted = [struct.unpack_from("12Q", file.read_bytes()) for file in (tmp_path / "counts").iterdir()]
    assert sorted((sum(row), *row[:4]) for row in counted) == [(2, 1, 0, 0, 1), (2, 1, 0, 1, 0)]


@needs_fault_events
def test_from_mark_to_mark_only_the_workload_asks_the_kernel(sample: Callable[[str], str], tmp_path: Path) -> None:
    (tmp_path / "w").write_text("malloc a 100\nmap m 8K\ntouch m 0 8K\nhugepage m\nreadonly m\nfree a\nunmap m\n")
    recorded = run_observer([sample("workload"), str(tmp_path / "w")], tmp_path / "trace", options=("-q",))
    begin, end = (call.n for call in recorded.syscalls if call.name == "madvise" and call.args[:3] == (0, 0, 0))
    asked = [call.name for call in recorded.syscalls if begin < call.n < end]
    assert asked == ["brk", "brk", "mmap", "madvise", "mprotect", "munmap"]
    faults = [fault for fault in recorded.faults if begin < fault.n < end]
    assert Counter(fault.site.function for fault in faults if fault.toucher == "program") == {"write_pages": 2}
    assert [fault.toucher for fault in faults] == ["allocator", "program", "program"]


def test_a_piece_that_is_not_granted_is_told_and_nothing_dies_of_it(run: Runs) -> None:
    done = run(
        "malloc a 4000000G\nfree a\nmalloc a 4000000G\ndontneed a\nrealloc a 10\nrealloc a 4000000G\ntouch a 9\nfree a\n"
    )
    assert (done.status, done.end) == (0, "end 8")
    assert [(row.address != 0, row.error) for row in done.lines] == [
        (False, 12), (False, 0), (False, 12), (False, 0), (True, 0), (False, 12), (False, 0), (False, 0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("malloc a 4000000G\n\ntouch a 5\nmalloc b 1\n", 3),
        ("map m 4000000G\nread m\n", 2),
        ("malloc a 10\nrealloc a 4000000G\ntouch a 10\n", 3),
        ("malloc a 4000000G\nfork\nfork\nread a\nexit\nmalloc b 1\n", 4),
    ],
)
def test_an_access_to_a_piece_not_granted_ends_the_run(run: Runs, text: str, line: int) -> None:
    done = run(text)
    assert done.status == 2
    assert (
        done.stderr
        == f"workload: workload: line {line}: an access to a piece that was not granted; memory enough for it\n"
    )
    assert done.end == f"stopped {len(done.lines)}"
    assert max(row.line for row in done.lines) < line


def test_what_the_kernel_refuses_is_told(run: Runs) -> None:
    done = run("map m 0\nstack s 4M\nreadonly s\ndontneed s\nunmap m\nfork\n")
    assert [(row.line, row.error) for row in done.lines] == [(1, 22), (2, 0), (3, 12), (4, 12), (5, 0), (6, 0)]


# ---- processes ----------------------------------------------------------------------------------------------


def test_after_a_fork_child_and_parent_copy_or_reclaim_each_page(run: Runs) -> None:
    done = run(
        "map m 92K\ntouch m 0 92K\nfork\nread m 0 92K\ntouch m 0 92K\ntouch m 0 92K\nexit\ntouch m 0 92K\nread m 0 92K\n"
    )
    assert done.faults(2, 4, 5, 6, 8, 9) == [23, 0, 23, 0, 23, 0]
    assert [row.depth for row in done.lines] == [0, 0, 0, 1, 1, 1, 1, 0, 0]


def test_after_a_fork_the_allocator_copies_its_pages_of_the_heap_only(run_dynamic: Runs) -> None:
    done = run_dynamic("malloc a 100\nfork\ntouch a\nmalloc b 100\nfree a\nexit\ntouch a\nmalloc b 100\nfree a\n")
    assert done.faults(3, 4, 5, 7, 8, 9) == [1, 0, 0, 1, 0, 0]


@needs_fault_events
def test_after_a_fork_the_interpreter_needs_no_page_between_operations(
    sample: Callable[[str], str], tmp_path: Path
) -> None:
    (tmp_path / "w").write_text(
        "map m 28K\n" + "read m\n" * 101 + "fork\n" + "touch m\n" * 211 + "exit\n" + "touch m\n" * 101
    )
    recorded = run_observer([sample("workload"), str(tmp_path / "w")], tmp_path / "trace", options=("-q",))
    begin = min(call.n for call in recorded.syscalls if call.name == "madvise" and call.args[:3] == (0, 0, 0))
    of_lines = Counter(
        fault.site.function for fault in recorded.faults if fault.n > begin and fault.site and fault.site.function
    )
    assert (of_lines["write_pages"], of_lines["read_pages"]) == (2, 1)
    assert set(of_lines) <= {
        "write_pages",
        "read_pages",
        "divide",
        "settle",
        "settle_operations",
        "write_back",
        "read_over",
    }


def test_shared_memory_is_not_copied(run: Runs) -> None:
    done = run("shared m 92K\ntouch m 0 92K\nfork\ntouch m 0 92K\nexit\ntouch m 0 92K\n")
    assert done.faults(2, 4, 6) == [23, 23, 0]


def test_forks_nest_and_names_are_the_child_s_own(run: Runs) -> None:
    done = run(
        "malloc a 100\nfork\nfree a\nmap a 28K\nfork\nunmap a\nmalloc a 17\nfork\ntouch a 16\nexit\nrealloc a 5000\nexit\n"
        "touch a 0 28K\nexit\ntouch a 99\nfork\nfork\ntouch a\n"
    )
    assert (done.status, done.end) == (0, "end 18")
    assert [row.depth for row in done.lines] == [0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 2, 2, 1, 1, 0, 0, 1, 2]
    assert done.faults(13, 18) == [7, 1]


def test_a_child_may_die_and_its_parent_goes_on(run: Runs) -> None:
    done = run(
        "map m 28K\ntouch m 0 28K\nreadonly m\nfork\nfork\ntouch m\nmalloc a 1\nexit\nread m\nexit\nwritable m\ntouch m 0 28K\n"
    )
    assert (done.status, done.end) == (0, "end 10")
    assert [(row.how, row.line) for row in done.lines] == [
        ("op", 1), ("op", 2), ("op", 3), ("op", 4), ("op", 5), ("died", 6), ("op", 9), ("op", 10), ("op", 11), ("op", 12),
    ]  # fmt: skip
    assert done.at(6) == Line("died", 5, 6, 2, 0, 0, 0, 0)
    assert done.faults(12) == [7]


@pytest.mark.parametrize("how", CRASHING)
def test_a_forbidden_access_kills_and_the_report_is_there(run: Runs, how: str) -> None:
    done = run(CRASHING[how])
    assert done.status == -signal.SIGSEGV
    assert done.end == "died 4"
    assert [row.line for row in done.lines] == [1, 2, 3, 4]
    assert done.faults(2) == [7]


def test_the_stack_ends_where_its_limit_says(run: Runs) -> None:
    done = run("stack s 64M\ntouch s 0x3fff000\ntouch s\n")
    assert (done.status, done.end, done.faults(2)) == (-signal.SIGSEGV, "died 2", [1])


def test_the_death_is_the_one_of_the_access_itself(sample: Callable[[str], str], tmp_path: Path) -> None:
    (tmp_path / "w").write_text(CRASHING["readonly"])
    recorded = run_observer([sample("workload"), str(tmp_path / "w")], tmp_path / "trace", options=("-q",))
    recorded.assert_balanced()
    _, lines = reported(recorded.stdout)
    assert recorded.status == -signal.SIGSEGV
    place = lines[0].address + 5 * 1024
    assert [(event.signal, event.code, event.address, event.fatal) for event in recorded.signals] == [
        ("SIGSEGV", ACCESS_ERROR, place, False), ("SIGSEGV", ACCESS_ERROR, place, True),
    ]  # fmt: skip


# ---- the same always ----------------------------------------------------------------------------------------

MIXED = (
    "malloc a 300K\ntouch a 0 300K\nmap m 92K\nread m 0 92K\nfork\ntouch m 0 28K\nstack s 28K\ntouch s 0 28K\nfork\n"
    "touch a 0 300K\ncalloc b 7 100\ntouch b\nexit\nexit\ntouch m 0 92K\nfree a\nmalloc c 5000\ntouch c 0 5000\n"
    + "fork\ntouch m 0 92K\nexit\ntouch m 0 92K\n"
    * 13
)


def counts(lines: list[Line]) -> list[tuple[int, int, int, int]]:
    return [(row.index, row.minflt, row.majflt, row.error) for row in lines]


def test_each_run_is_like_the_first(run: Runs) -> None:
    first = counts(run(MIXED).lines)
    assert len(first) == 18 + 4 * 13
    for _ in range(5):
        assert counts(run(MIXED).lines) == first


@needs_fault_events
@pytest.mark.parametrize("name", ["workload", "workload-static"])
def test_being_observed_changes_no_access(name: str, sample: Callable[[str], str], tmp_path: Path) -> None:
    alone = run_workload(sample(name), MIXED, tmp_path)
    recorded = run_observer([sample(name), str(tmp_path / "workload")], tmp_path / "trace", options=("-q",))
    recorded.assert_balanced()
    _, observed = reported(recorded.stdout)
    kinds = [line.split()[0] for line in MIXED.splitlines()]
    unlike = [
        kinds[a.index] for a, b in zip(alone.lines, observed, strict=True) if a.minflt + a.majflt != b.minflt + b.majflt
    ]
    assert set(unlike) <= {"fork"}
    of_accesses = sum(row.minflt + row.majflt for row in observed if kinds[row.index] in ("touch", "read"))
    begin = min(call.n for call in recorded.syscalls if call.name == "madvise" and call.args[:3] == (0, 0, 0))
    seen = [f for f in recorded.faults if f.n > begin and f.site and f.site.function in ("write_pages", "read_pages")]
    assert (
        len(seen)
        == of_accesses
        == sum(alone.faults(*[n + 1 for n, kind in enumerate(kinds) if kind in ("touch", "read")]))
    )


def test_a_hundred_thousand_operations(run: Runs) -> None:
    rounds = 20_000
    done = run("map m 28K\n" + "malloc a 1000\ntouch a 999\nrealloc a 2000\ntouch m 20K\nfree a\n" * rounds)
    assert (done.status, done.end) == (0, "end 100001")
    assert [row.index for row in done.lines] == list(range(100_001))
    assert len({row.address for row in done.lines[1::5]}) == 1
    assert sum(row.minflt for row in done.lines if row.index % 5 == 4) == 1


# ---- the text -----------------------------------------------------------------------------------------------


def test_every_operation_of_the_language_is_known(run_dynamic: Runs) -> None:
    listed = run_dynamic("all\n").stderr.partition("one of ")[2].strip().split(", ")
    assert listed == list(FORMS)


def test_comments_blanks_and_a_missing_newline_are_nothing(run: Runs) -> None:
    done = run("# nothing\n\n \t malloc\ta 0x1K# sixteen is 0x10\n  touch a 1023 1  \n#\n\t\nfree a")
    assert (done.status, [(row.line, row.index) for row in done.lines]) == (0, [(3, 0), (4, 1), (7, 2)])
    assert run("").end == run("# only this").end == "end 0"


def test_a_line_may_have_4096_bytes(run: Runs) -> None:
    name = "n" * (4096 - len("malloc  1\n"))
    assert run(f"malloc {name} 1\nfree {name}\n").status == 0
    assert run(f"free b\nmalloc {name}n 1\n").stderr.startswith("workload: workload: line 1, ")
    assert (
        run(f"\nmalloc {name}n 1\n").stderr
        == "workload: workload: line 2: longer than 4096 bytes; this is not a workload\n"
    )


WRONG = [
    ("mallok a 1", "1, column 1", "'mallok' is no operation; one of malloc, calloc, "),
    ("\n  malloc a", "2, column 11", "malloc with 1 words after it; malloc NAME SIZE"),
    ("free a b  c", "1, column 8", "free with 3 words after it; free NAME"),
    ("fork\nexit now", "2, column 6", "exit with 1 words after it; exit"),
    ("malloc 9a 1", "1, column 8", "'9a' is no name; letters, digits and _"),
    ("malloc a 1k", "1, column 10", "'1k' is not a size; a number such as 100, 0x64, 4K or 2M"),
    ("calloc a -1 5", "1, column 10", "'-1' is not a count; a number such as 100, 0x64, 4K or 2M"),
    ("malloc a 8589934592G", "1, column 10", "size 8589934592G is larger than any object; at most 9223372036854775807"),
    ("malloc a 99999999999999999999", "1, column 10", "size 99999999999999999999 is larger than any object; at most "),
    ("malloc a 1\n# \xe9", "2, column 3", "not plain text; this is not a workload"),
    ("memalign a 24 100", "1, column 12", "alignment 24 is no power of two; one of 1, 2, 4, 8 and so on"),
    ("memalign a 0 100", "1, column 12", "alignment 0 is no power of two; one of 1, 2, 4, 8 and so on"),
    ("malloc a 1\nrealloc a 0", "2, column 11", "realloc to 0 bytes; a size of at least 1, or free"),
    ("malloc a 1\nmalloc a 1", "2, column 8", "a is in use; a free before it"),
    ("map a 1\nmalloc a 1", "2, column 8", "a is in use; an unmap before it"),
    ("stack a 1\nmalloc a 1", "2, column 8", "a is in use; another name, as the stack is never given back"),
    ("realloc a 5", "1, column 9", "realloc a: no piece of that name is allocated; a malloc before it"),
    ("malloc a 1\nfree a\nfree a", "3, column 6", "free a: no piece of that name is allocated; a malloc before it"),
    ("map a 1\nfree a", "2, column 6", "free a: that is no piece from malloc; the name of one"),
    ("stack a 1\nunmap a", "2, column 7", "unmap a: that is no mapping; the name of one"),
    ("malloc a 1\nunmap a", "2, column 7", "unmap a: that is no mapping; the name of one"),
    ("map a 1\nunmap a\nlock a", "3, column 6", "lock a: it is unmapped; a map before it"),
    ("touch a", "1, column 7", "touch a: no piece of that name is allocated; a malloc or a map before it"),
    ("malloc a 10\ntouch a 9 2", "2, column 9", "touch a: byte 10 lies outside its 10 bytes; a place in the piece"),
    ("malloc a 0\nread a", "2, column 6", "read a: byte 0 lies outside its 0 bytes; a place in the piece"),
    ("calloc a 3 5\ntouch a 15", "2, column 9", "touch a: byte 15 lies outside its 15 bytes; a place in the piece"),
    ("fork\nmalloc a 1\nexit\ntouch a", "4, column 7", "touch a: no piece of that name is allocated; "),
    ("malloc a 1\nfork\nfree a\nexit\nmalloc a 1", "5, column 8", "a is in use; a free before it"),
    ("fork\nexit\nexit", "3, column 1", "exit without a fork before it; a fork"),
]


@pytest.mark.parametrize(("text", "place", "what"), WRONG, ids=[repr(text)[:30] for text, _, _ in WRONG])
def test_a_wrong_workload_is_refused_whole(run_dynamic: Runs, text: str, place: str, what: str) -> None:
    done = run_dynamic(("map first 8K\n" + text).encode("latin-1"))
    number, comma, column = place.partition(",")
    assert (done.status, done.end) == (2, "")
    assert done.stderr.startswith(f"workload: workload: line {int(number) + 1}{comma}{column}: {what}")
    assert done.stderr.count("\n") == 1


def test_control_characters_are_not_sent_to_the_terminal(run_dynamic: Runs) -> None:
    assert run_dynamic("malloc \x1b[31m 1\n").stderr.startswith(
        "workload: workload: line 1, column 8: '\\x1b[31m' is no name"
    )


def test_the_report_goes_where_it_is_told(sample: Callable[[str], str], tmp_path: Path) -> None:
    (tmp_path / "w").write_text("malloc a 1\n")
    done = subprocess.run([sample("workload"), "-o", "r", "w"], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert re.fullmatch(r"op 0 1 0 0x[0-9a-f]+2a0 1 0 0\nend 1\n", (tmp_path / "r").read_text())


@pytest.mark.parametrize("words", [[], ["-o", "r"], ["a", "b"], ["-x", "a"]])
def test_a_wrong_command_line_says_how_it_is_used(
    words: list[str], sample: Callable[[str], str], tmp_path: Path
) -> None:
    done = subprocess.run([sample("workload"), *words], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "workload: usage: workload [-o REPORT] FILE\n")


def test_a_workload_may_come_through_a_pipe(sample: Callable[[str], str]) -> None:
    text = "malloc a 1000\nfree a\n" * 13_001
    done = subprocess.run([sample("workload"), "/dev/stdin"], input=text, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "end 26002")
