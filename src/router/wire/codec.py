"""Frames to bytes and back, in two codecs with one meaning."""

from typing import Any, Final

import msgspec

JSON: Final = "router.v1+json"
MSGPACK: Final = "router.v1+msgpack"
SUBPROTOCOLS: Final = (JSON, MSGPACK)


class BadFrame(ValueError):
    """Bytes that are no frame; the text names the place and never repeats what was sent."""


class Decoder:
    """Decodes one side's frames from one codec."""

    def __init__(self, frames: Any, subprotocol: str) -> None:
        kind = msgspec.msgpack if subprotocol == MSGPACK else msgspec.json
        self._decode = kind.Decoder(frames).decode

    def decode(self, data: bytes | str) -> Any:
        """One frame. Raises BadFrame for whatever is not one."""
        try:
            return self._decode(data)
        except msgspec.ValidationError as error:
            raise BadFrame(str(error)) from None
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise BadFrame("not well-formed") from None
        except RecursionError:
            raise BadFrame("nested too deeply") from None


def encoder(subprotocol: str) -> msgspec.json.Encoder | msgspec.msgpack.Encoder:
    """The encoder of a codec."""
    return msgspec.msgpack.Encoder() if subprotocol == MSGPACK else msgspec.json.Encoder()
