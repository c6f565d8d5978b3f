"""What the comparison needs of the reference machines. They are given to it; this room knows no machine of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from observer.model.account import Account, Reach
from observer.model.chunks import Chunk
from observer.model.events import Call, Fault, Syscall

__all__ = [
    "AllocatorSide", "AskedCall", "ExactMaker", "ExactPrediction", "ExactSide", "MemorySide", "Mismatch", "Operation",
    "Predicted", "Resolved",
]  # fmt: skip


class Resolved(Protocol):
    """A page fault of the model: what kind it was and how many pages it brought in."""

    @property
    def kind(self) -> str:
        """Why it was taken: first write, copy on write, ..."""

    @property
    def address(self) -> int:
        """Where."""

    @property
    def pages(self) -> int:
        """Pages that came with it."""


class Operation(Protocol):
    """One line of a workload."""

    @property
    def kind(self) -> str:
        """Its first word."""

    @property
    def name(self) -> str:
        """The piece it names, or nothing."""

    @property
    def numbers(self) -> tuple[int, ...]:
        """Its numbers in the order of the text."""

    @property
    def line(self) -> int:
        """Where it stands."""


class Predicted(Protocol):
    """What an allocator says of a call."""

    @property
    def account(self) -> Account:
        """How it was served, and what it asked."""


class AllocatorSide(Protocol):
    """An allocator that is given the calls of a real process."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def heap_bytes(self) -> int:
        """Bytes of its heap."""

    @property
    def largest_free(self) -> int:
        """Bytes of its largest free piece."""

    def predict(self, call: Call) -> Predicted:
        """Do what *call* asks and say how it was served."""

    def copy(self) -> AllocatorSide:
        """Return that of a forked child."""


class MemorySide(Protocol):
    """A model of paging that is given the mappings and accesses of a real process."""

    def covers(self, address: int) -> bool:
        """Whether *address* is modelled."""

    def apply(self, event: Syscall) -> None:
        """Do what a memory system call of the process did."""

    def do(self, kind: str, start: int, length: int) -> int:
        """Do what a workload's operation does to a range; return the faults that the system call takes itself."""

    def access(self, start: int, length: int, *, write: bool) -> tuple[Sequence[Resolved], str | None]:
        """Access a range; return the faults, and the si_code of the signal if it is forbidden."""

    def absent(self, start: int, length: int) -> int:
        """Return how many pages of a range the process has nothing for."""

    def predicted(self, reaches: list[Reach]) -> dict[int, Reach]:
        """Return the pages that *reaches* would fault on, each with the first reach that does."""

    def expects(self, fault: Fault) -> bool:
        """Whether the model faults there, too."""

    def take(self, fault: Fault, *, write: bool | None = None) -> Sequence[Resolved]:
        """Bring in what *fault* brought in."""

    def resident_in_heap(self) -> int:
        """Return the pages of the heap that have frames."""

    def end(self) -> None:
        """The process ends."""

    def copy(self) -> MemorySide:
        """Return that of a forked child."""


class AskedCall(Protocol):
    """A system call that a model asks for."""

    @property
    def name(self) -> str:
        """Which one."""

    @property
    def arguments(self) -> tuple[int, ...]:
        """What is asked."""


class Mismatch(Protocol):
    """A system call that a model asks for and the run did not make so, or the other way round."""

    @property
    def predicted(self) -> str:
        """What the model asks for, in words."""

    @property
    def observed(self) -> str:
        """What was recorded, in words."""

    @property
    def asked(self) -> AskedCall | None:
        """What the model asks for, None if nothing."""


class ExactPrediction(Protocol):
    """What a model says of a call."""

    @property
    def pointer(self) -> int:
        """What the call returns."""

    @property
    def served_by(self) -> str:
        """Where the bytes come from."""

    @property
    def asked(self) -> tuple[AskedCall, ...]:
        """The system calls, in their order."""

    @property
    def wrong(self) -> tuple[Mismatch, ...]:
        """System calls that differ."""

    @property
    def reaches(self) -> tuple[Reach, ...]:
        """What the allocator itself reads and writes."""

    @property
    def arenas(self) -> frozenset[int]:
        """Which arenas it used, by numbers that mean nothing else."""

    @property
    def is_certain(self) -> bool:
        """Whether it was predicted at all; else it was taken as it was seen."""


class ExactSide(Protocol):
    """An allocator that predicts pointers."""

    @property
    def heap_bytes(self) -> int:
        """Bytes of its heap."""

    def predict(self, call: Call, inside: Sequence[Syscall]) -> ExactPrediction:
        """Do what *call* asks, with what the kernel answered."""

    def adopt(self, call: Call, inside: Sequence[Syscall]) -> None:
        """*call*, predicted last, came otherwise: go on with what it shows, and leave open what it leaves open."""

    def lose(self) -> None:
        """Calls were made that nobody recorded: tell nothing any more."""

    def twin(self) -> ExactSide:
        """Return a second one of the same process, in the same state."""

    @property
    def weight(self) -> int:
        """Bytes that a twin takes, roughly."""

    def same_as(self, other: Any) -> bool:
        """Whether both will predict the same for ever."""

    def describe(self, call: Call) -> str:
        """Say what it holds for the size of *call*, in words."""

    def outside(self, event: Syscall) -> None:
        """A system call that no allocator call made."""

    def start_thread(self, task: int) -> None:
        """A thread was created."""

    def end_thread(self, task: int) -> None:
        """A thread ended."""

    def chunks(self) -> list[Chunk]:
        """Return every chunk there is, in the order of their addresses."""

    @property
    def is_certain(self) -> bool:
        """Whether nothing of the memory is open since a call that came otherwise."""

    def has_arena(self, task: int) -> bool:
        """Whether the thread *task* has a part of the memory of its own already."""

    def predecessors(self, call: Call, inside: Sequence[Syscall]) -> tuple[int, Sequence[int]]:
        """Return whose arena *call* gives its thread, 0 if nobody's, and whose it would, as far as its pointer tells,
        if they had left it last.
        """

    def pass_on(self, task: int) -> None:
        """The thread *task*, which lives or has ended, was the last to leave its arena to others."""

    def lend(self, task: int, child: int) -> None:
        """A child of vfork uses the memory of the thread *task* until it execs."""

    def copy(self, task: int, child: int) -> ExactSide:
        """Return that of a child forked by *task*."""


class ExactMaker(Protocol):
    """Makes the exact model of one copy of the allocator."""

    def __call__(self, task: int, environment: Mapping[str, str] | None, *, is_first: bool = True) -> ExactSide:
        """Return that of a process with the first thread *task* and *environment* (None: as the run was asked for).

        A further copy in the process (dlmopen(3)) is not the first, and must leave the break alone.
        """
