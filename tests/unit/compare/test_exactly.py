"""A run beside an allocator that predicts pointers: what agrees, the first divergence, and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest

from observer.compare.differences import Difference
from observer.compare.exactly import Exactly
from observer.compare.result import Comparison, End, Row
from observer.model.account import Reach
from observer.model.events import Call, Fault, Syscall
from observer.simulator.frame_side import FrameSide
from tests.builders import HEAP, MAP, PAGE, PID, Script
from tests.unit.compare.runs import GROWN, Asking, brk, ended, mmap, munmap

CHILD = PID + 7
OTHER = PID + 1
FIRST = HEAP + 0x2A0


@dataclass(frozen=True)
class Asked:
    """A system call that the allocator that is told asks for."""

    name: str
    arguments: tuple[int, ...] = ()


@dataclass(frozen=True)
class Wrong:
    """One that the run made otherwise; `asked` is None where the allocator asks for none."""

    predicted: str
    observed: str
    asked: Asked | None = None


BRK, MMAP = Asked("brk"), Asked("mmap")
MISSING = Wrong("mmap(0x0, 0x1000, 0x3, 0x22)", "none", MMAP)
ONE_MORE = Wrong("none", "brk(0x21000)")
ANOTHER = Wrong("mmap(0x0, 0x1000, 0x3, 0x22)", "brk(0x21000)", MMAP)


@dataclass(frozen=True)
class Said:
    """What the allocator that is told says of a call."""

    pointer: int
    served_by: str = "top"
    asked: tuple[Asked, ...] = ()
    wrong: tuple[Wrong, ...] = ()
    reaches: tuple[Reach, ...] = ()
    arenas: frozenset[int] = frozenset({0})
    is_certain: bool = True


class Told:
    """An allocator that predicts what really came, but of the calls of which it was told otherwise.

    Once something came otherwise it knows nothing of the calls that the run names in `open`.
    """

    def __init__(
        self, run: Run, task: int, environment: Mapping[str, str] | None = None, is_first: bool = True
    ) -> None:
        self._run = run
        self.task, self.environment, self.is_first = task, environment, is_first
        self.has_adopted = False
        self.weight = 1
        self.done: tuple[int, ...] = ()
        self.heap_bytes = run.heap_bytes
        self.heard: list[object] = []
        run.sides.append(self)

    def predict(self, call: Call, inside: Sequence[Syscall]) -> Said:
        self.heard.append(call.n)
        otherwise = self._run.otherwise.get(call.n, {})
        if self._run.only_after.get(call.n, -1) in self.done:
            otherwise = {}
        self.done += (call.n,)
        is_certain = not (self.has_adopted and call.n in self._run.open)
        return replace(self._run.said_of(call, inside), is_certain=is_certain, **otherwise)

    def adopt(self, call: Call, inside: Sequence[Syscall]) -> None:
        self.heard.append(("adopted", call.n))
        self.has_adopted = True

    def lose(self) -> None:
        self.heard.append("lost")

    def twin(self) -> Told:
        return copy(self)

    def same_as(self, other: Told) -> bool:
        return self._run.orders_alike

    def describe(self, call: Call) -> str:
        return f"nothing for {call.op}"

    def outside(self, event: Syscall) -> None:
        self.heard.append(event.name)

    def start_thread(self, task: int) -> None:
        self.heard.append(("started", task))

    def end_thread(self, task: int) -> None:
        self.heard.append(("ended", task))

    def has_arena(self, task: int) -> bool:
        return True

    def predecessors(self, call: Call, inside: Sequence[Syscall]) -> tuple[int, Sequence[int]]:
        return 0, ()

    def pass_on(self, task: int) -> None:
        raise AssertionError("no thread leaves its arena early")

    def lend(self, task: int, child: int) -> None:
        self.heard.append(("lent", task, child))

    def copy(self, task: int, child: int) -> Told:
        self.heard.append(("copied", task))
        twin = Told(self._run, child)
        twin.has_adopted = self.has_adopted
        return twin


class Run:
    """A process whose break is known; everything agrees, but where a call is told `otherwise`."""

    def __init__(self, *, sees_faults: bool = True) -> None:
        self.script = Script()
        self.otherwise: dict[int, dict[str, Any]] = {}
        self.only_after: dict[int, int] = {}
        """Calls that are told otherwise unless another was before them."""
        self.open: set[int] = set()
        self.orders_alike = True
        self.sides: list[Told] = []
        self.rows: list[Row] = []
        self.heap_bytes = GROWN
        self.exactly = Exactly(
            partial(Told, self), lambda: FrameSide("never"), "told", on_row=self.rows.append, sees_faults=sees_faults
        )  # fmt: skip
        self.script.process("start", path="/home/ada/story")
        self.script.syscall("brk", 0, result=HEAP)

    def call(
        self, op: str, size: int | None, at: int | None = None, *asking: Asking, faults: tuple[int, ...] = (),
        otherwise: dict[str, Any] | None = None, **fields: Any,
    ) -> int:  # fmt: skip
        """A call and what happened inside it; *otherwise* is what the allocator says instead of what came."""
        n: int = self.script.call(op, size, result=at, **fields)
        who = {name: fields[name] for name in ("pid", "tid") if name in fields}
        for name, args, result in asking:
            self.script.syscall(name, *args, result=result, cause=n, **who)
        for address in faults:
            self.script.fault(address, cause=n, toucher="allocator", **who)
        if otherwise is not None:
            self.otherwise[n] = otherwise
        return n

    def heap(self) -> int:
        """The first call, which makes the heap; return its place in the order."""
        return self.call("malloc", 24, FIRST, brk(GROWN), faults=(HEAP,))

    def diverge(self, **fields: Any) -> int:
        """A call whose pointer is not the predicted one."""
        return self.call("malloc", 24, HEAP + 0x400, otherwise={"pointer": HEAP + 0x500}, **fields)

    def said_of(self, call: Call, inside: Sequence[Syscall]) -> Said:
        """What a right prediction of *call* is."""
        faults = [each for each in self.script.events if isinstance(each, Fault) and each.cause == call.n]
        reaches = tuple(Reach(each.address, 8, True, "allocator") for each in faults)
        return Said(call.result or 0, asked=tuple(Asked(each.name, each.args) for each in inside), reaches=reaches)

    def compare(self) -> Comparison:
        """Compare what was made up so far."""
        self.exactly.run(self.script.events)
        return self.exactly.comparison

    def only_difference(self) -> Difference:
        """Compare; return the one difference there is, which nothing explains."""
        comparison = self.compare()
        [difference] = comparison.differences
        assert (difference.rule, comparison.unexplained, comparison.agree) == (None, 1, False)
        return difference


def counts(comparison: Comparison) -> tuple[int, int, int]:
    """Calls: all, those that agree, those that are not determined."""
    return comparison.calls.total, comparison.calls.agree, comparison.calls.undetermined


# ---- one call -----------------------------------------------------------------------------------------------


def test_pointers_system_calls_and_pages_that_agree() -> None:
    run = Run()
    run.heap()
    run.call("malloc", 9000, HEAP + 0x2C0, faults=(HEAP + 2 * PAGE,))
    run.call("malloc", 200_000, MAP + 16, mmap(MAP, 50 * PAGE), faults=(MAP,))
    run.call("free", None, None, munmap(MAP, 50 * PAGE), pointer=MAP + 16)
    run.script.fault(HEAP + PAGE)
    comparison = run.compare()
    assert (comparison.agree, comparison.unexplained, list(comparison.differences), comparison.notes) == (
        True,
        0,
        [],
        [],
    )
    assert counts(comparison) == (4, 4, 0)
    for agreement, number in (
        (comparison.syscalls, 3), (comparison.faults.allocator, 3), (comparison.faults.program, 1),
    ):  # fmt: skip
        assert (agreement.observed, agreement.predicted, agreement.agree) == (number,) * 3
    assert [row.rules for row in run.rows] == [()] * 4
    assert run.rows[0].told_predicted == "the same, from top"


def test_a_wrong_pointer() -> None:
    run = Run()
    run.heap()
    n = run.diverge()
    found = run.only_difference()
    assert (found.n, found.what) == (n, "pointer")
    assert found.observed == f"{HEAP + 0x400:#x} (heap+0x400)"
    assert found.predicted == f"{HEAP + 0x500:#x} from top"
    assert counts(run.exactly.comparison) == (2, 1, 0)
    [note] = run.exactly.comparison.notes
    assert note == f"process {PID} left the model at event {n:,}; the model held after it, nothing for malloc"
    assert (run.rows[-1].rules, run.rows[-1].told_predicted) == (("unexplained",), f"{HEAP + 0x500:#x} top")


@pytest.mark.parametrize(("at", "predicted"), [(0, FIRST), (FIRST, 0)])
def test_null_is_a_pointer_that_may_be_wrong(at: int, predicted: int) -> None:
    run = Run()
    run.call("malloc", 24, at, otherwise={"pointer": predicted})
    assert run.only_difference().what == "pointer"


@pytest.mark.parametrize(
    ("wrong", "asked"),
    [
        (Wrong("brk(0x21000)", "none", BRK), (BRK, BRK)),
        (ONE_MORE, ()),
        (ANOTHER, (MMAP,)),
    ],
    ids=["missing", "one more", "another"],
)  # fmt: skip
def test_a_wrong_system_call(wrong: Wrong, asked: tuple[Asked, ...]) -> None:
    run = Run()
    n = run.call("malloc", 24, FIRST, brk(GROWN), otherwise={"wrong": (wrong,), "asked": asked})
    found = run.only_difference()
    told = (found.n, found.what, found.predicted, found.observed)
    assert told == (n, "system call", wrong.predicted, wrong.observed)
    assert counts(run.exactly.comparison) == (1, 0, 0)


def test_a_system_call_of_free_may_be_wrong() -> None:
    run = Run()
    run.heap()
    run.call("free", None, None, pointer=FIRST, otherwise={"wrong": (Wrong("brk(0x1000)", "none", BRK),)})
    assert run.only_difference().what == "system call"


@pytest.mark.parametrize(
    ("wrong", "asked", "agree"),
    [
        ((ONE_MORE,), (BRK,), 1),
        ((MISSING,), (BRK, BRK, MMAP), 2),
        ((ANOTHER,), (BRK, MMAP), 1),
    ],
    ids=["one more", "missing", "another"],
)
def test_system_calls_beside_a_wrong_one_agree(wrong: tuple[Wrong, ...], asked: tuple[Asked, ...], agree: int) -> None:
    run = Run()
    run.call("malloc", 24, FIRST, brk(0), brk(GROWN), otherwise={"wrong": wrong, "asked": asked})
    agreement = run.compare().syscalls
    assert (agreement.observed, agreement.predicted, agreement.agree) == (2, len(asked), agree)


def test_a_page_that_the_model_does_not_touch() -> None:
    run = Run()
    n = run.call("malloc", 24, FIRST, brk(GROWN), faults=(HEAP,), otherwise={"reaches": ()})
    found = run.only_difference()
    assert (found.n, found.what) == (n, "allocator page")
    assert (found.observed, found.predicted) == (f"{HEAP:#x} came in", "not touched")
    assert counts(run.exactly.comparison) == (1, 1, 0)
    assert run.rows[-1].rules == ("unexplained",)


def test_a_page_that_only_the_model_touches() -> None:
    run = Run()
    reach = Reach(HEAP + 2 * PAGE + 8, 8, True, "allocator")
    run.call("malloc", 24, FIRST, brk(GROWN), otherwise={"reaches": (reach,)})
    found = run.only_difference()
    assert found.what == "allocator page"
    assert (found.observed, found.predicted) == ("not touched", f"{HEAP + 2 * PAGE:#x} comes in")
    allocator = run.exactly.comparison.faults.allocator
    assert (allocator.observed, allocator.predicted, allocator.agree) == (0, 1, 0)


def test_a_reach_over_an_edge_brings_both_pages_and_what_is_in_memory_comes_no_more() -> None:
    run = Run()
    reach = Reach(HEAP + PAGE - 8, 16, True, "allocator")
    run.call("malloc", 24, FIRST, brk(GROWN), faults=(HEAP, HEAP + PAGE), otherwise={"reaches": (reach,)})
    run.call("malloc", 24, FIRST + 32, otherwise={"reaches": (reach,)})
    assert list(run.compare().differences) == []


def test_memory_that_is_not_modelled_is_left_out() -> None:
    run = Run()
    elsewhere = 0x7F2A_2000_0000
    run.call("malloc", 24, FIRST, brk(GROWN), faults=(elsewhere,))
    run.script.fault(elsewhere)
    comparison = run.compare()
    assert (list(comparison.differences), comparison.faults.elsewhere) == ([], 2)


def test_a_program_fault_that_the_paging_model_does_not_have() -> None:
    run = Run()
    run.heap()
    for _ in range(2):
        run.script.fault(HEAP + PAGE)
    found = run.only_difference()
    assert (found.what, found.observed, found.predicted) == ("program fault", "a fault at heap+0x1000", "none")


def test_where_pages_are_counted_and_faults_are_not_a_page_that_was_there_is_no_difference() -> None:
    run = Run(sees_faults=False)
    run.heap()
    for _ in range(2):
        run.script.fault(HEAP + PAGE)
    comparison = run.compare()
    assert (list(comparison.differences), comparison.faults.program.observed) == ([], 1)


@pytest.mark.parametrize(("op", "pointer"), [("malloc_trim", None), ("malloc_usable_size", FIRST)])
def test_numbers_that_are_no_pointers_agree(op: str, pointer: int | None) -> None:
    run = Run()
    run.heap()
    run.call(op, 0 if pointer is None else None, 1, pointer=pointer)
    comparison = run.compare()
    assert (list(comparison.differences), counts(comparison)) == ([], (2, 2, 0))


@pytest.mark.parametrize(("op", "pointer"), [("malloc_trim", None), ("malloc_usable_size", FIRST)])
def test_numbers_that_are_no_pointers_may_be_wrong(op: str, pointer: int | None) -> None:
    run = Run()
    run.heap()
    run.call(op, 0 if pointer is None else None, 1, pointer=pointer, otherwise={"pointer": 0})
    assert run.compare().unexplained == 1


# ---- after the first divergence -----------------------------------------------------------------------------


def test_what_depends_on_a_divergence_is_not_judged() -> None:
    run = Run()
    run.heap()
    n = run.diverge()
    for i in range(5):
        run.open.add(run.call(
            "malloc", 24, HEAP + 0x1000 * i, brk(GROWN + PAGE), faults=(HEAP + (i + 1) * PAGE,),
            otherwise={"pointer": 1, "wrong": (("none", "brk(0x1)"),), "reaches": ()},
        ))  # fmt: skip
    run.script.syscall("brk", HEAP + GROWN, result=HEAP + GROWN)
    assert run.only_difference().what == "pointer"
    assert counts(run.exactly.comparison) == (7, 1, 5)
    assert run.sides[0].heard[:4] == ["brk", 2, n, ("adopted", n)]


def test_from_the_first_call_that_is_certain_again_agreement_is_claimed_and_told() -> None:
    run = Run()
    run.heap()
    run.diverge()
    run.open |= {run.call("malloc", 24, FIRST + 32 * i, otherwise={"pointer": 1}) for i in (1, 2, 3)}
    n = run.call("malloc", 24, FIRST + 256)
    run.only_difference()
    assert counts(run.exactly.comparison) == (6, 2, 3)
    told = run.exactly.comparison.notes[-1]
    assert told == f"from event {n:,} on the model of process {PID} tells again; 3 calls before it were undetermined"


def test_a_second_divergence_is_told_as_the_first() -> None:
    run = Run()
    run.heap()
    run.diverge()
    run.call("malloc", 24, FIRST + 32)
    run.diverge()
    comparison = run.compare()
    assert (comparison.unexplained, counts(comparison)) == (2, (4, 2, 0))


def test_the_memory_of_what_is_not_judged_is_still_followed() -> None:
    run = Run()
    run.heap()
    run.diverge()
    run.open.add(run.call("malloc", 200_000, MAP + 16, mmap(MAP, 50 * PAGE), faults=(MAP,)))
    for page in (1, 2):
        run.script.fault(MAP + page * PAGE)
    run.only_difference()
    program = run.exactly.comparison.faults.program
    assert (program.observed, program.agree) == (2, 2)


def test_a_page_that_came_in_unpredicted_is_in_memory_from_then_on() -> None:
    run = Run()
    run.call("malloc", 24, FIRST, brk(GROWN), faults=(HEAP,), otherwise={"reaches": ()})
    run.call("malloc", 24, FIRST + 32, otherwise={"reaches": (Reach(HEAP, 8, True, "allocator"),)})
    assert run.only_difference().n == 2


@pytest.mark.parametrize(("pointer", "told"), [(FIRST + 32, ["allocator page"]), (1, ["pointer", "allocator page"])])
def test_a_page_that_was_predicted_and_did_not_come_can_come_later(pointer: int, told: list[str]) -> None:
    run = Run()
    run.heap()
    reach = Reach(HEAP + PAGE, 8, True, "allocator")
    run.call("malloc", 24, FIRST + 32, otherwise={"pointer": pointer, "reaches": (reach,)})
    run.script.fault(HEAP + PAGE)
    assert [each.what for each in run.compare().differences] == told


def test_a_call_that_never_returned_is_told_and_ends_what_is_known() -> None:
    run = Run()
    run.heap()
    n = run.call("malloc", 24, None, end_ns=None)
    run.open.add(run.call("malloc", 24, HEAP + 0x400, otherwise={"pointer": 1}))
    comparison = run.compare()
    assert (comparison.agree, comparison.unexplained, list(comparison.differences)) == (True, 0, [])
    assert counts(comparison) == (3, 1, 2)
    assert comparison.notes == [f"call {n:,} never returned: what it did to the heap is not known"]


def test_a_free_has_no_result_and_returned_nevertheless() -> None:
    run = Run()
    run.heap()
    run.call("free", None, None, pointer=FIRST)
    assert counts(run.compare()) == (2, 2, 0)


# ---- processes ----------------------------------------------------------------------------------------------


def fork(run: Run, what: str = "fork", **fields: Any) -> None:
    run.script.process(what, child=CHILD, **fields)


def test_a_forked_child_goes_on_from_the_thread_that_forked() -> None:
    run = Run()
    run.heap()
    fork(run, tid=OTHER)
    run.call("malloc", 24, FIRST + 32, pid=CHILD, tid=CHILD, faults=(HEAP,))  # its own copy of the page
    run.call("malloc", 24, FIRST + 32, faults=(HEAP,), otherwise={"reaches": ()})  # the last owner's needs no fault
    [found] = run.compare().differences
    assert found.what == "allocator page"
    assert [side.task for side in run.sides] == [PID, CHILD]
    assert ("copied", OTHER) in run.sides[0].heard


def test_a_child_and_its_parent_diverge_apart() -> None:
    run = Run()
    run.heap()
    fork(run)
    run.diverge(pid=CHILD, tid=CHILD)
    run.open.add(run.call("malloc", 24, FIRST + 32, pid=CHILD, tid=CHILD))
    run.open.add(run.call("malloc", 24, FIRST + 32))
    run.only_difference()
    assert counts(run.exactly.comparison) == (4, 2, 1)


def test_a_forked_child_inherits_the_divergence() -> None:
    run = Run()
    run.heap()
    run.diverge()
    fork(run)
    run.open.add(run.call("malloc", 24, FIRST, pid=CHILD, tid=CHILD, otherwise={"pointer": 1}))
    run.only_difference()
    assert counts(run.exactly.comparison) == (3, 1, 1)


def test_exec_begins_anew() -> None:
    run = Run()
    run.heap()
    run.diverge()
    run.script.process("exec", path="/home/ada/story")
    run.script.syscall("brk", 0, result=HEAP)
    run.heap()
    comparison = run.compare()
    assert (len(list(comparison.differences)), counts(comparison)) == (1, (3, 2, 0))
    assert len(run.sides) == 2


def test_vfork_shares_until_exec() -> None:
    run = Run()
    run.heap()
    fork(run, "vfork")
    run.diverge(pid=CHILD, tid=CHILD)
    run.open.add(run.call("malloc", 24, FIRST + 32))
    run.script.process("exec", pid=CHILD, tid=CHILD, path="/bin/true")
    run.script.syscall("brk", 0, result=HEAP, pid=CHILD, tid=CHILD)
    run.call("malloc", 24, FIRST, brk(GROWN), faults=(HEAP,), pid=CHILD, tid=CHILD)
    run.only_difference()
    assert counts(run.exactly.comparison) == (4, 2, 1)
    assert [side.task for side in run.sides] == [PID, CHILD]


def test_a_process_that_was_never_seen_to_begin_has_an_allocator_of_its_own() -> None:
    run = Run()
    run.call("malloc", 24, FIRST, pid=CHILD, tid=CHILD)
    assert counts(run.compare()) == (1, 1, 0)
    assert [side.task for side in run.sides] == [PID, CHILD]


# ---- threads ------------------------------------------------------------------------------------------------


def test_threads_begin_and_end() -> None:
    run = Run()
    run.script.process("clone", child=OTHER)
    run.script.process("exit", tid=OTHER, status=0)
    run.script.process("exit", status=0)
    run.compare()
    assert run.sides[0].heard == ["brk", ("started", OTHER), ("ended", OTHER)]


def overlap(run: Run, **fields: Any) -> tuple[int, int]:
    """Two threads are in the allocator at once; return the places of their calls."""
    first = run.call("malloc", 24, FIRST, end_ns=2500 + 1000 * len(run.script.events), **fields)
    return first, run.call("malloc", 24, FIRST + 32, tid=OTHER)


def test_calls_that_overlap_and_are_predicted_rightly_agree() -> None:
    run = Run()
    overlap(run)
    comparison = run.compare()
    assert (counts(comparison), comparison.notes) == ((2, 2, 0), [])


def test_the_call_that_began_later_may_have_been_served_first() -> None:
    run = Run()
    first, second = overlap(run, otherwise={"pointer": 1})
    run.only_after[first] = second
    comparison = run.compare()
    assert (counts(comparison), list(comparison.differences), comparison.notes) == ((2, 2, 0), [], [])
    assert [row.n for row in run.rows] == [second, first]


@pytest.mark.parametrize("otherwise", [{"pointer": 1}, {"wrong": (("none", "brk(0x1)"),)}])
def test_overlapping_calls_that_fit_in_no_order_are_not_determined(otherwise: dict[str, Any]) -> None:
    run = Run()
    first, _second = overlap(run, otherwise=otherwise)
    comparison = run.compare()
    assert (comparison.agree, comparison.unexplained, list(comparison.differences)) == (True, 0, [])
    assert counts(comparison) == (2, 1, 1)
    [note] = comparison.notes[:1]
    assert note.startswith(f"at event {first:,} the order of process {PID}'s threads")
    assert note.endswith("their calls overlap")


def test_an_overlap_long_ago_excuses_nothing() -> None:
    run = Run()
    overlap(run)
    run.call("malloc", 24, FIRST + 64)
    run.diverge()
    run.only_difference()


def test_both_orders_are_followed_until_one_is_wrong() -> None:
    run = Run()
    run.orders_alike = False
    first, second = overlap(run)
    n = run.call("malloc", 24, FIRST + 64)
    run.otherwise[n] = {"pointer": 1}
    run.only_after[n] = first
    comparison = run.compare()
    assert (counts(comparison), comparison.unexplained) == ((3, 3, 0), 0)
    assert second > first


def test_threads_that_take_turns_are_never_rearranged() -> None:
    run = Run()
    first = run.call("malloc", 24, FIRST)
    second = run.call("malloc", 24, FIRST + 32, tid=OTHER, otherwise={"pointer": 1})
    run.only_after[first] = second
    run.only_difference()


def test_threads_that_take_turns_do_not_overlap() -> None:
    run = Run()
    run.call("malloc", 24, FIRST)
    run.call("malloc", 24, FIRST + 32, tid=OTHER)
    run.diverge()
    run.only_difference()


def test_a_call_that_never_returned_leaves_the_overlaps_of_other_processes_alone() -> None:
    run = Run()
    run.call("malloc", 24, None, end_ns=None, pid=CHILD, tid=CHILD)
    run.diverge()
    run.only_difference()


# ---- the end ------------------------------------------------------------------------------------------------


def at_the_end(run: Run, heap: int) -> Comparison:
    comparison = run.compare()
    run.exactly.finish(ended(heap=heap, resident_pages=1))
    return comparison


def test_the_break_at_the_end_agrees() -> None:
    run = Run()
    run.heap()
    comparison = at_the_end(run, GROWN)
    assert comparison.ends == [End("heap bytes at the end", GROWN, GROWN)]
    assert comparison.unexplained == 0


def test_a_break_that_is_elsewhere_is_a_difference() -> None:
    run = Run()
    run.heap()
    comparison = at_the_end(run, GROWN + PAGE)
    [found] = comparison.differences
    assert (found.what, found.observed, found.predicted) == ("break", "139,264 bytes of heap", "135,168")
    assert comparison.unexplained == 1


def test_after_a_divergence_the_break_says_nothing() -> None:
    run = Run()
    run.heap()
    run.diverge()
    comparison = at_the_end(run, GROWN + PAGE)
    assert (len(list(comparison.differences)), comparison.ends) == (1, [])


def test_a_process_without_a_break_or_an_end_has_none_to_compare() -> None:
    nothing = Exactly(
        lambda _task, _environment, **_more: pytest.fail("no process"), lambda: FrameSide("never"), "told"
    )
    nothing.finish(ended(heap=GROWN, resident_pages=1))
    assert (nothing.comparison.ends, list(nothing.comparison.differences)) == ([], [])
