"""What the close codes mean, for people."""

from __future__ import annotations

from anyws.errors import Close

__all__ = ["close_line", "explain"]

_MEANINGS = {
    1000: "all that was to be done is done",
    1001: "the server is shutting down, or the page was left",
    1002: "a side broke the protocol's rules",
    1003: "a kind of data came that is not accepted, such as binary where only text is",
    1005: "the close frame gave no reason",
    1006: "the connection was lost without a close frame: the network, a proxy or a crash",
    1007: "the data does not fit its kind, such as text that is not UTF-8",
    1008: "what was done is not allowed; often a login that is missing or has expired",
    1009: "a message was larger than the other side takes",
    1010: "the server lacks an extension that the client needs",
    1011: "the server met an error of its own",
    1012: "the server restarts; connect again in a while",
    1013: "the server is overloaded; connect again in a while",
    1014: "a gateway got a bad answer from the server behind it",
    1015: "TLS failed",
}


def explain(code: int) -> str:
    """Return what a close code means, without a full stop (RFC 6455, section 7.4, and the IANA registry)."""
    meaning = _MEANINGS.get(code)
    if meaning is not None:
        return meaning
    if 3000 <= code < 4000:
        return "registered for a library or framework"
    if 4000 <= code < 5000:
        return "the application's own code; its documentation says what it means"
    return "not a code of RFC 6455"


def close_line(code: int, reason: str) -> str:
    """Return a code with its name, the peer's reason and what it means, as one line."""
    return f"{Close(code, reason)}: {explain(code)}"
