"""What the tests of the opening handshake share."""

import pytest

from anyws.core.handshake import request_parser


@pytest.fixture(scope="module", params=["h11", "httptools"])
def each_parser(request):
    """Run a module's tests with each parser of requests."""
    if request.param == "httptools":
        pytest.importorskip("httptools")
        yield
        return
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(request_parser, "_httptools", lambda: None)
        yield
