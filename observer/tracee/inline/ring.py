"""The memory that stub and observer share: a table of threads, and for each thread a block with its records.

The program has it mapped as a file without a name (memfd_create(2)); so have we. A thread fills one half of its block
while the other is emptied. While it runs nobody changes a block, but closed records may be taken at any time: what
lies below STATE was written before it, and stays (x86 keeps the order of stores, AArch64's stub asks for it).
"""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from observer.recording.clock import counted
from observer.recording.slots import HAPPENED, OPEN, unfolded, whole
from observer.tracee.inline.shapes import FEW_PIECES, HEAD, RECORD, SLOTS, TABLE, Shape, Shapes

__all__ = ["Block", "Filled", "Pieces", "Ring"]

_GONE: Final = b"\xff" * 8 + bytes(8)
"""An entry of the table that was taken out: who looks for another goes on."""
_MASK: Final = 0xFFFF_FFFF_FFFF_FFFF
_STATE, _LIMIT, _IS_SLOW, _ALWAYS, _WISH, _SEEN, _OPEN_BEGAN, _OPEN_STACK, _HEAD = range(9)
_OPEN_A2, _ZERO, _INTERNAL, _PIECE, _PIECE_LIMIT, _STACK, _STACK_SPAN, _STACK_END = range(11, 19)
_TIME_PASSED, _HAPPENED = 1, 2
_MANY: Final = 64
"""Threads with blocks; further ones have smaller ones."""


@dataclass(frozen=True, slots=True)
class Pieces:
    """All pieces of stack of a half, where they lie; `first` is the address of the first."""

    there: npt.NDArray[np.void]
    first: int


@dataclass(frozen=True, slots=True)
class Filled:
    """What a thread has written and nobody has taken, where it lies, with the pieces of its half."""

    records: npt.NDArray[np.void]
    pieces: Pieces


class Block:
    """The part of one thread; `pid` and `tid` say whose calls it holds, `base` is the thread's (%fs's, or
    TPIDR_EL0).

    It lies at *offset* of *view*, which the program has at the address *start*. A half that is full is `pending` until
    it was taken.
    """

    def __init__(self, view: mmap.mmap, start: int, offset: int, shape: Shape) -> None:
        self._view = view
        self._start_of_view = start
        self._offset = offset
        self.shape = shape
        self._words = memoryview(view)[offset : offset + HEAD].cast("Q")
        self._half = self._taken = 0
        self.pid = self.tid = self.base = 0
        self.pending: Filled | None = None
        self._is_known_briefly = False
        self._begin_half()
        self._words[_IS_SLOW] = self._words[_INTERNAL] = 0
        self.know_stack(0, 0, 0)
        self._words[_SEEN] = self._words[_ZERO] = 0
        self.read_clock_always()

    @property
    def address(self) -> int:
        """Where the program has it."""
        return self._start_of_view + self._offset

    @property
    def is_open(self) -> bool:
        """Whether a call is open."""
        return bool(self._words[_STATE] & 1)

    @property
    def is_sound(self) -> bool:
        """Whether what it says of itself can be so: the program may write into this memory as into any other."""
        records, pieces, end = self._borders()
        state, limit, piece, most = self.next, self._words[_LIMIT], self._words[_PIECE], self._words[_PIECE_LIMIT]
        taken = records + self._taken * RECORD.itemsize
        are_whole = not ((state - records) % RECORD.itemsize or (piece - pieces) % self.shape.piece.itemsize)
        return (
            (limit, most) == (pieces - RECORD.itemsize, end) and taken <= state <= pieces <= piece <= end and are_whole
        )

    def begin_anew(self) -> None:
        """Forget what is there; its thread's calls are followed from outside."""
        self._begin_half()
        self.be_slow(True)
        self.know_stack(0, 0, 0)

    def be_slow(self, value: bool) -> None:
        """Have its thread's calls followed from outside, or no longer."""
        self._words[_IS_SLOW] = value

    # ---- the clock ----

    def read_clock_always(self) -> None:
        """Have the stub read the clock at each beginning and end of a call."""
        self._words[_ALWAYS] = 1

    def read_clock_where(self, head: int) -> None:
        """Have it be read only where something has happened, or time passed, or the word at *head*, if any, grew."""
        self._words[_HEAD] = head or self.address + 8 * _ZERO
        self._words[_SEEN], self._words[_WISH], self._words[_ALWAYS] = 0, _HAPPENED, 0

    def something_happened(self) -> None:
        """Its thread stands still for what may be recorded: what it does next must be told from that by the clock."""
        self._words[_WISH] = _HAPPENED

    def time_passed(self) -> None:
        """Have the clock be read once, so that times between two readings are not far from either."""
        self._words[_WISH] = self._words[_WISH] or _TIME_PASSED

    def counter_at_hand(self) -> int:
        """Return about when the call of the record at hand began, by the processor's counter; see `counted`."""
        if read := self._words[_OPEN_BEGAN]:
            return int(read) & ~int(HAPPENED)
        start = self._borders()[0]
        count = (self.next - start) // RECORD.itemsize
        records = np.frombuffer(self._view, dtype=RECORD, count=count, offset=start - self._start_of_view)
        calls, unread = unfolded(records[: whole(records)]), np.zeros(1, dtype=np.uint64)
        return int(counted(np.append(calls.began, unread), np.append(calls.ended, unread))[0][-1])

    @property
    def next(self) -> int:
        """The address of the record that is written next, or is open."""
        return self._words[_STATE] & ~1

    def record_at_hand(self) -> np.void:
        """Return a copy of that record, as OPEN has it."""
        first = np.frombuffer(self._view, dtype=RECORD, count=1, offset=self.next - self._start_of_view)
        record = np.zeros(1, dtype=OPEN)
        for name in RECORD.names or ():
            record[name] = first[name]
        for name, at in (("began", _OPEN_BEGAN), ("stack", _OPEN_STACK), ("a2", _OPEN_A2)):
            record[name] = self._words[at]
        found: np.void = record[0]
        return found

    def piece_of(self, record: np.void) -> np.void | None:
        """Return a copy of the piece of stack that belongs to a record of the half at hand, None if there is none."""
        if not record["stack"]:
            return None
        at = int(record["stack"]) - self._start_of_view
        piece: np.void = np.frombuffer(self._view, dtype=self.shape.piece, count=1, offset=at)[0].copy()
        return piece

    def give_up_call(self) -> None:
        """The open call goes on as somebody else's: its record will be written over."""
        self._words[_STATE] &= _MASK - 1

    def take_internal(self) -> int:
        """Return how many calls the library made to itself since this was asked last."""
        count, self._words[_INTERNAL] = self._words[_INTERNAL], 0
        return count

    def know_stack(self, low: int, span: int, end: int, *, briefly: bool = False) -> None:
        """Pointers from *low* on, *span* of them, are in stack that is there, which goes on up to *end*.

        *briefly*: no longer than this half lasts.
        """
        self._words[_STACK], self._words[_STACK_SPAN], self._words[_STACK_END] = low, span, end
        self._is_known_briefly = briefly

    @property
    def is_full(self) -> bool:
        """Whether the half at hand has no room for another record, or none for another piece."""
        words = self._words
        return words[_STATE] >= words[_LIMIT] or words[_PIECE] == words[_PIECE_LIMIT]

    def turn(self) -> None:
        """Go on in the other half, which nobody needs any longer; what is in this one is `pending`."""
        self.pending = self._filled()
        self._half ^= 1
        self._begin_half()
        if self._is_known_briefly:
            self.know_stack(0, 0, 0)

    def take(self) -> Filled:
        """Return what is in the half at hand, to be looked at before its thread goes on, and begin it anew."""
        filled = self._filled()
        self._begin_half()
        return filled

    def take_closed(self) -> Filled:
        """Return what is in the half at hand while its thread goes on; what it says of calls is not changed later."""
        filled = self._filled()
        self._taken += len(filled.records)
        return filled

    def _start(self) -> int:
        return self._offset + HEAD + self._half * self.shape.half

    def _borders(self) -> tuple[int, int, int]:
        """Return the addresses where the half's records begin, its pieces of stack begin, and they end."""
        records = self._start_of_view + self._start()
        pieces = records + self.shape.records * RECORD.itemsize
        return records, pieces, pieces + self.shape.pieces * self.shape.piece.itemsize

    def _begin_half(self) -> None:
        records, pieces, end = self._borders()
        self._words[_STATE], self._words[_LIMIT] = records, pieces - RECORD.itemsize
        self._words[_PIECE], self._words[_PIECE_LIMIT] = pieces, end
        self._taken = 0
        self.time_passed()

    @property
    def pieces(self) -> Pieces:
        """The pieces of stack in the half at hand."""
        _records, first, _end = self._borders()
        count = (self._words[_PIECE] - first) // self.shape.piece.itemsize
        there = np.frombuffer(self._view, dtype=self.shape.piece, count=count, offset=first - self._start_of_view)
        return Pieces(there, first)

    def _filled(self) -> Filled:
        start = self._borders()[0] + self._taken * RECORD.itemsize
        count = (self.next - start) // RECORD.itemsize
        records = np.frombuffer(self._view, dtype=RECORD, count=count, offset=start - self._start_of_view)
        return Filled(records, self.pieces)

    def release(self) -> None:
        """Let go of the shared memory."""
        self.pending = None
        self._words.release()


class Ring:
    """One address space's shared memory: the file *fd*, which the program has at *address*.

    It begins with the table and a block for the first thread; the file is made larger for others. `head` is the
    address of the word by which a thread without others knows when to read the clock, 0 if its stops alone tell, None
    if it always does.
    """

    def __init__(self, fd: int, address: int, shapes: Shapes = FEW_PIECES) -> None:
        self._fd = fd
        self._shapes = shapes
        self.address = address
        self.size = shapes.first
        self.more = shapes.more
        os.ftruncate(fd, self.size)
        self._table = mmap.mmap(fd, self.size)
        self.head: int | None = None
        self.blocks: dict[int, Block] = {}
        self._free = [Block(self._table, address, shapes.first - shapes.large.size, shapes.large)]

    def block_for(self, base: int) -> Block | None:
        """Return a block for the thread with this base, which the table has from now on; None: none is free."""
        slot = self._slot(base, is_new=True)
        if not self._free or slot is None:
            return None
        block = self._free.pop()
        self._table[slot : slot + 16] = self._entry(base, block.address)
        block.base = base
        self.blocks[base] = block
        self.spare_clock(block)
        return block

    def spare_clock(self, block: Block) -> None:
        """Have the clock be read for *block* where `head` tells, if it does."""
        if self.head is not None:
            block.read_clock_where(self.head)

    @property
    def scratch(self) -> int:
        """The address of SCRATCH bytes that nobody uses."""
        return self.address + TABLE

    def read_clock_always(self) -> None:
        """The clock alone tells in which order several threads do what they do."""
        self.head = None
        for block in self.blocks.values():
            block.read_clock_always()

    def leads_to(self, block: Block) -> bool:
        """Whether the table still has it; if not, it has it again."""
        entry = self._entry(block.base, block.address)
        slot = self._slot(block.base)
        stands = slot is not None and self._table[slot : slot + 16] == entry
        if not stands and (slot := self._slot(block.base, is_new=True)) is not None:
            self._table[slot : slot + 16] = entry
        return stands

    def forget(self, block: Block) -> None:
        """The block's thread has no need of it: another may have it."""
        slot = self._slot(block.base)
        if slot is not None:
            self._table[slot : slot + 16] = _GONE
        self.blocks.pop(block.base, None)
        block.base = block.pid = block.tid = 0
        block.be_slow(False)
        block.know_stack(0, 0, 0)
        block.read_clock_always()
        self._free.append(block)

    def _slot(self, base: int, *, is_new: bool = False) -> int | None:
        """Return where the table has *base*, or, if it *is_new*, has room for it; None if nowhere."""
        at = 16 * (base >> 12 & SLOTS - 1)
        while at < TABLE - 16:  # the last one stays empty: who looks for what is not there ends there
            key = self._table[at : at + 8]
            if key == self._entry(base, 0)[:8] or (is_new and key in (_GONE[:8], bytes(8))):
                return at
            if key == bytes(8):
                return None
            at += 16
        return None

    @staticmethod
    def _entry(base: int, address: int) -> bytes:
        return (base + 1 & _MASK).to_bytes(8, "little") + address.to_bytes(8, "little")

    @property
    def needs_more(self) -> bool:
        """Whether the next thread finds no block."""
        return not self._free

    def enlarge(self) -> None:
        """Make the file larger, by `more`. The program must have that part mapped before one of its blocks is used."""
        os.ftruncate(self._fd, self.size + self.more)

    def enlarged(self) -> None:
        """The program has mapped what `enlarge` made."""
        view = mmap.mmap(self._fd, self.more, offset=self.size)
        start = self.address + self.size
        shape = self._shapes.small if len(self.blocks) < _MANY else self._shapes.tiny
        self._free += [Block(view, start, i * shape.size, shape) for i in range(self.more // shape.size)]
        self.size += self.more

    def close(self) -> None:
        """Let go of the memory, and of the file."""
        for block in (*self.blocks.values(), *self._free):
            block.release()
        self.blocks.clear()
        self._free.clear()
        os.close(self._fd)
