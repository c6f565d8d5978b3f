"""`observer allocators`: one program under every allocator found here, measured and recorded, with a recommendation."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Final

from observer.cli.numbers import positive
from observer.cli.scratch import scratch_folder
from observer.cli.words import after_dashes, chosen
from observer.errors import BadTrace, UsageError

if TYPE_CHECKING:
    from observer.model.footprint import Trial
    from observer.runs.variants import Program
    from observer.tracee.allocators import Missing

__all__ = ["configure", "run"]

_DESCRIPTION: Final = """\
Run PROG under its C library's allocator and under each other one found on this
machine: jemalloc, mimalloc and tcmalloc are put in front with LD_PRELOAD
(behind what you preload yourself), musl needs the source to compile it anew.
Each is recorded once, call by call, and then run without instruments a few
times in turns. The program's output is shown once, on standard error.
"""
_EPILOG: Final = """\
PROG may also be a workload: one of the package by name, or a file.

Standard input: a file is read anew by each run; a pipe is read to its end once
and copied for each run; from a terminal the program reads nothing.

Exit status:
  0  measured (whatever the program's own status was: it is told)
  2  the command line or the workload is wrong
  125  the observer failed, or a ledger is INCOMPLETE or INCONSISTENT
  126  the program cannot be executed       127  it was not found

Examples:
  observer allocators -- ./prog arg
  observer allocators --source prog.c -- ./prog
  observer allocators --only glibc,jemalloc --runs 11 --json -- ./prog
  observer allocators small_blocks         a workload of the package
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Give *parser* the options of this verb."""
    from rich_argparse import RawDescriptionRichHelpFormatter

    parser.formatter_class = RawDescriptionRichHelpFormatter
    parser.usage = "observer allocators [options] [--] PROG [ARG ...]"
    parser.set_defaults(parse_again=parser.parse_args)
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    parser.add_argument("--json", action="store_true", help="print a list, an object for each allocator")
    parser.add_argument("--runs", metavar="N", type=positive, default=5, help="light runs of each (default: 5)")
    parser.add_argument("--source", metavar="FILE.c", help="the program's source, to compile it with musl-gcc")
    parser.add_argument("--only", metavar="A,B", help="only these, of glibc, jemalloc, mimalloc, tcmalloc, musl")
    parser.add_argument("-o", metavar="DIR", dest="directory", help="keep the traces in this new folder, one for each")
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="PROG [ARG ...]", help="the program, or a workload")


def run(arguments: argparse.Namespace) -> int:
    """Measure, and tell on standard output; return the exit status."""
    with scratch_folder("allocators") as scratch:
        program = _program(arguments, scratch)
        from observer.model.ledger import FAILING
        from observer.runs.trials import tried
        from observer.runs.variants import ALLOCATORS, variants_of

        variants, missing = variants_of(program, chosen(arguments.only, ALLOCATORS, "allocator"), scratch)
        if not variants:
            raise UsageError("there is nothing to run", "; ".join(_lines(missing)))
        folder = _folder(arguments.directory, scratch)
        with _progress() as work:
            trials, without_effect = tried(variants, arguments.runs, folder, scratch, work)
        _tell(trials, [*missing, *without_effect], program.name, as_json=arguments.json)
        return 125 if any(trial.verdict in FAILING for trial in trials) else 0


def _folder(given: str | None, scratch: Path) -> Path:
    """Return the new folder that holds a trace for each allocator."""
    from observer.files import make_folder

    folder = Path(given) if given else scratch / "traces"
    try:
        make_folder(folder)
    except FileExistsError as error:
        raise BadTrace(f"{folder} exists", "", "-o with another folder") from error
    except OSError as error:
        raise BadTrace(f"cannot make the folder {folder}", error.strerror or "", "-o where you may write") from error
    return folder


# ---- what is run --------------------------------------------------------------------------------------------


def _program(arguments: argparse.Namespace, scratch: Path) -> Program:
    """Return what is run; where it is a workload, what stands behind it is read into *arguments*."""
    from observer.cli.workloads import find_workload, take_options_behind

    words = after_dashes(arguments.words)
    if not words:
        raise UsageError("no program to run", "", "observer allocators -- PROG [ARG ...]")
    workload = None if arguments.words[0] == "--" else find_workload(words[0], scratch)
    if workload is not None:
        take_options_behind(arguments, words)
    source = arguments.source
    if source is not None and not os.path.isfile(source):
        raise UsageError(f"cannot read {source}", "there is no such file")
    if workload is not None and source is not None:
        raise UsageError("--source is for programs", "a workload is run by an interpreter whose source is known")
    from observer.runs.variants import program_of, workload_of
    from observer.runs.workloads import interpreted

    if workload is not None:
        return workload_of(interpreted(workload, scratch), words[0], scratch)
    return program_of(words, None if source is None else Path(source))


# ---- what is told -------------------------------------------------------------------------------------------


@contextmanager
def _progress() -> Iterator[Callable[[str], AbstractContextManager[object]]]:
    """Give what shows on a terminal that work goes on; it is silent elsewhere."""
    if not sys.stderr.isatty():
        yield nullcontext
        return
    from rich.console import Console

    # The program's runs turn our own standard error away.
    with open(os.dup(2), "w", encoding="utf-8") as terminal:
        yield Console(file=terminal).status


def _tell(trials: Sequence[Trial], missing: Sequence[Missing], name: str, *, as_json: bool) -> None:
    from observer.story.recommendation import recommend

    advice = recommend(trials)
    if as_json:
        import msgspec

        from observer.recording.text import to_json
        from observer.report import allocators as report

        for line in _lines(missing):
            print(f"observer: {line}", file=sys.stderr)
        sys.stdout.buffer.write(msgspec.json.format(to_json(report.as_json(trials, advice))) + b"\n")
        return
    from observer.report.allocators import print_trials
    from observer.report.screen import make_console

    print_trials(make_console(sys.stdout), name, trials, advice, _lines(missing))


def _lines(missing: Sequence[Missing]) -> list[str]:
    """Return a line for each reason, with all whom it keeps away."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for each in missing:
        reasons.setdefault((each.why, each.remedy), []).append(each.allocator)
    return [
        f"not measured: {', '.join(names)}: {why}" + (f"; try: {remedy}" if remedy else "")
        for (why, remedy), names in reasons.items()
    ]
