"""The Envoy process: found, started, watched, drained. It dies with its parent."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import sys
import urllib.error
import urllib.request
from collections import deque
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from hydro_envoy.address import Address
from hydro_envoy.errors import EnvoyFailed
from hydro_envoy.proxy import connections
from hydro_envoy.proxy.bootstrap import DRAINING, METRICS, Bootstrap, bootstrap_json
from hydro_envoy.proxy.envoy_log import read_line, read_log_line

logger = logging.getLogger(__name__)


_LAUNCHER = """
import ctypes, os, resource, signal, sys
parent, command = int(sys.argv[1]), sys.argv[2:]
if sys.platform.startswith("linux"):
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
if soft != hard and hard != resource.RLIM_INFINITY:
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
if os.getppid() == parent:
    os.execv(command[0], command)
"""
"""Becomes Envoy, which may open as many files as the system lets it, having asked the kernel to end
it when its parent dies, also by kill -9. A program of its own, because to run Python between fork
and exec is unsafe in a process with threads."""
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""By no proxy: http_proxy is for the web."""
_POLL_S = 0.02
_REFUSED_S = 5.0
_QUIET_POLLS = 5
_KILL_AFTER_S = 5.0


class Envoy:
    """A running Envoy, as an async context manager: drained and ended on leaving."""

    def __init__(
        self,
        binary: Path,
        wanted: Bootstrap,
        folder: Path,
        *,
        concurrency: int | None = None,
        drain_s: float = 5.0,
    ) -> None:
        """Starts nothing yet.

        Args:
            binary: From `find_envoy`.
            wanted: What to configure.
            folder: For its files; made if need be, one for each Envoy.
            concurrency: Worker threads; None: one a core.
            drain_s: How long calls under way may take when it is stopped.
        """
        self._binary = binary
        self._wanted = wanted
        self._folder = folder
        self._concurrency = concurrency
        self._drain_s = drain_s
        self._drain_key = secrets.token_hex(16)
        self._last_words: deque[str] = deque(maxlen=20)
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False
        self._log: asyncio.Task[None] | None = None
        self._refused: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Envoy:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                await self.drain()
        finally:
            await self.stop()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._running().pid

    @property
    def admin(self) -> Address:
        """Where its admin API listens; known once it is ready."""
        return Address.parse(self._admin_file.read_text().strip())

    async def start(self) -> None:
        """Writes the configuration and starts the process."""
        self._folder.mkdir(parents=True, exist_ok=True)
        # Envoy writes it when its admin port is bound: that of an earlier process would mislead.
        self._admin_file.unlink(missing_ok=True)
        config = self._folder / "bootstrap.json"
        wanted = replace(
            self._wanted, drain_key=self._drain_key, max_connections=connections.connection_limit()
        )
        _write_private(config, bootstrap_json(wanted))
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid())),
            *(str(self._binary), *self._arguments(config)),
            stdin=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,  # stdout is ours: an access log may go there
            limit=1024 * 1024,
            process_group=0,  # a terminal's Ctrl-C is for us, who drain first
        )
        self._log = asyncio.create_task(self._read_log(), name="envoy-log")
        self._refused = asyncio.create_task(self._tell_refused(), name="envoy-refused")

    async def ready(self, *, timeout_s: float) -> None:
        """Waits until it has its first listeners.

        Raises:
            EnvoyFailed: it ended, or time is up; with what it last said.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while not await self._is_ready():
                    if self._running().returncode is not None:
                        await self.wait()
                        raise EnvoyFailed(f"envoy ended with {self._code()}", self._last_words)
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            raise EnvoyFailed(
                f"envoy was not ready within {timeout_s:g} s: is its manager at "
                f"{self._wanted.ads} up",
                tuple(self._last_words),
            ) from None

    async def wait(self) -> int:
        """Waits until the process has ended; its exit code, or the signal, negative."""
        code = await self._running().wait()
        # The log to its end: it has why Envoy ended. Shielded, as several callers may wait here.
        if self._refused:
            self._refused.cancel()
        if self._log:
            await asyncio.shield(self._log)
        return code

    async def drain(self) -> None:
        """Takes no new connections and waits for calls to end, `drain_s` at most."""
        if self._process is None or self._process.returncode is not None:
            return
        self._stopping = True
        # In this order: with failed health checks answers ask their connections to close; then no
        # new connections are taken.
        for path in DRAINING:
            await self._ask("POST", f"{path}?{self._drain_key}")
        try:
            async with asyncio.timeout(self._drain_s):
                await self._quiet()
        except TimeoutError:
            logger.warning("calls were cut when envoy stopped", extra={"drain_s": self._drain_s})

    async def _quiet(self) -> None:
        """Waits until no request has been under way for a while.

        A connection is told to close with the answer to its next request, so under load there is
        a moment without requests before all clients know.
        """
        polls = 0
        while polls < _QUIET_POLLS:
            polls = 0 if await self._active_requests() else polls + 1
            await asyncio.sleep(_POLL_S)

    async def stop(self) -> None:
        """Ends the process now and waits for its end; may be called again."""
        if self._process is None:
            return
        self._stopping = True
        if self._process.returncode is None:
            self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_KILL_AFTER_S):
                await self._process.wait()
        except TimeoutError:
            self._signal(signal.SIGKILL)
        await self.wait()

    @property
    def _admin_file(self) -> Path:
        return self._folder / "admin.address"

    def _arguments(self, config: Path) -> list[str]:
        workers = [] if self._concurrency is None else ["--concurrency", str(self._concurrency)]
        return [
            *("--config-path", str(config)),
            *("--admin-address-path", str(self._admin_file)),
            *("--log-level", "warning"),
            *("--component-log-level", "ext_proc:error"),  # a warning for every failed call
            *("--log-format", "%l|%n|%v"),
            "--log-format-escaped",
            "--disable-hot-restart",  # so that many Envoys run on one machine
            *("--file-flush-interval-msec", "1000"),  # who watches an access log sees it grow
            *("--drain-time-s", str(max(1, round(self._drain_s)))),
            *("--drain-strategy", "immediate"),
            *workers,
        ]

    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise EnvoyFailed("envoy was not started")
        return self._process

    def _code(self) -> str:
        code = self._running().returncode
        return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"

    def _signal(self, number: signal.Signals) -> None:
        try:
            self._running().send_signal(number)
        except ProcessLookupError:
            logger.debug("envoy had ended before the signal")

    async def _is_ready(self) -> bool:
        return await self._ask("GET", "/ready") == "LIVE\n"

    async def _active_requests(self) -> int:
        text = await self._ask("GET", r"/stats?filter=^http\..*downstream_rq_active$")
        counts = [line.rpartition(": ") for line in (text or "").splitlines()]
        # The admin's own request is one of them; nobody waits for a scrape.
        own = ("http.admin.", f"http.{METRICS}.")
        return sum(int(n) for name, _, n in counts if not name.startswith(own))

    async def _tell_refused(self) -> None:
        """Logs how many connections Envoy has refused, which itself only counts them."""
        logged = 0
        while True:
            await asyncio.sleep(_REFUSED_S)
            count = connections.count_refused(await self._ask("GET", connections.STATS) or "")
            if count > logged:
                extra = {"connections": count - logged, "limit": connections.connection_limit()}
                logger.warning(
                    "envoy refused connections: there are as many as it takes", extra=extra
                )
            logged = max(logged, count)

    async def _ask(self, method: str, path: str) -> str | None:
        """The admin API's answer; None while there is none."""
        return await asyncio.to_thread(self._ask_now, method, path)

    def _ask_now(self, method: str, path: str) -> str | None:
        try:
            request = urllib.request.Request(f"http://{self.admin}{path}", method=method)
            with _DIRECT.open(request, timeout=2.0) as answer:
                return str(answer.read().decode())
        except (OSError, ValueError):
            return None  # not up yet, or not up any more: the caller looks at the process

    async def _read_log(self) -> None:
        stream = self._running().stderr
        assert stream is not None
        while line := await read_line(stream):
            level, component, text = read_log_line(line.rstrip("\n"))
            self._last_words.append(text)
            level = logging.DEBUG if self._stopping else level
            logger.log(level, "envoy: %s", text, extra={"component": component})


def _write_private(path: Path, text: str) -> None:
    """Only its owner may read the file: it has the token that the manager wants to see."""
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
