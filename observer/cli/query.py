"""observer query: SQL over the tables of a trace, or of many."""

from __future__ import annotations

import argparse
import codecs
import csv
import glob
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from observer.errors import UsageError

if TYPE_CHECKING:
    from observer.trace.asking import Answer

__all__ = ["configure", "run"]

_DESCRIPTION: Final = """\
Answers a question in SQL from the tables of the trace in DIR, through DuckDB.

DIR may be a pattern in quotes ('term/*.trace'): the tables then hold the rows
of all of these traces, and the column trace tells which one each is of.

Tables: calls, syscalls, faults, signals, processes, library, lost. Their
columns: describe calls; or observer export --schema. Of a run with --stack N
stacks, too: a row for each caller, joined by calls.stack = stacks.stack.

Only that is read, and nothing is written: one SELECT, FROM, DESCRIBE, SUMMARIZE
or PIVOT. For more, DuckDB itself reads the Parquet files in DIR as they are.
"""
_EPILOG: Final = """\
Exit status:
  0    answered
  2    the query is no SQL, asks for what is not there, or is no question
  125  DIR cannot be read

Examples:
  observer query story.trace "select op, count(*) from calls group by op"
  observer query story.trace "describe faults"
  observer query story.trace "select max(size) from calls" --json
  observer query '*.trace' "select trace, count(*) from faults group by all"
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Give *parser* the options of this verb."""
    from rich_argparse import RawDescriptionRichHelpFormatter

    parser.formatter_class = RawDescriptionRichHelpFormatter
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    parser.add_argument("directory", metavar="DIR", help="a trace, or a pattern that names several")
    parser.add_argument("sql", metavar="SQL", help="what is asked for")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one object a row, one row a line")
    form.add_argument("--csv", action="store_true", help="a table with its heading")


def run(arguments: argparse.Namespace) -> int:
    """Answer the query; return the exit status."""
    from observer.trace.asking import ask

    answer = ask(_folders(arguments.directory), arguments.sql)
    tell = _tell_json if arguments.json else _tell_csv if arguments.csv else _tell
    tell(answer)
    return 0


def _folders(word: str) -> list[Path]:
    if os.path.exists(word) or not glob.has_magic(word):
        return [Path(word)]
    found = sorted(Path(name) for name in glob.glob(word))
    if not found:
        raise UsageError(f"nothing is called {word}", "", "a pattern that names traces: 'term/*.trace'")
    return found


def _tell_json(answer: Answer) -> None:
    import msgspec

    twice = next((name for name in answer.columns if answer.columns.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"two columns are called {twice}", "an object has one of a name", "select … as another_name")
    for row in answer.rows:
        named = dict(zip(answer.columns, row, strict=True))
        sys.stdout.buffer.write(msgspec.json.encode(named, enc_hook=str) + b"\n")
    sys.stdout.flush()


def _tell_csv(answer: Answer) -> None:
    from observer.report.spreadsheet import cell

    # In UTF-8, as --json is: programs read it, whatever the terminal has.
    writer = csv.writer(codecs.getwriter("utf-8")(sys.stdout.buffer, "backslashreplace"), lineterminator="\n")
    writer.writerow(answer.columns)
    writer.writerows([cell(value) for value in row] for row in answer.rows)


def _tell(answer: Answer) -> None:
    from observer.report.answer import print_answer
    from observer.report.screen import make_console

    print_answer(make_console(sys.stdout), answer.columns, answer.rows)
