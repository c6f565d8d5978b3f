"""Both levels over a whole run: its events in, a Comparison and the aligned list out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from observer.compare.call_rules import CallCase, explain_call
from observer.compare.circumstances import Circumstances, is_foreign
from observer.compare.differences import Difference
from observer.compare.explanation import UNEXPLAINED, Explanation
from observer.compare.fault_rules import FaultCase, explain_extra, explain_missing, explain_program, rule_of
from observer.compare.hypotheses import MOST_COPIED, Effort, Hypotheses
from observer.compare.order import Asked, arranged, grouped, orders, windows
from observer.compare.result import Comparison, End, Row
from observer.compare.served import observed_account, reached
from observer.compare.shadow import Shadow
from observer.compare.sides import AllocatorSide, ExactMaker, MemorySide
from observer.compare.witness import Witness
from observer.glibc.chunks import HEADER
from observer.glibc.parameters import Parameters
from observer.glibc.versions import nearest
from observer.model.account import FREE_PIECE, Account, Ask, Reach, alignment_of, ask_of, request_of
from observer.model.addresses import PAGE
from observer.model.events import Call, Event, Fault, Process, Syscall
from observer.model.lives import Lives
from observer.model.machine import Meta
from observer.model.operations import ALLOCATING, FREEING, OPERATIONS

__all__ = ["NOWHERE", "Together"]

NOWHERE: Final = -1
"""The n of what belongs to no event: the state at the end, a touch that took no fault."""


class _Side:
    """One real process with everything that is kept beside it."""

    def __init__(
        self, shadow: Shadow, book: AllocatorSide, frames: MemorySide, witness: Witness | None,
        circumstances: Circumstances,
    ) -> None:  # fmt: skip
        self.witness = witness
        self.shadow = shadow
        self.book = book
        self.frames = frames
        self.drift: dict[str, int] = {}
        """By how many bytes the breaks came apart, by the rule that explains it."""
        self.has_called = False
        self.circumstances = circumstances

    def copy(self, task: int, child: int) -> _Side:
        witness = self.witness.copy(task, child) if self.witness is not None else None
        twin = _Side(self.shadow.copy(), self.book.copy(), self.frames.copy(), witness, self.circumstances.copy())
        twin.drift, twin.has_called = dict(self.drift), self.has_called
        return twin


class Together:
    """Sets a run beside the book. Feed it events with `run`; then `comparison` holds the result.

    Args:
        allocator, paging: make the reference machines that a new process is set beside.
        parameters: what the real allocator was told, where the environment of a program was not recorded.
        memory_bytes: the machine's memory, for requests that are refused.
        sees_kernel: whether faults taken in kernel mode were visible.
        sees_faults: whether each fault was recorded as it happened.
        on_row: called with each row of the aligned list.
        exact: makes an exact model of the real allocator for a process; a witness where pointers alone do not tell.
        damage: what was found wrong with a heap of the run at its end.
    """

    def __init__(
        self, allocator: Callable[[], AllocatorSide], paging: Callable[[], MemorySide], parameters: Parameters, *,
        memory_bytes: int = 0, sees_kernel: bool = True, sees_faults: bool = True,
        on_row: Callable[[Row], None] | None = None, exact: ExactMaker | None = None, damage: str = "",
    ) -> None:  # fmt: skip
        self._exact, self._damage = exact, damage
        self._effort = Effort(MOST_COPIED)
        self.comparison = Comparison(allocator().name)
        self._allocator, self._paging, self._parameters = allocator, paging, parameters
        self._lives = Lives(self._new_side, _Side.copy)
        self._on_row = on_row
        self._sees_kernel = sees_kernel
        self.sees_faults = sees_faults
        self.memory_bytes = memory_bytes

    @classmethod
    def beside(
        cls, meta: Meta, allocator: Callable[[], AllocatorSide], paging: Callable[[], MemorySide], *,
        on_row: Callable[[Row], None] | None = None, exact: ExactMaker | None = None,
    ) -> Together:  # fmt: skip
        """Return the comparison for a recorded run: its tunables, its machine."""
        return cls(
            allocator, paging, Parameters.told(meta.request.environment, nearest(meta.machine.libc_version)),
            memory_bytes=meta.machine.memory_bytes, on_row=on_row, exact=exact,
            sees_kernel=meta.sees_kernel_faults, sees_faults=meta.sees_faults, damage=meta.heap_damage,
        )  # fmt: skip

    # ---- the run --------------------------------------------------------------------------------------------

    def run(self, events: Iterable[Event]) -> None:
        """Compare a whole run, its events in order."""
        for window in windows(grouped(events)):
            for event, inside in arranged(window, self._order):
                self.feed(event, inside)

    def _order(self, pid: int, calls: list[Asked], is_cut: bool) -> tuple[int, ...]:
        """Return the order in which overlapping calls of a process took effect, as far as that can be told."""
        side = self.side(pid)
        allowed = orders([call for call, _asked in calls]).found
        if len(allowed) > 1:
            side.circumstances.overlap([call for call, _asked in calls], side.shadow.pieces_of(calls))
        if side.witness is not None:
            chosen = side.witness.choose(calls, is_cut=is_cut)
            if side.shadow.allows([calls[i][0] for i in chosen]):
                return chosen
        fitting = (each for each in allowed if side.shadow.allows([calls[i][0] for i in each]))
        found = next(fitting, None)
        if found is None:
            side.circumstances.lose_order(calls[0][0])
        return found or allowed[0]

    def feed(self, event: Event, inside: list[Event], *, told: tuple[str, str] | None = None) -> None:
        """Compare one event; *inside* are those that an allocator call caused.

        *told* is what the aligned list says of a call and its place, when somebody knows better than the event.
        """
        if isinstance(event, Process):
            self._process(event)
        elif isinstance(event, Call):
            self._call(event, inside, told or (_told(event), event.site.text if event.site else ""))
        elif isinstance(event, Syscall):
            side = self.side(event.pid)
            moved = self._note(side, event)
            if side.witness is not None:
                side.witness.outside(event)
            if moved.name == "brk" and moved.amount:
                rule = "program-break" if side.has_called else "startup"
                side.drift[rule] = side.drift.get(rule, 0) + moved.amount
        elif isinstance(event, Fault):
            self._program_fault(event)

    def side(self, pid: int) -> _Side:
        """Return what is kept beside process *pid*."""
        return self._lives.of(pid)

    def _new_side(self, pid: int, environment: Mapping[str, str] | None) -> _Side:
        known = self._parameters
        parameters = known if environment is None else Parameters.told(environment, known.version)
        witness = None
        if self._exact is not None:
            witness = Witness(Hypotheses.of(self._exact, pid, environment, effort=self._effort))
        return _Side(Shadow(parameters), self._allocator(), self._paging(), witness, Circumstances(self._damage))

    def fork(self, parent: int, child: int) -> None:
        """Let the process *child* begin as a copy of *parent*, forked by its first thread."""
        self._lives.fork(parent, child, parent)

    def _process(self, event: Process) -> None:
        self._lives.take(event)
        side = self.side(event.pid)
        if side.witness is not None:
            side.witness.live(event)

    def _note(self, side: _Side, event: Syscall) -> Ask:
        """Let a memory system call move the shadow and the paging model; return what it asked."""
        ask = ask_of(event, side.shadow.break_end)
        if event.name == "brk" and event.result is not None:
            side.shadow.set_break(event.result)
        elif ask.reserves and not ask.failed and event.tid != event.pid:
            side.shadow.reserve(ask.address, ask.amount)
        side.frames.apply(event)
        return ask

    # ---- level one ------------------------------------------------------------------------------------------

    def _call(self, call: Call, inside: list[Event], told: tuple[str, str]) -> None:
        side, counts = self.side(call.pid), self.comparison.calls
        counts.total += 1
        side.has_called = True
        side.circumstances.note(call)
        if call.result is None and (call.end_ns is None or call.op not in FREEING):
            counts.undetermined += call.op != "malloc_trim"
            for event in inside:
                if isinstance(event, Syscall):
                    self._note(side, event)
            return
        if side.witness is not None:
            side.witness.see(call, [event for event in inside if isinstance(event, Syscall)])
        before = side.shadow.break_end
        asks = []
        for event in inside:
            if isinstance(event, Syscall):
                asks.append(ask_of(event, before))
                before = event.result if event.name == "brk" and event.result is not None else before
        account = observed_account(call, tuple(asks), side.shadow)
        case = self._predict(side, call, account)
        rules = self._compare_accounts(side, case)
        rules += self._compare_frames(side, call, account, inside)
        if not is_foreign(call):
            self._move_shadow(side, call, account)
        observed = case.observed.text + (f" ({call.where})" if account.served == FREE_PIECE and call.where else "")
        self.row(Row(call.n, *told, (call, *inside), observed, case.predicted.text, tuple(rules)))

    def _predict(self, side: _Side, call: Call, account: Account) -> CallCase:
        largest = side.book.largest_free
        prediction = side.book.predict(call)
        return CallCase(call, account, prediction.account, side.shadow, largest, self.memory_bytes)

    def _compare_accounts(self, side: _Side, case: CallCase) -> list[str]:
        observed, predicted = case.observed, case.predicted
        same = sum(a.same_as(b) for a, b in zip(observed.asks, predicted.asks, strict=False))
        self.comparison.syscalls.add(len(observed.asks), len(predicted.asks), same)
        if observed.served == predicted.served and len(observed.asks) == len(predicted.asks) == same:
            self.comparison.calls.agree += 1
            return []
        what = "served" if observed.served != predicted.served else "system calls"
        found = side.circumstances.before(case.call) or explain_call(case)
        found = found or (side.witness.explain() if side.witness is not None else None)
        found = found or side.circumstances.after(case.call)
        rule = self.differ(case.call.n, what, observed.text, predicted.text, found)
        side.drift[rule] = side.drift.get(rule, 0) + observed.moved_break - predicted.moved_break
        return [rule]

    def _move_shadow(self, side: _Side, call: Call, account: Account) -> None:
        old = None
        if call.op == "mallopt":
            side.shadow.parameters.mallopt(call.parameter or 0, call.value or 0)
        if call.pointer and OPERATIONS[call.op].releases and (call.result or not call.bytes_asked):
            old = side.shadow.take_back(call.pointer, call.tid, call.n, by_free=call.op in FREEING)
        if call.result and call.op in ALLOCATING:
            mapped = sum(ask.amount for ask in account.asks if ask.maps(call.result))
            if old is not None and call.result == call.pointer:
                mapped = mapped or old.mapped
            side.circumstances.settle(call, call.result - HEADER, call.result + request_of(call))
            side.shadow.hand_out(
                call.result, request_of(call), call.n, call.tid, mapped=mapped, alignment=alignment_of(call)
            )
            if old is not None and call.result == call.pointer and not mapped:
                side.shadow.cut_off(call.result, old.size, call.tid, call.n)

    # ---- level two ------------------------------------------------------------------------------------------

    def _compare_frames(self, side: _Side, call: Call, account: Account, inside: list[Event]) -> list[str]:
        """Compare the pages that an allocator call brought in; its system calls move the model as they come."""
        for event in inside:
            if isinstance(event, Syscall):
                self._note(side, event)
        foreign = side.circumstances.before(call)
        reaches = [] if foreign is not None else reached(call, account, side.shadow)
        predicted = side.frames.predicted(reaches)
        case = FaultCase(call, account, side.shadow)
        rules, agreed, seen = [], 0, 0
        for fault in (event for event in inside if isinstance(event, Fault)):
            if not side.frames.covers(fault.address):
                self.comparison.faults.elsewhere += 1
                continue
            seen += 1
            page = fault.address & -PAGE
            reach = predicted.pop(page, None)
            if reach is not None:
                agreed += 1
            else:
                told = f"a fault at {fault.where or hex(fault.address)}"
                found = foreign or explain_extra(case, fault)
                if found is None and side.witness is not None:
                    found = side.witness.explain_page(page, PAGE, came=True)
                found = found or side.circumstances.after(call)
                rules.append(self.differ(fault.n, "allocator fault", told, "none", found))
            side.frames.take(fault, write=reach.write if reach is not None else None)
        self.comparison.faults.allocator.add(seen, agreed + len(predicted), agreed)
        return rules + self._missing(case, predicted, side)

    def _missing(self, case: FaultCase, predicted: dict[int, Reach], side: _Side) -> list[str]:
        """Tell of pages that the book's allocator would have brought in, one difference for each thing it does."""
        by_what: dict[str, list[tuple[int, Reach]]] = {}
        for page, reach in predicted.items():
            by_what.setdefault(reach.what, []).append((page, reach))
        rules = []
        for what, reaches in by_what.items():
            found = explain_missing(case, reaches[0][1])
            if found is None and side.witness is not None:
                pages = [side.witness.explain_page(page, PAGE, came=False) for page, _reach in reaches]
                found = pages[0] if all(pages) else None
            found = found or side.circumstances.after(case.call)
            if found is None and not self.sees_faults:
                found = Explanation("unplaced", "faults are only counted")
            told = f"{len(reaches):,} for {what}"
            rules.append(self.differ(case.call.n, "allocator fault", "none", told, found))
        return rules

    def _program_fault(self, fault: Fault) -> None:
        side = self.side(fault.pid)
        if not side.frames.covers(fault.address):
            self.comparison.faults.elsewhere += 1
            return
        expected = side.frames.expects(fault)
        self.comparison.faults.program.add(1, expected, expected)
        rules: tuple[str, ...] = ()
        if not expected:
            told = f"a fault at {fault.where or hex(fault.address)}"
            rules = (self.differ(fault.n, "program fault", told, "none", explain_program(fault)),)
        brought = side.frames.take(fault)
        if expected and brought and (rule := rule_of(brought[0])) is not None:
            told = f"a fault, {brought[0].kind}, {brought[0].pages:,} pages"
            rules = (
                self.differ(
                    fault.n,
                    "program fault",
                    told,
                    "none" if brought[0].pages == 1 else "one page a fault",
                    Explanation(rule, fault.where or hex(fault.address)),
                ),
            )
        site = fault.site.text if fault.site else ""
        told = "1 page fault" if expected else "no fault"
        self.row(Row(fault.n, "touch", site, (fault,), "1 page fault", told, rules, access=""))

    # ---- the end --------------------------------------------------------------------------------------------

    def finish(self, meta: Meta) -> None:
        """Set the break and the heap's resident pages at the end of the first process side by side."""
        end = next((end for end in meta.ends if end.pid == self._lives.first), None)
        if end is None:
            return
        side = self.side(end.pid)
        if not side.shadow.break_start:
            return
        observed, predicted = end.break_end - side.shadow.break_start, side.book.heap_bytes
        self.comparison.ends.append(End("heap bytes at the end", observed, predicted))
        if observed != predicted:
            self._break_apart(side, observed, predicted)
        pages = sum(end.resident.get(m.start, 0) for m in end.mappings if m.path == "[heap]") // PAGE
        modelled = side.frames.resident_in_heap()
        self.comparison.ends.append(End("heap pages resident", pages, modelled))
        if pages != modelled:
            rule = side.circumstances.of_heap()
            if rule is None and pages > modelled and not self._sees_kernel:
                rule = Explanation("kernel-side", "faults in kernel mode were not visible")
            self.differ(NOWHERE, "resident pages", f"{pages:,}", f"{modelled:,}", rule)

    def _break_apart(self, side: _Side, observed: int, predicted: int) -> None:
        """The heaps have different sizes: the sum of what was explained call by call, or not explained."""
        found = None
        if observed - predicted == sum(side.drift.values()) and UNEXPLAINED not in side.drift:
            parts = sorted(side.drift.items(), key=lambda item: -abs(item[1]))
            told = ", ".join(f"{rule} {amount:+,}" for rule, amount in parts if amount)
            found = Explanation(parts[0][0], f"the sum of {told}")
        found = found or side.circumstances.of_heap()
        self.differ(NOWHERE, "break", f"{observed:,} bytes of heap", f"{predicted:,}", found)

    # ---- telling --------------------------------------------------------------------------------------------

    def differ(self, n: int, what: str, observed: str, predicted: str, found: Explanation | None) -> str:
        """Add a difference; return the rule that explains it, or `unexplained`."""
        rule, why = (found.rule, found.evidence) if found is not None else (None, None)
        self.comparison.differences.append(Difference(n, what, observed, predicted, rule, why))
        self.comparison.agree = False
        self.comparison.unexplained += found is None
        return rule or UNEXPLAINED

    def row(self, row: Row) -> None:
        """Hand a row of the aligned list on."""
        if self._on_row is not None:
            self._on_row(row)


def _told(call: Call) -> str:
    if call.op in FREEING:
        return "free"
    return f"{call.op}({call.bytes_asked:,})"
