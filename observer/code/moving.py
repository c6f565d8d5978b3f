"""x86-64 instructions that are done elsewhere than where the compiler put them, and stretches that can give way.

A stretch of whole instructions gives way to a jump of five bytes (JMP rel32) if nobody jumps into the midst of it.
What counts from the instruction pointer is made to count from the new place (Intel SDM vol. 2, 2.2.1.6; JMP, Jcc).
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from capstone import x86

from observer.code.elf import Elf
from observer.code.exits import piece_of
from observer.code.instructions import decode, decode_all, decode_briefly

__all__ = [
    "FAR_JUMP",
    "JUMP",
    "Moved",
    "Stretch",
    "covered",
    "entry_stretch",
    "exit_stretch",
    "far_jump",
    "jump",
    "moved",
]

JUMP: Final = 5
"""Bytes of a jump to anywhere within 2 GiB."""

FAR_JUMP: Final = 7
"""Bytes of a jump through a word in the lowest 2 GiB: the same wherever it stands, so that it may be copied."""

_ENDBR64: Final = b"\xf3\x0f\x1e\xfa"
_RELATIVE: Final = struct.Struct("<i")
_LOOKED_AT: Final = 48
_ALIGNED: Final = 16
_LONGEST: Final = 16
"""No instruction that begins so far before a `ret` is needed to make room."""


class Stretch(NamedTuple):
    """Whole instructions at a file address, and their bytes: what is to give way. A `ret` may be the last of them."""

    address: int
    code: bytes

    @property
    def end(self) -> int:
        """The file address behind it."""
        return self.address + len(self.code)


class Moved(NamedTuple):
    """Code that does elsewhere what a stretch did; `places` are (offset in it, bytes, address it stands for)."""

    code: bytes
    places: tuple[tuple[int, int, int], ...]


def jump(at: int, to: int) -> bytes:
    """Return the jump that stands *at* an address and leads *to* another.

    Raises:
        OverflowError: they lie more than 2 GiB apart.
    """
    return b"\xe9" + _distance(to - at - JUMP)


def far_jump(word: int) -> bytes:
    """Return the jump to where the *word* at that address leads (JMP m64, absolute)."""
    return b"\xff\x24\x25" + word.to_bytes(4, "little")


def moved(code: bytes, address: int, to: int) -> Moved | None:
    """Return the instructions *code* at *address* as they must be to be done at *to*; None if that cannot be."""
    made, done = b"", 0
    places: list[tuple[int, int, int]] = []
    for instruction in decode_all(code, address):
        try:
            new = _rewritten(instruction, to + len(made))
        except OverflowError:
            return None
        if new is None:
            return None
        places.append((len(made), len(new), instruction.address))
        made += new
        done += instruction.size
    return Moved(made, tuple(places)) if done == len(code) else None


def entry_stretch(elf: Elf, entry: int, targets: Collection[int], room: int) -> Stretch | None:
    """Return what can give way at the beginning of the function at *entry* to a jump of *room* bytes.

    *targets* are the places that it jumps to.
    """
    code = elf.read(entry, _LOOKED_AT)
    start = entry + len(_ENDBR64) * code.startswith(_ENDBR64)
    end = start
    for instruction in decode_all(code[start - entry :], start):
        end = instruction.address + instruction.size
        if instruction.id == x86.X86_INS_JMP and instruction.operands[0].type == x86.X86_OP_IMM:
            end += _padding(elf, end, end)  # it ends there, by another function
            break
        if not _stays(instruction):
            return None
        if end - start >= room:
            break
    if end - start < room or _is_entered(targets, start, end):
        return None
    return Stretch(start, code[start - entry : end - entry])


def exit_stretch(elf: Elf, place: int, targets: Collection[int]) -> Stretch | None:
    """Return what can give way so that the `ret` at *place* is come by; its function jumps to *targets*."""
    piece = piece_of(elf, place)
    instruction = decode(elf.read(place, _LONGEST), place)
    if piece is None or instruction is None or not piece[0] <= place < piece[1]:
        return None
    end = place + instruction.size
    behind = _padding(elf, end, piece[1])
    if end + behind - place >= JUMP and not _is_entered(targets, place, end + behind):
        return Stretch(place, elf.read(place, end + behind - place))
    starts = _straight_before(elf, piece[0], place)
    start = place
    for earlier in reversed(list(decode_all(elf.read(starts[0], place - starts[0]), starts[0])) if starts else []):
        if not _stays(earlier) or _is_jump(earlier) or _is_entered(targets, earlier.address, end):
            return None
        start = earlier.address
        if end - start >= JUMP:
            return Stretch(start, elf.read(start, end - start))
    return None


def _padding(elf: Elf, start: int, end: int) -> int:
    """Return how many bytes of instructions that do nothing stand at *start*, in a piece of code up to *end* or behind.

    What follows the piece begins at a multiple of 16 bytes.
    """
    at, limit = start, end + _ALIGNED - 1 & -_ALIGNED
    for instruction in decode_all(elf.read(start, _LONGEST), start):
        if instruction.mnemonic not in ("nop", "int3") or at >= limit:
            break
        at = instruction.address + instruction.size
    return at - start


def _is_entered(targets: Collection[int], start: int, end: int) -> bool:
    """Whether one of *targets* lies in the midst of [start, end)."""
    return any(start < target < end for target in targets)


def _is_jump(instruction: Any) -> bool:
    return x86.X86_GRP_JUMP in instruction.groups


@lru_cache(maxsize=4096)
def _straight_before(elf: Elf, start: int, place: int) -> list[int]:
    """Return where the last instructions from *start* on begin before *place*, as far as they may be needed.

    None where they do not lead up to it, or where a jump through a table may lead into their midst.
    """
    starts: list[int] = []
    end = start
    for address, size, mnemonic, operand in decode_briefly(elf.read(start, place - start), start):
        if mnemonic.split()[-1].startswith("j") and not operand[:1].isdigit():
            return []
        starts.append(address)
        end = address + size
    return [at for at in starts if at >= place - _LONGEST] if end == place else []


def _stays(instruction: Any) -> bool:
    """Whether control goes on behind it, or to a place of its own that it names, and nobody comes back to it."""
    if instruction.id in (x86.X86_INS_JMP, x86.X86_INS_INT3, x86.X86_INS_UD2, x86.X86_INS_HLT):
        return False
    groups = {*instruction.groups}
    return not groups & {x86.X86_GRP_CALL, x86.X86_GRP_RET, x86.X86_GRP_IRET, x86.X86_GRP_INT, x86.X86_GRP_PRIVILEGE}


def _rewritten(instruction: Any, to: int) -> bytes | None:
    """Return the bytes of *instruction* for the address *to*; None for a kind of jump that is short by nature."""
    code = bytes(instruction.bytes)
    if _is_jump(instruction) and instruction.operands[0].type == x86.X86_OP_IMM:
        return _far(code, instruction.operands[0].imm, to)
    if not any(
        operand.type == x86.X86_OP_MEM and operand.mem.base == x86.X86_REG_RIP for operand in instruction.operands
    ):
        return code
    at = instruction.encoding.disp_offset
    [distance] = _RELATIVE.unpack_from(code, at)
    return code[:at] + _distance(distance + instruction.address - to) + code[at + _RELATIVE.size :]


def _far(code: bytes, target: int, to: int) -> bytes | None:
    """Return a jump to *target* with four bytes of distance, for the address *to*."""
    if code[0] in (0xE9, 0xEB):
        return jump(to, target)
    if 0x70 <= code[0] <= 0x7F:
        condition = code[0] & 15
    elif code[0] == 0x0F and 0x80 <= code[1] <= 0x8F:
        condition = code[1] & 15
    else:
        return None  # jrcxz, loop, or a prefix
    return bytes([0x0F, 0x80 | condition]) + _distance(target - to - 6)


def _distance(value: int) -> bytes:
    try:
        return _RELATIVE.pack(value)
    except struct.error as error:
        raise OverflowError("more than 2 GiB apart") from error


def covered(stretches: Sequence[Stretch], stretch: Stretch) -> bool:
    """Whether *stretch* shares a byte with one of *stretches*."""
    return any(stretch.address < other.end and other.address < stretch.end for other in stretches)
