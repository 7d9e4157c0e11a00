"""zlib and its twins: which of them compresses and inflates."""

from __future__ import annotations

import importlib
from typing import Literal, Protocol, TypeAlias, cast

__all__ = [
    "COMPRESSED_AT_ONCE",
    "Buffer",
    "Codec",
    "Compressor",
    "Decompressor",
    "Implementation",
    "load_implementation",
]

#: Bytes that are compressed in one go, which takes zlib some milliseconds.
COMPRESSED_AT_ONCE = 65536

Buffer: TypeAlias = bytes | bytearray | memoryview
Implementation: TypeAlias = Literal["zlib", "zlib-ng", "isal"]

_MODULES = {"zlib": "zlib", "zlib-ng": "zlib_ng.zlib_ng", "isal": "isal.isal_zlib"}


class Compressor(Protocol):
    """Compresses one direction."""

    def compress(self, data: Buffer, /) -> bytes:
        """Return what comes of ``data`` so far."""

    def flush(self, mode: int, /) -> bytes:
        """Return the rest of it."""


class Decompressor(Protocol):
    """Inflates one stream, which ends with its final block."""

    @property
    def eof(self) -> bool:
        """Whether the end has come."""

    @property
    def unused_data(self) -> bytes:
        """What came behind the end."""

    @property
    def unconsumed_tail(self) -> bytes:
        """What was not looked at, for want of room."""

    def decompress(self, data: Buffer, max_length: int, /) -> bytes:
        """Return so many bytes at most."""


class Codec(Protocol):
    """zlib, or one of its twins, as far as it is used here."""

    error: type[Exception]

    def compressobj(
        self, level: int, method: int, wbits: int, mem_level: int, strategy: int, /
    ) -> Compressor:
        """Return what compresses one direction."""

    def decompressobj(self, wbits: int, /, zdict: bytes) -> Decompressor:
        """Return what inflates one stream, behind the output ``zdict``."""


def load_implementation(name: Implementation) -> Codec:
    """Import the module that compresses, when it is asked for.

    Raises:
        ValueError: no such implementation.
        ImportError: its package is not installed.
    """
    if name not in _MODULES:
        raise ValueError(f"Deflate.implementation must be one of {list(_MODULES)}, not {name!r}")
    try:
        return cast("Codec", importlib.import_module(_MODULES[name]))
    except ImportError as error:
        raise ImportError(
            f"Deflate(implementation={name!r}) needs the package {name!r}, which is not "
            "installed: pip install 'anyws[speed]', or leave the implementation at 'zlib'"
        ) from error
