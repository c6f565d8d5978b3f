"""What an architecture is to the observer: registers, calls, traps, gates and rings as one frozen value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

__all__ = ["GATES", "Architecture", "DwarfNumbers", "Gate", "Modes", "Registers", "SystemCalls", "Trap"]

GATES: Final = ("syscall", "int80", "sysenter")
"""The instructions that enter the kernel, of all architectures. A gate's place here is its number in each record."""


@dataclass(frozen=True, slots=True)
class Gate:
    """An instruction that enters the kernel: its name, one of GATES, and its bytes."""

    name: str
    code: bytes

    @property
    def number(self) -> int:
        """The place among GATES."""
        return GATES.index(self.name)


@dataclass(frozen=True)
class Registers:
    """The general registers: `names`, a word each, in the order in which ptrace(2) hands them to a tracer.

    The other fields are places among them. `kept` is the callee-saved register by which compilers find a frame beside
    the frame pointer, `mode` holds the privilege level, `arguments` are those of a C call that are passed in registers,
    `result` is what the function returns. `return_address` is where a call leaves it; None: on top of the stack.
    """

    names: tuple[str, ...]
    ip: int
    sp: int
    fp: int
    kept: int
    mode: int
    arguments: tuple[int, ...]
    result: int
    return_address: int | None

    @cached_property
    def places(self) -> Mapping[str, int]:
        """The place of each register by its name."""
        return {name: place for place, name in enumerate(self.names)}


@dataclass(frozen=True, slots=True)
class SystemCalls:
    """How programs ask the kernel (syscall(2)), in places among the registers.

    `audit` is the AUDIT_ARCH value (linux/audit.h) of such calls. The number is put into `asked`; while the call is
    under way the kernel keeps it in `number`, where a tracer may exchange it. `numbers` has the calls that are needed
    by name, not all. `variant` is the bit of numbers that belong to a variant of the ABI (x32), 0 if there is none.
    """

    audit: int
    gates: tuple[Gate, ...]
    asked: int
    number: int
    arguments: tuple[int, ...]
    result: int
    numbers: Mapping[str, int]
    variant: int = 0


@dataclass(frozen=True, slots=True)
class Trap:
    """The breakpoint instruction: its bytes, and how SIGTRAP tells of it.

    The instruction pointer stands `behind` bytes past its beginning; `si_code` is the signal's.
    """

    code: bytes
    behind: int
    si_code: int


@dataclass(frozen=True, slots=True)
class Modes:
    """How to read the mode register: its bits of `privilege`, and what they are in a program and in the kernel.

    `narrow` is (mask, value): 32-bit code runs where the masked register has that value.
    """

    privilege: int
    user: int
    kernel: int
    narrow: tuple[int, int]


@dataclass(frozen=True, slots=True)
class DwarfNumbers:
    """What call-frame rules call the registers that frames are found by, as the ABI numbers them."""

    sp: int
    fp: int
    kept: int


@dataclass(frozen=True)
class Architecture:
    """One architecture, or one ABI of it.

    `name` is what people call it, `machine` whose kernel serves it (uname -m). `word` is the size of a pointer in
    bytes; `elf_machine` names it in ELF headers, `irelative` is the relocation by which a function of the program
    chooses an address (elf.h). `capstone` are the names of capstone's constants, architecture and mode;
    `longest_instruction` is in bytes. `red_zone` is how many bytes below the stack pointer belong to the function that
    runs, `stack_alignment` what the stack pointer is a multiple of at a call. `perf_registers` are the registers that a
    fault sample carries, with their numbers (asm/perf_regs.h), in the order of these. Names in the vDSO begin with
    `vdso_prefix`. Addresses from `kernel_half` on are the kernel's.
    """

    name: str
    machine: str
    word: int
    elf_machine: str
    irelative: int
    capstone: tuple[str, str]
    longest_instruction: int
    registers: Registers
    calls: SystemCalls
    trap: Trap
    modes: Modes
    dwarf: DwarfNumbers
    perf_registers: tuple[tuple[str, int], ...]
    red_zone: int
    stack_alignment: int
    vdso_prefix: str
    kernel_half: int

    @property
    def bits(self) -> int:
        """How wide a word is: 64 or 32."""
        return 8 * self.word

    def ring_of(self, mode: int) -> int:
        """Return the privilege level in what the mode register held: on x86, 3 in a program, 0 in the kernel."""
        return mode & self.modes.privilege

    def bits_of(self, mode: int) -> int:
        """Return how code runs, 64 or 32, by what the mode register holds."""
        mask, narrow = self.modes.narrow
        return 32 if mode & mask == narrow else 64

    def numbers(self, *names: str) -> tuple[int, ...]:
        """Return the numbers of the system calls *names*; raises KeyError for one that is not needed by name."""
        return tuple(self.calls.numbers[name] for name in names)
