"""/proc as values: lines with hostile names, and this very process as the truth."""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
import subprocess
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from observer.linux import procfs
from observer.linux.procfs import PAGE, parse_maps_line
from observer.model.addresses import Mapping

PR_SET_NAME = 15


@pytest.mark.parametrize(
    ("line", "mapping"),
    [
        (b"7f2a10000000-7f2a10021000 rw-p 00000000 00:00 0 ", Mapping(0x7F2A10000000, 0x7F2A10021000, "rw-")),
        (
            b"559c0b1e6000-559c0b207000 rw-p 00000000 00:00 0                          [heap]",
            Mapping(0x559C0B1E6000, 0x559C0B207000, "rw-", "[heap]"),
        ),
        (
            b"7f00-8000 r-xp 00026000 fe:1a2b 1234567                    /usr/lib/x86_64-linux-gnu/libc.so.6",
            Mapping(0x7F00, 0x8000, "r-x", "/usr/lib/x86_64-linux-gnu/libc.so.6", 0x26000, inode=1234567),
        ),
        (
            b"1000-2000 rw-s 00003000 00:01 17 /dev/zero (deleted)",
            Mapping(0x1000, 0x2000, "rw-", "/dev/zero (deleted)", 0x3000, True, 17),
        ),
        (
            b"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]",
            Mapping(0xFFFFFFFFFF600000, 0xFFFFFFFFFF601000, "--x", "[vsyscall]"),
        ),
        (b"1000-2000 ---p 00000000 103:0002 4294967296 /x", Mapping(0x1000, 0x2000, "---", "/x", inode=4294967296)),
    ],
)
def test_a_line_of_maps_is_a_mapping(line: bytes, mapping: Mapping) -> None:
    assert parse_maps_line(line) == mapping


@pytest.mark.parametrize(
    ("written", "path"),
    [
        (rb"/tmp/a\012b", "/tmp/a\nb"),
        (b"/tmp/two  words ", "/tmp/two  words "),
        (b"/tmp/[heap]", "/tmp/[heap]"),
        (b"/tmp/[heap] (deleted)", "/tmp/[heap] (deleted)"),
        (b"/tmp/7f00-8000 rw-p 00000000 00:00 0 [heap]", "/tmp/7f00-8000 rw-p 00000000 00:00 0 [heap]"),
        ("/tmp/größe".encode(), "/tmp/größe"),
        (b"/memfd:[heap] (deleted)", "/memfd:[heap] (deleted)"),
    ],
)
def test_a_file_may_have_any_name(written: bytes, path: str) -> None:
    assert parse_maps_line(b"1000-2000 rw-p 00000000 fe:01 7 " + written).path == path


@pytest.mark.parametrize("written", [b"/tmp/[heap]", b"heap", b"x [heap]"])
def test_without_an_inode_only_names_in_brackets_are_believed(written: bytes) -> None:
    assert parse_maps_line(b"1000-2000 rw-p 00000000 00:00 0 " + written).path == ""


def test_a_device_of_its_own_makes_no_special_mapping() -> None:
    assert parse_maps_line(b"1000-2000 rw-p 00000000 fe:01 0 [heap]").path == ""


@pytest.mark.parametrize("line", [b"", b"7f00-8000", b"rw-p 00000000 00:00 0", b"7f00-8000 rw-p zz 00:00 0"])
def test_half_a_line_is_an_error_and_not_a_mapping(line: bytes) -> None:
    with pytest.raises((ValueError, IndexError)):
        parse_maps_line(line)


NAMES = [
    b"plain",
    b"two words ",
    b"new\nline",
    b"return\rhere",
    b"form\x0cfeed",
    rb"back\101slash",
    b"\xff\xfe",
    b"[heap]",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_mapped_file_is_found_by_its_name(tmp_path: Path, name: bytes) -> None:
    path = os.path.join(os.fsencode(tmp_path), name)
    with open(path, "w+b") as file:
        file.write(b"x" * PAGE)
        file.flush()
        with mmap.mmap(file.fileno(), PAGE, prot=mmap.PROT_READ):
            found = [mapping for mapping in procfs.read_mappings(os.getpid()) if mapping.inode == os.stat(path).st_ino]
            procfs.read_mapped_resident(os.getpid())
    assert [mapping.path for mapping in found] == [os.fsdecode(path)]


def test_our_own_files_are_mapped_where_another_reader_finds_them() -> None:
    ours = {(mapping.start, mapping.path) for mapping in procfs.read_mappings(os.getpid())}
    theirs = {(int(row.addr.split("-")[0], 16), row.path) for row in psutil.Process().memory_maps(grouped=False)}
    # The readers allocate between the two readings: anonymous mappings may differ, files do not.
    files = {(start, path) for start, path in theirs if path.startswith("/")}
    assert files
    assert files <= ours


def test_the_mapping_at_an_address_is_found_among_few_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    with ExitStack() as areas:
        for i in range(300):  # each with a protection other than its neighbour's: none are merged
            protection = mmap.PROT_READ | (mmap.PROT_WRITE if i % 2 else 0)
            areas.enter_context(mmap.mmap(-1, PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=protection))
        everything = procfs.read_mappings(os.getpid())
        read: list[bytes] = []

        def parse(line: bytes) -> Mapping:
            read.append(line)
            return parse_maps_line(line)

        monkeypatch.setattr(procfs, "parse_maps_line", parse)
        files = [mapping for mapping in everything if mapping.path.startswith("/")]
        for mapping in files:
            assert procfs.read_mapping_at(os.getpid(), mapping.start) == mapping
            assert procfs.read_mapping_at(os.getpid(), mapping.end - 1) == mapping
        assert len(read) == 2 * len(files)
    for nowhere in (0, everything[-1].end):
        assert procfs.read_mapping_at(os.getpid(), nowhere) is None


def test_resident_bytes_of_all_mappings_make_up_the_process() -> None:
    table = procfs.read_mapped_resident(os.getpid())
    assert all(0 <= rss <= size for size, rss in table.values())
    total = sum(rss for _size, rss in table.values())
    rollup = procfs.read_resident_bytes(os.getpid())
    assert set(rollup) == {"resident", "proportional", "anonymous", "swapped"}
    assert abs(total - rollup["resident"]) < 4 << 20
    assert rollup["anonymous"] <= rollup["resident"]


def in_thread_named(name: bytes, look: Callable[[int], object]) -> object:
    """Return what *look* returns for the id of a thread that has called itself *name*, called in that thread."""
    answers: list[object] = []

    def run() -> None:
        ctypes.CDLL(None).prctl(PR_SET_NAME, ctypes.c_char_p(name), 0, 0, 0)
        try:
            answers.append(look(threading.get_native_id()))
        except Exception as error:
            answers.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return answers[0]


HOSTILE = [b"a) R 1 2\n", b")))))))))))))))", b"(x) S 1 (", b"\n\n\n", b"a\rTgid:\t1", b"\xff\xfe", b"", b"\\012"]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_threads_own_faults_are_read_whatever_its_name(name: bytes) -> None:
    def bounds(tid: int) -> list[int]:
        before = resource.getrusage(resource.RUSAGE_THREAD)
        counted = procfs.task_counters(os.getpid(), tid)
        after = resource.getrusage(resource.RUSAGE_THREAD)
        return [before.ru_minflt + before.ru_majflt, counted.total, after.ru_minflt + after.ru_majflt]

    found = in_thread_named(name, bounds)
    assert isinstance(found, list), found
    assert found == sorted(found)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_field_of_status_is_read_whatever_the_name(name: bytes) -> None:
    assert in_thread_named(name, lambda tid: procfs.read_status_field(tid, "Tgid")) == str(os.getpid())


def test_a_field_that_is_not_there_is_an_error() -> None:
    with pytest.raises(OSError, match="no field Shoe"):
        procfs.read_status_field(os.getpid(), "Shoe")


def test_the_heap_begins_where_the_kernel_says() -> None:
    heap = [mapping for mapping in procfs.read_mappings(os.getpid()) if mapping.path == "[heap]"]
    if not heap:
        pytest.skip("this Python has no heap mapping")
    assert procfs.heap_start(os.getpid()) <= heap[0].start < procfs.heap_start(os.getpid()) + PAGE


def test_a_process_that_is_gone_is_an_os_error() -> None:
    child = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(child, 0)
    for read in (procfs.read_mappings, procfs.heap_start, procfs.read_resident_bytes, procfs.read_mapped_resident):
        with pytest.raises(OSError, match=r"No such (file|process)"):
            read(child)


def test_pagemap_knows_touched_pages_from_untouched_ones() -> None:
    with mmap.mmap(-1, 4 * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as area:
        area.madvise(mmap.MADV_NOHUGEPAGE)
        area[2 * PAGE] = 23
        anchor = ctypes.c_char.from_buffer(area)
        start = ctypes.addressof(anchor)
        fd = os.open("/proc/self/pagemap", os.O_RDONLY)
        raw = procfs.read_pagemap(fd, start, start + 3 * PAGE + 1)
        os.close(fd)
        del anchor
    assert [byte >> 7 for byte in raw[7::8]] == [0, 0, 1, 0]


def test_the_environment_that_is_heeded_is_that_of_the_exec() -> None:
    given = {"MALLOC_TOP_PAD_": "4096", "GLIBC_TUNABLES": "a=b=c", "OTHER": "1", "MALLOC_": "", "PATH": "/usr/bin:/bin"}
    words = ["sh", "-c", "echo ready; read word"]
    child = subprocess.Popen(words, env=given, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        found = procfs.heeded_environment(child.pid, ("MALLOC_", "GLIBC_TUNABLES"))
    finally:
        child.kill()
        child.communicate()
    assert found == {"MALLOC_TOP_PAD_": "4096", "GLIBC_TUNABLES": "a=b=c", "MALLOC_": ""}


def test_a_process_has_the_faults_of_its_ended_threads() -> None:
    before = procfs.process_counters(os.getpid())
    thread = threading.Thread(target=lambda: mmap.mmap(-1, 97 * PAGE).write(b"x" * 97 * PAGE))
    thread.start()
    thread.join()
    # Of either kind: Linux 5.10 was seen to count those of shared memory as major ones.
    assert procfs.process_counters(os.getpid()).total - before.total >= 97


def test_the_sizes_of_a_process_are_ordered_and_agree_with_psutil() -> None:
    sizes = procfs.read_memory_sizes(os.getpid())
    own = psutil.Process().memory_info()
    # Not VmSize beside VmHWM: what was resident once may have been unmapped since.
    assert sizes["VmPeak"] >= sizes["VmSize"] > sizes["VmRSS"] > 0
    assert sizes["VmPeak"] > sizes["VmHWM"] >= sizes["VmRSS"]
    assert abs(sizes["VmSize"] - own.vms) <= 1 << 20


def test_a_task_without_memory_has_no_sizes() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)  # ended, and not yet reaped
    sizes = procfs.read_memory_sizes(child)
    os.waitpid(child, 0)
    assert set(sizes.values()) == {0}


def test_the_time_that_a_task_has_run_grows() -> None:
    before = procfs.processor_seconds(os.getpid())
    # The kernel brings the number up to date at its ticks only.
    for _ in range(1000):
        sum(range(30_000))
        if procfs.processor_seconds(os.getpid()) > before:
            break
    assert 0 < before < procfs.processor_seconds(os.getpid())
