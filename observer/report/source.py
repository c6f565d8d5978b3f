"""The program's own lines beside what they caused, from its source files.

File names come from the traced program's debug information and may point anywhere. Without a folder that the user
named, a file is read only where it has the name of a source file and is no younger than the program that was compiled
from it; of a folder, only regular files beneath it are read, found by the end of their path.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Final

from observer.files import open_regular, real_path
from observer.model.events import Site
from observer.model.machine import Image

__all__ = ["Sources", "looks_like_source"]

_LARGEST: Final = 4 << 20
_SUFFIXES: Final = frozenset({
    ".c", ".h", ".cc", ".cpp", ".cxx", ".c++", ".hh", ".hpp", ".hxx", ".ipp", ".inl", ".inc", ".s", ".asm", ".rs",
    ".go", ".d", ".zig", ".f", ".f90", ".f95", ".m", ".mm", ".adb", ".ads", ".pas", ".nim", ".y", ".l", ".swift", ".cu",
})  # fmt: skip


def looks_like_source(name: str) -> bool:
    """Whether a file has the name of a source file."""
    return os.path.splitext(name)[1].lower() in _SUFFIXES


class Sources:
    """Source lines beneath *root*; without one, where the debug information of the *images* says that they are."""

    def __init__(self, root: Path | None, images: Iterable[Image] = ()) -> None:
        self._root = real_path(root) if root is not None else None
        self._built = {os.path.basename(image.path): image.file[3] for image in images}
        self._lines = lru_cache(maxsize=64)(self._read)

    def line(self, site: Site) -> str:
        """Return the text of a source line without its indentation; empty when it cannot be had."""
        if not site.file or not site.line:
            return ""
        lines = self.lines(site.file, site.module or "")
        return lines[site.line - 1].strip() if site.line <= len(lines) else ""

    def lines(self, name: str, module: str) -> list[str]:
        """Return the lines of the file that debug information of *module* calls *name*; none when it cannot be had."""
        return self._lines(name, module)

    def _read(self, name: str, module: str) -> list[str]:
        if self._root is None:
            text = _text(Path(name), self._built.get(module, 0)) if looks_like_source(name) else None
        else:
            text = self._beneath(self._root, name)
        # As compilers count them: a form feed or U+2028 ends no line.
        return text.removesuffix("\n").split("\n") if text is not None else []

    @staticmethod
    def _beneath(root: Path, name: str) -> str | None:
        parts = [part for part in name.split("/") if part not in ("", ".", "..")]
        for start in range(len(parts)):
            path = root.joinpath(*parts[start:])
            if real_path(path).is_relative_to(root):
                text = _text(path)
                if text is not None:
                    return text
        return None


def _text(path: Path, newest: int | None = None) -> str | None:
    """Return the text of a regular file that is not too large, and was not changed after *newest* (ns); else None."""
    try:
        with open_regular(real_path(path)) as file:
            status = os.fstat(file.fileno())
            if status.st_size > _LARGEST or (newest is not None and status.st_mtime_ns > newest):
                return None
            return file.read().decode("utf-8", "replace")
    except (OSError, ValueError):
        return None
