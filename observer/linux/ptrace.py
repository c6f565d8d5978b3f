"""ptrace(2) requests that the engine uses.

python-ptrace lacks some of them (SEIZE, LISTEN, GET_SYSCALL_INFO, the seccomp and exit events). Every request must come
from the thread that seized the tracee; any of them may fail with ESRCH when the tracee was killed meanwhile, which is
not an error.
"""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Final

from observer.arch.known import NATIVE
from observer.linux.libc import libc_quick

__all__ = [
    "EVENT_CLONE",
    "EVENT_EXEC",
    "EVENT_EXIT",
    "EVENT_FORK",
    "EVENT_SECCOMP",
    "EVENT_STOP",
    "EVENT_VFORK",
    "EVENT_VFORK_DONE",
    "OPTIONS",
    "RegisterSet",
    "SyscallInfo",
    "bits_of",
    "cont",
    "event_message",
    "interrupt",
    "interrupts_call",
    "is_ours",
    "listen",
    "peek",
    "poke",
    "seize",
    "set_call_number",
    "set_signal_info",
    "set_signal_mask",
    "signal_info",
    "signal_mask",
    "step",
    "thread_base",
    "to_syscall_exit",
    "whole_signal_info",
]

PTRACE_PEEKDATA: Final = 2
PTRACE_POKEDATA: Final = 5
PTRACE_POKEUSER: Final = 6
PTRACE_CONT: Final = 7
PTRACE_SINGLESTEP: Final = 9
PTRACE_GETREGS: Final = 12
PTRACE_SETREGS: Final = 13
PTRACE_SYSCALL: Final = 24
PTRACE_GETEVENTMSG: Final = 0x4201
PTRACE_GETSIGINFO: Final = 0x4202
PTRACE_SETSIGINFO: Final = 0x4203
PTRACE_GETREGSET: Final = 0x4204
PTRACE_SETREGSET: Final = 0x4205
PTRACE_SEIZE: Final = 0x4206
PTRACE_INTERRUPT: Final = 0x4207
PTRACE_LISTEN: Final = 0x4208
PTRACE_GETSIGMASK: Final = 0x420A
PTRACE_SETSIGMASK: Final = 0x420B
PTRACE_GET_SYSCALL_INFO: Final = 0x420E

EVENT_FORK: Final = 1
EVENT_VFORK: Final = 2
EVENT_CLONE: Final = 3
EVENT_EXEC: Final = 4
EVENT_VFORK_DONE: Final = 5
EVENT_EXIT: Final = 6
EVENT_SECCOMP: Final = 7
EVENT_STOP: Final = 128

_TRACESYSGOOD: Final = 1
_EXITKILL: Final = 1 << 20
# EXITKILL is not optional: a tracee that outlives us would find every filtered call failing with ENOSYS
# and int3 in its text.
OPTIONS: Final = (
    _TRACESYSGOOD
    | _EXITKILL
    | 1 << EVENT_FORK
    | 1 << EVENT_VFORK
    | 1 << EVENT_CLONE
    | 1 << EVENT_EXEC
    | 1 << EVENT_VFORK_DONE
    | 1 << EVENT_EXIT
    | 1 << EVENT_SECCOMP
)

# Without argument types ctypes converts small numbers and ready-made pointers twice as fast; what does not fit into
# 32 bits has to be wrapped.
_ptrace = libc_quick["ptrace"]
_ptrace.restype = ctypes.c_long
_Wide = ctypes.c_void_p
_MASK: Final = 0xFFFF_FFFF_FFFF_FFFF


def _fail() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))


def _request(request: int, tid: int, address: int = 0, data: int = 0) -> int:
    result: int = _ptrace(request, tid, _Wide(address), _Wide(data))
    if result == -1:
        raise _fail()
    return result


def seize(tid: int, options: int = OPTIONS) -> None:
    """Attach without stopping (Linux 3.4). Raises OSError: EPERM when Yama, a container or a tracer forbids."""
    _request(PTRACE_SEIZE, tid, 0, options)


def interrupt(tid: int) -> None:
    """Stop a running tracee: EVENT_STOP follows, unless another stop comes first (Linux 3.4)."""
    _request(PTRACE_INTERRUPT, tid)


def listen(tid: int) -> None:
    """Leave a tracee in its group-stop (job control) while hearing of its end."""
    _request(PTRACE_LISTEN, tid)


def cont(tid: int, signal: int = 0) -> None:
    """Resume, delivering *signal*."""
    if _ptrace(PTRACE_CONT, tid, None, signal) == -1:
        raise _fail()


def step(tid: int) -> None:
    """Resume for one instruction."""
    _request(PTRACE_SINGLESTEP, tid)


def to_syscall_exit(tid: int, signal: int = 0) -> None:
    """Resume until the next system-call stop, delivering *signal*."""
    if _ptrace(PTRACE_SYSCALL, tid, None, signal) == -1:
        raise _fail()


_message = ctypes.c_ulong()
_message_address = ctypes.addressof(_message)


def event_message(tid: int) -> int:
    """Return what came with the last event stop: the new task's id, the exit status, the former thread id."""
    _request(PTRACE_GETEVENTMSG, tid, 0, _message_address)
    return int(_message.value)


_siginfo = bytearray(128)
_siginfo_array = (ctypes.c_char * 128).from_buffer(_siginfo)
_siginfo_address = ctypes.addressof(_siginfo_array)


def signal_info(tid: int) -> tuple[int, int, int]:
    """Return (si_signo, si_code, si_addr or first union word) of the signal that stopped *tid*."""
    _request(PTRACE_GETSIGINFO, tid, 0, _siginfo_address)
    signo, _errno, code, _pad, address = struct.unpack_from("iiiiQ", _siginfo)
    return signo, code, address


def is_ours(tid: int) -> bool:
    """Whether this process has sent the signal that stopped *tid*, with kill(2)."""
    _signo, code, sender = signal_info(tid)
    return code == 0 and sender & 0xFFFF_FFFF == os.getpid()


def whole_signal_info(tid: int) -> bytes:
    """Return the siginfo_t of the signal that stopped *tid*."""
    _request(PTRACE_GETSIGINFO, tid, 0, _siginfo_address)
    return bytes(_siginfo)


def set_signal_info(tid: int, info: bytes) -> None:
    """Give the signal before whose delivery *tid* stands the siginfo_t *info*."""
    buffer = ctypes.create_string_buffer(info, len(info))
    _request(PTRACE_SETSIGINFO, tid, 0, ctypes.addressof(buffer))


def signal_mask(tid: int) -> int:
    """Return the blocked signals (bit n-1 for signal n) of a stopped tracee (Linux 3.11)."""
    value = ctypes.c_uint64()
    _request(PTRACE_GETSIGMASK, tid, 8, ctypes.addressof(value))
    return int(value.value)


def set_signal_mask(tid: int, mask: int) -> None:
    """Set the blocked signals (bit n-1 for signal n) of a stopped tracee (Linux 3.11)."""
    value = ctypes.c_uint64(mask)
    _request(PTRACE_SETSIGMASK, tid, 8, ctypes.addressof(value))


_word = ctypes.c_long()
_word_address = ctypes.addressof(_word)
_raw = libc_quick["syscall"]
_raw.restype = ctypes.c_long
[_SYS_PTRACE] = NATIVE.numbers("ptrace")


def peek(tid: int, address: int) -> int:
    """Return the 8 bytes at *address* as an unsigned number; raises OSError EIO/EFAULT."""
    # The bare system call stores the word through its last argument; the C wrapper mixes word and errno.
    if _raw(_SYS_PTRACE, PTRACE_PEEKDATA, tid, _Wide(address), _Wide(_word_address)) == -1:
        raise _fail()
    return _word.value & _MASK


def poke(tid: int, address: int, word: int) -> None:
    """Store 8 bytes at *address*, also in read-only text (the page becomes private to the tracee)."""
    _request(PTRACE_POKEDATA, tid, address, word)


_IN_SETS: Final = NATIVE.calls.number is None
"""Registers come in whole sets (PTRACE_GETREGSET); else each is to be had by itself, too, the call's number among them.

A set has a number of its own, and is handed over by a struct iovec (uio.h).
"""
_NT_PRSTATUS: Final = 1
_NO_CALL: Final = 1 << 63
_NT_ARM_TLS: Final = 0x401
_NT_ARM_SYSTEM_CALL: Final = 0x404
_READ, _WRITE, _SET = (
    (PTRACE_GETREGSET, PTRACE_SETREGSET, _Wide(_NT_PRSTATUS)) if _IN_SETS else (PTRACE_GETREGS, PTRACE_SETREGS, None)
)


class RegisterSet:
    """The general registers of one stopped tracee, as `words` in the order of `NATIVE.registers`.

    One buffer is read and written again and again: no object is made at a stop.
    """

    def __init__(self) -> None:
        buffer = (ctypes.c_uint64 * len(NATIVE.registers.names))()
        self._vector = (ctypes.c_uint64 * 2)(ctypes.addressof(buffer), ctypes.sizeof(buffer))
        self._address = _Wide(ctypes.addressof(self._vector if _IN_SETS else buffer))
        self.words: memoryview = memoryview(buffer).cast("B").cast("Q")

    def read(self, tid: int) -> None:
        """Fill from the stopped task *tid*; raises OSError ESRCH when it is gone."""
        if _ptrace(_READ, tid, _SET, self._address) == -1:
            raise _fail()

    def write(self, tid: int) -> None:
        """Store into the stopped task *tid*; raises OSError ESRCH when it is gone."""
        if _ptrace(_WRITE, tid, _SET, self._address) == -1:
            raise _fail()

    @staticmethod
    def jump(tid: int, address: int) -> None:
        """Set only the instruction pointer of *tid*: where that can be, a third of the price of writing all registers.

        It is as if *tid* had come to *address* from the instruction before, not by a branch.
        """
        if _IN_SETS:
            lent = RegisterSet()
            lent.read(tid)
            lent.words[NATIVE.registers.ip] = address
            lent.words[NATIVE.registers.mode] &= ~NATIVE.modes.branched
            lent.write(tid)
        elif _ptrace(PTRACE_POKEUSER, tid, 8 * NATIVE.registers.ip, _Wide(address)) == -1:
            raise _fail()

    @staticmethod
    def poke(tid: int, register: int, value: int) -> None:
        """Set one register of *tid*, named by its place among the words."""
        if _IN_SETS:
            lent = RegisterSet()
            lent.read(tid)
            lent.words[register] = value & _MASK
            lent.write(tid)
        else:
            _request(PTRACE_POKEUSER, tid, 8 * register, value & _MASK)


def thread_base(tid: int, words: memoryview) -> int:
    """Return where *tid*, whose registers *words* were just read, has what is its own (%fs base, TPIDR_EL0).

    Raises:
        OSError: ESRCH, it is gone.
    """
    if NATIVE.registers.thread_base is not None:
        return int(words[NATIVE.registers.thread_base])
    value = ctypes.c_uint64()
    vector = (ctypes.c_uint64 * 2)(ctypes.addressof(value), ctypes.sizeof(value))
    if _ptrace(PTRACE_GETREGSET, tid, _Wide(_NT_ARM_TLS), _Wide(ctypes.addressof(vector))) == -1:
        raise _fail()
    return value.value


def set_call_number(tid: int, number: int) -> None:
    """Have *tid*, which is about to make a system call, make that of *number*; -1: none."""
    if NATIVE.calls.number is not None:
        RegisterSet.poke(tid, NATIVE.calls.number, number)
        return
    value = ctypes.c_int(number)
    vector = (ctypes.c_uint64 * 2)(ctypes.addressof(value), ctypes.sizeof(value))
    _request(PTRACE_SETREGSET, tid, _NT_ARM_SYSTEM_CALL, ctypes.addressof(vector))


def bits_of(words: memoryview) -> int:
    """Return how code runs under the registers *words*: 64 or 32."""
    return NATIVE.bits_of(words[NATIVE.registers.mode])


def interrupts_call(words: memoryview, behind: bytes) -> bool:
    """Whether a signal interrupts a system call; where the kernel does not keep the call's number, by its gate.

    *words* are the registers, *behind* the bytes before the instruction pointer, as many as a gate has. arm64's forgets
    the number before it tells of a signal (do_signal).
    """
    if NATIVE.calls.number is not None:
        return not words[NATIVE.calls.number] & _NO_CALL
    return behind == NATIVE.calls.gates[0].code


class SyscallInfo:
    """PTRACE_GET_SYSCALL_INFO (Linux 5.3): what kind of stop this is, and the call's numbers.

    Layout (linux/ptrace.h): op u8, pad, arch u32 at 4, instruction pointer u64 at 8, stack pointer u64 at 16;
    at 24, entry: nr u64, args u64[6]; exit: rval s64, is_error u8; seccomp: as entry, then ret_data u32.
    """

    NONE: Final = 0
    ENTRY: Final = 1
    EXIT: Final = 2
    SECCOMP: Final = 3
    _ENTRY = struct.Struct("=B3xIQQ7Q")
    _DATA = struct.Struct("=I")
    _EXIT = struct.Struct("=B3xIQQqB")

    def __init__(self) -> None:
        self._buffer = bytearray(88)
        self._array = (ctypes.c_char * 88).from_buffer(self._buffer)
        self._address = _Wide(ctypes.addressof(self._array))

    def _read(self, tid: int) -> None:
        if _ptrace(PTRACE_GET_SYSCALL_INFO, tid, 88, self._address) == -1:
            raise _fail()

    def entry(self, tid: int) -> tuple[int, ...]:
        """Return (op, arch, ip, sp, nr, arg0..arg5) at an entry or seccomp stop."""
        self._read(tid)
        return self._ENTRY.unpack_from(self._buffer)

    def filter_data(self) -> int:
        """Return what the filter handed over with its SECCOMP_RET_TRACE, at the stop that `entry` was asked at."""
        return int(self._DATA.unpack_from(self._buffer, self._ENTRY.size)[0])

    def exit(self, tid: int) -> tuple[int, int, int, int, int, int]:
        """Return (op, arch, ip, sp, rval, is_error) at an exit stop."""
        self._read(tid)
        return self._EXIT.unpack_from(self._buffer)
