"""`observer doctor`: what this machine allows, what is missing, and the command that fixes it."""

from __future__ import annotations

import argparse
import sys
from typing import Final

__all__ = ["configure", "run"]

_DESCRIPTION: Final = """\
Try, on this machine and as this user, everything that the observer needs, and
say for each thing whether it works, how, and otherwise why not and what one
command would allow it.
"""
_EPILOG: Final = """\
Exit status:
  0  the main job works (what is missing beyond that is said)
  1  it does not

Examples:
  observer doctor
  observer doctor --json | jq '.[] | select(.works | not)'
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Give *parser* the options of this verb."""
    from rich_argparse import RawDescriptionRichHelpFormatter

    parser.formatter_class = RawDescriptionRichHelpFormatter
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    parser.add_argument("--json", action="store_true", help="a list of {capability, works, how, why_not, remedy}")


def run(arguments: argparse.Namespace) -> int:
    """Examine the machine, print the findings on standard output; return the exit status."""
    from observer.instruments.capabilities import examine

    found = examine()
    if arguments.json:
        import msgspec

        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
    else:
        from observer.report.doctor import print_capabilities
        from observer.report.screen import make_console

        print_capabilities(make_console(sys.stdout), found)
    return 0 if all(item.works for item in found if item.essential) else 1
