"""Options read from the command line; what is wrong with them is told without what could steer a terminal."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

__all__ = ["Parser"]


class Parser(argparse.ArgumentParser):
    """A parser whose complaints quote words that may hold anything: a shell's `*` gives names of files."""

    def error(self, message: str) -> NoReturn:
        """Print how the verb is used and *message*; leave with status 2."""
        from observer.model.filenames import safe

        super().error(safe(message))

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        # Up to Python 3.12 the `--` of `--option=--` is taken out as if it stood before arguments: no value is left,
        # and neither the option's type nor its choices are asked.
        if action.option_strings and arg_strings == ["--"]:
            raise argparse.ArgumentError(action, "-- is no value")
        return super()._get_values(action, arg_strings)
