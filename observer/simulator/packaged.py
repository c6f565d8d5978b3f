"""The workloads that come with the package, one behaviour each; the first lines of each say what it shows.

A header is made of comments: `# title: …`, `# concepts: virtual two-level` (the chapter's ids) and free text.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from observer.errors import BadWorkload
from observer.model.chapter import CONCEPTS

__all__ = ["Header", "header", "names", "path"]

_FOLDER: Final = Path(__file__).resolve().parent / "workloads"
_SUFFIX: Final = ".workload"


@dataclass(frozen=True, slots=True)
class Header:
    """What a packaged workload says of itself; `concepts` are ids of the chapter."""

    title: str
    concepts: tuple[str, ...]
    text: str


@cache
def names() -> tuple[str, ...]:
    """Return the names of the packaged workloads, sorted."""
    return tuple(sorted(file.stem for file in _FOLDER.glob(f"*{_SUFFIX}")))


def path(name: str) -> Path:
    """Return the file of a packaged workload; raises BadWorkload with the names that there are."""
    if name not in names():
        raise BadWorkload(f"there is no workload {name!r}", "", ", ".join(names()))
    return _FOLDER / f"{name}{_SUFFIX}"


def header(name: str) -> Header:
    """Return what the packaged workload *name* says of itself."""
    lines = []
    for line in path(name).read_text().splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    fields = dict(line.split(": ", 1) for line in lines if line.startswith(("title: ", "concepts: ")))
    text = " ".join(line for line in lines if line and not line.startswith(("title: ", "concepts: ")))
    concepts = tuple(fields.get("concepts", "").split())
    unknown = [concept for concept in concepts if concept not in CONCEPTS]
    if unknown:
        raise BadWorkload(f"{name}: {unknown[0]!r} is no concept of the chapter")
    return Header(fields.get("title", name), concepts, text)
