"""What all tests share: the three loops, and a line that says which build is tested."""

import asyncio
import collections
import importlib.metadata
import importlib.util
import logging
import os
import pathlib
import warnings

import hypothesis
import pytest

import anyws
from anyws._wire import scan

BACKENDS = [
    pytest.param(("asyncio", {"debug": True}), id="asyncio"),
    pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
    pytest.param(("trio", {"strict_exception_groups": True}), id="trio"),
]


def _load(name):
    """Load a module that lies here; the tests are not a package."""
    path = pathlib.Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(f"anyws_tests_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


run_browser = _load("browser").run_browser


@pytest.fixture(params=BACKENDS)
def anyio_backend(request):
    return request.param


@pytest.fixture(scope="session", autouse=True)
def programs_without_development_mode():
    """What a program writes is compared, and asyncio's debug mode writes more on a busy machine."""
    os.environ.pop("PYTHONDEVMODE", None)


@pytest.fixture(autouse=True)
def level_of_the_log():
    """What the command line is told to log is not logged in the tests after it."""
    logger = logging.getLogger("anyws")
    level = logger.level
    yield
    logger.setLevel(level)


@pytest.fixture
def quiet_loop(anyio_backend):
    """Give a function that ends debug mode, in which asyncio tells its exception handler of each failed handshake."""

    def switch():
        if anyio_backend[0] == "asyncio":
            asyncio.get_running_loop().set_debug(False)

    return switch


def pytest_configure(config):
    # What an example takes says how busy the machine is.
    hypothesis.settings.register_profile("anyws", deadline=None, print_blob=True)
    hypothesis.settings.load_profile("anyws")
    # How long a callback took says how busy the machine is.
    logging.getLogger("asyncio").addFilter(
        lambda record: not record.msg.startswith("Executing %s took")
    )
    config.addinivalue_line("markers", "slow: takes more than a second")
    config.addinivalue_line("markers", "cancelled_on(*ways, where): see tests/faults/conftest.py")


def pytest_report_header():
    build = "plain" if scan.__file__.endswith(".py") else "compiled"
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("anyio", "trio", "uvloop", "h11")
    )
    return f"anyws: {build} build, from {pathlib.Path(anyws.__file__).parent}; {versions}"


def pytest_sessionstart(session):
    if os.environ.get("ANYWS_INSTALLED") and "site-packages" not in anyws.__file__:
        raise pytest.UsageError(f"the installed anyws is to be tested, not {anyws.__file__}")
    warnings.filterwarnings("error")


def pytest_terminal_summary(terminalreporter):
    """Tell at how many points each operation was cancelled, on each loop."""
    points = collections.defaultdict(collections.Counter)
    for report in terminalreporter.stats.get("passed", ()):
        for operation, loop, count in dict(report.user_properties).get("cancelled", ()):
            points[operation][loop] += count
    for operation, loops in points.items():
        counts = ", ".join(f"{loop} {count}" for loop, count in loops.items())
        terminalreporter.write_line(f"cancelled at every point of {operation}: {counts}")
