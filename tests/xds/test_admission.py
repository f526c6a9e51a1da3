"""Who asks for a node's configuration has to have a certificate of that node."""

from __future__ import annotations

from functools import partial
from typing import Any

import grpc
import pytest
from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2
from grpc import aio

from hydro_envoy.snapshot import ResourceType, Snapshot
from hydro_envoy.xds.hub import Hub
from hydro_envoy.xds.server import add_ads
from hydro_services.manager.api.peers import admits_node


@pytest.mark.parametrize(
    ("node_id", "uri", "is_admitted"),
    [
        pytest.param("serving-scikit/one", "serving-scikit/one", True, id="its own"),
        pytest.param("serving-scikit/two", "serving-scikit/one", False, id="another's"),
        pytest.param("serving-scikit/one", "", False, id="no certificate"),
        pytest.param("manager/m1", "", True, id="beside the manager"),
        pytest.param("", "serving-scikit/one", False, id="no node"),
    ],
)
async def test_an_envoy_is_who_its_certificate_says(
    node_id: str, uri: str, is_admitted: bool
) -> None:
    hub, server = Hub(), aio.server()
    add_ads(server, hub, partial(admits_node, "manager/m1"))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    hub.publish(Snapshot())
    header = [("x-forwarded-client-cert", f"URI=spiffe://hydro/{uri}")] if uri else []
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub: Any = ads_pb2_grpc.AggregatedDiscoveryServiceStub(channel)
        call = stub.DeltaAggregatedResources(metadata=header)
        request = discovery_pb2.DeltaDiscoveryRequest(type_url=ResourceType.CLUSTER.url)
        request.node.id = node_id
        request.node.metadata["role"] = "sidecar"
        await call.write(request)
        if is_admitted:
            assert (await call.read()).type_url == ResourceType.CLUSTER.url
            call.cancel()
        else:
            with pytest.raises(aio.AioRpcError, match="is not who its certificate says") as raised:
                await call.read()
            assert raised.value.code() is grpc.StatusCode.PERMISSION_DENIED
    hub.close()
    await server.stop(None)
