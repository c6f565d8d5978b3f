"""Level one, predicted exactly: the calls of a real run through the model of glibc.

The model is told what the kernel answered (where the heap begins, where mappings landed) and nothing else of the run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from observer.errors import BadWorkload, UsageError
from observer.model.account import Reach
from observer.model.events import Call, Syscall
from observer.simulator.glibc.kernel import RecordedKernel, SystemCall
from observer.simulator.glibc.malloc import Glibc, Outcome
from observer.simulator.glibc.tunables import read_tunables
from observer.simulator.glibc.versions import version_of

__all__ = ["ExactPrediction", "GlibcSide"]

_HUGE: Final = 2 << 20
_LOADERS: Final = ("ld-linux", "ld.so", "ld-2")
_EARLY: Final = frozenset({"_dl_early_allocate", "__libc_setup_tls"})
_TAKEN: Final[dict[str, tuple[int, ...]]] = {
    "brk": (0,), "mmap": (0, 1, 2, 3), "munmap": (0, 1), "mremap": (0, 1, 2), "mprotect": (0, 1, 2),
    "madvise": (0, 1, 2),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ExactPrediction:
    """What the model says of a call: its pointer, where it came from, what the allocator touches itself.

    `asked` are the system calls in words, `wrong` those that the run did not make so, each as (asked, recorded).
    """

    pointer: int
    served_by: str
    asked: tuple[str, ...]
    wrong: tuple[tuple[str, str], ...]
    reaches: tuple[Reach, ...]


class GlibcSide:
    """glibc beside one real process.

    Raises:
        UsageError: the release is not one that the model knows.
    """

    name = "glibc"

    def __init__(self, version: str, environment: Mapping[str, str], task: int, *, cpus: int, thp: str) -> None:
        try:
            release = version_of(version)
        except ValueError as error:
            raise UsageError(f"no model of this C library: {error}", "", "--libc with a release it is like") from error
        self._kernel = RecordedKernel()
        self._model = Glibc(
            release, read_tunables(environment, release), main_task=task, kernel=self._kernel, cpus=cpus,
            huge_page=0 if thp == "never" else _HUGE, huge_advised=thp == "madvise",
        )  # fmt: skip
        self._heap = 0
        self._lent: dict[int, int] = {}

    def copy(self, task: int, child: int) -> GlibcSide:
        """Return the allocator of a child that the thread *task* forked."""
        twin = GlibcSide.__new__(GlibcSide)
        twin._kernel = RecordedKernel(self._kernel.end)
        twin._model = self._model.copy(task=task, child=child, kernel=twin._kernel)
        twin._heap, twin._lent = self._heap, {}
        return twin

    @property
    def heap_bytes(self) -> int:
        """Bytes between where the break was first seen and where it is."""
        return self._kernel.end - self._heap if self._heap else 0

    # ---- what happens outside the allocator -----------------------------------------------------------------

    def outside(self, event: Syscall) -> None:
        """A memory system call that no allocator call made: the program, or the C library's start, moves the break.

        The loader, and the start of a static program, ask the kernel by themselves, which the library does not learn.
        """
        if event.name != "brk" or event.result is None or event.errno is not None:
            return
        self._heap = self._heap or event.result
        if _is_start_up(event):
            self._kernel.end = event.result
            return
        moved = event.args[0] - self._kernel.end if event.args[0] else 0
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
        """A thread ended: its cache is given back."""
        self._model.end_thread(task)

    # ---- calls ----------------------------------------------------------------------------------------------

    def predict(self, call: Call, inside: Sequence[Syscall]) -> ExactPrediction:
        """Do what *call* asks; *inside* are the system calls that were recorded in it."""
        if not self._heap:
            self._heap = next((event.result for event in inside if event.name == "brk" and event.result), 0)
        self._kernel.begin([_system_call(event) for event in inside if event.name in _TAKEN])
        impossible: tuple[tuple[str, str], ...] = ()
        try:
            outcome = self._do(call)
        except (BadWorkload, LookupError, ValueError) as error:
            # A record that cannot be true (a double free, say) leads the model's lists astray in any way.
            outcome, impossible = Outcome(0, str(error)), (("nothing", f"{call.op}, which the model cannot follow"),)
        self._kernel.finish()
        wrong = impossible + tuple(
            (_told(asked) if asked else "none", _told(recorded[:2]) if recorded else "none")
            for asked, recorded in self._kernel.mismatches
        )
        self._kernel.mismatches.clear()
        return ExactPrediction(
            outcome.pointer, outcome.served_by, tuple(_told(asked[:2]) for asked in outcome.asks), wrong,
            tuple(Reach(start, length, write, "allocator") for start, length, write in outcome.touched),
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


def _is_start_up(event: Syscall) -> bool:
    site = event.site
    if site is None:
        return False
    return (site.module or "").startswith(_LOADERS) or (site.function or "") in _EARLY


def _system_call(event: Syscall) -> SystemCall:
    arguments = tuple(event.args[i] for i in _TAKEN[event.name])
    return SystemCall(event.name, arguments, None if event.errno is not None else event.result)


def _told(asked: tuple[str, tuple[int, ...]]) -> str:
    name, arguments = asked[0], asked[1]
    return f"{name}({', '.join(hex(argument) for argument in arguments)})"
