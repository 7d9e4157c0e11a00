"""The page and the answers around it, without a server."""

import base64
import hashlib
import re

import pytest

from anyws.core.handshake.request import Request
from anyws.demo.page import PageSite


@pytest.fixture
def site():
    return PageSite(frozenset({"/chat"}))


def test_the_policy_lets_exactly_what_is_in_the_page_run(site):
    response = site(Request("GET", "/"))
    page = response.body.decode()
    policy = response.headers["Content-Security-Policy"]
    for tag in ("script", "style"):
        (part,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy


@pytest.mark.parametrize(
    ("target", "status", "begin"),
    [
        ("/", 200, b"<!doctype html>"),
        ("/?x=y", 200, b"<!doctype html>"),
        ("/health", 200, b"ok\n"),
        ("/health/", 404, b"There is nothing here"),
        ("/page.html", 404, b"There is nothing here"),
        ("/../page.html", 404, b"There is nothing here"),
    ],
)
def test_paths(site, target, status, begin):
    response = site(Request("GET", target))
    assert response.status == status
    assert response.body.lower().startswith(begin.lower())


def test_a_socket_is_left_to_the_handshake(site):
    assert site(Request("GET", "/chat")) is None
    assert site(Request("GET", "/chat?x")) is None
