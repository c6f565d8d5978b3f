"""`observer simulate`: a workload through the book's machine, told as a run is told."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from observer.cli.numbers import positive
from observer.cli.workloads import is_trace
from observer.errors import UsageError

if TYPE_CHECKING:
    from observer.simulator.event_log import Totals
    from observer.simulator.machine import BookMachine
    from observer.simulator.workload import Operation

__all__ = ["configure", "run"]

_DESCRIPTION: Final = """\
Run a workload through the book's machine: an allocator with one list of free
pieces, and Linux's paging behind it. Nothing real is run.

WORKLOAD is a file with one operation a line, a .rep file of the malloc lab, the
name of a workload of the package (--list shows them), the folder of a recorded
run, or - for standard input.
"""
_EPILOG: Final = """\
Operations:
  malloc NAME SIZE      calloc NAME COUNT SIZE      memalign NAME ALIGNMENT SIZE
  realloc NAME SIZE     free NAME
  touch NAME [OFFSET [LENGTH]]    write there       read NAME [OFFSET [LENGTH]]
  map, populate, shared, file, stack NAME SIZE      unmap NAME
  readonly, noaccess, writable, lock, unlock, dontneed, lazyfree, hugepage,
  nohugepage NAME                                   fork ... exit   in a child
  Sizes may be hexadecimal, or end in K, M or G; # begins a comment.

Exit status:
  0  done        2  the workload is wrong; the message names its line

Examples:
  printf 'malloc a 100\\ntouch a\\nfree a\\n' | observer simulate -
  observer simulate six_steps
  observer simulate fragmentation --fit best
  observer simulate --frames 100 --policy lru first_touch
  observer simulate --random 1000 --seed 7 --print workload > random.workload
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Give *parser* the options of this verb."""
    from rich_argparse import RawDescriptionRichHelpFormatter

    parser.formatter_class = RawDescriptionRichHelpFormatter
    parser.usage = "observer simulate [options] WORKLOAD"
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    parser.add_argument("workload", metavar="WORKLOAD", nargs="?", help="what to run")
    parser.add_argument("--list", action="store_true", help="show the workloads of the package")
    parser.add_argument(
        "--allocator", choices=("book",), default="book", help="the book's; for glibc's see observer compare"
    )
    parser.add_argument(
        "--fit", choices=("first", "best", "next"), default="first", help="how a free piece is chosen (default: first)"
    )
    parser.add_argument("--all", action="store_true", help="leave no row of the story out")
    parser.add_argument("--json", action="store_true", help="print the events as JSON Lines instead of the story")
    parser.add_argument(
        "--print", choices=("workload", "rep"), dest="form", help="print the operations instead of running them"
    )
    machine = parser.add_argument_group("the machine")
    machine.add_argument("--frames", metavar="N", type=positive, help="so many page frames; then pages are swapped")
    machine.add_argument(
        "--policy", choices=("fifo", "clock", "lru"), default="clock", help="which page gives way (default: clock)"
    )
    machine.add_argument(
        "--thp", choices=("always", "madvise", "never"), default="madvise", help="huge pages (default: madvise)"
    )
    machine.add_argument(
        "--overcommit", choices=("0", "1", "2"), help="as vm.overcommit_memory; with --memory (default: no limit)"
    )
    machine.add_argument("--memory", metavar="BYTES", default="1G", help="memory for --overcommit (default: 1G)")
    random = parser.add_argument_group("random workloads")
    random.add_argument("--random", metavar="N", type=positive, help="make one of N operations instead of reading one")
    random.add_argument("--seed", metavar="S", type=int, default=0, help="the same seed gives the same (default: 0)")
    random.add_argument("--profile", default="mixed", help="small, edges, mixed or large (default: mixed)")


def run(arguments: argparse.Namespace) -> int:
    """Simulate and tell on standard output; return the exit status."""
    if arguments.list:
        return _list()
    if (arguments.workload is None) == (arguments.random is None):
        raise UsageError("name one workload, or --random N", "", "observer simulate --list")
    with _operations(arguments) as (source, operations):
        if arguments.form is not None:
            _print(arguments.form, operations)
            return 0
        machine = _machine(arguments, source)
        events = machine.run(operations)
        if arguments.json:
            from observer.report.jsonl import write

            write(events, sys.stdout.buffer)
            return 0
        from observer.report.screen import heading, make_console, put
        from observer.report.terminal import tell_events

        console = make_console(sys.stdout)
        tell_events(console, events, everything=arguments.all)
        heading(console, "In numbers")
        for line in _sums(machine.totals):
            put(console, f"  {line}")
    return 0


def _machine(arguments: argparse.Namespace, source: str) -> BookMachine:
    from observer.runs.models import Hardware, book_machine

    hardware = Hardware(
        fit=arguments.fit, thp=arguments.thp, frames=arguments.frames, policy=arguments.policy,
        overcommit=None if arguments.overcommit is None else int(arguments.overcommit),
        memory_bytes=0 if arguments.overcommit is None else _size(arguments.memory),
    )  # fmt: skip
    return book_machine(hardware, source)


def _size(text: str) -> int:
    """Return how many bytes *text* says, as a workload says it."""
    from observer.simulator.workload import parse_line

    operation = parse_line(f"malloc memory {text}")
    assert operation is not None
    return operation.numbers[0]


# ---- where operations come from -----------------------------------------------------------------------------


@contextmanager
def _operations(arguments: argparse.Namespace) -> Iterator[tuple[str, Iterable[Operation]]]:
    """Give the workload's name and its operations as they come."""
    from observer.simulator.rep import read_operations

    word = arguments.workload
    if arguments.random is not None:
        from observer.simulator.generate import generate

        yield f"seed {arguments.seed}", generate(arguments.seed, arguments.random, arguments.profile)
    elif word == "-":
        yield "standard input", read_operations(sys.stdin.buffer, "")
    elif is_trace(word):
        from observer.runs.workloads import recorded_operations

        yield Path(word).name, recorded_operations(Path(word), _say_left_out)
    else:
        path = _file(word)
        with ExitStack() as opened:
            with _explained(word):
                file = opened.enter_context(path.open("rb"))
            yield path.name, _read(word, read_operations(file, path.suffix))


def _read(word: str, operations: Iterator[Operation]) -> Iterator[Operation]:
    """Yield *operations* as they are read from the file *word*; what is done with them fails by errors of its own."""
    while True:
        with _explained(word):
            operation = next(operations, None)
        if operation is None:
            return
        yield operation


@contextmanager
def _explained(word: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(f"cannot read {word}", error.strerror or "") from error


def _file(word: str) -> Path:
    from observer.cli.workloads import guess
    from observer.simulator import packaged

    path = Path(word)
    if os.path.isdir(path):
        raise UsageError(f"{word} is a folder without a trace", "it has no meta.json")
    if not os.path.exists(path) and "/" not in word and word in packaged.names():
        return packaged.path(word)
    if not os.path.exists(path):
        raise UsageError(f"there is no workload {word}", "neither a file nor one of the package", guess(word))
    return path


def _say_left_out(what: str, count: int) -> None:
    print(f"observer: left out, {count:,}: {what}", file=sys.stderr)


def _print(form: str, operations: Iterable[Operation]) -> None:
    if form == "rep":
        from observer.simulator.rep import render_rep

        sys.stdout.buffer.write(render_rep(operations))
        return
    from observer.simulator.workload import render

    for operation in operations:
        sys.stdout.write(render([operation]))


# ---- telling ------------------------------------------------------------------------------------------------


def _list() -> int:
    from observer.report.screen import make_console, paragraph
    from observer.simulator import packaged

    console = make_console(sys.stdout)
    for name in packaged.names():
        header = packaged.header(name)
        paragraph(console, f"{header.title}  ({', '.join(header.concepts)})", first=f"{name:<22} ", hanging=23)
    return 0


def _sums(totals: Totals) -> list[str]:
    per_call = totals.looked / max(totals.calls, 1)
    lines = [
        f"{totals.operations:,} operations, {totals.calls:,} allocator calls, {totals.grown:,} asked the kernel",
        f"searching: {totals.looked:,} pieces looked at, {per_call:.1f} a call",
        f"page faults: {totals.faults_program:,} by the program, {totals.faults_allocator:,} by the allocator",
        f"resident at the end: {totals.resident_pages:,} pages",
        f"heap: {totals.heap_bytes:,} bytes, {totals.bytes_asked:,} of them asked for,",
        f"      {totals.bytes_inside:,} lost inside pieces, {totals.bytes_between:,} free between them",
    ]
    if totals.populated:
        lines.insert(3, f"brought in by system calls, without a fault of the program: {totals.populated:,}")
    if totals.evictions:
        lines.insert(
            3,
            f"frames: {totals.evictions:,} pages gave way, {totals.swap_outs:,} written to swap, "
            f"{totals.swap_ins:,} read back; {totals.faults_major:,} of the faults major",
        )
    return lines
