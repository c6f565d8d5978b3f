"""Code addresses as places people know: function, file and line; and the walk from library code to the program.

Worked out after the run, from the files that were mapped. Every answer is cached by address.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NamedTuple

from msgspec.structs import replace as replace_image

from observer.arch.known import NATIVE, with_bits
from observer.code import a64
from observer.code.elf import Elf, Identity, load
from observer.code.instructions import access_of, decode, disassemble
from observer.code.lines import line_table
from observer.code.mapped import held
from observer.code.stepping import Frame, Rule, step
from observer.code.unwind import Unwinder
from observer.model.events import Site
from observer.model.filenames import as_name
from observer.model.machine import Image

__all__ = ["LIBRARY_ROLES", "CodeMap", "StackPiece", "file_of", "without_names"]

_DEEPEST: Final = 64
_SHORTEST_CALL: Final = 2
_LONGEST_CALL: Final = 7
LIBRARY_ROLES: Final = frozenset({"libc", "loader"})
"""Whose code is no place of a program's own."""
_PROGRAMS: Final = Rule(-1, 0)
"""Stands for code that is no library's, where a walk ends."""


class StackPiece(NamedTuple):
    """Saved stack bytes from *sp* up, with the registers at that moment. Words have *size* bytes."""

    ip: int
    sp: int
    bp: int
    bx: int
    data: bytes
    size: int = 8

    def word(self, address: int) -> int | None:
        """Return the word at *address*, or None outside the piece."""
        at = address - self.sp
        if 0 <= at <= len(self.data) - self.size:
            return int.from_bytes(self.data[at : at + self.size], "little")
        return None

    def above(self, back: int, words: int) -> StackPiece:
        """Return what lies above the lowest *words* words, as the stack of the code at *back*."""
        skipped = words * self.size
        return StackPiece(back, self.sp + skipped, self.bp, self.bx, self.data[skipped:], self.size)


@lru_cache(maxsize=64)
def _unwinder_of(elf: Elf) -> Unwinder:
    return Unwinder(elf)


def file_of(image: Image) -> Elf | None:
    """Return the file that was mapped, None if neither it nor one with its build id is to be had any more."""
    elf = held(Identity(*image.file)) or load(as_name(image.path))
    if elf is None or (elf.identity != image.file and not (elf.build_id and elf.build_id == image.build_id)):
        return None
    return elf


def without_names(images: Iterable[Image]) -> list[str]:
    """Say of which *images* functions or lines cannot be named, and why."""
    return [why for why in dict.fromkeys(map(_why_nameless, images)) if why]


def _why_nameless(image: Image) -> str:
    elf = file_of(image)
    if elf is None:
        return f"no functions and lines of {image.path}: the file that was mapped has changed or is gone"
    if not line_table(elf).is_readable:
        return f"no lines of {image.path}: its debug information cannot be read"
    return ""


def _beside(image: Image, start: int, end: int) -> list[Image]:
    """Return the parts of *image* outside [start, end)."""
    if image.end <= start or image.start >= end:
        return [image]
    parts = replace_image(image, end=start), replace_image(image, start=end)
    return [part for part in parts if part.start < part.end]


class CodeMap:
    """The images of one process at one time; `changes` is how often that was another time."""

    def __init__(self, images: tuple[Image, ...] = ()) -> None:
        self._images = sorted(images, key=lambda image: image.start)
        self._starts = [image.start for image in self._images]
        self._elves: dict[Image, Elf | None] = {}
        self._sites: dict[int, Site] = {}
        self._access: dict[int, str | None] = {}
        self._callers: dict[int, tuple[str, Site]] = {}
        self._rules: dict[int, Rule | None] = {}
        self._word = 0
        self.changes = 0

    def add(self, image: Image) -> None:
        """Know a further image; what it covers of others is gone."""
        self.changes += 1
        kept = [part for known in self._images for part in _beside(known, image.start, image.end)]
        self._images = sorted([*kept, image], key=lambda known: known.start)
        self._starts = [known.start for known in self._images]
        self._sites.clear()
        self._access.clear()
        self._callers.clear()
        self._rules.clear()

    def copy(self) -> CodeMap:
        """Return an independent copy (fork)."""
        return CodeMap(tuple(self._images))

    @property
    def images(self) -> tuple[Image, ...]:
        """All images in address order."""
        return tuple(self._images)

    @property
    def word(self) -> int:
        """The size of this program's pointers in bytes: 8, or 4 for an i386 program."""
        if self._word == 0 and self._images:
            elf = self._elf(self._images[0])
            self._word = elf.word if elf is not None else 8
        return self._word or 8

    def image_at(self, address: int) -> Image | None:
        """Return the image whose code holds *address*."""
        i = bisect_right(self._starts, address) - 1
        if i >= 0 and address < self._images[i].end:
            return self._images[i]
        return None

    def bias_of(self, path: str) -> int | None:
        """Return the load bias of the file at *path*, or None when none of its code is mapped."""
        return next((image.bias for image in self._images if image.path == path), None)

    def role_at(self, address: int) -> str:
        """Return program, libc, loader, library, or `` for code of no file."""
        image = self.image_at(address)
        return image.role if image else ""

    def site_at(self, address: int) -> Site:
        """Return the place of the instruction at *address*."""
        site = self._sites.get(address)
        if site is None:
            site = self._sites[address] = self._find(address)
        return site

    def site_before(self, return_address: int) -> Site:
        """Return the place of the call that returns to *return_address*."""
        return self.site_at(return_address - 1)

    def caller(self, return_address: int) -> tuple[str, Site]:
        """Return the role of the code at *return_address*, and the place of the call that returns there."""
        known = self._callers.get(return_address)
        if known is None:
            known = self._callers[return_address] = self.role_at(return_address), self.site_before(return_address)
        return known

    def function_before(self, return_address: int) -> str | None:
        """Return the name of the function that calls what returns to *return_address*; no lines are read for that."""
        image = self.image_at(return_address - 1)
        elf = self._elf(image) if image is not None else None
        return elf.function_at(return_address - 1 - image.bias) if elf is not None and image else None

    def _elf(self, image: Image) -> Elf | None:
        if image not in self._elves:
            self._elves[image] = file_of(image)
        return self._elves[image]

    def _find(self, address: int) -> Site:
        image = self.image_at(address)
        if image is None:
            return Site()
        elf = self._elf(image)
        offset = address - image.bias
        module = image.path.rsplit("/", 1)[-1]
        if elf is None:
            return Site(module=module, offset=offset)
        line = line_table(elf).find(offset)
        return Site(
            function=elf.function_at(offset), file=line[0] if line else None, line=line[1] if line else None,
            module=module, offset=offset,
        )  # fmt: skip

    def rule_before(self, return_address: int) -> Rule | None:
        """Return how to leave the code that is returned to at *return_address*, whosever it is; None: nobody knows."""
        image = self.image_at(return_address - 1)
        elf = self._elf(image) if image is not None else None
        return _unwinder_of(elf).rule_at(return_address - 1 - image.bias) if elf is not None and image else None

    def caller_in_program(self, piece: StackPiece, *, at_call: bool = False) -> int | None:
        """Walk from a piece of stack out of the C library and loader; return the return address in the program.

        Args:
            at_call: the piece's ip is itself a return address.
        """
        frame: Frame | None = Frame(piece.ip, piece.sp, piece.bp, piece.bx)
        rules = self._rules
        for _ in range(_DEEPEST):
            if frame is None:
                return None
            at = frame.ip - at_call
            rule = rules[at] if at in rules else self._learn_rule(at)
            if rule is _PROGRAMS:
                return at + 1
            if rule is None:
                return None
            frame = step(frame, rule, piece.word, piece.size)
            at_call = True
        return None

    def _learn_rule(self, address: int) -> Rule | None:
        """Return how to leave the code at *address*: None if nobody knows, _PROGRAMS where it is no library's."""
        image = self.image_at(address)
        rule: Rule | None = None
        if image is not None and image.role not in LIBRARY_ROLES:
            rule = _PROGRAMS
        elif image is not None:
            elf = self._elf(image)
            rule = _unwinder_of(elf).rule_at(address - image.bias) if elf is not None else None
        self._rules[address] = rule
        return rule

    def is_behind_call(self, address: int) -> bool:
        """Whether *address* is where a call returns to: the instruction before it is one (Intel SDM 2, CALL)."""
        if not NATIVE.popped:
            word = a64.word_of(self.code_at(address - a64.LENGTH, a64.LENGTH))
            branch = a64.branch_of(word, address - a64.LENGTH) if word is not None else None
            return branch is not None and branch.is_call
        code = self.code_at(address - _LONGEST_CALL, _LONGEST_CALL)
        lengths = range(_SHORTEST_CALL, len(code) + 1)
        found = (decode(code[-length:], address - length, with_bits(8 * self.word)) for length in lengths)
        return any(
            instruction is not None and (instruction.mnemonic, instruction.size) == ("call", length)
            for instruction, length in zip(found, lengths, strict=True)
        )

    def code_at(self, address: int, length: int = 16) -> bytes:
        """Return the instruction bytes of the file at *address*; empty when it is code of no file."""
        image = self.image_at(address)
        elf = self._elf(image) if image else None
        return elf.read(address - image.bias, length) if image and elf else b""

    def access_at(self, address: int) -> str | None:
        """Return whether the instruction at *address* writes or reads memory; None when undecidable."""
        if address not in self._access:
            code = self.code_at(address)
            self._access[address] = access_of(code, address, with_bits(8 * self.word)) if code else None
        return self._access[address]

    def faulting_at(self, address: int, otherwise: bytes, bits: int) -> str | None:
        """Return the instruction at *address* as text.

        Args:
            otherwise: what was in memory there, for code of no file (the file knows nothing of planted breakpoints).
            bits: 64 or 32, for such code.
        """
        code = self.code_at(address) or otherwise
        return disassemble(code, address, with_bits(bits)) if code else None
