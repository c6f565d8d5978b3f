"""scripts/places makes a table of what the doctor said on several machines."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

CAPABILITIES = [
    "trace a program", "allocator calls", "page faults in user mode", "page faults in kernel mode", "residency of pages",
    "page frame numbers", "the kernel's side (-e kernel)", "a second witness of it (-e bcc)",
]  # fmt: skip


def doctor(*missing: str) -> str:
    return json.dumps([{"capability": name, "works": name not in missing} for name in CAPABILITIES])


def machine(folder: Path, name: str, system: str, kernel: str, **said: str) -> Path:
    place = folder / name
    place.mkdir()
    processor = "aarch64" if kernel.endswith("arm64") else "x86_64"
    about = {"system": system, "kernel": kernel, "machine": processor, "processor": "QEMU"}
    (place / "machine.json").write_text(json.dumps(about))
    for who, document in said.items():
        (place / f"doctor-{who}.json").write_text(document)
    return place


def table(*places: Path) -> list[list[str]]:
    """Return the cells of the table's rows, without its head."""
    done = subprocess.run([sys.executable, ROOT / "scripts" / "places", *places], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in done.stdout.splitlines()[2:]]


def test_a_row_a_user(tmp_path: Path) -> None:
    place = machine(
        tmp_path, "a", "Debian GNU/Linux 12 (bookworm)", "6.1.0-57-cloud-amd64", root=doctor(),
        student=doctor("page faults in user mode", "page faults in kernel mode", *CAPABILITIES[-3:]),
    )  # fmt: skip
    student, root = table(place)
    assert student[0] == root[0] == "Debian 12, Linux 6.1, QEMU"
    assert student[2:] == ["yes", "yes", "placed by pages", "counted", "yes", "no", "no", "no"]
    assert root[1:] == ["root", *["yes"] * 8]


def test_places_where_the_same_is_seen_share_a_row(tmp_path: Path) -> None:
    first = machine(tmp_path, "a", "Debian GNU/Linux 12 (bookworm)", "5.10.0-46", root=doctor())
    second = machine(tmp_path, "b", "Debian GNU/Linux 13 (trixie)", "6.12.118", root=doctor())
    third = machine(tmp_path, "c", "Ubuntu 24.04 LTS", "6.8.0", root=doctor("trace a program"))
    rows = table(first, second, third)
    assert [row[0] for row in rows] == [
        "Debian 12, Linux 5.10, QEMU; Debian 13, Linux 6.12, QEMU",
        "Ubuntu 24.04 LTS, Linux 6.8, QEMU",
    ]
    assert rows[1][2] == "no"


def test_another_processor_is_named(tmp_path: Path) -> None:
    here = machine(tmp_path, "a", "Debian GNU/Linux 13 (trixie)", "6.12.118+deb13-cloud-amd64", root=doctor())
    there = machine(tmp_path, "b", "Debian GNU/Linux 13 (trixie)", "6.12.118+deb13-arm64", root=doctor())
    assert [row[0] for row in table(here, there)] == [
        "Debian 13, Linux 6.12, QEMU; Debian 13, Linux 6.12 on aarch64, QEMU"
    ]


def test_a_file_is_a_place_of_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "WSL 2.root.json").write_text(doctor())
    (tmp_path / "WSL 2.1.student.json").write_text(doctor("page frame numbers"))
    student, root = table(tmp_path / "WSL 2.root.json", tmp_path / "WSL 2.1.student.json")
    assert student == ["WSL 2.1", "ordinary user, as installed", *["yes"] * 5, "no", "yes", "yes"]
    assert root[:2] == ["WSL 2", "root"]


@pytest.mark.parametrize("name", ["WSL 2.json", "root.json", "WSL.teacher.json"])
def test_a_file_says_whose_it_is(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(doctor())
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "places", tmp_path / name], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "whose is it" in done.stderr


@pytest.mark.parametrize("text", ["", "[]", "{}", "3", '[{"works": true}]', "[[1]]"])
def test_what_no_doctor_said_is_an_error_in_a_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.root.json").write_text(text)
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "places", tmp_path / "x.root.json"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "x.root.json" in done.stderr


def test_the_columns_are_what_the_doctor_tries() -> None:
    words = [sys.executable, "-P", "-m", "observer", "doctor", "--json"]
    said = subprocess.run(words, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True).stdout
    assert set(CAPABILITIES) <= {item["capability"] for item in json.loads(said)}
