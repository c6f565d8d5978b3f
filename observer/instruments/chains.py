"""Who called whom: the chain of callers that a piece of stack tells of, each different one walked once.

A frame is left by the call-frame rules of its code, which hold at every instruction; where there are none, by the frame
pointer, if that leads to what a call returns to. What a walk read decides all of it: the same words at the same places
make the same chain. So what was walked is kept as a tree of the words that were read, in their order, and who comes
with a piece of stack goes down that tree, until a word is new.

Words that are looked for by the stack pointer (saved frame pointers) count from it, return addresses do not: a function
that is called at another depth has another stack, and the same chain.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from observer.arch.known import NATIVE
from observer.code.stepping import FP, KEPT, Frame, Rule, cfa_of, saved_at, step
from observer.instruments.places import LIBRARY_ROLES, StackPiece
from observer.model.through import Through
from observer.recording.records import MOST_CALLERS

__all__ = ["HEAD", "Chain", "Chains", "words_of"]

HEAD: Final = 4
"""Words in front of those of a stack: how many bytes these have, and the registers sp, bp and bx."""
_SP, _BP, _BX = 1, 2, 3
_BACK: Final = HEAD if NATIVE.popped else _BX
"""The word that a call returns to: on top of the stack, or in the register `kept`."""
_MOST_KNOWN: Final = 1 << 18
"""Words that are kept of all walks."""
_NOWHERE: Final = 1 << 60
_PUSHED: Final = NATIVE.popped // NATIVE.word
"""Words that a call pushes."""
_HEADS: Final = {8: (struct.Struct("<4Q"), "Q"), 4: (struct.Struct("<4I"), "I")}


def words_of(sp: int, bp: int, bx: int, data: bytes, word: int) -> memoryview:
    """Return a piece of stack with its head, as `Chains.of` takes it: words of *word* bytes."""
    head, kind = _HEADS[word]
    whole = len(data) // word * word
    return memoryview(head.pack(whole, sp, bp, bx) + data[:whole]).cast(kind)  # type: ignore[call-overload,no-any-return]


class Code(Protocol):
    """What is asked of the code of an address space: see CodeMap."""

    changes: int

    def image_at(self, address: int) -> object | None:
        """Return the image whose code holds *address*."""

    def role_at(self, address: int) -> str:
        """Return program, libc, loader, library, or `` for code of no file."""

    def function_before(self, return_address: int) -> str | None:
        """Return the name of the function that calls what returns to *return_address*."""

    def rule_before(self, return_address: int) -> Rule | None:
        """Return how to leave the code that is returned to at *return_address*; None: nobody knows."""

    def is_behind_call(self, address: int) -> bool:
        """Whether *address* is where a call returns to."""


class Chain:
    """The `addresses` that calls return to, the innermost first; of the same `Chains` the same ones are one value.

    `told` is the address that the call of the first caller returns to that is not seen through, 0 if there is none.
    `is_whole` says that the last was called by nobody: a program's or a thread's first function. `number` is for who
    numbers them.
    """

    __slots__ = ("addresses", "is_whole", "number", "told")

    def __init__(self, addresses: tuple[int, ...], told: int, is_whole: bool) -> None:
        self.addresses, self.told, self.is_whole = addresses, told, is_whole
        self.number = 0


class _Read:
    """What a walk reads next: the word at a *place*, from the head on, which counts from the stack pointer or does not.

    `then` has by the word what is read after it, or the chain. A word that lies behind the piece is None.
    """

    __slots__ = ("is_relative", "place", "then")

    def __init__(self, place: int, is_relative: bool) -> None:
        self.place, self.is_relative = place, is_relative
        self.then: dict[int | None, _Read | Chain] = {}


class Chains:
    """The chains of one address space, for as long as its *code* stays what it is.

    Args:
        most: callers that are kept of each chain, 1 to MOST_CALLERS; more are walked through for one that is told.
        through: which functions are seen through, besides the C library's and the loader's, and code of nobody's behind
            what is known; None: these two's alone.
    """

    def __init__(self, code: Code, most: int, through: Through | None) -> None:
        self._code, self._most, self._through = code, most, through
        self._changes = code.changes
        self._forget()

    def _forget(self) -> None:
        self._walks: dict[int, _Read | Chain] = {}
        self._chains: dict[tuple[tuple[int, ...], int, bool], Chain] = {}
        self._known = 0

    def of_many(self, pieces: npt.NDArray[np.void], places: Iterable[int]) -> list[Chain]:
        """Return who called, by the *pieces* of stack of inline's, at these *places*."""
        if not len(pieces):
            return []
        words, step = pieces.view(np.uint8).data.cast("B").cast("Q"), pieces.dtype.itemsize // NATIVE.word
        most_bytes = pieces.dtype["bytes"].itemsize
        bases = (place * step for place in places)
        return [self.of(words, base, words[base + _BACK], most_bytes) for base in bases]

    def of(self, words: memoryview, base: int, back: int, most_bytes: int) -> Chain:
        """Return who called, by the stack of a function that begins, and returns to *back*.

        Its head stands at *words*[*base*], *most_bytes* of the stack behind that, or fewer if the head says so.
        """
        if self._changes != self._code.changes or self._known > _MOST_KNOWN:
            self._changes = self._code.changes
            self._forget()
        sp, end = words[base + _SP], HEAD + min(words[base], most_bytes) // words.itemsize
        at = self._walks.get(back)
        while type(at) is _Read:
            place = at.place
            word = words[base + place] if place < end else None
            if at.is_relative and word is not None:
                word -= sp
            at = at.then.get(word)
        return at if type(at) is Chain else self._learn(words, base, back, end)

    def _learn(self, words: memoryview, base: int, back: int, end: int) -> Chain:
        sp, bp, bx = words[base + _SP : base + HEAD].tolist()
        piece = StackPiece(back, sp, bp, bx, words[base + HEAD : base + end].tobytes(), words.itemsize)
        walk = _Walk(self._code, piece)
        addresses, told = [back], 0
        while True:
            if not told and not self._is_seen_through(addresses):
                told = addresses[-1]
            if len(addresses) >= MOST_CALLERS or (told and len(addresses) >= self._most) or not walk.go_on():
                break
            addresses.append(walk.frame.ip)
        is_whole = len(addresses) <= self._most and walk.is_at_last
        content = tuple(addresses[: self._most]), told, is_whole
        chain = self._chains.setdefault(content, Chain(*content))
        self._keep(back, walk.reads, chain, words, base, end)
        return chain

    def _keep(
        self, back: int, reads: list[tuple[int, bool]], chain: Chain, words: memoryview, base: int, end: int
    ) -> None:  # fmt: skip
        """Keep that from *back* on these *reads* of these *words* lead to a *chain*."""
        then: dict[Any, _Read | Chain] = self._walks
        word: int | None = back
        for place, is_relative in reads:
            known = then.get(word)
            if type(known) is not _Read:
                known = then[word] = _Read(place, is_relative)
                self._known += 1
            then = known.then
            word = words[base + place] if place < end else None
            if is_relative and word is not None:
                word -= words[base + _SP]
        then[word] = chain

    def _is_seen_through(self, addresses: list[int]) -> bool:
        """Whether the last of the callers is; behind code that is known, no code of nobody's is told."""
        back = addresses[-1]
        role = self._code.role_at(back)
        if self._through is None:
            return role in LIBRARY_ROLES
        is_nobodys = not role and len(addresses) > 1
        return is_nobodys or role in LIBRARY_ROLES or self._through.has(self._code.function_before(back))


class _Walk:
    """One walk up a piece of stack; `reads` are the places of what decided where it went, in their order."""

    def __init__(self, code: Code, piece: StackPiece) -> None:
        self._code, self._piece = code, piece
        self.frame = Frame(piece.ip, piece.sp + _PUSHED * piece.size, piece.bp, piece.bx)
        self._bp_from, self._bx_from = _BP, _BX
        self.reads: list[tuple[int, bool]] = []

    @property
    def is_at_last(self) -> bool:
        """Whether nobody called the frame."""
        rule = self._code.rule_before(self.frame.ip)
        return rule is not None and rule.is_last

    def go_on(self) -> bool:
        """Go to the caller's frame; return whether there is one that is known."""
        frame, piece = self.frame, self._piece
        rule = self._code.rule_before(frame.ip)
        if rule is None:
            return self._by_frame_pointer()
        if rule.is_last:
            return False
        if rule.register == FP:
            self._read(self._bp_from, is_relative=True)
        elif rule.register == KEPT:
            self._read(self._bx_from, is_relative=True)
        if rule.is_stored:
            self._read(self._place(frame.bp + rule.offset), is_relative=True)
        cfa = cfa_of(frame, rule, piece.word, piece.size)
        if cfa is None or cfa % piece.size:
            return False
        if rule.rbp_at is not None or rule.rbx_at is not None:
            self._read(self._bp_from, is_relative=True)
        at_bp, at_bx = saved_at(frame, rule, cfa)
        if at_bp is not None:
            self._bp_from = self._place(at_bp)
        if at_bx is not None:
            self._bx_from = self._place(at_bx)
        self._read(self._place(cfa - piece.size) if NATIVE.popped else self._bx_from, is_relative=False)
        caller = step(frame, rule, piece.word, piece.size)
        if caller is None or caller.ip < piece.size:
            return False
        self.frame = caller
        return True

    def _by_frame_pointer(self) -> bool:
        """Leave code without rules by its frame pointer: the caller's stands there, the return address above it."""
        frame, piece = self.frame, self._piece
        self._read(self._bp_from, is_relative=True)
        if frame.bp < frame.sp or frame.bp % piece.size:
            return False
        self._bp_from = self._place(frame.bp)
        self._read(self._bp_from + 1, is_relative=False)
        bp, back = piece.word(frame.bp), piece.word(frame.bp + piece.size)
        if bp is None or back is None or self._code.image_at(back) is None or not self._code.is_behind_call(back):
            return False
        self.frame = Frame(back, frame.bp + 2 * piece.size, bp, frame.bx)
        return True

    def _place(self, address: int) -> int:
        """Return which word, from the head on, lies at *address*; where none does, one that lies behind them all."""
        place, odd = divmod(address - self._piece.sp, self._piece.size)
        return HEAD + place if place >= 0 and not odd else _NOWHERE

    def _read(self, place: int, *, is_relative: bool) -> None:
        self.reads.append((place, is_relative))
