"""Which build is tested, and that it is all of one kind."""

import importlib
import os

import pytest

import anyws

COMPILED = ("scan", "header")


def suffixes():
    return {
        importlib.import_module(f"anyws._wire.{name}").__file__.rpartition(".")[2]
        for name in COMPILED
    }


def test_all_modules_are_of_one_build():
    assert len(suffixes()) == 1


@pytest.mark.skipif("ANYWS_BUILD" not in os.environ, reason="any build will do")
def test_the_build_that_was_asked_for():
    expected = {"compiled": {"so", "pyd"}, "plain": {"py"}}[os.environ["ANYWS_BUILD"]]
    assert suffixes() <= expected


@pytest.mark.skipif("ANYWS_INSTALLED" not in os.environ, reason="any place will do")
def test_the_installed_package_is_tested():
    assert "site-packages" in anyws.__file__
