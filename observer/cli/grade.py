"""`observer lab grade`: hand-ins built and run again in a box, on one machine or on many, in a grader's format."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from observer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from observer.labs.classroom import Fleet
    from observer.labs.fleet import Wish
    from observer.labs.grading import Document

__all__ = ["configure_grade", "run_grade"]

_FORMATS: Final = ("autolab", "classroom50", "csv", "gradescope", "html", "junit")
_MOST_JOBS: Final = 1024
_DESCRIPTION: Final = """\
Builds and runs every hand-in again, in a box (bubblewrap), within limits, and
judges it by the checks of its lab. Nothing that it says of a run is believed.

With --results each document is kept in FOLDER as soon as it is known, and is
not made again by the same command; the folder holds gradebook.csv,
gradebook.parquet, checks.parquet and the instructor's page, class.html, too.
"""
_EPILOG: Final = """\
Verdicts:
  OK       it ran to its end
  RE       it crashed, failed, or cannot be built
  TO       its time was over
  ML       it got no more memory
  OL       it wrote, or did, more than it may
  SUSPECT  it was changed after it had been made, or holds another's recording;
           the score is what its sources earn
  XX       our failure: never scored, to be graded again

Exit status:
  0  everything scored full    1  something did not    2  the command line
  125  some verdict is XX

Examples:
  observer lab grade a.handin
  observer lab grade hand-ins/ --jobs 4 --results term/
  observer lab grade a.handin --format gradescope -o results.json
  observer lab grade hand-ins/ --scheduler tcp://head:8786 --results term/
"""


def configure_grade(parser: argparse.ArgumentParser) -> None:
    """Give *parser* the options of this verb."""
    from rich_argparse import RawDescriptionRichHelpFormatter

    parser.formatter_class = RawDescriptionRichHelpFormatter
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    parser.add_argument("paths", metavar="FILE|FOLDER", type=Path, nargs="+", help="hand-ins, or folders of them")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one document a hand-in, a JSON object a line")
    form.add_argument("--format", choices=_FORMATS, metavar="FORMAT", help=", ".join(_FORMATS))
    parser.add_argument("-o", metavar="FILE", dest="output", type=Path, help="where the format goes (default: printed)")
    parser.add_argument("--labs", metavar="FOLDER", type=Path, help="where the labs lie (default: in the package)")
    parser.add_argument("--lab", metavar="NAME", help="a hand-in of another lab scores nothing")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--jobs", metavar="N", type=_jobs, default=1, help="so many at a time (default: 1)")
    where.add_argument("--scheduler", metavar="ADDRESS", help="on the Dask cluster of this scheduler")
    parser.add_argument(
        "--box", choices=("bubblewrap", "user"), default="bubblewrap", help="user: a user of its own, by root in a "
        "container that is thrown away (default: bubblewrap)",
    )  # fmt: skip
    parser.add_argument("--results", metavar="FOLDER", type=Path, help="keep the documents and the gradebook there")


def _jobs(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _MOST_JOBS:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to {_MOST_JOBS:,}")
    return int(text)


def run_grade(arguments: argparse.Namespace) -> int:
    """Grade; return the exit status."""
    from observer.cli.output import check_folder
    from observer.files import real_path
    from observer.labs.classroom import Results, files_of, grade_class
    from observer.labs.gradebook import write_gradebook

    if arguments.output is not None and arguments.format is None:
        raise UsageError("-o needs --format", "", "observer lab grade FILE --format gradescope -o results.json")
    if arguments.output is not None:
        check_folder(arguments.output)
    labs = real_path(arguments.labs) if arguments.labs is not None else None
    wish = _wish(arguments, labs)
    results = Results(arguments.results, wish) if arguments.results is not None else None
    documents = []
    for document in grade_class(files_of(arguments.paths), _fleet(arguments, wish), results):
        documents.append(document)
        if arguments.json:  # each as soon as it is known: what is graded is not lost with what comes
            _print_json(document)
    if results is not None:
        write_gradebook(results, arguments.results, documents)
    _tell(documents, arguments)
    if any(each.score is None for each in documents):
        return 125
    return 0 if all(each.verdict == "OK" and each.score == each.max_score for each in documents) else 1


def _wish(arguments: argparse.Namespace, labs: Path | None) -> Wish:
    from observer.labs.box import Box
    from observer.labs.fleet import Wish

    wish = Wish(labs, Box(arguments.box), arguments.lab)
    if wish.box is Box.USER and (arguments.jobs > 1 or arguments.scheduler is not None):
        raise UsageError("--box user is for one hand-in at a time", "its programs have one user for all", "--jobs 1")
    return wish


def _fleet(arguments: argparse.Namespace, wish: Wish) -> Fleet:
    from observer.labs.fleet import here, in_processes, on_cluster

    if arguments.scheduler is not None:
        return partial(on_cluster, by=wish, address=arguments.scheduler)
    if arguments.jobs > 1:
        return partial(in_processes, by=wish, jobs=arguments.jobs)
    return partial(here, by=wish)


def _print_json(document: Document) -> None:
    from observer.recording.text import to_json

    sys.stdout.buffer.write(to_json(document) + b"\n")
    sys.stdout.flush()


def _tell(documents: Sequence[Document], arguments: argparse.Namespace) -> None:
    if arguments.format is None:
        if not arguments.json:
            from observer.labs.telling import tell_documents
            from observer.report.screen import make_console

            tell_documents(make_console(sys.stdout), documents)
        return
    from observer.cli.output import written
    from observer.labs.formats import FORMATS

    content = FORMATS[arguments.format](documents).encode(errors="backslashreplace")
    if arguments.output is None:
        sys.stdout.buffer.write(content)  # whoever reads it expects UTF-8, whatever the terminal has
    else:
        with written(arguments.output) as out:
            out.write(content)
