"""The one file that is handed in, JSON: sources, sealed predictions, lab, seed, machine, a recording and its outcome.

Whoever grades builds and runs the sources again: nothing that a student's machine says of a run is believed. The seal
over the whole file shows that nobody touched it afterwards; against somebody who makes a new seal it proves nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from observer import __version__
from observer.errors import BadLab
from observer.files import open_regular
from observer.labs.attempt import sources_in
from observer.labs.predictions import Sealed
from observer.labs.work import Work

__all__ = ["LARGEST", "SUFFIX", "HandIn", "Recording", "content_of", "hand_in", "parse_hand_in", "sealed", "suspicions"]

SUFFIX: Final = ".handin"
LARGEST: Final = 8 << 20
"""The bytes that a hand-in has at most."""
_SCHEMA: Final = "observer/hand-in/2"
_LARGEST_RECORDING: Final = 4 << 20


class Recording(msgspec.Struct, frozen=True):
    """A run on the student's machine: the files of its trace (base64), and the status that it gave to each check."""

    files: dict[str, str]
    checks: dict[str, str]

    @property
    def digest(self) -> str:
        """What tells one recording from every other (SHA-256); empty where no file is there."""
        return _digest(sorted(self.files.items())) if self.files else ""


class HandIn(msgspec.Struct, frozen=True):
    """What a student hands in: sources by their names, predictions, and the hash (SHA-256) of each source."""

    schema: str
    lab: str
    seed: str
    sources: dict[str, str]
    hashes: dict[str, str]
    predictions: Sealed | None
    machine: dict[str, str] = {}
    recording: Recording | None = None
    seal: str = ""


def sealed(given: HandIn) -> HandIn:
    """Return *given* with the seal over all of it."""
    return msgspec.structs.replace(given, seal=_seal(given))


def _seal(given: HandIn) -> str:
    return _digest(msgspec.to_builtins(msgspec.structs.replace(given, seal="")))


def _digest(value: object) -> str:
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()


def hand_in(work: Work, to: Path, trace: Path | None = None, checks: Mapping[str, str] | None = None) -> HandIn:
    """Write the hand-in file of *work* to the new file *to* and return what is in it.

    *trace* is the folder of a run of its sources, *checks* the status of each check in that.

    Raises:
        BadLab: a source is missing or is no text, it is too large, or the file is there or cannot be written.
    """
    names = work.lab.sources
    sources = {name: _text(work.folder / name, content) for name, content in sources_in(work.folder, names).items()}
    missing = [name for name in names if name not in sources]
    if missing:
        raise BadLab(f"{work.folder / missing[0]} is missing", "it is part of what is handed in")
    hashes = {name: _hash(text) for name, text in sources.items()}
    machine = {"kernel": platform.release(), "libc": " ".join(platform.libc_ver()), "observer": __version__}
    recording = None if checks is None else Recording({} if trace is None else _files(trace), dict(checks))
    made = HandIn(_SCHEMA, work.lab.name, work.seed, sources, hashes, work.sealed, machine, recording)
    content = msgspec.json.format(msgspec.json.encode(sealed(made))) + b"\n"
    if len(content) > LARGEST:
        raise BadLab(f"the hand-in would have {len(content):,} bytes", f"more than {LARGEST:,}")
    try:
        with to.open("xb") as file:
            file.write(content)
    except OSError as error:
        raise BadLab(f"cannot write {to}", error.strerror or "", "remove it, or another name: -o FILE") from error
    return sealed(made)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def _files(trace: Path) -> dict[str, str]:
    """Return the files of *trace*; none where they are too large to be handed in."""
    paths = sorted(path for path in trace.iterdir() if path.is_file())
    if sum(path.stat().st_size for path in paths) > _LARGEST_RECORDING:
        return {}
    return {path.name: base64.b64encode(path.read_bytes()).decode() for path in paths}


def _text(path: Path, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise BadLab(f"{path} is no text", str(error)) from error


def content_of(path: Path) -> bytes:
    """Return what is in the file *path*, and at most one byte more than a hand-in may have; raises OSError."""
    with open_regular(path) as file:
        return file.read(LARGEST + 1)


def parse_hand_in(name: str, content: bytes) -> HandIn:
    """Return the hand-in that *content* is, which may be anything; raises BadLab where it is none."""
    if len(content) > LARGEST:
        raise BadLab(f"{name} is no hand-in", f"it has more than {LARGEST:,} bytes")
    try:
        found = msgspec.json.decode(content, type=HandIn)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadLab(f"{name} is no hand-in", str(error)) from error
    if found.schema != _SCHEMA:
        raise BadLab(f"{name} is no hand-in", f"its schema is {found.schema!r}")
    return found


def suspicions(given: HandIn) -> list[str]:
    """Return what in *given* is not as it was when it was made; nothing if nobody touched it."""
    found = [f"{name} is not the file that was hashed" for name in given.sources if _differs(given, name)]
    if given.predictions is not None and not given.predictions.is_whole(given.lab, given.seed):
        found.append("the predictions are not what was sealed")
    if given.recording is not None and not all(map(_is_base64, given.recording.files.values())):
        found.append("its recording is none")
    if not found and given.seal != _seal(given):
        found.append("it was changed after it had been made")
    return found


def _differs(given: HandIn, name: str) -> bool:
    return given.hashes.get(name) != _hash(given.sources[name])


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except binascii.Error:
        return False
    return True
