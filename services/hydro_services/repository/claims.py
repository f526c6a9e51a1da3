"""Which of the folders that claim one name, or one version, has it. Pure.

Who was published before stays, however the others are named, and for as long as the model's folder
is there. Where none was, those that can be read come before those that cannot, then the oldest
comes first, then the first by path.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence, Set
from dataclasses import dataclass
from typing import TypeVar

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Claim:
    """A folder that is to be a version of a model. Paths are relative to the root."""

    path: str
    home: str
    """The path of the model's folder."""
    model: str
    number: Hashable
    """Equal for versions that mean the same; None: the files are in the model's folder itself."""
    is_refused: bool
    """It cannot be served for what is in it."""
    since_ns: int
    """The oldest change of any of its files."""


def refusals(claims: Iterable[Claim], owners: Set[str]) -> dict[str, str]:
    """Why folders cannot be versions because of others, by path.

    Args:
        claims: all folders.
        owners: the paths of those that were published before.
    """
    found: dict[str, str] = {}
    in_order = sorted(claims, key=lambda claim: claim.path)
    for model, rivals in _groups(in_order, lambda claim: claim.model).items():
        homes = _groups(rivals, lambda claim: claim.home)
        winner = min(homes, key=lambda home: _rank(home, homes[home], owners))
        for home in homes.keys() - {winner}:
            found |= dict.fromkeys((c.path for c in homes[home]), _names(model, home, winner))
        found |= _within(homes[winner], owners)
    return found


def owners(before: Set[str], there: Set[str], published: Set[str]) -> frozenset[str]:
    """The owners after a catalogue was made. All are paths.

    Args:
        before: the owners that it was made with.
        there: the folders that claim to be versions.
        published: those of them that are published.
    """
    homes, served = ({_home(path) for path in paths} for paths in (there, published))
    return frozenset(published | {path for path in before if _home(path) in homes - served})


def _within(rivals: Sequence[Claim], owners: Set[str]) -> dict[str, str]:
    """Of the versions of one model folder."""
    flat = [claim for claim in rivals if claim.number is None]
    numbered = [claim for claim in rivals if claim.number is not None]
    if flat and numbered:
        return _layouts(flat[0], numbered, owners)
    found: dict[str, str] = {}
    for twins in _groups(numbered, lambda claim: claim.number).values():
        first = min(twins, key=lambda claim: _rank(claim.path, [claim], owners))
        for twin in twins:
            if twin is not first:
                found[twin.path] = _twins(twin.path, first.path)
    return found


def _layouts(flat: Claim, numbered: Sequence[Claim], owners: Set[str]) -> dict[str, str]:
    """A model either has its files in its folder, or folders of versions.

    A version's folder may as well be a part of the model, so that nothing is guessed where neither
    was published before.
    """
    flat_stays = flat.path in owners
    numbered_stay = any(path.startswith(f"{flat.path}/") for path in owners)
    found = {}
    if not flat_stays or numbered_stay:
        found[flat.path] = _layout(flat.path, numbered[0].path, numbered_stay)
    if not numbered_stay or flat_stays:
        found |= {claim.path: _layout(flat.path, claim.path, flat_stays) for claim in numbered}
    return found


def _rank(path: str, claims: Sequence[Claim], owners: Set[str]) -> tuple[object, ...]:
    is_owner = any(owner == path or owner.startswith(f"{path}/") for owner in owners)
    is_refused = all(claim.is_refused for claim in claims)
    return (not is_owner, is_refused, min(claim.since_ns for claim in claims), path)


def _home(path: str) -> str:
    return "/".join(path.split("/")[:2])


def _groups(claims: Iterable[Claim], key: Callable[[Claim], K]) -> dict[K, list[Claim]]:
    groups: defaultdict[K, list[Claim]] = defaultdict(list)
    for claim in claims:
        groups[key(claim)].append(claim)
    return dict(groups)


def _names(model: str, path: str, winner: str) -> str:
    return (
        f"got the model name {model!r} both in {winner!a} and in {path!a}, want names"
        f" that are unique across frameworks; {winner!a} stays, rename the other folder"
    )


def _twins(path: str, winner: str) -> str:
    return (
        f"got both {winner!a} and {path!a}, which are the same version, want one of"
        f" them; {winner!a} stays, rename the other folder"
    )


def _layout(flat: str, version: str, other_stays: bool) -> str:
    stays = "what was published before stays" if other_stays else "neither is published"
    return (
        f"got a model's files in {flat!a} and a version of it in {version!a}, want"
        f" either; {stays}, move the files to a folder of their own version or of another model"
    )
