"""A file that was asked for with -o: there whole or not at all, and what was there before stays until then."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from observer.errors import ObserverError, remedy_for

__all__ = ["check_folder", "written"]


@contextlib.contextmanager
def written(path: str | Path) -> Iterator[BinaryIO]:
    """Give a file to be written; when that ends well it takes the place of *path*, where a link is not followed.

    What is no file but a device, a pipe or one of our own streams (`/dev/stdout`) is written to as it is.

    Raises:
        ObserverError: it cannot be written.
    """
    try:
        with _opened(Path(path)) as out:
            yield out
    except OSError as error:
        raise _refused(path, error) from error


def check_folder(path: str | Path) -> None:
    """Raise ObserverError where *path* names nothing that can be written, before work is done for it."""
    from observer.files import Folder

    parent = Path(path).parent
    try:
        Folder.open(parent)
        if not os.access(parent, os.W_OK):
            raise PermissionError(0, "its folder may not be written")
    except OSError as error:
        raise _refused(path, error) from error


def _refused(path: str | Path, error: OSError) -> ObserverError:
    return ObserverError(f"cannot write {path}", error.strerror or str(error), remedy_for(error, "another -o FILE"))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    from observer.files import Folder
    from observer.trace.layout import belongs_to_trace

    if _is_written_to(path):
        with open(path, "wb") as out:
            yield out
        return
    folder = Folder.open(path.parent)
    if belongs_to_trace(folder, path.name):
        raise ObserverError(f"{path} is not replaced", "it is a part of a trace", "another -o FILE")
    with folder.replacing(path.name) as file, os.fdopen(os.dup(file.fileno()), "wb") as out:
        yield out


def _is_written_to(path: Path) -> bool:
    """Whether something is at *path* that no file can take the place of."""
    try:
        there = os.stat(path)
    except OSError:
        return False
    streams = [os.fstat(number) for number in (1, 2)]
    return not stat.S_ISREG(there.st_mode) or any(os.path.samestat(there, stream) for stream in streams)
