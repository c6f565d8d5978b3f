"""A lab packed for a grader's site: this package, the lab, what installs and what runs them."""

from __future__ import annotations

import errno
import os
import shutil
import tarfile
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, requires
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template
from typing import Final

import observer
from observer.errors import ObserverError
from observer.labs.lab import Lab
from observer.labs.new_folder import new_folder

__all__ = ["SITES", "make_package"]

_LEFT_OUT: Final = shutil.ignore_patterns("__pycache__", "*.so", "assignments", "c_samples", "packages")
_NOT_SHIPPED: Final = shutil.ignore_patterns("solution", "mistakes")


def make_package(lab: Lab, site: str, folder: Path) -> Path:
    """Make the new *folder* with what *site* needs to grade *lab*; return what is to be uploaded.

    Raises:
        BadLab: the folder exists or cannot be written.
        ObserverError: what this package needs is not known, for it was not installed.
    """
    with new_folder(folder, "another folder"):
        return SITES[site](lab, folder)


def _gradescope(lab: Lab, folder: Path) -> Path:
    _grader(lab, folder)
    source = files(__package__) / "packages" / "gradescope"
    _write(folder / "run_autograder", source / "run_autograder", lab).chmod(0o755)
    shutil.copyfile(str(source / "Dockerfile"), folder / "Dockerfile")
    packed = folder.with_name(f"{folder.name}.zip")
    if os.path.lexists(packed):
        raise FileExistsError(errno.EEXIST, f"{packed} exists")
    try:
        return Path(shutil.make_archive(str(folder), "zip", folder))
    except BaseException:
        packed.unlink(missing_ok=True)
        raise


def _autolab(lab: Lab, folder: Path) -> Path:
    source = files(__package__) / "packages" / "autolab"
    inside = folder / "autograde"
    inside.mkdir()
    _grader(lab, inside)
    _write(inside / "driver.sh", source / "driver.sh", lab).chmod(0o755)
    for name in ("setup.sh", "requirements.txt"):
        shutil.move(inside / name, folder / name)
    with tarfile.open(folder / "autograde.tar", "w") as tar:
        tar.add(inside, "autograde")
    shutil.rmtree(inside)
    shutil.copyfile(str(source / "Dockerfile"), folder / "Dockerfile")
    return _write(folder / "autograde-Makefile", source / "Makefile", lab)


SITES: Final[dict[str, Callable[[Lab, Path], Path]]] = {"autolab": _autolab, "gradescope": _gradescope}
"""By name, what packs a lab into an empty folder and returns what is to be uploaded."""


def _grader(lab: Lab, folder: Path) -> None:
    """Put into *folder* this package, what it needs, *lab* without its answers, and what installs them."""
    try:
        needed = [name for name in requires("malloc-observer") or [] if "extra ==" not in name]
    except PackageNotFoundError as error:
        raise ObserverError("what this package needs is not known", str(error), "pip install it") from error
    (folder / "requirements.txt").write_text("".join(f"{name}\n" for name in sorted(needed)))
    shutil.copytree(Path(observer.__file__).parent, folder / "package" / "observer", ignore=_LEFT_OUT)
    shutil.copytree(lab.folder, folder / "labs" / lab.name, ignore=_NOT_SHIPPED)
    shutil.copyfile(str(files(__package__) / "packages" / "setup.sh"), folder / "setup.sh")
    (folder / "setup.sh").chmod(0o755)


def _write(path: Path, source: Traversable, lab: Lab) -> Path:
    problems = "".join(f"#   {check.name}: {check.points}\n" for check in lab.checks)
    path.write_text(Template(source.read_text(encoding="utf-8")).substitute(lab=lab.name, problems=problems))
    return path
