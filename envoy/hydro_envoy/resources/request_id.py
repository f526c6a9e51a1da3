"""The id of a request, `x-request-id`, under which all logs have it. Pure.

Envoy makes one, a UUID, for each request that comes in, unless the client sends one of its own that
is 1 to 128 ASCII letters, digits and `-_.`: anything else could pass for more than an id in a log.
It goes to all stages and services, and comes back on every answer.
"""

from __future__ import annotations

import json

from envoy_data_plane.envoy.config.common.mutation_rules.v3 import HeaderMutation
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    RequestIdExtension,
)
from envoy_data_plane.envoy.extensions.request_id.uuid.v3 import UuidRequestIdConfig
from envoy_data_plane.google.protobuf import Any

from hydro_envoy.resources.routes import header

HEADER = "x-request-id"
_SENT = {"command": "REQ", "param": HEADER}
_ID = f"request.headers['{HEADER}']"
_IS_WELL = f"{_ID}.matches('^[A-Za-z0-9._-]+$') && size({_ID}) <= 128"
"""`hydro_services.rpc` has the same rule."""
_SENT_WELL = {"command": "CEL", "param": f"{_IS_WELL} ? {_ID} : request.headers['x-hydro-none']"}
"""The header that is never there makes it an expression without a value; null would be `NULL`."""


def _first(*operators: object) -> str:
    return f"%COALESCE({json.dumps({'operators': operators}, separators=(',', ':'))})%"


LOGGED = _first({"command": "RESP", "param": HEADER}, _SENT)
"""In access logs: as the client was told it, if it was."""

ON_ANSWERS = header(HEADER, _first(_SENT, "UNIQUE_ID"))
"""What could not be read as a request at all gets an id on its answer."""


def checked() -> HeaderMutation:
    """Of what clients send."""
    return HeaderMutation(append=header(HEADER, _first(_SENT_WELL, "UNIQUE_ID")))


def extension() -> RequestIdExtension:
    """Leaves ids as they are; by default Envoy writes into them whether a request is traced."""
    config = UuidRequestIdConfig(pack_trace_reason=False)
    return RequestIdExtension(typed_config=Any.pack(config))
