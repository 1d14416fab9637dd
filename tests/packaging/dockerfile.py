"""Minimal Dockerfile parser, sufficient to check ours and to run its steps without a container engine."""

import json
import shlex
from pathlib import Path
from typing import Final

from msgspec import Struct

INSTRUCTIONS: Final = frozenset(
    {
        "ARG",
        "CMD",
        "COPY",
        "ENTRYPOINT",
        "ENV",
        "EXPOSE",
        "FROM",
        "HEALTHCHECK",
        "LABEL",
        "RUN",
        "STOPSIGNAL",
        "USER",
        "VOLUME",
        "WORKDIR",
    }
)


class Instruction(Struct, frozen=True):
    """Instruction with its continuation lines joined."""

    name: str
    text: str

    @property
    def words(self) -> list[str]:
        """Arguments: the elements of a JSON array, or the words of a line as a shell would split it."""
        return json.loads(self.text) if self.text.startswith("[") else shlex.split(self.text)


class Stage(Struct):
    """Build stage: the instructions from one FROM to the next."""

    image: str
    name: str | None
    instructions: list[Instruction]

    def all(self, name: str) -> list[Instruction]:
        """Return the instructions with this name, in order."""
        return [one for one in self.instructions if one.name == name]

    def only(self, name: str) -> Instruction:
        """Return the only instruction with this name."""
        (one,) = self.all(name)
        return one

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables set by ENV."""
        pairs = [word.partition("=") for one in self.all("ENV") for word in one.words]
        return {name: value for name, _, value in pairs}

    @property
    def healthcheck(self) -> list[str]:
        """Command that the container engine runs as health check."""
        _, _, command = self.only("HEALTHCHECK").text.partition("CMD ")
        return Instruction("CMD", command).words


def read(path: Path) -> list[Stage]:
    """Return the stages of a Dockerfile, in order."""
    stages: list[Stage] = []
    for instruction in _instructions(path.read_text()):
        if instruction.name != "FROM":
            stages[-1].instructions.append(instruction)
            continue
        words = instruction.words
        name = words[2] if len(words) == 3 and words[1].upper() == "AS" else None
        stages.append(Stage(image=words[0], name=name, instructions=[]))
    return stages


def _instructions(text: str) -> list[Instruction]:
    found: list[Instruction] = []
    pending = ""
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line.endswith("\\"):
            pending += line[:-1].strip() + " "
            continue
        name, _, rest = (pending + line.strip()).partition(" ")
        pending = ""
        found.append(Instruction(name.upper(), rest.strip()))
    assert not pending, "the last line ends with a continuation character"
    return found
