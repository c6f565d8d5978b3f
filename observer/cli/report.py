"""observer report: a recorded run as one page that opens offline."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from observer.errors import ObserverError

if TYPE_CHECKING:
    from observer.compare.result import Comparison
    from observer.compare.rows import Aligned

__all__ = ["configure", "run"]

_DESCRIPTION: Final = """\
Write the trace in DIR as one HTML page: a slider through the run, and at each
event the line of C, the six steps, the rings, the address space, the pieces
that malloc handed out above the pages that the kernel put behind them.

The page holds all it needs. It opens offline, and asks nothing of anybody.
"""
_EPILOG: Final = """\
Exit status:
  0    written
  2    the options are not known
  125  DIR cannot be read, or FILE cannot be written or is no such page

Examples:
  observer report story.trace -o story.html
  observer report story.trace -o story.html --source .
  observer report story.trace -o story.html --compare
  observer report story.trace -o story.html --lang ko
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Give *parser* the options of this verb."""
    from rich_argparse import RawDescriptionRichHelpFormatter

    parser.formatter_class = RawDescriptionRichHelpFormatter
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    parser.add_argument("directory", metavar="DIR", type=Path, help="a trace: the folder that observer run left")
    parser.add_argument(
        "-o", "--output", metavar="FILE", required=True,
        help="the page; an older page is replaced, any other file is not; -: standard output",
    )  # fmt: skip
    parser.add_argument("--force", action="store_true", help="replace FILE whatever it is")
    parser.add_argument(
        "--source", metavar="FOLDER", type=Path,
        help="take the program's source files from beneath FOLDER (default: from where they were compiled)",
    )  # fmt: skip
    parser.add_argument(
        "--compare", nargs="?", const="book", choices=("book", "glibc"), metavar="book|glibc",
        help="also set the run beside the book's machine, or the model of glibc",
    )  # fmt: skip
    parser.add_argument("--lang", choices=("en", "ko"), default="en", help="English or Korean (default: en)")


def run(arguments: argparse.Namespace) -> int:
    """Write the page; return the exit status."""
    from observer.cli.output import written
    from observer.cli.traces import opened
    from observer.report.page.page import Wish, page_of

    if arguments.output != "-" and not arguments.force:
        _check(Path(arguments.output))
    trace = opened(arguments.directory)
    compared = _compared(arguments.directory, arguments.compare) if arguments.compare else None
    wish = Wish(arguments.lang, arguments.source)
    page = page_of(trace.meta, trace.events, wish, compared, trace.stacks()).encode("utf-8")
    if arguments.output == "-":
        sys.stdout.flush()
        sys.stdout.buffer.write(page)
    else:
        with written(arguments.output) as out:
            out.write(page)
    return 0


def _compared(directory: Path, allocator: str) -> tuple[Comparison, Aligned]:
    from observer.cli.scratch import scratch_folder
    from observer.report.page.sections import MOST_ENTRIES
    from observer.runs.compared import Setting, compared
    from observer.runs.target import Target

    with scratch_folder("report") as scratch:
        setting = Setting(Target(trace=directory), scratch, allocator=allocator, most_entries=MOST_ENTRIES)
        found = compared(setting)
        return found.comparison, found.aligned


def _check(path: Path) -> None:
    """Refuse, before anything is done, to replace what is no page of ours.

    Raises:
        ObserverError: something else is there.
    """
    from observer.files import Folder
    from observer.report.page.page import MARKER

    try:
        head = Folder.open(path.parent).file(path.name).read_at(0, 200)
    except FileNotFoundError:
        return
    except OSError as error:
        raise _refused(path, error) from error
    if MARKER.encode() not in head:
        raise ObserverError(
            f"{path} is there, and no page of the observer", "it would be replaced", "another -o FILE, or --force"
        ) from None


def _refused(path: Path, error: OSError) -> ObserverError:
    return ObserverError(f"cannot write {path}", error.strerror or "", "another -o FILE")
