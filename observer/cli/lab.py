"""`observer lab`: assignments: predict, run, explain, hand in, grade."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from observer.cli.grade import configure_grade, run_grade
from observer.errors import BadLab, ObserverError, UsageError
from observer.model.filenames import typed

if TYPE_CHECKING:
    from observer.labs.lab import Lab
    from observer.labs.work import Work

__all__ = ["configure", "run"]

_DESCRIPTION: Final = """\
Assignments about real programs. A student starts one, predicts what the given
program will do, changes it, and has it checked by facts of its own run:

  observer lab start NAME [DIR]    the program and the question, in a new folder
  observer lab predict DIR         asked before anything runs, then sealed
  observer lab check DIR           build, run; what was expected, what was seen
  observer lab submit DIR          one file to hand in

An instructor grades: every program is built and run again, in a box
(bubblewrap), within limits. A lab is a folder; `new` makes one, and `lint`
proves that its solution scores full, its handout nothing, and each typical
mistake gets its hint. Where a lab is named, the path of its folder will do.
"""
_EPILOG: Final = """\
Exit status:
  0  done, passed, everything scored full
  1  a check failed, a lab is wrong, a hand-in did not score full
  2  the command line, a lab or a student's folder is wrong
  125  the observer failed (of grade: some verdict is XX)

Examples:
  observer lab list
  observer lab list --json
  observer lab start first_malloc
  observer lab lint threshold
  observer lab new my_lab
  observer lab package threshold autograder
  observer lab words
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Give *parser* the options of this verb."""
    from rich_argparse import RawDescriptionRichHelpFormatter

    parser.formatter_class = RawDescriptionRichHelpFormatter
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    verbs = parser.add_subparsers(
        dest="verb", metavar="list|start|predict|check|submit|grade|package|lint|new|words", required=True
    )
    language = argparse.ArgumentParser(add_help=False)
    language.add_argument("--lang", choices=("en", "ko"), default="en", help="English or Korean (default: en)")
    listing = verbs.add_parser("list", parents=[language], help="the labs of the package")
    listing.add_argument("--json", action="store_true", help="a list of {name, title, concepts, points}")
    starting = verbs.add_parser("start", parents=[language], help="begin a lab in a new folder")
    starting.add_argument("name", metavar="NAME", help="a lab")
    starting.add_argument("directory", metavar="DIR", type=Path, nargs="?", help="the new folder (default: ./NAME)")
    starting.add_argument("--seed", metavar="WORD", help="what chooses the sizes (default: by chance)")
    for name, text in (("predict", "answer the questions, and seal the answers"), ("check", "build, run, judge")):
        verbs.add_parser(name, parents=[language], help=text).add_argument("directory", metavar="DIR", type=Path)
    submitting = verbs.add_parser("submit", parents=[language], help="make the file that is handed in")
    submitting.add_argument("directory", metavar="DIR", type=Path)
    submitting.add_argument("-o", metavar="FILE", dest="output", type=Path, help="default: ./NAME-SEED.handin")
    configure_grade(verbs.add_parser("grade", help="build and run hand-ins again, in a box, and judge them"))
    linting = verbs.add_parser("lint", help="prove that a lab does what it says, on this machine, as this user")
    linting.add_argument("name", metavar="NAME", nargs="?", help="a lab (default: all of the package)")
    packing = verbs.add_parser("package", help="make what a grader's site needs to grade a lab")
    packing.add_argument("name", metavar="NAME", help="a lab")
    packing.add_argument("directory", metavar="DIR", type=Path, help="the new folder")
    packing.add_argument(
        "--site", choices=("autolab", "gradescope"), default="gradescope", help="(default: gradescope)"
    )
    verbs.add_parser("words", help="the facts that the checks of a lab may speak of")
    making = verbs.add_parser("new", help="make a small lab to begin from")
    making.add_argument("directory", metavar="DIR", type=Path, help="its new folder, called as the lab")


def run(arguments: argparse.Namespace) -> int:
    """Run the verb behind `lab`; return the exit status."""
    verbs = {
        "list": _list, "start": _start, "predict": _predict, "check": _check, "submit": _submit, "grade": run_grade,
        "lint": _lint, "new": _new, "words": _words, "package": _package,
    }  # fmt: skip
    return verbs[arguments.verb](arguments)


def _list(arguments: argparse.Namespace) -> int:
    from observer.labs.catalogue import packaged_labs

    labs = packaged_labs()
    if arguments.json:
        _print_json([_as_json(lab, arguments.lang) for lab in labs])
        return 0
    from observer.labs.telling import tell_labs
    from observer.report.screen import make_console

    tell_labs(make_console(sys.stdout), labs, arguments.lang)
    return 0


def _as_json(lab: Lab, language: str) -> dict[str, object]:
    return {"name": lab.name, "title": lab.title.of(language), "concepts": lab.concepts, "points": lab.points}


def _print_json(value: object) -> None:
    import msgspec

    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")
    sys.stdout.flush()


def _start(arguments: argparse.Namespace) -> int:
    from observer.labs.telling import tell_started
    from observer.labs.work import start
    from observer.report.screen import make_console

    work = start(arguments.name, arguments.directory, arguments.seed)
    tell_started(make_console(sys.stdout), work, arguments.lang)
    return 0


def _predict(arguments: argparse.Namespace) -> int:
    from observer.labs.work import open_work

    _sealed(open_work(arguments.directory), arguments.lang)
    return 0


def _sealed(work: Work, language: str) -> None:
    """Ask for the predictions of *work*, and seal them."""
    from observer.labs.predictions import ask

    if work.sealed is not None:
        raise BadLab("the predictions are sealed already", "they are made once, before anything is observed")
    try:
        answers = ask(work.lab.questions, language, input, print)
    except EOFError as error:
        why = "nothing is sealed, and nothing was run"
        what = "the input ended before all was predicted and confirmed"
        raise BadLab(what, why, f"observer lab predict {typed(work.folder)}") from error
    work.keep(answers)


def _check(arguments: argparse.Namespace) -> int:
    from observer.labs.attempt import sources_in
    from observer.labs.box import Box
    from observer.labs.marking import Marker
    from observer.labs.recording import Recorder
    from observer.labs.telling import tell_marked
    from observer.labs.work import open_work
    from observer.report.screen import make_console

    work = open_work(arguments.directory)
    if work.lab.questions and work.sealed is None:
        _sealed(work, arguments.lang)
        work = open_work(arguments.directory)
    sources = sources_in(work.folder, work.lab.sources)
    with Recorder() as recorder:
        marked = Marker(recorder).mark(work.lab, sources, work.seed, work.answers, box=Box.NONE)
    if not marked.results:
        raise ObserverError("this could not be checked", marked.attempt.why)
    tell_marked(make_console(sys.stdout), marked, arguments.lang)
    return 0 if marked.attempt.verdict == "OK" and marked.score == marked.max_score else 1


def _submit(arguments: argparse.Namespace) -> int:
    import tempfile

    from observer.labs.attempt import sources_in
    from observer.labs.box import Box
    from observer.labs.handin import SUFFIX, hand_in
    from observer.labs.marking import Marker
    from observer.labs.recording import Recorder
    from observer.labs.work import open_work
    from observer.model.filenames import safe

    work = open_work(arguments.directory)
    seed = "".join(letter if letter.isalnum() else "_" for letter in work.seed)
    output = arguments.output if arguments.output is not None else Path(f"{work.lab.name}-{seed}{SUFFIX}")
    sources = sources_in(work.folder, work.lab.sources)
    with Recorder() as recorder, tempfile.TemporaryDirectory(prefix="observer-lab-") as folder:
        trace = Path(folder, "trace")
        marked = Marker(recorder).mark(work.lab, sources, work.seed, work.answers, box=Box.NONE, keep=trace)
        checks = {result.name: result.status for result in marked.results}
        hand_in(work, output, trace if trace.is_dir() else None, checks)
    print(safe(str(output)))
    print(f"observer: hand it in; here it scores {marked.score} of {marked.max_score}", file=sys.stderr)
    return 0


def _lint(arguments: argparse.Namespace) -> int:
    from observer.labs.catalogue import find_lab, packaged_labs
    from observer.labs.lint import lint
    from observer.labs.marking import Marker
    from observer.labs.recording import Recorder
    from observer.labs.telling import tell_linted
    from observer.report.screen import make_console

    console, wrong = make_console(sys.stdout), False
    with Recorder() as recorder:
        for lab in packaged_labs() if arguments.name is None else [find_lab(arguments.name)]:
            linted = lint(lab, Marker(recorder))
            tell_linted(console, lab, linted)
            wrong = wrong or bool(linted.wrong)
    return 1 if wrong else 0


def _words(arguments: argparse.Namespace) -> int:
    from observer.labs.telling import tell_words
    from observer.report.screen import make_console

    tell_words(make_console(sys.stdout))
    return 0


def _package(arguments: argparse.Namespace) -> int:
    from observer.labs.catalogue import find_lab
    from observer.labs.packaging import make_package
    from observer.model.filenames import safe

    print(safe(str(make_package(find_lab(arguments.name), arguments.site, arguments.directory))))
    return 0


def _new(arguments: argparse.Namespace) -> int:
    from observer.labs.template import make_lab

    if not arguments.directory.name:
        raise UsageError("a new lab needs a name", "", "observer lab new my_lab")
    make_lab(arguments.directory)
    folder = arguments.directory if "/" in str(arguments.directory) else f"./{arguments.directory}"
    print(f"observer lab lint {typed(folder)}")
    return 0
