"""The one file that is handed in: sources, sealed predictions, lab, seed, machine. It is JSON and holds no trace.

Whoever grades builds and runs the sources again: nothing that a student's machine says of a run is believed.
"""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path
from typing import Final

import msgspec

from observer import __version__
from observer.errors import BadLab
from observer.files import open_regular
from observer.labs.attempt import sources_in
from observer.labs.predictions import Sealed
from observer.labs.work import Work

__all__ = ["SUFFIX", "HandIn", "hand_in", "read_hand_in"]

SUFFIX: Final = ".handin"
_SCHEMA: Final = "observer/hand-in/1"
_LARGEST: Final = 1 << 20


class HandIn(msgspec.Struct, frozen=True):
    """What a student hands in: sources by their names, predictions, and the hash (SHA-256) of each source."""

    schema: str
    lab: str
    seed: str
    sources: dict[str, str]
    hashes: dict[str, str]
    predictions: Sealed | None
    machine: dict[str, str] = {}


def hand_in(work: Work, to: Path) -> HandIn:
    """Write the hand-in file of *work* to the new file *to* and return what is in it.

    Raises:
        BadLab: a source is missing or is no text, it is too large, or the file is there or cannot be written.
    """
    names = work.lab.sources
    sources = {name: _text(work.folder / name, content) for name, content in sources_in(work.folder, names).items()}
    missing = [name for name in names if name not in sources]
    if missing:
        raise BadLab(f"{work.folder / missing[0]} is missing", "it is part of what is handed in")
    hashes = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in sources.items()}
    machine = {"kernel": platform.release(), "libc": " ".join(platform.libc_ver()), "observer": __version__}
    made = HandIn(_SCHEMA, work.lab.name, work.seed, sources, hashes, work.sealed, machine)
    content = msgspec.json.format(msgspec.json.encode(made)) + b"\n"
    if len(content) > _LARGEST:
        raise BadLab(f"the hand-in would have {len(content):,} bytes", f"more than {_LARGEST:,}")
    try:
        with to.open("xb") as file:
            file.write(content)
    except OSError as error:
        raise BadLab(f"cannot write {to}", error.strerror or "", "another name: -o FILE") from error
    return made


def _text(path: Path, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise BadLab(f"{path} is no text", str(error)) from error


def read_hand_in(path: Path) -> HandIn:
    """Return the hand-in in the file *path*, which may hold anything.

    Raises:
        OSError: the file cannot be read.
        BadLab: it is no hand-in.
    """
    with open_regular(path) as file:
        content = file.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise BadLab(f"{path.name} is no hand-in", f"it has more than {_LARGEST:,} bytes")
    try:
        found = msgspec.json.decode(content, type=HandIn)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadLab(f"{path.name} is no hand-in", str(error)) from error
    if found.schema != _SCHEMA:
        raise BadLab(f"{path.name} is no hand-in", f"its schema is {found.schema!r}")
    return found
