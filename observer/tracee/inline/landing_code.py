"""The machine code that landings are made of: what differs between architectures of the inline recorder."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Protocol

from observer.arch.aarch64 import AARCH64
from observer.arch.architecture import Architecture
from observer.code.elf import Elf
from observer.code.moving import Moved, Stretch
from observer.tracee.inline.landing_aarch64 import A64Landing
from observer.tracee.inline.landing_x86_64 import X86Landing

__all__ = ["LandingCode", "landing_code_of"]


class LandingCode(Protocol):
    """One architecture's.

    `source` is the file of its stub, `resume_length` how many bytes come there before the jump that goes on: when they
    begin all is done already; `spares_the_clock` says that it need not read the clock each time. `nop` does nothing. A
    jump leads up to `reach` bytes far, and what is laid out lies `away` from a library where that can be;
    `can_jump_far` says that there are jumps through a word in the lowest 2 GiB. `descriptor` is the register that has a
    descriptor's address, `kept` those of results with where they are kept meanwhile: places among the registers. Where
    a jump is made a call, `down` bytes of code lower the stack pointer by `lowered` bytes in front of that.
    """

    architecture: Architecture
    source: str
    resume_length: int
    nop: bytes
    reach: int
    away: int
    can_jump_far: bool
    spares_the_clock: bool
    descriptor: int
    kept: tuple[tuple[int, int], ...]
    down: int
    lowered: int

    def entry_stretch(self, elf: Elf, entry: int, targets: Collection[int], *, far: bool) -> Stretch | None:
        """Return what can give way at the beginning of a function, which jumps to *targets*, to a *far* jump if so."""

    def exit_stretch(self, elf: Elf, place: int, targets: Collection[int], *, is_jump: bool) -> Stretch | None:
        """Return what can give way so that the end at *place* is come by: a return, or a jump if it *is* one."""

    def moved(self, code: bytes, address: int, to: int) -> Moved | None:
        """Return the instructions *code* at *address* as they must be to be done at *to*; None if that cannot be."""

    def jump(self, at: int, to: int) -> bytes:
        """Return the jump that stands *at* an address and leads *to* another."""

    def far_jump(self, word: int, room: int) -> bytes | None:
        """Return the jump to where the *word* at that address leads; None where *room* bytes are too few for it."""

    def lead(self, at: int, descriptor: int, to: int) -> bytes:
        """Return what loads the address of a *descriptor* and goes *to* the stub."""

    def return_of(self, code: bytes) -> bytes:
        """Return the instruction that returns as *code* does, or as usual if there is none."""

    def target(self, code: bytes, address: int) -> int:
        """Return where the jump *code* at *address* leads, which `exit_stretch` has found."""

    def call_instead(self, target: int, at: int, back: int) -> bytes:
        """Return what stands *at* an address, calls *target* instead of jumping there, and goes *back*."""


_X86_64: Final[LandingCode] = X86Landing()
_AARCH64: Final[LandingCode] = A64Landing()


def landing_code_of(architecture: Architecture) -> LandingCode:
    """Return that of an *architecture*."""
    return _AARCH64 if architecture is AARCH64 else _X86_64
