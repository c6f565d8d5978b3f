"""`observer compare`: what contradicts itself is refused before anything is run."""

from __future__ import annotations

from pathlib import Path

import pytest

from observer.cli.main import main
from observer.runs import compared


@pytest.fixture(autouse=True)
def _nothing_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compared, "compared", lambda setting: pytest.fail("it was run"))


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["--libc", "2.36", "--", "true"], 2, "--libc is for --allocator glibc"),
        (["--allocator", "glibc", "--libc", "9.99", "--", "true"], 2, "glibc 9.99 is not known"),
        (["--allocator", "glibc", "--confirm", "--", "true"], 2, "--confirm is about departures from the book"),
        (["--"], 2, "nothing to compare"),
        ([], 2, "nothing to compare"),
        (["six_stepps"], 127, "cannot run 'six_stepps': no program, trace or workload has this name"),
    ],
)
def test_what_cannot_be_compared_is_said(
    words: list[str], status: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *words]) == status
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    "option", [["--allocator", "glibc"], ["--libc", "2.36"], ["--fit", "best"], ["--confirm"], ["--ask"], ["-o", "new"]]
)
@pytest.mark.parametrize("two", [("a", "a"), ("a", "--at", "1", "--at", "2")])
def test_what_would_have_no_effect_on_two_runs_or_moments_is_refused(
    two: tuple[str, ...], option: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "a").mkdir()
    (tmp_path / "a/meta.json").touch()
    monkeypatch.chdir(tmp_path)
    assert main(["compare", *two, *option]) == 2
    assert f"{' '.join(option) if option[0] == '--allocator' else option[0]} is about" in capsys.readouterr().err


def test_a_folder_without_a_trace_is_no_target(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(tmp_path)]) == 2
    assert "is a folder without a trace: it has no meta.json" in capsys.readouterr().err


def test_behind_a_trace_stand_options_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "meta.json").touch()
    assert main(["compare", str(tmp_path), "--allocator", "glibc", "--confirm"]) == 2
    assert "--confirm is about departures" in capsys.readouterr().err
    assert main(["compare", str(tmp_path), "-o", "new"]) == 2
    assert "-o keeps a trace that is recorded now" in capsys.readouterr().err
    assert main(["compare", str(tmp_path), "--by", "live"]) == 2
    assert "--by is about two runs" in capsys.readouterr().err
    assert main(["compare", str(tmp_path), "word"]) == 2
    assert "'word' stands behind" in capsys.readouterr().err
