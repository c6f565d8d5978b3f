"""What is planted: an int3 over the first byte of an instruction, and what is to be known when a task comes by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from observer.arch.known import NATIVE
from observer.code.emulation import NOTHING, Emulation

__all__ = ["NO_CALL", "Breakpoint", "trap_at"]

NOBODY: Final = -1
NO_CALL: Final = -1


@dataclass(slots=True, frozen=True)
class Breakpoint:
    """A planted int3, for a watched function: where it begins, where it is called, or where it may end.

    Where a call of it begins, `number` is the function's in the list of the `listener` that is told of its calls, and
    `pushed` the bytes by which the stack pointer lies below where it was when the function was entered: less than none
    at a call instruction that is still to push the return address. `is_before` says that it is such an instruction, and
    the function is still to be entered. Elsewhere `number` is NO_CALL. `code` is what the file has
    from `address` on, `before` what it has before (left empty, a copy of the code is not known again), `emulation` how
    to carry its first instruction out, `planted` what stands there instead.

    A function is followed in one of two ways. The outermost of its calls, by its exits: `leaves` says that control
    leaves it here, at a `ret` or a jump. Or each of its calls (`nests`), by an exchanged return address, unless
    `returns` says that its return cannot be seen so; what `unwinds` is about to read return addresses off the stack.

    `goes_on` says that the task needs but be resumed: a `ret` follows the int3. `is_certain`, that a task stopped right
    behind the int3 can only have come by it; `is_copy`, that not we but the program put it there, with code that it
    copied; `is_trap`, that it is where exchanged return addresses lead; `is_mark`, that it goes away when it was met.

    `home` is the code of the library that defines the function, if calls from there that do not go through the symbol
    are its own business (glibc's allocator); otherwise empty. `entry` is where the function begins, `tails` are the
    numbers of those that it may end by jumping to, `implementation` tells one definition of its name from others.
    `saved_return` is how far above the stack pointer at its entry it keeps a return address that came in a register.
    """

    address: int
    code: bytes
    emulation: Emulation
    number: int = NO_CALL
    listener: int = NOBODY
    pushed: int = 0
    is_before: bool = False
    leaves: bool = False
    nests: bool = False
    returns: bool = True
    unwinds: bool = False
    goes_on: bool = False
    is_certain: bool = True
    is_copy: bool = False
    is_trap: bool = False
    is_mark: bool = False
    planted: bytes = NATIVE.trap.code
    before: bytes = b""
    home: tuple[int, int] = (0, 0)
    entry: int = 0
    tails: frozenset[int] = frozenset()
    implementation: int = 0
    saved_return: int | None = None


def trap_at(address: int, code: bytes) -> Breakpoint:
    """Return the breakpoint to which exchanged return addresses lead; *code* is what it stands on."""
    return Breakpoint(address, code, Emulation(len(NATIVE.trap.code), NOTHING, None, ""), is_trap=True)
