"""Encoding and decoding of frames as JSON or MessagePack.

Received bytes are untrusted: invalid ones raise ``MalformedFrame``, which names the field and what would be valid, and never
repeats a value that was sent.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec

from router.invalid_input import InvalidInput, NotWellFormed, decode_json, decode_msgpack
from router.protocol.frames import FrameId

JSON: Final = "router.v1+json"
MSGPACK: Final = "router.v1+msgpack"
SUBPROTOCOLS: Final = (JSON, MSGPACK)


class MalformedFrame(ValueError):
    """Received bytes are not a valid frame. The text says what would be valid and never repeats a value that was sent."""

    def __init__(self, reason: str, field: str | None = None) -> None:
        """``field``: path of the first invalid field; None: the frame as a whole."""
        super().__init__(reason)
        self.field = field


class FrameDecoder:
    """Decoder of a union of frames in one encoding."""

    def __init__(self, frames: Any, subprotocol: str) -> None:
        kind = msgspec.msgpack if subprotocol == MSGPACK else msgspec.json
        decode: Any = decode_msgpack if subprotocol == MSGPACK else decode_json
        decoder: Any = kind.Decoder(frames)
        self._decode = decoder.decode
        self._decode_again: Callable[[bytes | str], Any] = partial(decode, decoder=decoder)
        self._decode_id = kind.Decoder(_FrameWithId).decode

    def decode(self, data: bytes | str) -> Any:
        """Decode one frame.

        Raises:
            MalformedFrame: The bytes are not a valid frame.
        """
        try:
            return self._decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return self._explain(data)

    def _explain(self, data: bytes | str) -> Any:
        """Decode a frame that was refused, tolerantly. Raises MalformedFrame with the reason if it is invalid."""
        try:
            return self._decode_again(data)
        except InvalidInput as invalid:
            detail = invalid.detail if invalid.field else f"the frame {invalid.detail}"
            raise MalformedFrame(detail, invalid.field or None) from None
        except NotWellFormed as error:
            raise MalformedFrame(str(error)) from None

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
