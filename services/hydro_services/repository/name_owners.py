"""Which of several folders has a model's name or a version, where they have the same. Pure.

The folder that was published before keeps it, as long as the model's folder exists. If none was, a
folder that can be read comes before one that cannot, then the oldest, then the first by path.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence, Set
from dataclasses import dataclass
from typing import TypeVar

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A folder that may become a version of a model. With several roots, paths begin so."""

    path: str
    home: str
    """The path of the model's folder."""
    model: str
    number: Hashable
    """Equal for versions that are the same; None: the files are in the model's folder itself."""
    is_refused: bool
    """It cannot be served because of its content."""
    since_ns: int
    """The oldest change of any of its files."""


def find_refusals(candidates: Iterable[Candidate], owners: Set[str]) -> dict[str, str]:
    """Why folders are refused because of other folders, by path.

    Args:
        candidates: all folders.
        owners: the paths of those that were published before.
    """
    reasons: dict[str, str] = {}
    in_order = sorted(candidates, key=lambda candidate: candidate.path)
    for model, rivals in _group_by(in_order, lambda candidate: candidate.model).items():
        homes = _group_by(rivals, lambda candidate: candidate.home)
        winner = min(homes, key=lambda home: _precedence(home, homes[home], owners))
        for home in homes.keys() - {winner}:
            reasons |= dict.fromkeys((c.path for c in homes[home]), _same_name(model, home, winner))
        reasons |= _refuse_versions(homes[winner], owners)
    return reasons


def update_owners(before: Set[str], there: Set[str], published: Set[str]) -> frozenset[str]:
    """The owners in a root after a catalogue was made. All are paths relative to the root.

    Args:
        before: the owners that it was made with.
        there: all candidates.
        published: those of them that are published.
    """
    homes, served = ({_model_folder(path) for path in paths} for paths in (there, published))
    return frozenset(published | {path for path in before if _model_folder(path) in homes - served})


def _refuse_versions(rivals: Sequence[Candidate], owners: Set[str]) -> dict[str, str]:
    """Why versions in one model's folder are refused, by path."""
    flat = [candidate for candidate in rivals if candidate.number is None]
    numbered = [candidate for candidate in rivals if candidate.number is not None]
    if flat and numbered:
        return _refuse_layouts(flat[0], numbered, owners)
    reasons: dict[str, str] = {}
    for twins in _group_by(numbered, lambda candidate: candidate.number).values():
        first = min(twins, key=lambda candidate: _precedence(candidate.path, [candidate], owners))
        for twin in twins:
            if twin is not first:
                reasons[twin.path] = _same_version(twin.path, first.path)
    return reasons


def _refuse_layouts(
    flat: Candidate, numbered: Sequence[Candidate], owners: Set[str]
) -> dict[str, str]:
    """Why a model that has files in its folder and folders of versions is refused, by path.

    A folder like a version's may be a part of the model: if neither was published before, both are
    refused rather than guessed.
    """
    flat_stays = flat.path in owners
    numbered_stay = any(path.startswith(f"{flat.path}/") for path in owners)
    reasons = {}
    if not flat_stays or numbered_stay:
        reasons[flat.path] = _mixed_layout(flat.path, numbered[0].path, numbered_stay)
    if not numbered_stay or flat_stays:
        reasons |= {
            candidate.path: _mixed_layout(flat.path, candidate.path, flat_stays)
            for candidate in numbered
        }
    return reasons


def _precedence(path: str, candidates: Sequence[Candidate], owners: Set[str]) -> tuple[object, ...]:
    is_owner = any(owner == path or owner.startswith(f"{path}/") for owner in owners)
    is_refused = all(candidate.is_refused for candidate in candidates)
    return (not is_owner, is_refused, min(candidate.since_ns for candidate in candidates), path)


def _model_folder(path: str) -> str:
    return "/".join(path.split("/")[:2])


def _group_by(
    candidates: Iterable[Candidate], key: Callable[[Candidate], K]
) -> dict[K, list[Candidate]]:
    groups: defaultdict[K, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        groups[key(candidate)].append(candidate)
    return dict(groups)


def _same_name(model: str, path: str, winner: str) -> str:
    return (
        f"got the model name {model!r} both in {winner!a} and in {path!a}, want names"
        f" that are unique across frameworks; {winner!a} stays, rename the other folder"
    )


def _same_version(path: str, winner: str) -> str:
    return (
        f"got both {winner!a} and {path!a}, which are the same version, want one of"
        f" them; {winner!a} stays, rename the other folder"
    )


def _mixed_layout(flat: str, version: str, other_stays: bool) -> str:
    stays = "what was published before stays" if other_stays else "neither is published"
    return (
        f"got a model's files in {flat!a} and a version of it in {version!a}, want"
        f" either; {stays}, move the files to a folder of their own version or of another model"
    )
