"""One value an architecture: what differs between processors, and between the ABIs that one kernel serves. Pure.

`architecture.py` is the value and what its fields mean, `x86_64.py`, `i386.py` and `aarch64.py` are those that are
observed, and `known.py` finds one: by the AUDIT_ARCH value that each system call is recorded with, by a program's word,
by the machine's name. Who needs a register, a number, a byte of code or a ring asks the architecture of the task or the
record at hand for it, `NATIVE` where it is the machine's own kernel that is spoken to. `x86_exceptions.py` and
`aarch64_exceptions.py` are what the signals of the kernel say of the processor's exceptions; `exceptions.py` asks the
one that is meant, `page_faults.py` is what they have in common.

A further architecture:

1. `arch/NAME.py` with an `Architecture`: every field, from the kernel's headers and the ABI. `registers.names` are the
   words of PTRACE_GETREGSET's NT_PRSTATUS in their order; `calls.numbers` has the names that `x86_64.py` has.
2. Its value in `known.ARCHITECTURES`, its gates at the end of `architecture.GATES`: their places are recorded.
3. What cannot be a number: its exceptions, in `exceptions.py`; how an instruction under a breakpoint is carried out,
   where control goes and what a faulting one did, as `code/a64.py` and `code/a64_pieces.py` have it for
   `code/instructions.py`, `flow.py`, `prologue.py`, `stubs.py` and the like; call-frame rules (`code/unwind.py`); its
   system-call table in `code/syscalls.py`. Recording inside programs (`tracee/inline`) is x86-64's alone.

`tests/unit/arch` goes over all that are known; `tests/unit/linux/test_ptrace.py`, `test_perf.py` and
`tests/unit/code/test_syscalls.py` set them beside python-ptrace's structures and the kernel's tables. A second ABI of a
kernel that is known (as i386 is of x86-64's) has that kernel's `machine` and registers.
"""
