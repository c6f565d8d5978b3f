"""The program's source files, embedded as text: those that events name, found as `report.source` finds them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

from observer.model.events import Site
from observer.model.filenames import safe
from observer.report.page.columns import cut
from observer.report.source import Sources, looks_like_source

__all__ = ["embedded"]

_MOST_FILES: Final = 24
_MOST_LINES: Final = 20_000
_LONGEST: Final = 400


def embedded(sites: Iterable[Site], sources: Sources) -> list[dict[str, Any]]:
    """Return the source files of *sites*, those with most places first.

    Each has its `path` as the sites tell it, its `name`, its `lines` (harmless, long ones cut), and how many are
    `left_out`. A page is given to others: only what looks like source is taken, whatever debug information names.
    """
    names = Counter((site.file, site.module or "") for site in sites if site.file and site.line)
    found: dict[str, dict[str, Any]] = {}
    for (path, module), _count in names.most_common():
        if path in found or len(found) == _MOST_FILES or not looks_like_source(path):
            continue
        lines = sources.lines(path, module)
        if lines:
            found[path] = {
                "path": safe(path), "name": cut(path.rpartition("/")[2], 80),
                "lines": [_line(line) for line in lines[:_MOST_LINES]], "left_out": max(len(lines) - _MOST_LINES, 0),
            }  # fmt: skip
    return list(found.values())


def _line(line: str) -> str:
    """Return a line of source with its tabulators, everything else in it harmless."""
    return "\t".join(map(safe, line.split("\t"))) if len(line) <= _LONGEST else cut(line.replace("\t", " "))
