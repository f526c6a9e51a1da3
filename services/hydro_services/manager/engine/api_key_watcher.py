"""How API keys become state."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from functools import partial

from hydro_envoy.policy import ApiKey
from hydro_services.manager.domain import transitions
from hydro_services.manager.engine.reconciler import Reconciler
from hydro_services.security.keys import Key


async def follow_api_keys(changes: AsyncIterator[tuple[Key, ...]], reconciler: Reconciler) -> None:
    """Publishes what changes, until cancelled."""
    async for keys in changes:
        await reconciler.apply(partial(transitions.replace_api_keys, api_keys=mesh_api_keys(keys)))


def mesh_api_keys(keys: Iterable[Key]) -> tuple[ApiKey, ...]:
    """As Envoy is to know them."""
    return tuple(sorted(map(_mesh_api_key, keys)))


def _mesh_api_key(key: Key) -> ApiKey:
    # A part of a second more would let nobody see the end at the time that it shows.
    expires_s = int(key.expires.timestamp()) if key.expires else 0
    return ApiKey(key.sha256, key.name, key.pipelines, expires_s)
