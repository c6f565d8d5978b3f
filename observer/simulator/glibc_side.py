"""Level one, predicted exactly: the calls of a real run through the model of glibc.

The model is told what the kernel answered (where the heap begins, where mappings landed) and nothing else of the run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from observer.errors import BadWorkload, UsageError
from observer.glibc.tunables import read_tunables
from observer.glibc.versions import version_of
from observer.model.account import Reach, alignment_of, request_of
from observer.model.addresses import PAGE
from observer.model.chunks import Chunk
from observer.model.events import Call, Syscall
from observer.model.memory_calls import WORDS, Break, Map, Move, memory_call
from observer.model.operations import ALLOCATING, FREEING, OPERATIONS
from observer.simulator.glibc.kernel import RecordedKernel, SystemCall
from observer.simulator.glibc.malloc import Glibc, Outcome
from observer.simulator.glibc.seen import Seen
from observer.simulator.page_sizes import PageSizes

__all__ = ["SYSTEM_CALLS", "ExactPrediction", "GlibcMaker", "GlibcSide", "Mismatch"]

SYSTEM_CALLS: Final = frozenset({"brk", "mmap", "munmap", "mremap", "mprotect", "madvise"})
"""Those that the allocator makes: without them it cannot be followed."""

_PLAIN: Final = frozenset({"malloc", "calloc", "free", "cfree"})
"""What cuts off no parts, which would go nobody knows where."""
_LOADERS: Final = ("ld-linux", "ld.so", "ld-2")
_EARLY: Final = frozenset({"_dl_early_allocate", "__libc_setup_tls"})


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A system call that the model asks for and the run did not make so, or the other way round; both sides in words.

    `asked` is the model's, None where it asks for nothing there.
    """

    predicted: str
    observed: str
    asked: SystemCall | None = None


class ExactPrediction(msgspec.Struct, frozen=True, gc=False):
    """What the model says of a call: its pointer, where it came from, what the allocator touches itself.

    `asked` are the system calls, `wrong` those that the run did not make so.
    `arenas` are those it used, by number. `is_certain` is False for a call that had to be taken as it was seen, since
    too little is known after another that came otherwise than predicted.
    """

    pointer: int
    served_by: str
    asked: tuple[SystemCall, ...]
    wrong: tuple[Mismatch, ...]
    reaches: tuple[Reach, ...]
    arenas: frozenset[int] = frozenset()
    is_certain: bool = True


class GlibcSide:
    """glibc beside one real process.

    Raises:
        UsageError: the release is not one that the model knows.
    """

    name = "glibc"

    def __init__(
        self, version: str, environment: Mapping[str, str], task: int, *, cpus: int, thp: str, is_first: bool = True,
        page_size: int = PAGE, touches: bool = True,
    ) -> None:  # fmt: skip
        try:
            release = version_of(version)
        except ValueError as error:
            raise UsageError(f"no model of this C library: {error}", "", "--libc with a release it is like") from error
        self._version = version
        self._kernel, self._page = RecordedKernel(), page_size
        self._model = Glibc(
            release, read_tunables(environment, release), main_task=task, kernel=self._kernel, cpus=cpus,
            page_size=page_size, huge_page=0 if thp == "never" else PageSizes(page_size).huge_page,
            huge_advised=thp == "madvise", has_break=is_first, touches=touches,
        )  # fmt: skip
        self._heap = 0
        self._lent: dict[int, int] = {}
        self._before = self._predicted = 0
        self._frees_stranger = False

    def copy(self, task: int, child: int) -> GlibcSide:
        """Return the allocator of a child that the thread *task* forked."""
        twin = self._beside()
        twin._model = self._model.copy(task=task, child=child, kernel=twin._kernel)
        return twin

    def twin(self) -> GlibcSide:
        """Return a second one of the same process, in the same state."""
        twin = self._beside()
        twin._model, twin._lent = self._model.twin(twin._kernel), dict(self._lent)
        twin._before, twin._predicted, twin._frees_stranger = self._before, self._predicted, self._frees_stranger
        return twin

    def _beside(self) -> GlibcSide:
        """Return another one with the same break, to which a model is to be given."""
        twin = GlibcSide(self._version, {}, 0, cpus=1, thp="never", page_size=self._page)
        twin._kernel, twin._heap = RecordedKernel(self._kernel.end), self._heap
        return twin

    def chunks(self) -> list[Chunk]:
        """Return every chunk there is, in the order of their addresses."""
        return self._model.chunks()

    @property
    def is_certain(self) -> bool:
        """Whether nothing of the heap is open."""
        return self._model.is_sure

    @property
    def weight(self) -> int:
        """Bytes that a twin takes, roughly."""
        return self._model.weight

    def same_as(self, other: GlibcSide) -> bool:
        """Whether both are in the same state."""
        return self._model.facts() == other._model.facts()

    @property
    def heap_bytes(self) -> int:
        """Bytes between where the break was first seen and where it is."""
        return self._kernel.end - self._heap if self._heap else 0

    # ---- what happens outside the allocator -----------------------------------------------------------------

    def outside(self, event: Syscall) -> None:
        """A memory system call that no allocator call made: the program, or the C library's start, moves the break.

        The loader, and the start of a static program, ask the kernel by themselves, which the library does not learn.
        """
        call = memory_call(event)
        if not isinstance(call, Break) or call.end is None:
            return
        self._heap = self._heap or call.end
        if _is_start_up(event):
            self._kernel.end = call.end
            return
        moved = 0 if call.is_question else call.asked - self._kernel.end
        self._kernel.begin([_system_call(event)])
        self._model.sbrk(moved)
        self._kernel.finish()
        self._kernel.mismatches.clear()

    def start_thread(self, task: int) -> None:
        """A thread was created."""
        self._model.start_thread(task)

    def lend(self, task: int, child: int) -> None:
        """The thread *task* made *child* by vfork, which uses its memory, its cache included, until it execs."""
        self._lent[child] = self._lent.get(task, task)

    def end_thread(self, task: int) -> None:
        """A thread ended: its cache is given back. One that holds what the model knows nothing of was led astray."""
        try:
            self._model.end_thread(task)
        except LookupError:
            self._model.lose()

    def has_arena(self, task: int) -> bool:
        """Whether the thread *task* has an arena already."""
        return self._model.has_arena(self._lent.get(task, task))

    def predecessors(self, call: Call, inside: Sequence[Syscall]) -> tuple[int, Sequence[int]]:
        """Return whose arena *call* gives its thread, 0 if nobody's, and whose it would if they had left it last.

        Where the pointer tells the arena, the latter are none or one; where it does not (freeing, mapped pieces), any.
        """
        if self.has_arena(call.tid):
            return 0, ()
        task = self._lent.get(call.tid, call.tid)
        seen = self._seen(call, inside)
        tells = seen.result and (seen.mapping is None or not seen.mapping[0] < seen.result < sum(seen.mapping))
        return self._model.predecessors(task, seen.result if tells else None)

    def pass_on(self, task: int) -> None:
        """The thread *task*, which lives or has ended, was the last to leave its arena to others."""
        try:
            self._model.pass_on(task)
        except LookupError:
            self._model.lose()

    # ---- calls ----------------------------------------------------------------------------------------------

    def predict(self, call: Call, inside: Sequence[Syscall]) -> ExactPrediction:
        """Do what *call* asks; *inside* are the system calls that were recorded in it."""
        if not self._heap:
            self._heap = next((event.result for event in inside if event.name == "brk" and event.result), 0)
        self._before = self._kernel.end
        model = self._model
        self._frees_stranger = call.op in FREEING and model.is_stranger(call.pointer or 0)
        if not model.is_sure:
            seen, task = self._seen(call, inside), self._lent.get(call.tid, call.tid)
            if not model.is_certain(seen, task):
                return self._taken_as_seen(call, inside, seen, task)
        return self._modelled(call, inside)

    def _modelled(self, call: Call, inside: Sequence[Syscall]) -> ExactPrediction:
        kernel = self._kernel
        kernel.begin(_taken(inside) if inside else ())
        wrong: tuple[Mismatch, ...] = ()
        try:
            outcome = self._do(call)
        except (BadWorkload, LookupError, ValueError) as error:
            # A record that cannot be true (a double free, say) leads the model's lists astray in any way.
            outcome = Outcome(0, str(error))
            wrong = (Mismatch("nothing", f"{call.op}, which the model cannot follow"),)
        kernel.finish()
        if kernel.mismatches:
            wrong += tuple(
                Mismatch(asked.text if asked else "none", recorded.text if recorded else "none", asked)
                for asked, recorded in kernel.mismatches
            )
            kernel.mismatches.clear()
        pointer = self._predicted = outcome.pointer
        reaches = tuple([Reach(*touch, "allocator") for touch in outcome.touched]) if outcome.touched else ()
        return ExactPrediction(
            pointer, outcome.served_by, tuple(outcome.asks), wrong, reaches, self._model.arenas_used()
        )  # fmt: skip

    def _taken_as_seen(self, call: Call, inside: Sequence[Syscall], seen: Seen, task: int) -> ExactPrediction:
        self._kernel.begin(_taken(inside))
        done = self._model.take_as_seen(seen, task)
        self._kernel.finish()
        self._kernel.mismatches.clear()
        if not done and call.op not in _PLAIN:
            self._predicted = 0
            self.adopt(call, inside)
        elif not done:
            self._kernel.end = self._before
            prediction = self._modelled(call, inside)
            if prediction.wrong or (call.op in ALLOCATING and prediction.pointer != seen.result):
                self.adopt(call, inside)
            else:
                self._model.unsettle(seen)
        return ExactPrediction(call.result or 0, "", (), (), (), is_certain=False)

    def adopt(self, call: Call, inside: Sequence[Syscall]) -> None:
        """*call*, predicted last, came otherwise: go on with what it shows, and leave open what it leaves open."""
        if self._frees_stranger and not inside:
            self._model.take_stranger(call.pointer or 0)
        else:
            self._model.give_up(self._seen(call, inside), self._predicted, self._lent.get(call.tid, call.tid))

    def lose(self) -> None:
        """Calls were made that nobody recorded: tell nothing any more."""
        self._model.lose()

    def _seen(self, call: Call, inside: Sequence[Syscall]) -> Seen:
        after, mapping = self._before, None
        for event in inside:
            made = memory_call(event)
            if isinstance(made, Break) and made.end is not None:
                after = made.end
            elif isinstance(made, Map) and made.start is not None and not made.reserves:
                mapping = made.start, made.size(self._page)
            elif isinstance(made, Move) and made.new_start is not None:
                mapping = made.new_start, made.new_size(self._page)
        allocates = call.op in ALLOCATING
        return Seen(
            request_of(call, self._page) if allocates else None, alignment_of(call, self._page) if allocates else 0,
            call.pointer or 0 if OPERATIONS[call.op].releases else 0, call.result or 0 if allocates else 0,
            self._before or after, after, mapping, (call.pointer or 0) if allocates else 0,
        )  # fmt: skip

    def describe(self, call: Call) -> str:
        """Return in words what the model holds for the size of *call*."""
        return self._model.describe(call.bytes_asked, call.tid)

    def _do(self, call: Call) -> Outcome:
        model, task, size = self._model, self._lent.get(call.tid, call.tid), call.size or 0
        if call.op == "malloc":
            return model.malloc(size, task)
        if call.op in ("free", "cfree"):
            return model.free(call.pointer or 0, task)
        if call.op == "calloc":
            return model.calloc(call.count or 0, size, task)
        if call.op == "realloc":
            return model.realloc(call.pointer or 0, size, task)
        if call.op == "reallocarray":
            return model.reallocarray(call.pointer or 0, call.count or 0, size, task)
        alignment = call.alignment or 0
        if call.op == "memalign":
            return model.memalign(alignment, size, task)
        if call.op == "aligned_alloc":
            return model.aligned_alloc(alignment, size, task)
        if call.op == "posix_memalign":
            return model.posix_memalign(alignment, size, task)
        if call.op == "valloc":
            return model.valloc(size, task)
        if call.op == "pvalloc":
            return model.pvalloc(size, task)
        if call.op == "malloc_trim":
            return model.malloc_trim(size)
        if call.op == "mallopt":
            return model.mallopt(call.parameter or 0, call.value or 0)
        return Outcome(model.malloc_usable_size(call.pointer or 0))


@dataclass(frozen=True, slots=True)
class GlibcMaker:
    """Makes the models of a run's processes, of one release on one machine.

    `environment` is that of programs whose own was not recorded; `page_size` in bytes. Without `touches` predictions do
    not tell what the allocator itself reads and writes, and take less time.

    Raises:
        UsageError: when called, if the release is not one that the model knows.
    """

    version: str
    environment: Mapping[str, str]
    cpus: int
    thp: str
    page_size: int = PAGE
    touches: bool = True

    def __call__(self, task: int, environment: Mapping[str, str] | None = None, *, is_first: bool = True) -> GlibcSide:
        """Return the model of a process with the first thread *task*."""
        given = self.environment if environment is None else environment
        return GlibcSide(
            self.version, given, task, cpus=self.cpus, thp=self.thp, is_first=is_first, page_size=self.page_size,
            touches=self.touches,
        )  # fmt: skip


def _is_start_up(event: Syscall) -> bool:
    site = event.site
    if site is None:
        return False
    return (site.module or "").startswith(_LOADERS) or (site.function or "") in _EARLY


def _taken(inside: Sequence[Syscall]) -> list[SystemCall]:
    return [_system_call(event) for event in inside if event.name in SYSTEM_CALLS]


def _system_call(event: Syscall) -> SystemCall:
    arguments = event.args[: WORDS[event.name]]
    return SystemCall(event.name, arguments, None if event.errno is not None else event.result)
