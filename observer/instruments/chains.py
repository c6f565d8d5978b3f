"""Who called whom: the chain of callers that a piece of stack tells of, each different one walked once.

A frame is left by the call-frame rules of its code, which hold at every instruction; where there are none, by the frame
pointer, if that leads to what a call returns to. What a walk read decides all of it: the same words at the same places
make the same chain. So what was walked is kept as a tree of the words that were read, in their order, and who comes
with a piece of stack goes down that tree, until a word is new.

Words that are looked for by the stack pointer (saved frame pointers) count from it, return addresses do not: a function
that is called at another depth has another stack, and the same chain.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from observer.arch.known import NATIVE
from observer.code.unwind import FP, KEPT, Frame, cfa_of, step
from observer.instruments.places import CodeMap, StackPiece
from observer.model.through import Through

__all__ = ["DEEPEST", "Chain", "Chains"]

DEEPEST: Final = 64
"""Callers that are asked for at most, and frames that are walked through to find one that is not seen through."""
_LIBRARY_ROLES: Final = frozenset({"libc", "loader"})
_MOST_KNOWN: Final = 1 << 18
"""Words that are kept of all walks."""
_BACK, _BP, _BX = -1, -2, -3
"""Places of what a walk begins with; words of the piece have theirs from 0 on."""


class Chain(NamedTuple):
    """The addresses that calls return to, the innermost first.

    `told` is the place among them of the first caller that is not seen through, -1 if there is none. `is_whole` says
    that the last was called by nobody: a program's or a thread's first function.
    """

    addresses: tuple[int, ...]
    told: int
    is_whole: bool


@dataclass(slots=True)
class _Read:
    """What a walk reads next: the word at a *place*, which counts from the stack pointer or does not.

    `then` has by the word what is read after it, or the chain. A word that lies outside the piece is None.
    """

    place: int
    is_relative: bool
    then: dict[int | None, _Read | Chain] = field(default_factory=dict)


class Chains:
    """The chains of one address space, for as long as its *code* stays what it is.

    Args:
        most: callers that are kept of each chain, 1 to DEEPEST; more are walked through for one that is told.
        through: which functions are seen through, besides the C library's and the loader's.
    """

    def __init__(self, code: CodeMap, most: int, through: Through) -> None:
        self._code, self._most, self._through = code, most, through
        self._changes = code.changes
        self._root = _Read(_BACK, is_relative=False)
        self._known = 0

    def of(self, piece: StackPiece) -> Chain:
        """Return who called, by the stack of the code that is returned to at the *piece*'s ip: the first caller."""
        if self._changes != self._code.changes or self._known > _MOST_KNOWN:
            self._changes, self._known = self._code.changes, 0
            self._root = _Read(_BACK, is_relative=False)
        at: _Read | Chain | None = self._root
        words = _words(piece)
        while isinstance(at, _Read):
            at = at.then.get(_value(piece, words, at.place, at.is_relative))
        return at if at is not None else self._learn(piece, words)

    def _learn(self, piece: StackPiece, words: memoryview) -> Chain:
        walk = _Walk(self._code, piece)
        addresses, told = [piece.ip], -1
        while True:
            if told < 0 and not self._is_seen_through(addresses):
                told = len(addresses) - 1
            if len(addresses) >= DEEPEST or (told >= 0 and len(addresses) >= self._most) or not walk.go_on():
                break
            addresses.append(walk.frame.ip)
        is_whole = walk.is_whole and len(addresses) <= self._most
        chain = Chain(tuple(addresses[: max(self._most, told + 1)]), told, is_whole)
        at = self._root
        for (place, is_relative), following in zip(walk.reads, [*walk.reads[1:], None], strict=True):
            word = _value(piece, words, place, is_relative)
            if following is None:
                at.then[word] = chain
                break
            known = at.then.get(word)
            if not isinstance(known, _Read):
                known = at.then[word] = _Read(*following)
                self._known += 1
            at = known
        return chain

    def _is_seen_through(self, addresses: list[int]) -> bool:
        """Whether the last of the callers is; behind code that is known, no code of nobody's is told."""
        role, site = self._code.caller(addresses[-1])
        is_nobodys = not role and len(addresses) > 1
        return is_nobodys or role in _LIBRARY_ROLES or self._through.has(site.function)


class _Walk:
    """One walk up a piece of stack; `reads` are the places of what decided where it went, in their order."""

    def __init__(self, code: CodeMap, piece: StackPiece) -> None:
        self._code, self._piece = code, piece
        self.frame = Frame(piece.ip, piece.sp, piece.bp, piece.bx)
        self._bp_from, self._bx_from = _BP, _BX
        self.reads: list[tuple[int, bool]] = [(_BACK, False)]
        self.is_whole = False

    def go_on(self) -> bool:
        """Go to the caller's frame; return whether there is one that is known."""
        frame, piece = self.frame, self._piece
        rule = self._code.rule_before(frame.ip)
        if rule is None:
            return self._by_frame_pointer()
        if rule.is_last:
            self.is_whole = True
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
        if rule.saved_rbp is not None:
            self._bp_from = self._place(cfa + rule.saved_rbp)
        if rule.saved_rbx is not None:
            self._bx_from = self._place(cfa + rule.saved_rbx)
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
        """Return which word of the piece lies at *address*; one that none lies at is the last of all."""
        place, odd = divmod(address - self._piece.sp, self._piece.size)
        return place if place >= 0 and not odd else len(self._piece.data)

    def _read(self, place: int, *, is_relative: bool) -> None:
        self.reads.append((place, is_relative))


def _words(piece: StackPiece) -> memoryview:
    whole = len(piece.data) // piece.size * piece.size
    return memoryview(piece.data)[:whole].cast("Q" if piece.size == 8 else "I")


def _value(piece: StackPiece, words: memoryview, place: int, is_relative: bool) -> int | None:
    if place >= 0:
        if place >= len(words):
            return None
        value: int = words[place]
    else:
        value = piece.ip if place == _BACK else piece.bp if place == _BP else piece.bx
    return value - piece.sp if is_relative else value
