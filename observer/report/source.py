"""The program's own lines beside what they caused, from source files beneath a folder that the user named.

File names come from the traced program's debug information and may point anywhere, so only regular files beneath
that folder are read, found by the end of their path.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Final

from observer.model.events import Site

__all__ = ["Sources"]

_LARGEST: Final = 4 << 20


class Sources:
    """Source lines beneath *root*."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._lines = lru_cache(maxsize=64)(self._read)

    def line(self, site: Site) -> str:
        """Return the text of a source line without its indentation; empty when it cannot be read."""
        if not site.file or not site.line:
            return ""
        lines = self._lines(site.file)
        return lines[site.line - 1].strip() if site.line <= len(lines) else ""

    def _read(self, name: str) -> list[str]:
        parts = [part for part in name.split("/") if part not in ("", ".", "..")]
        for start in range(len(parts)):
            path = self._root.joinpath(*parts[start:])
            if self._may_read(path):
                return path.read_text(encoding="utf-8", errors="replace").splitlines()
        return []

    def _may_read(self, path: Path) -> bool:
        try:
            real = path.resolve(strict=True)
            return real.is_relative_to(self._root) and real.is_file() and real.stat().st_size <= _LARGEST
        except (OSError, ValueError):
            return False
