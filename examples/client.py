"""Asks the pipeline endpointML over gRPC whether two listings are the same product.

First with one call for all rows, then row by row over a stream, where each answer is read before
the next row is sent. A stream breaks when a process that carries it dies: then the row under way
has no answer, and the next one goes over another stream. All it needs are the stubs generated from
protos/::

    .venv/bin/python examples/client.py [HOST:PORT]
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import grpc.aio

from hydro.serving.v1 import prediction_service_pb2_grpc
from hydro.serving.v1.frame_pb2 import DATA_TYPE_STRING, Column, Frame, Table, Values

PIPELINE = "endpointML"
BROKEN = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE)
"""How a stream ends of which a part has died."""
COLUMNS = ("Title1", "ItemSpecifics1", "Title2", "ItemSpecifics2")


def frame(rows: list[dict[str, str]]) -> Frame:
    """The rows as columns, and the name of the pipeline, by which the gateway routes."""
    columns = [
        Column(name=name, type=DATA_TYPE_STRING, values=Values(strings=[row[name] for row in rows]))
        for name in COLUMNS
    ]
    return Frame(pipeline=PIPELINE, table=Table(rows=len(rows), columns=columns))


def answers(frame: Frame) -> Iterator[str]:
    """A line for each row that was sent, in order: its label, or what was wrong with it."""
    columns = {column.name: column.values for column in frame.table.columns}
    labels = iter(columns["predictionLabel"].strings if columns else ())
    errors = {error.row: error.status.message for error in frame.errors}
    for row in range(frame.table.rows + len(errors)):
        yield f"error: {errors[row]}" if row in errors else next(labels)


async def main(address: str) -> None:
    """Prints a line for each answer."""
    rows = json.loads(Path(__file__).with_name("rows.json").read_text())
    async with grpc.aio.insecure_channel(address) as channel:
        service = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        for answer in answers(await service.Predict(frame(rows), timeout=10)):
            print("Predict:", answer)

        stream = service.PredictStream(timeout=10)
        for row in rows:
            try:
                await stream.write(frame([row]))
                reply = await stream.read()
            except grpc.aio.AioRpcError as error:
                if error.code() not in BROKEN:
                    raise
                print("PredictStream: error:", error.details())
                stream = service.PredictStream(timeout=10)
                continue
            if not isinstance(reply, Frame):  # grpc.aio.EOF: the server ended the stream
                break
            for answer in answers(reply):
                print("PredictStream:", answer)
        await stream.done_writing()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8083"))
