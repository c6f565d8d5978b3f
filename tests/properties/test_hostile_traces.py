"""Traces that somebody has damaged or forged are told as far as they are whole, or refused in one line; nothing else.

Each case is drawn from its number, which a failure names. As many are tried as a few seconds allow.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import duckdb
import pytest

from observer.cli.main import main
from observer.instruments.names import all_families, all_names
from observer.instruments.session import Wish
from observer.model.selection import parse
from observer.runs.record import record_run

SECONDS: Final = 5
LEAST: Final = 3  # cases, however slow the machine
SAMPLES: Final = {"threads": "trace=memory", "crash": "trace=all,library", "fork_cow": "trace=memory"}
NUMBERS: Final = (0, 1, 7, -1, 1 << 31, 1 << 47, 1 << 62, (1 << 63) - 1, (1 << 64) - 1, 1 << 64)
VALUES: Final = (
    *NUMBERS, 1.5, "", "x", "\x1b[31m", "a" * 5000, None, True, [], {}, [0], [[1, 2]], [[0, 1 << 40, 3]], {"a": 1},
    "brk", "malloc", "/dev/zero", "[heap]", "map#0", "rw-",
)  # fmt: skip
TEXTS: Final = (
    "''", "'1-5'", "'9-9'", "repeat('a', 100000)", "chr(27) || '[31m'", "null", "'[heap]'", "'brk'", "'SIGSEGV'", "'#PF'",
)  # fmt: skip
OTHERS: Final = ("null", "1.5", "'x'", "true", "false", "[]", "[null]", "{'a': 1}", "1e30", "date '2000-01-01'")
COMMANDS: Final = (
    ("show",), ("show", "--map"), ("show", "--ledger"), ("show", "--steps"), ("show", "--all"),
    ("show", "--leaks"), ("show", "--peak"), ("show", "--lifetimes", "--json"), ("show", "--fragmentation"),
    ("show", "--kind", "call,fault,signal,syscall,process,library,lost"), ("export", "--to", "jsonl", "-o", os.devnull),
    ("export", "--to", "workload", "-o", os.devnull), ("simulate",), ("report", "-o", "-"),
)  # fmt: skip


def leave_unfinished() -> contextlib.AbstractContextManager[object]:
    raise KeyboardInterrupt


@pytest.fixture(scope="module")
def bases(sample: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """Return real traces: `finished`, and `spooled` ones whose spools are still to be made into tables."""
    folder = tmp_path_factory.mktemp("bases")
    made: dict[str, list[Path]] = {"finished": [], "spooled": []}
    for name, expression in SAMPLES.items():
        wish = Wish((sample(name),), dict(os.environ), parse(expression, all_names(), all_families()))
        made["finished"].append(folder / name)
        record_run(wish, folder / name)
        made["spooled"].append(folder / f"{name}-spooled")
        with pytest.raises(KeyboardInterrupt):
            record_run(wish, folder / f"{name}-spooled", while_finishing=leave_unfinished)
    return made


# ---- ways to damage ------------------------------------------------------------------------------------------


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The ways to all values inside *tree*."""
    children = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [place for key, value in children for place in ((*path, key), *places(value, (*path, key)))]


def mutate(tree: Any, rng: random.Random) -> None:
    """Change one value inside *tree*, remove it, or put it there twice."""
    found = places(tree)
    if not found:
        return
    *way, last = rng.choice(found)
    for key in way:
        tree = tree[key]
    old, draw = tree[last], rng.random()
    if draw < 0.15:
        del tree[last]
    elif draw < 0.25 and isinstance(tree, list):
        tree.insert(last, json.loads(json.dumps(old)))
    elif draw < 0.6 and type(old) is int:
        tree[last] = rng.choice((old + 1, old - 1, -old, old * 4096, *NUMBERS))
    else:
        tree[last] = json.loads(json.dumps(rng.choice(VALUES)))


def damage_meta(trace: Path, rng: random.Random) -> None:
    meta = json.loads((trace / "meta.json").read_text())
    for _ in range(rng.choice((1, 1, 2, 5))):
        mutate(meta, rng)
    (trace / "meta.json").write_text(json.dumps(meta))


def damage_notes(trace: Path, rng: random.Random) -> None:
    path = trace / "spool" / "notes.jsonl"
    lines = path.read_text().splitlines()
    for _ in range(rng.choice((1, 1, 2, 5))):
        i, j, draw = rng.randrange(len(lines)), rng.randrange(len(lines)), rng.random()
        if draw < 0.1:
            del lines[i]
        elif draw < 0.2:
            lines.insert(j, lines[i])
        elif draw < 0.3:
            lines[i], lines[j] = lines[j], lines[i]
        elif draw < 0.35:
            lines[i] = lines[i][: rng.randrange(len(lines[i]) + 1)]
        else:
            with contextlib.suppress(json.JSONDecodeError):
                note = json.loads(lines[i])
                mutate(note, rng)
                lines[i] = json.dumps(note)
    path.write_text("\n".join(lines) + "\n")


def damage_records(trace: Path, rng: random.Random) -> None:
    path = rng.choice([path for path in sorted((trace / "spool").iterdir()) if path.stat().st_size])
    raw = bytearray(path.read_bytes())
    for _ in range(rng.choice((1, 4, 30))):
        at, draw = rng.randrange(len(raw) + 1) & ~7, rng.random()
        if draw < 0.4:
            raw[at : at + 1] = bytes([rng.randrange(256)])
        elif draw < 0.7:
            raw[at : at + 8] = (rng.choice(NUMBERS) & (1 << 64) - 1).to_bytes(8, "little")
        elif draw < 0.8:
            del raw[at : at + rng.randrange(300)]
        else:
            raw[at : at + 64] = rng.choice((rng.randbytes(64), bytes(64)))
    path.write_bytes(raw)


def damage_tables(trace: Path, rng: random.Random) -> None:
    path = rng.choice(sorted(trace.glob("*.parquet")))
    if rng.random() < 0.3:
        raw = bytearray(path.read_bytes())
        for _ in range(rng.choice((1, 5, 20))):
            raw[rng.randrange(len(raw))] = rng.randrange(256)
        path.write_bytes(raw)
        return
    with duckdb.connect() as connection:
        columns = connection.execute("describe select * from read_parquet(?)", [str(path)]).fetchall()
        name, type_ = rng.choice(columns)[:2]
        fitting = TEXTS if type_ == "VARCHAR" else tuple(map(str, NUMBERS)) if type_.endswith("BIGINT") else OTHERS
        value = rng.choice(fitting if rng.random() < 0.8 else OTHERS)
        some = f'case when n % {rng.choice((1, 2, 50))} = 0 then {value} else "{name}" end'
        for replaced in (some, value):
            with contextlib.suppress(duckdb.Error):  # a value of another type cannot stand beside those that stay
                select = f"select * replace ({replaced} as \"{name}\") from '{path}'"
                connection.execute(f"copy ({select}) to '{path}.new' (format parquet)")
                os.replace(f"{path}.new", path)
                return


# ---- what comes of it ----------------------------------------------------------------------------------------


def tell(words: tuple[str, ...], trace: Path) -> tuple[int, str, str]:
    out, error = io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        status = main([words[0], str(trace), *words[1:]])
    out.seek(0)
    return status, out.read(), error.getvalue()


@pytest.mark.parametrize(
    ("kind", "damage"),
    [
        ("finished", damage_meta), ("finished", damage_tables), ("spooled", damage_notes), ("spooled", damage_records),
    ],
)  # fmt: skip
def test_a_damaged_trace_is_told_or_refused(
    kind: str, damage: Callable[[Path, random.Random], None], bases: dict[str, list[Path]], tmp_path: Path
) -> None:
    end, case = time.monotonic() + SECONDS, 0
    while case < LEAST or time.monotonic() < end:
        rng = random.Random(case)
        trace = tmp_path / str(case)
        shutil.copytree(rng.choice(bases[kind]), trace)
        damage(trace, rng)
        for words in rng.sample(COMMANDS, 2):
            status, out, error = tell(words, trace)
            told = f"case {case}: {words}"
            assert status in (0, 125), told
            assert bool(error) == (status == 125) or words[0] == "simulate", told
            assert "\x1b" not in out + error, told
        shutil.rmtree(trace)
        case += 1
