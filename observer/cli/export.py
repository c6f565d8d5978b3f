"""observer export: a recorded trace in the formats of other tools."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from observer.errors import UsageError

if TYPE_CHECKING:
    from observer.trace.reader import Trace

__all__ = ["configure", "run"]

_FORMS: Final = ("jsonl", "workload", "rep", "perfetto", "flamegraph", "pprof", "speedscope")
_WEIGHTS: Final = ("bytes", "calls", "time", "frames", "faults", "live")
_DESCRIPTION: Final = """\
Write the events of the trace in DIR for other programs.

jsonl   JSON Lines: one event a line, in the order of n. Addresses are hex
        strings (pointers, faulting addresses, arguments of system calls,
        results of brk, mmap and mremap); counts and sizes are numbers; what
        was not observed is null.
workload  the allocator calls, first touches, mappings and forks as a workload
        for simulate and compare; what its language cannot say is counted.
rep     the allocator calls as a trace file of the CS:APP malloc lab.
perfetto    a trace for ui.perfetto.dev: calls, what happened in them, and what
        each process holds, over time.
flamegraph  what each place asked for, as collapsed stacks, with all callers
        that observer run --stack N kept; or, --by another weight: calls, time,
        frames, faults, live (bytes not freed).
pprof       all of these, for pprof (go tool pprof -http : FILE).
speedscope  all of these, for speedscope.app.
"""
_EPILOG: Final = """\
Exit status:
  0    written
  2    the options are not known
  125  DIR cannot be read or FILE cannot be written

Examples:
  observer export story.trace --to jsonl -o story.jsonl
  observer export story.trace --to jsonl | jq 'select(.major) | .where'
  observer export story.trace --to workload -o story.workload
  observer export story.trace --to perfetto -o story.json
  observer export story.trace --to flamegraph --by live -o story.folded
  observer export story.trace --to pprof -o story.pb.gz
  observer export --schema > event.schema.json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Give *parser* the options of this verb."""
    from rich_argparse import RawDescriptionRichHelpFormatter

    parser.formatter_class = RawDescriptionRichHelpFormatter
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    parser.add_argument(
        "directory", metavar="DIR", type=Path, nargs="?", help="a trace: the folder that observer run left"
    )
    parser.add_argument("--to", choices=_FORMS, metavar="FORMAT", help="one of those above")
    parser.add_argument(
        "--by", choices=_WEIGHTS, metavar="WEIGHT", help=f"of a flamegraph: {', '.join(_WEIGHTS)} (default: bytes)"
    )
    parser.add_argument("--schema", action="store_true", help="write the JSON Schema of jsonl's lines; needs no DIR")
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="write to FILE, replacing it; - or nothing: standard output"
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the trace; return the exit status."""
    from observer.cli.output import written

    write = _writer(arguments)
    if arguments.output in (None, "-"):
        sys.stdout.flush()
        write(sys.stdout.buffer)
        return 0
    with written(arguments.output) as out:
        write(out)
    return 0


def _writer(arguments: argparse.Namespace) -> Callable[[BinaryIO], None]:
    from observer.cli.traces import opened

    if arguments.schema:
        return _write_schema
    if arguments.directory is None or arguments.to is None:
        raise UsageError("a trace and a format are needed", "", "observer export DIR --to jsonl, or --schema")
    if arguments.by is not None and arguments.to != "flamegraph":
        raise UsageError("--by is about a flamegraph", "the others hold every weight", "--to flamegraph --by live")
    if arguments.to in ("flamegraph", "pprof", "speedscope"):
        return partial(_write_weights, arguments.to, opened(arguments.directory), arguments.by or "bytes")
    return partial(_write, arguments.to, opened(arguments.directory))


def _write_schema(out: BinaryIO) -> None:
    from observer.report.schema import schema_of_lines

    out.write(json.dumps(schema_of_lines(), indent=2).encode() + b"\n")


def _write(form: str, trace: Trace, out: BinaryIO) -> None:
    if form == "jsonl":
        from observer.report.jsonl import write

        write(trace.events(), out)
    elif form == "perfetto":
        from observer.report.perfetto import write_perfetto

        write_perfetto(trace.events(), out, trace.meta.machine.page_size)
    else:
        _write_workload(form, trace, out)


def _write_weights(form: str, trace: Trace, by: str, out: BinaryIO) -> None:
    from observer.report.flame import write_collapsed, write_speedscope
    from observer.report.pprof import write_pprof
    from observer.runs.profiled import weighed

    weights = weighed(trace)
    if form == "flamegraph":
        write_collapsed(weights, out, by)
    elif form == "pprof":
        write_pprof(weights, out)
    else:
        write_speedscope(weights, shlex.join(trace.meta.request.command), out)


def _write_workload(form: str, trace: Trace, out: BinaryIO) -> None:
    from observer.simulator.recorded import RecordedWorkload
    from observer.simulator.rep import render_rep
    from observer.simulator.workload import render

    recorded = RecordedWorkload(trace.events, trace.meta.machine.page_size)
    if form == "rep":
        out.write(render_rep(recorded.operations()))
        return
    for operation in recorded.operations():
        out.write(render([operation]).encode())
    for what, count in recorded.left_out.items():
        out.write(f"# left out, {count:,}: {what}\n".encode())
