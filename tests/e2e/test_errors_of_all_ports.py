"""One form of error at each port of a whole mesh."""

from __future__ import annotations

from pathlib import Path

import pytest
from error_form import OURS, check, over_grpc, over_http
from meshes import HOST
from whole_mesh import WholeMesh

from hydro_services import errors

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]


PORTS = {
    "gateway": ("/api/v1/serve/no-such", "/hydro.serving.v1.PredictionService/Predict"),
    "manager": ("/api/v1/pipelines/no-such", "/hydro.manager.v1.ManagerService/GetPipeline"),
    "repository": ("/metadata/no-such", "/hydro.repository.v1.RepositoryService/GetModel"),
    "xds": ("", "/hydro.manager.v1.ManagerService/GetPipeline"),
}


CALLS = [(part, kind) for part in PORTS for kind in ("grpc", "http1", "http2") if part != "xds"]


@pytest.mark.parametrize(("part", "protocol"), [*CALLS, ("xds", "grpc")])  # that is all it speaks
async def test_every_port_of_a_whole_mesh_tells_errors_alike(
    mesh: WholeMesh, part: str, protocol: str
) -> None:
    path, method = PORTS[part]
    address = xds_address(mesh) if part == "xds" else mesh.address(part)
    port = int(address.rpartition(":")[2])
    if protocol == "grpc":
        service = method.rpartition("/")[0]
        found = await over_grpc(address, method, b"\x0a\x07no-such")
        unknown = await over_grpc(address, f"{service}/Guess")
        garbage = await over_grpc(address, method, b"\xff\xff")
        for seen in (unknown, garbage):
            check(seen)
    else:
        http2 = protocol == "http2"
        verb = "POST" if part == "gateway" else "GET"
        body = b"[]" if part == "gateway" else b""
        found = await over_http(port, verb, path, body, http2=http2)
        check(await over_http(port, "GET", "/nowhere", b"", http2=http2))
    error = check(found)
    assert found.header == OURS
    if part != "xds":
        assert type(error) is errors.NotFound
        assert "no-such" in error.message


def xds_address(mesh: WholeMesh) -> str:
    """As `hydro up` was told."""
    words = Path(f"/proc/{mesh.pid}/cmdline").read_bytes().split(b"\0")
    return f"{HOST}:{words[words.index(b'--xds-port') + 1].decode()}"
