"""The one way in which a command says what went wrong: on stderr, without what could steer a terminal."""

from __future__ import annotations

import contextlib
import os
import sys

from observer.errors import ObserverError
from observer.model.filenames import safe

__all__ = ["complain", "drop_output"]


def complain(what: str, why: str = "", remedy: str = "") -> None:
    """Print on stderr what went wrong, and what to try; nothing where nobody can read it."""
    error = ObserverError(safe(what), safe(why), safe(remedy))
    with contextlib.suppress(OSError):
        print(f"observer: {error}", file=sys.stderr, flush=True)


def drop_output(number: int) -> None:
    """Let all further output to descriptor *number* go nowhere: there is no room for it, or no reader."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), number)
