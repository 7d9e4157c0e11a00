"""What can be sent, and the kind of message that it makes."""

from __future__ import annotations

from anyws.enums import DataType

__all__ = ["encode_data"]


def encode_data(data: str | bytes | bytearray | memoryview) -> tuple[DataType, bytes]:
    """Return the kind of message that ``data`` makes, and its payload.

    Raises:
        TypeError: ``data`` is neither ``str`` nor bytes-like.
    """
    if isinstance(data, str):
        return DataType.TEXT, data.encode()
    if isinstance(data, (bytes, bytearray, memoryview)):
        # Of a kind of bytes as well: compiled code takes the type itself only.
        return DataType.BINARY, bytes(data)
    raise TypeError(f"a message must be str or bytes-like, not {type(data).__name__}")
