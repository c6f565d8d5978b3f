"""A run beside an allocator that is predicted exactly: every pointer, system call and page of its own.

After the first divergence of a process the model's state is no longer that of the run: what follows is counted as
undetermined, neither right nor wrong, and the divergence is told once, where it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

from observer.compare.result import Comparison, Difference, End, Row
from observer.compare.sides import PAGE, ExactPrediction, ExactSide, MemorySide
from observer.compare.together import NOWHERE, grouped
from observer.model.account import IN_PLACE
from observer.model.events import Call, Event, Fault, Process, Syscall
from observer.model.machine import Meta
from observer.model.operations import ALLOCATING

__all__ = ["Exactly"]

_RETURNING: Final = ALLOCATING | {"malloc_trim", "malloc_usable_size"}
"""What returns something that is predicted."""


class _Process:
    def __init__(self, allocator: ExactSide, frames: MemorySide) -> None:
        self.allocator = allocator
        self.frames = frames
        self.break_start = 0
        self.has_diverged = False
        self.has_overlaps = False
        self._ends: dict[int, int] = {}

    def notice(self, call: Call) -> None:
        """Calls of two threads that overlap in time: from then on their order is not known from the record."""
        if any(task != call.tid and end > call.t_ns for task, end in self._ends.items()):
            self.has_overlaps = True
        self._ends[call.tid] = call.end_ns if call.end_ns is not None else 1 << 63


class Exactly:
    """Sets a run beside an exact model; `comparison` holds the result.

    Args:
        allocator: makes the model of a new process, whose first thread has the given id.
        paging: makes its memory.
        name: what the allocator is called.
        sees_kernel: whether faults taken in kernel mode were visible.
        on_row: called with each row of the aligned list.
    """

    def __init__(
        self, allocator: Callable[[int], ExactSide], paging: Callable[[], MemorySide], name: str, *,
        sees_kernel: bool = True, on_row: Callable[[Row], None] | None = None,
    ) -> None:  # fmt: skip
        self.comparison = Comparison(name)
        self._sees_kernel = sees_kernel
        self._allocator, self._paging, self._on_row = allocator, paging, on_row
        self._processes: dict[int, _Process] = {}
        self._first: int | None = None

    def run(self, events: Iterable[Event]) -> None:
        """Compare a whole run, its events in order."""
        for event, inside in grouped(events):
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
        return self._processes.get(pid) or self._new(pid)

    def _new(self, pid: int) -> _Process:
        process = self._processes[pid] = _Process(self._allocator(pid), self._paging())
        return process

    def _process(self, event: Process) -> None:
        if event.what == "start":
            self._first = event.pid
        elif event.what == "exec":
            self._new(event.pid)
        elif event.what == "fork" and event.child is not None:
            self._fork(event, event.child)
        elif event.what == "vfork" and event.child is not None:
            self._processes[event.child] = self._of(event.pid)  # the memory is the parent's until exec
            self._of(event.pid).allocator.lend(event.tid, event.child)
        elif event.what == "clone" and event.child is not None:
            self._of(event.pid).allocator.start_thread(event.child)
        elif event.what == "exit" and event.tid != event.pid:
            self._of(event.pid).allocator.end_thread(event.tid)

    def _fork(self, event: Process, child: int) -> None:
        parent = self._of(event.pid)
        twin = _Process(parent.allocator.copy(event.tid, child), parent.frames.copy())
        twin.break_start, twin.has_diverged = parent.break_start, parent.has_diverged
        twin.has_overlaps = parent.has_overlaps
        self._processes[child] = twin

    def _outside(self, event: Syscall) -> None:
        process = self._of(event.pid)
        if event.name == "brk" and event.result:
            process.break_start = process.break_start or event.result
        process.frames.apply(event)
        if not process.has_diverged:
            process.allocator.outside(event)

    # ---- calls ----------------------------------------------------------------------------------------------

    def _call(self, call: Call, inside: list[Event]) -> None:
        process, counts = self._of(call.pid), self.comparison.calls
        counts.total += 1
        asked = [event for event in inside if isinstance(event, Syscall)]
        for event in asked:
            if event.name == "brk" and event.result:
                process.break_start = process.break_start or event.result
            process.frames.apply(event)
        process.notice(call)
        if process.has_diverged or (call.result is None and call.end_ns is None):
            if not process.has_diverged:
                self.comparison.notes.append(f"call {call.n:,} never returned: what it did to the heap is not known")
            process.has_diverged = True
            counts.undetermined += 1
            self._take(process, inside)
            return
        prediction = process.allocator.predict(call, asked)
        if process.has_overlaps and self._is_wrong(call, prediction):
            self._lose_order(process, call, inside)
            return
        differs = self._compare_pointer(call, prediction) + self._compare_asks(call, asked, prediction)
        counts.agree += not differs
        process.has_diverged = differs > 0
        if differs:
            self.comparison.notes.append(
                f"process {call.pid} left the model at event {call.n:,}; the model held after it, "
                f"{process.allocator.describe(call)}"
            )
        rules = differs + self._compare_pages(process, call, inside, prediction)
        self._row(call, inside, prediction, ("unexplained",) if rules else ())

    def _is_wrong(self, call: Call, prediction: ExactPrediction) -> bool:
        return bool(prediction.wrong) or (call.op in _RETURNING and (call.result or 0) != prediction.pointer)

    def _lose_order(self, process: _Process, call: Call, inside: list[Event]) -> None:
        """Threads' calls overlapped before: the record does not determine what comes from here on."""
        self._note_order(process, call)
        self.comparison.calls.undetermined += 1
        self._take(process, inside)

    def _note_order(self, process: _Process, call: Call) -> None:
        process.has_diverged = True
        self.comparison.notes.append(
            f"from event {call.n:,} on the order of process {call.pid}'s threads in the allocator is not determined: "
            "their calls overlap"
        )

    def _compare_pointer(self, call: Call, prediction: ExactPrediction) -> int:
        if call.op not in _RETURNING or (call.result or 0) == prediction.pointer:
            return 0
        predicted = f"{prediction.pointer:#x} from {prediction.served_by or 'nowhere'}"
        return self._differ(call.n, "pointer", f"{call.result or 0:#x} ({call.where})", predicted)

    def _compare_asks(self, call: Call, asked: list[Syscall], prediction: ExactPrediction) -> int:
        wrong = prediction.wrong
        right = max(len(prediction.asked) - sum(predicted != "none" for predicted, _recorded in wrong), 0)
        self.comparison.syscalls.add(len(asked), len(prediction.asked), right)
        return sum(self._differ(call.n, "system call", recorded, predicted) for predicted, recorded in wrong)

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
        if process.has_overlaps and (more or less):
            self._note_order(process, call)
            return 0
        differs = 0
        if more:
            differs += self._differ(call.n, "allocator page", f"{_listed(more)} came in", "not touched")
        if less and self._sees_kernel:
            differs += self._differ(call.n, "allocator page", "not touched", f"{_listed(less)} comes in")
        elif less:
            why = "brought in by a system call before, which this user may not see"
            told = f"{_listed(less)} comes in"
            difference = Difference(call.n, "allocator page", "not touched", told, "kernel-side", why)
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
        self.comparison.faults.program.add(1, expected, expected)
        if not expected:
            self._differ(fault.n, "program fault", f"a fault at {fault.where or hex(fault.address)}", "none")
        frames.take(fault)

    # ---- the end, and telling -------------------------------------------------------------------------------

    def finish(self, meta: Meta) -> None:
        """Set the break at the end of the first process beside the model's."""
        process = self._processes.get(self._first or 0)
        end = next((end for end in meta.ends if end.pid == self._first), None)
        if end is None or process is None or process.has_diverged or not process.break_start:
            return
        observed, predicted = end.break_end - process.break_start, process.allocator.heap_bytes
        self.comparison.ends.append(End("heap bytes at the end", observed, predicted))
        if observed != predicted:
            self._differ(NOWHERE, "break", f"{observed:,} bytes of heap", f"{predicted:,}")

    def _differ(self, n: int, what: str, observed: str, predicted: str) -> int:
        self.comparison.differences.append(Difference(n, what, observed, predicted, None, None))
        self.comparison.agree = False
        self.comparison.unexplained += 1
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
