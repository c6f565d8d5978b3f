"""`observer compare`: a real run beside the book's machine, every difference named or called unexplained."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from observer.cli.numbers import positive
from observer.cli.scratch import scratch_folder
from observer.errors import CannotLaunch, UsageError

if TYPE_CHECKING:
    from observer.compare.confirm import Experiment
    from observer.compare.result import Comparison, Row
    from observer.model.departures import Departure
    from observer.model.machine import Meta
    from observer.simulator.glibc_side import GlibcMaker
    from observer.simulator.workload import Operation

__all__ = ["configure", "run"]

_NOT_FOUND: Final = 127
_DESCRIPTION: Final = """\
Set a real run beside the reference simulator. TARGET is a program (run and
recorded now), a workload (run on the real allocator by a small C interpreter)
or the folder of a recorded run. The same calls go through the book's
allocator, the same touches through the model of Linux's paging; each
difference is named by the rule that explains it, with the evidence.
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
    parser.add_argument("--all", action="store_true", help="leave no row of the aligned list out")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("-o", metavar="DIR", dest="directory", help="keep the recorded trace in this new folder")
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="TARGET [ARG ...]", help="what to compare")


@dataclass(slots=True)
class _Target:
    """What is compared: a recorded folder, a workload's file, or a program's words."""

    words: tuple[str, ...]
    trace: Path | None = None
    workload: Path | None = None
    operations: Sequence[Operation] = ()


@dataclass(slots=True)
class _Work:
    """One comparison and how to make it again."""

    target: _Target
    fit: str
    scratch: Path
    directory: Path | None = None
    allocator: str = "book"
    libc: str | None = None
    wants_rows: bool = True
    rows: list[Row] = field(default_factory=list)

    def compare(self, departure: Departure | None = None) -> Comparison:
        """Compare; with *departure*, a new run that does without it."""
        from observer.compare.by_workload import compare_workload
        from observer.compare.report_lines import read_report
        from observer.compare.together import Together
        from observer.simulator.book_side import BookSide
        from observer.simulator.frame_side import FrameSide
        from observer.trace.reader import Trace

        if self.allocator == "glibc":
            return self._exactly()
        report = self.scratch / "report"
        if departure is None and self.target.trace is not None:
            trace = Trace.open(self.target.trace)
        else:
            trace = Trace.open(self._record(departure, report))
        _check_bits(trace.meta)
        thp = trace.meta.machine.thp if departure is None or not departure.thp_off else "never"
        together = Together.beside(
            trace.meta, partial(BookSide, self.fit), partial(FrameSide, thp),
            on_row=self._on_row if departure is None else None, exact=self._model_of(trace.meta, thp),
        )  # fmt: skip
        if self.target.workload is None:
            together.run(trace.events())
        else:
            compare_workload(together, self.target.operations, read_report(report.read_text()), trace.events())
        together.finish(trace.meta)
        return together.comparison

    @property
    def _on_row(self) -> Callable[[Row], None] | None:
        """What keeps the aligned list, None where nobody will see it: it may be long."""
        return self.rows.append if self.wants_rows else None

    def _exactly(self) -> Comparison:
        """Compare with the model of glibc."""
        from observer.compare.exactly import Exactly
        from observer.simulator.frame_side import FrameSide
        from observer.simulator.glibc_side import GlibcMaker
        from observer.trace.reader import Trace

        recorded = self.target.trace or self._record(None, self.scratch / "report")
        trace = Trace.open(recorded)
        machine = trace.meta.machine
        _check_bits(trace.meta)
        if not (self.libc or machine.libc_version):
            raise UsageError(
                "the C library of this run is no glibc that names its release", machine.libc or "none was seen",
                "--libc RELEASE for a static program",
            )  # fmt: skip
        version = self.libc or machine.libc_version
        model = GlibcMaker(version, trace.meta.request.environment, machine.processors, machine.thp)
        model(0)  # an unknown release is said before anything else
        together = Exactly(
            model, partial(FrameSide, machine.thp), "glibc", on_row=self._on_row,
            sees_kernel=trace.meta.sees_kernel_faults, sees_faults=trace.meta.sees_faults,
        )  # fmt: skip
        together.run(trace.events())
        together.finish(trace.meta)
        return together.comparison

    def _model_of(self, meta: Meta, thp: str) -> GlibcMaker | None:
        """Return what makes the exact model of the run's C library, None where there is none."""
        from observer.simulator.glibc_side import GlibcMaker

        version = self.libc or meta.machine.libc_version
        model = GlibcMaker(version, meta.request.environment, meta.machine.processors, thp)
        try:
            model(0)
        except UsageError:
            return None
        return model

    def _record(self, departure: Departure | None, report: Path) -> Path:
        from observer.instruments.names import all_names
        from observer.model.selection import parse
        from observer.trace.machine import describe_machine
        from observer.trace.reader import Trace
        from observer.trace.recorder import Order, record_run

        words = self.target.words
        environment = dict(os.environ)
        if self.target.trace is not None:
            request = Trace.open(self.target.trace).meta.request
            words, environment = request.command, environment | request.environment
        if self.target.workload is not None:
            words = (*words, "-o", str(report), str(self.target.workload))
        if departure is not None and departure.tunables:
            environment["GLIBC_TUNABLES"] = _with_tunables(environment.get("GLIBC_TUNABLES", ""), departure)
        order = Order(
            words=words, environment=environment, selection=parse("trace=memory", all_names()),
            huge_pages=departure is None or not departure.thp_off,
        )  # fmt: skip
        directory = (
            self.directory
            if departure is None and self.directory
            else self.scratch / (departure.id if departure else "trace")
        )
        with _streams_aside(quiet=departure is not None):
            meta = record_run(order, directory, describe_machine())
        _complain(meta)
        return directory


def _with_tunables(given: str, departure: Departure) -> str:
    mine = [f"glibc.malloc.{name}={value}" for name, value in departure.tunables.items()]
    replaced = {word.partition("=")[0] for word in mine}
    kept = [word for word in given.split(":") if word and word.partition("=")[0] not in replaced]
    return ":".join([*kept, *mine])


def _complain(meta: Meta) -> None:
    from observer.model.ledger import FAILING

    for line in meta.ledger:
        if line.verdict in FAILING:
            counts = f"seen {line.seen:,}, expected {line.expected:,}, lost {line.lost:,}"
            print(
                f"observer: the ledger does not balance: {line.identity}: {counts}, unexplained {line.unexplained:,}",
                file=sys.stderr,
            )


@contextmanager
def _streams_aside(*, quiet: bool) -> Iterator[None]:
    """Have the program write to stderr instead of our stdout (nowhere if *quiet*), and read nothing."""
    sys.stdout.flush()
    kept = [os.dup(number) for number in range(3)]
    null = os.open(os.devnull, os.O_RDWR)
    try:
        os.dup2(null, 0)
        os.dup2(null if quiet else 2, 1)
        if quiet:
            os.dup2(null, 2)
        yield
    finally:
        for number, copy in enumerate(kept):
            os.dup2(copy, number)
            os.close(copy)
        os.close(null)


def run(arguments: argparse.Namespace) -> int:
    """Compare and tell on standard output; return the exit status."""
    from observer.compare.confirm import switchable

    with scratch_folder("compare") as scratch:
        target = _target(arguments, scratch)
        directory = Path(arguments.directory) if arguments.directory else None
        work = _Work(target, arguments.fit, scratch, directory, arguments.allocator, arguments.libc)
        work.wants_rows = arguments.ask or not arguments.json
        if arguments.libc is not None:
            _check_libc(arguments)
        if arguments.confirm and arguments.allocator == "glibc":
            raise UsageError("--confirm is about departures from the book", "", "--allocator book")
        comparison = work.compare()
        if arguments.ask:
            from observer.report.asking import ask

            ask(work.rows, arguments.questions, sys.stdin, sys.stdout, comparison.predictor)
        experiments = (
            [_experiment(work, comparison, each) for each in switchable(comparison)] if arguments.confirm else []
        )
        _tell(arguments, comparison, work.rows, experiments)
        return 1 if comparison.unexplained else 0


def _check_bits(meta: Meta) -> None:
    """Refuse a program whose words are not 64 bits wide: both reference machines count in those."""
    if meta.machine.program_bits != 64:
        raise UsageError(
            "the reference machines are of 64-bit programs", "this one is for i386", "observer run tells what it does"
        )


def _check_libc(arguments: argparse.Namespace) -> None:
    """Refuse a release that there is no model of before anything is run."""
    from observer.simulator.glibc_side import GlibcMaker

    if arguments.allocator != "glibc":
        raise UsageError("--libc is for --allocator glibc")
    GlibcMaker(arguments.libc, {}, 1, "never")(0)


def _experiment(work: _Work, comparison: Comparison, departure: Departure) -> Experiment:
    from observer.compare.confirm import judge

    return judge(comparison, departure, work.compare(departure))


def _tell(
    arguments: argparse.Namespace, comparison: Comparison, rows: list[Row], experiments: list[Experiment]
) -> None:
    if arguments.json:
        import msgspec

        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(comparison)) + b"\n")
        return
    from observer.report.comparison import tell_comparison
    from observer.report.screen import make_console

    tell_comparison(make_console(sys.stdout), comparison, rows, experiments, everything=arguments.all)


# ---- what TARGET is -----------------------------------------------------------------------------------------


def _target(arguments: argparse.Namespace, scratch: Path) -> _Target:
    """Return what is compared; where it is a trace or a workload, what stands behind it is read into *arguments*."""
    from observer.cli.workloads import find_workload, guess, take_options_behind

    is_program = arguments.words[:1] == ["--"]
    words = arguments.words[1:] if is_program else arguments.words
    if not words:
        raise UsageError("nothing to compare", "", "observer compare TARGET [ARG ...]")
    if is_program:
        return _Target(tuple(words))
    path = Path(words[0])
    if (path / "meta.json").is_file():
        take_options_behind(arguments, words)
        return _Target((), trace=path)
    if path.is_dir():
        raise UsageError(f"{path} is a folder without a trace", "it has no meta.json")
    workload = find_workload(words[0], scratch)
    if workload is None:
        if not path.exists() and shutil.which(words[0]) is None:
            why = "no program, trace or workload has this name"
            raise CannotLaunch(f"cannot run {words[0]!r}", why, guess(words[0]), exit_status=_NOT_FOUND)
        return _Target(tuple(words))
    take_options_behind(arguments, words)
    return _interpreted(workload, scratch)


def _interpreted(workload: Path, scratch: Path) -> _Target:
    """Return the workload with the program that runs it."""
    from observer.cli.workloads import as_text, read_checked
    from observer.tracee import interpreter

    operations = read_checked(workload)
    workload = as_text(workload, operations, scratch)
    return _Target((str(interpreter.build(scratch)),), workload=workload, operations=operations)
