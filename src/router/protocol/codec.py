"""Encoding and decoding of frames as JSON or MessagePack.

Received bytes are untrusted: invalid ones raise ``MalformedFrame``, whose text never repeats what was sent.
"""

import re
from typing import Any, Final

import msgspec

from router.protocol.frames import FrameId

JSON: Final = "router.v1+json"
MSGPACK: Final = "router.v1+msgpack"
SUBPROTOCOLS: Final = (JSON, MSGPACK)

# A path as the decoder writes it. It contains only names of our fields and indexes.
_PATH: Final = re.compile(r" - at (?:`(?:key|value)` in )?`\$[A-Za-z0-9_.\[\]]*`$")
_SAFE_PREFIXES: Final = ("Expected ", "Object missing required field ")


class MalformedFrame(ValueError):
    """Received bytes are not a valid frame. The text names the path of the error and never repeats what was sent."""


def redacted_error(error: msgspec.ValidationError) -> str:
    """Return a decoding error's message without any text of the document.

    Only messages of two kinds never contain text of the sender; of the others only the kind and the path are kept.
    """
    text = str(error)
    if text.startswith("Object contains unknown field"):
        return "Object contains unknown field"  # The rest is the sender's text.
    if text.startswith(_SAFE_PREFIXES):
        return text
    path = _PATH.search(text)
    prefix = "Invalid enum value" if text.startswith("Invalid enum value") else "Invalid value"
    return prefix + (path.group() if path else "")


class FrameDecoder:
    """Decoder of a union of frames in one encoding."""

    def __init__(self, frames: Any, subprotocol: str) -> None:
        kind = msgspec.msgpack if subprotocol == MSGPACK else msgspec.json
        self._decode = kind.Decoder(frames).decode
        self._decode_id = kind.Decoder(_FrameWithId).decode

    def decode(self, data: bytes | str) -> Any:
        """Decode one frame.

        Raises:
            BadFrame: The bytes are not a valid frame.
        """
        try:
            return self._decode(data)
        except msgspec.ValidationError as error:
            raise MalformedFrame(redacted_error(error)) from None
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise MalformedFrame("not well-formed") from None
        except RecursionError:
            raise MalformedFrame("nested too deeply") from None

    def frame_id(self, data: bytes | str) -> str | None:
        """Return the ``id`` of an invalid frame, if it can be read, so that the error can refer to it."""
        try:
            frame: _FrameWithId = self._decode_id(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return frame.id


class _FrameWithId(msgspec.Struct):
    id: FrameId | None = None


def frame_encoder(subprotocol: str) -> msgspec.json.Encoder | msgspec.msgpack.Encoder:
    """Return the encoder of a subprotocol."""
    return msgspec.msgpack.Encoder() if subprotocol == MSGPACK else msgspec.json.Encoder()
