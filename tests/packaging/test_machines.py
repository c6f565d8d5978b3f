"""The other ways to a machine: cloud-init's file, Lima's, the dev container's. All call scripts/provision.sh."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, needs

CLOUD, LIMA = ROOT / "scripts" / "cloud-init.yaml", ROOT / "scripts" / "lima.yaml"


def read(path: Path) -> dict[str, Any]:
    yaml = pytest.importorskip("yaml")
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def scripts() -> dict[str, str]:
    """Return the shell scripts that stand in the files, by the file's name; what Lima fills in is filled in."""
    lima = read(LIMA)["provision"][0]["script"]
    filled = lima.replace("{{.Home}}", "/home/student").replace("{{.User}}", "student")
    return {"cloud-init": read(CLOUD)["write_files"][0]["content"], "lima": filled}


@needs("cloud-init")
def test_cloud_init_finds_it_valid() -> None:
    done = subprocess.run(["cloud-init", "schema", "--config-file", str(CLOUD)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_cloud_init_runs_what_it_writes() -> None:
    file = read(CLOUD)
    assert CLOUD.read_text().startswith("#cloud-config\n")
    assert file["runcmd"] == [[file["write_files"][0]["path"]]]
    assert file["write_files"][0]["permissions"] == "0755"


@pytest.mark.parametrize("name", ["cloud-init", "lima"])
def test_its_script_ends_with_provisioning(name: str) -> None:
    *_, last = scripts()[name].splitlines()
    assert last == 'exec bash "$checkout/scripts/provision.sh"'


@needs("shellcheck")
@pytest.mark.parametrize("name", ["cloud-init", "lima"])
def test_shellcheck_finds_nothing_in_its_script(name: str) -> None:
    done = subprocess.run(["shellcheck", "-"], input=scripts()[name], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_without_a_checkout_the_machine_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "blkid").write_text("#!/bin/sh\nexit 2\n")
    (tmp_path / "blkid").chmod(0o755)
    script = scripts()["cloud-init"].replace("checkout=/opt/malloc-observer", f"checkout={tmp_path}/none")
    done = subprocess.run(
        ["bash", "-c", script], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "a disk labelled OBSERVER" in done.stderr


@needs("git")
def test_the_checkout_may_come_from_a_repository(tmp_path: Path) -> None:
    (tmp_path / "blkid").write_text("#!/bin/sh\nexit 2\n")
    (tmp_path / "blkid").chmod(0o755)
    (tmp_path / "origin" / "scripts").mkdir(parents=True)
    (tmp_path / "origin" / "scripts" / "provision.sh").write_text("pwd >/dev/null; echo provisioned\n")
    for words in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "a"]):
        subprocess.run(["git", *words], cwd=tmp_path / "origin", check=True)
    script = scripts()["cloud-init"].replace("repository=''", f"repository={tmp_path}/origin")
    script = script.replace("checkout=/opt/malloc-observer", f"checkout={tmp_path}/checkout").replace(
        "id -un 1000", "id -un"
    )
    path = f"{tmp_path}:{Path(shutil.which('git') or '').parent}:/usr/bin:/bin"
    done = subprocess.run(
        ["bash", "-c", script], env={"PATH": path, "HOME": str(tmp_path)}, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "provisioned\n"), done.stderr


def test_lima_has_an_image_for_both_processors() -> None:
    file = read(LIMA)
    found = {image["arch"]: image["location"] for image in file["images"]}
    assert re.search(r"/latest/.*-amd64\.qcow2$", found["x86_64"])
    assert re.search(r"/latest/.*-arm64\.qcow2$", found["aarch64"])
    assert f"{file['mounts'][0]['mountPoint']}/scripts/provision.sh" in scripts()["lima"]


def test_the_dev_container_may_trace_and_is_provisioned() -> None:
    lines = (ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8").splitlines()
    file = json.loads("\n".join(line for line in lines if not line.lstrip().startswith("//")))
    assert "SYS_PTRACE" in file["capAdd"]
    assert file["securityOpt"] == ["seccomp=unconfined"]
    assert (ROOT / file["onCreateCommand"].split()[-1]).is_file()


@pytest.mark.parametrize(
    "path",
    [CLOUD, LIMA, ROOT / ".devcontainer" / "devcontainer.json", ROOT / "Vagrantfile"],
    ids=lambda path: path.name,
)
def test_what_was_not_tried_is_said(path: Path) -> None:
    assert "Not tried" in path.read_text(encoding="utf-8")
