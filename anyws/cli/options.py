"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import argparse
import ssl
from typing import TYPE_CHECKING

from anyws.cli.errors import UsageError, describe
from anyws.cli.running import BACKENDS
from anyws.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "Commands",
    "add_backend",
    "add_connecting",
    "add_listening",
    "add_verbose",
    "client_context",
    "count",
    "limits",
    "new_command",
    "port",
    "seconds",
    "server_context",
    "size",
]

#: argparse has no public name for it.
Commands = argparse._SubParsersAction

_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}


def new_command(
    commands: Commands[argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace], int],
    *,
    summary: str,
    description: str,
    epilog: str = "",
) -> argparse.ArgumentParser:
    """Add a command with the option that all have."""
    parser = commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog=epilog,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=run)
    add_verbose(parser)
    return parser


def add_verbose(parser: argparse.ArgumentParser) -> None:
    """Add ``--verbose``."""
    parser.add_argument(
        "--verbose",
        action="store_true",
        help="log what happens to standard error, and show where an error came from",
    )


def add_backend(parser: argparse.ArgumentParser) -> None:
    """Add ``--backend``."""
    parser.add_argument(
        "--backend",
        choices=tuple(BACKENDS),
        default="asyncio",
        help="the event loop to run on (default: %(default)s)",
    )


def add_listening(parser: argparse.ArgumentParser, default_port: int) -> None:
    """Add where a server listens, and how."""
    group = parser.add_argument_group("where to listen")
    group.add_argument(
        "--host", metavar="ADDRESS", help="the address to listen on (default: 127.0.0.1)"
    )
    group.add_argument(
        "--port",
        type=port,
        help=f"the TCP port, 0 for any that is free (default: {default_port})",
    )
    group.add_argument("--unix", metavar="PATH", help="listen on a UNIX socket instead")
    group.add_argument(
        "--certificate",
        metavar="FILE",
        help="serve wss:// with this PEM file: the certificate, then those up to its authority",
    )
    group.add_argument(
        "--key", metavar="FILE", help="the certificate's private key, if it is in another file"
    )
    group = parser.add_argument_group("what to accept")
    group.add_argument(
        "--origin",
        action="append",
        metavar="ORIGIN",
        help='whose pages may connect, "*" for all (default: those of this server); may be repeated',
    )
    group.add_argument(
        "--subprotocol", action="append", default=[], metavar="NAME", help="may be repeated"
    )
    _add_connection(group)


def add_connecting(parser: argparse.ArgumentParser) -> None:
    """Add what a client says to a server, and whom it trusts."""
    parser.add_argument("uri", metavar="URI", help="a ws:// or wss:// address")
    group = parser.add_argument_group("the connection")
    group.add_argument(
        "-H",
        "--header",
        action="append",
        type=_header,
        default=[],
        metavar="'NAME: VALUE'",
        help="a further line of the request; may be repeated",
    )
    group.add_argument("--origin", metavar="ORIGIN", help="the Origin that browsers send")
    group.add_argument(
        "--subprotocol",
        action="append",
        default=[],
        metavar="NAME",
        help="offer a subprotocol; may be repeated, the preferred first",
    )
    group.add_argument("--ca", metavar="FILE", help="trust the authorities in this PEM file")
    group.add_argument(
        "--insecure", action="store_true", help="do not check the server's certificate"
    )
    group.add_argument("--unix", metavar="PATH", help="connect to this UNIX socket instead")
    group.add_argument(
        "--proxy", metavar="URL", help="go through an http://, https:// or socks5h:// proxy"
    )
    group.add_argument(
        "--open-timeout",
        type=seconds,
        default=10.0,
        metavar="SECONDS",
        help="how long connecting may take (default: 10)",
    )
    _add_connection(group)


def _add_connection(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--max-size",
        type=size,
        metavar="BYTES",
        help="the largest message to take, such as 64k or 16M (default: 1M)",
    )
    group.add_argument(
        "--no-compression", action="store_true", help="do not negotiate permessage-deflate"
    )


def limits(options: argparse.Namespace) -> Limits:
    """Return the bounds that were asked for."""
    return Limits() if options.max_size is None else Limits(message_size=options.max_size)


def server_context(options: argparse.Namespace) -> ssl.SSLContext | None:
    """Return what a server needs for ``wss``, or ``None``.

    Raises:
        UsageError: the files are not there or do not fit.
    """
    if options.certificate is None:
        if options.key is not None:
            raise UsageError("--key needs --certificate")
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    # Without a password function OpenSSL would ask on the terminal.
    try:
        context.load_cert_chain(options.certificate, options.key, password=_no_password)
    except OSError as error:
        files = " and ".join(filter(None, (options.certificate, options.key)))
        raise UsageError(f"cannot use {files}: {describe(error)}") from error
    return context


def _no_password() -> str:
    raise UsageError("the private key has a password; give a key without one")


def client_context(options: argparse.Namespace) -> ssl.SSLContext | None:
    """Return whom a client trusts, or ``None`` for the system's authorities.

    Raises:
        UsageError: the file is not there or has no certificates, or the options contradict.
    """
    if not options.insecure and options.ca is None:
        return None
    if not options.uri.lower().startswith("wss:"):
        raise UsageError("--insecure and --ca are for wss:// addresses")
    context = ssl.create_default_context()
    if options.insecure:
        if options.ca is not None:
            raise UsageError("give either --insecure or --ca")
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    try:
        context.load_verify_locations(options.ca)
    except OSError as error:
        raise UsageError(f"cannot use {options.ca}: {describe(error)}") from error
    return context


def port(text: str) -> int:
    """Read a TCP port."""
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"{number} is not a port, 0 to 65535")
    return number


def count(text: str) -> int:
    """Read a whole number from 1."""
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def seconds(text: str) -> float:
    """Read a time that is not negative."""
    try:
        number = float(text.removesuffix("s"))
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return number


def size(text: str) -> int:
    """Read a number of bytes, with k, M or G for powers of 1024."""
    digits = text.rstrip("kKmMgG")
    factor = _UNITS.get(text[len(digits) :].lower())
    if factor is None or not (digits.isascii() and digits.isdigit() and len(digits) < 16):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of bytes, such as 500, 64k, 1M")
    return int(digits) * factor


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is not 'NAME: VALUE'")
    return name.strip(), value.strip()
