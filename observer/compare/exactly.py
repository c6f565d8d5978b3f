"""A run beside an allocator that is predicted exactly: every pointer, system call and page of its own.

After a divergence the model goes on with what the run shows. Calls that depend on what is open then are undetermined,
neither right nor wrong; from the first on that do not, agreement is claimed again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from observer.compare.circumstances import Circumstances
from observer.compare.differences import Difference
from observer.compare.explanation import UNEXPLAINED, Explanation
from observer.compare.hypotheses import MOST_COPIED, RETURNING, Effort, Hypotheses, is_right
from observer.compare.order import Asked, arranged, grouped, windows
from observer.compare.result import Comparison, End, Row
from observer.compare.sides import ExactMaker, ExactPrediction, MemorySide
from observer.compare.together import NOWHERE
from observer.model.account import IN_PLACE
from observer.model.addresses import PAGE
from observer.model.events import Call, Event, Fault, Process, Syscall
from observer.model.lives import Lives
from observer.model.machine import Meta
from observer.model.operations import ALLOCATING

__all__ = ["Exactly"]


class _Process:
    def __init__(self, models: Hypotheses, frames: MemorySide, circumstances: Circumstances) -> None:
        self.models = models
        self.frames = frames
        self.break_start = 0
        self.circumstances = circumstances
        self.uncertain = 0
        """Calls that were undetermined since the last one that was not."""
        self.has_diverged = False

    def copy(self, task: int, child: int) -> _Process:
        twin = _Process(self.models.copy(task, child), self.frames.copy(), self.circumstances.copy())
        twin.break_start = self.break_start
        twin.has_diverged = self.has_diverged
        return twin


class Exactly:
    """Sets a run beside an exact model; `comparison` holds the result.

    Args:
        allocator: makes the model of a new process.
        paging: makes its memory.
        name: what the allocator is called.
        sees_kernel: whether faults taken in kernel mode were visible.
        sees_faults: whether each fault was recorded as it happened; else there is one a page, of huge pages, too.
        on_row: called with each row of the aligned list.
        damage: what was found wrong with a heap of the run at its end.
    """

    def __init__(
        self, allocator: ExactMaker, paging: Callable[[], MemorySide], name: str, *,
        sees_kernel: bool = True, sees_faults: bool = True, on_row: Callable[[Row], None] | None = None,
        damage: str = "",
    ) -> None:  # fmt: skip
        self.comparison = Comparison(name)
        self._sees_kernel, self._sees_faults = sees_kernel, sees_faults
        self._allocator, self._paging, self._on_row = allocator, paging, on_row
        self._effort, self._damage = Effort(MOST_COPIED), damage
        self._lives = Lives(self._new, _Process.copy)
        self._foreign: Counter[str] = Counter()

    def run(self, events: Iterable[Event]) -> None:
        """Compare a whole run, its events in order."""
        for window in windows(grouped(events)):
            for event, inside in arranged(window, self._order):
                self._take_event(event, inside)

    def _order(self, pid: int, calls: list[Asked], is_cut: bool) -> tuple[int, ...]:
        process = self._of(pid)
        process.circumstances.overlap(call for call, _asked in calls)
        return process.models.choose(calls, is_cut=is_cut)

    def _take_event(self, event: Event, inside: list[Event]) -> None:
        if isinstance(event, Process):
            self._process(event)
        elif isinstance(event, Call):
            self._call(event, inside)
        elif isinstance(event, Syscall):
            self._outside(event)
        elif isinstance(event, Fault):
            self._program_fault(event)

    # ---- processes ------------------------------------------------------------------------------------------

    def _of(self, pid: int) -> _Process:
        return self._lives.of(pid)

    def _new(self, pid: int, environment: Mapping[str, str] | None) -> _Process:
        hypotheses = Hypotheses.of(self._allocator, pid, environment, effort=self._effort)
        return _Process(hypotheses, self._paging(), Circumstances(self._damage))

    def _process(self, event: Process) -> None:
        self._lives.take(event)
        process = self._of(event.pid)
        process.models.live(event)

    def _outside(self, event: Syscall) -> None:
        process = self._of(event.pid)
        if event.name == "brk" and event.result:
            process.break_start = process.break_start or event.result
        process.frames.apply(event)
        process.models.outside(event)

    # ---- calls ----------------------------------------------------------------------------------------------

    def _call(self, call: Call, inside: list[Event]) -> None:
        process, counts = self._of(call.pid), self.comparison.calls
        counts.total += 1
        asked = [event for event in inside if isinstance(event, Syscall)]
        for event in asked:
            if event.name == "brk" and event.result:
                process.break_start = process.break_start or event.result
            process.frames.apply(event)
        process.circumstances.note(call)
        self._note_misuse(call)
        prediction = process.models.predict(call, asked)
        if prediction is None:
            self._note_foreign(process, call)
            process.models.pass_by(call, asked)
        if prediction is None or not prediction.is_certain or call.end_ns is None:
            self._leave_open(process, call, inside, prediction)
            return
        self._note_return(process, call)
        if process.models.is_open and not is_right(call, prediction):
            self._lose_order(process, call, inside)
            return
        differs = self._compare_pointer(process, call, prediction)
        differs += self._compare_asks(process, call, asked, prediction)
        counts.agree += not differs
        if differs:
            self._diverge(process, call, asked)
        rules = differs + self._compare_pages(process, call, inside, prediction)
        self._row(call, inside, prediction, (UNEXPLAINED,) if rules else ())

    def _leave_open(
        self, process: _Process, call: Call, inside: list[Event], prediction: ExactPrediction | None
    ) -> None:  # fmt: skip
        """Count a call of which nothing is claimed: of another allocator, unfinished, or dependent on what is open."""
        self.comparison.calls.undetermined += 1
        if prediction is not None and call.end_ns is None:
            self.comparison.notes.append(f"call {call.n:,} never returned: what it did to the heap is not known")
            process.models.adopt(call, [event for event in inside if isinstance(event, Syscall)])
            process.has_diverged = True
        process.uncertain += prediction is not None
        self._take(process, inside)

    def _note_foreign(self, process: _Process, call: Call) -> None:
        """Tell once of each allocator that has no model; its calls are counted."""
        name = call.allocator or ""
        self._foreign[name] += 1
        if self._foreign[name] == 1:
            self._differ(call.n, "allocator", name, self.comparison.allocator, process.circumstances.before(call))

    def _note_misuse(self, call: Call) -> None:
        if call.misuse is not None:
            told = Circumstances()
            told.note(call)
            found = told.after(call)
            assert found is not None
            self.comparison.notes.append(f"the program broke malloc's rules: {found.evidence}")

    def _note_return(self, process: _Process, call: Call) -> None:
        if process.uncertain and process.has_diverged:
            self.comparison.notes.append(
                f"from event {call.n:,} on the model of process {call.pid} tells again; "
                f"{process.uncertain:,} calls before it were undetermined"
            )
        process.uncertain = 0

    def _diverge(self, process: _Process, call: Call, asked: list[Syscall]) -> None:
        process.has_diverged = True
        model = process.models.likely.of(call)
        held = f"; the model held after it, {model.describe(call)}" if model is not None else ""
        self.comparison.notes.append(f"process {call.pid} left the model at event {call.n:,}{held}")
        process.models.adopt(call, asked)

    def _lose_order(self, process: _Process, call: Call, inside: list[Event]) -> None:
        """More orders of the threads' calls fit than are followed, and the one that was is wrong."""
        self._note_order(process, call)
        self.comparison.calls.undetermined += 1
        process.uncertain += 1
        process.models.adopt(call, [event for event in inside if isinstance(event, Syscall)])
        self._take(process, inside)

    def _note_order(self, process: _Process, call: Call) -> None:
        process.has_diverged = True
        self.comparison.notes.append(
            f"at event {call.n:,} the order of process {call.pid}'s threads in the allocator is not determined: "
            "their calls overlap"
        )

    def _compare_pointer(self, process: _Process, call: Call, prediction: ExactPrediction) -> int:
        if call.op not in RETURNING or (call.result or 0) == prediction.pointer:
            return 0
        predicted = f"{prediction.pointer:#x} from {prediction.served_by or 'nowhere'}"
        found = process.circumstances.after(call)
        return self._differ(call.n, "pointer", f"{call.result or 0:#x} ({call.where})", predicted, found)

    def _compare_asks(
        self, process: _Process, call: Call, asked: list[Syscall], prediction: ExactPrediction
    ) -> int:  # fmt: skip
        wrong = prediction.wrong
        right = max(len(prediction.asked) - sum(each.asked is not None for each in wrong), 0)
        self.comparison.syscalls.add(len(asked), len(prediction.asked), right)
        found = process.circumstances.after(call)
        return sum(self._differ(call.n, "system call", each.observed, each.predicted, found) for each in wrong)

    def _compare_pages(self, process: _Process, call: Call, inside: list[Event], prediction: ExactPrediction) -> int:
        """Let the model touch what it says it does, and set the pages that come in beside those that came."""
        predicted: Counter[int] = Counter()
        for reach in prediction.reaches:
            if process.frames.covers(reach.start):
                faults, _refused = process.frames.access(reach.start, reach.length, write=reach.write)
                predicted.update(fault.address & -PAGE for fault in faults)
        faults_seen = [event for event in inside if isinstance(event, Fault)]
        observed = Counter(each.address & -PAGE for each in faults_seen if process.frames.covers(each.address))
        self.comparison.faults.elsewhere += len(faults_seen) - observed.total()
        both = (predicted & observed).total()
        self.comparison.faults.allocator.add(observed.total(), predicted.total(), both)
        more, less = observed - predicted, predicted - observed
        for event in faults_seen:
            if event.address & -PAGE in more:
                process.frames.take(event)
        for page in less if self._sees_kernel else ():
            process.frames.do("dontneed", page, PAGE)  # it is not there
        if process.models.is_open and (more or less):
            return 0
        differs = 0
        if more:
            found = process.circumstances.after(call)
            differs += self._differ(call.n, "allocator page", f"{_listed(more)} came in", "not touched", found)
        if less and self._sees_kernel and self._sees_faults:
            found = process.circumstances.after(call)
            differs += self._differ(call.n, "allocator page", "not touched", f"{_listed(less)} comes in", found)
        elif less:
            rule, why = "kernel-side", "brought in by a system call before, which this user may not see"
            if not self._sees_faults:
                rule, why = "unplaced", "the page was there before, and faults are only counted"
            told = f"{_listed(less)} comes in"
            difference = Difference(call.n, "allocator page", "not touched", told, rule, why)
            self.comparison.differences.append(difference)
            self.comparison.agree = False
        return differs

    def _take(self, process: _Process, inside: list[Event]) -> None:
        for event in inside:
            if isinstance(event, Fault) and process.frames.covers(event.address):
                process.frames.take(event)

    def _program_fault(self, fault: Fault) -> None:
        frames = self._of(fault.pid).frames
        if not frames.covers(fault.address):
            self.comparison.faults.elsewhere += 1
            return
        expected = frames.expects(fault)
        if not expected and not self._sees_faults:
            return  # no fault of its own: another page of those that one fault brought in
        self.comparison.faults.program.add(1, expected, expected)
        if not expected:
            self._differ(fault.n, "program fault", f"a fault at {fault.where or hex(fault.address)}", "none")
        frames.take(fault)

    # ---- the end, and telling -------------------------------------------------------------------------------

    def finish(self, meta: Meta) -> None:
        """Set the break at the end of the first process beside the model's; say which calls had no model."""
        for name, count in self._foreign.items():
            self.comparison.notes.append(f"{count:,} calls went to the allocator of {name}, which is not modelled")
        end = next((end for end in meta.ends if end.pid == self._lives.first), None)
        process = self._of(end.pid) if end is not None else None
        if end is None or process is None or process.has_diverged or not process.break_start:
            return
        observed, predicted = end.break_end - process.break_start, process.models.likely.first.heap_bytes
        self.comparison.ends.append(End("heap bytes at the end", observed, predicted))
        if observed != predicted:
            found = process.circumstances.of_heap()
            self._differ(NOWHERE, "break", f"{observed:,} bytes of heap", f"{predicted:,}", found)

    def _differ(
        self, n: int, what: str, observed: str, predicted: str, found: Explanation | None = None
    ) -> int:  # fmt: skip
        rule, why = (found.rule, found.evidence) if found is not None else (None, None)
        self.comparison.differences.append(Difference(n, what, observed, predicted, rule, why))
        self.comparison.agree = False
        self.comparison.unexplained += found is None
        return 1

    def _row(self, call: Call, inside: list[Event], prediction: ExactPrediction, rules: tuple[str, ...]) -> None:
        if self._on_row is None:
            return
        what = "free" if call.op not in ALLOCATING else f"{call.op}({call.bytes_asked:,})"
        site = call.site.text if call.site else ""
        observed = call.where or ("NULL" if call.op in ALLOCATING else "given back")
        predicted = prediction.served_by or observed
        if call.op in ALLOCATING and not rules:
            predicted = f"the same, {_from(prediction.served_by)}"
        elif rules:
            predicted = f"{prediction.pointer:#x} {prediction.served_by}"
        self._on_row(Row(call.n, what, site, (call, *inside), observed, predicted, rules))


def _from(served_by: str) -> str:
    return served_by if served_by == IN_PLACE else f"from {served_by or 'nowhere'}"


def _listed(pages: Counter[int]) -> str:
    shown = [f"{page:#x}" for page in sorted(pages)[:3]]
    return ", ".join(shown) + (f" and {pages.total() - 3:,} more" if pages.total() > 3 else "")
