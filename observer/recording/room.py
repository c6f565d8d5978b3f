"""Is there room left on the disk: for what comes, and for the tables that are made of it while it is still there?"""

from __future__ import annotations

import os
from typing import Final

from observer.files import Folder

__all__ = ["Room"]

_LEAST: Final = 4 << 20
_PART: Final = 4
"""That, or where there is little to begin with this part of it."""
_SHARE: Final = 4
"""So many bytes of records come to a byte of tables at the most: a tenth is usual."""


class Room:
    """The free space on the disk of *folder*."""

    def __init__(self, folder: Folder) -> None:
        self._fd = folder.fileno()
        self._least = min(_LEAST, self.free // _PART)

    @property
    def free(self) -> int:
        """Bytes that we may still use."""
        found = os.fstatvfs(self._fd)
        return found.f_bavail * found.f_frsize

    def is_short(self, written: int) -> bool:
        """Whether a recording of which *written* bytes are there should come to its end."""
        return self.free < self._least + written // _SHARE
