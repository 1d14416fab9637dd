"""Container image, without a container engine: checks of the Dockerfile, and a run of its install and start steps."""

import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from router import __version__
from tests.packaging.dockerfile import INSTRUCTIONS, Instruction, Stage, read

REPOSITORY: Final = Path(__file__).parents[2]
START_TIMEOUT_S: Final = 60.0


@pytest.fixture(scope="module")
def stages() -> list[Stage]:
    return read(REPOSITORY / "Dockerfile")


@pytest.fixture(scope="module")
def builder(stages: list[Stage]) -> Stage:
    return stages[0]


@pytest.fixture(scope="module")
def image(stages: list[Stage]) -> Stage:
    return stages[-1]


def test_the_image_has_two_stages_and_copies_only_the_virtual_environment(stages: list[Stage], image: Stage) -> None:
    assert len(stages) == 2
    taken = [one.words for one in image.all("COPY") if one.words[0].startswith("--from=")]
    assert taken == [[f"--from={stages[0].name}", "/opt/router", "/opt/router"]]


def test_every_instruction_is_supported_by_the_parser(stages: list[Stage]) -> None:
    assert {one.name for stage in stages for one in stage.instructions} <= INSTRUCTIONS


def test_the_base_images_are_one_debian_slim_image_fixed_by_its_digest(stages: list[Stage]) -> None:
    (image,) = {stage.image for stage in stages}
    assert re.fullmatch(r"python:3\.1[1-9]-slim-[a-z]+@sha256:[0-9a-f]{64}", image)


def test_every_package_is_installed_by_its_checksum(builder: Stage) -> None:
    installs = [line for one in builder.all("RUN") for line in one.text.split("&&") if "pip install" in line]
    assert len(installs) == 3
    for line in installs:
        assert "--require-hashes" in line or "--no-deps /build/dist/" in line


def test_the_labels_name_version_and_source(image: Stage) -> None:
    labels = dict(word.split("=", 1) for word in image.only("LABEL").words)
    assert labels["org.opencontainers.image.version"] == __version__
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert labels["org.opencontainers.image.source"] == project["urls"]["Source"]
    assert labels["org.opencontainers.image.licenses"] == project["license"]


def test_only_pip_downloads_anything(stages: list[Stage]) -> None:
    for stage in stages:
        for one in stage.instructions:
            assert one.name != "ADD"
            if one.name == "LABEL":
                continue
            assert not re.search(r"https?://|\bcurl\b|\bwget\b|\bapt(-get)?\b", one.text), one.text


def test_the_container_does_not_run_as_root(image: Stage) -> None:
    user = image.only("USER").text.partition(":")[0]
    assert user.isdigit() and int(user) >= 1000
    (creation,) = [one.text for one in image.all("RUN") if "useradd" in one.text]
    assert f"--uid {user} " in creation
    assert image.instructions.index(image.only("USER")) > image.instructions.index(image.all("RUN")[-1])


def test_the_journal_is_in_the_volume(image: Stage) -> None:
    (volume,) = image.only("VOLUME").words
    assert Path(image.environment["ROUTER__JOURNAL__PATH"]).parent == Path(volume)


def test_the_exposed_port_is_the_port_of_the_router(image: Stage) -> None:
    assert image.only("EXPOSE").text == image.environment["ROUTER__SERVER__PORT"]


def test_the_health_check_uses_only_python(image: Stage) -> None:
    assert image.healthcheck[0] == "python"


def test_the_build_context_contains_exactly_what_is_copied(stages: list[Stage]) -> None:
    lines = (REPOSITORY / ".dockerignore").read_text().split("\n")
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    allowed = {rule[1:] for rule in rules if rule.startswith("!")}
    copied = {
        source.removeprefix("./").split("/")[0]
        for stage in stages
        for one in stage.all("COPY")
        if not one.words[0].startswith("--from=")
        for source in one.words[:-1]
    }
    assert copied == allowed
    for source in copied:
        assert (REPOSITORY / source).exists()


class Rootfs:
    """Directory in place of the file systems of both stages; the paths named in the Dockerfile are mapped into it."""

    def __init__(self, directory: Path, stages: list[Stage]) -> None:
        self.directory = directory
        named = {one.words[-1] for s in stages for name in ("WORKDIR", "VOLUME") for one in s.all(name)}
        named |= {one.words[-1] for s in stages for one in s.all("COPY")}
        self._names = sorted((name for name in named if name.startswith("/")), key=len, reverse=True)
        bin_directory = directory / "usr" / "bin"
        bin_directory.mkdir(parents=True)
        python = bin_directory / "python"
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        python.chmod(0o755)
        self._path = f"{bin_directory}:/usr/bin:/bin"

    def inside(self, text: str) -> str:
        """Return the text with paths of the image replaced by paths in the directory."""
        for name in self._names:
            text = re.sub(rf"(?<![\w/.]){re.escape(name)}(?![\w])", f"{self.directory}{name}", text)
        return text

    def environment(self, stage: Stage, **more: str) -> dict[str, str]:
        """Return the environment of a process of the stage, plus the machine's variables for package downloads."""
        machine = {
            name: value
            for name, value in os.environ.items()
            if name.lower().startswith(("pip_", "http_", "https_", "no_proxy", "ssl_"))
        }
        own = {k: self.inside(v).replace("$PATH", self._path) for k, v in stage.environment.items()}
        return {"PATH": self._path, "HOME": str(self.directory), **machine, **own, **more}

    def copy(self, instruction: Instruction, workdir: Path) -> None:
        """Carry out a COPY from the build context."""
        *sources, target = instruction.words
        for source in sources:
            place = Path(self.inside(target)) if target.startswith("/") else workdir / target
            found = REPOSITORY / source
            if found.is_dir():
                shutil.copytree(found, place, ignore=shutil.ignore_patterns("__pycache__"))
                continue
            if target.endswith("/"):
                place = place / found.name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(found, place)

    def build(self, stage: Stage) -> None:
        """Carry out the COPY and RUN instructions of a stage, except the creation of users."""
        workdir = self.directory
        for one in stage.instructions:
            if one.name == "WORKDIR":
                workdir = Path(self.inside(one.text))
                workdir.mkdir(parents=True, exist_ok=True)
            elif one.name == "COPY" and not one.words[0].startswith("--from="):
                self.copy(one, workdir)
            elif one.name == "RUN" and "useradd" not in one.text:
                subprocess.run(
                    ["/bin/sh", "-ec", self.inside(one.text)],
                    cwd=workdir,
                    env=self.environment(stage),
                    check=True,
                    stdout=subprocess.DEVNULL,
                    timeout=500,
                )


@pytest.fixture(scope="module")
def rootfs(stages: list[Stage], builder: Stage, image: Stage, tmp_path_factory: pytest.TempPathFactory) -> Rootfs:
    """Build both stages."""
    made = Rootfs(tmp_path_factory.mktemp("image"), stages)
    made.build(builder)
    made.build(image)
    return made


class Container:
    """Process of the image, started as a container engine would start it."""

    def __init__(self, rootfs: Rootfs, image: Stage) -> None:
        self.port = _free_port()
        self._image = image
        self.environment = rootfs.environment(image, ROUTER__SERVER__PORT=str(self.port), ROUTER__TELEMETRY__METRICS_PORT="0")
        self.workdir = Path(rootfs.inside(image.only("WORKDIR").text))
        command = image.only("ENTRYPOINT").words + image.only("CMD").words
        self.process = subprocess.Popen(
            self._found(command), cwd=self.workdir, env=self.environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
        )

    def _found(self, command: list[str]) -> list[str]:
        program = shutil.which(command[0], path=self.environment["PATH"])
        assert program is not None, command[0]
        return [program, *command[1:]]

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """Run another process in the container, like ``docker exec``."""
        return subprocess.run(
            self._found(list(command)),
            cwd=self.workdir,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    def is_healthy(self) -> bool:
        """Return whether the health check succeeds."""
        return self.run(*self._image.healthcheck).returncode == 0

    def wait_until_healthy(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.is_healthy():
            assert self.process.poll() is None, self.end()
            assert time.monotonic() < deadline, f"not healthy within {START_TIMEOUT_S} s"

    def end(self) -> str:
        """Wait for the end of the process and return its standard error."""
        assert self.process.stderr is not None
        with self.process.stderr as stream:
            return stream.read().decode()


@pytest.fixture
def container(rootfs: Rootfs, image: Stage) -> Iterator[Container]:
    running = Container(rootfs, image)
    yield running
    running.process.kill()
    running.process.wait()
    if running.process.stderr is not None:
        running.process.stderr.close()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_built_image_serves_requests_passes_its_health_check_and_stops_cleanly(container: Container) -> None:
    container.wait_until_healthy()
    token = container.run("router", "token", "--role", "admin", "--subject", "eve").stdout.strip()
    connection = http.client.HTTPConnection("127.0.0.1", container.port, timeout=10)
    connection.request("GET", "/v1/policy", headers={"Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    assert answer.status == 200
    assert b"default_queue" in answer.read()
    connection.close()

    container.process.send_signal(signal.SIGTERM)
    assert container.process.wait(60) == 0, container.end()
    assert not container.is_healthy()
    assert (container.workdir / "journal.db").stat().st_mode & 0o777 == 0o600


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
