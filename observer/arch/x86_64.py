"""x86-64 (System V ABI, AMD64 supplement; arch/x86 of Linux 6.18)."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from observer.arch.architecture import Architecture, DwarfNumbers, Gate, Modes, Registers, SystemCalls, Trap
from observer.model.signals import SI_KERNEL

__all__ = ["X86_64"]

# struct user_regs_struct (asm/user_64.h)
_NAMES: Final = (
    "r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi", "orig_rax",
    "rip", "cs", "eflags", "rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs",
)  # fmt: skip

_ALL: Final = 0xFFFF_FFFF_FFFF_FFFF


def _places(*names: str) -> tuple[int, ...]:
    return tuple(_NAMES.index(name) for name in names)


_NUMBERS: Final = MappingProxyType({
    "read": 0, "write": 1, "close": 3, "mmap": 9, "mprotect": 10, "munmap": 11, "brk": 12, "rt_sigaction": 13,
    "rt_sigprocmask": 14, "rt_sigreturn": 15, "mremap": 25, "madvise": 28, "shmat": 30, "recvmsg": 47, "socketpair": 53,
    "clone": 56, "execve": 59, "exit": 60, "kill": 62, "shmdt": 67, "getrusage": 98, "ptrace": 101,
    "personality": 135, "mlock": 149, "munlock": 150, "mlockall": 151, "prctl": 157, "tkill": 200,
    "sched_setaffinity": 203, "sched_getaffinity": 204, "io_setup": 206, "io_destroy": 207, "io_submit": 209,
    "remap_file_pages": 216, "tgkill": 234, "vmsplice": 278, "perf_event_open": 298, "process_vm_readv": 310,
    "process_vm_writev": 311, "kcmp": 312, "seccomp": 317,
    "memfd_create": 319, "execveat": 322, "userfaultfd": 323, "mlock2": 325, "pkey_mprotect": 329,
    "io_uring_setup": 425, "clone3": 435, "pidfd_getfd": 438, "process_madvise": 440, "map_shadow_stack": 453,
})  # fmt: skip

X86_64: Final = Architecture(
    name="x86-64",
    machine="x86_64",
    word=8,
    elf_machine="EM_X86_64",
    irelative=37,
    capstone=("CS_ARCH_X86", "CS_MODE_64"),
    longest_instruction=15,
    instruction_alignment=1,
    registers=Registers(
        names=_NAMES,
        ip=_NAMES.index("rip"),
        sp=_NAMES.index("rsp"),
        fp=_NAMES.index("rbp"),
        kept=_NAMES.index("rbx"),
        mode=_NAMES.index("cs"),
        arguments=_places("rdi", "rsi", "rdx", "rcx", "r8", "r9"),
        result=_NAMES.index("rax"),
        return_address=None,
        thread_base=_NAMES.index("fs_base"),
    ),
    calls=SystemCalls(
        audit=0xC000003E,
        gates=(Gate("syscall", b"\x0f\x05"),),
        asked=_NAMES.index("rax"),
        number=_NAMES.index("orig_rax"),
        arguments=_places("rdi", "rsi", "rdx", "r10", "r8", "r9"),
        result=_NAMES.index("rax"),
        numbers=_NUMBERS,
        variant=0x40000000,
    ),
    trap=Trap(code=b"\xcc", behind=1, si_code=SI_KERNEL),  # int3
    modes=Modes(privilege=3, user=3, kernel=0, narrow=(_ALL, 0x23), told=_ALL),  # __USER32_CS, asm/segment.h
    dwarf=DwarfNumbers(sp=7, fp=6, kept=3),
    perf_registers=(("bx", 1), ("bp", 6), ("sp", 7), ("ip", 8)),
    red_zone=128,
    stack_alignment=16,
    vdso_prefix="__vdso_",
    kernel_half=1 << 63,
    signs_returns=False,
)
