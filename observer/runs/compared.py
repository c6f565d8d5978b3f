"""A program, a workload or a recorded run beside the reference machines, and the experiments that confirm what it says.

Both are values: nothing is told here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from observer.compare.by_workload import compare_workload
from observer.compare.confirm import Experiment, judge, switchable
from observer.compare.exactly import Exactly
from observer.compare.report_lines import read_report
from observer.compare.result import Comparison, Row
from observer.compare.together import Together
from observer.model.departures import Departure
from observer.model.machine import Meta
from observer.runs.models import book_model, check_width, exact_model, exact_model_if_known, paging_model
from observer.runs.target import Target, record_target
from observer.trace.reader import Trace

__all__ = ["Compared", "Setting", "compared", "experiments"]


@dataclass(frozen=True, slots=True)
class Setting:
    """A target and what it is set beside: `allocator` is book or glibc, `fit` the book's (first, best, next).

    `release` is of glibc, None: as recorded. `directory` keeps the trace, None: it goes into the folder `scratch`, as
    those of experiments do. `wants_rows` says whether somebody will see the aligned list: it may be long.
    `on_recorded` is called with the meta.json of each run that is made.
    """

    target: Target
    scratch: Path
    allocator: str = "book"
    fit: str = "first"
    release: str | None = None
    directory: Path | None = None
    wants_rows: bool = True
    on_recorded: Callable[[Meta], None] | None = None


@dataclass(frozen=True, slots=True)
class Compared:
    """A comparison with its aligned list, which is empty where nobody wants it."""

    comparison: Comparison
    rows: list[Row] = field(default_factory=list)


def compared(setting: Setting) -> Compared:
    """Record the target if it is no trace yet, and compare.

    Raises:
        UsageError: the program is for i386; with `allocator` glibc: there is no model of its C library.
        BadTrace: the trace cannot be read or written, or a workload's run and its report do not fit together.
        CannotLaunch, CannotObserve, KeyboardInterrupt: as `record.record_run`.
    """
    trace = Trace.open(setting.target.trace or _recorded(setting))
    check_width(trace.meta)
    rows: list[Row] = []
    on_row = rows.append if setting.wants_rows else None
    if setting.allocator == "glibc":
        return Compared(_exactly(setting, trace, on_row), rows)
    return Compared(_together(setting, trace, on_row), rows)


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
    return _together(setting, trace, thp="never" if departure.thp_off else None)


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
    setting: Setting, trace: Trace, on_row: Callable[[Row], None] | None = None, thp: str | None = None
) -> Comparison:
    """Compare with the book."""
    meta, workload = trace.meta, setting.target.workload
    together = Together.beside(
        meta, book_model(setting.fit), paging_model(meta, thp), on_row=on_row,
        exact=exact_model_if_known(meta.machine, meta.request.environment, setting.release, thp),
    )  # fmt: skip
    if workload is None:
        together.run(trace.events())
    else:
        compare_workload(together, workload.operations, read_report(_report(setting).read_text()), trace.events())
    together.finish(meta)
    return together.comparison


def _exactly(setting: Setting, trace: Trace, on_row: Callable[[Row], None] | None) -> Comparison:
    """Compare with the model of glibc."""
    meta = trace.meta
    together = Exactly(
        exact_model(meta, setting.release), paging_model(meta), "glibc", on_row=on_row,
        sees_kernel=meta.sees_kernel_faults, sees_faults=meta.sees_faults,
    )  # fmt: skip
    together.run(trace.events())
    together.finish(meta)
    return together.comparison
