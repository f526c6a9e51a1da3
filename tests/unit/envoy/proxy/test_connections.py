import json
import resource

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydro_envoy.address import Address
from hydro_envoy.proxy import connections
from hydro_envoy.proxy.bootstrap import Bootstrap, bootstrap_json


@given(st.integers(16, 2**31), st.integers(0, 2**31))
def test_connections_never_take_all_files_that_a_process_may_open(hard: int, soft: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resource, "getrlimit", lambda _: (min(soft, hard), hard))
        assert 0 < connections.connection_limit() <= min(connections.MOST, hard * 3 // 4)


def test_the_gateway_leaves_connections_to_the_other_ports() -> None:
    wanted = Bootstrap("id", "gateway", Address("::1", 1), max_connections=800)
    found = json.loads(bootstrap_json(wanted))
    (monitor,) = found["overload_manager"]["resource_monitors"]
    assert monitor["typed_config"]["max_active_downstream_connections"] == 800
    (layer,) = (x for x in found["layered_runtime"]["layers"] if x["name"] == "connections")
    assert list(layer["static_layer"].values()) == [700]
    assert found["admin"]["ignore_global_conn_limit"]


def test_refused_connections_are_summed() -> None:
    stats = "listener.a.downstream_cx_overflow: 2\nlistener.b.downstream_global_cx_overflow: 3\n"
    assert connections.count_refused(stats) == 5
    assert connections.count_refused("") == 0
