"""Options read from the command line; what is wrong with them is told without what could steer a terminal."""

from __future__ import annotations

import argparse
from typing import NoReturn

__all__ = ["Parser"]


class Parser(argparse.ArgumentParser):
    """A parser whose complaints quote words that may hold anything: a shell's `*` gives names of files."""

    def error(self, message: str) -> NoReturn:
        """Print how the verb is used and *message*; leave with status 2."""
        from observer.model.filenames import safe

        super().error(safe(message))
