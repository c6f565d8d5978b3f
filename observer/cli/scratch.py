"""A folder for the time of one command."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["scratch_folder"]


@contextmanager
def scratch_folder(name: str) -> Iterator[Path]:
    """Give a new folder ``observer-NAME-…`` where temporary files go; in the end it is removed, Ctrl-C or not."""
    folder = Path(tempfile.mkdtemp(prefix=f"observer-{name}-"))
    try:
        yield folder
    finally:
        # Who presses Ctrl-C presses it twice. Blocked in this thread alone it would come by another one, DuckDB's say.
        before = _ignore_interrupts()
        shutil.rmtree(folder, ignore_errors=True)
        signal.signal(signal.SIGINT, before)


def _ignore_interrupts() -> Any:
    """Ignore SIGINT from now on; return what was done about it before."""
    while True:
        try:
            return signal.signal(signal.SIGINT, signal.SIG_IGN)
        except KeyboardInterrupt:  # one that had come before is told of first
            continue
