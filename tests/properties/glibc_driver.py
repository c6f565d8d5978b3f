"""Random programs for a real glibc and for the model, and the comparison of both, command by command.

The real side is glibc_driver.c, linked to the C library of this machine or of a root folder that scripts/roots made.
"""

from __future__ import annotations

import array
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from observer.glibc.tunables import read_tunables
from observer.glibc.versions import Version, version_of
from observer.simulator.glibc.kernel import RecordedKernel, SystemCall
from observer.simulator.glibc.malloc import Glibc, Outcome

PAGE: Final = 4096
MAIN: Final = 255
CANNOT_SEE: Final = 77
ROOTS: Final = Path(
    os.environ.get("OBSERVER_ROOTS") or Path.home() / ".cache" / "malloc-observer" / "roots"
)  # fmt: skip

MALLOC, CALLOC, REALLOC, FREE, MEMALIGN, POSIX_MEMALIGN, ALIGNED_ALLOC, VALLOC, PVALLOC = range(1, 10)
TRIM, MALLOPT, SBRK, USABLE, TOUCH, SPAWN, JOIN, BLOCK, FORK = range(10, 19)
WORDS: Final = (
    "", "malloc", "calloc", "realloc", "free", "memalign", "posix_memalign", "aligned_alloc", "valloc", "pvalloc",
    "malloc_trim", "mallopt", "sbrk", "malloc_usable_size", "touch", "spawn", "join", "block", "fork",
)  # fmt: skip
NEW_THREAD: Final = (18, 16)
"""What pthread_create asks calloc for: the vector of thread-local storage, here of the C library and the driver."""

Command = tuple[int, int, int, int, int]
"""Operation, task, slot, and two numbers."""


def tunables(*words: str) -> dict[str, str]:
    """Return the environment that sets tunables of malloc."""
    return {"GLIBC_TUNABLES": ":".join(f"glibc.malloc.{word}" for word in words)} if words else {}


SETTINGS: Final = {
    "default": {},
    **{
        word: tunables(word)
        for word in (
            "tcache_count=0", "tcache_count=20", "tcache_max=200", "mxfast=0", "mxfast=160", "top_pad=0",
            "mmap_threshold=8192", "trim_threshold=0x10000", "perturb=85", "hugetlb=1", "arena_max=1",
            "tcache_unsorted_limit=2", "tcache_max=65000", "mmap_max=3",
        )
    },
}  # fmt: skip
"""Environments by name."""

UNUSUAL: Final = {
    "variables": {"MALLOC_TOP_PAD_": "4096", "MALLOC_MMAP_THRESHOLD_": "0x4000", "MALLOC_ARENA_MAX": "1"},
    "both": {"MALLOC_TOP_PAD_": "4096", **tunables("top_pad=0")},
    "more behind a number": tunables("top_pad=8192k", "tcache_count=3"),
    "no number": tunables("tcache_count=all"),
    "empty value": tunables("tcache_count="),
    "twice": tunables("tcache_count=0", "tcache_count=2"),
    "two equal signs": tunables("tcache_count=0=1"),
    "colon at the end": {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0:"},
    "octal": tunables("tcache_count=010"),
    "too many": tunables("tcache_count=65536", "mxfast=161", "perturb=256"),
    "negative": tunables("trim_threshold=-1", "mmap_max=-1"),
    "not of malloc": {"GLIBC_TUNABLES": "glibc.mem.tagging=0:glibc.malloc.tcache_count=1"},
    "large threshold": tunables("mmap_threshold=40000000"),
}
"""Environments that are spelled or valued strangely."""


# ---- random programs ------------------------------------------------------------------------------------------------

EDGES: Final = (24, 25, 120, 121, 1000, 1001, 1016, 1017, 1032, 1033, 4080, 4096, 8184, 8192, 65504, 65536, 131072)
PROFILES: Final = ("mixed", "small", "bins", "large", "mapped", "one size")


def pick_size(random: Random, profile: str) -> int:
    """Return a size: small ones, those around every boundary, pages, and what is mapped."""
    kind = random.random()
    if profile == "small" or (profile == "mixed" and kind < 0.45):
        return random.choice((random.randint(0, 200), random.randint(0, 1100), random.choice((24, 40, 56, 104, 120))))
    if profile == "one size" and kind < 0.9:
        return random.choice((72, 72, 72, 88, 700))
    if profile == "bins" or kind < 0.6:
        return random.choice((random.randint(900, 1100), random.randint(1000, 9000), random.randint(1000, 70000)))
    if kind < 0.75:
        return max(0, random.choice(EDGES) + random.randint(-24, 24))
    if kind < 0.83:
        return max(0, PAGE * random.randint(1, 40) - random.randint(0, 48))
    if kind < 0.97 or profile not in ("large", "mapped"):
        return random.choice((random.randint(131000, 131100), random.randint(60000, 200000), random.randint(1, 4000)))
    return random.choice((random.randint(200000, 3 << 20), random.randint(1 << 20, 36 << 20), (32 << 20) - 4096))


def program_of(seed: int, length: int, *, thread: bool = False) -> list[Command]:
    """Return a random program; with *thread*, all but its beginning runs in a second thread, or in turns in three."""
    random = Random(seed)
    return Program(random, thread).build(length)


class Program:
    """A random program while it is made; it knows what is live, not where."""

    def __init__(self, random: Random, thread: bool) -> None:
        self.random = random
        self.profile = random.choice(PROFILES)
        self.most = random.choice((10, 40, 120))
        self.most_bytes = random.choice((1 << 20, 16 << 20, 80 << 20))
        self.live: dict[int, int] = {}
        self.bytes = self.slots = 0
        self.rare = random.random() < 0.5
        self.blocking = random.random() < 0.5
        self.shrinking = False
        self.main = MAIN
        self.tasks = [MAIN]
        self.thread = thread
        self.commands: list[Command] = []

    def build(self, length: int) -> list[Command]:
        """Return the program."""
        if self.thread:
            self.begin_threads()
        forking = self.random.choice((length // 3, length))
        while len(self.commands) < length:
            if self.random.random() < 0.01:
                self.shrinking = not self.shrinking
            if len(self.commands) >= forking:
                self.fork()
                forking = length
            self.step(self.random.choice(self.tasks))
        for task in self.tasks:
            if task != self.main:
                self.add(JOIN, self.main, 0, task)
        for _ in range(20 if self.thread else 0):
            self.step(self.main)
        return self.commands

    def fork(self) -> None:
        """Let a child go on: the thread that forks, and new ones of its own."""
        self.main = self.random.choice(self.tasks)
        self.add(FORK, self.main, 0)
        new = self.random.choice(([], [3], [3, 4, 5])) if self.thread else []
        for task in new:
            self.add(SPAWN, self.main, 0, task)
        self.tasks = [self.main, *new]

    def begin_threads(self) -> None:
        """Let the main thread do a little, and start one thread or several."""
        for _ in range(self.random.choice((0, 0, 30))):
            self.step(MAIN)
        self.tasks = self.random.choice(([0], [0], [0, 1], [0, 1, MAIN]))
        for task in self.tasks:
            if task != MAIN:
                self.add(SPAWN, MAIN, 0, task)

    def add(self, operation: int, task: int, slot: int, a: int = 0, b: int = 0) -> None:
        """Append a command."""
        self.commands.append((operation, task, slot, a, b))

    def step(self, task: int) -> None:
        """Append one random command."""
        random = self.random
        full = len(self.live) >= self.most or self.bytes > self.most_bytes
        what = random.random()
        if self.rare and what < 0.03:
            self.step_rare(task)
        elif self.live and (full or what < (0.65 if self.shrinking else 0.35)):
            self.free(task, random.choice(list(self.live)))
        elif self.live and what < (0.75 if self.shrinking else 0.5):
            self.realloc(task)
        elif self.live and what < 0.56 and not self.shrinking:
            slot = random.choice(list(self.live))
            if self.live[slot]:
                self.add(TOUCH, task, slot, random.randrange(self.live[slot]))
        elif not full:
            self.allocate(task)

    def free(self, task: int, slot: int) -> None:
        """Free a live piece."""
        self.bytes -= self.live.pop(slot)
        self.add(FREE, task, slot)

    def realloc(self, task: int) -> None:
        """Resize a live piece: a little, or to anything."""
        random = self.random
        slot = random.choice(list(self.live))
        old = self.live[slot]
        size = random.choice(
            (pick_size(random, self.profile), max(1, old + random.randint(-64, 64)), old * 2, old // 2)
        )
        size = min(size, 40 << 20)
        if not size:
            self.bytes -= self.live.pop(slot)
        else:
            self.live[slot] = size
            self.bytes += size - old
        self.add(REALLOC, task, slot, size)

    def allocate(self, task: int) -> None:
        """Ask for a new piece."""
        random = self.random
        slot, size, kind = self.slots, pick_size(random, self.profile), random.random()
        self.slots += 1
        if kind < 0.7:
            self.add(MALLOC, task, slot, size)
        elif kind < 0.85:
            count = random.choice((1, 1, 2, 3, 8))
            size = size // count * count
            self.add(CALLOC, task, slot, size // count, count)
        else:
            size = self.allocate_aligned(task, slot, size)
        self.live[slot] = size
        self.bytes += size

    def allocate_aligned(self, task: int, slot: int, size: int) -> int:
        """Ask for an aligned piece; return how much of it may be used."""
        random = self.random
        if random.random() < 0.2 and size > 2000:
            size //= 20
        operation = random.choice((MEMALIGN, MEMALIGN, POSIX_MEMALIGN, ALIGNED_ALLOC, VALLOC, PVALLOC))
        if operation in (VALLOC, PVALLOC):
            self.add(operation, task, slot, size)
            return size
        alignment = 1 << random.choice((3, 4, 5, 5, 6, 6, 7, 8, 9, 10, 12, 12, 13, 16))
        if operation == MEMALIGN and random.random() < 0.1:
            alignment += random.randint(1, 15)
        self.add(operation, task, slot, alignment, size)
        return size

    def step_rare(self, task: int) -> None:
        """Append a command that few programs use."""
        random = self.random
        kind = random.choice(("trim", "trim", "mallopt", "sbrk", "usable", "huge", "null", "block"))
        if kind == "trim":
            self.add(TRIM, task, 0, random.choice((0, 0, 1, 4096, 100000)))
        elif kind == "mallopt":
            parameter, value = random.choice(
                ((1, random.choice((0, 40, 64, 128, 160, 161))), (-1, 200000), (-2, random.choice((0, 4096, 70000))),
                 (-3, random.choice((40000, 131072, 1 << 20, 33554433))), (-4, random.choice((0, 3, 65536))), (-8, 2)),
            )  # fmt: skip
            if random.random() < 0.15:
                self.add(MALLOPT, task, 0, parameter & 0xFFFFFFFF, value)
        elif kind == "sbrk" and random.random() < 0.3:
            # Where the break could not move, glibc itself fails on one that is not at a page: no such program.
            self.add(SBRK, task, 0, random.choice((0, 4096, 12288) if self.blocking else (0, 16, 100, 4096, 5000)))
        elif kind == "usable" and self.live:
            self.add(USABLE, task, random.choice(list(self.live)))
        elif kind == "huge":
            self.add(random.choice((MALLOC, CALLOC)), task, self.slots, (1 << 63) - random.randint(0, 40), 1)
            self.slots += 1
        elif kind == "null":
            self.add(FREE, task, self.slots)
            self.slots += 1
        elif kind == "block" and self.blocking and random.random() < 0.1:
            self.add(BLOCK, task, 0, PAGE * random.randint(0, 60))


def many_free(count: int) -> list[Command]:
    """Return a program with more free chunks than one search looks at, of two sizes by turns."""
    commands = [(MALLOC, MAIN, slot, 1100 + 160 * (slot % 4 // 2), 0) for slot in range(count)]
    commands += [(FREE, MAIN, slot, 0, 0) for slot in range(0, count, 2)]
    return commands + [(MALLOC, MAIN, count + slot, (1260, 1100, 2000, 60)[slot % 4], 0) for slot in range(400)]


def large_heaps(seed: int, length: int) -> list[Command]:
    """Return a program of one thread whose pieces are too large for one heap, and not mapped."""
    random, live, slot = Random(seed), list[int](), 2
    commands = [(SPAWN, MAIN, 0, 0, 0), (MALLOC, 0, 1, 33_550_000, 0), (FREE, 0, 1, 0, 0)]
    while len(commands) < length:
        if live and (len(live) > 7 or random.random() < 0.4):
            chosen = live.pop(random.randrange(len(live)))
            commands.append(random.choice(((FREE, 0, chosen, 0, 0), (REALLOC, 0, chosen, 0, 0))))
        elif live and random.random() < 0.2:
            commands.append((REALLOC, 0, random.choice(live), random.randint(1, 9 << 20), 0))
        else:
            size = random.choice((random.randint(1, 33_400_000), random.randint(1, 3 << 20), random.randint(1, 200)))
            commands.append(random.choice(((MALLOC, 0, slot, size, 0), (MEMALIGN, 0, slot, 4096, size))))
            live.append(slot)
            slot += 1
    return [*commands, (JOIN, MAIN, 0, 0, 0)]


# ---- the real side --------------------------------------------------------------------------------------------------


class CannotRun(Exception):
    """The real side cannot be had here; the text is the reason."""


@dataclass(frozen=True)
class Library:
    """A C library to run with: its version, and the driver that is linked to it."""

    version: Version
    driver: Path


def library_here(folder: Path) -> Library:
    """Return this machine's own C library."""
    name, version = os.confstr("CS_GNU_LIBC_VERSION").split()  # type: ignore[union-attr]
    if name != "glibc":
        raise CannotRun("the C library of this machine is not glibc")
    return Library(known(version), compile_driver(folder / "driver", ["-pthread", "-Wl,-z,now"]))


def library_of(root: Path, folder: Path) -> Library:
    """Return the C library in a root folder; the driver is linked to it and started by its own loader."""
    place = root / "usr/lib/x86_64-linux-gnu" if (root / "lib").is_symlink() else root / "lib/x86_64-linux-gnu"
    loaders = [path for path in sorted(place.glob("ld-*.so*")) if not path.is_symlink()]
    if not loaders:
        raise CannotRun(f"{root} has no loader of glibc for this machine")
    parts = [str(path) for name in ("libc.so.6", "libpthread.so.0") for path in place.glob(name)]
    crt = subprocess.run(["cc", "-print-file-name=crt1.o"], capture_output=True, text=True, check=True).stdout.strip()
    driver = compile_driver(
        folder / f"driver-{root.name}",
        ["-nostdlib", "-no-pie", "-fno-pie", "-z", "now", crt, *parts, str(loaders[0]),
         f"-Wl,--dynamic-linker={loaders[0]}", f"-Wl,-rpath,{place}", "-Wl,--allow-shlib-undefined"],
    )  # fmt: skip
    said = subprocess.run([loaders[0], place / "libc.so.6"], capture_output=True, text=True, check=True).stdout
    return Library(known(said.split("release version ")[1].split(" ")[0].rstrip(".")), driver)


def known(version: str) -> Version:
    """Return the model's version for a library's."""
    try:
        return version_of(version)
    except ValueError as error:
        raise CannotRun(str(error)) from None


def compile_driver(path: Path, options: list[str]) -> Path:
    """Compile the driver."""
    if shutil.which("cc") is None:
        raise CannotRun("no C compiler")
    source = Path(__file__).with_name("glibc_driver.c")
    subprocess.run(
        ["cc", "-O1", "-Wall", "-Wextra", "-fno-stack-protector", "-fno-builtin", source, "-o", path, *options],
        check=True,
    )
    return path


@dataclass
class Recording:
    """What the real side wrote down."""

    heap: int
    words: array.array[int]

    def steps(self) -> Iterator[tuple[int, list[SystemCall], list[int]]]:
        """Yield the result, the system calls and the pages of each command."""
        at, words = 1, self.words
        while at < len(words):
            result, counts = words[at], words[at + 1]
            calls, pages = counts >> 32, counts & 0xFFFFFFFF
            at += 2
            made = [system_call(words[i : i + 6]) for i in range(at, at + 6 * calls, 6)] if calls else []
            at += 6 * calls
            yield result, made, list(words[at : at + pages]) if pages else []
            at += pages


CALLS: Final = {
    12: ("brk", 1),
    9: ("mmap", 4),
    11: ("munmap", 2),
    25: ("mremap", 3),
    10: ("mprotect", 3),
    28: ("madvise", 3),
}
"""Name and count of arguments by number, on x86-64."""


def system_call(words: array.array[int]) -> SystemCall:
    """Return one call of the recording."""
    name, count = CALLS[words[0]]
    return SystemCall(name, tuple(words[1 : 1 + count]), None if words[5] > (1 << 64) - 4096 else words[5])


def record(library: Library, commands: list[Command], environment: dict[str, str], folder: Path) -> Recording:
    """Run a program on the real side."""
    packed, log = folder / f"{os.getpid()}.commands", folder / f"{os.getpid()}.log"
    pack = struct.Struct("<BBHIQQ").pack
    packed.write_bytes(b"".join(pack(o, t, 0, s, a, b) for o, t, s, a, b in commands) + bytes(24))
    with log.open("wb") as file:
        file.truncate(256 << 20)
    ran = subprocess.run(
        [library.driver, packed, log], env=environment, capture_output=True, text=True, timeout=300, check=False
    )  # fmt: skip
    if ran.returncode == CANNOT_SEE:
        raise CannotRun("this kernel has no syscall user dispatch, or hides /proc/self/pagemap")
    if ran.returncode:
        raise AssertionError(f"the driver ended with {ran.returncode}: {ran.stderr}")
    with log.open("rb") as file:
        words = array.array("Q", file.read(int(ran.stdout)))
    log.unlink()
    return Recording(words[0], words)


# ---- the comparison -------------------------------------------------------------------------------------------------

HEAP_WATCHED: Final = 1024 * PAGE
MAPPING_WATCHED: Final = 512 * PAGE


class Presence:
    """Which of the pages that the real side watches are there: as the model says, and as they are."""

    def __init__(self, heap: int) -> None:
        self.windows: dict[int, int] = {}
        self.heap = (heap & -PAGE, (heap & -PAGE) + HEAP_WATCHED)
        self.end = heap
        # Up to 2.34 the loader keeps its copy of GLIBC_TUNABLES below the first break, which is then not at a page.
        self.predicted: set[int] = {heap & -PAGE} if heap % PAGE else set()
        self.seen: set[int] = set()

    def follow(self, outcome: Outcome, touched: list[tuple[int, int]], pages: list[int]) -> list[str]:
        """Apply one command; return the pages that differ, in words."""
        changed: set[int] = set()
        for call in outcome.asks:
            self.follow_mapping(call, changed)
        for start, length in touched:
            self.touch(start, start + length - 1, changed)
        for call in outcome.asks:
            self.give_back(call, changed)
        for page in pages:
            changed.add(page & -PAGE)
            (self.seen.add if page & 1 else self.seen.discard)(page & -PAGE)
        return [
            f"page {page:#x} (heap{page - self.heap[0]:+#x}): model {page in self.predicted}, real {page in self.seen}"
            for page in sorted(changed) if (page in self.predicted) != (page in self.seen)
        ]  # fmt: skip

    def touch(self, first: int, last: int, changed: set[int]) -> None:
        """An access to [first, last]: the watched pages become present."""
        page, end = first & -PAGE, last & -PAGE
        if page == end:
            if page not in self.predicted and self.watched(page):
                self.predicted.add(page)
                changed.add(page)
            return
        while page <= end:
            limit = self.watched(page)
            if not limit:
                return
            for inside in range(page, min(end + PAGE, limit), PAGE):
                if inside not in self.predicted:
                    self.predicted.add(inside)
                    changed.add(inside)
            page = limit

    def watched(self, page: int) -> int:
        """Return where the window that *page* lies in ends, 0 if it lies in none."""
        if self.heap[0] <= page < self.heap[1]:
            return self.heap[1]
        for start, end in self.windows.items():
            if start <= page < min(end, start + MAPPING_WATCHED):
                return min(end, start + MAPPING_WATCHED)
        return 0

    def follow_mapping(self, call: SystemCall, changed: set[int]) -> None:
        """Let windows come, go and move with a system call."""
        if call.result is None:
            return
        if call.name == "mmap":
            self.windows[call.result] = call.result + -(-call.arguments[1] // PAGE) * PAGE
        elif call.name == "munmap":
            self.unmap(call.arguments[0], call.arguments[1], changed)
        elif call.name == "mremap":
            start, old, new = call.arguments
            self.move(start, old, call.result, new, changed)

    def give_back(self, call: SystemCall, changed: set[int]) -> None:
        """Let pages go with a system call; what one call of the family gives back it does not touch again."""
        if call.name == "brk" and call.result is not None:
            self.drop(call.result, max(self.end, call.result), changed)
            self.end = call.result
        elif call.name == "madvise" and call.arguments[2] == 4:
            self.drop(call.arguments[0], call.arguments[0] + call.arguments[1], changed)

    def move(self, start: int, old: int, to: int, new: int, changed: set[int]) -> None:
        """Pages go along with a mapping."""
        own = {page - start for page in self.predicted if start <= page < start + min(old, new)}
        self.unmap(start, old, changed)
        self.windows[to] = to + -(-new // PAGE) * PAGE
        for offset in own:
            self.touch(to + offset, to + offset, changed)

    def unmap(self, start: int, length: int, changed: set[int]) -> None:
        """Windows end with the mappings they show."""
        end = start + -(-length // PAGE) * PAGE
        self.drop(start, end, changed)
        for left, right in list(self.windows.items()):
            if left < end and start < right:
                del self.windows[left]
                if left < start:
                    self.windows[left] = start
                if end < right:
                    self.windows[end] = right

    def drop(self, start: int, end: int, changed: set[int]) -> None:
        """The whole pages of a range are gone."""
        start = -(-start // PAGE) * PAGE
        if end - start > len(self.predicted) * PAGE:
            gone = {page for page in self.predicted if start <= page < end}
        else:
            gone = {page for page in range(start, end, PAGE) if page in self.predicted}
        self.predicted -= gone
        changed |= gone


@dataclass
class Comparison:
    """One program on both sides. `difference` is the first one found, in words; the rest is not looked at then."""

    model: Glibc
    kernel: RecordedKernel
    presence: Presence
    slots: dict[int, int] = field(default_factory=dict)
    vectors: dict[int, int] = field(default_factory=dict)
    compared: int = 0
    difference: str = ""

    def run(self, commands: list[Command], recording: Recording) -> Comparison:
        """Compare all commands."""
        for index, (command, (result, calls, pages)) in enumerate(zip(commands, recording.steps(), strict=True)):
            self.kernel.begin(calls)
            outcome, own = self.perform(command)
            self.kernel.finish()
            wrong = self.presence.follow(outcome, own, pages)
            if command[0] not in (TOUCH, SPAWN, JOIN, BLOCK, FORK) and outcome.pointer != result:
                wrong.append(f"result: model {outcome.pointer:#x}, real {result:#x}")
            wrong += [f"model asked {m.asked}, real {m.recorded}" for m in self.kernel.mismatches]
            if wrong:
                self.difference = "\n  ".join(
                    [f"command {index}: {describe(command)}", f"{outcome.served_by=}", *wrong]
                )
                return self
            self.compared += 1
        return self

    def perform(self, command: Command) -> tuple[Outcome, list[tuple[int, int]]]:
        """Do a command in the model; return what it did, and all ranges that were accessed."""
        operation, task, slot, a, b = command
        model, pointer = self.model, self.slots.get(slot, 0)
        if operation == TOUCH:
            return Outcome(0), [(pointer + a, 1)] if pointer else []
        if operation in (SPAWN, JOIN):
            return self.start_or_end(operation, task, a)
        if operation == FORK:
            self.model = model.copy(task=task, child=task)
        if operation in (BLOCK, FORK):
            return Outcome(0), []
        if operation <= PVALLOC:
            outcome = self.allocate(operation, task, slot, pointer, a, b)
        elif operation == TRIM:
            outcome = model.malloc_trim(a)
        elif operation == MALLOPT:
            outcome = model.mallopt(a - (1 << 32) if a >> 31 else a, b)
        elif operation == SBRK:
            outcome = model.sbrk(a)
        else:
            outcome = Outcome(model.malloc_usable_size(pointer))
        return outcome, [(start, length) for start, length, _write in outcome.touched]

    def allocate(self, operation: int, task: int, slot: int, pointer: int, a: int, b: int) -> Outcome:
        """Do a command of the family proper."""
        model = self.model
        if operation == REALLOC:
            outcome = model.realloc(pointer, a, task)
            if outcome.pointer or not a:
                self.slots[slot] = outcome.pointer
            return outcome
        if operation in (MALLOC, FREE, VALLOC, PVALLOC):
            outcome = getattr(model, WORDS[operation])(pointer if operation == FREE else a, task)
        else:
            outcome = getattr(model, WORDS[operation])(a, b, task)
        self.slots[slot] = outcome.pointer
        return outcome

    def start_or_end(self, operation: int, own: int, task: int) -> tuple[Outcome, list[tuple[int, int]]]:
        """A thread begins: the creating one asks for its vector; or it ends, and the one that waits frees that."""
        if operation == SPAWN:
            parts = [self.model.calloc(*NEW_THREAD, own)]
            self.vectors[task] = parts[0].pointer
            self.model.start_thread(task)
        else:
            parts = [self.model.end_thread(task), self.model.free(self.vectors.pop(task), own)]
        asks = [call for part in parts for call in part.asks]
        touched = [(start, length) for part in parts for start, length, _write in part.touched]
        return Outcome(0, "", asks, ()), touched


def describe(command: Command) -> str:
    """Return a command in words."""
    operation, task, slot, a, b = command
    return f"{WORDS[operation]} task {task} slot {slot} {a} {b}"


def compare(
    library: Library, commands: list[Command], environment: dict[str, str], folder: Path, model: Version | None = None
) -> Comparison:  # fmt: skip
    """Run a program on both sides and compare; *model* is another version than the library's."""
    return replay(model or library.version, commands, environment, record(library, commands, environment, folder))


def replay(version: Version, commands: list[Command], environment: dict[str, str], recording: Recording) -> Comparison:
    """Compare a recording with the model of a version."""
    kernel = RecordedKernel(recording.heap)
    model = Glibc(
        version, read_tunables(environment, version), main_task=MAIN, kernel=kernel, cpus=os.cpu_count() or 1,
        huge_page=huge_page(),
    )  # fmt: skip
    return Comparison(model, kernel, Presence(recording.heap)).run(commands, recording)


def huge_page() -> int:
    """Return the size of transparent huge pages if the system offers them by `madvise`."""
    folder = Path("/sys/kernel/mm/transparent_hugepage")
    if not folder.exists() or "[madvise]" not in (folder / "enabled").read_text("ascii"):
        return 0
    return int((folder / "hpage_pmd_size").read_text("ascii"))
