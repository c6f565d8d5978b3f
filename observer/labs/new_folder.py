"""A new folder that is filled: all of it is there in the end, or nothing."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from observer.errors import BadLab, remedy_for
from observer.files import make_folder

__all__ = ["new_folder"]

_ERRNO: Final = re.compile(r"\[Errno ([0-9]+)\]")


@contextlib.contextmanager
def new_folder(folder: Path, remedy: str) -> Iterator[None]:
    """Make *folder*, to be filled; it is removed again when that fails.

    Raises:
        BadLab: it exists, or cannot be made or filled; *remedy* is what to try.
    """
    try:
        make_folder(folder)
    except OSError as error:
        raise _failed(folder, error, remedy) from error
    try:
        yield
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)  # why it could not be filled matters more
        if isinstance(error, OSError):
            raise _failed(folder, error, remedy) from error
        raise


def _failed(folder: Path, error: OSError, remedy: str) -> BadLab:
    return BadLab(f"cannot make {folder}", _reason(error), remedy_for(error, remedy))


def _reason(error: OSError) -> str:
    """Return Linux's reason: of several (shutil.Error), the first."""
    found = _ERRNO.search(str(error))
    return error.strerror or (os.strerror(int(found[1])) if found is not None else str(error))
