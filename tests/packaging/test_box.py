"""scripts/box makes boxes that Vagrant takes, out of an image of our own; cloud-init takes what it puts into them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.conftest import ROOT, needs

PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"
IMAGE = "debian-12-generic-amd64.qcow2"
SECTOR = 512
FIRST = 22528  # of the third partition
needs_tools = pytest.mark.skipif(
    not all(shutil.which(name, path=PATH) for name in ("qemu-img", "debugfs", "mke2fs", "sfdisk", "ssh-keygen")),
    reason="qemu-img, debugfs, mke2fs, sfdisk or ssh-keygen is not installed",
)


def command(*words: str, given: str | None = None) -> str:
    """Return what a command says."""
    environment = {**os.environ, "PATH": PATH}
    return subprocess.run(words, env=environment, input=given, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder like Debian's: an image whose third partition is the largest, and its checksum."""
    folder = tmp_path_factory.mktemp("source")
    disk = folder / "disk"
    disk.touch()
    os.truncate(disk, 64 << 20)
    command("sfdisk", "-q", str(disk), given="label: gpt\nsize=2M\nsize=8M, type=U\ntype=L\n")
    (folder / "tree" / "var" / "lib" / "cloud").mkdir(parents=True)
    command(
        "mke2fs", "-q", "-d", str(folder / "tree"), "-E", f"offset={FIRST * SECTOR}", "-t", "ext4", str(disk), "40M"
    )
    command("qemu-img", "convert", "-O", "qcow2", str(disk), str(folder / IMAGE))
    checksum = hashlib.sha512((folder / IMAGE).read_bytes()).hexdigest()
    (folder / "SHA512SUMS").write_text(f"{checksum}  {IMAGE}\n")
    return folder


def box(source: Path, target: Path, *words: str) -> subprocess.CompletedProcess[str]:
    script = [sys.executable, str(ROOT / "scripts" / "box"), "--architecture", "amd64"]
    return subprocess.run(
        [*script, "--source", source.as_uri(), "-o", str(target), *words], capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def made(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("boxes")
    done = box(source, target)
    assert done.returncode == 0, done.stderr
    return target


def unpacked(made: Path, provider: str, folder: Path) -> Path:
    with tarfile.open(made / f"{provider}-amd64.box") as archive:
        archive.extractall(folder, filter="data")
    return folder


def seed(image: Path, folder: Path) -> Path:
    """Return the user data in the file system of a box's image."""
    command("qemu-img", "convert", "-O", "raw", str(image), str(folder / "raw"))
    found = command(
        "debugfs", "-R", "cat /var/lib/cloud/seed/nocloud/user-data", f"{folder / 'raw'}?offset={FIRST * SECTOR}"
    )
    (folder / "user-data").write_text(found)
    return folder / "user-data"


@needs_tools
def test_the_catalogue_names_a_box_a_provider(made: Path) -> None:
    (version,) = json.loads((made / "box.json").read_text())["versions"]
    assert [item["name"] for item in version["providers"]] == ["libvirt", "virtualbox"]
    for item in version["providers"]:
        path = made / f"{item['name']}-amd64.box"
        assert item["url"] == path.as_uri()
        assert item["checksum"] == hashlib.sha256(path.read_bytes()).hexdigest()


@needs_tools
@needs("cloud-init")
@pytest.mark.parametrize(("provider", "image"), [("libvirt", "box.img"), ("virtualbox", "box.vmdk")])
def test_the_box_lets_its_key_in(made: Path, provider: str, image: str, tmp_path: Path) -> None:
    folder = unpacked(made, provider, tmp_path)
    data = seed(folder / image, tmp_path)
    said = command("cloud-init", "schema", "--config-file", str(data))
    assert "Valid" in said
    key = command("ssh-keygen", "-y", "-f", str(folder / "vagrant_private_key")).split()[1]
    assert key in data.read_text()
    assert json.loads((folder / "metadata.json").read_text())["provider"] == provider


@needs_tools
@pytest.mark.parametrize("provider", ["libvirt", "virtualbox"])
def test_the_disk_has_room(made: Path, provider: str, tmp_path: Path) -> None:
    folder = unpacked(made, provider, tmp_path)
    (image,) = [path for path in folder.iterdir() if path.suffix in (".img", ".vmdk")]
    said: dict[str, Any] = json.loads(command("qemu-img", "info", "--output=json", str(image)))
    assert said["virtual-size"] == 20 << 30


@needs_tools
def test_virtualbox_is_told_of_the_disk(made: Path, tmp_path: Path) -> None:
    folder = unpacked(made, "virtualbox", tmp_path)
    tree = ElementTree.parse(folder / "box.ovf")
    ovf = "{http://schemas.dmtf.org/ovf/envelope/1}"
    (file,) = tree.iter(f"{ovf}File")
    (disk,) = tree.iter(f"{ovf}Disk")
    assert int(file.attrib[f"{ovf}size"]) == (folder / file.attrib[f"{ovf}href"]).stat().st_size
    assert disk.attrib[f"{ovf}fileRef"] == file.attrib[f"{ovf}id"]
    resource = "{http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData}"
    assert f"/disk/{disk.attrib[f'{ovf}diskId']}" in [item.text for item in tree.iter(f"{resource}HostResource")]


@needs_tools
@needs("vagrant")
@pytest.mark.parametrize("provider", ["libvirt", "virtualbox"])
def test_vagrant_takes_it(made: Path, provider: str, tmp_path: Path) -> None:
    done = subprocess.run(
        ["vagrant", "box", "add", str(made / "box.json"), "--provider", provider],
        env={**os.environ, "HOME": str(tmp_path), "VAGRANT_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"for '{provider}'" in done.stdout


@needs_tools
def test_an_image_that_is_there_is_not_fetched_again(source: Path, made: Path) -> None:
    done = box(source, made, "--provider", "libvirt")
    assert done.returncode == 0
    assert "fetching" not in done.stderr


@needs_tools
def test_an_image_that_is_not_what_it_should_be_is_refused(source: Path, tmp_path: Path) -> None:
    shutil.copy(source / IMAGE, tmp_path)
    (tmp_path / "SHA512SUMS").write_text(f"{'0' * 128}  {IMAGE}\n")
    done = box(tmp_path, tmp_path / "out")
    assert done.returncode == 1
    assert "SHA512SUMS" in done.stderr.splitlines()[-1]
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("missing", ["SHA512SUMS", IMAGE])
def test_a_source_that_lacks_something_is_said_in_a_line(missing: str, tmp_path: Path) -> None:
    for name in {"SHA512SUMS", IMAGE} - {missing}:
        (tmp_path / name).write_text("")
    done = box(tmp_path, tmp_path / "out")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "--source names another" in done.stderr.splitlines()[-1]
