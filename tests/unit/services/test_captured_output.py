"""What models write: to the log, bounded, and never waiting for who reads it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hydro_services import captured_output
from hydro_services.captured_output import (
    BURST_LINES,
    LINES_PER_S,
    MAX_LINE_CHARACTERS,
    LineLogger,
    LineRateLimit,
)

PROGRAM = """
import os, subprocess, sys, time
from hydro_services import logs
from hydro_services.guard import run_in_child
logs.set_up_logging("WARNING", "part")
with run_in_child(lambda pid, status: None, dies_with_parent=False):
    {}
"""


def ran(code: str) -> tuple[str, list[str]]:
    """What reaches standard output, and the messages of the log."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(code)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        stdin=subprocess.PIPE,
    )
    return done.stdout, [json.loads(line)["message"] for line in done.stderr.splitlines()]


@pytest.mark.parametrize(
    "code",
    [
        "print('a\\nb')",
        "print('a\\nb', file=sys.stderr)",
        "sys.stdout.write('a'); sys.stdout.write('\\nb\\n')",
        "sys.stdout.buffer.write(b'a\\nb\\n')",
        "sys.__stdout__.write('a\\nb\\n')",
        "os.write(1, b'a\\nb\\n')",
        "os.write(2, b'a\\nb\\n')",
        "subprocess.run(['printf', 'a\\\\nb\\\\n'])",
        "subprocess.run(['printf', 'a\\\\nb\\\\n'], stdout=sys.stdout)",
        "print('a\\nb'); sys.stdout.reconfigure(line_buffering=True); sys.stdout.flush()",
        "pid = os.fork(); pid or (print('a\\nb'), os._exit(0)); os.waitpid(pid, 0)",
    ],
)
def test_all_ways_to_write_lead_to_the_log(code: str) -> None:
    assert ran(code) == ("", ["a", "b"])


SILENCING = (
    "logging.disable(logging.CRITICAL)",
    "logging.root.handlers.clear()",
    "logging.root.handlers[:] = [logging.NullHandler()]",
    "logging.root.addHandler(logging.StreamHandler())",
    "logging.basicConfig(force=True, level='DEBUG')",
    "logging.config.dictConfig({'version': 1, 'disable_existing_loggers': True})",
    "[each.handlers.clear() for each in every()]",
    "[each.setLevel(logging.CRITICAL) for each in every()]",
    "[each.addFilter(lambda record: False) for each in every()]",
    "[setattr(each, 'disabled', True) for each in every()]",
    "[setattr(each, 'propagate', True) for each in every()]",
    "[handler.setLevel(99) for each in every() for handler in each.handlers]",
    "[handler.close() for each in every() for handler in each.handlers]",
    "logging.setLogRecordFactory(None)",
    "logging.setLoggerClass(logging.Logger)",
    "logging.captureWarnings(True)",
    "logging.shutdown()",
    "os.close(1)",
    "os.close(2)",
    "os.dup2(os.open(os.devnull, os.O_WRONLY), 1)",
    "os.dup2(os.open(os.devnull, os.O_WRONLY), 2)",
    "sys.stdout = sys.stderr = sys.__stderr__ = None",
    "sys.__stderr__.close()",
    "sys.stderr.close()",
)
HEARD = """
import logging, logging.config
def every():
    known = logging.root.manager.loggerDict
    return [logging.root, *(each for each in known.values() if isinstance(each, logging.Logger))]
log = logging.getLogger('hydro_services.heard')
for step in {steps!r}:
    try: exec(step)
    except Exception: pass  # what an earlier step has done away with
print('printed') if sys.stdout and not sys.stdout.closed else None
log.warning('heard')
logging.getLogger('hydro_runtimes.later').error('heard')
"""


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(SILENCING), min_size=1, max_size=4))
@example(["logging.basicConfig(force=True, level='DEBUG')"])
@example(["logging.root.addHandler(logging.StreamHandler())"])
def test_our_own_modules_are_heard_once_whatever_a_model_does_to_logging(steps: list[str]) -> None:
    out, lines = ran(f"exec({HEARD.format(steps=steps)!r})")
    assert (out, lines.count("heard"), len(lines) <= 2 + len(steps)) == ("", 2, True), lines


def test_input_is_at_its_end() -> None:
    assert ran("print(repr(sys.stdin.read()), os.read(0, 1))") == ("", ["'' b''"])
    code = "try: input()\n    except EOFError: print('end')"
    assert ran(code) == ("", ["end"])


def test_much_is_left_out_and_counted() -> None:
    code = "[print(n) for n in range(100_000)]; time.sleep(0.1); print('last')"
    out, lines = ran(code)
    assert not out
    assert BURST_LINES <= len(lines) < BURST_LINES + 20 * LINES_PER_S
    assert lines[-1] == "last"


@pytest.mark.slow
@pytest.mark.parametrize(
    "code", ["print('x' * 100)", "os.write(1, b'x' * 100 + b'\\n')", "logging.error('x')"]
)
def test_nobody_who_reads_holds_up_nobody(code: str) -> None:
    """A pipe that is never read, and one that is closed."""
    loop = f"import logging\n    for _ in range(100_000): {code}\n    os._exit(7)"
    for close in (False, True):
        source, target = os.pipe()
        if close:
            os.close(source)
        program = PROGRAM.format(loop)
        child = subprocess.Popen([sys.executable, "-c", program], stdout=target, stderr=target)
        assert child.wait(60) == 7
        for fd in (target,) if close else (source, target):
            os.close(fd)


@given(st.lists(st.text("ab\n", max_size=20)))
def test_lines_are_whole_however_they_come(pieces: list[str]) -> None:
    logged: list[str] = []
    lines = LineLogger(1, LineRateLimit(lambda: 0.0))
    lines._log = logged.append  # type: ignore[method-assign,assignment]
    for piece in pieces:
        assert lines.write(piece) == len(piece)
    lines.write("\n")
    assert "\n".join(logged) == "".join(pieces)


def test_a_line_without_end_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    lines = LineLogger(1, LineRateLimit())
    with caplog.at_level("INFO", captured_output.logger.name):
        for _ in range(100):
            lines.write("x" * MAX_LINE_CHARACTERS)
    assert all(len(record.getMessage()) <= MAX_LINE_CHARACTERS for record in caplog.records)
    assert sum(len(record.getMessage()) for record in caplog.records) >= 99 * MAX_LINE_CHARACTERS


def test_the_limit_comes_back() -> None:
    now = time.monotonic()
    limit = LineRateLimit(lambda: now)
    taken = [limit.take() for _ in range(BURST_LINES + 5)]
    assert taken == [0] * BURST_LINES + [None] * 5
    now += 1
    assert [limit.take() for _ in range(LINES_PER_S + 1)] == [5, *[0] * (LINES_PER_S - 1), None]
