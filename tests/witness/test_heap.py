"""The walked heap beside what glibc says of itself (mallinfo(3), malloc_info(3)), its symbols, and the calls of a run.

On this machine's C library, linked statically too, and on those in the root folders that `scripts/roots` made.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from observer.code.elf import Elf, load
from observer.glibc.layout import layouts_of
from observer.heap.arenas import Where
from observer.heap.process import ProcessMemory, opened, where_of
from observer.heap.values import Heap
from observer.heap.walking import walk
from observer.linux.procfs import heap_start, read_mappings
from observer.model.ledger import COMPLETE, EXCLUSIONS
from tests.conftest import needs
from tests.ordinary import NO_HOME, PREFIX, PYTHON
from tests.properties.glibc_driver import ROOTS
from tests.recordings import Recorded, run_observer

SOURCES = Path(__file__).resolve().parent
HERE, STATIC, STRIPPED = "here", "static", "stripped"
SUITES = {"bullseye", "trixie", "sid", *(path.name for path in ROOTS.glob("*") if path.is_dir())}
BUILDS = (HERE, STATIC, STRIPPED, *sorted(SUITES))
LIVE = "bytes in live pieces' chunks = chunks in use in the walked heap"
SETTINGS = (
    "",
    "tcache_count=0",
    "tcache_count=20",
    "mxfast=0",
    "perturb=85",
    "tcache_max=200",
    "tcache_max=65000",
    "arena_max=1",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("heap")


@pytest.fixture(scope="module", params=BUILDS)
def build(request: pytest.FixtureRequest, folder: Path) -> Callable[[str], str]:
    """Return a function that compiles a source of this folder for one C library."""
    return compiler(request.param, folder)


@pytest.fixture(scope="module", params=[name for name in BUILDS if name != STRIPPED])
def watchable(request: pytest.FixtureRequest, folder: Path) -> Callable[[str], str]:
    """As `build`, with symbols for those who watch calls."""
    return compiler(request.param, folder)


def compiler(name: str, folder: Path) -> Callable[[str], str]:
    options = options_of(name)

    def compiled(source: str) -> str:
        target = folder / f"{source}-{name}"
        if not target.exists():
            words = ["gcc", "-O1", "-Wno-deprecated-declarations", "-o", str(target), str(SOURCES / f"{source}.c")]
            subprocess.run([*words, *options], check=True)
            if name == STRIPPED:
                subprocess.run(["strip", str(target)], check=True)
        return str(target)

    return compiled


def options_of(name: str) -> list[str]:
    if name in (STATIC, STRIPPED):
        return ["-static", "-pthread"]
    if name == HERE:
        return ["-pthread"]
    root = ROOTS / name
    if not root.is_dir():
        pytest.skip(f"no root at {root}; scripts/roots makes it")
    place = root / "usr/lib/x86_64-linux-gnu" if (root / "lib").is_symlink() else root / "lib/x86_64-linux-gnu"
    [loader] = [path for path in place.glob("ld-*.so*") if not path.is_symlink()]
    start = subprocess.run(["cc", "-print-file-name=crt1.o"], capture_output=True, text=True, check=True).stdout.strip()
    parts = [str(path) for part in ("libc.so.6", "libpthread.so.0") for path in place.glob(part)]
    return [
        "-nostdlib", "-no-pie", "-fno-pie", "-z", "now", start, *parts, str(loader),
        f"-Wl,--dynamic-linker={loader}", f"-Wl,-rpath,{place}", "-Wl,--allow-shlib-undefined",
    ]  # fmt: skip


@contextmanager
def stopped(command: list[str], setting: str = "") -> Iterator[tuple[int, subprocess.Popen[str]]]:
    environment = {**os.environ, **({"GLIBC_TUNABLES": f"glibc.malloc.{setting}"} if setting else {})}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            for _ in range(6000):
                # All threads: one that is still on its way to the stop brings pages in.
                tasks = Path(f"/proc/{process.pid}/task").glob("*/stat")
                if {task.read_text().rpartition(")")[2].split()[0] for task in tasks} == {"T"}:
                    break
                time.sleep(0.01)
            yield process.pid, process
        finally:
            process.kill()


def library_of(pid: int, program: str) -> tuple[Elf, int, Where]:
    """Return the file with the allocator, its load bias, and where to look."""
    mappings = read_mappings(pid)
    for mapping in mappings:
        name = mapping.path.rsplit("/", 1)[-1]
        if "x" in mapping.protection and (name.startswith("libc") or mapping.path == program):
            elf = load(mapping.path)
            if elf is not None and (elf.glibc_release or elf.interpreter is None):
                bias = elf.bias_of(mapping.start, mapping.offset)
                assert bias is not None
                return elf, bias, where_of(elf, bias, mappings, heap_start(pid))
    raise AssertionError("no C library is mapped")


@contextmanager
def memory_of(pid: int) -> Iterator[ProcessMemory]:
    fd = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
    try:
        with opened(pid, lambda length, address: os.pread(fd, length, address)) as memory:
            yield memory
    finally:
        os.close(fd)


def touched(pid: int) -> dict[str, int]:
    """What the kernel says of the pages of a process, in KiB; whether others have them mapped, too, comes and goes."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    sizes = {name: int(value.split()[0]) for name, value in (line.split(":") for line in lines)}
    shared = {name: sizes[f"Private_{name}"] + sizes[f"Shared_{name}"] for name in ("Clean", "Dirty")}
    return {"Rss": sizes["Rss"], "Anonymous": sizes["Anonymous"], **shared}


def walked_and_said(command: list[str], setting: str = "") -> tuple[Heap, str]:
    """Return the heap at the program's stop, and what the program then prints."""
    with stopped(command, setting) as (pid, process), memory_of(pid) as memory:
        before = touched(pid)
        heap = walk(memory, library_of(pid, command[0])[2])
        assert touched(pid) == before, "reading brought pages in"
        process.send_signal(signal.SIGCONT)
        said, _ = process.communicate(timeout=60)
    return heap, said


FREE = ("unsorted", "small", "large")


def check_mallinfo(heap: Heap, said: str) -> None:
    told = {name: int(value) for name, value in re.findall(r"^mallinfo (\w+) (\d+)$", said, re.MULTILINE)}
    free = heap.sum(*FREE)
    assert told["arena"] == sum(arena.system_mem for arena in heap.arenas)
    assert told["fordblks"] == heap.sum(*FREE, "fast", "top").bytes
    assert told["fsmblks"] == heap.sum("fast").bytes
    assert told["smblks"] == heap.sum("fast").chunks
    assert told["ordblks"] == free.chunks + len(heap.arenas)
    assert told["keepcost"] == heap.arenas[0].sums["top"].bytes
    headers = sum(arena.system_mem - sum(part.bytes for part in arena.sums.values()) for arena in heap.arenas)
    assert told["uordblks"] == heap.sum("in use", "tcache", "cache", "fence").bytes + headers


def check_malloc_info(heap: Heap, said: str) -> None:
    parts = re.findall(r'<heap nr="(\d+)">(.*?)</heap>', said, re.DOTALL)
    assert len(parts) == len(heap.arenas)
    for number, text in parts:
        arena = heap.arenas[int(number)]
        fast = re.findall(r'<total type="fast" count="(\d+)" size="(\d+)"/>', text) or [(0, 0)]  # gone in 2.43
        [rest] = re.findall(r'<total type="rest" count="(\d+)" size="(\d+)"/>', text)
        [system] = re.findall(r'<system type="current" size="(\d+)"/>', text)
        sums = {state: (part.chunks, part.bytes) for state, part in arena.sums.items()}
        assert tuple(map(int, fast[0])) == sums.get("fast", (0, 0))
        found = [sums.get(state, (0, 0)) for state in (*FREE, "top")]
        flags = sum(count for count, _ in found[:3])  # it adds size words: the bit of the chunk before counts as a byte
        assert tuple(map(int, rest)) == (flags + 1, sum(size for _, size in found) + flags)
        assert int(system) == arena.system_mem


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("threads", [0, 3])
def test_the_walk_is_what_the_allocator_says(build: Callable[[str], str], threads: int, setting: str) -> None:
    program = build("heap_said")
    for seed in ("1", "2"):
        heap, said = walked_and_said([program, "7919", str(threads), seed], setting)
        assert [str(finding) for finding in heap.findings] == []
        assert heap.unread == ()
        if not setting:
            assert len(heap.arenas) == threads + 1
            assert len(heap.caches) == threads + 1
            assert heap.sum("tcache").chunks > 0
        check_mallinfo(heap, said)
        check_malloc_info(heap, said)


def test_threads_that_share_arenas_have_their_caches_anywhere(build: Callable[[str], str]) -> None:
    heap, said = walked_and_said([build("heap_said"), "1009", "5"], "arena_max=2")
    assert heap.findings == ()
    assert len(heap.arenas) == 2
    assert len(heap.caches) == 6
    check_mallinfo(heap, said)


def test_shape_and_symbol_tell_the_same_arena(build: Callable[[str], str]) -> None:
    program = build("heap_said")
    with stopped([program, "101", "0"]) as (pid, _process), memory_of(pid) as memory:
        elf, bias, where = library_of(pid, program)
        address = elf.variable("main_arena")
        if not address:
            pytest.skip(f"no symbols of {elf.path} are installed")
        by_shape = walk(memory, where)
        by_symbol = walk(memory, replace(where, data=(), main_arena=bias + address))
    assert by_shape.arenas[0].address == bias + address
    assert by_symbol == by_shape


@needs("gdb")
def test_structures_lie_as_their_debugging_information_says() -> None:
    path = next((mapping.path for mapping in read_mappings(os.getpid()) if "/libc.so.6" in mapping.path), "")
    elf = load(path)
    if elf is None or not elf.variable("main_arena"):
        pytest.skip("no debugging information of the C library is installed")
    [layout] = layouts_of(elf.glibc_release)
    fields = {
        "fastbinsY": layout.fast_bins, "top": layout.top, "last_remainder": layout.last_remainder, "bins": layout.bins,
        "next": layout.next, "system_mem": layout.system_mem,
    }  # fmt: skip
    asked = [f"(long)&((struct malloc_state *)0)->{name}" for name in fields]
    asked += [
        "sizeof(struct malloc_state)",
        "sizeof(struct _heap_info)",
        "(long)&((tcache_perthread_struct *)0)->entries",
    ]
    words = [word for each in asked for word in ("-ex", f"output {each}", "-ex", "echo \\n")]
    done = subprocess.run(["gdb", "-nx", "-batch", *words, path], capture_output=True, text=True, check=True)
    expected = [*fields.values(), layout.state_size, layout.heap_header, layout.cache_heads]
    assert [int(line) for line in done.stdout.split()] == expected, done.stderr


# ---- the ledger ---------------------------------------------------------------------------------------------


def live_line(recorded: Recorded) -> tuple[str, int, int]:
    recorded.assert_balanced()
    [line] = [line for line in recorded.trace.meta.ledger if line.identity == LIVE]
    assert line.seen is not None, line
    assert line.expected is not None
    assert "damaged" not in line.note, line
    return line.verdict, line.seen, line.expected


def watched(program: str, *arguments: str, to: Path, **environment: str) -> Recorded:
    """Observe *program*; its trace becomes one more in the folder *to*."""
    return run_observer(
        [program, *arguments], to / f"trace{len(list(to.iterdir()))}", options=["-q"], environment=environment
    )


@pytest.mark.parametrize(
    ("end", "threads"),
    [
        ("returns", "0"),
        ("fork", "0"),
        ("returns", "3"),
        ("sbrk", "3"),
        ("trim", "3"),
        ("blocked", "3"),
        ("threads", "3"),
    ],
)
def test_every_live_piece_is_a_chunk_in_use(
    watchable: Callable[[str], str], end: str, threads: str, tmp_path: Path
) -> None:  # fmt: skip
    program = watchable("pieces")
    verdict, seen, expected = live_line(watched(program, "211", threads, end, to=tmp_path))
    assert verdict in (COMPLETE, EXCLUSIONS)
    assert 0 < seen <= expected < 1.01 * seen


@pytest.mark.parametrize("end", ["exit", "abort", "fork"])
def test_threads_that_end_in_the_midst_of_calls_make_nothing_inconsistent(
    watchable: Callable[[str], str], end: str, tmp_path: Path
) -> None:  # fmt: skip
    program = watchable("pieces")
    recorded = watched(program, "20011" if end == "exit" else "211", "3", end, to=tmp_path)
    recorded.assert_balanced()


@pytest.mark.parametrize("setting", ["tcache_count=0", "perturb=85", "mmap_threshold=8192", "hugetlb=2", "mmap_max=0"])
def test_settings_change_nothing_about_that(watchable: Callable[[str], str], setting: str, tmp_path: Path) -> None:
    program = watchable("pieces")
    tunables = {"GLIBC_TUNABLES": f"glibc.malloc.{setting}"}
    verdict, seen, _expected = live_line(watched(program, "211", "2", to=tmp_path, **tunables))
    assert verdict in (COMPLETE, EXCLUSIONS)
    assert seen > 0


def test_of_a_preloaded_allocator_nothing_is_claimed(folder: Path, tmp_path: Path) -> None:
    library = next(Path("/usr/lib").glob("*/libjemalloc.so.2"), None)
    if library is None:
        pytest.skip("libjemalloc is not installed")
    program = folder / "pieces-preloaded"
    subprocess.run(["gcc", "-O1", "-pthread", "-o", str(program), str(SOURCES / "pieces.c")], check=True)
    recorded = watched(str(program), "211", "2", to=tmp_path, LD_PRELOAD=str(library))
    recorded.assert_balanced()
    assert [line for line in recorded.trace.meta.ledger if line.identity == LIVE] == []


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("setpriv") is None, reason="only root can become somebody else")
def test_an_ordinary_user_has_the_same_heap(folder: Path) -> None:
    if PYTHON is None:
        pytest.skip("uid nobody may run no Python that has the packages")
    with tempfile.TemporaryDirectory(prefix="observer-heap-") as name:
        Path(name).chmod(0o777)
        program, trace = Path(name) / "pieces", Path(name) / "trace"
        subprocess.run(["gcc", "-O1", "-pthread", "-o", str(program), str(SOURCES / "pieces.c")], check=True)
        words = [*PREFIX, "env", f"PYTHONPATH={PYTHON[1]}", NO_HOME, PYTHON[0], "-m", "observer", "run", "-q"]
        done = subprocess.run(
            [*words, "-o", str(trace), "--", str(program), "211", "2", "threads"],
            capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False, cwd="/",
        )  # fmt: skip
        verdict, seen, _expected = live_line(Recorded(trace, done.returncode, done.stdout, done.stderr))
    assert verdict in (COMPLETE, EXCLUSIONS)
    assert seen > 0
