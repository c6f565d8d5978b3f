"""The exact models of one process, one set for each order of what its threads did at once that fits what was seen."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from observer.compare.models import Models, follow_life
from observer.compare.order import Asked, orders
from observer.compare.sides import ExactMaker, ExactPrediction
from observer.model.events import Call, Process, Syscall
from observer.model.operations import ALLOCATING

__all__ = ["MOST_COPIED", "RETURNING", "Effort", "Hypotheses", "Pace", "is_right"]

_MOST: Final = 4
_SELDOM: Final = 256
"""Calls after which models that stay different are compared again, at the most."""
MOST_COPIED: Final = 64 << 20
"""Bytes of models that a comparison may copy: some four seconds."""

RETURNING: Final = ALLOCATING | {"malloc_trim", "malloc_usable_size", "mallopt"}
"""What returns something that is predicted."""


class Effort:
    """What may be spent on the orders of overlapping calls, in bytes of models that are copied for it.

    Threads that allocate all the time overlap all the time: when it is spent, orders are left open.
    """

    def __init__(self, most: int) -> None:
        self.left = most


class Pace:
    """When models are compared again that may have become equal: as long as all stay different, ever less often.

    To compare two takes longer than to follow one of them; and some stay different as long as the run lasts.
    """

    def __init__(self) -> None:
        self._count = self._behind = 0
        self._wait = 1

    def is_due(self, count: int) -> bool:
        """Whether to compare behind this call, that *count* models have followed; asked behind each."""
        if count != self._count:
            self._count, self._wait = count, 1
        self._behind += 1
        if self._behind < self._wait:
            return False
        self._behind, self._wait = 0, min(2 * self._wait, _SELDOM)
        return True


def is_right(call: Call, prediction: ExactPrediction) -> bool:
    """Whether *call* came as it was predicted: its pointer and what it asked of the kernel."""
    return not prediction.wrong and (call.op not in RETURNING or (call.result or 0) == prediction.pointer)


@dataclass(slots=True)
class _Run:
    """Models after a window of calls in one order, with what they said of each."""

    models: Models
    order: tuple[int, ...]
    said: dict[int, ExactPrediction | None]


class Hypotheses:
    """Predicts the calls of one process; `is_open` is whether more orders fit, or fitted once, than are followed."""

    def __init__(self, alive: list[Models], effort: Effort) -> None:
        self._alive = alive
        self._effort = effort
        self._said: dict[int, ExactPrediction | None] = {}
        self.is_open = False
        self._pace = Pace()
        self._seated: set[int] = set()
        """Threads that have an arena, whatever else is open."""
        self._last: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        """When threads returned from their last calls, and when they were seen to end, in nanoseconds."""

    @classmethod
    def of(
        cls, make: ExactMaker, task: int, environment: Mapping[str, str] | None = None, *, effort: Effort
    ) -> Hypotheses:  # fmt: skip
        """Return those of a new process: one set of models, made by *make* as `Models` is."""
        return cls([Models(make, task, environment)], effort)

    @property
    def likely(self) -> Models:
        """The models under the order that is told."""
        return self._alive[0]

    def copy(self, task: int, child: int) -> Hypotheses:
        """Return those of a child that the thread *task* forked."""
        twin = Hypotheses([models.copy(task, child) for models in self._alive], self._effort)
        twin.is_open = self.is_open
        return twin

    def outside(self, event: Syscall) -> None:
        """Note a system call that no allocator call made."""
        for models in self._alive:
            models.outside(event)

    def live(self, event: Process) -> None:
        """Note that a thread begins or ends, or that a child of vfork uses the memory."""
        if event.what == "exit":
            self._ends[event.tid] = event.t_ns
            self._seated.discard(event.tid)
        elif event.child is not None:
            self._ends.pop(event.child, None)
        for models in self._alive:
            follow_life(models, event)

    # ---- calls ----------------------------------------------------------------------------------------------

    def predict(self, call: Call, asked: list[Syscall]) -> ExactPrediction | None:
        """Return what is said of *call*, None where its allocator has no model; those that were wrong are given up."""
        if self._said and call.n in self._said:
            return self._said.pop(call.n)
        tid = call.tid
        if tid not in self._seated or len(self._alive) > 1:
            self._inherit([(call, asked)])
        self._last[tid] = call.end_ns or call.t_ns
        if len(self._alive) == 1:
            said_of_it = _predict(self._alive[0], call, asked)
            if tid not in self._seated and self._alive[0].first.has_arena(tid):
                self._seated.add(tid)
            return said_of_it
        said = [(models, _predict(models, call, asked)) for models in self._alive]
        right = [each for each in said if each[1] is None or is_right(call, each[1])]
        if right:
            self._alive = [models for models, _prediction in right]
            if self._pace.is_due(len(self._alive)):
                self._drop_equal()
        return (right or said)[0][1]

    def adopt(self, call: Call, asked: Sequence[Syscall]) -> None:
        """*call* came otherwise than all said: go on with what it shows."""
        del self._alive[1:]
        model = self.likely.of(call)
        if model is not None:
            model.adopt(call, asked)
        self.is_open = False

    def pass_by(self, call: Call, asked: Sequence[Syscall]) -> None:
        """*call* went to an allocator without a model: it may have moved the break, and called the modelled one."""
        for event in asked:
            self.outside(event)
        if call.inner:  # those calls are counted, not recorded
            del self._alive[1:]
            self.likely.first.lose()

    def choose(self, calls: Sequence[Asked], *, is_cut: bool) -> tuple[int, ...]:
        """Return the order in which overlapping calls took effect, as far as the models tell, and follow it.

        *is_cut* is whether further calls overlap them: then none of the orders may be the right one.
        """
        allowed, are_all = orders([call for call, _asked in calls])
        self.is_open = self.is_open or is_cut
        if len(allowed) == 1:
            return allowed[0]
        if self._effort.left <= 0:
            self.is_open = True
            return allowed[0]
        self._drop_equal()
        self._inherit(calls)
        found = [run for models in self._alive if (run := self._run(models, calls, allowed[0])) is not None]
        if not found or not _commute(found[0], calls):
            self.is_open = self.is_open or not are_all
            found += [
                run for order in allowed[1:] for models in self._alive
                if (run := self._run(models, calls, order)) is not None
            ]  # fmt: skip
        if not found:
            self.is_open = True
            return allowed[0]
        for call, _asked in calls:
            self._last[call.tid] = max(call.end_ns or call.t_ns, self._last.get(call.tid, 0))
        self._alive, self._said = [run.models for run in found], found[0].said
        self._drop_equal()
        return found[0].order

    def _inherit(self, calls: Sequence[Asked]) -> None:
        """Follow whose arenas the threads among *calls* that have none yet may be given.

        A thread leaves its arena to others somewhere between its last call and its end. One that calls again had not:
        it is then predicted to need another, which it does not.
        """
        firsts = {call.tid: (call, asked) for call, asked in reversed(calls)}
        for call, asked in firsts.values():
            for models in tuple(self._alive):
                if models.of(call) is not models.first:
                    continue
                expected, others = models.first.predecessors(call, asked)
                others = [task for task in others if self._may_follow(task, expected, firsts)]
                if len(others) >= _MOST or (others and self._effort.left <= 0):
                    self.is_open = True
                    continue
                for task in others:
                    twin = models.twin()
                    self._effort.left -= models.weight
                    twin.pass_on(task, has_ended=task in self._ends)
                    self._alive.append(twin)

    def _may_follow(self, task: int, other: int, calling: Container[int]) -> bool:
        """Whether the thread *task* may have left its arena after *other* did, if there is such, and by now."""
        if task not in self._ends:
            return task not in calling
        return other in self._ends and self._ends[task] > self._last.get(other, 0)

    def _run(self, models: Models, calls: Sequence[Asked], order: tuple[int, ...]) -> _Run | None:
        """Let a twin of *models* follow *calls* in this order; return None as soon as one comes out wrong."""
        run = _Run(models.twin(), order, {})
        self._effort.left -= models.weight
        for index in order:
            call, asked = calls[index]
            prediction = _predict(run.models, call, asked)
            if prediction is not None and not is_right(call, prediction):
                return None
            run.said[call.n] = prediction
        return run

    def _drop_equal(self) -> None:
        if len(self._alive) == 1:
            return
        kept: list[Models] = []
        for models in self._alive:
            if not any(models.same_as(other) for other in kept):
                kept.append(models)
        self.is_open = self.is_open or len(kept) > _MOST
        self._alive = kept[:_MOST]


def _predict(models: Models, call: Call, asked: Sequence[Syscall]) -> ExactPrediction | None:
    model = models.of(call)
    return model.predict(call, asked) if model is not None else None


def _commute(run: _Run, calls: Sequence[Asked]) -> bool:
    """Whether the calls went to different arenas, or to none, so that any order of them leads to the same."""
    used: set[int] = set()
    for call, _asked in calls:
        prediction = run.said[call.n]
        arenas = prediction.arenas if prediction is not None else frozenset()
        if used & arenas or (prediction is not None and not prediction.is_certain):
            return False
        used |= arenas
    return True
