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

from hydro_envoy import headers
from hydro_envoy.headers import MAX_REQUEST_ID, REQUEST_ID, REQUEST_ID_CHARACTERS
from hydro_envoy.resources.routes import set_header

_SENT = {"command": "REQ", "param": REQUEST_ID}
_ID = f"request.headers['{REQUEST_ID}']"
_NOTHING = f"request.headers['{headers.PREFIX}none']"
"""A header that is never there: an expression without a value; null would be logged as `NULL`."""
_IS_WELL = f"{_ID}.matches('^{REQUEST_ID_CHARACTERS}+$') && size({_ID}) <= {MAX_REQUEST_ID}"
"""The size is apart: Envoy refuses a regular expression that counts so far as too large."""
_SENT_WELL = {"command": "CEL", "param": f"{_IS_WELL} ? {_ID} : {_NOTHING}"}


def _first_of(*operators: object) -> str:
    return f"%COALESCE({json.dumps({'operators': operators}, separators=(',', ':'))})%"


LOGGED = _first_of({"command": "RESP", "param": REQUEST_ID}, _SENT)
"""In access logs: as the client got it, if it did."""

ON_ANSWERS = set_header(REQUEST_ID, _first_of(_SENT, "UNIQUE_ID"))
"""What could not be read as a request at all gets an id on its answer."""


def replace_unfit_id() -> HeaderMutation:
    """Of what clients send."""
    return HeaderMutation(append=set_header(REQUEST_ID, _first_of(_SENT_WELL, "UNIQUE_ID")))


def keep_ids_extension() -> RequestIdExtension:
    """Leaves ids as they are; by default Envoy writes into them whether a request is traced."""
    config = UuidRequestIdConfig(pack_trace_reason=False)
    return RequestIdExtension(typed_config=Any.pack(config))
