"""What nodes send to one another through the store: commands to the leader of a workspace, and its answers.

A command is encoded as it is executed: references, names and what customers wrote have been taken out of it before, and idempotency
keys are hashed. A message that this version cannot read, of a newer version, is answered with an error and has no effect.
"""

from typing import Final

import msgspec
from msgspec import Struct

from router.model.commands import Command
from router.model.errors import CommandQueueFull, JournalUnavailable, RouterError
from router.model.results import Done, Outcome, Refused
from router.runtime.workspace import Reply


class CommandMessage(Struct, frozen=True, array_like=True):
    """A command and who issued it."""

    actor: str
    command: Command


class AnswerMessage(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to the command with this number."""

    number: int
    done: Done | None = None
    refused: Refused | None = None
    error: str | None = None
    """Why the command was not carried out, or may not have been; None: it was carried out or refused."""
    first_seq: int = 0
    last_seq: int = 0
    at_ms: int = 0
    epoch: int = 0
    history_id: str = ""

    def reply(self) -> Reply:
        """Return the reply; the events are those of the log."""
        result = self.done if self.done is not None else self.refused
        assert result is not None
        return Reply(Outcome(result, self.first_seq, self.at_ms, []), self.epoch, self.history_id)


_encoder: Final = msgspec.msgpack.Encoder()
_command_decoder: Final = msgspec.msgpack.Decoder(CommandMessage)
_answer_decoder: Final = msgspec.msgpack.Decoder(AnswerMessage)

UNREADABLE: Final = "unreadable"


def encode_command(command: Command, actor: str) -> bytes:
    """Return the bytes of a command."""
    return _encoder.encode(CommandMessage(actor, command))


def decode_command(data: bytes) -> CommandMessage | None:
    """Return a command; None: this version cannot read it."""
    try:
        return _command_decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def encode_answer(number: int, reply: Reply) -> bytes:
    """Return the bytes of an answer."""
    outcome, result = reply.outcome, reply.outcome.result
    return _encoder.encode(
        AnswerMessage(
            number=number,
            done=result if isinstance(result, Done) else None,
            refused=result if isinstance(result, Refused) else None,
            first_seq=outcome.first_seq,
            last_seq=outcome.first_seq + len(outcome.events) - 1,
            at_ms=outcome.at_ms,
            epoch=reply.epoch,
            history_id=reply.history_id,
        )
    )


def encode_error(number: int, error: str) -> bytes:
    """Return the bytes of the answer to a command that was not carried out."""
    return _encoder.encode(AnswerMessage(number=number, error=error))


def decode_answer(data: bytes) -> AnswerMessage | None:
    """Return an answer; None: this version cannot read it."""
    try:
        return _answer_decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def error_of(text: str) -> RouterError:
    """Return the error for the caller of a command that was not carried out."""
    if text == "busy":
        return CommandQueueFull("the command queue of the leader is full; retry later")
    return JournalUnavailable("the leader of the workspace could not carry out the command; it may run another version")
