"""What an architecture is to the observer: registers, calls, traps, gates and rings as one frozen value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

__all__ = [
    "GATES",
    "KERNEL_RING",
    "USER_RING",
    "Architecture",
    "DwarfNumbers",
    "Gate",
    "Modes",
    "Registers",
    "SystemCalls",
    "Trap",
]

GATES: Final = ("syscall", "int80", "sysenter", "svc")
"""The instructions that enter the kernel, of all architectures. A gate's place here is its number in each record."""

USER_RING, KERNEL_RING = 3, 0


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

    The other fields are places among them. `kept` is the register that frames are found by beside the frame pointer: a
    callee-saved one, or that of the return address. `mode` holds the privilege level, `arguments` are those of a C call
    that are passed in registers, `result` is what the function returns. `return_address` is where a call leaves it;
    None: on top of the stack. `thread_base` leads to what a thread has for itself; None: in a register set of its own
    (NT_ARM_TLS).
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
    thread_base: int | None

    @cached_property
    def places(self) -> Mapping[str, int]:
        """The place of each register by its name."""
        return {name: place for place, name in enumerate(self.names)}


@dataclass(frozen=True, slots=True)
class SystemCalls:
    """How programs ask the kernel (syscall(2)), in places among the registers.

    `audit` is the AUDIT_ARCH value (linux/audit.h) of such calls. The number is put into `asked`; while the call is
    under way the kernel keeps it in `number`, where a tracer may exchange it; None: in a register set of its own
    (NT_ARM_SYSTEM_CALL). `numbers` has the calls that are needed by name, not all. `variant` is the bit of numbers that
    belong to a variant of the ABI (x32), 0 if there is none.
    """

    audit: int
    gates: tuple[Gate, ...]
    asked: int
    number: int | None
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

    `narrow` is (mask, value): 32-bit code runs where the masked register has that value. `told` are the bits that tell
    how code runs: the others are of no mode (the flags of arithmetic). `branched` are those that tell that a branch led
    to the next instruction (BTYPE), which then has to be one for branches to land on.
    """

    privilege: int
    user: int
    kernel: int
    narrow: tuple[int, int]
    told: int
    branched: int = 0


@dataclass(frozen=True, slots=True)
class DwarfNumbers:
    """What call-frame rules call the registers that frames are found by, as the ABI numbers them."""

    sp: int
    fp: int
    kept: int


@dataclass(frozen=True, eq=False)
class Architecture:
    """One architecture, or one ABI of it: one value each, which equals itself alone.

    `name` is what people call it, `machine` whose kernel serves it (uname -m). `word` is the size of a pointer in
    bytes; `elf_machine` names it in ELF headers, `irelative` is the relocation by which a function of the program
    chooses an address (elf.h). `capstone` are the names of capstone's constants, architecture and mode;
    `longest_instruction` is in bytes, and instructions begin at multiples of `instruction_alignment`. `red_zone` is how
    many bytes below the stack pointer belong to the function that runs, `stack_alignment` what the stack pointer is a
    multiple of at a call. `perf_registers` are the registers that a fault sample carries, with their numbers
    (asm/perf_regs.h), in the order of these: `bx` is the place `registers.kept`. Names in the vDSO begin with
    `vdso_prefix`. Addresses from `kernel_half` on are the kernel's. `signs_returns` says that return addresses may bear
    a signature in their upper bits (pointer authentication).
    """

    name: str
    machine: str
    word: int
    elf_machine: str
    irelative: int
    capstone: tuple[str, str]
    longest_instruction: int
    instruction_alignment: int
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
    signs_returns: bool

    @property
    def bits(self) -> int:
        """How wide a word is: 64 or 32."""
        return 8 * self.word

    @property
    def popped(self) -> int:
        """By how many bytes the stack pointer lies higher when a call has returned than when it began."""
        return self.word if self.registers.return_address is None else 0

    def mode_of(self, register: int) -> int:
        """Return what is recorded of the mode register."""
        return register & self.modes.told

    def unsigned(self, address: int, ip: int, sp: int) -> int:
        """Return the code *address* without its signature; *ip* and *sp* are whole addresses of the same moment.

        A signature takes the bits above those that the kernel gives to addresses: 47 or 48, by the page size. Libraries
        and the stack lie at the upper end of them (Documentation/arch/arm64/pointer-authentication.rst, memory.rst).
        """
        return address & (1 << max(ip.bit_length(), sp.bit_length())) - 1 if self.signs_returns else address

    def ring_of(self, mode: int) -> int:
        """Return the ring that the mode register tells, as the book counts: 3 in a program, 0 in the kernel.

        It is x86's privilege level; AArch64 counts the other way, from EL0 in a program to EL1 in the kernel.
        """
        return USER_RING if mode & self.modes.privilege == self.modes.user else KERNEL_RING

    def bits_of(self, mode: int) -> int:
        """Return how code runs, 64 or 32, by what the mode register holds."""
        mask, narrow = self.modes.narrow
        return 32 if mode & mask == narrow else 64

    def numbers(self, *names: str) -> tuple[int, ...]:
        """Return the numbers of the system calls *names*; raises KeyError for one that is not needed by name."""
        return tuple(self.calls.numbers[name] for name in names)
