"""`observer compare`: a real run beside the book's machine, every difference named or called unexplained."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from observer.cli.numbers import positive
from observer.cli.scratch import scratch_folder
from observer.cli.words import after_dashes
from observer.cli.workloads import is_trace
from observer.errors import CannotLaunch, UsageError

if TYPE_CHECKING:
    from observer.compare.confirm import Experiment
    from observer.model.events import Event
    from observer.model.machine import Meta
    from observer.runs.compared import Compared
    from observer.runs.target import Target

__all__ = ["configure", "run"]

_NOT_FOUND: Final = 127
_TOLD_EVERY: Final = 1 << 14
_MEASURES: Final = ("bytes", "calls", "live", "resident", "waste", "faults")
_DESCRIPTION: Final = """\
Set a real run beside the reference simulator. TARGET is a program (run and
recorded now), a workload (run on the real allocator by a small C interpreter)
or the folder of a recorded run. The same calls go through the book's
allocator, the same touches through the model of Linux's paging; each
difference is named by the rule that explains it, with the evidence.

Two recorded runs, or one --at two moments, are set beside each other instead:
what each place asked for, holds, and brought in, in the one and in the other.
"""
_EPILOG: Final = """\
Exit status:
  0  every difference is explained       1  something is unexplained
  2  the command line or the workload is wrong

Examples:
  observer compare first_touch             a workload of the package
  observer compare fragmentation --confirm
  observer compare --ask six_steps         predict first, then look
  observer compare --json -- ./prog arg
  observer compare story.trace prog.trace  two runs, place by place
  observer compare story.trace --at 'malloc #1' --at 'malloc #3' --by live
  observer compare prog.trace --all        options may stand behind a trace or a
                                           workload, but not behind a program
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Give *parser* the options of this verb."""
    from rich_argparse import RawDescriptionRichHelpFormatter

    parser.formatter_class = RawDescriptionRichHelpFormatter
    parser.usage = "observer compare [options] [--] TARGET [ARG ...]"
    parser.set_defaults(parse_again=parser.parse_args)
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    parser.add_argument(
        "--allocator", choices=("book", "glibc"), default="book",
        help="the book's, every departure explained; or glibc's own, every pointer predicted (default: book)",
    )  # fmt: skip
    parser.add_argument("--libc", metavar="RELEASE", help="with --allocator glibc: its release (default: as recorded)")
    parser.add_argument(
        "--fit", choices=("first", "best", "next"), default="first",
        help="how the book chooses a free piece (default: first)",
    )  # fmt: skip
    parser.add_argument(
        "--confirm", action="store_true",
        help="run again with each mechanism switched off: its differences must vanish",
    )  # fmt: skip
    parser.add_argument("--ask", action="store_true", help="let me predict before the answers are shown")
    parser.add_argument("--questions", metavar="N", type=positive, default=10, help="with --ask: so many (default: 10)")
    parser.add_argument("--all", action="store_true", help="leave no row of the list out")
    parser.add_argument(
        "--at", action="append", metavar="N", help="given twice: two moments of one trace, events N as show names them"
    )
    parser.add_argument(
        "--by", choices=_MEASURES, default="bytes", metavar="BY",
        help=f"of two runs: the places that differ most in {', '.join(_MEASURES)} (default: bytes)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("-o", metavar="DIR", dest="directory", help="keep the recorded trace in this new folder")
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="TARGET [ARG ...]", help="what to compare")


def _complain(meta: Meta) -> None:
    from observer.model.ledger import FAILING

    for line in meta.ledger:
        if line.verdict in FAILING:
            counts = f"seen {line.seen:,}, expected {line.expected:,}, lost {line.lost:,}"
            print(
                f"observer: the ledger does not balance: {line.identity}: {counts}, unexplained {line.unexplained:,}",
                file=sys.stderr,
            )


def run(arguments: argparse.Namespace) -> int:
    """Compare and tell on standard output; return the exit status."""
    traces = _traces(arguments)
    if len(traces) > 1 or (traces and arguments.at):
        from observer.cli.differences import run_differences

        return run_differences(arguments, traces)
    with scratch_folder("compare") as scratch:
        target = _target(arguments, scratch)
        _check(arguments)
        from observer.report.comparison import ROWS
        from observer.runs.compared import Setting, compared, experiments

        setting = Setting(
            target, scratch, allocator=arguments.allocator, fit=arguments.fit, release=arguments.libc,
            directory=Path(arguments.directory) if arguments.directory else None,
            most_entries=0 if arguments.json else None if arguments.all else ROWS, asks=arguments.ask,
            on_recorded=_complain, watch=_counted,
        )  # fmt: skip
        found = compared(setting)
        if arguments.ask:
            from observer.report.asking import ask

            ask(found.questions.chosen(arguments.questions), sys.stdin, sys.stdout)
        _tell(arguments, found, experiments(setting, found.comparison) if arguments.confirm else [])
        return 1 if found.comparison.unexplained else 0


def _check(arguments: argparse.Namespace) -> None:
    """Refuse what contradicts itself, and a release that there is no model of, before anything is run."""
    if arguments.libc is not None:
        from observer.runs.models import check_release

        if arguments.allocator != "glibc":
            raise UsageError("--libc is for --allocator glibc")
        check_release(arguments.libc)
    if arguments.by != _MEASURES[0]:
        raise UsageError("--by is about two runs", "one is named", "observer compare A.trace B.trace --by live")
    if arguments.confirm and arguments.allocator == "glibc":
        raise UsageError("--confirm is about departures from the book", "", "--allocator book")


def _tell(arguments: argparse.Namespace, found: Compared, experiments: Sequence[Experiment]) -> None:
    from observer.report.comparison import tell_comparison, write_comparison
    from observer.report.screen import make_console

    if arguments.json:
        write_comparison(found.comparison, sys.stdout.buffer)
    else:
        tell_comparison(make_console(sys.stdout), found.comparison, found.aligned, experiments)


def _counted(events: Iterator[Event], total: int) -> Iterator[Event]:
    """Yield *events*; show on a terminal how many have been compared."""
    if not sys.stderr.isatty():
        yield from events
        return
    from rich.console import Console

    with Console(stderr=True).status("comparing") as line:
        for done, event in enumerate(events):
            if done % _TOLD_EVERY == 0:
                line.update(f"comparing: {done:,} of {total:,} events")
            yield event


# ---- what TARGET is -----------------------------------------------------------------------------------------


def _traces(arguments: argparse.Namespace) -> list[Path]:
    """Return the traces that the words begin with; where there are several, or --at, take in what stands behind."""
    from observer.cli.workloads import take_options_behind

    words = arguments.words
    count = next((at for at, word in enumerate(words) if not is_trace(word)), len(words))
    traces = [Path(word) for word in words[:count]]
    if count > 1 or (count and any(word.partition("=")[0] == "--at" for word in words)):
        take_options_behind(arguments, words[count - 1 :])
    return traces


def _target(arguments: argparse.Namespace, scratch: Path) -> Target:
    """Return what is compared; where it is a trace or a workload, what stands behind it is read into *arguments*."""
    from observer.cli.workloads import take_options_behind

    words = after_dashes(arguments.words)
    if not words:
        raise UsageError("nothing to compare", "", "observer compare TARGET [ARG ...]")
    trace, workload = (None, None) if arguments.words[0] == "--" else _named(words[0], scratch)
    if trace is not None or workload is not None:
        take_options_behind(arguments, words)
    from observer.runs.target import Target
    from observer.runs.workloads import interpreted

    if arguments.at:
        raise UsageError("--at is about a recorded run", "", "observer compare A.trace --at N --at M")
    if trace is not None:
        if arguments.directory is not None:
            raise UsageError("-o keeps a trace that is recorded now", f"{trace} is one already", "no -o")
        return Target(trace=trace)
    return Target(tuple(words)) if workload is None else Target(workload=interpreted(workload, scratch))


def _named(word: str, scratch: Path) -> tuple[Path | None, Path | None]:
    """Return the trace that *word* names, or the workload; neither if it is a program."""
    from observer.cli.workloads import find_workload, guess

    path = Path(word)
    if is_trace(word):
        return path, None
    if os.path.isdir(path):
        raise UsageError(f"{path} is a folder without a trace", "it has no meta.json")
    workload = find_workload(word, scratch)
    if workload is None and not os.path.exists(path) and shutil.which(word) is None:
        why = "no program, trace or workload has this name"
        raise CannotLaunch(f"cannot run {word!r}", why, guess(word), exit_status=_NOT_FOUND)
    return None, workload
