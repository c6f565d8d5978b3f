"""AArch64 (AAPCS64; arch/arm64 of Linux 6.18).

The kernel hands a tracer the registers by PTRACE_GETREGSET alone, and the number of a call in a set of its own.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from observer.arch.architecture import Architecture, DwarfNumbers, Gate, Modes, Registers, SystemCalls, Trap

__all__ = ["AARCH64"]

# struct user_pt_regs (asm/ptrace.h)
_NAMES: Final = (*(f"x{number}" for number in range(31)), "sp", "pc", "pstate")
_FP, _LR, _SP, _PC, _PSTATE = 29, 30, 31, 32, 33

# include/uapi/asm-generic/unistd.h
_NUMBERS: Final = MappingProxyType({
    "io_setup": 0, "io_destroy": 1, "io_submit": 2, "close": 57, "read": 63, "write": 64, "vmsplice": 75,
    "personality": 92, "exit": 93,
    "ptrace": 117, "sched_setaffinity": 122, "sched_getaffinity": 123, "kill": 129, "tkill": 130, "tgkill": 131,
    "rt_sigaction": 134, "rt_sigprocmask": 135, "rt_sigreturn": 139, "getrusage": 165, "prctl": 167, "shmat": 196,
    "shmdt": 197, "socketpair": 199, "recvmsg": 212, "brk": 214, "munmap": 215, "mremap": 216, "clone": 220,
    "execve": 221, "mmap": 222, "mprotect": 226, "mlock": 228, "munlock": 229, "mlockall": 230, "madvise": 233,
    "remap_file_pages": 234, "perf_event_open": 241, "process_vm_readv": 270, "process_vm_writev": 271, "kcmp": 272,
    "seccomp": 277, "memfd_create": 279, "execveat": 281, "userfaultfd": 282, "mlock2": 284, "pkey_mprotect": 288,
    "io_uring_setup": 425, "clone3": 435, "pidfd_getfd": 438, "process_madvise": 440, "map_shadow_stack": 453,
})  # fmt: skip

AARCH64: Final = Architecture(
    name="aarch64",
    machine="aarch64",
    word=8,
    elf_machine="EM_AARCH64",
    irelative=1032,
    capstone=("CS_ARCH_ARM64", "CS_MODE_ARM"),
    longest_instruction=4,
    instruction_alignment=4,
    registers=Registers(
        names=_NAMES,
        ip=_PC,
        sp=_SP,
        fp=_FP,
        kept=_LR,
        mode=_PSTATE,
        arguments=tuple(range(8)),
        result=0,
        return_address=_LR,
        thread_base=None,
    ),
    calls=SystemCalls(
        audit=0xC00000B7,
        gates=(Gate("svc", b"\x01\x00\x00\xd4"),),
        asked=8,
        number=None,
        arguments=tuple(range(6)),
        result=0,
        numbers=_NUMBERS,
    ),
    trap=Trap(code=b"\x00\x00\x20\xd4", behind=0, si_code=1),  # brk #0, TRAP_BRKPT
    # PSR_MODE_MASK and PSR_MODE32_BIT; EL0t and EL1h, which is what the kernel runs in.
    modes=Modes(privilege=0xF, user=0, kernel=5, narrow=(0x10, 0x10), told=0x1F, branched=0xC00),
    dwarf=DwarfNumbers(sp=31, fp=29, kept=30),
    perf_registers=(("bp", 29), ("bx", 30), ("sp", 31), ("ip", 32)),
    red_zone=0,
    stack_alignment=16,
    vdso_prefix="__kernel_",
    kernel_half=1 << 63,
    signs_returns=True,
)
