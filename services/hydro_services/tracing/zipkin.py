"""Spans as Zipkin takes them: API v2, JSON over HTTP. Source: https://zipkin.io/zipkin-api/."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import Sequence
from typing import Any

import orjson

from hydro_envoy.address import Address
from hydro_services.tracing.span import Span

PATH = "/api/v2/spans"
SEND_S = 5.0
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Without a proxy: http_proxy is for the web."""


class ZipkinCollector:
    """A collector at an address."""

    def __init__(self, collector: Address, service: str) -> None:
        """`service` is the name of this process's service."""
        self._url = f"http://{collector}{PATH}"
        self._service = service

    async def send(self, spans: Sequence[Span]) -> int:
        """Sends spans; returns how many of them were refused.

        Raises:
            OSError: the collector does not take them.
        """
        body = orjson.dumps([encode_span(span, self._service) for span in spans])
        await asyncio.to_thread(_post, self._url, body)
        return 0

    async def close(self) -> None:
        """There is no connection to close: each batch has its own."""


def encode_span(span: Span, service: str) -> dict[str, Any]:
    """A span as JSON."""
    return {
        "traceId": span.parent.trace,
        "id": span.id,
        "parentId": span.parent.span,
        "kind": "SERVER",
        "name": span.name,
        "timestamp": span.start_ns // 1000,
        "duration": max(span.duration_ns // 1000, 1),
        "localEndpoint": {"serviceName": service},
        "tags": {**span.tags, **({"error": span.error} if span.error else {})},
    }


def _post(url: str, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(url, body, headers, method="POST")
    with _DIRECT.open(request, timeout=SEND_S) as answer:
        answer.read()
