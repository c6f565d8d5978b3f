"""The architectures that are known, and which of them is meant."""

from __future__ import annotations

import os
from typing import Final

from observer.arch.aarch64 import AARCH64
from observer.arch.architecture import Architecture
from observer.arch.i386 import I386
from observer.arch.x86_64 import X86_64

__all__ = ["ARCHITECTURES", "FOREIGN", "NATIVE", "SERVED", "architecture_of", "native_of", "with_bits"]

ARCHITECTURES: Final = (X86_64, I386, AARCH64)
"""Of each machine the kernel's own first."""

_BY_AUDIT: Final = {each.calls.audit: each for each in ARCHITECTURES}


def native_of(machine: str) -> Architecture:
    """Return the architecture of a machine's own programs, by what uname -m calls it; x86-64 for one that is not known.

    Nothing is observed on such a machine, and `doctor` says so: it has to be possible to import what it asks.
    """
    return next((each for each in ARCHITECTURES if each.machine == machine), X86_64)


NATIVE: Final = native_of(os.uname().machine)
"""That of this machine's kernel: the observer is a program of it, and the calls of all others are translated to it."""

SERVED: Final = tuple(each for each in ARCHITECTURES if each.machine == NATIVE.machine)
"""All whose programs this machine's kernel runs."""

FOREIGN: Final = next((each for each in SERVED if each is not NATIVE), None)
"""The other one of them: its calls have other numbers. None: whatever else the kernel runs is not observed."""

_BY_BITS: Final = {each.bits: each for each in SERVED}


def architecture_of(audit: int) -> Architecture:
    """Return the architecture of a system call by its AUDIT_ARCH value; raises KeyError for one that is not known.

    >>> architecture_of(0x40000003).name
    'i386'
    """
    return _BY_AUDIT[audit]


def with_bits(bits: int) -> Architecture:
    """Return the architecture of programs with words of *bits* under this machine's kernel; KeyError if it has none."""
    return _BY_BITS[bits]
