"""Numbers on the command line."""

from __future__ import annotations

import argparse

__all__ = ["positive"]


def positive(text: str) -> int:
    """Return the whole number above zero that *text* gives.

    Raises:
        argparse.ArgumentTypeError: it gives none.

    >>> positive("12")
    12
    """
    if not (text.isascii() and text.isdecimal()) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)
