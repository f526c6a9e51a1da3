from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hydro_envoy.address import Address
from hydro_services import errors
from hydro_services.manager import process
from hydro_services.manager.domain import sidecars
from hydro_services.manager.domain.state import Endpoint

HERE, THERE = Address("127.0.0.1", 1), Address("10.0.0.7", 8084)
PLAIN = Endpoint("serving-scikit", "one", HERE, HERE, ("skops",), "first")
BESIDE = replace(PLAIN, sidecar=THERE)


@pytest.mark.parametrize(
    ("endpoint", "has_sidecars", "told"),
    [
        pytest.param(PLAIN, True, "hydro sidecar serving-scikit/one", id="lacks one"),
        pytest.param(BESIDE, False, "start the manager with --sidecar too", id="has one too many"),
    ],
)
def test_a_mesh_has_sidecars_everywhere_or_nowhere(
    endpoint: Endpoint, has_sidecars: bool, told: str
) -> None:
    sidecars.check_sidecar(endpoint, has_sidecars=not has_sidecars)
    with pytest.raises(errors.InvalidArgument, match=told):
        sidecars.check_sidecar(endpoint, has_sidecars=has_sidecars)


def test_only_managers_reach_the_control_of_a_runtime_and_only_gateways_its_rows() -> None:
    control, rows = sidecars.endpoint_sidecar(BESIDE, THERE).routes
    assert (control.to, control.callers) == ("control", ("manager",))
    assert control.prefix == "/hydro.runtime.v1.RuntimeService/"
    assert (rows.to, rows.callers, rows.prefix) == ("traffic", ("gateway",), "/")


def test_calls_through_the_sidecar_name_the_process() -> None:
    direct, through = sidecars.ProcessRoute(), sidecars.ProcessRoute(Address("127.0.0.1", 8073))
    assert (str(direct.address(PLAIN)), direct.metadata(PLAIN)) == ("127.0.0.1:1", ())
    assert str(through.address(BESIDE)) == "127.0.0.1:8073"
    assert dict(through.metadata(BESIDE)) == {
        "x-hydro-service": "serving-scikit",
        "x-hydro-address": "10.0.0.7:8084",
    }


@pytest.mark.parametrize("listen", ["10.0.0.5:8082", "0.0.0.0:8082", "[::]:8082", "manager:8082"])
async def test_a_manager_that_others_reach_without_tls_does_not_start(
    tmp_path: Path, listen: str
) -> None:
    config = process.Config(tmp_path, listen=Address.parse(listen), admin_key="k" * 32)
    with pytest.raises(errors.FailedPrecondition, match="without TLS; run it as --xds"):
        async with process.serve(config):
            pass
