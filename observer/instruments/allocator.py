"""Allocator calls by software breakpoints, wherever the family is defined: what is recorded of a call.

One event is made per outermost call; calls of the family made inside it are counted, not recorded. A signal
handler's calls are not inside the call that the signal interrupted.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Mapping, Sequence
from time import monotonic_ns
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

from observer.arch.known import NATIVE
from observer.code.elf import Elf
from observer.instruments.call_stacks import CallStacks
from observer.instruments.heap_snapshots import HeapSnapshots
from observer.instruments.observed import ObserversPages
from observer.instruments.planting import Planter, family_in, named_in
from observer.instruments.stack_pieces import StackPieces
from observer.instruments.stacks import keep_stack
from observer.instruments.standing import Standing
from observer.linux.ptrace import RegisterSet
from observer.model.operations import FAMILY
from observer.recording.notes import Allocator, Aside, Handler
from observer.recording.records import COUNTED, LEFT, RETURNED
from observer.recording.sink import Sink
from observer.recording.slots import IS_MORE, MORE
from observer.tracee.calls import CallFollower
from observer.tracee.frames import Frame, Interruption
from observer.tracee.inline.space import Space
from observer.tracee.memory import Memory
from observer.tracee.task import Task

__all__ = ["AllocatorCalls"]

_RDI, _RSI, _RDX, *_ = NATIVE.registers.arguments
_POSIX_MEMALIGN: Final = next(i for i, operation in enumerate(FAMILY) if operation.name == "posix_memalign")
_THREE_WORDS: Final = struct.Struct("<III")
_MASK_32: Final = 0xFFFF_FFFF
_NO_ROLES: Final[Mapping[str, str]] = MappingProxyType({})
_MASK: Final = 0xFFFF_FFFF_FFFF_FFFF


class AllocatorCalls:
    """Has breakpoints in whatever defines the family, and makes records of its outermost calls.

    So it has in functions of the program that play *roles* of the family, by their names.
    """

    def __init__(
        self, sink: Sink, pages: ObserversPages, follower: CallFollower, snapshots: HeapSnapshots | None = None,
        roles: Mapping[str, str] = _NO_ROLES, stacks: CallStacks | None = None,
    ) -> None:  # fmt: skip
        self._sink = sink
        self._stacks = stacks
        self._roles = roles
        self._unnamed = set(roles)
        self._snapshots = snapshots
        self._follower = follower
        listener = follower.tell(self)
        self._planter = Planter(listener)
        self._standing = Standing(pages, listener)
        self._implementations = 0
        self._begun = 0
        self._returned = 0
        self._left = 0
        self._cut = 0
        self.inline = 0
        self.overwrote: set[int] = set()
        self._pieces = StackPieces(sink)

    @property
    def refused(self) -> dict[str, str]:
        """Which functions were found and could not be planted in, and why."""
        return self._planter.refused

    @property
    def planted(self) -> dict[str, int]:
        """In how many functions of each file breakpoints were planted."""
        return self._planter.planted

    def counts(self) -> dict[str, int]:
        """Return how many calls were begun, returned, left by a jump, and cut by their thread's end."""
        return {
            "calls_begun": self._begun, "calls_returned": self._returned, "calls_left": self._left,
            "calls_unreturned": self._cut, "calls_inline": self.inline, "calls_internal": self._follower.internal,
            "calls_unread": self._follower.unread, "calls_refused": len(self.refused),
            "breakpoints": self._standing.expected, "breakpoints_standing": self._standing.found,
            "breakpoints_moved": self._standing.moved, "breakpoints_planted_again": self._standing.planted_again,
        }  # fmt: skip

    @property
    def nowhere(self) -> list[str]:
        """Which functions that play a role were in no file that was loaded."""
        return sorted(self._unnamed)

    def plant(self, task: Task, elf: Elf, bias: int, start: int, end: int, role: str) -> int:
        """Plant in every function of the family in *elf* that [start, end) holds; return in how many."""
        named = named_in(elf, role, self._roles)
        self._unnamed -= {function.name for function in named}
        planted = 0
        allocators = task.memory.allocators if task.memory is not None else {}
        for found, is_glibc in ((family_in(elf, role), _is_glibcs(elf)), (named, False)):
            # A loader may map a file twice in its place: it is one allocator (AArch64's does so to all).
            key = elf.identity, start, found is named
            number = allocators.get(key, self._implementations + 1)
            count = self._planter.plant(task, elf, bias, start, end, role, number, found)
            if count and number > self._implementations:
                self._implementations = allocators[key] = number
                self._note(task, elf, bias, is_glibc=is_glibc)
            planted += count
        return planted

    def _note(self, task: Task, elf: Elf, bias: int, *, is_glibc: bool) -> None:
        """Note the allocator that was planted in last."""
        assert task.memory is not None
        if is_glibc:
            task.memory.glibcs.append((elf, bias))
        number = self._implementations
        prologues = {
            (point.entry, point.address) for point in task.memory.breakpoints.values()
            if point.implementation == number and point.pushed
        }  # fmt: skip
        self._sink.notes.append(
            Allocator(
                pid=task.pid, t=monotonic_ns(), number=number, path=elf.path, is_glibc=is_glibc,
                prologues=tuple(sorted(prologues)),
            )
        )  # fmt: skip

    # ---- calls, as the follower tells of them ----

    def began(self, task: Task, memory: Memory, frame: Frame, registers: RegisterSet) -> None:
        """See Listener."""
        if memory.word == 8:
            words = registers.words
            frame.first, frame.second, frame.third = words[_RDI], words[_RSI], words[_RDX]
        else:
            arguments = memory.pread(_THREE_WORDS.size, frame.sp + memory.word)
            frame.first, frame.second, frame.third = _THREE_WORDS.unpack(arguments)
        if self._stacks is not None:
            frame.stack = self._stacks.at(task, memory, frame, registers)
        else:
            for start, end in memory.libc_text:
                if start <= frame.return_address < end:
                    frame.stack = keep_stack(self._sink, memory, frame.began, frame.sp, registers)
        self._begun += 1

    def returned(self, task: Task, memory: Memory, frame: Frame, result: int) -> None:
        """See Listener."""
        self._returned += 1
        now = monotonic_ns()
        if memory.word == 4:
            result &= _MASK_32
        if frame.point.number == _POSIX_MEMALIGN:
            result = self._stored(memory, frame.first) if result & _MASK_32 == 0 else 0
        number = self._record(task, frame, now, result, RETURNED)
        if self._snapshots is not None and number:
            self._snapshots.returned(task, memory, frame, now)

    def _stored(self, memory: Memory, address: int) -> int:
        """Return what posix_memalign(3) has stored at *address*; 0 where that cannot be read."""
        try:
            return memory.read_word(address)
        except OSError as error:
            if error.errno == errno.ESRCH:
                raise
            self._follower.unread += 1
            return 0

    # ---- calls, as the inline recorder tells of them ----

    def recorded(
        self, pid: int, tid: int, records: npt.NDArray[np.void], count: int, pieces: npt.NDArray[np.void], space: Space
    ) -> None:
        """See InlineCalls."""
        if len(pieces):
            now, second = monotonic_ns(), records.view(MORE)
            [has_piece] = np.nonzero((second["function"] == IS_MORE) & (second["stack"] != 0))
            places, each = np.unique(second["stack"][has_piece], return_inverse=True)
            numbers = np.array(self._kept(pieces, (places - np.uint64(1)).tolist(), now, space), dtype=np.uint64)
            second["stack"][has_piece] = numbers[each]
        self._begun += count
        self._returned += count
        self.inline += count
        self._sink.inline.append_of(pid, tid, records, count)

    def taken_over(self, task: Task, frame: Frame, piece: np.void | None, space: Space) -> None:
        """See InlineCalls."""
        self._begun += 1
        if piece is not None:
            [frame.stack] = self._kept(piece.reshape(1), [0], max(frame.began, 1), space)

    def internal(self, count: int) -> None:
        """See InlineCalls."""
        self._follower.internal += count

    def overwritten(self, pid: int, count: int) -> None:
        """See InlineCalls."""
        self.overwrote.add(pid)
        self._sink.inline.lose(count)

    def _kept(
        self, pieces: npt.NDArray[np.void], places: Sequence[int], now: int, space: Space
    ) -> list[int]:  # fmt: skip
        """Return the numbers of the pieces of stack at these *places*."""
        if self._stacks is not None:
            return self._stacks.of(space, now, pieces, places)
        return self._pieces.of(space, pieces, places, now)

    # ---- and of both ----

    def lost(self, task: Task, frame: Frame, now: int, how: int) -> None:
        """See Listener."""
        if how == LEFT:
            self._left += 1
        else:
            self._cut += 1
        self._record(task, frame, now, 0, how)

    def _record(self, task: Task, frame: Frame, ended: int, result: int, flags: int) -> int:
        if frame.counter:
            flags |= COUNTED
        return self._sink.calls.append(
            frame.counter or frame.began, ended, task.pid, task.tid, frame.point.number, flags, frame.inner,
            frame.first, frame.second, frame.third, result & _MASK, frame.return_address, frame.sp, frame.stack,
            frame.point.implementation,
        )  # fmt: skip

    def set_aside(self, task: Task, frame: Frame) -> None:
        """See Listener."""
        self._sink.notes.append(Aside(pid=task.pid, tid=task.tid, t=monotonic_ns(), sp=frame.sp))

    def handled(self, task: Task, handler: Interruption) -> None:
        """See Listener."""
        self._sink.notes.append(Handler(pid=task.pid, tid=task.tid, t=handler.began, end=monotonic_ns(), sp=handler.sp))

    def code_changes(self) -> None:
        """Code is about to be mapped: take what was recorded before, whose stacks are of the code as it is."""
        if self._stacks is not None and self._follower.inline is not None:
            self._follower.inline.pace()

    # ---- breakpoints are looked after ----

    def text_changed(self, task: Task, start: int, end: int, *, is_writable: bool = False) -> None:
        """A call of the program's returned that may have changed the code of [start, end), or allows to change it."""
        if task.memory is not None and task.memory.holds_any(start, end):
            task.memory.tid = task.tid
            if is_writable and self._follower.inline is not None:
                self._follower.inline.remove(task, start, end)  # who copies code copies an int3, not half a jump
            self._standing.check(task, start, end)

    def settle(self, task: Task) -> None:
        """The address space of *task* is about to end: count what stands of what was planted."""
        if self._follower.inline is not None:
            self._follower.inline.flush()  # it may have come by what does not stand any longer
        self._standing.settle(task)

    @property
    def altered(self) -> list[str]:
        """In words, where calls may be missing because the program changed what is ours."""
        return [
            f"{name}: the program changed the code where a breakpoint stood ({count} times): calls are missing"
            for name, count in sorted(self._standing.altered.items())
        ] + [
            f"process {pid} wrote over the memory of the recorder inside it: calls are missing (--recorder breakpoint)"
            for pid in sorted(self.overwrote)
        ]


def _is_glibcs(elf: Elf) -> bool:
    """Whether the allocator that *elf* defines is glibc's own, which has these names for itself, static or shared."""
    public, own = ({symbol.address for symbol in elf.definitions_of([name])} for name in ("malloc", "__libc_malloc"))
    return elf.defines("__libc_mallopt") and bool(public & own)
