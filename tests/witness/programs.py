"""The real programs and samples that witnesses look at, each as a command, with what it needs."""

from __future__ import annotations

import sys
from pathlib import Path
from shutil import which

SAMPLES = (
    "story", "brk_growth", "reuse", "first_touch", "untouched", "mmap_threshold", "calloc", "realloc", "trim", "small_blocks",
    "read_fresh", "fork_cow", "threads", "crash", "zero_page", "memset_line", "family", "longjmp", "exec_self", "stack_growth",
    "story-static", "threads-static", "family-static",
)  # fmt: skip
"""All samples with symbols but hammer, which has tests of its own."""

REAL = ("ls", "python3", "sqlite3", "gcc", "git", "sort")


def real_command(name: str, folder: Path) -> list[str]:
    """Return the command line of a real program on material made in *folder*."""
    python = which("python3", path="/usr/bin:/bin") or sys.executable
    if name == "ls":
        return ["ls", "-R", "/usr/share/doc/apt"]
    if name == "python3":
        return [
            "env",
            "PYTHONHASHSEED=0",
            python,
            "-S",
            "-c",
            "d = {str(i): [i] * 9 for i in range(3000)}; print(len(d))",
        ]
    if name == "sqlite3":
        script = folder / "script.sql"
        script.write_text(
            "create table t(a integer primary key, b text);\n"
            "with recursive n(i) as (select 1 union all select i + 1 from n where i < 3001)"
            " insert into t select i, hex(zeroblob(i % 97)) from n;\n"
            "create index x on t(b); select count(*), sum(length(b)) from t group by b order by 2 desc limit 5;\n"
        )
        return ["sqlite3", ":memory:", f".read {script}"]
    if name == "gcc":
        source = folder / "unit.c"
        source.write_text(
            '#include <stdio.h>\nint main(void) { for (int i = 0; i < 23; i++) printf("%d\\n", i); return 0; }\n'
        )
        return ["gcc", "-O1", "-c", str(source), "-o", str(folder / "unit.o")]
    if name == "git":
        return ["git", "-C", str(_repository(folder)), "log", "--stat"]
    lines = folder / "lines.txt"
    lines.write_text("".join(f"{(i * 7919) % 20011:08d} line\n" for i in range(20011)))
    return ["sort", "--parallel=2", "-S", "1M", str(lines)]


def _repository(folder: Path) -> Path:
    import subprocess

    place = folder / "repository"
    if not place.exists():
        place.mkdir()
        git = ["git", "-C", str(place), "-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run([*git, "init", "-q"], check=True)
        for i in range(7):
            (place / "file").write_text("".join(f"{i} {j}\n" for j in range(97)))
            subprocess.run([*git, "add", "."], check=True)
            subprocess.run([*git, "commit", "-q", "-m", f"change {i}"], check=True)
    return place
