"""Cloud Foundry's part, played on this machine: what is uploaded, staged, started, watched and stopped.

Cloud Foundry documentation: "Considerations for Designing and Running an App" (what is uploaded), "App Manifest
Attribute Reference", "Environment Variables", "App Container Lifecycle" (health, ten seconds between SIGTERM and
SIGKILL). An instance gets a folder, a port and a memory limit of its own; its file system and network are shared.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sysconfig
import time
import venv
from collections.abc import Mapping
from importlib.metadata import Distribution, distribution
from pathlib import Path
from typing import Any

import yaml
from packaging.requirements import Requirement

from emulator.processes import answers, wait_until
from tests.journeys.memory import Memory
from tests.journeys.rehearsal import ROOT, free_port
from tests.tools import require

START_SECONDS = 60.0  # the platform's own limit, unless the manifest says otherwise
STOP_SECONDS = 10.0
MIB = {"M": 1, "G": 1024}
# What the command line client leaves out by itself (cf CLI, cfignore defaults).
NEVER_UPLOADED = {".cfignore", ".git", ".gitignore", ".hg", ".svn", "_darcs", ".DS_Store", "manifest.yml"}


def manifest(name: str = "manifest.yml") -> dict[str, Any]:
    """The only application of a manifest."""
    (application,) = yaml.safe_load((ROOT / name).read_text())["applications"]
    return dict(application)


def upload(source: Path, target: Path) -> None:
    """Copy what `cf push` would. Git reads the patterns, which are gitignore's; its index is an empty one."""
    git = require("git", "git")
    index = target.with_name(target.name + ".git")
    subprocess.run([git, "init", "--quiet", "--bare", str(index)], check=True)
    listed = [git, f"--git-dir={index}", f"--work-tree={source}", "ls-files", "-z", "--others"]
    listed += [f"--exclude-from={source / '.cfignore'}"]
    names = subprocess.run(listed, cwd=source, check=True, capture_output=True, text=True).stdout.split("\0")
    for name in filter(None, names):
        if NEVER_UPLOADED.isdisjoint(Path(name).parts):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, target / name)


def stage(folder: Path, requirements: Path) -> Path:
    """A Python with what the requirements bring and nothing else; returns the folder of its commands.

    As the buildpack would make it, only quicker: the packages are those of this test run, by link.
    """
    venv.create(folder, symlinks=True, with_pip=False)
    scheme = {"base": str(folder), "platbase": str(folder)}
    site = Path(sysconfig.get_path("purelib", "venv", scheme))
    for found in closure(requirements):
        for top in {file.parts[0] for file in found.files or () if ".." not in file.parts}:
            if top != "__pycache__" and not (site / top).exists():
                (site / top).symlink_to(Path(str(found.locate_file(top))))
    return folder / "bin"


def closure(requirements: Path) -> list[Distribution]:
    """The distributions that the requirements name, and what these require in turn."""
    lines = [line.partition("#")[0].strip() for line in requirements.read_text().splitlines()]
    waiting = [(Requirement(line), "") for line in lines if line]
    found: dict[tuple[str, str], Distribution] = {}
    while waiting:
        wanted, asking = waiting.pop()
        if wanted.marker and not wanted.marker.evaluate({"extra": asking}):
            continue
        for extra in {"", *wanted.extras}:
            if (name := (wanted.name.lower(), extra)) not in found:
                found[name] = distribution(wanted.name)
                waiting += [(Requirement(line), extra) for line in found[name].requires or ()]
    return list(found.values())


class Instance:
    """One container of a process type."""

    def __init__(self, app: App, process: Mapping[str, Any], index: int, folder: Path) -> None:
        self.process, self.port = process, free_port()
        self._folder, self._started = folder, time.monotonic()
        shutil.copytree(app.uploaded, folder / "app")
        (folder / "tmp").mkdir()
        limit = mebibytes(process["memory"])
        self._log = (folder / "log").open("w")
        self.memory = Memory(limit)
        self.environ = app.environ | {
            "PORT": str(self.port),
            "CF_INSTANCE_INDEX": str(index),
            "MEMORY_LIMIT": process["memory"],
            "HOME": str(folder / "app"),
            "TMPDIR": str(folder / "tmp"),
        }
        self._child = subprocess.Popen(
            self.memory.argv(["/bin/sh", "-c", process["command"]]),
            cwd=folder / "app",
            env=self.environ,
            start_new_session=True,
            stdout=self._log,
            stderr=self._log,
        )
        self.memory.watch(self._child.pid)

    @property
    def running(self) -> bool:
        return self._child.poll() is None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def folder(self) -> Path:
        return self._folder / "app"

    @property
    def healthy(self) -> bool:
        if not self.running or self.process["health-check-type"] == "process":
            return self.running
        return answers(self.url + self.process["health-check-http-endpoint"])

    def wait_healthy(self) -> None:
        """Until the check succeeds; the platform gives up after a time, and so does this."""
        limit = self.process.get("timeout", START_SECONDS) - (time.monotonic() - self._started)
        wait_until(f"the health check of {self._folder.name}", lambda: self.healthy or not self.running, limit)
        assert self.running, self.log()

    def stop(self) -> tuple[int, float]:
        """SIGTERM, ten seconds, SIGKILL: the exit code, and how long it took."""
        asked = time.monotonic()
        if self.running:
            self._child.terminate()
        try:
            code = self._child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            code = self.kill()
        seconds = time.monotonic() - asked
        self.close()
        return code, seconds

    def kill(self) -> int:
        """The container is gone, all of it at once."""
        try:
            os.killpg(self._child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        return self._child.wait()

    def close(self) -> None:
        self.kill()
        self.memory.close()
        self._log.close()

    def log(self) -> str:
        return (self._folder / "log").read_text()


class App:
    """A pushed application; leaving the ``with`` block deletes it."""

    def __init__(
        self, folder: Path, application: Mapping[str, Any], services: Mapping[str, Any], environ: Mapping[str, str]
    ) -> None:
        """``services`` is VCAP_SERVICES, ``environ`` what `cf set-env` has set."""
        self.uploaded, self._folder = folder / "upload", folder
        upload(ROOT, self.uploaded)
        commands = stage(folder / "python", self.uploaded / "requirements.txt")
        self.environ = {
            "PATH": f"{commands}:{os.environ['PATH']}",
            "LANG": "en_US.UTF-8",
            "USER": "vcap",
            "VCAP_APPLICATION": json.dumps({"application_name": application["name"]}),
            "VCAP_SERVICES": json.dumps(services),
            **application.get("env", {}),
            **environ,
        }
        self.processes = {process["type"]: process for process in application["processes"]}
        self.instances: list[Instance] = []
        self._born = 0

    def __enter__(self) -> App:
        return self

    def __exit__(self, *_: object) -> None:
        for instance in self.instances:
            instance.close()

    def start(self, kind: str, index: int = 0) -> Instance:
        """One more instance; it may not be healthy yet."""
        self._born += 1
        instance = Instance(self, self.processes[kind], index, self._folder / f"{kind}-{self._born}")
        self.instances.append(instance)
        return instance

    def start_all(self) -> None:
        """As many instances of each type as the manifest says."""
        started = [
            self.start(kind, index)
            for kind, process in self.processes.items()
            for index in range(process["instances"])
        ]
        for instance in started:
            instance.wait_healthy()

    def of(self, kind: str) -> list[Instance]:
        """The instances of a type that run."""
        return [one for one in self.instances if one.process["type"] == kind and one.running]

    def task(self, *arguments: str) -> list[dict[str, Any]]:
        """`cf run-task`: a command of the product in the application's own environment; its JSON lines."""
        done = subprocess.run(
            ["python", "-m", "subscriber", *arguments, "--json"],
            cwd=self.uploaded,
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]


def mebibytes(text: str) -> int:
    """``256M``, ``1G``."""
    match = re.fullmatch(r"(\d+)([MG])", text)
    assert match, text
    return int(match[1]) * MIB[match[2]]
