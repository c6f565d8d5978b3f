"""observer plot: what a recorded run held over time, as a picture."""

from __future__ import annotations

import argparse
import os
import shlex
from pathlib import Path
from typing import Final

from observer.errors import UsageError

__all__ = ["configure", "run"]

_DESCRIPTION: Final = """\
Draw what the first process of the trace in DIR asked for, had mapped and had in
page frames over time: a picture for a paper or a handout.
"""
_EPILOG: Final = """\
Exit status:
  0    drawn
  2    the options are not known, or what draws is not installed
  125  DIR cannot be read or FILE cannot be written

Examples:
  observer plot story.trace -o story.svg
  observer plot story.trace -o story.png --title 'story.c'
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Give *parser* the options of this verb."""
    from rich_argparse import RawDescriptionRichHelpFormatter

    parser.formatter_class = RawDescriptionRichHelpFormatter
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    parser.add_argument("directory", metavar="DIR", type=Path, help="a trace: the folder that observer run left")
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help="FILE.png or FILE.svg, replacing it")
    parser.add_argument(
        "--over",
        choices=("events", "time"),
        default="events",
        help="the axis: events in their order (default), or time",
    )
    parser.add_argument("--title", help="what stands above the picture (default: the program and its arguments)")


def run(arguments: argparse.Namespace) -> int:
    """Draw the trace; return the exit status."""
    from observer.cli.address_space import OF_DRAWING, ask_for_address_space
    from observer.cli.output import written
    from observer.cli.traces import opened
    from observer.report.plot import FORMATS, picture
    from observer.story.curves import curve

    form = os.path.splitext(arguments.output)[1].removeprefix(".").lower()
    if form not in FORMATS:
        raise UsageError(f"cannot draw {arguments.output}", "the name tells the format", "-o FILE.png or -o FILE.svg")
    ask_for_address_space(OF_DRAWING)
    trace = opened(arguments.directory)
    program, *words = trace.meta.request.command
    title = arguments.title if arguments.title is not None else shlex.join([os.path.basename(program), *words])
    points = curve(trace.events(), trace.meta.machine.page_size)
    drawn = picture(points, title, form, over_time=arguments.over == "time")
    with written(arguments.output) as out:
        out.write(drawn)
    return 0
