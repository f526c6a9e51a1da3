"""The real Zipkin server, for tests."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from patience import PATIENCE_S
from ports import free_ports
from whole_mesh import HOST, ROOT, WholeMesh, wait_until

"""None of a mesh's, which would be taken while Java still starts."""
START_S = 90.0

Span = dict[str, Any]


@dataclass(frozen=True)
class Zipkin:
    """Asks a server for what it has got."""

    address: str

    def traces(self, pipeline: str) -> list[list[Span]]:
        """All traces with a span of this pipeline."""
        query = urllib.parse.urlencode({"annotationQuery": f"pipeline={pipeline}", "limit": 100})
        return list(self.get(f"/api/v2/traces?{query}"))

    def trace(self, pipeline: str, spans: int) -> list[Span]:
        """The one trace of a pipeline, once it has so many spans."""
        found: list[list[Span]] = []

        def is_whole() -> bool:
            found[:] = self.traces(pipeline)
            return sum(map(len, found)) >= spans

        wait_until(is_whole, PATIENCE_S, f"{spans} spans of {pipeline}; there are {found}")
        assert len(found) == 1, found
        return found[0]

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://{self.address}{path}", timeout=PATIENCE_S) as answer:
            return json.loads(answer.read())

    def runs(self) -> bool:
        with contextlib.suppress(OSError):
            return bool(self.get("/health")["status"] == "UP")
        return False


@dataclass(frozen=True)
class Traced:
    """A mesh, the server that gets its spans, and the file with its access log."""

    mesh: WholeMesh
    zipkin: Zipkin
    access_log: Path


@contextlib.contextmanager
def zipkin(folder: Path) -> Iterator[Zipkin]:
    """A server that starts while others do; wait for `runs`."""
    (port,) = free_ports(1)
    fetched = subprocess.run(
        [ROOT / "scripts" / "zipkin"], capture_output=True, text=True, check=False
    )
    assert fetched.returncode == 0, fetched.stderr
    home = os.environ.get("JAVA_HOME")
    java = f"{home}/bin/java" if home else "java"
    quick = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
    with (folder / "zipkin.log").open("w") as log:
        process = subprocess.Popen(
            [java, *quick, "-jar", fetched.stdout.strip()],
            env=os.environ | {"QUERY_PORT": str(port)},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Zipkin(f"{HOST}:{port}")
    finally:
        process.kill()
        process.wait()


def tree(spans: list[Span]) -> list[Any]:
    """The spans below each other: [span, [children]], by time; all must hang together."""
    ids = {span["id"] for span in spans}
    roots = [span for span in spans if span.get("parentId") not in ids]
    assert len(roots) == 1, roots
    return _below(roots[0], spans)


def _below(span: Span, spans: list[Span]) -> list[Any]:
    children = [each for each in spans if each.get("parentId") == span["id"]]
    children.sort(key=lambda each: int(each["timestamp"]))
    return [span, [_below(each, spans) for each in children]]
