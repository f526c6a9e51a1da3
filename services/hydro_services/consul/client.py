"""py-consul over asyncio: its client of Consul's API, with an HTTP client of today's aiohttp.

py-consul's own adapter opens its session with arguments that aiohttp has given up.
"""

from __future__ import annotations

from typing import Any

import aiohttp
from consul import aio, base

CONNECT_S = 1.0


class _Http(aio.HTTPClient):  # type: ignore[misc]
    """Blocking queries wait long and at the same time: no limits but the caller's own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        base.HTTPClient.__init__(self, *args, **kwargs)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
        )


class Client(base.Consul):  # type: ignore[misc]
    """An agent's API; reads CONSUL_HTTP_TOKEN and CONSUL_HTTP_SSL. To be made on the event loop."""

    def http_connect(self, *args: Any, **kwargs: Any) -> _Http:
        return _Http(*args, **kwargs)
