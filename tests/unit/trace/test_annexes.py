"""What the inline recorder put into programs is not told as theirs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from observer.recording.notes import Annexed, Born
from observer.trace.annexes import Annexes

SAMPLE = np.dtype([("pid", "<u4"), ("address", "<u8"), ("user_ip", "<u8"), ("ip", "<u8")])
KERNEL = 0xFFFF_FFFF_8000_0000
NOTE = Annexed(
    pid=7, t=5, start=0x10000, end=0x11000, places=((0x10100, 3, 0x5000), (0x10103, 5, 0x5003)), functions=(),
    memory=(0x40000, 0x50000),
)  # fmt: skip


def samples(*rows: tuple[int, int, int, int]) -> npt.NDArray[np.void]:
    return np.array(list(rows), dtype=SAMPLE)


def test_faults_in_memory_of_ours_are_left_out_and_counted() -> None:
    annexes = Annexes([NOTE])
    left = annexes.left_out(samples((7, 0x40000, 1, 1), (7, 0x10008, 1, 1), (7, 0x4FFF0, 1, 1), (7, 0x50000, 1, 1)))
    assert (left["address"].tolist(), annexes.own_faults) == ([0x50000], 3)


def test_other_processes_have_such_addresses_for_themselves() -> None:
    annexes = Annexes([NOTE])
    given = samples((8, 0x40000, 0x10101, 0x10101))
    assert annexes.left_out(given).tolist() == given.tolist()


def test_an_instruction_that_is_done_elsewhere_is_the_programs_own() -> None:
    left = Annexes([NOTE]).left_out(
        samples((7, 1, 0x10102, 0x10102), (7, 1, 0x10103, KERNEL), (7, 1, 0x10108, 0x10108))
    )
    assert left["user_ip"].tolist() == [0x5000, 0x5003, 0x10108]
    assert left["ip"].tolist() == [0x5000, KERNEL, 0x10108]


def test_a_forked_child_has_its_parents_and_a_thread_is_no_child() -> None:
    born = Born(pid=7, tid=7, t=9, how="fork", child=8, child_pid=8, shares=False)
    early = Born(pid=7, tid=7, t=3, how="fork", child=9, child_pid=9, shares=False)
    annexes = Annexes([born, NOTE, early])
    left = annexes.left_out(samples((8, 0x40000, 1, 1), (9, 0x40000, 1, 1)))
    assert (left["pid"].tolist(), annexes.own_faults) == ([9], 1)


def test_without_annexes_nothing_is_touched() -> None:
    given = samples((7, 0x40000, 1, 1))
    assert Annexes([]).left_out(given) is given
