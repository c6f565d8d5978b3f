"""`observer simulate`: a workload through the book's machine, told as a run is told."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from observer.errors import UsageError

if TYPE_CHECKING:
    from observer.simulator.event_log import Totals

__all__ = ["configure", "run"]

_DESCRIPTION: Final = """\
Run the operations in WORKLOAD, a text file with one operation a line, through
the book's machine: an allocator with one list of free pieces, and a memory that
gives frames at first touch. Nothing real is run.
"""
_EPILOG: Final = """\
Operations:
  malloc NAME SIZE          calloc NAME COUNT SIZE      memalign NAME ALIGNMENT SIZE
  realloc NAME SIZE         free NAME
  touch NAME [OFFSET [LENGTH]]   write there            dontneed NAME
  read NAME [OFFSET [LENGTH]]    read there             fork ... exit   in a child
  Sizes may be hexadecimal, or end in K, M or G; # begins a comment.

Exit status:
  0  done        2  the workload is wrong; the message names its line

Examples:
  printf 'malloc a 100\\ntouch a\\nfree a\\n' | observer simulate -
  observer simulate --fit best lists.workload
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Give *parser* the options of this verb."""
    from rich_argparse import RawDescriptionRichHelpFormatter

    parser.formatter_class = RawDescriptionRichHelpFormatter
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    parser.add_argument("workload", metavar="WORKLOAD", help="the file, or - for standard input")
    parser.add_argument("--allocator", choices=("book",), default="book", help="which machine (default: book)")
    parser.add_argument(
        "--fit", choices=("first", "best", "next"), default="first", help="how a free piece is chosen (default: first)"
    )
    parser.add_argument("--all", action="store_true", help="leave no row of the story out")
    parser.add_argument("--json", action="store_true", help="print the events as JSON Lines instead of the story")


def run(arguments: argparse.Namespace) -> int:
    """Simulate and tell on standard output; return the exit status."""
    from observer.simulator.machine import BookMachine
    from observer.simulator.workload import parse

    with _open(arguments.workload) as file:
        source = "standard input" if arguments.workload == "-" else Path(arguments.workload).name
        machine = BookMachine(fit=arguments.fit, source=source)
        events = machine.run(parse(_lines(file)))
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


def _open(name: str) -> BinaryIO:
    if name == "-":
        return sys.stdin.buffer
    if Path(name).is_dir():
        raise UsageError(
            f"{name} is a folder", "this version simulates workloads, not recorded traces", "name a workload file"
        )
    try:
        return open(name, "rb")
    except OSError as error:
        raise UsageError(f"cannot read {name}", error.strerror or "") from error


def _lines(file: BinaryIO) -> Iterator[bytes]:
    # With a bound: a file without line ends must not be read whole.
    while line := file.readline(1 << 16):
        yield line


def _sums(totals: Totals) -> list[str]:
    per_call = totals.looked / max(totals.calls, 1)
    return [
        f"{totals.operations:,} operations, {totals.calls:,} allocator calls, {totals.grown:,} asked the kernel",
        f"searching: {totals.looked:,} pieces looked at, {per_call:.1f} a call",
        f"page faults: {totals.faults_program:,} by the program, {totals.faults_allocator:,} by the allocator",
        f"resident at the end: {totals.resident_pages:,} pages",
        f"heap: {totals.heap_bytes:,} bytes, {totals.bytes_asked:,} of them asked for,",
        f"      {totals.bytes_inside:,} lost inside pieces, {totals.bytes_between:,} free between them",
    ]
