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

    What a vfork or a clone shares is looked up, because flags decide.
    """
    if how == "vfork":
        # vfork(2) and posix_spawn(3) share memory; clone with CLONE_VFORK alone does not.
        return Kinship(same_process=False, same_memory=shares_memory(tid, child) is not False)
    if how == "fork":
        return Kinship(same_process=False, same_memory=False)
    try:
        group = int(read_status_field(child, "Tgid"))
    except OSError:
        group = child  # killed already
    if group == pid:
        return Kinship(same_process=True, same_memory=True)
    return Kinship(same_process=False, same_memory=shares_memory(tid, child) is True)
