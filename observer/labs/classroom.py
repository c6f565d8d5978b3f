"""All hand-ins of a class: what was graded before taken from the results, the rest graded, twins named.

Results are kept in a folder, one document a hand-in, as soon as each is known: what is cut off goes on where it was.
"""

from __future__ import annotations

import errno
import hashlib
import os
import platform
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from observer import __version__
from observer.errors import BadLab, ObserverError, UsageError
from observer.files import Folder, real_path
from observer.labs.catalogue import folder_of_labs
from observer.labs.fleet import Task, Wish
from observer.labs.grading import OURS, SUSPECT, Document, failed
from observer.labs.handin import SUFFIX, content_of, parse_hand_in
from observer.recording.text import to_json

__all__ = ["Fleet", "Results", "files_of", "grade_class"]

_LARGEST: Final = 1 << 24
_PERF_SETTING: Final = Path("/proc/sys/kernel/perf_event_paranoid")
Fleet = Callable[[Iterable[Task]], Iterator[tuple[int, Document]]]


def files_of(paths: Iterable[Path]) -> list[Path]:
    """Return the hand-in files that *paths* name, each once: files, and of folders those that end in SUFFIX, sorted.

    Raises:
        UsageError: there is none.
    """
    found: list[Path] = []
    for path in paths:
        inside = sorted(path.glob(f"*{SUFFIX}")) if os.path.isdir(path) else [path]
        if not inside:
            raise UsageError(f"there is nothing to grade in {path}", f"no file in it ends in {SUFFIX}")
        found += inside
    once: dict[Path, Path] = {}
    for path in found:
        once.setdefault(real_path(path), path)
    return list(once.values())


class Results:
    """The folder of what was graded: a document by the hash of what it depends on.

    That is the hand-in, what it is graded *by* (labs, box, the one lab), this version, the kernel, the C library, and
    what the kernel lets whoever grades see (kernel.perf_event_paranoid; a filter that refuses perf is not noticed).
    What was our failure is not kept.
    """

    def __init__(self, path: Path, by: Wish) -> None:
        try:
            path.mkdir(exist_ok=True)
            self._folder = Folder.open(path)
        except OSError as error:
            raise ObserverError(f"cannot write {path}", error.strerror or str(error), "another folder") from error
        self._circumstances = to_json(
            [
                __version__,
                platform.release(),
                platform.libc_ver(),
                _digest_of(folder_of_labs(by.labs)),
                by.box.value,
                by.only,
                os.geteuid() == 0,
                _perf_setting(),
            ]
        )

    def key(self, content: bytes) -> str:
        """Return by which name the document of a hand-in is kept."""
        return f"{hashlib.sha256(self._circumstances + content).hexdigest()[:32]}.json"

    def known(self, key: str) -> Document | None:
        """Return the document that is kept, None if there is none."""
        try:
            return msgspec.json.decode(self._folder.read(key, _LARGEST), type=Document)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return None  # it is graded (again)

    def keep(self, key: str, document: Document) -> None:
        """Keep *document*; raises ObserverError where it cannot be written."""
        if document.verdict != OURS:
            self.write(key, msgspec.json.format(to_json(document)) + b"\n")

    def write(self, name: str, content: bytes) -> None:
        """Write a file of the folder, whole or not at all."""
        try:
            self._folder.replace(name, content)
        except OSError as error:
            raise ObserverError(f"cannot write {self._folder.path / name}", error.strerror or str(error)) from error


def _perf_setting() -> str:
    with suppress(OSError):
        return _PERF_SETTING.read_text().strip()
    return ""  # a kernel without perf


def _digest_of(labs: Path) -> str:
    """Return the hash of all that the labs in a folder are made of."""
    whole = hashlib.sha256()
    for lab in sorted(path.parent for path in labs.glob("*/lab.toml")):
        for path in sorted(path for path in lab.rglob("*") if path.is_file()):
            whole.update(f"{path.relative_to(labs)}\0{path.stat().st_size}\0".encode(errors="surrogateescape"))
            whole.update(path.read_bytes())
    return whole.hexdigest()


def grade_class(files: Sequence[Path], fleet: Fleet, results: Results | None) -> Iterator[Document]:
    """Yield the document of each of *files* in their order, as soon as those before it are known, too.

    *fleet* does the grading; what *results* knows is not graded again.
    """
    graded = _Class(files, results)
    for number, document in fleet(graded.tasks()):
        graded.take(number, document)
        yield from graded.following()
    yield from graded.following()


class _Class:
    """The documents of a class so far, by the numbers of their files."""

    def __init__(self, files: Sequence[Path], results: Results | None) -> None:
        self._files = files
        self._results = results
        self._documents: dict[int, Document] = {}
        self._keys: dict[int, str] = {}
        self._next = 0
        self._holders = self._recordings()

    def _recordings(self) -> dict[int, list[int]]:
        """Return, by the number of a file, those that hold the same recording."""
        found: defaultdict[str, list[int]] = defaultdict(list)
        for number, path in enumerate(self._files):
            with suppress(BadLab, OSError):  # its document will say so
                given = parse_hand_in(path.name, content_of(path))
                if given.recording is not None and given.recording.digest:
                    found[given.recording.digest].append(number)
        return {number: numbers for numbers in found.values() for number in numbers}

    def tasks(self) -> Iterator[Task]:
        """Yield what must be graded."""
        for number, path in enumerate(self._files):
            try:
                content = content_of(path)
            except OSError as error:
                verdict = "RE" if error.errno == errno.EINVAL else OURS
                self._documents[number] = failed(path.name, verdict, f"cannot read it: {error.strerror}")
                continue
            before = None
            if self._results is not None:
                self._keys[number] = key = self._results.key(content)
                before = self._results.known(key)
            if before is None:
                yield Task(number, path.name, content)
            else:
                self._documents[number] = msgspec.structs.replace(before, file=path.name)

    def take(self, number: int, document: Document) -> None:
        """Take in what was graded."""
        if self._results is not None:
            self._results.keep(self._keys[number], document)
        self._documents[number] = document

    def following(self) -> Iterator[Document]:
        """Yield the documents that come next."""
        while (document := self._documents.pop(self._next, None)) is not None:
            twins = [self._files[other].name for other in self._holders.get(self._next, []) if other != self._next]
            yield _named(document, twins)
            self._next += 1


def _named(document: Document, twins: Sequence[str]) -> Document:
    """Return *document* as that of a hand-in whose recording those of *twins* hold, too."""
    if not twins or document.verdict == OURS:
        return document
    why = f"the same recording as in {', '.join(twins)}"
    return msgspec.structs.replace(document, verdict=SUSPECT, why="; ".join(filter(None, (why, document.why))))
