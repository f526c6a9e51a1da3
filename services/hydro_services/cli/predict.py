"""`hydro predict`: rows through a pipeline, answers as they come."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from hydro_envoy.address import Address
from hydro_services import client
from hydro_services.cli import row_input, values
from hydro_services.cli.command import Command, Option
from hydro_services.cli.options import GATEWAY_CALL, ROWS
from hydro_services.cli.output import Output
from hydro_services.cli.parser import SUMMARIES
from hydro_services.cli.row_table import RowTable
from hydro_services.codecs.whole_lines import LineCutter
from hydro_services.reachability import Tls

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class PredictOptions:
    """What is sent where."""

    pipeline: str
    file: str
    gateway: Address
    table: tuple[str, ...] | None
    """The columns of a table; () for all; None: a table with all of them on a terminal only."""
    json: bool
    api_key: str = field(default="", repr=False)
    """Or a token of whom the pipeline trusts."""
    tls_ca: Tls | None = None
    """None: in clear text."""


class AnswerWriter(Protocol):
    """Takes the body of the answer in pieces."""

    failed: int
    """How many rows have failed so far."""

    def write(self, piece: bytes) -> None: ...
    def end(self) -> None: ...


def run_predict(options: PredictOptions, output: Output) -> int:
    return asyncio.run(predict(options, output))


async def predict(options: PredictOptions, output: Output) -> int:
    """Sends the rows, writes the answers, and returns the exit code."""
    with row_input.open_rows(options.file) as file:
        body = row_input.read_pieces_async(file)
        # The call needs its content type first, so its first bytes are read before it begins.
        start = await _read_start(body)
        content_type = JSON if row_input.is_json_array(start) else client.NDJSON
        answers = choose_answers(content_type, options, output)
        async with client.connect_channel("gateway", options.gateway, options.tls_ca) as channel:
            gateway = client.GatewayClient(channel, options.api_key)
            sent = _prepend(start, body)
            async for piece in _call_gateway(gateway, options.pipeline, sent, content_type):
                answers.write(piece)
        answers.end()
    if answers.failed:
        output.note(f"{answers.failed} {'row' if answers.failed == 1 else 'rows'} failed")
    return 1 if answers.failed else 0


def _call_gateway(
    gateway: client.GatewayClient, pipeline: str, sent: AsyncIterator[bytes], content_type: str
) -> AsyncIterator[bytes]:
    """Lines continue when an instance dies; an array is answered as a whole or not at all."""
    if content_type == JSON:
        return gateway.serve(pipeline, sent, JSON)
    return gateway.serve_lines(pipeline, sent)


async def _read_start(body: AsyncIterator[bytes]) -> bytes:
    """The body up to its first visible character, which says whether it is an array."""
    start = b""
    async for piece in body:
        start += piece
        if start.strip():
            break
    return start


async def _prepend(start: bytes, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield start
    async for piece in body:
        yield piece


def choose_answers(content_type: str, options: PredictOptions, output: Output) -> AnswerWriter:
    """A table for a person, else the body as it comes."""
    as_table = options.table is not None or (output.is_terminal and not output.json)
    if not as_table:
        return LineWriter(output) if content_type == client.NDJSON else ArrayWriter(output)
    table = RowTable(output, options.table or ())
    return LineTable(output, table) if content_type == client.NDJSON else ArrayTable(output, table)


class LineWriter:
    """NDJSON, passed on line by line as it comes."""

    def __init__(self, output: Output) -> None:
        self.output = output
        self.failed = 0
        self._cutter = LineCutter()

    def write(self, piece: bytes) -> None:
        if lines := self._cutter.feed(piece):
            self.lines(lines[:-1].split(b"\n"))

    def lines(self, lines: list[bytes]) -> None:
        self.failed += sum(is_failure(line) for line in lines)
        self.output.data(b"\n".join(lines).decode() + "\n")

    def end(self) -> None:
        if last := self._cutter.end():
            self.lines([last])


class LineTable(LineWriter):
    """NDJSON as a table."""

    def __init__(self, output: Output, table: RowTable) -> None:
        super().__init__(output)
        self.table = table

    def lines(self, lines: list[bytes]) -> None:
        self.failed += self.table.write([json.loads(line) for line in lines])


class ArrayWriter:
    """A JSON array, passed on when it is whole."""

    def __init__(self, output: Output) -> None:
        self.output = output
        self.failed = 0
        self._pieces: list[bytes] = []

    def write(self, piece: bytes) -> None:
        self._pieces.append(piece)

    def end(self) -> None:
        body = b"".join(self._pieces)
        self.rows(body, json.loads(body))

    def rows(self, body: bytes, rows: list[dict[str, Any]]) -> None:
        self.failed = sum(is_failed(row) for row in rows)
        self.output.data(body.decode() + "\n")


class ArrayTable(ArrayWriter):
    """A JSON array as a table."""

    def __init__(self, output: Output, table: RowTable) -> None:
        super().__init__(output)
        self.table = table

    def rows(self, body: bytes, rows: list[dict[str, Any]]) -> None:
        self.failed = self.table.write(rows)


def is_failure(line: bytes) -> bool:
    """Whether a line of the answer is a failed row; parses only lines that look like one."""
    return line.startswith(b'{"error":') and is_failed(json.loads(line))


def is_failed(row: dict[str, Any]) -> bool:
    """Whether an answer stands in the place of a row that failed."""
    return row.keys() == {"error"} and isinstance(row["error"], dict)


COMMANDS = (
    Command(
        "predict",
        SUMMARIES["predict"],
        (
            "hydro predict endpointML rows.json",
            "tail -f rows.ndjson | hydro predict endpointML",
            "hydro predict endpointML rows.json --gateway mesh.example.org:8083 --tls-ca system",
        ),
        (
            Option("PIPELINE", "the pipeline's name"),
            ROWS,
            *GATEWAY_CALL,
            Option(
                "--table",
                "write a table, of these columns or of all",
                values.names,
                "COLUMN,...",
                shown_default="a table on a terminal, else JSON",
                variable="",
                nargs="?",
                const=(),
            ),
        ),
        PredictOptions,
        run_predict,
        "Answers an array with an array, and lines with lines, each as soon as it is ready.\n"
        'A row that fails is answered by {"error": ...} in its place; then the exit code is 1.',
    ),
)
