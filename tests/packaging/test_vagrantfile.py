"""The Vagrantfile is valid for the Vagrant that is installed, and its settings follow the environment."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, needs

OWN_BOX = {
    "OBSERVER_BOX": "course/debian-12",
    "OBSERVER_BOX_URL": "https://example.org/debian-12.json",
    "OBSERVER_BOX_CHECKSUM": "0" * 64,
}


def environment(home: Path, given: dict[str, str]) -> dict[str, str]:
    """Return the environment without our own variables, but those given, and with a home that Vagrant may write to."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OBSERVER_", "VAGRANT_"))}
    return {**kept, "HOME": str(home), "VAGRANT_HOME": str(home / ".vagrant.d"), **given}


def settings(home: Path, vagrant: str = "new", file: Path = ROOT / "Vagrantfile", **given: str) -> dict[str, Any]:
    """Return what the Vagrantfile sets, for an old or a new Vagrant."""
    done = subprocess.run(
        ["ruby", str(Path(__file__).with_name("settings.rb")), str(file), vagrant],
        env=environment(home, given),
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@needs("vagrant")
@pytest.mark.parametrize(
    "given", [{}, OWN_BOX, {"OBSERVER_BOX_ARCHITECTURE": "arm64"}], ids=["default", "own box", "arm64"]
)
def test_vagrant_finds_it_valid(tmp_path: Path, given: dict[str, str]) -> None:
    done = validate(tmp_path, given, "--ignore-provider")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "validated successfully" in done.stdout


@needs("vagrant")
def test_vagrant_finds_it_valid_for_its_provider(tmp_path: Path) -> None:
    done = validate(tmp_path, {})
    if "No usable default provider" in done.stderr:
        pytest.skip("Vagrant has no provider here")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Ignoring provider" not in done.stdout


def validate(folder: Path, given: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    """Let Vagrant judge a copy of the Vagrantfile, with nothing built beside it."""
    shutil.copy(ROOT / "Vagrantfile", folder)
    (folder / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "box", folder / "scripts")
    return subprocess.run(
        ["vagrant", "validate", *options],
        cwd=folder,
        env=environment(folder, given),
        capture_output=True,
        text=True,
    )


@needs("ruby")
def test_the_box_comes_from_the_catalogue_beside_it(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Vagrantfile", tmp_path)
    found = settings(tmp_path, file=tmp_path / "Vagrantfile")
    catalogue = tmp_path / "build" / "box" / "box.json"
    assert found["box"] == "malloc-observer/debian-12"
    assert found["box_url"] == catalogue.as_uri()
    assert found["before"] == "up"
    assert found["before.run"] == {"path": str(tmp_path / "scripts" / "box")}
    assert not {"box_version", "box_download_checksum"} & set(found)
    catalogue.parent.mkdir(parents=True)
    catalogue.touch()
    assert "before" not in settings(tmp_path, file=tmp_path / "Vagrantfile")


@needs("ruby")
def test_an_own_box_is_for_every_provider(tmp_path: Path) -> None:
    found = settings(tmp_path, **OWN_BOX)
    assert found["box"] == OWN_BOX["OBSERVER_BOX"]
    assert found["box_url"] == OWN_BOX["OBSERVER_BOX_URL"]
    assert found["box_download_checksum"] == OWN_BOX["OBSERVER_BOX_CHECKSUM"]
    assert found["box_download_checksum_type"] == "sha256"
    assert "before" not in found


@needs("ruby")
def test_the_checksum_type_can_be_named(tmp_path: Path) -> None:
    found = settings(tmp_path, **OWN_BOX, OBSERVER_BOX_CHECKSUM_TYPE="sha512")
    assert found["box_download_checksum_type"] == "sha512"


@needs("ruby")
def test_a_url_alone_gets_a_name_of_its_own(tmp_path: Path) -> None:
    found = settings(tmp_path, OBSERVER_BOX_URL="file:///srv/boxes/lab.box")
    assert found["box"] == "malloc-observer"
    assert "before" not in found


@needs("ruby")
def test_an_empty_variable_is_none(tmp_path: Path) -> None:
    assert settings(tmp_path, OBSERVER_BOX="", OBSERVER_BOX_URL="") == settings(tmp_path)


@needs("ruby")
def test_an_old_vagrant_is_not_asked_for_an_architecture(tmp_path: Path) -> None:
    assert settings(tmp_path, OBSERVER_BOX_ARCHITECTURE="arm64")["box_architecture"] == "arm64"
    assert "box_architecture" not in settings(tmp_path, "old", OBSERVER_BOX_ARCHITECTURE="arm64")


@needs("ruby")
@pytest.mark.parametrize("provider", ["virtualbox", "libvirt", "vmware_desktop", "parallels"])
def test_two_processors_and_two_gibibytes(tmp_path: Path, provider: str) -> None:
    found = settings(tmp_path)
    assert (found[f"{provider}.cpus"], found[f"{provider}.memory"]) == (2, 2048)


@needs("ruby")
def test_the_checkout_is_copied_and_the_script_exists(tmp_path: Path) -> None:
    found = settings(tmp_path)
    here, there, how = found["synced_folder"]
    assert (here, there, how["type"]) == (".", "/vagrant", "rsync")
    script = found["provision"][1]["inline"].split()[-1]
    assert (ROOT / Path(script).relative_to(there)).is_file()
