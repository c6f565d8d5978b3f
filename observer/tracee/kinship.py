"""How a new task is related to its maker: same process? same memory? (clone(2), kcmp(2))"""

from __future__ import annotations

from dataclasses import dataclass

from observer.linux.process import shares_memory
from observer.linux.procfs import read_status_field

__all__ = ["Kinship", "relation"]


@dataclass(frozen=True, slots=True)
class Kinship:
    """What a child shares with its parent."""

    same_process: bool
    same_memory: bool


def relation(pid: int, tid: int, child: int, how: str) -> Kinship:
    """Return what *child* shares with task *tid* of process *pid*; *how* is fork, vfork or clone.

    Flags decide what is shared, whatever the event is called: clone with CLONE_VM and SIGCHLD is reported as a fork,
    with CLONE_VFORK as a vfork, even a thread (kernel_clone in kernel/fork.c). Where kcmp(2) has no answer, *how* has.
    """
    shares = shares_memory(tid, child)
    if shares is False:
        return Kinship(same_process=False, same_memory=False)
    same_process = _process_of(child) == pid
    return Kinship(same_process, same_memory=bool(shares) or same_process or how == "vfork")


def _process_of(task: int) -> int:
    try:
        return int(read_status_field(task, "Tgid"))
    except OSError:
        return task  # killed already
