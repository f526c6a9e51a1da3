"""Who may call: API keys and tokens at policy routes, the admin key at API listeners. Pure.

Two filters in a row. A script in Lua names the caller in a header that clients cannot send, and
`guard` refuses all that comes without it: Envoy goes on with the request when a script fails.
The keys of all callers are one resource of their own, `CALLERS`, so that a new key, or one that is
revoked, changes no route and no stream.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.resources import files

from envoy_data_plane.envoy.config.core.v3 import (
    DataSource,
    ExtensionConfigSource,
    TypedExtensionConfig,
)
from envoy_data_plane.envoy.config.rbac.v3 import Permission, Principal, RbacAction
from envoy_data_plane.envoy.config.rbac.v3 import Policy as RbacPolicy
from envoy_data_plane.envoy.config.rbac.v3 import Rbac as Rules
from envoy_data_plane.envoy.config.route.v3 import FilterConfig, HeaderMatcher, RouteMatch
from envoy_data_plane.envoy.extensions.filters.http.filter_chain.v3 import (
    FilterChain,
    FilterChainConfig,
    FilterChainConfigPerRoute,
)
from envoy_data_plane.envoy.extensions.filters.http.jwt_authn.v3 import (
    JwtAuthentication,
    JwtCacheConfig,
    JwtHeader,
    JwtProvider,
    JwtRequirement,
    JwtRequirementOrList,
    RequirementRule,
)
from envoy_data_plane.envoy.extensions.filters.http.lua.v3 import Lua, LuaPerRoute
from envoy_data_plane.envoy.extensions.filters.http.rbac.v3 import Rbac, RbacPerRoute
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpFilter
from envoy_data_plane.google.protobuf import Any, Empty, Struct, Value

from hydro_envoy import headers
from hydro_envoy.headers import CallersContext, TokenMetadata
from hydro_envoy.mesh import Pipeline
from hydro_envoy.policy import Access, ApiKey, Jwt
from hydro_envoy.resources.config_source import ads_source
from hydro_envoy.snapshot import Resource, ResourceType, make_resource

CALLERS = "callers"
"""The filter that names who calls; it comes by the extension discovery service."""

MAX_TOKENS = 1_000
"""So many verified tokens are remembered until they end; verifying takes longest of all."""

_TOKEN, _ADMIN, _GUARD = "token", "admin", "guard"
_LUA = "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua"


def caller_filters() -> list[HttpFilter]:
    """Of `pipes`: disabled except where the virtual host of a policy route enables them."""
    source = ExtensionConfigSource(config_source=ads_source(), type_urls=[_LUA])
    return [
        HttpFilter(name=_TOKEN, typed_config=Any.pack(FilterChainConfig()), disabled=True),
        HttpFilter(name=CALLERS, config_discovery=source, disabled=True),
        HttpFilter(name=_GUARD, typed_config=Any.pack(Rbac()), disabled=True),
    ]


def access_filters(pipeline: Pipeline) -> dict[str, Any]:
    """The content of `caller_filters` for the virtual host of a policy route."""
    access = pipeline.policy.access
    if not access:
        return {}
    wanted = LuaPerRoute(
        filter_context=Struct(fields=dict(_callers_context(pipeline.name, access)))
    )
    # A second lock: Lua that fails lets a request go on in Envoy, and RBAC refuses what nobody has
    # named.
    guard = RbacPerRoute(rbac=Rbac(rules=_only_named_callers()))
    found = {CALLERS: Any.pack(wanted), _GUARD: Any.pack(guard)}
    if access.jwt:
        chain = FilterChain(filters=[_bearer_filter(), _token_verification(access.jwt)])
        found[_TOKEN] = Any.pack(FilterChainConfigPerRoute(filter_chain=chain))
    return found


def _callers_context(pipeline: str, access: Access) -> Mapping[str, Value]:
    """What callers.lua asks for."""
    context = {
        CallersContext.PIPELINE: pipeline,
        CallersContext.WANTS: _describe_credentials(pipeline, access),
    }
    if access.callers is not None:
        context[CallersContext.CALLERS] = _join_names(access.callers)
    texts: dict[str, Value] = {name: Value(string_value=text) for name, text in context.items()}
    if access.jwt:
        claims = {name: Value(string_value=value) for name, value in access.jwt.claims}
        texts[CallersContext.CLAIMS] = Value(struct_value=Struct(fields=claims))
    return texts


def _describe_credentials(pipeline: str, access: Access) -> str:
    ways = [f"an API key in the header {headers.API_KEY}"] if access.callers is not None else []
    if access.jwt:
        ways.append(f"a token of {access.jwt.issuer} in the header authorization: Bearer")
    return f"pipeline {pipeline!r} wants {' or '.join(ways)}"


def _join_names(names: Iterable[str]) -> str:
    """No name has a comma; none at all stands for any."""
    return f",{','.join(names)}," if names else "*"


def _bearer_filter() -> TypedExtensionConfig:
    return TypedExtensionConfig(name="bearer", typed_config=Any.pack(_lua_filter("token")))


def _token_verification(jwt: Jwt) -> TypedExtensionConfig:
    """Lets everything through: callers.lua decides, which knows about API keys as well.

    Only the header is looked at: what stands in a URL is logged in many places.
    """
    provider = JwtProvider(
        issuer=jwt.issuer,
        audiences=list(jwt.audiences),
        local_jwks=DataSource(inline_string=jwt.jwks),
        from_headers=[JwtHeader(name=headers.BEARER)],
        payload_in_metadata=TokenMetadata.PAYLOAD,
        header_in_metadata=TokenMetadata.HEADER,
        failed_status_in_metadata=TokenMetadata.FAILED,
        # A token without an end would be good for ever, and could not be taken back.
        require_expiration=True,
        jwt_cache_config=JwtCacheConfig(jwt_cache_size=MAX_TOKENS),
        # callers.lua removes it; with False Envoy would remove it before the script has looked.
        forward=True,
    )
    either = [
        JwtRequirement(provider_name=_TOKEN),
        JwtRequirement(allow_missing_or_failed=Empty()),
    ]
    rule = RequirementRule(
        match=RouteMatch(prefix="/"),
        requires=JwtRequirement(requires_any=JwtRequirementOrList(requirements=either)),
    )
    config = JwtAuthentication(providers={_TOKEN: provider}, rules=[rule])
    return TypedExtensionConfig(name=_TOKEN, typed_config=Any.pack(config))


def callers_filter(api_keys: Iterable[ApiKey]) -> Resource:
    """The filter with all keys and the script that looks them up."""
    script = Any.pack(_lua_filter("callers", _key_lines(api_keys)))
    built = TypedExtensionConfig(name=CALLERS, typed_config=script)
    return make_resource(ResourceType.FILTER, CALLERS, bytes(built))


def _key_lines(api_keys: Iterable[ApiKey]) -> str:
    fields = ((k.sha256, k.caller, str(k.expires_s), _join_names(k.pipelines)) for k in api_keys)
    lines = "".join(" ".join(each) + "\n" for each in fields)
    return f"keys([[\n{lines}]])"


def admin_filters(key_sha256: str) -> list[HttpFilter]:
    """Of API listeners: only callers with the admin key get in."""
    script = _lua_filter("admin", f'ADMIN = "{key_sha256}"')
    guard = Rbac(rules=_only_named_callers())
    return [
        HttpFilter(name=_ADMIN, typed_config=Any.pack(script)),
        HttpFilter(name=_GUARD, typed_config=Any.pack(guard)),
    ]


def disable_admin_filters() -> dict[str, Any]:
    """For a route that needs no admin key."""
    off = Any.pack(FilterConfig(disabled=True))
    return {_ADMIN: off, _GUARD: off}


def _lua_filter(name: str, data: str = "") -> Lua:
    parts = ("sha256", "bearer", name) if data else ("bearer", name)
    scripts = [files(__package__).joinpath(f"{each}.lua").read_text() for each in parts]
    return Lua(default_source_code=DataSource(inline_string="\n".join([*scripts, data, ""])))


def _only_named_callers() -> Rules:
    named = HeaderMatcher(name=headers.CALLER, present_match=True)
    policy = RbacPolicy(permissions=[Permission(any=True)], principals=[Principal(header=named)])
    return Rules(action=RbacAction.ALLOW, policies={"named": policy})
