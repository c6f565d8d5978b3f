"""What a landing is made of on x86-64, and in which registers the stub (stub.S) has what."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from observer.arch.x86_64 import X86_64
from observer.code.elf import Elf
from observer.code.moving import FAR_JUMP, JUMP, Moved, Stretch, entry_stretch, exit_stretch, far_jump, jump, moved

__all__ = ["X86Landing"]

_PLACES: Final = X86_64.registers.places
_TO_DESCRIPTOR: Final = b"\x4c\x8d\x1d"  # lea rel32(%rip), %r11
_LEA: Final = 7
_RET: Final = b"\xc3"
_JMP, _CALL = b"\xe9", b"\xe8"
_DOWN, _UP = b"\x48\x83\xec\x08", b"\x48\x83\xc4\x08"  # sub, add $8, %rsp


class X86Landing:
    """See LandingCode."""

    architecture = X86_64
    source = "stub.S"
    resume_length = 0
    nop = b"\x90"
    reach = (1 << 31) - (1 << 24)
    away = 1 << 30
    can_jump_far = True
    spares_the_clock = True
    descriptor = _PLACES["r11"]
    kept: tuple[tuple[int, int], ...] = ((_PLACES["rax"], _PLACES["rcx"]), (_PLACES["rdx"], _PLACES["r9"]))
    down = len(_DOWN)
    lowered = 8

    def entry_stretch(self, elf: Elf, entry: int, targets: Collection[int], *, far: bool) -> Stretch | None:
        """See LandingCode."""
        found = entry_stretch(elf, entry, targets, FAR_JUMP) if far else None
        return found or entry_stretch(elf, entry, targets, JUMP)

    def exit_stretch(self, elf: Elf, place: int, targets: Collection[int], *, is_jump: bool) -> Stretch | None:
        """See LandingCode."""
        if not is_jump:
            return exit_stretch(elf, place, targets)
        code = elf.read(place, JUMP)
        return Stretch(place, code) if code[:1] == _JMP else None

    def moved(self, code: bytes, address: int, to: int) -> Moved | None:
        """See LandingCode."""
        return moved(code, address, to)

    def jump(self, at: int, to: int) -> bytes:
        """See LandingCode."""
        return jump(at, to)

    def far_jump(self, word: int, room: int) -> bytes | None:
        """See LandingCode."""
        return far_jump(word) if room >= FAR_JUMP else None

    def lead(self, at: int, descriptor: int, to: int) -> bytes:
        """See LandingCode."""
        load = _TO_DESCRIPTOR + (descriptor - at - _LEA).to_bytes(4, "little", signed=True)
        return load + jump(at + _LEA, to)

    def return_of(self, code: bytes) -> bytes:
        """See LandingCode."""
        del code
        return _RET

    def target(self, code: bytes, address: int) -> int:
        """See LandingCode."""
        return address + JUMP + int.from_bytes(code[1:], "little", signed=True)

    def call_instead(self, target: int, at: int, back: int) -> bytes:
        """See LandingCode."""
        call = at + len(_DOWN)
        end = call + JUMP + len(_UP)
        return _DOWN + _CALL + jump(call, target)[1:] + _UP + jump(end, back)
