"""What lies in a page of a file that nobody has touched yet: read from the file, so that the page stays away."""

from __future__ import annotations

import contextlib
import os
from typing import Final

from observer.files import open_regular
from observer.linux.procfs import PAGE, read_mappings, read_pagemap

__all__ = ["bytes_of_file"]

_PRESENT_OR_SWAPPED: Final = 0xC0  # bits 63 and 62 of an entry; a page that was written to is one or the other


def bytes_of_file(tid: int, start: int, length: int) -> bytes:
    """Return up to *length* bytes at *start*, as far as its page; nothing where no untouched page of a file is."""
    length = min(length, PAGE - start % PAGE)
    with contextlib.suppress(OSError, OverflowError):
        if _is_there(tid, start):
            return b""
        mapping = next((each for each in read_mappings(tid) if each.start <= start < each.end), None)
        if mapping is not None and mapping.path.startswith("/"):
            with open_regular(f"/proc/{tid}/root{mapping.path}") as file:
                same = os.fstat(file.fileno()).st_ino == mapping.inode
                return os.pread(file.fileno(), length, mapping.offset + start - mapping.start) if same else b""
    return b""


def _is_there(tid: int, address: int) -> bool:
    fd = os.open(f"/proc/{tid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    try:
        entry = read_pagemap(fd, address & -PAGE, address + 1)
    finally:
        os.close(fd)
    return len(entry) < 8 or bool(entry[7] & _PRESENT_OR_SWAPPED)
