"""The metadata of a saved stage: one line of JSON in `metadata/part-*`.

Source: org.apache.spark.ml.util.DefaultParamsReader.loadMetadata, 4.3.0.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hydro_runtimes.errors import InvalidModel
from hydro_runtimes.files import open_regular
from hydro_runtimes.spark.format import hadoop_codecs, part_files
from hydro_runtimes.spark.format.parquet import shorten
from hydro_runtimes.spark.format.tables import list_folder

MAX_METADATA_BYTES = 32 << 20


def read_metadata(path: Path) -> dict[str, Any]:
    """The object in the metadata of the stage in a folder.

    Raises:
        InvalidModel: there is none, there are two of two saves, or it is not JSON.
    """
    listed = [part for part in list_folder(path / "metadata") if part.name.startswith("part-")]
    try:
        if sum(part.stat().st_size for part in listed) > MAX_METADATA_BYTES:
            raise InvalidModel(path, f"metadata has more than {MAX_METADATA_BYTES} bytes")
        lines = [(part.name, line) for part in listed for line in _read_part(part).splitlines()]
    except OSError as error:
        raise InvalidModel(path, f"metadata cannot be read: {error.strerror or error}") from error
    lines = [(name, line) for name, line in lines if line.strip()]
    if not lines:
        reason = "metadata is empty: want one line of JSON in metadata/part-*"
        raise InvalidModel(path, f"{reason}; {part_files.COPY_WHOLE}")
    if len(lines) > 1:
        raise InvalidModel(
            path, f"metadata has a line {part_files.where_twice(lines[0][0], lines[1][0])}"
        )
    _, line = lines[0]
    try:
        metadata = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InvalidModel(path, f"metadata is not JSON: {error}") from error
    if not isinstance(metadata, dict):
        raise InvalidModel(path, f"metadata is {shorten(metadata)}, want an object")
    return metadata


def _read_part(path: Path) -> bytes:
    """The bytes of a part file of the metadata, which Hadoop may have compressed.

    Raises:
        OSError: it cannot be read, or its bytes are not what its suffix says.
    """
    with open_regular(path) as stream:
        data = stream.read(MAX_METADATA_BYTES)
    try:
        return hadoop_codecs.decompress(path.suffix, data, MAX_METADATA_BYTES)
    except ValueError as error:
        raise OSError(f"{path.name} {error}") from error
