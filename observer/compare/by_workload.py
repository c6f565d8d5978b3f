"""A workload run for real beside the models: its operations, the interpreter's report, the recorded events as one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from observer.compare.explanation import Explanation
from observer.compare.fault_rules import rule_of
from observer.compare.order import grouped
from observer.compare.report_lines import Done, Report
from observer.compare.result import Row
from observer.compare.sides import MemorySide, Operation, Resolved
from observer.compare.together import NOWHERE, Together
from observer.errors import BadTrace
from observer.model.addresses import PAGE, page_up
from observer.model.events import Call, Event, Fault, Process, Signal, Syscall
from observer.model.memory_calls import Advise, memory_call

__all__ = ["compare_workload"]

_CALLS: Final = frozenset({"malloc", "calloc", "memalign", "realloc", "free"})
_MAPPING: Final = frozenset({"map", "populate", "shared", "file", "stack"})
_ACCESSES: Final = frozenset({"touch", "read"})
_TOUCHES: Final = frozenset({"write_pages", "read_pages"})


@dataclass(frozen=True, slots=True)
class _Piece:
    address: int
    size: int
    is_mapping: bool = False

    @property
    def whole_pages(self) -> tuple[int, int]:
        """(start, length) of the pages that system calls on it are about."""
        if self.is_mapping:
            return self.address, page_up(self.size)
        start = page_up(self.address)
        return start, max(((self.address + self.size) & -PAGE) - start, 0)


def compare_workload(
    together: Together, operations: Sequence[Operation], report: Report, events: Iterable[Event]
) -> None:
    """Feed a workload's run to *together*: *operations* as written, *report* and *events* as they were seen.

    Raises:
        BadTrace: the three do not fit together.
    """
    _WorkloadRun(together, operations, report, events).run()


class _WorkloadRun:
    def __init__(
        self, together: Together, operations: Sequence[Operation], report: Report, events: Iterable[Event]
    ) -> None:
        self._together = together
        self._operations = operations
        self._report = report
        self._calls: dict[int, deque[tuple[Event, list[Event]]]] = {}
        self._faults: dict[int, deque[Fault]] = {}
        self._children: dict[int, deque[int]] = {}
        self._signals: dict[int, Signal] = {}
        self._pids: list[int] = []
        self._names: list[dict[str, _Piece]] = [{}]
        self._sort(events)

    def _sort(self, events: Iterable[Event]) -> None:
        """Take the run apart by process: calls, touches, children; before the begin mark only the break counts."""
        begun = False
        for event, inside in grouped(events):
            if isinstance(event, Process) and event.what == "start":
                self._pids = [event.pid]
                self._together.feed(event, [])
            elif not begun:
                if isinstance(event, Syscall) and event.name == "brk":
                    self._together.feed(event, [])
                begun = _is_mark(event)
            elif isinstance(event, Call):
                self._calls.setdefault(event.pid, deque()).append((event, inside))
            elif isinstance(event, Fault) and event.site is not None and event.site.function in _TOUCHES:
                self._faults.setdefault(event.pid, deque()).append(event)
            elif isinstance(event, Process) and event.what == "fork" and event.child is not None:
                self._children.setdefault(event.pid, deque()).append(event.child)
            elif isinstance(event, Signal) and event.fatal:
                self._signals[event.pid] = event

    def run(self) -> None:
        """Go through the report in its order, which is that of execution."""
        died = self._report.died
        most = max([done.index for done in self._report.operations] + ([died] if died is not None else []), default=-1)
        if most >= len(self._operations):
            raise BadTrace("the interpreter's report does not fit the workload", f"it has no operation {most}")
        if most >= 0 and not self._pids:
            raise BadTrace("the recorded run does not fit the workload", "the program's beginning was not seen")
        for done in self._report.operations:
            self._one(done)
        if died is not None:
            self._dies(self._operations[died], None)
        left = sum(len(calls) for calls in self._calls.values())
        if left:
            raise BadTrace("the recorded run does not fit the workload", f"{left} allocator calls are left over")

    def _one(self, done: Done) -> None:
        while len(self._pids) > done.depth + 1:  # a child that died has no exit of its own
            self._leave()
        operation = self._operations[done.index]
        if done.died:
            self._dies(operation, done)
        elif operation.kind in _CALLS:
            self._call(operation, done)
        elif operation.kind in _ACCESSES:
            self._access(operation, done)
        elif operation.kind == "fork":
            self._fork()
            self._say(operation, done, "a child begins")
        elif operation.kind == "exit":
            self._leave()
            self._say(operation, done, "the parent goes on")
        else:
            self._map(operation, done)
            self._say(operation, done, "refused" if done.errno else "done")

    # ---- processes ------------------------------------------------------------------------------------------

    @property
    def _pid(self) -> int:
        return self._pids[-1]

    @property
    def _frames(self) -> MemorySide:
        return self._together.side(self._pid).frames

    def _fork(self) -> None:
        children = self._children.get(self._pid)
        if not children:
            raise BadTrace("the recorded run does not fit the workload", "a fork was not seen")
        child = children.popleft()
        self._together.fork(self._pid, child)
        self._pids.append(child)
        self._names.append(dict(self._names[-1]))

    def _leave(self) -> None:
        self._frames.end()
        self._pids.pop()
        self._names.pop()

    # ---- operations -----------------------------------------------------------------------------------------

    def _call(self, operation: Operation, done: Done) -> None:
        calls = self._calls.get(self._pid)
        if not calls:
            raise BadTrace("the recorded run does not fit the workload", f"the call of line {done.line} was not seen")
        event, inside = calls.popleft()
        assert isinstance(event, Call)
        if event.op != operation.kind or (done.address and event.result != done.address):
            raise BadTrace(
                "the recorded run does not fit the workload",
                f"line {done.line}: {operation.kind} at {done.address:#x}, seen: {event.op} at {event.result or 0:#x}",
            )
        if operation.kind != "free" and event.result:
            self._names[-1][operation.name] = _Piece(event.result, event.bytes_asked)
        self._together.feed(event, inside, told=(_told(operation), f"line {done.line}"))

    def _map(self, operation: Operation, done: Done) -> None:
        """Map, protect, lock, advise: the paging model does the same at the same place."""
        if operation.kind in _MAPPING:
            piece = self._names[-1][operation.name] = _Piece(done.address, operation.numbers[0], is_mapping=True)
        else:
            piece = self._names[-1][operation.name]
        start, length = piece.whole_pages
        if operation.kind in _MAPPING and (done.errno or not start):
            self._refused_mapping(operation, done)
        elif start and length and not done.errno:
            predicted = self._frames.do(operation.kind, start, length)
            if predicted != done.faults:
                told = f"{done.faults:,} in the system call"
                self._together.differ(NOWHERE, "pages brought in", told, f"{predicted:,}", None)

    def _refused_mapping(self, operation: Operation, done: Done) -> None:
        size = operation.numbers[0]
        found = None
        if size >= self._together.memory_bytes > 0:
            found = Explanation("limit", f"{size:,} bytes, on a machine with {self._together.memory_bytes:,}")
        self._together.differ(NOWHERE, "mapping", f"refused, errno {done.errno}", "granted", found)

    def _access(self, operation: Operation, done: Done) -> None:
        start, length = self._range(operation)
        absent = self._frames.absent(start, length)
        faults, refused = self._frames.access(start, length, write=operation.kind == "touch")
        if refused is not None:
            self._together.differ(NOWHERE, "signal", "none", refused, None)
        self._judge(operation, done, self._take_faults(done.faults), faults, absent)

    def _range(self, operation: Operation) -> tuple[int, int]:
        piece, numbers = self._names[-1][operation.name], operation.numbers
        return piece.address + (numbers[0] if numbers else 0), max(numbers[1], 1) if len(numbers) > 1 else 1

    def _take_faults(self, count: int) -> list[Fault]:
        waiting = self._faults.get(self._pid, deque())
        return [waiting.popleft() for _ in range(min(count, len(waiting)))]

    def _judge(
        self, operation: Operation, done: Done, seen: list[Fault], faults: Sequence[Resolved], absent: int
    ) -> None:
        """Set the machine's count beside the model's; and the model's beside the book's one fault for each page."""
        observed, predicted = done.faults, len(faults)
        n = seen[0].n if seen else NOWHERE
        counts = self._together.comparison.faults.program
        counts.add(observed, predicted, observed if observed == predicted else 0)
        rules: list[str] = []
        if len(seen) != observed and self._together.sees_faults:
            told = f"{len(seen):,} recorded"
            rules.append(self._together.differ(n, "program faults", told, f"{observed:,} counted by getrusage", None))
        if observed != predicted:
            is_reclaim = 0 < observed - predicted <= done.major
            found = Explanation("reclaim", f"{done.major:,} major faults") if is_reclaim else None
            rules.append(self._together.differ(n, "program faults", f"{observed:,}", f"{predicted:,}", found))
        elif observed != absent or any(rule_of(fault) for fault in faults):
            rules += self._left_book(n, faults, observed, absent)
        self._tell(operation, done, seen, (_faults(observed), _faults(absent)), tuple(rules), observed)

    def _left_book(self, n: int, faults: Sequence[Resolved], observed: int, absent: int) -> list[str]:
        by_rule: dict[str, int] = {}
        for fault in faults:
            rule = rule_of(fault)
            if rule is not None:
                by_rule[rule] = by_rule.get(rule, 0) + 1
        told = f"{observed:,} faults", f"{absent:,} pages touched first"
        return [
            self._together.differ(n, "program faults", *told, Explanation(rule, f"{count:,} of the faults"))
            for rule, count in by_rule.items()
        ] or [self._together.differ(n, "program faults", *told, None)]

    def _dies(self, operation: Operation, done: Done | None) -> None:
        """The process ended in this operation: the model must refuse the access, too, and for the same reason."""
        start, length = self._range(operation)
        signal = self._signals.get(self._pid)
        observed = _SEGV.get(signal.code, f"code {signal.code}") if signal is not None else "a signal"
        _faults, refused = self._frames.access(start, length, write=operation.kind == "touch")
        predicted = refused or "none"
        line = operation.line if done is None else done.line
        if predicted != observed:
            self._together.differ(signal.n if signal else NOWHERE, "signal", observed, predicted, None)
        self._take_faults(len(self._faults.get(self._pid, ())))
        n, events = (signal.n, (signal,)) if signal is not None else (NOWHERE, ())
        told = f"SIGSEGV, {observed}", f"SIGSEGV, {predicted}"
        what = _told(operation)
        self._together.row(Row(n, what, f"line {line}", events, *told, (), access=what))

    def _tell(
        self, operation: Operation, done: Done, seen: list[Fault], told: tuple[str, str], rules: tuple[str, ...],
        faults: int | None = None,
    ) -> None:  # fmt: skip
        n, what = seen[0].n if seen else NOWHERE, _told(operation)
        access = what if operation.kind in _ACCESSES else None
        self._together.row(Row(n, what, f"line {done.line}", tuple(seen), *told, rules, faults, access))

    def _say(self, operation: Operation, done: Done, words: str) -> None:
        """Tell an operation in which nothing can differ."""
        self._tell(operation, done, [], (words, words), ())


_SEGV: Final = {1: "SEGV_MAPERR", 2: "SEGV_ACCERR"}


def _faults(count: int) -> str:
    return "1 page fault" if count == 1 else f"{count:,} page faults"


def _told(operation: Operation) -> str:
    return " ".join([operation.kind, operation.name, *map(str, operation.numbers)])


def _is_mark(event: Event) -> bool:
    call = memory_call(event) if isinstance(event, Syscall) else None
    return isinstance(call, Advise) and (call.start, call.length, call.number) == (0, 0, 0)
