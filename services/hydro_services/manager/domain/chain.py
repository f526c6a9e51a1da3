"""The services and models that the stages of a chain mean now. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from hydro_services.errors import HydroError, InvalidArgument, Unavailable
from hydro_services.manager.domain.references import StageReference
from hydro_services.manager.domain.state import Model, ResolvedStage, Stages


def absent_services(
    references: Iterable[StageReference], services: Mapping[str, frozenset[str]]
) -> tuple[str, ...]:
    """The services of the stages that have not registered."""
    return tuple(sorted({r.service for r in references} - services.keys()))


def resolve_chain(
    chain: Sequence[StageReference],
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
    stages: list[ResolvedStage] = []
    problems: list[HydroError] = []
    for reference in chain:
        try:
            stages.append(_resolve_stage(reference, services, catalogue, unpublished))
        except HydroError as error:
            problems.append(error)
    if problems:
        raise gravest_error(problems)
    return tuple(stages)


def gravest_error(problems: Sequence[HydroError]) -> HydroError:
    """The first that will not pass by itself: a model may be read yet, a wrong name stays wrong."""
    return min(problems, key=_gravity_rank)


def _gravity_rank(error: HydroError) -> int:
    return 2 if isinstance(error, Unavailable) else 0 if isinstance(error, InvalidArgument) else 1


def _resolve_stage(
    reference: StageReference,
    services: Mapping[str, frozenset[str]],
    catalogue: Sequence[Model],
    unpublished: Mapping[tuple[str, str], HydroError],
) -> ResolvedStage:
    if reference.service not in services:
        raise InvalidArgument(
            f"stage '{reference}': there is no service {reference.service!r}, "
            f"the services are {_join_names(services)}",
            service=reference.service,
        )
    model = _find_model(reference, catalogue, unpublished)
    if model.format not in services[reference.service]:
        others = [name for name, formats in services.items() if model.format in formats]
        way_out = f"use {' or '.join(sorted(others))}" if others else "no service here does"
        raise InvalidArgument(
            f"stage '{reference}': service {reference.service!r} serves models of the formats "
            f"{_join_names(services[reference.service])}, and {model.name!r} is of the format "
            f"{model.format!r}; {way_out}",
            service=reference.service,
            model=model.name,
        )
    return ResolvedStage(str(reference), reference.service, model)


def _find_model(
    reference: StageReference,
    catalogue: Sequence[Model],
    unpublished: Mapping[tuple[str, str], HydroError],
) -> Model:
    versions = [model for model in catalogue if model.name == reference.model]
    wanted = reference.version or (versions[-1].version if versions else "")
    for model in versions:
        if model.version == wanted:
            return model
    if error := _find_unpublished(reference.model, wanted, unpublished):
        message = f"stage '{reference}': {error.message}"
        raise type(error)(message, **{**error.metadata, "stage": str(reference)})
    if not versions:
        raise InvalidArgument(
            f"stage '{reference}': there is no model {reference.model!r}, "
            f"the models are {_join_names({model.name for model in catalogue})}",
            model=reference.model,
        )
    raise InvalidArgument(
        f"stage '{reference}': model {reference.model!r} has no version {wanted!r}, "
        f"the versions are {_join_names({model.version for model in versions})}; "
        "name none for the latest",
        model=reference.model,
    )


def _find_unpublished(
    model: str, version: str, unpublished: Mapping[tuple[str, str], HydroError]
) -> HydroError | None:
    """Why a version cannot be had, or else any of the model's: one that is being read first."""
    reasons = [e for (name, v), e in unpublished.items() if name == model and version in ("", v)]
    return min(reasons, key=lambda error: not isinstance(error, Unavailable), default=None)


def _join_names(names: Mapping[str, object] | frozenset[str] | set[str], limit: int = 20) -> str:
    """The names, or as many as a message can bear."""
    listed = sorted(names)
    rest = f" and {len(listed) - limit} more" if len(listed) > limit else ""
    return (", ".join(listed[:limit]) + rest) or "none"
