"""`observer run`: record a program, tell the story on stderr, leave a trace, pass the program's status on."""

from __future__ import annotations

import argparse
import errno
import os
import resource
import signal
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from observer.cli.complaint import complain, drop_output
from observer.cli.numbers import positive
from observer.cli.traces import FIRST_CALLS
from observer.cli.words import after_dashes
from observer.errors import BadTrace, UsageError
from observer.model.filenames import typed

if TYPE_CHECKING:
    from collections.abc import Callable

    from observer.cli.progress import Progress
    from observer.instruments.session import Wish
    from observer.model.machine import Meta
    from observer.model.reached import Place
    from observer.model.selection import Selection
    from observer.runs.sources import Sources
    from observer.runs.told import Glanced, Story

__all__ = ["configure", "run"]

_FOLLOWED: Final = {"first": FIRST_CALLS, "all": None, "none": 0}
"""Calls that the exact model follows, by what --model says."""
_RANDOMIZE: Final = {"on": True, "off": False, None: None}

_STOPPED: Final = 124
_MOST_CALLERS: Final = 64
_CALLERS_THROUGH: Final = 16
"""Callers that are kept where somebody asks for functions to be seen through, but for no number."""

_DESCRIPTION: Final = """\
Run PROG under the instruments: memory system calls (a seccomp filter and
ptrace), calls of the malloc family (breakpoints), page faults (perf events),
mappings and residency (/proc). The program's output and exit status pass
through untouched; the story is told on stderr when it has ended.
"""

_EPILOG: Final = """what -e takes (strace's grammar):
  -e trace=memory      memory system calls (the default)
  -e trace=all         all system calls, with their arguments in words
  -e trace=file        a class of them: file, network, process, signal, memory
  -e trace=brk,mmap    these only; then the address space cannot be replayed
  -e calls,faults      only these instruments (calls, faults, residency)
  -e trace=all,library   and the calls that the program (compiled with -g) makes
                       into its libraries, with the system calls of each
  -e kernel            and what the kernel did for each page fault and recorded
                       system call: its time, the page frames (as root)
  -e bcc               that, with bcc as a second witness (python3-bpfcc)
  -e '!faults'         the default without this

exit status:
  the program's own; killed by a signal: the same signal
  124  the program was ended by --stop-after, as timeout(1) says it
  125  the observer failed, or the ledger is INCOMPLETE or INCONSISTENT
       (see --allow-loss)
  126  the program cannot be executed       127  it was not found

examples:
  observer run -- ./prog arg
  observer run -o ls.trace -q -- ls -R /usr/share/doc
  observer run --aslr off -e trace=all -- ./prog
  observer run --lang ko --full -- ./prog
  observer run --snapshot 'every 100 calls' -- ./prog
  observer run --malloc-functions my_malloc,drop=free -- ./prog
  observer run --stack 16 --through 'my_*' -- ./prog
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Give *parser* the options of this verb."""
    from rich_argparse import RawDescriptionRichHelpFormatter

    parser.formatter_class = RawDescriptionRichHelpFormatter
    parser.usage = "observer run [options] [--] PROG [ARG ...]"
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    parser.add_argument(
        "-o",
        metavar="DIR",
        dest="directory",
        help="the trace's folder (default: ./NAME.trace, in place of an older one)",
    )
    parser.add_argument("--force", action="store_true", help="replace the trace in -o DIR; what is no trace never")
    parser.add_argument(
        "-e", metavar="EXPR", dest="expression", default="trace=memory", help="what to observe, see below"
    )
    parser.add_argument(
        "--recorder",
        choices=("auto", "inline", "breakpoint"),
        default="auto",
        help="how allocator calls are seen: recorded inside the program, which is fast, or by breakpoints, which leave "
        "nothing in it (default: auto, inline where that can be)",
    )
    parser.add_argument(
        "--times",
        action="store_true",
        help="read the clock at each beginning and end of a call inside the program; otherwise where that decides "
        "an order, and now and then (times between two readings are inferred)",
    )
    parser.add_argument(
        "--model",
        choices=tuple(_FOLLOWED),
        default="first",
        help="which calls the exact model of glibc is asked about, where their memory came from and what cannot be of "
        f"a sound heap: the first {_FOLLOWED['first']:,} (the default), all, or none; a million take some seconds",
    )
    parser.add_argument(
        "--stack", metavar="N", type=_stack,
        help="keep N callers of each allocator call (at most 64; default: none, or 16 with --through), for show --top "
        "and --leaks with --stacks, query and export; then a call's line is that of the first who is no wrapper "
        "(operator new, xmalloc, g_malloc, SQLite's, Python's ...)",
    )  # fmt: skip
    parser.add_argument(
        "--through", metavar="NAME", action="append", default=[],
        help="a function that is such a wrapper, too ('my_*' names several); may be given several times",
    )  # fmt: skip
    parser.add_argument(
        "--snapshot", metavar="WHEN", action="append", default=[],
        help="walk glibc's heap whenever a call returns that WHEN names: 'every N calls' of a process, or "
        "'line FILE:LINE' that made it; may be given several times. show --heap --at tells it beside the model",
    )  # fmt: skip
    parser.add_argument(
        "--malloc-functions", metavar="NAMES", action="append", default=[],
        help="functions of the program's own allocator, told like malloc and free: my_malloc,my_free, or NAME=ROLE "
        "where a name does not end with the function of malloc(3) whose arguments it has",
    )  # fmt: skip
    parser.add_argument(
        "--max-events",
        metavar="N",
        type=positive,
        help="end the recording after about N calls, system calls and page faults; the program runs on to its own end, "
        "without the instruments",
    )
    parser.add_argument(
        "--follow", metavar="NAME", action="append", default=[],
        help="of the program's children follow only those that run a program of this name (cc1, or a pattern: 'cc1*'); "
        "others run free, and are named. May be given several times",
    )  # fmt: skip
    parser.add_argument(
        "--from", metavar="PLACE", dest="begin_at",
        help="begin to record when a function is first entered, or a line (FILE:LINE) first reached",
    )  # fmt: skip
    parser.add_argument(
        "--until", metavar="PLACE",
        help="end the recording when a function is first entered, or a line (FILE:LINE) first reached; the program "
        "runs on",
    )  # fmt: skip
    parser.add_argument(
        "--stop-after", metavar="N", type=positive,
        help="end the program, and all that it started, after about N such events (exit status 124)",
    )  # fmt: skip
    parser.add_argument(
        "--allow-loss", action="store_true", help="keep the program's status when the ledger does not balance"
    )
    parser.add_argument(
        "--record-only", action="store_true",
        help="do not make the trace now, nor judge it: what is asked about it first does (observer show DIR, say); "
        "what could not be stored is said at once",
    )  # fmt: skip
    parser.add_argument("--full", action="store_true", help="tell the whole story, not one screen of it")
    parser.add_argument("-q", "--quiet", action="store_true", help="tell no story, only a verdict that is not good")
    parser.add_argument("--lang", choices=("en", "ko"), default="en", help="tell it in English or Korean (default: en)")
    parser.add_argument("--aslr", choices=("on", "off"), help="address randomisation (default: as the system has it)")
    parser.add_argument(
        "words", nargs=argparse.REMAINDER, metavar="PROG [ARG ...]", help="the program and its arguments"
    )


def _stack(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or int(text) > _MOST_CALLERS:
        raise argparse.ArgumentTypeError(f"must be a number of callers from 0 to {_MOST_CALLERS}")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    """Run the verb; return the exit status."""
    from observer.cli.progress import Progress

    words = after_dashes(arguments.words)
    if not words:
        raise UsageError("no program to run", "", "observer run -- PROG [ARG ...]")
    wish = _wish(words, arguments)
    directory = _directory(arguments.directory, words[0])
    may_replace = arguments.force or arguments.directory is None
    progress = Progress(sys.stderr, arguments.lang)
    replacing = partial(_say_replaced, directory) if may_replace else None
    how = _record_only if arguments.record_only else _record_and_tell
    return how(wish, directory, arguments, replacing, progress)


def _record_and_tell(
    wish: Wish, directory: Path, arguments: argparse.Namespace, replacing: Callable[[], None] | None, progress: Progress
) -> int:
    from observer.runs.record import record_run
    from observer.trace.place import is_left_unfinished

    story = None if arguments.quiet else _story(is_full=arguments.full)
    listeners = [*_sources(arguments.model), *([story] if story is not None else []), progress]
    try:
        meta = record_run(
            wish, directory, allow_loss=arguments.allow_loss, replacing=replacing,
            while_recording=progress.recording, while_finishing=progress.finishing, listeners=listeners,
        )  # fmt: skip
    except KeyboardInterrupt as error:
        if not is_left_unfinished(directory):
            raise
        what = f"interrupted before {directory} was finished"
        raise BadTrace(what, "", f"observer show {typed(directory)}") from error
    try:
        _tell(meta, directory, story, arguments.lang)
    except KeyboardInterrupt:
        complain(f"interrupted; observer show {typed(directory)} tells what was recorded")
    return _leave(meta, allow_loss=arguments.allow_loss)


def _story(*, is_full: bool) -> Story | Glanced:
    from observer.runs.told import Glanced, Story

    return Story() if is_full else Glanced()


def _record_only(
    wish: Wish, directory: Path, arguments: argparse.Namespace, replacing: Callable[[], None] | None, progress: Progress
) -> int:
    from observer.cli.command import command, shortest
    from observer.runs.recorded import record_only

    if arguments.full:
        raise UsageError("--full tells what is not made yet", "--record-only leaves that for later", "one of the two")
    meta = record_only(
        wish, directory, allow_loss=arguments.allow_loss, replacing=replacing,
        while_recording=progress.recording, while_finishing=progress.finishing,
    )  # fmt: skip
    _say_known(meta, is_quiet=arguments.quiet)
    if not arguments.quiet:
        complain(f"recorded; {command()} show {typed(shortest(directory))} makes a trace of it, and tells it")
    return _leave(meta, allow_loss=arguments.allow_loss)


def _say_known(meta: Meta, *, is_quiet: bool) -> None:
    """Say what is known before a trace is made of it: where the recording ended, and what is missing, and why."""
    from observer.report.glance import closed_words
    from observer.story.language import ENGLISH

    if meta.outcome.closed and not is_quiet:
        complain(f"recorded {closed_words(meta.outcome, ENGLISH)}")
    for line in meta.ledger:
        for said in (f"not everything is recorded: {line.note}", *meta.notes):
            complain(said)


def _sources(model: str) -> list[Sources]:
    from observer.runs.sources import Sources

    return [Sources(_FOLLOWED[model])] if model != "none" else []


def _wish(words: list[str], arguments: argparse.Namespace) -> Wish:
    from observer.instruments.names import all_families, all_names
    from observer.instruments.session import Wish
    from observer.model.own_allocator import parse_functions
    from observer.model.selection import parse
    from observer.model.snapshots import parse_when

    selection = parse(arguments.expression, all_names(), all_families())
    callers, through = _callers(arguments)
    for option, given in (
        ("--snapshot", arguments.snapshot), ("--malloc-functions", arguments.malloc_functions), ("--stack", callers)
    ):  # fmt: skip
        if given and "calls" not in selection.instruments:
            why = f"-e {selection.text} sees no calls"
            raise UsageError(f"{option} needs allocator calls", why, f"-e {selection.text},calls")
    places = _places(arguments, selection)
    return Wish(
        argv=tuple(words), environment=dict(os.environ), selection=selection, callers=callers,
        through=through, randomize=_RANDOMIZE[arguments.aslr], max_events=arguments.max_events,
        stop_after=arguments.stop_after, follow=_followed(arguments.follow, selection),
        begin_at=places["--from"], end_at=places["--until"],
        snapshots=tuple(dict.fromkeys(map(parse_when, arguments.snapshot))),
        malloc_functions=parse_functions(arguments.malloc_functions) if arguments.malloc_functions else {},
        recorder=arguments.recorder, times=arguments.times,
    )  # fmt: skip


def _callers(arguments: argparse.Namespace) -> tuple[int, tuple[str, ...]]:
    """Return how many callers of each call are kept, and what is seen through besides what always is."""
    from observer.model.through import Through

    through = Through(arguments.through).names
    if through and arguments.stack == 0:
        raise UsageError("--through needs callers to look at", "--stack 0 keeps none", f"--stack {_CALLERS_THROUGH}")
    return arguments.stack if arguments.stack is not None else _CALLERS_THROUGH if through else 0, through


def _places(arguments: argparse.Namespace, selection: Selection) -> dict[str, Place | None]:
    from observer.model.reached import parse_place

    given = {"--from": arguments.begin_at, "--until": arguments.until}
    if given["--from"] is not None and given["--from"] == given["--until"]:
        raise UsageError("--from and --until are the same place", "nothing lies between them", "two places")
    if given["--from"] is not None and "kernel" in selection.instruments:
        why = "the kernel's tracepoints tell of the whole run"
        raise UsageError("--from cannot be had with -e kernel", why, "one of the two")
    return {option: parse_place(option, text) if text is not None else None for option, text in given.items()}


def _followed(names: list[str], selection: Selection) -> tuple[str, ...]:
    for name in names:
        if not name or "/" in name:
            why = "it is empty" if not name else "a program's name has no slash"
            raise UsageError(f"--follow {name!r} names no program", why, f"--follow {name.rpartition('/')[2] or 'cc1'}")
    if names and "kernel" in selection.instruments:
        why = "the kernel's tracepoints tell of a program with all its children"
        raise UsageError("--follow cannot be had with -e kernel", why, "one of the two")
    return tuple(dict.fromkeys(names))


def _directory(given: str | None, program: str) -> Path:
    if given == "":
        raise UsageError("-o needs the name of a folder", "it is empty", "-o DIR, or nothing for ./NAME.trace")
    return Path(given if given is not None else f"{Path(program).name}.trace")


def _say_replaced(directory: Path) -> None:
    complain(f"{directory} replaces the trace of an earlier run")


def _tell(meta: Meta, directory: Path, story: Glanced | Story | None, lang: str) -> None:
    from observer.model.ledger import FAILING, worst

    if story is None and worst(meta.ledger) not in FAILING:
        return
    from observer.cli.command import command, shortest
    from observer.cli.pager import paged
    from observer.report.glance import print_glance
    from observer.report.ledger import print_ledger
    from observer.report.source import Sources
    from observer.report.terminal import make_console, tell_told
    from observer.runs.told import Story
    from observer.story.language import LANGUAGES

    language = LANGUAGES[lang]
    try:
        if isinstance(story, Story):
            sources = Sources(None, meta.images)
            with paged(sys.stderr) as stream:
                console = make_console(stream, shown_on=sys.stderr)
                tell_told(
                    console, meta, story.telling, (), directory=directory, sources=sources, language=language
                )  # fmt: skip
        elif story is not None:
            print_glance(
                make_console(sys.stderr), meta, story.glance, shortest(directory), language=language, command=command()
            )
        else:
            print_ledger(make_console(sys.stderr), meta.ledger, language)
        sys.stderr.flush()
    except OSError as error:
        # Nobody reads stderr any more, or there is no room for it; the trace and the program's status are there.
        if error.errno not in (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise
        drop_output(2)


def _leave(meta: Meta, *, allow_loss: bool) -> int:
    from observer.model.ledger import FAILING, worst
    from observer.model.signals import number_of_signal

    if worst(meta.ledger) in FAILING and not allow_loss:
        return 125
    if meta.outcome.ended == "stopped":
        return _STOPPED
    if meta.outcome.signal is not None:
        number = number_of_signal(meta.outcome.signal)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(number, signal.SIG_DFL) if number not in (signal.SIGKILL, signal.SIGSTOP) else None
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
        sys.stdout.flush()
        os.kill(os.getpid(), number)
        return 128 + number
    return meta.outcome.status if meta.outcome.status is not None else 125
