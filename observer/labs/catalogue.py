"""Where labs are: those of the package, and those in a folder of one's own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from observer.errors import UsageError
from observer.files import real_path
from observer.labs.lab import Lab, read_lab

__all__ = ["find_lab", "folder_of_labs", "packaged_labs"]

_FOLDER: Final = Path(__file__).resolve().parent / "assignments"


def folder_of_labs(labs: Path | None) -> Path:
    """Return the folder of the labs that hand-ins are graded by: *labs*, or that of the package."""
    return labs if labs is not None else _FOLDER


def packaged_labs() -> list[Lab]:
    """Return the labs of the package, sorted by name."""
    return [read_lab(path.parent) for path in sorted(_FOLDER.glob("*/lab.toml"))]


def find_lab(word: str) -> Lab:
    """Return the lab that *word* names: one of the package, or the folder of one, which has a slash in its name.

    Raises:
        UsageError: there is no such lab.
        BadLab: its folder is not what it must be.
    """
    folder = Path(word) if "/" in word else _FOLDER / word
    if not word or not os.path.isfile(folder / "lab.toml"):
        known = ", ".join(path.parent.name for path in sorted(_FOLDER.glob("*/lab.toml")))
        raise UsageError(f"there is no lab {word!r}", "", f"one of {known}, or the path of a lab's folder")
    return read_lab(real_path(folder))
