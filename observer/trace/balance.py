"""The ledger of a run: identities that hold if nothing was missed, each against an independent source."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import numpy as np

from observer.model.addresses import AddressSpace, Mapping, page_up
from observer.model.ledger import Exclusion, LedgerLine, balance, unverifiable
from observer.trace.assembly import Assembly
from observer.trace.cut_off import cut_off_lines
from observer.trace.spooled import Spooled

__all__ = ["Evidence", "balance_all"]

_PRESENT: Final = np.uint64(63)
_EXEC_CALLS: Final = frozenset({59, 322})
_HIDDEN: Final = "taken in kernel mode: not visible without CAP_PERFMON or perf_event_paranoid <= 1"


class Evidence:
    """All that the ledger looks at. `totals` is None when the observer was killed before it could count."""

    def __init__(
        self,
        spooled: Spooled,
        assembly: Assembly,
        totals: dict[str, int] | None,
        *,
        instruments: frozenset[str],
        sees_kernel_faults: bool,
        replayable: bool,
        lost: dict[str, int],
        not_observed: dict[str, str],
        thp: str,
    ) -> None:
        self.spooled = spooled
        self.assembly = assembly
        self.totals = totals
        self.instruments = instruments
        self.sees_kernel_faults = sees_kernel_faults
        self.replayable = replayable
        self.lost = lost
        self.not_observed = not_observed
        self.thp = thp
        self.exiting = [note for note in spooled.notes if note["what"] == "exiting"]
        self.born = [note for note in spooled.notes if note["what"] == "born"]
        self.gone = [note for note in spooled.notes if note["what"] == "gone"]
        self.execs = [note for note in spooled.notes if note["what"] == "exec"]

    def unread_tasks(self) -> str:
        """Say how many tasks were killed past their exit stop, where their counters are read; empty if none."""
        missing = 1 + len(self.born) - len({note["tid"] for note in self.exiting})
        return f"{missing} tasks ended without a last reading of their counters" if missing > 0 else ""

    def lost_faults(self) -> int:
        """Fault samples that did not fit into a ring."""
        return (self.totals or {}).get("faults_lost", 0)

    def after_last_reading(self) -> int:
        """Faults that a task took between its exit stop, where its counters were read, and its end."""
        faults = self.spooled.faults
        last: dict[int, int] = {}
        for note in self.exiting:
            last[note["tid"]] = max(last.get(note["tid"], 0), note["t"])
        return sum(
            int(((faults["tid"] == tid) & (faults["time"] > time)).sum()) for tid, time in last.items() if len(faults)
        )


def balance_all(evidence: Evidence) -> tuple[LedgerLine, ...]:
    """Return all lines of the ledger."""
    if evidence.totals is None:
        return cut_off_lines(evidence)
    lines: list[LedgerLine] = []
    lines += _fault_lines(evidence) if "faults" in evidence.instruments else []
    lines += _call_lines(evidence) if "calls" in evidence.instruments else []
    lines += _library_lines(evidence)
    lines.append(_syscall_line(evidence))
    lines += _space_lines(evidence)
    if {"faults", "residency"} <= evidence.instruments and "faults" not in evidence.not_observed:
        lines.append(_heap_page_line(evidence))
    lines.append(_task_line(evidence))
    lines.append(_own_pages_line(evidence))
    lines.append(_stored_line(evidence))
    return tuple(lines)


def _count(evidence: Evidence, name: str) -> int:
    return (evidence.totals or {}).get(name, 0)


# ---- page faults --------------------------------------------------------------------------------------------


def _fault_lines(evidence: Evidence) -> list[LedgerLine]:
    if "faults" in evidence.not_observed:
        return [
            _unplaced_line(evidence),
            unverifiable("fault samples = kernel's event count", evidence.not_observed["faults"]),
        ]
    seen = len(evidence.spooled.faults)
    lost = _count(evidence, "faults_lost")
    samples = balance("fault samples = kernel's event count", seen, _count(evidence, "faults_counted"), lost=lost)
    lines = [samples, _task_fault_line(evidence, seen, lost), _rusage_line(evidence)]
    if evidence.totals and "faults_with_failed" in evidence.totals:
        lines.append(_failed_line(evidence))
    return lines


def _task_fault_line(evidence: Evidence, seen: int, lost: int) -> LedgerLine:
    before = next((note["minor"] + note["major"] for note in evidence.execs if note["first"]), 0)
    expected = sum(note["minor"] + note["major"] for note in evidence.exiting) - before
    parts = _populated(evidence)
    late = evidence.after_last_reading()
    if late:
        parts.append(Exclusion(-late, "taken after the task's last reading"))
    if not evidence.sees_kernel_faults:
        hidden = expected - seen - lost - sum(part.count for part in parts)
        parts.append(Exclusion(max(hidden, 0), _HIDDEN))
    why = evidence.unread_tasks()
    return balance(
        "page faults = minflt + majflt of all tasks",
        seen,
        expected,
        lost=lost,
        excluded=tuple(parts),
        cannot_verify=why,
    )


def _unplaced_line(evidence: Evidence) -> LedgerLine:
    before = next((note["minor"] + note["major"] for note in evidence.execs if note["first"]), 0)
    expected = sum(note["minor"] + note["major"] for note in evidence.exiting) - before
    unplaced = Exclusion(_count(evidence, "faults_unplaced"), "counted between stops; on which page is not known")
    seen = len(evidence.spooled.faults)
    return balance("page faults = minflt + majflt of all tasks", seen, expected, excluded=(unplaced,))


def _populated(evidence: Evidence) -> list[Exclusion]:
    """Pages that system calls brought in by get_user_pages: counted by the kernel, never sampled."""
    faults = evidence.spooled.faults
    counts: Counter[str] = Counter()
    for note in evidence.assembly.populated:
        inside = (faults["tid"] == note["tid"]) & (faults["time"] >= note["t"]) & (faults["time"] <= note["end"])
        missing = note["faults"] - int(inside.sum())
        why = (
            "exec argument pages"
            if note["number"] in _EXEC_CALLS
            else "pages populated by mlock, MAP_POPULATE or the like"
        )
        counts[why] += missing
    return [Exclusion(count, why) for why, count in counts.items() if count]


def _rusage_line(evidence: Evidence) -> LedgerLine:
    seen = sum(note["minor"] + note["major"] for note in evidence.exiting)
    late = evidence.after_last_reading() if evidence.sees_kernel_faults else 0
    expected = _count(evidence, "rusage_faults")
    return balance(
        "tasks' counters = getrusage of the tree", seen, expected,
        excluded=(Exclusion(late, "taken after the task's last reading"),),
        cannot_verify=evidence.unread_tasks()
        or ("children that nobody waited for are not in getrusage" if expected < seen else ""),
    )  # fmt: skip


def _failed_line(evidence: Evidence) -> LedgerLine:
    # A fault on an address of the kernel's half is refused before it is counted (do_kern_addr_fault).
    signals = sum(row["exception"] == "#PF" and row["reason"] != "kernel address" for row in evidence.assembly.signals)
    expected = _count(evidence, "faults_with_failed") - _count(evidence, "faults_counted")
    return balance(
        "faults the kernel refused = SIGSEGV, SIGBUS", signals, expected,
        cannot_verify="bad pointers passed to system calls (EFAULT), or a signal sent without a fault",
    )  # fmt: skip


# ---- calls and system calls ---------------------------------------------------------------------------------


def _call_lines(evidence: Evidence) -> list[LedgerLine]:
    if "calls" in evidence.not_observed:
        return [unverifiable("allocator calls", evidence.not_observed["calls"])]
    excluded = (
        Exclusion(_count(evidence, "calls_left"), "left by a jump"),
        Exclusion(_count(evidence, "calls_unreturned"), "cut by exit, exec or a signal"),
    )
    begun = balance(
        "allocator calls returned = begun",
        _count(evidence, "calls_returned"),
        _count(evidence, "calls_begun"),
        excluded=excluded,
    )
    return [begun, _standing_line(evidence)]


def _standing_line(evidence: Evidence) -> LedgerLine:
    """A second witness for calls: what was planted is still there when an address space ends."""
    again = _count(evidence, "breakpoints_planted_again")
    note = f"{again} were overwritten or discarded, and planted again when that was seen" if again else ""
    moved = Exclusion(_count(evidence, "breakpoints_moved"), "moved elsewhere by the program, and seen there")
    seen, expected = _count(evidence, "breakpoints_standing"), _count(evidence, "breakpoints")
    lost = expected - seen - moved.count
    return balance("breakpoints standing at the end = planted", seen, expected, lost=lost, excluded=(moved,), note=note)


def _library_lines(evidence: Evidence) -> list[LedgerLine]:
    begun = _count(evidence, "library_begun")
    if not begun:
        return []
    excluded = (
        Exclusion(_count(evidence, "library_left"), "left by a jump"),
        Exclusion(_count(evidence, "library_unreturned"), "never return, or are seen at their entry only"),
    )
    returned = _count(evidence, "library_returned")
    return [balance("library calls returned = begun", returned, begun, excluded=excluded)]


def _syscall_line(evidence: Evidence) -> LedgerLine:
    return balance(
        "system calls left = entered", _count(evidence, "syscalls_left"), _count(evidence, "syscalls_entered"),
        excluded=(Exclusion(_count(evidence, "syscalls_cut"), "did not return (exit, exec, kill)"),),
    )  # fmt: skip


# ---- address space ------------------------------------------------------------------------------------------


def _space_lines(evidence: Evidence) -> list[LedgerLine]:
    names = ("break = last brk = end of [heap]", "mappings replayed = /proc/PID/maps")
    if not evidence.replayable:
        why = "only with all memory system calls (-e trace=memory) can the address space be replayed"
        return [unverifiable(name, why) for name in names]
    if evidence.lost.get("syscalls"):
        return [unverifiable(name, "system calls were lost, so the replay has gaps") for name in names]
    breaks = intervals = replayed = ended = 0
    extra = 0
    for end in evidence.assembly.ends:
        space = evidence.assembly.replayed[end.pid]
        ended += 1
        breaks += _same_break(space, end.mappings)
        real, model = set(AddressSpace(end.mappings).intervals()), set(space.intervals())
        intervals += len(real)
        replayed += len(real & model)
        extra += len(model - real) if not real - model else 0
    missing = sum(1 for note in evidence.gone if note["tid"] == note["pid"]) - ended
    vfork = sum(1 for note in evidence.born if note["shares"] and note["child_pid"] != note["pid"])
    note = f"{missing} processes ended before they could be read" if missing > vfork else ""
    why = "the program filters its own system calls" if _count(evidence, "own_filters") else ""
    return [
        balance(names[0], breaks, ended, cannot_verify=why, note=note),
        balance(names[1], replayed - extra, intervals, cannot_verify=why, note=note),
    ]


def _heap_page_line(evidence: Evidence) -> LedgerLine:
    """Pages of the heap that faults brought in, less those given back, against those that pagemap shows at the end."""
    name = "heap pages faulted in = resident at the end"
    if not evidence.replayable or evidence.lost.get("syscalls"):
        return unverifiable(name, "only with all memory system calls is it known which pages were given back")
    seen = sum(evidence.assembly.heap_pages.values())
    expected = sum(_resident_heap_pages(evidence, note) for note in evidence.spooled.notes if note["what"] == "end")
    populated = sum(note["faults"] for note in evidence.assembly.populated if note["number"] not in _EXEC_CALLS)
    why = "huge pages, pages populated by mlock or the like, or swapped out ones"
    if not evidence.sees_kernel_faults:
        why = "kernel-mode faults on the heap are not visible to this user"
    elif evidence.thp != "always" and not populated and not evidence.lost_faults():
        why = ""
    return balance(name, seen, expected, cannot_verify=why)


def _resident_heap_pages(evidence: Evidence, note: dict[str, Any]) -> int:
    heap = [(m["start"], m["end"]) for m in note["mappings"] if m["path"] == "[heap]"]
    present = 0
    for start, count, at in note["frames"]:
        if any(low <= start < high for low, high in heap):
            present += int((evidence.spooled.frames[at // 8 : at // 8 + count] >> _PRESENT).sum())
    return present


def _same_break(space: AddressSpace, mappings: tuple[Mapping, ...]) -> bool:
    heap = [mapping for mapping in mappings if mapping.path == "[heap]"]
    if not heap:
        return page_up(space.break_end) == page_up(space.break_start)
    return max(mapping.end for mapping in heap) == page_up(space.break_end)


# ---- tasks and the observer itself --------------------------------------------------------------------------


def _task_line(evidence: Evidence) -> LedgerLine:
    moved = sum(1 for note in evidence.execs if note["former"] != note["tid"])
    return balance(
        "tasks ended = tasks started", len(evidence.gone), 1 + len(evidence.born),
        excluded=(Exclusion(moved, "taken over by an exec from another thread"),),
    )  # fmt: skip


def _own_pages_line(evidence: Evidence) -> LedgerLine:
    name = "pages the observer brought in = 0"
    if _count(evidence, "pages_unknown"):
        return unverifiable(name, "needs kernel-mode fault counts of the observer (CAP_PERFMON)")
    planted = _count(evidence, "pages_by_planting")
    note = f"{planted} text pages became private by planting breakpoints" if planted else ""
    pushed = Exclusion(-_count(evidence, "pages_pushed"), "stack pages that an emulated push reached first")
    return balance(name, _count(evidence, "pages_by_observer"), 0, excluded=(pushed,), note=note)


def _stored_line(evidence: Evidence) -> LedgerLine:
    lost = sum(evidence.lost.values())
    stored = len(evidence.spooled.calls) + len(evidence.spooled.syscalls)
    note = ", ".join(f"{count} {kind} lost" for kind, count in evidence.lost.items() if count)
    expected = _count(evidence, "calls") + _count(evidence, "syscalls")
    return balance("records stored", stored, expected + lost, lost=lost, note=note)
