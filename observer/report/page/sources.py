"""The program's source files, embedded as text: those that events name and that lie beneath a folder the user named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from observer.model.events import Site
from observer.model.filenames import safe
from observer.report.page.columns import cut
from observer.report.source import Sources

__all__ = ["embedded"]

_SUFFIXES: Final = frozenset({
    ".c", ".h", ".cc", ".cpp", ".cxx", ".c++", ".hh", ".hpp", ".hxx", ".ipp", ".inl", ".s", ".rs", ".go", ".d", ".zig",
    ".f", ".f90", ".f95", ".m", ".mm", ".adb", ".ads", ".pas", ".nim", ".y", ".l", ".swift", ".cu",
})  # fmt: skip
"""A page is given to others. Debug information names files as it likes, so only what looks like source is taken."""
_MOST_FILES: Final = 24
_MOST_LINES: Final = 20_000


def embedded(sites: Iterable[Site], folder: Path) -> list[dict[str, Any]]:
    """Return the source files of *sites* beneath *folder*, those with most places first.

    Each has its `path` as the sites tell it, its `name`, its `lines` (harmless, long ones cut), and how many are
    `left_out`.
    """
    sources = Sources(folder)
    names = Counter(site.file for site in sites if site.file and site.line)
    found: list[dict[str, Any]] = []
    for path, _count in names.most_common():
        lines = sources.lines(path) if Path(path).suffix.lower() in _SUFFIXES else []
        if lines and len(found) < _MOST_FILES:
            shown = [_line(line) for line in lines[:_MOST_LINES]]
            left_out = max(len(lines) - _MOST_LINES, 0)
            name = cut(path.rpartition("/")[2], 80)
            found.append({"path": safe(path), "name": name, "lines": shown, "left_out": left_out})
    return found


def _line(line: str) -> str:
    """Return a line of source with its tabulators, everything else in it harmless."""
    return "\t".join(map(safe, line.split("\t"))) if len(line) <= 400 else cut(line.replace("\t", " "))
