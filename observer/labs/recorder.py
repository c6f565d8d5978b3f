"""One program recorded in a process of its own, which its supervisor can end: `python -m observer.labs.recorder JOB`.

The program gets the environment that the job names and nothing of ours; when the recorder is killed, so is the program
and all that it started.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from observer.errors import ObserverError
from observer.instruments.names import all_families, all_names
from observer.instruments.session import Wish
from observer.model.filenames import safe
from observer.model.selection import parse
from observer.runs.record import record_run
from observer.runs.sources import Sources

__all__ = ["Job", "main"]


class Job(msgspec.Struct, frozen=True):
    """What is to be recorded: the command, its environment, the trace's new folder, how many events at most."""

    command: tuple[str, ...]
    environment: dict[str, str]
    trace: str
    max_events: int


def main(words: list[str]) -> int:
    """Record the job that *words* hold as JSON; return 0 when there is a trace, 125 when there is none."""
    job = msgspec.json.decode(words[0], type=Job)
    # Huge pages would make one fault of hundreds, on some machines.
    wish = Wish(
        argv=job.command, environment=job.environment, selection=parse("trace=memory", all_names(), all_families()),
        max_events=job.max_events, huge_pages=False,
    )  # fmt: skip
    try:
        record_run(wish, Path(job.trace), listeners=[Sources()])
    except ObserverError as error:
        print(safe(str(error)), file=sys.stderr)
        return 125
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
