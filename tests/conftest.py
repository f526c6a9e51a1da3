"""What all tests share: the data beside the repository, and the rule that CI skips nothing."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from hydro_services import logs

ROOT = Path(__file__).resolve().parents[1]
IN_CI = os.environ.get("CI") == "true"

# gRPC's handlers of forks have threads in the child that lack what they work on; of the tests that
# start programs PySpark's does so by a fork, and its Java then never starts.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"

# A shell starts background jobs with SIGINT ignored, and so would be all that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Slow machines fail no test.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("fast", settings.get_profile("any machine"), max_examples=5)
settings.load_profile("any machine")  # scripts/test --fast: the other


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of data beside the repository, or where HYDRO_SHARED says; else a skip."""
    folder = Path(os.environ.get("HYDRO_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no folder {folder}; set HYDRO_SHARED")
    return folder


@pytest.fixture(autouse=True)
def _logging_stays() -> Iterator[None]:
    """What a test leaves behind there could fail, or blind, any later one of the process."""
    before = _logging()
    yield
    after = _logging()
    changed = [name for name, state in before.items() if after[name] != state]
    assert not changed, f"the test has left logging changed: {changed}; see `own_logging`"


def _logging() -> dict[str, object]:
    """Of the root and of each logger: level, handlers and whether it is heard."""
    known = logging.root.manager.loggerDict.values()
    loggers = [each for each in known if isinstance(each, logging.Logger)]
    found: dict[str, object] = {
        each.name: (
            each.level,
            each.propagate,
            each.disabled,
            [(handler, handler.level, sorted(vars(handler))) for handler in each.handlers],
        )
        for each in (logging.root, *loggers)
    }
    return found | {"logging.disable": logging.root.manager.disable}


@pytest.fixture
def libraries_log() -> Iterator[None]:
    """For tests that keep libraries from logging: their loggers are as they were when they end."""
    known = [
        each
        for each in logging.root.manager.loggerDict.values()
        if isinstance(each, logging.Logger)
    ]
    before = [
        (each, each.level, each.propagate, each.disabled, list(each.handlers)) for each in known
    ]
    yield
    for each, level, propagate, disabled, handlers in before:
        each.propagate, each.disabled, each.handlers = propagate, disabled, handlers
        each.setLevel(level)


@pytest.fixture
def own_logging() -> Iterator[None]:
    """For tests that set up logging as a process does: all is as it was when they end."""
    loggers = [logging.getLogger(name) for name in ("", *logs.PACKAGES)]
    before = [(each.level, list(each.handlers)) for each in loggers]
    yield
    logging.setLoggerClass(logging.Logger)
    logs._own_handlers.clear()
    for known in logging.root.manager.loggerDict.values():
        if isinstance(known, logs.OwnLogger):
            known.__class__ = logging.Logger  # type: ignore[assignment]
    for logger, (level, handlers) in zip(loggers, before, strict=True):
        logger.setLevel(level)
        logger.handlers[:] = handlers


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI nothing may be missing: a test that skips itself has failed."""
    report = yield
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        _fail(report)
    # pytest-xdist sends reports as UTF-8, which what tests write and log need not be.
    report.sections = [
        (name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections
    ]
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a module that skips itself when it is imported."""
    report = yield
    if IN_CI and report.skipped:
        _fail(report)
    return report


def _fail(report: pytest.TestReport | pytest.CollectReport) -> None:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
    report.outcome = "failed"
    report.longrepr = f"{report.nodeid}: no test may be skipped in CI: {reason}"
