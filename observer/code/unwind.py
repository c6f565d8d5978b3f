"""Who called? The rules by which a frame is left, from .eh_frame (System V ABI; Linux Standard Base, DWARF CFI).

The C library keeps no frame pointers, so the caller of code inside it is found by the rules its compiler wrote:
where the caller's stack pointer (the CFA) is, and where rbp and rbx were saved. Only what x86-64 compilers use for
C and C++ is understood; anything else ends the walk, which then names nothing rather than something wrong.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from dataclasses import dataclass
from typing import Final

from observer.arch.architecture import DwarfNumbers
from observer.code.elf import Elf
from observer.code.stepping import FP, KEPT, SP, Rule

__all__ = ["Unwinder"]

_SIZES: Final = {0x0B: ("<i", 4), 0x03: ("<I", 4), 0x0C: ("<q", 8), 0x04: ("<Q", 8)}
_SIGNED: Final = 0x2D
"""DW_CFA_AARCH64_negate_ra_state: from here on return addresses bear a signature, or bear none any more."""
_WORDS: Final = {8: ("<Q", 8), 4: ("<I", 4)}
_BASED_ON: Final = 0x70
"""DW_OP_breg0: a register's value and a signed offset; the next registers follow (DWARF 5, 7.7.1)."""
_DEREFERENCE: Final = 0x06
_REALIGNED: Final = 4
"""Bytes of an expression that has only such an offset, and reads what stands there."""


@dataclass(frozen=True, slots=True)
class _Cie:
    code: int
    data: int
    encoding: int
    has_augmentation: bool
    is_signals: bool
    back: int
    instructions: tuple[int, int]


class _Cursor:
    """Reads little-endian numbers from bytes that have an address; words have *word* bytes."""

    def __init__(self, data: bytes, base: int, at: int, word: int) -> None:
        self.data = data
        self.base = base
        self.at = at
        self.word = word

    def number(self, layout: str, size: int) -> int:
        value: int = struct.unpack_from(layout, self.data, self.at)[0]
        self.at += size
        return value

    def byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def uleb(self) -> int:
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return value

    def sleb(self) -> int:
        start = self.at
        value = self.uleb()
        bits = 7 * (self.at - start)
        return value - (1 << bits) if value & (1 << bits - 1) else value

    def pointer(self, encoding: int) -> int:
        """Read a pointer: absolute, relative to its own place (0x10), or to the table's beginning (0x30)."""
        place = self.base + self.at
        layout, size = _SIZES.get(encoding & 0x0F) or _WORDS[self.word]
        value = self.number(layout, size)
        relative = {0x00: 0, 0x10: place, 0x30: self.base}[encoding & 0x70]
        return (value + relative) & (1 << 8 * self.word) - 1


class Unwinder:
    """The rules of one file, found through the search table in .eh_frame_hdr; cached by address."""

    def __init__(self, elf: Elf) -> None:
        self._word, self._numbers = elf.word, elf.architecture.dwarf
        self._base, self._data = elf.eh_frame
        self._scanned: list[tuple[int, int]] | None = None
        if not self._data:
            self._base, self._data = elf.eh_frame_section
            self._scanned = self._scan()
        self._rules: dict[int, Rule | None] = {}

    def rule_at(self, address: int) -> Rule | None:
        """Return the rule in force at the file address *address*; None when there is none."""
        if address not in self._rules:
            try:
                self._rules[address] = self._find(address)
            except (struct.error, LookupError, ValueError, OverflowError):
                self._rules[address] = None
        return self._rules[address]

    def bounds_at(self, address: int) -> tuple[int, int] | None:
        """Return [start, end) of the code around the file address *address* that the table describes as one piece."""
        try:
            place = self._entry_before(address)
            if place is None:
                return None
            _cursor, _cie, start, size = self._piece(place)
        except (struct.error, IndexError, KeyError, ValueError):
            return None
        return (start, start + size) if start <= address < start + size else None

    def kept_at(self, address: int) -> set[int]:
        """Return how far from the CFA the piece around *address* keeps what the caller had in `kept`: at each place."""
        try:
            place = self._entry_before(address)
            if place is None:
                return set()
            start, size = self._piece(place)[2:]
            machine = self._run(place, start + size) if start <= address < start + size else None
        except (struct.error, IndexError, KeyError, ValueError):
            return set()
        return machine.kept if machine is not None else set()

    def _find(self, address: int) -> Rule | None:
        place = self._entry_before(address)
        return None if place is None else self._from_fde(place, address)

    def _entry_before(self, address: int) -> int | None:
        """Return where the description of the last piece that begins at or before *address* lies."""
        if self._scanned is not None:
            place = bisect_right(self._scanned, (address, len(self._data))) - 1
            return self._scanned[place][1] if place >= 0 else None
        if not self._data:
            return None
        cursor = _Cursor(self._data, self._base, 0, self._word)
        _version, pointer_encoding, count_encoding, table_encoding = (cursor.byte() for _ in range(4))
        cursor.pointer(pointer_encoding)
        count = cursor.pointer(count_encoding)
        if table_encoding != 0x3B:
            return None
        low, high, table = 0, count, cursor.at
        while low < high:
            middle = (low + high) // 2
            start = self._base + struct.unpack_from("<i", self._data, table + 8 * middle)[0]
            low, high = (middle + 1, high) if start <= address else (low, middle)
        if low == 0:
            return None
        return int(struct.unpack_from("<i", self._data, table + 8 * (low - 1) + 4)[0])

    def _scan(self) -> list[tuple[int, int]]:
        """Return where each piece begins and where its description lies: static programs may have no search table."""
        found, at = list[tuple[int, int]](), 0
        try:
            while at + 8 <= len(self._data):
                length, cie = struct.unpack_from("<II", self._data, at)
                if cie and length:
                    found.append((self._piece(at)[2], at))
                at += 4 + length
        except (struct.error, LookupError, ValueError, OverflowError):
            pass  # a damaged table costs names, not the run
        return sorted(found)

    def _piece(self, at: int) -> tuple[_Cursor, _Cie, int, int]:
        """Return a description (FDE): its reader behind the fixed fields, its CIE, the piece's start and size."""
        cursor = _Cursor(self._data, self._base, at, self._word)
        cursor.number("<I", 4)
        cie = self._cie(cursor.at - cursor.number("<I", 4))
        return cursor, cie, cursor.pointer(cie.encoding), cursor.pointer(cie.encoding & 0x0F)

    def _from_fde(self, at: int, address: int) -> Rule | None:
        start, size = self._piece(at)[2:]
        return self._run(at, address).rule if start <= address < start + size else None

    def _run(self, at: int, address: int) -> _Machine:
        """Carry out the instructions of the description at *at*, up to *address*."""
        cursor, cie, start, _size = self._piece(at)
        end = at + 4 + int(struct.unpack_from("<I", self._data, at)[0])
        if cie.has_augmentation:
            skip = cursor.uleb()
            cursor.at += skip
        machine = _Machine(cie, start, address, self._word, self._numbers)
        machine.run(_Cursor(self._data, self._base, cie.instructions[0], self._word), cie.instructions[1], initial=True)
        machine.run(cursor, end, initial=False)
        return machine

    def _cie(self, at: int) -> _Cie:
        cursor = _Cursor(self._data, self._base, at, self._word)
        length = cursor.number("<I", 4)
        end = cursor.at + length
        cursor.number("<I", 4)
        version = cursor.byte()
        zero = self._data.index(b"\0", cursor.at)
        augmentation = self._data[cursor.at : zero].decode("ascii", "replace")
        cursor.at = zero + 1
        code, data = cursor.uleb(), cursor.sleb()
        back = cursor.byte() if version == 1 else cursor.uleb()
        encoding = 0
        has_augmentation = augmentation.startswith("z")
        if has_augmentation:
            length = cursor.uleb()
            after = cursor.at + length
            for letter in augmentation[1:]:
                if letter == "R":
                    encoding = cursor.byte()
                elif letter == "L":
                    cursor.byte()
                elif letter == "P":
                    cursor.pointer(cursor.byte() & 0x0F)
            cursor.at = after
        return _Cie(code, data, encoding, has_augmentation, "S" in augmentation, back, (cursor.at, end))


class _Row:
    """The rule that is being made, as `Rule` has it: there are very many instructions, and few rules."""

    __slots__ = (
        "is_last", "is_plt", "is_stored", "offset", "rbp_at", "rbx_at", "register", "saved_rbp", "saved_rbx",
    )  # fmt: skip

    def __init__(self, register: int, offset: int) -> None:
        self.register, self.offset = register, offset
        self.saved_rbp: int | None = None
        self.saved_rbx: int | None = None
        self.rbp_at: int | None = None
        self.rbx_at: int | None = None
        self.is_plt = self.is_stored = self.is_last = False

    def copy(self) -> _Row:
        """Return another with the same values."""
        twin = _Row(self.register, self.offset)
        twin.saved_rbp, twin.saved_rbx, twin.rbp_at, twin.rbx_at = (
            self.saved_rbp, self.saved_rbx, self.rbp_at, self.rbx_at
        )  # fmt: skip
        twin.is_plt, twin.is_stored, twin.is_last = self.is_plt, self.is_stored, self.is_last
        return twin


class _Machine:
    """Carries out call-frame instructions up to one address."""

    def __init__(self, cie: _Cie, start: int, address: int, word: int, numbers: DwarfNumbers) -> None:
        self._cie = cie
        self._location = start
        self._address = address
        self._now = _Row(SP, word)
        self._initial = self._now
        self._stack: list[_Row] = []
        self.kept: set[int] = set()
        self._numbers = {numbers.sp: SP, numbers.fp: FP, numbers.kept: KEPT}

    def run(self, cursor: _Cursor, end: int, *, initial: bool) -> None:
        while cursor.at < end and self._location <= self._address:
            operation = cursor.byte()
            high, low = operation & 0xC0, operation & 0x3F
            if high == 0x40:
                self._advance(low)
            elif high == 0x80:
                self._save(low, cursor.uleb() * self._cie.data)
            elif high == 0xC0:
                self._restore(low)
            else:
                self._extended(operation, cursor)
        if initial:
            self._initial = self._now.copy()

    @property
    def rule(self) -> Rule:
        """The rule that is in force."""
        now = self._now
        return Rule(
            now.register, now.offset, now.saved_rbp, now.saved_rbx, now.rbp_at, now.rbx_at, now.is_plt, now.is_stored,
            now.is_last,
        )  # fmt: skip

    def _advance(self, delta: int) -> None:
        self._location += delta * self._cie.code

    def _known(self, register: int) -> int:
        """Return x86-64's number of *register*, -1 for one that no frame is found by."""
        return self._numbers.get(register, -1)

    def _save(self, number: int, offset: int | None) -> None:
        register = self._known(number)
        if register == FP:
            self._now.saved_rbp, self._now.rbp_at = offset, None
        elif register == KEPT:
            self._now.saved_rbx, self._now.rbx_at = offset, None
            if offset is not None:
                self.kept.add(offset)

    def _restore(self, number: int) -> None:
        saved = {FP: self._initial.saved_rbp, KEPT: self._initial.saved_rbx}
        self._save(number, saved.get(self._known(number)))

    def _extended(self, operation: int, cursor: _Cursor) -> None:
        if operation in (0x02, 0x03, 0x04):
            layout, size = {0x02: ("<B", 1), 0x03: ("<H", 2), 0x04: ("<I", 4)}[operation]
            self._advance(cursor.number(layout, size))
        elif operation == 0x01:
            self._location = cursor.pointer(self._cie.encoding)
        elif operation == 0x0A:
            self._stack.append(self._now.copy())
        elif operation == 0x0B:
            self._now = self._stack.pop()
        elif operation == 0x0C:
            now = self._now
            now.register, now.offset = self._known(cursor.uleb()), cursor.uleb()
            now.is_plt = now.is_stored = False
        elif operation == 0x0D:
            self._now.register = self._known(cursor.uleb())
        elif operation == 0x0E:
            self._now.offset = cursor.uleb()
        elif operation == 0x0F:
            self._compute(cursor)
        elif operation in (0x06, 0x07, 0x08, 0x2E):
            register = cursor.uleb()
            if operation == 0x06:
                self._restore(register)
            elif operation in (0x07, 0x08):
                self._save(register, None)
                if operation == 0x07 and register == self._cie.back:
                    self._now.is_last = True
        elif operation in (0x05, 0x09, 0x14):
            register, value = cursor.uleb(), cursor.uleb()
            if operation == 0x05:
                self._save(register, value * self._cie.data)
        elif operation in (0x10, 0x16):
            self._save_computed(cursor, is_place=operation == 0x10)
        elif operation == 0x11:
            register = cursor.uleb()
            self._save(register, cursor.sleb() * self._cie.data)
        elif operation not in (0x00, _SIGNED):
            raise KeyError(operation)

    def _compute(self, cursor: _Cursor) -> None:
        """Take a CFA that is computed: linkers write one for the procedure linkage table, compilers another.

        That one is a word at a fixed distance from the frame pointer, where a function keeps what the stack pointer was
        before it aligned its stack. What signals' frames say (they save the registers of what they interrupted) is
        followed by nobody here.
        """
        length = cursor.uleb()
        at, end = cursor.at, cursor.at + length
        cursor.at = end
        based_on = cursor.data[at] - _BASED_ON
        if self._cie.is_signals or self._known(based_on) < 0:
            self._now.register, self._now.is_plt = -1, False
        elif self._known(based_on) == SP and length > _REALIGNED:
            self._now.is_plt = True
        else:
            place = _Cursor(cursor.data, cursor.base, at + 1, cursor.word)
            offset = place.sleb()
            is_stored = place.at == end - 1 and place.byte() == _DEREFERENCE
            register = self._known(based_on) if is_stored else -1
            self._now.register, self._now.offset, self._now.is_plt, self._now.is_stored = (
                register,
                offset,
                False,
                is_stored,
            )

    def _save_computed(self, cursor: _Cursor, *, is_place: bool) -> None:
        """Take where a register is saved, if that is computed: in functions that align their stack, by rbp alone."""
        register, length = self._known(cursor.uleb()), cursor.uleb()
        place = _Cursor(cursor.data, cursor.base, cursor.at + 1, cursor.word)
        based_on, end = cursor.data[cursor.at] - _BASED_ON, cursor.at + length
        cursor.at = end
        offset = place.sleb()
        if is_place and self._known(based_on) == FP and place.at == end:
            if register == FP:
                self._now.rbp_at = offset
            elif register == KEPT:
                self._now.rbx_at = offset
