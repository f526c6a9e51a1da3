"""HTTP filters of the gateway and of API listeners. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Literal

from envoy_data_plane.envoy.config.common.mutation_rules.v3 import (
    HeaderMutation,
    HeaderMutationRemoveOnMatch,
)
from envoy_data_plane.envoy.config.core.v3 import AsyncDataSource, DataSource
from envoy_data_plane.envoy.extensions.filters.http.grpc_json_transcoder.v3 import (
    GrpcJsonTranscoder,
    GrpcJsonTranscoderPrintOptions,
    GrpcJsonTranscoderRequestValidationOptions,
)
from envoy_data_plane.envoy.extensions.filters.http.grpc_stats.v3 import FilterConfig as GrpcStats
from envoy_data_plane.envoy.extensions.filters.http.header_mutation.v3 import (
    HeaderMutation as HeaderMutationFilter,
)
from envoy_data_plane.envoy.extensions.filters.http.header_mutation.v3 import Mutations
from envoy_data_plane.envoy.extensions.filters.http.lua.v3 import Lua
from envoy_data_plane.envoy.extensions.filters.http.router.v3 import Router
from envoy_data_plane.envoy.extensions.filters.http.wasm.v3 import Wasm
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpFilter
from envoy_data_plane.envoy.extensions.wasm.v3 import FailurePolicy, PluginConfig, VmConfig
from envoy_data_plane.envoy.type.matcher.v3 import RegexMatcher, StringMatcher
from envoy_data_plane.google.protobuf import Any

from hydro_envoy.resources.routes import WHOLE_ANSWER


def transcoder_filter(services: Sequence[str], descriptor_set: bytes, max_bytes: int) -> HttpFilter:
    """HTTP/JSON to gRPC and back by google.api.http annotations; `max_bytes` bounds its buffers."""
    config = GrpcJsonTranscoder(
        services=sorted(services),
        proto_descriptor_bin=descriptor_set,
        convert_grpc_status=True,
        print_options=GrpcJsonTranscoderPrintOptions(always_print_primitive_fields=True),
        max_request_body_size=max_bytes,
        max_response_body_size=max_bytes,
        ignore_unknown_query_parameters=True,
        # What the URL names and the body names, too, has to be the same.
        request_validation_options=GrpcJsonTranscoderRequestValidationOptions(
            reject_binding_body_field_collisions=True
        ),
    )
    return HttpFilter(name="transcoder", typed_config=Any.pack(config))


def errors_filter() -> HttpFilter:
    """Gives errors that leave Envoy the one form; see errors.lua. Before all that answers."""
    script = files(__package__).joinpath("errors.lua").read_text()
    config = Lua(default_source_code=DataSource(inline_string=script))
    return HttpFilter(name="errors", typed_config=Any.pack(config))


def requests_filter(script: Literal["gateway", "api_listener"]) -> HttpFilter:
    """The first of a listener's filters: see its script in Lua."""
    parts = [files(__package__).joinpath(f"{each}.lua").read_text() for each in ("body", script)]
    config = Lua(default_source_code=DataSource(inline_string="\n".join(parts)))
    return HttpFilter(name="requests", typed_config=Any.pack(config))


def no_trailers_filter() -> HttpFilter:
    """Ends requests with their body, whatever trailers follow: gRPC's have no meaning.

    A router that may try again keeps the body, and Envoy brings what is kept a second time when a
    stage lets trailers through (Envoy 1.40).
    """
    every = HeaderMutationRemoveOnMatch(
        key_matcher=StringMatcher(safe_regex=RegexMatcher(regex=".*"))
    )
    mutations = Mutations(request_trailers_mutations=[HeaderMutation(remove_on_match=every)])
    config = Any.pack(HeaderMutationFilter(mutations=mutations))
    return HttpFilter(name="no_trailers", typed_config=config)


def pipeline_name_filter() -> HttpFilter:
    """Sets the header x-pipeline from the field `pipeline` of the first message of a call.

    See pipeline_name.wat. Envoy's grpc_field_extraction would do the same, but keeps the start of
    a message that comes in one piece with the end of the first (Envoy 1.40).
    """
    return _wasm_filter("pipeline_name")


def whole_answer_filter() -> HttpFilter:
    """Holds answers to requests with `headers.ANSWER` until they are whole; see whole_answer.wat.

    Out of work but on the routes of chains.
    """
    held = _wasm_filter(WHOLE_ANSWER)
    held.disabled = True
    return held


def _wasm_filter(name: str) -> HttpFilter:
    code = files(__package__).joinpath(f"{name}.wasm").read_bytes()
    machine = VmConfig(
        vm_id=name,
        runtime="envoy.wasm.runtime.v8",
        code=AsyncDataSource(local=DataSource(inline_bytes=code)),
    )
    config = PluginConfig(
        name=name,
        vm_config=machine,
        failure_policy=FailurePolicy.FAIL_RELOAD,
        allow_on_headers_stop_iteration=True,
    )
    return HttpFilter(name=name, typed_config=Any.pack(Wasm(config=config)))


def grpc_stats_filter() -> HttpFilter:
    """Counts by method and gRPC status."""
    config = GrpcStats(stats_for_all_methods=True, enable_upstream_stats=True)
    return HttpFilter(name="grpc_stats", typed_config=Any.pack(config))


def router_filter() -> HttpFilter:
    """The end of the chain."""
    return HttpFilter(name="router", typed_config=Any.pack(Router()))
