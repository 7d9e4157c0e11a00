"""WebSocket addresses (RFC 6455, section 3) and those of proxies, read strictly and written safely."""

from __future__ import annotations

import base64
import ipaddress
import re
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from anyws.errors import InvalidURI

__all__ = ["URI", "ProxyURI", "parse_proxy_uri", "parse_uri", "split_authority"]

_PORTS = {False: 80, True: 443}
_PROXY_PORTS = {
    "http": 80,
    "https": 443,
    **dict.fromkeys(("socks4", "socks4a", "socks5", "socks5h"), 1080),
}

# What must never stand in an address as it is: whitespace, and the C0 and C1 controls.
_FORBIDDEN = re.compile(r"[\s\x00-\x20\x7f-\xa0]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

_AUTHORITY = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._~-]+))(?::([0-9]{0,5}))?")
_NAME = re.compile(r"[A-Za-z0-9._~-]+")
_ZONE = re.compile(r"(\[[0-9A-Fa-f:.]+)%25([A-Za-z0-9._~-]+)(\].*)")

# What RFC 3986 allows in a path and a query; "%" stays, because it is an escape already.
_RESOURCE = "/?:@!$&'()*+,;=%-._~"

# Longer names do not exist in the DNS, and Python's IDNA codec is slow on long input.
_HOST_LENGTH = 253
_LABEL_LENGTH = 63


@dataclass(frozen=True, slots=True)
class URI:
    """Where to connect to, and what to ask for there (RFC 6455, section 3).

    Args:
        secure: whether the scheme is ``wss``.
        host: a name in ASCII and lower case, or an IP address without brackets.
        port: the port, also when it is the default.
        resource: path and query as they go into the request line, percent-encoded.
        username: the decoded user name of the address, or ``None``.
        password: the decoded password; left out of the ``repr``.
    """

    secure: bool
    host: str
    port: int
    resource: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def authority(self) -> str:
        """The value of the ``Host`` header; a default port is left out (RFC 6455, section 4.1)."""
        # RFC 6874, section 4: the zone of a link-local address means nothing to the peer.
        host = self.host.partition("%")[0]
        if ":" in host:
            host = f"[{host}]"
        return host if self.port == _PORTS[self.secure] else f"{host}:{self.port}"

    def __str__(self) -> str:
        """Return the address for messages, without user name and password."""
        return f"{'wss' if self.secure else 'ws'}://{self.authority}{self.resource}"

    @property
    def authorization(self) -> str | None:
        """The value of the ``Authorization`` header that the user name asks for (RFC 7617)."""
        return _basic(self.username, self.password)


@dataclass(frozen=True, slots=True)
class ProxyURI:
    """Which proxy to ask, and as whom.

    Args:
        scheme: ``http``, ``https``, ``socks4``, ``socks4a``, ``socks5`` or ``socks5h``.
        host: a name in ASCII and lower case, or an IP address without brackets.
        port: the port, also when it is the default.
        username: the decoded user name of the address, or ``None``.
        password: the decoded password; left out of the ``repr``.
    """

    scheme: str
    host: str
    port: int
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def authorization(self) -> str | None:
        """The value of the ``Proxy-Authorization`` header that the user name asks for (RFC 7617)."""
        return _basic(self.username, self.password)


def _basic(username: str | None, password: str | None) -> str | None:
    if username is None:
        return None
    return "Basic " + base64.b64encode(f"{username}:{password or ''}".encode()).decode("ascii")


def parse_uri(uri: str) -> URI:
    """Read a ``ws://`` or ``wss://`` address.

    A host outside ASCII is written as IDNA, and what may not stand in a path or a query is
    percent-encoded as UTF-8, as browsers do. User name and password are percent-decoded.

    Args:
        uri: the address.

    Raises:
        InvalidURI: it is not such an address (RFC 6455, section 3, and RFC 3986).
    """
    if _FORBIDDEN.search(uri):
        raise InvalidURI("a WebSocket address holds no whitespace and no control characters")
    scheme, separator, rest = uri.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in {"ws", "wss"}:
        # No more of it: what follows may hold a password.
        found = f", not {scheme[:20] + separator!r}" if separator else ""
        raise InvalidURI(f"a WebSocket address begins with ws:// or wss://{found}")
    if "#" in rest:
        raise InvalidURI("a WebSocket address has no #fragment (RFC 6455, section 3)")
    end = re.search(r"[/?]", rest)
    cut = end.start() if end else len(rest)
    host, port, username, password = _split_front(rest[:cut])
    secure = scheme == "wss"
    try:
        resource = quote(rest[cut:], safe=_RESOURCE)
    except UnicodeEncodeError:
        raise InvalidURI("the path cannot be written as UTF-8") from None
    if not resource.startswith("/"):
        resource = "/" + resource
    return URI(secure, host, _PORTS[secure] if port is None else port, resource, username, password)


def parse_proxy_uri(uri: str) -> ProxyURI:
    """Read the address of a proxy: ``SCHEME://[USER:PASSWORD@]HOST[:PORT]``.

    Args:
        uri: the address. Without a port it is 80 for ``http``, 443 for ``https`` and 1080 for SOCKS.

    Raises:
        InvalidURI: it is not such an address; the message does not repeat it, for it may hold a password.
    """
    scheme, separator, rest = uri.partition("://")
    scheme = scheme.lower()
    rest = rest.removesuffix("/")
    if not separator or scheme not in _PROXY_PORTS:
        raise InvalidURI(f"a proxy's address begins with {', '.join(_PROXY_PORTS)} and ://")
    if _FORBIDDEN.search(uri) or re.search(r"[/?#]", rest):
        raise InvalidURI("a proxy's address is SCHEME://[USER:PASSWORD@]HOST[:PORT]")
    host, port, username, password = _split_front(rest)
    return ProxyURI(
        scheme, host, _PROXY_PORTS[scheme] if port is None else port, username, password
    )


def split_authority(value: str) -> tuple[str, int | None] | None:
    """Cut ``host[:port]`` in two, the host in one canonical spelling.

    Args:
        value: a ``Host`` header, or that part of an address or an origin (RFC 3986, section 3.2).

    Returns:
        The host in lower case and without brackets, with the port or ``None``; or ``None``
        when ``value`` is malformed.
    """
    match = _AUTHORITY.fullmatch(value)
    if match is None:
        return None
    literal, name, digits = match.groups()
    port = int(digits) if digits else None
    if port is not None and not 1 <= port <= 65535:
        return None
    if literal is None:
        return name.lower(), port
    try:
        return str(ipaddress.IPv6Address(literal)), port
    except ValueError:
        return None


def _split_front(front: str) -> tuple[str, int | None, str | None, str | None]:
    """Return the host, the port, the user name and the password before the path of an address."""
    if "\\" in front:
        # Browsers read it as a slash: the host would depend on who reads the address.
        raise InvalidURI("a host and its credentials hold no backslash")
    userinfo, at, hostport = front.rpartition("@")
    username, password = _split_userinfo(userinfo) if at else (None, None)
    return *_parse_host(hostport), username, password


def _split_userinfo(userinfo: str) -> tuple[str, str]:
    if "@" in userinfo:
        raise InvalidURI("an @ in a user name or password is written %40")
    user, _, secret = userinfo.partition(":")
    try:
        username, password = unquote(user, errors="strict"), unquote(secret, errors="strict")
        (username + password).encode()
    except UnicodeError:
        raise InvalidURI("user name and password must be percent-encoded UTF-8") from None
    # RFC 7617, section 2.
    if ":" in username or _CONTROL.search(username + password):
        raise InvalidURI("a user name holds no colon, and no credentials hold control characters")
    return username, password


def _parse_host(hostport: str) -> tuple[str, int | None]:
    zone = ""
    if match := _ZONE.fullmatch(hostport):
        zone = "%" + match[2]
        hostport = match[1] + match[3]
    elif not hostport.isascii():
        name, colon, port = hostport.partition(":")
        hostport = _to_ascii(name) + colon + port
    parts = split_authority(hostport)
    if parts is None:
        raise InvalidURI("the address needs a valid host, and a port from 1 to 65535 if any")
    host, number = parts
    if ":" not in host:
        _check_labels(host)
    return host + zone, number


def _to_ascii(name: str) -> str:
    if len(name) > _HOST_LENGTH:
        raise InvalidURI("the host name is too long")
    try:
        ascii_name = name.encode("idna").decode("ascii")
    except UnicodeError:
        ascii_name = ""
    # A wide colon becomes a colon, and would put a port where nobody else reads one.
    if not _NAME.fullmatch(ascii_name):
        raise InvalidURI("the host name cannot be written as IDNA")
    return ascii_name


def _check_labels(host: str) -> None:
    labels = host.removesuffix(".").split(".")
    if len(host) > _HOST_LENGTH or not all(0 < len(label) <= _LABEL_LENGTH for label in labels):
        raise InvalidURI("a part of the host name is empty or too long")
