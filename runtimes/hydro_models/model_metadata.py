"""What metadata.json says of a fitted model: its columns, its schema, versions of libraries."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hydro_models.answers import StatedOutput
from hydro_models.schema import InputSchema, schema_from_json

METADATA, PROOF = "metadata.json", "proof.json"


@dataclass(frozen=True, slots=True)
class Metadata:
    """All of it."""

    model: str
    """The folder's name."""
    kind: str
    """Of `kinds.KINDS`."""
    file: str
    """Of the model, in the folder."""
    schema: InputSchema
    outputs: Sequence[StatedOutput]
    versions: Mapping[str, str]
    """Of Python and the libraries, when it was saved."""

    def dumps(self) -> str:
        document = {
            "model": self.model,
            "inputs": [field.entry() for field in self.schema.inputs],
            "outputs": [output.entry() for output in self.outputs],
            "fitted": {
                "kind": self.kind,
                "file": self.file,
                "example": self.schema.to_json(),
                "versions": dict(self.versions),
            },
        }
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


@dataclass(frozen=True, slots=True)
class Fitted:
    """What metadata.json says under "fitted"."""

    kind: str
    file: str
    schema: InputSchema
    versions: Mapping[str, str]


def parse_fitted(text: str | bytes) -> Fitted | None:
    """What metadata.json says of a model that `save` has written; None of one that it has not.

    Raises:
        ValueError: it is not what `save` writes.
    """
    document = json.loads(text)
    stored = document.get("fitted") if isinstance(document, dict) else None
    if stored is None:
        return None
    try:
        schema = schema_from_json(stored["example"])
        return Fitted(stored["kind"], stored["file"], schema, dict(stored["versions"]))
    except (KeyError, TypeError) as error:
        raise ValueError(f"'fitted' is not as hydro_models writes it ({error!r})") from error
