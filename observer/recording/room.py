"""Is there room left on the disk: for what comes, and for the tables that are made of it while it is still there?"""

from __future__ import annotations

import os
from typing import Final

from observer.files import Folder

__all__ = ["Room"]

_LEAST: Final = 8 << 20
_SHARE: Final = 0.75
"""Bytes of tables that a byte of records may come to."""


class Room:
    """The free space on the disk of *folder*."""

    def __init__(self, folder: Folder) -> None:
        self._fd = folder.fileno()

    @property
    def free(self) -> int:
        """Bytes that we may still use."""
        found = os.fstatvfs(self._fd)
        return found.f_bavail * found.f_frsize

    def is_short(self, written: int) -> bool:
        """Whether a recording of which *written* bytes are there should come to its end."""
        return self.free < _LEAST + written * _SHARE
