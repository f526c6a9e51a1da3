"""Chains: what a user writes, and the services and models that it means. Pure."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from hydro_envoy.mesh import MAIN
from hydro_services.errors import HydroError, InvalidArgument, Unavailable
from hydro_services.manager.domain.state import Model, Spec, Stage, Stages

NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,62}")
VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
NAME_RULE = "at most 63 letters, digits, '-', '_' and '.', starting with a letter"
MAX_STAGES = 16


@dataclass(frozen=True, slots=True)
class Reference:
    """A stage as the user wrote it, taken apart."""

    text: str
    service: str
    model: str
    version: str
    """Empty: the latest."""


def check_name(name: str, what: str) -> None:
    """Raises InvalidArgument: the name does not keep the rule."""
    if not NAME.fullmatch(name):
        raise InvalidArgument(f"{what} is {name[:80]!r}, want {NAME_RULE}")


def parse(chain: Sequence[str]) -> tuple[Reference, ...]:
    """Takes a chain apart.

    Raises:
        InvalidArgument: there is no stage, there are too many, or one is malformed.
    """
    if not 1 <= len(chain) <= MAX_STAGES:
        raise InvalidArgument(f"chain has {len(chain)} stages, want 1 to {MAX_STAGES}")
    return tuple(_parse(i, text) for i, text in enumerate(chain, 1))


def _parse(number: int, text: str) -> Reference:
    service, slash, rest = text.partition("/")
    model, colon, version = rest.partition(":")
    if not slash or (colon and not VERSION.fullmatch(version)):
        raise InvalidArgument(
            f"stage {number} is {text[:200]!r}, want '<service>/<model>' or "
            "'<service>/<model>:<version>'"
        )
    check_name(service, f"the service of stage {number}")
    check_name(model, f"the model of stage {number}")
    return Reference(text, service, model, version)


def references(spec: Spec) -> tuple[Reference, ...]:
    """The stages of all chains of a pipeline, one after the other.

    Raises:
        InvalidArgument: as `parse`; the message names the variant.
    """
    found: list[Reference] = []
    for variant, texts in spec.chains.items():
        with of(variant):
            found += parse(texts)
    return tuple(found)


@contextlib.contextmanager
def of(variant: str) -> Iterator[None]:
    """What is wrong in the block is so in a variant: the message says which."""
    try:
        yield
    except HydroError as error:
        if variant == MAIN:
            raise
        message = f"variant {variant!r}: {error.message}"
        raise type(error)(message, **error.metadata) from None


def absent(chain: Sequence[Reference], services: Mapping[str, frozenset[str]]) -> tuple[str, ...]:
    """The services of the chain that have not registered."""
    return tuple(sorted({r.service for r in chain} - services.keys()))


def resolve(
    chain: Sequence[Reference],
    services: Mapping[str, frozenset[str]],
    catalogue: Sequence[Model],
    unpublished: Mapping[tuple[str, str], HydroError] = MappingProxyType({}),
) -> Stages:
    """Finds the models of a chain.

    Args:
        chain: the stages.
        services: the formats that each runtime service serves.
        catalogue: the published models, the versions of a model together and the latest last.
        unpublished: why other versions cannot be had, by model and version.

    Raises:
        InvalidArgument: a service, model or version does not exist, or the service does not
            serve the model's format.
        ModelRefused, Unavailable: the repository refuses the model or version, or is reading it.
    """
    found: list[Stage] = []
    problems: list[HydroError] = []
    for reference in chain:
        try:
            found.append(_resolve(reference, services, catalogue, unpublished))
        except HydroError as error:
            problems.append(error)
    if problems:
        raise gravest(problems)
    return tuple(found)


def gravest(problems: Sequence[HydroError]) -> HydroError:
    """The first that will not pass by itself: a model may be read yet, a wrong name stays wrong."""
    return min(problems, key=_lightness)


def _lightness(error: HydroError) -> int:
    return 2 if isinstance(error, Unavailable) else 0 if isinstance(error, InvalidArgument) else 1


def _resolve(
    reference: Reference,
    services: Mapping[str, frozenset[str]],
    catalogue: Sequence[Model],
    unpublished: Mapping[tuple[str, str], HydroError],
) -> Stage:
    if reference.service not in services:
        raise InvalidArgument(
            f"stage {reference.text!r}: there is no service {reference.service!r}, "
            f"the services are {_some(services)}",
            service=reference.service,
        )
    model = _find(reference, catalogue, unpublished)
    if model.format not in services[reference.service]:
        others = [name for name, formats in services.items() if model.format in formats]
        way_out = f"use {' or '.join(sorted(others))}" if others else "no service here does"
        raise InvalidArgument(
            f"stage {reference.text!r}: service {reference.service!r} serves models of the formats "
            f"{_some(services[reference.service])}, and {model.name!r} is of the format "
            f"{model.format!r}; {way_out}",
            service=reference.service,
            model=model.name,
        )
    return Stage(reference.text, reference.service, model)


def _find(
    reference: Reference,
    catalogue: Sequence[Model],
    unpublished: Mapping[tuple[str, str], HydroError],
) -> Model:
    versions = [model for model in catalogue if model.name == reference.model]
    wanted = reference.version or (versions[-1].version if versions else "")
    for model in versions:
        if model.version == wanted:
            return model
    if error := _withheld(reference.model, wanted, unpublished):
        message = f"stage {reference.text!r}: {error.message}"
        raise type(error)(message, **{**error.metadata, "stage": reference.text})
    if not versions:
        raise InvalidArgument(
            f"stage {reference.text!r}: there is no model {reference.model!r}, "
            f"the models are {_some({model.name for model in catalogue})}",
            model=reference.model,
        )
    raise InvalidArgument(
        f"stage {reference.text!r}: model {reference.model!r} has no version {wanted!r}, "
        f"the versions are {_some({model.version for model in versions})}; "
        "name none for the latest",
        model=reference.model,
    )


def _withheld(
    model: str, version: str, unpublished: Mapping[tuple[str, str], HydroError]
) -> HydroError | None:
    """Why a version cannot be had, or else any of the model's: one that is being read first."""
    found = [e for (name, v), e in unpublished.items() if name == model and version in ("", v)]
    return min(found, key=lambda error: not isinstance(error, Unavailable), default=None)


def _some(names: Mapping[str, object] | frozenset[str] | set[str], limit: int = 20) -> str:
    """The names, or as many as a message can bear."""
    listed = sorted(names)
    rest = f" and {len(listed) - limit} more" if len(listed) > limit else ""
    return (", ".join(listed[:limit]) + rest) or "none"
