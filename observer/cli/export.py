"""observer export: a recorded trace in the formats of other tools."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Final

from observer.errors import ObserverError

__all__ = ["HELP", "NAME", "configure", "run"]

NAME: Final = "export"
HELP: Final = "write a trace in another tool's format"

_DESCRIPTION: Final = """\
Write the events of the trace in DIR for other programs.

jsonl   JSON Lines: one event a line, in the order of n. Addresses are hex
        strings (pointers, faulting addresses, arguments of system calls,
        results of brk, mmap and mremap); counts and sizes are numbers; what
        was not observed is null.
"""
_EPILOG: Final = """\
Exit status:
  0    written
  2    the options are not known
  125  DIR cannot be read or FILE cannot be written

Examples:
  observer export story.trace --to jsonl -o story.jsonl
  observer export story.trace --to jsonl | jq 'select(.major) | .where'
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Give *parser* the options of this verb."""
    from rich_argparse import RawDescriptionRichHelpFormatter

    parser.formatter_class = RawDescriptionRichHelpFormatter
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    parser.add_argument("directory", metavar="DIR", type=Path, help="a trace: the folder that observer run left")
    parser.add_argument("--to", required=True, choices=("jsonl",), help="the format")
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="write to FILE, replacing it; - or nothing: standard output"
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the trace; return the exit status."""
    from observer.report.jsonl import write
    from observer.trace.reader import Trace

    events = Trace.open(arguments.directory).events()
    if arguments.output in (None, "-"):
        sys.stdout.flush()
        write(events, sys.stdout.buffer)
        return 0
    try:
        with open(arguments.output, "wb") as out:
            write(events, out)
    except OSError as error:
        raise ObserverError(
            f"cannot write {arguments.output}", os.strerror(error.errno or 0), "another -o FILE"
        ) from error
    return 0
