"""What Envoy itself answers when it cannot or will not pass a request on. Pure.

A reply is a text, a reason with its gRPC code, and facts: headers `x-hydro-error-<fact>`, which
errors.lua, at the gateway and at API listeners, takes for the one form of errors. Without the
code Envoy maps HTTP's to gRPC's in ways that mislead: 413 to UNKNOWN, 404 to UNIMPLEMENTED, 429 to
UNAVAILABLE.
"""

from __future__ import annotations

from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    LocalReplyConfig,
)

from hydro_envoy import headers
from hydro_envoy.headers import FAILED_IN, METADATA, Fact
from hydro_envoy.resources.log_filters import all_of, cel, has_flags, has_header, is_grpc
from hydro_envoy.resources.names import stage_filter_name
from hydro_envoy.resources.reply_mapping import (
    PIPELINE_FACT,
    PIPELINE_NAME,
    keep_status,
    map_final_reply,
    map_reply,
)
from hydro_envoy.resources.routes import DONE, set_header
from hydro_envoy.resources.web_pages import FOREIGN_HOST, FOREIGN_ORIGIN

PENDING_WAIT_S = 2
"""After so long a client is to ask again for a pipeline that does not serve yet."""


MAX_STAGES = 16
"""Of a chain, as the manager allows."""


_PIPELINE = f"pipeline '{PIPELINE_NAME}'"


_STAGES = PIPELINE_FACT | {Fact.STAGES: f"%METADATA(ROUTE:{METADATA}:{headers.ROUTE_STAGES})%"}
"""With it errors.lua puts `stage <name>` in place of `{stage}`; with the next, `{limit}` too."""
_LIMITS = _STAGES | {Fact.LIMITS: f"%METADATA(ROUTE:{METADATA}:{headers.ROUTE_LIMITS})%"}
_CALLS = {
    Fact.CALLS: "".join(
        f"%FILTER_STATE({stage_filter_name(i)}:PLAIN)%;" for i in range(MAX_STAGES - 1)
    )
}
"""What became of the call of each stage; without it the last stage is meant."""
_FULL = (
    f"{{stage}} of {_PIPELINE} has {{limit}} requests under way, the limit of its circuit breaker;"
    " send it again when some are answered"
)
_OVERLOADED = set_header("x-envoy-overloaded", "true")
_FOR_OTHERS = "to be called from elsewhere the mesh needs an admin key, see `hydro keys admin`"
_FOREIGN_HOST = (
    "this port is for programs of this machine: the host is '%REQ(:AUTHORITY):200%', "
    f"want localhost, 127.0.0.1 or [::1]; {_FOR_OTHERS}"
)
_FOREIGN_ORIGIN = (
    "this port is for programs of this machine, not for pages of '%REQ(ORIGIN):200%';"
    f" {_FOR_OTHERS}"
)
_UNFIT = "the body is not the JSON object that this method takes"
_NOT_AGAIN = "a stage failed after more was sent than is kept for another try; send it again"


def pipes_replies() -> LocalReplyConfig:
    """For the internal listener, which only ever speaks gRPC (the gateway makes JSON of it)."""
    nameless = all_of(has_flags("NR"), has_header(headers.SCOPE, present=False))
    in_stage = "response.code_details.startsWith('ext_proc_error')"
    return LocalReplyConfig(
        mappers=[
            map_reply(
                nameless,
                "INVALID_ARGUMENT",
                "the first message names no pipeline: set its field `pipeline`",
            ),
            map_reply(
                has_flags("NR"), "NOT_FOUND", f"no such pipeline: {PIPELINE_NAME}", PIPELINE_FACT
            ),
            map_reply(
                cel("response.code_details == 'direct_response'"),
                "UNAVAILABLE",
                "%LOCAL_REPLY_BODY%",
                PIPELINE_FACT | {Fact.WAIT_S: str(PENDING_WAIT_S)},
                [set_header("retry-after", str(PENDING_WAIT_S)), set_header(DONE, "true")],
            ),
            map_reply(
                cel("response.code_details == 'local_rate_limited'"),
                "RATE_LIMITED",
                f"%RESP({Fact.TEXT.header})%",
                PIPELINE_FACT,
            ),
            map_reply(
                cel("response.code_details.startsWith('rbac_access_denied')"),
                "INTERNAL",
                f"the caller of {_PIPELINE} could not be determined",
                PIPELINE_FACT,
            ),
            map_reply(  # But for a stage's own refusal, which tells more.
                cel(f"response.code == 413 && !response.code_details.startsWith('{FAILED_IN}')"),
                "TOO_LARGE",
                f"the message is too large for {_PIPELINE}",
                PIPELINE_FACT,
            ),
            map_reply(
                cel("response.code == 504 || response.code_details == 'max_duration_timeout'"),
                "NOT_IN_TIME",
                f"{_PIPELINE} did not answer within its time limit",
                PIPELINE_FACT,
            ),
            map_reply(cel("response.code == 507"), "UNAVAILABLE", _NOT_AGAIN, PIPELINE_FACT),
            map_reply(
                cel(f"{in_stage} && response.code_details.contains('overflow')"),
                "CIRCUIT_BREAKER_OPEN",
                _FULL,
                _LIMITS | _CALLS,
                [_OVERLOADED],
            ),
            map_reply(
                cel(in_stage),
                "UNAVAILABLE",
                f"{{stage}} of {_PIPELINE} is unavailable",
                _STAGES | _CALLS,
            ),
            map_reply(has_flags("UO"), "CIRCUIT_BREAKER_OPEN", _FULL, _LIMITS),
            map_reply(
                has_flags("UH", "UF", "UC", "UR"),
                "UNAVAILABLE",
                f"{{stage}} of {_PIPELINE} is unavailable: %LOCAL_REPLY_BODY%",
                _STAGES,
            ),
        ]
    )


def limited_replies() -> LocalReplyConfig:
    """For the internal listener behind circuit breakers, which knows one stage alone."""
    stage = f"%REQ({headers.STAGE}):500%"
    return LocalReplyConfig(
        mappers=[
            map_reply(
                has_flags("UH", "UF", "UC", "UR", "NC"),
                "UNAVAILABLE",
                f"stage {stage} of {_PIPELINE} is unavailable: %LOCAL_REPLY_BODY%",
                PIPELINE_FACT | {Fact.STAGE: stage},
            )
        ]
    )


def api_replies(behind: str, max_bytes: int) -> LocalReplyConfig:
    """For a listener that serves gRPC and HTTP/JSON.

    Args:
        behind: what it leads to, such as "manager".
        max_bytes: of a request, at most.
    """
    details = "%RESPONSE_CODE_DETAILS%"
    unread = "startsWith('http1.') || response.code_details.startsWith('http2.')"
    return LocalReplyConfig(
        mappers=[
            *(
                map_reply(
                    cel(f"response.code_details.contains('{name}')"), "PERMISSION_DENIED", text
                )
                for name, text in ((FOREIGN_HOST, _FOREIGN_HOST), (FOREIGN_ORIGIN, _FOREIGN_ORIGIN))
            ),
            map_reply(
                all_of(is_grpc(), has_flags("NR")),
                "UNIMPLEMENTED",
                "no such method: %PATH(NQ:PATH):500%",
            ),
            map_reply(
                has_flags("NR"),
                "NOT_FOUND",
                "no such path for %REQ(:METHOD)%: %PATH(NQ:ORIG_OR_PATH):500%",
            ),
            map_reply(
                cel("response.code == 413"),
                "TOO_LARGE",
                f"the request is too large, want at most {max_bytes} bytes",
                PIPELINE_FACT | {Fact.LIMIT: str(max_bytes)},
            ),
            map_reply(
                cel("response.code == 405"),
                "UNIMPLEMENTED",
                "this path does not take %REQ(:METHOD)%; it takes %LOCAL_REPLY_BODY%",
                status=405,
            ),
            map_reply(
                cel("response.code == 408"),
                "NOT_IN_TIME",
                "the rest of the request did not come in time; send it without a pause",
                status=408,
            ),
            map_reply(
                cel("response.code == 431"),
                "TOO_LARGE",
                f"the request's header is too large or has too many fields: {details}",
                status=431,
            ),
            map_reply(
                cel("response.code_details.contains('filter_removed_required_request_headers')"),
                "NOT_FOUND",
                "no such pipeline: its name has characters that no name has",
            ),
            # Where the answer's header is with the filters, what follows passes all of them by.
            map_final_reply(
                cel("response.code_details.startsWith('upstream_reset_after_response_started')"),
                "UNAVAILABLE",
                f"the {behind} broke off its answer before any of it had left; send it again",
            ),
            map_final_reply(
                cel("response.code_details == 'response_payload_too_large'"),
                "TOO_LARGE",
                f"the answer is over {max_bytes} bytes, the most that HTTP/1.0 can be given; "
                "use HTTP/1.1 or send fewer rows",
            ),
            # What was sent is too much to keep for a retry, which a stage's failure made necessary.
            map_reply(cel("response.code == 507"), "UNAVAILABLE", _NOT_AGAIN, PIPELINE_FACT),
            map_reply(
                cel("response.code_details.startsWith('grpc_json_transcode_failure')"),
                "INVALID_ARGUMENT",
                f"{_UNFIT}: %LOCAL_REPLY_BODY%",
            ),
            map_reply(
                cel("response.code_details.contains('path_normalization_failed')"),
                "INVALID_ARGUMENT",
                "the path is malformed, or has an escaped slash",
            ),
            map_reply(
                cel("response.code_details == 'missing_host_header'"),
                "INVALID_ARGUMENT",
                "the request names no host, want the header Host",
            ),
            map_reply(
                cel("response.code_details == 'absolute_path_rejected'"),
                "NOT_FOUND",
                "the request names no path, want one that begins with /",
            ),
            map_reply(
                cel(f"response.code_details.{unread}"),
                "INVALID_ARGUMENT",
                f"this is not HTTP that can be read: {details}",
            ),
            map_reply(
                cel("response.code == 504 || response.code_details == 'max_duration_timeout'"),
                "NOT_IN_TIME",
                f"the {behind} did not answer within the call's time limit",
                PIPELINE_FACT,
            ),
            map_reply(
                has_flags("UO"),
                "CIRCUIT_BREAKER_OPEN",
                f"the {behind} has as many requests under way as it may; send it again later",
                PIPELINE_FACT,
            ),
            map_reply(
                has_flags("UH", "UF", "UC", "UR"),
                "UNAVAILABLE",
                f"the {behind} does not answer: %LOCAL_REPLY_BODY%",
                PIPELINE_FACT,
            ),
            keep_status(cel("response.code_details == 'lua_response'"), "%LOCAL_REPLY_BODY%"),
            # Never without a text: errors.lua knows the answer to HEAD by that.
            keep_status(cel("true"), f"%LOCAL_REPLY_BODY%: {details}"),
        ]
    )
