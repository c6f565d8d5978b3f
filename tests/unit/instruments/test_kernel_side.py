"""Why the kernel's side cannot be seen, and which system calls are asked for."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from observer.errors import CannotObserve
from observer.files import Folder
from observer.instruments import kernel_side
from observer.instruments.kernel_side import KernelSide, refusal


@pytest.mark.parametrize(
    ("error", "why", "remedy"),
    [
        (OSError(errno.ENODEV, "x", "/sys"), "tracefs is not mounted", "mount -t tracefs tracefs /sys/kernel/tracing"),
        (
            FileNotFoundError(errno.ENOENT, "x", "/sys/kernel/tracing/events/exceptions/page_fault_user/format"),
            "this kernel has no tracepoint exceptions:page_fault_user", "CONFIG_FTRACE",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "/sys/kernel/tracing/events"), "tracefs: Permission", "-e kernel|container"),
        (OSError(errno.EACCES, "Permission denied"), "perf_event_open: Permission denied", "-e kernel|container"),
        (RuntimeError("can't start new thread"), "no file or thread", "ulimit"),
    ],
)  # fmt: skip
def test_a_refusal_has_its_reason_and_what_to_try(error: OSError | RuntimeError, why: str, remedy: str) -> None:
    told = refusal(error)
    assert told.why.startswith(why)
    assert any(each in told.remedy for each in remedy.split("|"))


def test_a_kernel_that_is_locked_down_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_side, "_LOCKDOWN", tmp_path / "lockdown")
    (tmp_path / "lockdown").write_text("none integrity [confidentiality]\n")
    assert "locked down" in refusal(PermissionError(errno.EPERM, "Operation not permitted", "/sys")).why
    (tmp_path / "lockdown").write_text("none [integrity] confidentiality\n")
    assert "locked down" not in refusal(PermissionError(errno.EPERM, "Operation not permitted", "/sys")).why


def test_a_refused_start_is_said_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_side, "format_of", refuse)
    side = KernelSide(Folder.open(tmp_path), None)
    with pytest.raises(CannotObserve, match="cannot see the kernel's side"):
        side.start(1)
    assert (side.stop(), side.files, list(tmp_path.iterdir())) == ({}, [], [])


def refuse(_name: str) -> None:
    raise PermissionError(errno.EACCES, "Permission denied", "/sys/kernel/tracing/events")


def test_a_filter_names_the_recorded_system_calls() -> None:
    assert kernel_side._filter(frozenset({12, 9})) == "id == 9 || id == 12"
    assert kernel_side._filter(None) == ""
    assert kernel_side._filter(frozenset(range(1000))) == ""  # more than a filter may name


def test_without_system_calls_none_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_side, "format_of", lambda name: name)
    assert [name for name in kernel_side.formats() if "syscalls" in name] == [
        "raw_syscalls:sys_enter", "raw_syscalls:sys_exit",
    ]  # fmt: skip
    assert len(kernel_side.formats(syscalls=False)) == 3


def test_a_kernel_without_tracepoints_of_system_calls_gives_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(name: str) -> str:
        if name.startswith("raw_syscalls"):
            raise FileNotFoundError(errno.ENOENT, "x", "x")
        return name

    monkeypatch.setattr(kernel_side, "format_of", found)
    assert list(kernel_side.formats()) == [
        "exceptions:page_fault_user",
        "exceptions:page_fault_kernel",
        "kmem:mm_page_alloc",
    ]
