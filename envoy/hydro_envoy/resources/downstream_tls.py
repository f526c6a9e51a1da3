"""Listeners for clients that speak TLS with a certificate of their Envoy's own. Pure."""

from __future__ import annotations

from envoy.config.core.v3 import base_pb2, config_source_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2, tls_pb2

from hydro_envoy.nodes import SERVER
from hydro_envoy.snapshot import Resource, make_resource


def with_tls(listener: Resource, secret: str) -> Resource:
    """The same with TLS, for HTTP/2 and HTTP/1.1, where it listens on a port.

    Args:
        listener: any; those within Envoy come back as they are.
        secret: the file with the certificate.
    """
    built = listener_pb2.Listener.FromString(listener.body)
    if not built.HasField("address"):
        return listener
    for chain in built.filter_chains:
        chain.transport_socket.CopyFrom(_transport_socket(secret))
    body = built.SerializeToString(deterministic=True)
    return make_resource(listener.type, listener.name, body, listener.references)


def _transport_socket(secret: str) -> base_pb2.TransportSocket:
    folder = secret.rpartition("/")[0]
    path = config_source_pb2.PathConfigSource(
        path=secret, watched_directory=base_pb2.WatchedDirectory(path=folder)
    )
    source = config_source_pb2.ConfigSource(path_config_source=path)
    context = tls_pb2.DownstreamTlsContext(
        common_tls_context=tls_pb2.CommonTlsContext(
            alpn_protocols=["h2", "http/1.1"],
            tls_certificate_sds_secret_configs=[
                secret_pb2.SdsSecretConfig(name=SERVER, sds_config=source)
            ],
        )
    )
    built = base_pb2.TransportSocket(name="tls")
    built.typed_config.Pack(context)
    return built
