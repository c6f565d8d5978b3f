"""A program, a workload or a recorded run beside the reference machines, and the experiments that confirm what it says.

Both are values: nothing is told here.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from observer.compare.by_workload import compare_workload
from observer.compare.confirm import Experiment, judge, switchable
from observer.compare.differences import Differences
from observer.compare.exactly import Exactly
from observer.compare.questions import Questions
from observer.compare.report_lines import read_report
from observer.compare.result import Comparison
from observer.compare.rows import Aligned
from observer.compare.together import Together
from observer.errors import UsageError
from observer.model.departures import Departure
from observer.model.events import Event
from observer.model.machine import Meta
from observer.runs.models import book_model, check_width, exact_model, exact_model_if_known, paging_model
from observer.runs.target import Target, record_target
from observer.trace.reader import Trace

__all__ = ["Compared", "Setting", "compared", "experiments"]


@dataclass(frozen=True, slots=True)
class Setting:
    """A target and what it is set beside: `allocator` is book or glibc, `fit` the book's (first, best, next).

    `release` is of glibc, None: as recorded. `directory` keeps the trace, None: it goes into the folder `scratch`, as
    those of experiments do. `most_entries` of the aligned list are kept for somebody to see, None: all, however many.
    `asks` says whether questions are wanted. `on_recorded` is called with the meta.json of each run that is made;
    `watch` is given the events of a run that is compared, and how many they are, and hands them on.
    """

    target: Target
    scratch: Path
    allocator: str = "book"
    fit: str = "first"
    release: str | None = None
    directory: Path | None = None
    most_entries: int | None = None
    asks: bool = False
    on_recorded: Callable[[Meta], None] | None = None
    watch: Callable[[Iterator[Event], int], Iterator[Event]] | None = None


@dataclass(frozen=True, slots=True)
class Compared:
    """A comparison with its aligned list, and what can be asked about it, as far as they are wanted."""

    comparison: Comparison
    aligned: Aligned
    questions: Questions


def compared(setting: Setting) -> Compared:
    """Record the target if it is no trace yet, and compare.

    Raises:
        UsageError: the program is for i386, or its beginning was not recorded; with `allocator` glibc: there is no
            model of its C library.
        BadTrace: the trace cannot be read or written, or a workload's run and its report do not fit together.
        CannotLaunch, CannotObserve, KeyboardInterrupt: as `record.record_run`.
    """
    trace = Trace.open(setting.target.trace or _recorded(setting))
    check_width(trace.meta)
    _check_beginning(trace.meta)
    compare = _exactly if setting.allocator == "glibc" else _together
    questions = Questions(Comparison(setting.allocator).predictor)
    aligned = Aligned(setting.most_entries, questions.add if setting.asks else None)
    comparison = compare(setting, trace, aligned if setting.asks or setting.most_entries != 0 else None)
    aligned.finish()
    return Compared(comparison, aligned, questions)


def _check_beginning(meta: Meta) -> None:
    if meta.request.begin_at:
        why = f"it was recorded from {meta.request.begin_at} on, and no model knows what was alive by then"
        raise UsageError("this run cannot be compared", why, "record it without --from")


def experiments(setting: Setting, comparison: Comparison) -> list[Experiment]:
    """Run the target again without each mechanism that explains a difference in *comparison*, if it has a switch.

    The outcomes are noted in *comparison*, too. The setting's allocator must be the book's.

    Raises:
        BadTrace, CannotLaunch, CannotObserve, KeyboardInterrupt: as `compared`.
    """
    return [judge(comparison, each, _without(setting, each)) for each in switchable(comparison)]


def _without(setting: Setting, departure: Departure) -> Comparison:
    trace = Trace.open(_recorded(setting, departure))
    check_width(trace.meta)
    return _together(setting, trace, None, thp="never" if departure.thp_off else None)


def _recorded(setting: Setting, departure: Departure | None = None) -> Path:
    """Make a run; return its trace's folder."""
    if departure is not None:
        directory = setting.scratch / departure.id
    else:
        directory = setting.directory or setting.scratch / "trace"
    meta = record_target(setting.target, directory, _report(setting), departure)
    if setting.on_recorded is not None:
        setting.on_recorded(meta)
    return directory


def _report(setting: Setting) -> Path:
    return setting.scratch / "report"


def _together(
    setting: Setting, trace: Trace, aligned: Aligned | None, thp: str | None = None
) -> Comparison:  # fmt: skip
    """Compare with the book."""
    meta, workload = trace.meta, setting.target.workload
    together = Together.beside(
        meta, book_model(setting.fit), paging_model(meta, thp), on_row=aligned.add if aligned is not None else None,
        exact=exact_model_if_known(meta.machine, meta.request.environment, setting.release, thp),
    )  # fmt: skip
    together.comparison.differences = _differences(setting)
    if workload is None:
        together.run(_events(setting, trace))
    else:
        report = read_report(_report(setting).read_text())
        compare_workload(together, workload.operations, report, _events(setting, trace))
    together.finish(meta)
    return together.comparison


def _exactly(setting: Setting, trace: Trace, aligned: Aligned | None) -> Comparison:
    """Compare with the model of glibc."""
    meta = trace.meta
    together = Exactly(
        exact_model(meta, setting.release), paging_model(meta), "glibc",
        on_row=aligned.add if aligned is not None else None, sees_kernel=meta.sees_kernel_faults,
        sees_faults=meta.sees_faults, damage=meta.heap_damage,
    )  # fmt: skip
    together.comparison.differences = _differences(setting)
    together.run(_events(setting, trace))
    together.finish(meta)
    return together.comparison


def _differences(setting: Setting) -> Differences:
    return Differences(lambda: tempfile.TemporaryFile(dir=setting.scratch))


def _events(setting: Setting, trace: Trace) -> Iterable[Event]:
    events = trace.events()
    return setting.watch(events, trace.meta.outcome.events) if setting.watch is not None else events
