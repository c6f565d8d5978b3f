"""What a landing is made of on AArch64, and in which register the stub (stub_aarch64.S) has its descriptor.

There is no jump of one instruction that leads to the same place wherever it stands: a program that copies a function's
first instruction while the jump is there, and does the copy, is led astray.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from observer.arch.aarch64 import AARCH64
from observer.code.a64 import LENGTH
from observer.code.a64_moving import REACH, entry_stretch, exit_stretch, jump, jump_target, moved
from observer.code.elf import Elf
from observer.code.moving import Moved, Stretch

__all__ = ["A64Landing"]

_DESCRIPTOR: Final = 17
_DOWN, _UP = b"\xfe\x0f\x1f\xf8", b"\xfe\x07\x41\xf8"  # str x30, [sp, #-16]!; ldr x30, [sp], #16
_RET: Final = b"\xc0\x03\x5f\xd6"
_BL: Final = 1 << 31


class A64Landing:
    """See LandingCode."""

    architecture = AARCH64
    source = "stub_aarch64.S"
    resume_length = LENGTH
    nop = b"\x1f\x20\x03\xd5"
    reach = REACH - (1 << 20)
    away = 1 << 26
    can_jump_far = False
    spares_the_clock = False
    descriptor = AARCH64.registers.places[f"x{_DESCRIPTOR}"]
    kept: tuple[tuple[int, int], ...] = ()
    down = len(_DOWN)
    lowered = 16

    def entry_stretch(self, elf: Elf, entry: int, targets: Collection[int], *, far: bool) -> Stretch | None:
        """See LandingCode."""
        del far
        return entry_stretch(elf, entry, targets)

    def exit_stretch(self, elf: Elf, place: int, targets: Collection[int], *, is_jump: bool) -> Stretch | None:
        """See LandingCode."""
        del targets
        return exit_stretch(elf, place, is_jump=is_jump)

    def moved(self, code: bytes, address: int, to: int) -> Moved | None:
        """See LandingCode."""
        return moved(code, address, to)

    def jump(self, at: int, to: int) -> bytes:
        """See LandingCode."""
        return jump(at, to)

    def far_jump(self, word: int, room: int) -> bytes | None:
        """See LandingCode."""
        del word, room
        return None

    def lead(self, at: int, descriptor: int, to: int) -> bytes:
        """See LandingCode."""
        pages = (descriptor >> 12) - (at >> 12)  # of ADRP, whatever the kernel's are
        page = 0x9000_0000 | (pages & 3) << 29 | (pages >> 2 & 0x7_FFFF) << 5 | _DESCRIPTOR
        rest = 0x9100_0000 | (descriptor & 0xFFF) << 10 | _DESCRIPTOR << 5 | _DESCRIPTOR
        load = page.to_bytes(LENGTH, "little") + rest.to_bytes(LENGTH, "little")
        return load + jump(at + len(load), to)

    def return_of(self, code: bytes) -> bytes:
        """See LandingCode."""
        return code[:LENGTH] or _RET

    def target(self, code: bytes, address: int) -> int:
        """See LandingCode."""
        found = jump_target(code, address)
        assert found is not None
        return found

    def call_instead(self, target: int, at: int, back: int) -> bytes:
        """See LandingCode."""
        call = at + len(_DOWN)
        linked = (int.from_bytes(jump(call, target), "little") | _BL).to_bytes(LENGTH, "little")
        return _DOWN + linked + _UP + jump(call + 2 * LENGTH, back)
