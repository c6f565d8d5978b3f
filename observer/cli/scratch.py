"""A folder for the time of one command."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["scratch_folder"]


@contextmanager
def scratch_folder(name: str) -> Iterator[Path]:
    """Give a new folder ``observer-NAME-…`` where temporary files go; in the end it is removed, Ctrl-C or not."""
    folder = Path(tempfile.mkdtemp(prefix=f"observer-{name}-"))
    try:
        yield folder
    finally:
        # Who presses Ctrl-C presses it twice.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        shutil.rmtree(folder, ignore_errors=True)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
