"""Stages as users write them, parsed at the border: `<service>/<model>` or with `:<version>`. Pure.

Whoever takes in a chain, from a client, the store or Consul, parses it here, once; behind that a
chain is a tuple of `StageReference`.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

from hydro_envoy.mesh import MAIN
from hydro_services import model_names
from hydro_services.errors import HydroError, InvalidArgument

NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,62}")
VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,64}")
"""What may be meant for a version of a model, and has none of the signs around it."""
NAME_RULE = "at most 63 letters, digits, '-', '_' and '.', starting with a letter"
MAX_STAGES = 16


class StageReference(NamedTuple):
    """A stage as a user names it."""

    service: str
    model: str
    version: str
    """Empty: the latest."""

    def __str__(self) -> str:
        """As the user wrote it."""
        version = f":{self.version}" if self.version else ""
        return f"{self.service}/{self.model}{version}"


Chain: TypeAlias = tuple[StageReference, ...]


def check_name(name: str, what: str) -> None:
    """Raises InvalidArgument: the name does not follow the rule."""
    if not NAME.fullmatch(name):
        raise InvalidArgument(f"{what} is {name[:80]!r}, want {NAME_RULE}")


def parse_chain(texts: Sequence[str]) -> Chain:
    """Parses the stages of a chain.

    Raises:
        InvalidArgument: there is no stage, there are too many, or one is malformed.
    """
    if not 1 <= len(texts) <= MAX_STAGES:
        raise InvalidArgument(f"chain has {len(texts)} stages, want 1 to {MAX_STAGES}")
    return tuple(parse_stage(text, number) for number, text in enumerate(texts, 1))


def parse_stage(text: str, number: int) -> StageReference:
    """Parses one stage; `number` is its place in the chain, from 1, for the message.

    Raises:
        InvalidArgument: it is malformed.
    """
    service, slash, rest = text.partition("/")
    model, colon, version = rest.partition(":")
    if not slash or (colon and not VERSION.fullmatch(version)):
        raise InvalidArgument(
            f"stage {number} is {text[:200]!r}, want '<service>/<model>' or "
            "'<service>/<model>:<version>'"
        )
    check_name(service, f"the service of stage {number}")
    if not model_names.NAME.fullmatch(model):
        got = f"the model of stage {number} is {model[:200]!r}"
        raise InvalidArgument(f"{got}, want {model_names.NAME_RULE}")
    return StageReference(service, model, version)


@contextlib.contextmanager
def errors_of_variant(variant: str) -> Iterator[None]:
    """Errors raised inside are about this variant: their messages name it."""
    try:
        yield
    except HydroError as error:
        if variant == MAIN:
            raise
        message = f"variant {variant!r}: {error.message}"
        raise type(error)(message, **error.metadata) from None
