"""A student's folder: the handout, the question, which lab and which seed it is (lab.json), the sealed predictions."""

from __future__ import annotations

import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from observer.errors import BadLab, UsageError
from observer.files import Folder
from observer.labs.attempt import HEADER, header_of
from observer.labs.catalogue import find_lab
from observer.labs.judging import Answer
from observer.labs.lab import Lab
from observer.labs.new_folder import new_folder
from observer.labs.predictions import Sealed, fitting, seal

__all__ = ["Work", "open_work", "start"]

_ABOUT: Final = "lab.json"
_PREDICTIONS: Final = "predictions.json"
_LARGEST: Final = 1 << 16
_LONGEST_SEED: Final = 64
_Kind = TypeVar("_Kind", bound=msgspec.Struct)


class _About(msgspec.Struct, frozen=True):
    lab: str
    seed: str


@dataclass(frozen=True, slots=True)
class Work:
    """A student's work on *lab* in *folder*; `sealed` is None until predictions were made."""

    folder: Path
    lab: Lab
    seed: str
    sealed: Sealed | None

    @property
    def answers(self) -> dict[str, Answer]:
        """The predictions; raises BadLab if they were changed after they had been sealed."""
        if self.sealed is None:
            return {}
        if not self.sealed.is_whole(self.lab.name, self.seed):
            why = "they are not what was sealed"
            raise BadLab(f"the predictions in {self.folder / _PREDICTIONS} were changed", why, "start the lab again")
        return fitting(self.lab.questions, self.sealed.answers)

    def keep(self, answers: dict[str, Answer]) -> None:
        """Seal *answers*; raises BadLab if there are sealed ones already."""
        if self.sealed is not None:
            raise BadLab("the predictions are sealed already", "they are made once, before anything is observed")
        _write(self.folder, _PREDICTIONS, seal(self.lab.name, self.seed, answers))


def start(word: str, folder: Path | None, seed: str | None) -> Work:
    """Make the *folder* (default: the lab's name) for a student's work on the lab that *word* names.

    Raises:
        UsageError: there is no such lab, or the seed is none.
        BadLab: the folder exists, or cannot be written.
    """
    lab = find_lab(word)
    seed = seed if seed is not None else secrets.token_hex(4)
    if len(seed) > _LONGEST_SEED or not seed.isprintable() or not seed:
        raise UsageError("the seed must be a word", f"of at most {_LONGEST_SEED} letters", "a student's number")
    folder = folder if folder is not None else Path(lab.name)
    with new_folder(folder, "another folder: lab start NAME DIR"):
        for path in sorted((lab.folder / "handout").iterdir()):
            shutil.copyfile(path, folder / path.name)
        for language in ("en", "ko"):
            question = lab.question(language)
            shutil.copyfile(question, folder / question.name)
        (folder / HEADER).write_text(header_of(lab.values(seed)))
        _write(folder, _ABOUT, _About(str(lab.folder) if "/" in word else lab.name, seed))
    return Work(folder, lab, seed, None)


def open_work(folder: Path) -> Work:
    """Return the work in *folder*; raises BadLab where `lab start` has made none."""
    try:
        opened = Folder.open(folder)
    except OSError as error:
        raise BadLab(f"cannot open {folder}", error.strerror or "", "observer lab start NAME makes one") from error
    about = _read(opened, _ABOUT, _About)
    if about is None:
        raise BadLab(f"{folder} is no student's folder", f"it has no {_ABOUT}", "observer lab start NAME makes one")
    return Work(folder, find_lab(about.lab), about.seed, _read(opened, _PREDICTIONS, Sealed))


def _read(folder: Folder, name: str, kind: type[_Kind]) -> _Kind | None:
    try:
        return msgspec.json.decode(folder.read(name, _LARGEST), type=kind)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadLab(f"cannot read {folder.path / name}", error.strerror or "") from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadLab(f"{folder.path / name} is damaged", str(error), "start the lab again") from error


def _write(folder: Path, name: str, value: msgspec.Struct) -> None:
    try:
        Folder.open(folder).replace(name, msgspec.json.format(msgspec.json.encode(value)) + b"\n")
    except OSError as error:
        raise BadLab(f"cannot write {folder / name}", error.strerror or "") from error
