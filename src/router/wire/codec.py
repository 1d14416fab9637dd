"""Frames to bytes and back, in two codecs with one meaning.

Bytes come in from anybody: whatever is no frame becomes ``BadFrame``, and its text never repeats what was sent.
"""

import re
from typing import Any, Final

import msgspec

from router.wire.frames import FrameId

JSON: Final = "router.v1+json"
MSGPACK: Final = "router.v1+msgpack"
SUBPROTOCOLS: Final = (JSON, MSGPACK)

# A place as the decoder writes it; only names of our own fields and indexes occur in it.
_PLACE: Final = re.compile(r" - at (?:`(?:key|value)` in )?`\$[A-Za-z0-9_.\[\]]*`$")
_SAFE_HEADS: Final = ("Expected ", "Object missing required field ")


class BadFrame(ValueError):
    """Bytes that are no frame; the text names the place and never repeats what was sent."""


def safe_text(error: msgspec.ValidationError) -> str:
    """What is wrong with a document and where, without a word of the document itself.

    Only two kinds of the decoder's sentences are free of the sender's text; of the others the kind is kept.
    """
    text = str(error)
    if text.startswith("Object contains unknown field"):
        return "Object contains unknown field"  # At the root the sender's text would be the last thing in it.
    if text.startswith(_SAFE_HEADS):
        return text
    place = _PLACE.search(text)
    head = "Invalid enum value" if text.startswith("Invalid enum value") else "Invalid value"
    return head + (place.group() if place else "")


class Decoder:
    """Decodes one side's frames from one codec."""

    def __init__(self, frames: Any, subprotocol: str) -> None:
        kind = msgspec.msgpack if subprotocol == MSGPACK else msgspec.json
        self._decode = kind.Decoder(frames).decode
        self._decode_id = kind.Decoder(_OnlyId).decode

    def decode(self, data: bytes | str) -> Any:
        """One frame. Raises BadFrame for whatever is not one."""
        try:
            return self._decode(data)
        except msgspec.ValidationError as error:
            raise BadFrame(safe_text(error)) from None
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise BadFrame("not well-formed") from None
        except RecursionError:
            raise BadFrame("nested too deeply") from None

    def id_of(self, data: bytes | str) -> str | None:
        """The ``id`` of something that is no frame, so that even it gets its answer; none where there is none."""
        try:
            found: _OnlyId = self._decode_id(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return found.id


class _OnlyId(msgspec.Struct):
    id: FrameId | None = None


def encoder(subprotocol: str) -> msgspec.json.Encoder | msgspec.msgpack.Encoder:
    """The encoder of a codec."""
    return msgspec.msgpack.Encoder() if subprotocol == MSGPACK else msgspec.json.Encoder()
