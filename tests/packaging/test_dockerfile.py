"""The image, without an engine: what the Dockerfile says is checked, and its install and start steps are carried out."""

import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

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


def test_the_image_is_built_in_two_stages_and_takes_only_the_environment_from_the_first(
    stages: list[Stage], image: Stage
) -> None:
    assert len(stages) == 2
    taken = [one.words for one in image.all("COPY") if one.words[0].startswith("--from=")]
    assert taken == [[f"--from={stages[0].name}", "/opt/router", "/opt/router"]]


def test_every_instruction_is_one_that_this_test_knows(stages: list[Stage]) -> None:
    assert {one.name for stage in stages for one in stage.instructions} <= INSTRUCTIONS


def test_the_base_images_are_pinned_debian_slim_ones(stages: list[Stage]) -> None:
    for stage in stages:
        assert re.fullmatch(r"python:3\.1[1-9]-slim-[a-z]+", stage.image), stage.image


def test_nothing_is_fetched_but_by_pip(stages: list[Stage]) -> None:
    for stage in stages:
        for one in stage.instructions:
            assert one.name != "ADD"
            assert not re.search(r"https?://|\bcurl\b|\bwget\b|\bapt(-get)?\b", one.text), one.text


def test_it_does_not_run_as_root(image: Stage) -> None:
    user = image.only("USER").text.partition(":")[0]
    assert user.isdigit() and int(user) >= 1000
    (creation,) = [one.text for one in image.all("RUN") if "useradd" in one.text]
    assert f"--uid {user} " in creation
    assert image.instructions.index(image.only("USER")) > image.instructions.index(
        image.all("RUN")[-1]
    )


def test_the_journal_is_in_the_volume(image: Stage) -> None:
    (volume,) = image.only("VOLUME").words
    assert Path(image.environment["ROUTER__JOURNAL__PATH"]).parent == Path(volume)


def test_the_port_is_the_one_that_is_exposed(image: Stage) -> None:
    assert image.only("EXPOSE").text == image.environment["ROUTER__EDGE__PORT"]


def test_the_healthcheck_needs_nothing_that_a_slim_image_lacks(image: Stage) -> None:
    assert image.healthcheck[0] == "python"


def test_the_build_context_holds_everything_that_is_copied_and_no_more(stages: list[Stage]) -> None:
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
    """A directory that stands in for both stages' file systems: the paths that the Dockerfile names lie in it."""

    def __init__(self, directory: Path, stages: list[Stage]) -> None:
        self.directory = directory
        named = {
            one.words[-1] for s in stages for name in ("WORKDIR", "VOLUME") for one in s.all(name)
        }
        named |= {one.words[-1] for s in stages for one in s.all("COPY")}
        self._names = sorted(
            (name for name in named if name.startswith("/")), key=len, reverse=True
        )
        bin_directory = directory / "usr" / "bin"
        bin_directory.mkdir(parents=True)
        python = bin_directory / "python"
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        python.chmod(0o755)
        self._path = f"{bin_directory}:/usr/bin:/bin"

    def inside(self, text: str) -> str:
        """The text, with the paths of the image made paths of the directory."""
        for name in self._names:
            text = re.sub(rf"(?<![\w/.]){re.escape(name)}(?![\w])", f"{self.directory}{name}", text)
        return text

    def environment(self, stage: Stage, **more: str) -> dict[str, str]:
        """What a process of the stage sees; of the machine's own only what says how packages are had."""
        machine = {
            name: value
            for name, value in os.environ.items()
            if name.lower().startswith(("pip_", "http_", "https_", "no_proxy", "ssl_"))
        }
        own = {k: self.inside(v).replace("$PATH", self._path) for k, v in stage.environment.items()}
        return {"PATH": self._path, "HOME": str(self.directory), **machine, **own, **more}

    def copy(self, instruction: Instruction, workdir: Path) -> None:
        """COPY from the build context."""
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
        """Carry out a stage's COPY and RUN instructions; making users is left to a real engine."""
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
def rootfs(
    stages: list[Stage], builder: Stage, image: Stage, tmp_path_factory: pytest.TempPathFactory
) -> Rootfs:
    """Both stages, built."""
    made = Rootfs(tmp_path_factory.mktemp("image"), stages)
    made.build(builder)
    made.build(image)
    return made


class Container:
    """The image's process, started as an engine would start it."""

    def __init__(self, rootfs: Rootfs, image: Stage) -> None:
        self.port = _free_port()
        self._image = image
        self.environment = rootfs.environment(
            image, ROUTER__EDGE__PORT=str(self.port), ROUTER__TELEMETRY__METRICS_PORT="0"
        )
        self.workdir = Path(rootfs.inside(image.only("WORKDIR").text))
        command = image.only("ENTRYPOINT").words + image.only("CMD").words
        self.process = subprocess.Popen(
            self._found(command),
            cwd=self.workdir,
            env=self.environment,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )

    def _found(self, command: list[str]) -> list[str]:
        program = shutil.which(command[0], path=self.environment["PATH"])
        assert program is not None, command[0]
        return [program, *command[1:]]

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """Another process in the container, as by ``docker exec``."""
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
        """What the HEALTHCHECK says."""
        return self.run(*self._image.healthcheck).returncode == 0

    def wait_until_healthy(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.is_healthy():
            assert self.process.poll() is None, self.end()
            assert time.monotonic() < deadline, "it did not get healthy in time"

    def end(self) -> str:
        """What it said on standard error, once it has ended."""
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
def test_the_built_image_serves_answers_its_healthcheck_and_stops_in_order(
    container: Container,
) -> None:
    container.wait_until_healthy()
    token = container.run("router", "token", "--role", "admin", "--sub", "eve").stdout.strip()
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
