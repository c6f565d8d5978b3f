"""Which files with code a process has mapped, and what they are to us: program, loader, C library, library."""

from __future__ import annotations

import os
from typing import Final

from observer.instruments.sink import Sink
from observer.linux.elf import Elf, load
from observer.model.addresses import Mapping

__all__ = ["note_image", "role_of"]

_LIBC: Final = ("libc.so", "libc-", "libc.musl", "libpthread", "libc++")
_LOADER: Final = ("ld-linux", "ld-musl", "ld-", "ld.so")


def role_of(path: str, program: str) -> str:
    """Return program, loader, libc or library for the file at *path*.

    >>> role_of("/lib/x86_64-linux-gnu/libc.so.6", "/bin/ls")
    'libc'
    """
    name = os.path.basename(path)
    if path == program:
        return "program"
    if name.startswith(_LOADER):
        return "loader"
    return "libc" if name.startswith(_LIBC) else "library"


def note_image(sink: Sink, pid: int, now: int, mapping: Mapping, program: str) -> tuple[Elf, int, str] | None:
    """Record that *mapping* shows code of an ELF file; return (file, load bias, role), or None if it does not."""
    elf = load(mapping.path)
    bias = elf.bias_of(mapping.start, mapping.offset) if elf else None
    if elf is None or bias is None:
        return None
    role = role_of(mapping.path, program)
    sink.notes.append(
        "image", pid=pid, t=now, path=mapping.path, start=mapping.start, end=mapping.end, bias=bias,
        build_id=elf.build_id, role=role,
    )  # fmt: skip
    return elf, bias, role
