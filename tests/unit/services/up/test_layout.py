from __future__ import annotations

import dataclasses
import importlib
import os
import socket
from pathlib import Path

import pytest

from hydro_envoy.address import Address
from hydro_services import errors
from hydro_services.cli.options import OF_MANAGER
from hydro_services.cli.parser import parse
from hydro_services.free_ports import free_ports
from hydro_services.repository.roots import Root
from hydro_services.up import data_folder, layout
from hydro_services.up.layout import Options, known_services

OPTIONS = Options((Root.parse("models"),), None, Path("data"), "127.0.0.1", 1, 2, 3, 4, ())


def test_one_of_each_service_runs_by_default() -> None:
    assert layout.choose_runtimes((), lambda module: True) == (
        [(service, 1) for service in known_services()],
        [],
    )


def test_a_service_without_its_library_is_left_out_with_a_note() -> None:
    services, notes = layout.choose_runtimes((), lambda module: module != "pyarrow")
    assert "serving-localml-spark" not in [service.name for service, _ in services]
    assert notes == [
        "serving-localml-spark needs pyarrow, which is not installed; "
        "pip install 'hydro-serving[spark]'"
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("serving-localml-spark", "needs pyarrow", id="without its library"),
        pytest.param("serving-nothing", "unknown runtime service", id="unknown"),
    ],
)
def test_a_service_that_is_asked_for_must_be_able_to_run(name: str, message: str) -> None:
    with pytest.raises(errors.InvalidArgument, match=message):
        layout.choose_runtimes([(name, 1)], lambda module: module != "pyarrow")


def test_programs_fit_the_configurations_of_their_modules() -> None:
    runtimes = [
        layout.runtime_program(OPTIONS, f"{service.name}/one", None) for service in known_services()
    ]
    for program in (
        layout.manager_program(OPTIONS, None),
        layout.repository_program(OPTIONS, None),
        *runtimes,
    ):
        module = importlib.import_module(program.module)
        module.Config(**program.config)
        assert callable(module.run)


def test_each_option_of_the_manager_reaches_it_whichever_command_takes_it() -> None:
    """So another one is added in two places: where it is defined, and where it is used."""
    _, alone = parse(["manager"])
    _, up = parse(["up"])
    program = layout.manager_program(up, None)
    keys = {option.key for option in OF_MANAGER}
    assert keys <= alone.config.keys()
    assert keys <= program.config.keys()
    wanted = {f.name for f in dataclasses.fields(importlib.import_module(program.module).Config)}
    assert keys | program.config.keys() <= wanted


def test_what_up_passes_on_comes_to_the_manager_and_the_runtimes_as_it_was_given() -> None:
    words = "--trace-percent 7 --zipkin [::1]:9 --cache-bytes 5 --header-limit 3 --access-log -"
    _, up = parse(["up", *words.split()])
    manager, runtime = (
        layout.manager_program(up, None).config,
        layout.runtime_program(up, "s/one", None).config,
    )
    assert (manager["trace_percent"], manager["header_limit_s"]) == (7.0, 3.0)
    assert manager["access_log"] == "-"
    assert manager["zipkin"] == runtime["zipkin"] == Address("::1", 9)
    assert runtime["cache_bytes"] == 5


def test_a_data_folder_belongs_to_one(tmp_path: Path) -> None:
    refused = pytest.raises(errors.Unavailable, match=f"process id {os.getpid()}; stop that one")
    with data_folder.lock_data_folder(tmp_path), refused, data_folder.lock_data_folder(tmp_path):
        pass
    with data_folder.lock_data_folder(tmp_path):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_a_taken_port_is_told_with_its_option() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = listener.getsockname()[1]
        with pytest.raises(errors.Unavailable, match="another port with --gateway-port"):
            free_ports("127.0.0.1", {"manager": 0, "gateway": taken})


def test_port_0_becomes_distinct_free_ports() -> None:
    found = free_ports("127.0.0.1", {"manager": 0, "gateway": 0})
    assert 0 not in found.values()
    assert len(set(found.values())) == 2


def test_only_what_envoy_offers_is_for_others_to_see() -> None:
    options = dataclasses.replace(OPTIONS, host="0.0.0.0")
    inside = (
        layout.manager_program(options, None),
        layout.repository_program(options, None),
        layout.runtime_program(options, f"{known_services()[0].name}/one", None),
    )
    assert {str(program.config["listen"]) for program in inside} == {"127.0.0.1:4", "127.0.0.1:0"}
    assert str(layout.manager_program(options, None).config["gateway"]) == "0.0.0.0:2"
