"""`observer libraries`: one C source under every C library found here, library calls beside system calls."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from observer.cli.scratch import scratch_folder
from observer.cli.words import after_dashes, chosen
from observer.errors import BadTrace, CannotLaunch, UsageError

if TYPE_CHECKING:
    from observer.story.libraries import Side
    from observer.tracee.allocators import Missing

__all__ = ["configure", "run"]

_DESCRIPTION: Final = """\
Compile FILE.c with glibc (dynamic and static), musl, and for i386, whatever
there is a compiler for; record each program with all system calls and the calls
that FILE.c makes into the library; print them side by side. A build for arm64
is run by qemu-user, which lists its system calls. The programs' output goes
nowhere.
"""
_OTHER_LANGUAGES: Final = frozenset({".C", ".cc", ".cpp", ".cxx", ".c++", ".m", ".mm", ".rs", ".go", ".f90"})
_EPILOG: Final = """\
Exit status:
  0  told        2  the command line is wrong
  125  the observer failed, or a ledger is INCOMPLETE or INCONSISTENT
  126  FILE.c could not be compiled for any side

Examples:
  observer libraries c_samples/library.c
  observer libraries c_samples/buffering.c -- none
  observer libraries --only glibc,musl --json prog.c -- arg
  observer libraries --flags='-Iinclude -DN=4 -lm' prog.c
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Give *parser* the options of this verb."""
    from rich_argparse import RawDescriptionRichHelpFormatter

    parser.formatter_class = RawDescriptionRichHelpFormatter
    parser.usage = "observer libraries [options] FILE.c [-- ARG ...]"
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    parser.add_argument("--json", action="store_true", help="print a list, an object for each side")
    parser.add_argument("--only", metavar="A,B", help="only these, of glibc, static, musl, i386, arm64")
    parser.add_argument("--flags", metavar="WORDS", default="", help="for the compilers: --flags='-Iinclude -DX'")
    parser.add_argument("-o", metavar="DIR", dest="directory", help="keep the traces in this new folder, one for each")
    parser.add_argument("source", metavar="FILE.c", type=Path, help="the source")
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="-- ARG ...", help="the program's arguments")


def run(arguments: argparse.Namespace) -> int:
    """Build, record, and tell on standard output; return the exit status."""
    from observer.tracee.builds import SIDES

    if not os.path.isfile(arguments.source):
        raise UsageError(f"cannot read {arguments.source}", "there is no such file")
    if arguments.source.suffix in _OTHER_LANGUAGES:
        raise UsageError(f"{arguments.source} is not C", "the compilers here are asked for C, and their libraries too")
    sides = chosen(arguments.only, SIDES, "side")
    with scratch_folder("libraries") as scratch:
        from observer.model.ledger import FAILING
        from observer.runs.builds import built, run_builds

        programs, missing = built(arguments.source, sides, _flags(arguments.flags), scratch)
        if not programs:
            raise _nothing_built(missing)
        folder = _folder(arguments.directory, scratch)
        told = run_builds(programs, after_dashes(arguments.words), arguments.source.name, folder, scratch)
        _tell(told.sides, [_line(each) for each in (*missing, *told.missing)], arguments)
        return 125 if FAILING.intersection(told.verdicts) else 0


def _flags(words: str) -> list[str]:
    try:
        return shlex.split(words)
    except ValueError as error:
        raise UsageError(f"cannot read --flags {words}", str(error)) from error


def _nothing_built(missing: Sequence[Missing]) -> CannotLaunch:
    first = missing[0]
    remedy = first.remedy or "--flags with what the compilers need"
    return CannotLaunch("the source could not be compiled", first.why, remedy, exit_status=126)


def _line(missing: Missing) -> str:
    return f"{missing.allocator} is left out: {missing.why}" + (f"; try: {missing.remedy}" if missing.remedy else "")


def _folder(given: str | None, scratch: Path) -> Path:
    from observer.files import make_folder

    folder = Path(given) if given else scratch / "traces"
    try:
        make_folder(folder)
    except OSError as error:
        raise BadTrace(f"cannot make the folder {folder}", error.strerror or "", "-o with another folder") from error
    return folder


def _tell(sides: Sequence[Side], missing: Sequence[str], arguments: argparse.Namespace) -> None:
    from observer.report.libraries import as_json, print_sides

    if not arguments.json:
        from observer.report.screen import make_console

        print_sides(make_console(sys.stdout), str(arguments.source), sides, missing)
        return
    import msgspec

    from observer.recording.text import to_json

    for line in missing:
        print(f"observer: {line}", file=sys.stderr)
    sys.stdout.flush()
    os.write(sys.stdout.fileno(), msgspec.json.format(to_json(as_json(sides))) + b"\n")
