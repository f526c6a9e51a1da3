"""Channels of clients: connected, with keys, and with typed errors."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
)
from typing import TypeAlias, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from hydro_envoy.address import Address
from hydro_services import errors, reachability, rpc
from hydro_services.reachability import Tls

T = TypeVar("T")
Metadata: TypeAlias = tuple[tuple[str, str], ...]

CALL_S = 10.0
CHANGE_S = 60.0
"""How long a change of a pipeline may take: it is answered once its models are loaded."""
CONNECT_S = 5.0


@contextlib.asynccontextmanager
async def connect_channel(
    part: str, address: Address, tls: Tls | grpc.ChannelCredentials | None = None
) -> AsyncIterator[grpc.aio.Channel]:
    """A channel that is connected.

    Clients raise classes of `errors`. What calls on the channel itself raise is
    converted to them when it leaves the context.

    Args:
        part: what is expected there, such as "manager"; for messages.
        address: where.
        tls: whom to trust there; None: clear text.

    Raises:
        errors.Unreachable: nothing answers there now.
        errors.CannotConnect: what answers is not trusted, or is not the part that is expected.
    """
    credentials = tls.credentials if isinstance(tls, Tls) else tls
    async with rpc.open_channel(address, tls=credentials) as channel:
        if not await _is_ready(channel):
            raise await reachability.explain_unreachable(part, address, tls)
        with convert_errors():
            yield channel


@contextlib.contextmanager
def convert_errors() -> Iterator[None]:
    """Converts what calls raise inside to classes of `errors`."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise errors.from_rpc(error) from None


async def _is_ready(channel: grpc.aio.Channel) -> bool:
    """Whether it connects; a connection that is refused is not retried."""
    refused = grpc.ChannelConnectivity.TRANSIENT_FAILURE
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CONNECT_S):
            # IDLE, then CONNECTING; TRANSIENT_FAILURE is the end of the first attempt.
            state = channel.get_state(try_to_connect=True)
            while state not in (grpc.ChannelConnectivity.READY, refused):
                await channel.wait_for_state_change(state)
                state = channel.get_state()
            return state is grpc.ChannelConnectivity.READY
    return False


def bearer_metadata(key: str) -> Metadata:
    """The metadata with which a call shows the key; () for an empty one."""
    return (("authorization", f"Bearer {key}"),) if key else ()


class Api:
    """Unary calls with a deadline; for the classes of clients."""

    _metadata: Metadata

    async def ask(
        self, method: Callable[..., Awaitable[T]], request: Message, limit_s: float = CALL_S
    ) -> T:
        with convert_errors():
            return await method(request, timeout=limit_s, metadata=self._metadata)
