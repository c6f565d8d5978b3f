"""The Tab key completes verbs, options and choices, in a real bash."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import needs
from tests.recordings import environment_of_commands

ROOT = Path(__file__).resolve().parents[3]
ASK = """
cd "$1"
printf '#!/bin/sh\\nexec %s -m observer "$@"\\n' "$2" > observer; chmod +x observer; PATH=$1:$PATH
eval "$(observer completion bash)"
COMP_LINE=$3 COMP_POINT=${#3} COMP_TYPE=9
read -ra COMP_WORDS <<< "$3"
[[ $3 == *' ' ]] && COMP_WORDS+=('')
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_python_argcomplete observer
printf '%s\\n' "${COMPREPLY[@]}"
"""


def completed(line: str, folder: Path) -> set[str]:
    done = subprocess.run(
        ["bash", "-c", ASK, "bash", str(folder), sys.executable, line],
        capture_output=True, text=True, check=True, env=environment_of_commands(), timeout=60,
    )  # fmt: skip
    return {word.strip() for word in done.stdout.splitlines()}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("observer com", {"compare", "completion"}), ("observer show --led", {"--ledger"}),
        ("observer export --to per", {"perfetto"}), ("observer show --top res", {"resident"}),
    ],
)  # fmt: skip
def test_words_are_completed(line: str, words: set[str], tmp_path: Path) -> None:
    assert completed(line, tmp_path) == words


@needs("fish")
def test_fish_understands_its_code() -> None:
    code = subprocess.run(
        [sys.executable, "-m", "observer", "completion", "fish"], capture_output=True, check=True, cwd=ROOT
    )
    assert subprocess.run(["fish", "--no-execute"], input=code.stdout, check=False).returncode == 0


@needs("zsh")
def test_zsh_understands_its_code() -> None:
    code = subprocess.run(
        [sys.executable, "-m", "observer", "completion", "zsh"], capture_output=True, check=True, cwd=ROOT
    )
    assert subprocess.run(["zsh", "-n"], input=code.stdout, check=False).returncode == 0
