"""Every expected failure has its status."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

import hydro_services
from hydro_services import errors


def subclasses(cls: type[errors.HydroError]) -> Iterator[type[errors.HydroError]]:
    for subclass in cls.__subclasses__():
        yield subclass
        yield from subclasses(subclass)


def test_every_error_is_in_the_table() -> None:
    for module in pkgutil.walk_packages(hydro_services.__path__, "hydro_services."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    assert {cls for cls in subclasses(errors.HydroError)} == set(errors.STATUS)


def test_reasons_are_unique() -> None:
    reasons = [reason for _, reason in errors.STATUS.values()]
    assert len(set(reasons)) == len(reasons)


def test_every_error_survives_the_wire() -> None:
    for cls in errors.STATUS:
        sent = cls("a message", model="iris")
        received = errors.from_status(errors.to_status(sent))
        assert type(received) is cls
        assert (received.message, received.metadata) == (sent.message, sent.metadata)
