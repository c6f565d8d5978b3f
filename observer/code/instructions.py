"""Instructions: emulating the one under a breakpoint, and saying what a faulting one did (capstone); x86's are here.

A planted breakpoint is never lifted, so that no other thread slips past it: the instruction that the int3
replaced is carried out on the registers instead. Function beginnings are simple; what is not in the table
below is refused, and the caller says so.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from typing import Any, Final

import capstone
from capstone import x86

from observer.arch.aarch64 import AARCH64
from observer.arch.architecture import Architecture
from observer.arch.known import NATIVE
from observer.arch.x86_64 import X86_64
from observer.code import a64
from observer.code.emulation import CONSTANT, NOTHING, Emulation, ReadMemory, Words

__all__ = [
    "access_of",
    "decode",
    "decode_all",
    "decode_briefly",
    "disassemble",
    "effective_address",
    "emulation_of",
    "is_nop",
]

_MOVES: Final = (
    "mov", "vmov", "maskmov", "vmaskmov", "vpmaskmov", "fst", "fist", "vextract", "pextr", "vpextr", "extract",
    "vcompress", "vpcompress", "vscatter", "vpscatter",
)  # fmt: skip
"""Beginnings of mnemonics that only write their first operand."""

_EXCHANGES: Final = ("lock ", "cmpxchg", "xadd", "xchg")

_FAR: Final = 1 << 24
_MASK: Final = 0xFFFF_FFFF_FFFF_FFFF
_CF, _PF, _AF, _ZF, _SF, _OF = 1, 4, 16, 64, 128, 2048
_ARITHMETIC: Final = _CF | _PF | _AF | _ZF | _SF | _OF
_PLACES: Final = X86_64.registers.places
_RIP, _RSP, _EFLAGS = _PLACES["rip"], _PLACES["rsp"], _PLACES["eflags"]


@cache
def _decoder(names: tuple[str, str], *, detail: bool = True) -> Any:
    decoder = capstone.Cs(*(getattr(capstone, name) for name in names))
    decoder.detail = detail
    return decoder


def decode(code: bytes, address: int, architecture: Architecture = NATIVE) -> Any | None:
    """Return capstone's view of the instruction that *code* begins with; None when it is none."""
    return next(_decoder(architecture.capstone).disasm(code, address, 1), None)


@lru_cache(maxsize=1 << 12)
def is_nop(code: bytes, architecture: Architecture = NATIVE) -> bool:
    """Whether the instruction that *code* begins with does nothing."""
    instruction = decode(code, 0, architecture)
    return instruction is not None and instruction.mnemonic == "nop"


def decode_all(code: bytes, address: int, architecture: Architecture = NATIVE) -> Iterator[Any]:
    """Yield capstone's view of the instructions of *code*, as far as they can be decoded."""
    yield from _decoder(architecture.capstone).disasm(code, address)


def decode_briefly(
    code: bytes, address: int, architecture: Architecture = NATIVE
) -> Iterator[tuple[int, int, str, str]]:
    """Yield (address, size, mnemonic, operands as text) of the instructions of *code*: quick, for many of them."""
    yield from _decoder(architecture.capstone, detail=False).disasm_lite(code, address)


def effective_address(instruction: Any, operand: Any, words: Words) -> int | None:
    """Return the address that a memory operand names under the registers *words*; None with a segment base."""
    try:
        return _address(instruction, operand)(words)
    except KeyError:
        return None


def _wide(name: str) -> tuple[int, int]:
    """Return (register index, width in bytes) of a general register's name; raises KeyError for others."""
    if name in _PLACES:
        return _PLACES[name], 8
    if name.startswith("e"):
        return _PLACES["r" + name[1:]], 4
    if name.startswith("r") and name.endswith("d"):
        return _PLACES[name[:-1]], 4
    raise KeyError(name)


def _flags_of(result: int, width: int, carry: bool = False, overflow: bool = False, adjust: bool = False) -> int:
    sign = 1 << (8 * width - 1)
    return (
        (_CF if carry else 0)
        | (_PF if bin(result & 0xFF).count("1") % 2 == 0 else 0)
        | (_AF if adjust else 0)
        | (_ZF if result == 0 else 0)
        | (_SF if result & sign else 0)
        | (_OF if overflow else 0)
    )


def _subtract(a: int, b: int, width: int) -> tuple[int, int]:
    mask, sign = (1 << 8 * width) - 1, 1 << (8 * width - 1)
    a, b = a & mask, b & mask
    result = (a - b) & mask
    overflow = bool((a ^ b) & (a ^ result) & sign)
    return result, _flags_of(result, width, a < b, overflow, (a & 15) < (b & 15))


def _add(a: int, b: int, width: int) -> tuple[int, int]:
    mask, sign = (1 << 8 * width) - 1, 1 << (8 * width - 1)
    a, b = a & mask, b & mask
    result = (a + b) & mask
    overflow = bool((a ^ result) & (b ^ result) & sign)
    return result, _flags_of(result, width, a + b > mask, overflow, (a & 15) + (b & 15) > 15)


def _set_flags(words: Words, flags: int) -> None:
    words[_EFLAGS] = words[_EFLAGS] & ~_ARITHMETIC | flags


_RETURNS: Final = frozenset({"ret", "repz ret", "rep ret"})


def _conditions() -> dict[str, Callable[[int], bool]]:
    """Return what each conditional jump asks of the flags (Intel SDM volume 2, Jcc)."""
    tests: dict[str, Callable[[int], bool]] = {
        "o": lambda flags: bool(flags & _OF),
        "b": lambda flags: bool(flags & _CF),
        "e": lambda flags: bool(flags & _ZF),
        "be": lambda flags: bool(flags & (_CF | _ZF)),
        "s": lambda flags: bool(flags & _SF),
        "p": lambda flags: bool(flags & _PF),
        "l": lambda flags: bool(flags & _SF) != bool(flags & _OF),
        "le": lambda flags: bool(flags & _ZF) or bool(flags & _SF) != bool(flags & _OF),
    }
    opposites = {"o": "no", "b": "ae", "e": "ne", "be": "a", "s": "ns", "p": "np", "l": "ge", "le": "g"}

    def refuted(test: Callable[[int], bool]) -> Callable[[int], bool]:
        return lambda flags: not test(flags)

    both = tests | {opposites[name]: refuted(test) for name, test in tests.items()}
    return {f"j{name}": test for name, test in both.items()}


_CONDITIONS: Final = _conditions()

Getter = Callable[[Words, ReadMemory], int]


class _Operands:
    """An instruction's operands, as functions on a register file: names are looked up once, not at each hit."""

    def __init__(self, instruction: Any, bits: int) -> None:
        if instruction.addr_size != bits // 8:
            raise KeyError("shortened addresses")
        self.list = instruction.operands
        self.width: int = self.list[0].size if self.list else 8
        self.get: list[Getter] = [_getter(instruction, operand) for operand in self.list]
        self.destination: tuple[int, int] | None = None
        if self.list and self.list[0].type == x86.X86_OP_REG:
            self.destination = _wide(instruction.reg_name(self.list[0].reg))
        self.address = next(
            (_address(instruction, operand) for operand in self.list if operand.type == x86.X86_OP_MEM), None
        )


def _address(instruction: Any, operand: Any) -> Callable[[Words], int]:
    memory = operand.mem
    if memory.segment:
        raise KeyError("segment")
    offset, base, index, scale = memory.disp, -1, -1, memory.scale
    if memory.base and instruction.reg_name(memory.base) == "rip":
        offset += instruction.address + instruction.size
    elif memory.base:
        base = _wide(instruction.reg_name(memory.base))[0]
    if memory.index:
        index = _wide(instruction.reg_name(memory.index))[0]

    mask: int = (1 << 8 * instruction.addr_size) - 1

    def address(words: Words) -> int:
        total: int = offset + (words[base] if base >= 0 else 0) + (words[index] * scale if index >= 0 else 0)
        return total & mask

    return address


def _getter(instruction: Any, operand: Any) -> Getter:
    if operand.type == x86.X86_OP_IMM:
        immediate = int(operand.imm) & _MASK
        return lambda words, read: immediate
    if operand.type == x86.X86_OP_REG:
        register, width = _wide(instruction.reg_name(operand.reg))
        mask = (1 << 8 * width) - 1
        return lambda words, read: words[register] & mask
    address, size = _address(instruction, operand), int(operand.size)
    return lambda words, read: int.from_bytes(read(address(words), size), "little")


def _effect(mnemonic: str, operands: _Operands) -> Callable[[Words, ReadMemory], None] | None:
    """Return what the instruction does beyond moving rip on, or None when it is not in the table."""
    width, get = operands.width, operands.get

    def nothing(words: Words, read: ReadMemory) -> None:
        del words, read

    def jump(words: Words, read: ReadMemory) -> None:
        words[_RIP] = get[0](words, read)

    condition = _CONDITIONS.get(mnemonic)
    if condition is not None:

        def jump_if(words: Words, read: ReadMemory) -> None:
            if condition(words[_EFLAGS]):
                jump(words, read)

        return jump_if

    def test(words: Words, read: ReadMemory) -> None:
        _set_flags(words, _flags_of(get[0](words, read) & get[1](words, read), width))

    def compare(words: Words, read: ReadMemory) -> None:
        _set_flags(words, _subtract(get[0](words, read), get[1](words, read), width)[1])

    anywhere = {"endbr64": nothing, "nop": nothing, "test": test, "cmp": compare, "jmp": jump}
    if mnemonic in anywhere:
        return anywhere[mnemonic]
    return _register_effect(mnemonic, operands)


def _register_effect(mnemonic: str, operands: _Operands) -> Callable[[Words, ReadMemory], None] | None:
    """Return the effect of an instruction that writes a register."""
    if operands.destination is None:
        return None
    register, size = operands.destination
    width, get, address = operands.width, operands.get, operands.address
    mask = (1 << 8 * size) - 1

    def move(words: Words, read: ReadMemory) -> None:
        words[register] = get[1](words, read) & mask

    def load_address(words: Words, read: ReadMemory) -> None:
        del read
        assert address is not None
        words[register] = address(words) & mask

    def exclusive_or(words: Words, read: ReadMemory) -> None:
        result = get[0](words, read) ^ get[1](words, read)
        words[register] = result
        _set_flags(words, _flags_of(result, width))

    def subtract(words: Words, read: ReadMemory) -> None:
        words[register], flags = _subtract(get[0](words, read), get[1](words, read), width)
        _set_flags(words, flags)

    def add(words: Words, read: ReadMemory) -> None:
        words[register], flags = _add(get[0](words, read), get[1](words, read), width)
        _set_flags(words, flags)

    effects = {"mov": move, "movabs": move, "lea": load_address, "xor": exclusive_or, "sub": subtract, "add": add}
    return effects.get(mnemonic)


def emulation_of(code: bytes, address: int, architecture: Architecture = NATIVE) -> Emulation | None:
    """Return how to carry out the instruction *code* begins with, or None when it cannot be emulated."""
    return _wherever(code, architecture) or _at(code, address, architecture)


@lru_cache(maxsize=1 << 12)
def _wherever(code: bytes, architecture: Architecture) -> Emulation | None:
    """Return how to carry out the instruction *code* begins with, if that is the same wherever it lies.

    The same library lies elsewhere in each process, and most of its functions begin and end by such instructions.
    """
    here, there = (_at(code, address, architecture) for address in (0, _FAR))
    if here is None or there is None or here.is_call or "rip" in here.text or here.text != there.text:
        return None
    return here


def _at(code: bytes, address: int, architecture: Architecture) -> Emulation | None:
    instruction = decode(code, address, architecture)
    if instruction is None:
        return None
    text = f"{instruction.mnemonic} {instruction.op_str}".strip()
    if architecture is AARCH64:
        return a64.emulation_of(code, address, text)
    mnemonic = instruction.mnemonic.removeprefix("bnd ").removeprefix("notrack ")
    try:
        operands = _Operands(instruction, architecture.bits)
        if mnemonic in _RETURNS:
            pop = _return(operands, architecture.word)
            return Emulation(instruction.size, NOTHING, pop, text, reads=True, is_return=True)
        if instruction.mnemonic == "push" and operands.destination is not None:
            return Emulation(instruction.size, operands.destination[0], None, text)
        if instruction.mnemonic == "call":
            return _call(instruction, operands, text)
        effect = _effect(mnemonic, operands)
    except KeyError:
        return None
    reads = operands.address is not None and mnemonic not in ("lea", "nop")
    return Emulation(instruction.size, NOTHING, effect, text, reads=reads) if effect else None


def _return(operands: _Operands, word: int) -> Callable[[Words, ReadMemory], None]:
    """Pop the return address, and after it as many bytes of arguments as the instruction says."""
    popped = word + (int(operands.list[0].imm) if operands.list else 0)

    def leave(words: Words, read: ReadMemory) -> None:
        sp = words[_RSP]
        back = read(sp, word)
        if len(back) < word:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        words[_RIP] = int.from_bytes(back, "little")
        words[_RSP] = sp + popped

    return leave


def _call(instruction: Any, operands: _Operands, text: str) -> Emulation | None:
    """Push the address behind the call, then jump; not where the target is found by the stack pointer, which moves."""
    target = instruction.operands[0]
    if target.type == x86.X86_OP_MEM and instruction.reg_name(target.mem.base or 0) in ("rsp", "esp"):
        return None
    get, behind = operands.get[0], instruction.address + instruction.size

    def jump(words: Words, read: ReadMemory) -> None:
        words[_RIP] = get(words, read)

    return Emulation(instruction.size, CONSTANT, jump, text, behind)


def disassemble(code: bytes, address: int, architecture: Architecture = NATIVE) -> str | None:
    """Return the first instruction of *code* as text."""
    instruction = decode(code, address, architecture)
    return f"{instruction.mnemonic} {instruction.op_str}".strip() if instruction else None


def access_of(code: bytes, address: int, architecture: Architecture = NATIVE) -> str | None:
    """Return whether the instruction writes or only reads memory: `write`, `read`, or None when undecidable.

    An instruction that does both (`add [m], r`) counts as a write: its page is wanted writable at once.
    An instruction with two memory operands (`movs`) is undecidable without the address.
    """
    instruction = decode(code, address, architecture)
    if instruction is None:
        return None
    if architecture is AARCH64:
        return a64.access_of(code)
    mnemonic = instruction.mnemonic
    memory = [operand for operand in instruction.operands if operand.type == x86.X86_OP_MEM]
    if mnemonic.startswith(("push", "call")):
        return "write" if not memory else None
    if mnemonic.startswith(("pop", "ret", "leave")):
        return "read"
    if len(memory) != 1 or mnemonic in ("lea", "nop"):
        return None
    # capstone 5 calls many vector stores (movups, vmovdqu64) reads: a move's destination is its first operand.
    is_store = mnemonic.startswith(_MOVES) and instruction.operands[0].type == x86.X86_OP_MEM
    # It also calls cmpxchg a read; the processor takes it, and whatever is locked, for a write.
    is_store |= mnemonic.startswith(_EXCHANGES)
    return "write" if is_store or memory[0].access & capstone.CS_AC_WRITE else "read"
