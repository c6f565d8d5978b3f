"""The place of a new trace: free, or that of an older trace, which comes back when nothing was recorded."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

from observer.errors import BadTrace, remedy_for
from observer.files import Folder
from observer.recording import notes
from observer.trace.layout import META, SPOOL, foreign_name, held, is_unfinished, remove_trace

__all__ = ["is_left_unfinished", "new_folder"]


@contextlib.contextmanager
def new_folder(path: Path, replacing: Callable[[], None] | None) -> Iterator[Folder]:
    """Make the folder *path* for a recording, and remove it again when that fails before anything was recorded.

    Args:
        replacing: called when an older trace at *path* gives way; None: whatever is there is left, and refused.

    Raises:
        BadTrace: something is there that is no trace, or the folder cannot be made.
    """
    older = _set_aside(path) if replacing is not None and os.path.lexists(path) else None
    try:
        with _empty_folder(path) as folder:
            yield folder
    finally:
        if older is not None and replacing is not None:
            if os.path.lexists(path):
                _remove(older)
                replacing()
            else:
                os.rename(older.path, path)


@contextlib.contextmanager
def _empty_folder(path: Path) -> Iterator[Folder]:
    with contextlib.ExitStack() as spare:  # where descriptors are few, clearing away needs one
        spare.callback(os.close, os.open(os.sep, os.O_PATH | os.O_CLOEXEC))
        folder = _made(path)
        try:
            yield folder
        except BaseException:
            spare.close()
            if folder.is_at_its_path() and not _is_recorded(folder):
                with contextlib.suppress(OSError):  # what made the recording fail matters more
                    remove_trace(folder)
            raise


def is_left_unfinished(path: Path) -> bool:
    """Whether something was recorded in the folder *path* that was not made into a trace."""
    try:
        return is_unfinished(Folder.open(path))
    except OSError:
        return False


def _made(path: Path) -> Folder:
    try:
        return Folder.make(path)
    except FileExistsError as error:
        raise BadTrace(f"{path} exists", "", "--force to replace a trace, or -o with another folder") from error
    except OSError as error:
        remedy = remedy_for(error, "-o with a folder you may write")
        raise BadTrace(f"cannot make the folder {path}", error.strerror or "", remedy) from error


def _is_recorded(folder: Folder) -> bool:
    try:
        return folder.folder(SPOOL).file(notes.FILE).size > 0
    except OSError:
        return False


def _set_aside(path: Path) -> Folder:
    """Give the trace at *path* a hidden name beside it; return it. Nothing but a trace is touched."""
    if not path.name:  # `.` or `/`, which nothing can be put in the place of
        raise BadTrace(f"{path} is not replaced", "it has no name to give to another", "-o with its name, or another")
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        older = Folder.open(path)
        odd = "it is a link" if path.is_symlink() else _why_no_trace(older)
        if odd is not None:
            raise BadTrace(f"{path} is not replaced", odd, "remove it yourself, or -o with another folder")
        with held(older):
            os.rename(path, aside)
        return Folder.open(aside)
    except OSError as error:
        raise BadTrace(f"{path} cannot be replaced", error.strerror or "", "-o with another folder") from error


def _why_no_trace(folder: Folder) -> str | None:
    odd = foreign_name(folder)
    if odd is None:
        return None
    return "no trace: its meta.json is missing or none of ours" if odd == META else f"no trace: {odd} is none of ours"


def _remove(folder: Folder) -> None:
    try:
        remove_trace(folder)
    except OSError as error:
        raise BadTrace(f"cannot remove {folder.path}", error.strerror or "", "remove it yourself") from error
