"""Models that change or vanish while pipelines use them."""

from __future__ import annotations

from pathlib import Path

import pytest
from manager_mesh import (
    FEATURES,
    LABEL,
    PREDICT,
    PREDICT_2,
    PREPARE,
    TITLE,
    Mesh,
    key,
    model,
)

from hydro.manager.v1 import pipeline_pb2
from hydro_services import errors
from hydro_services.manager.domain import call_plan


async def test_changed_model_is_loaded_then_routed_to_and_the_old_one_unloaded_last(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_plan, "LINGER_S", 0.1)
    await mesh.create()
    await mesh.repository.publish(PREPARE, PREDICT_2)
    await mesh.world.seen("unloaded", "one", key(PREDICT))
    assert mesh.envoy.serves("match", PREPARE, PREDICT_2)
    journal = mesh.world.journal
    routes = [i for i, entry in enumerate(journal) if entry[:2] == ("took", "pipeline/match")]
    loaded, unloaded = mesh.world.order(
        ("loaded", "one", key(PREDICT_2)), ("unloaded", "one", key(PREDICT))
    )
    assert routes[-2] < loaded < routes[-1] < unloaded
    assert (await mesh.pipelines())["match"].stages[1].digest == PREDICT_2.digest


async def test_changed_model_that_cannot_be_loaded_leaves_the_last_good_one(mesh: Mesh) -> None:
    await mesh.create()
    mesh.spark.failures["predict"] = errors.ModelRefused("corrupt")
    await mesh.repository.publish(PREPARE, PREDICT_2)
    shown = await mesh.shown(lambda pipeline: "corrupt" in pipeline.error.message)
    assert shown.state == pipeline_pb2.PIPELINE_STATE_READY
    assert mesh.envoy.serves("match", PREDICT)


async def test_a_version_that_no_longer_fits_is_not_swapped_in_until_one_fits(
    tmp_path: Path,
) -> None:
    odd = model("predict", "spark", [FEATURES, LABEL], [TITLE], "odd")
    mesh = Mesh(tmp_path)
    async with mesh.stack:
        await mesh.start()
        await mesh.connect()
        await mesh.join(mesh.scikit, mesh.spark, mesh.repository)
        await mesh.create(chain=("serving-spark/predict",))
        await mesh.repository.publish(PREPARE, odd)
        shown = await mesh.shown(lambda pipeline: "does not take over" in pipeline.error.message)
        assert shown.state == pipeline_pb2.PIPELINE_STATE_READY
        assert "{label: string}, which clients need not send" in shown.error.message
        assert mesh.envoy.serves("match", PREDICT)
    again = Mesh(tmp_path)
    again.repository.models = [odd]
    async with again.stack:
        await again.start()
        await again.connect()
        await again.join(again.spark, again.repository)
        await again.shown(lambda pipeline: "does not take over" in pipeline.error.message)
        assert again.envoy.serves("match", PREDICT)
        await again.repository.publish(PREDICT_2)
        await again.world.until(lambda: again.envoy.serves("match", PREDICT_2))
        wanted = PREDICT_2.digest
        shown = await again.shown(lambda pipeline: pipeline.stages[0].digest == wanted)
        assert not shown.error.message
        await again.repository.publish(odd)
        await again.shown(lambda pipeline: "does not take over" in pipeline.error.message)
        await again.create(chain=("serving-spark/predict",))
        assert again.envoy.serves("match", odd), "who applies it again wants it"


async def test_model_that_vanishes_serves_on_and_is_told(mesh: Mesh) -> None:
    await mesh.create()
    await mesh.repository.publish(PREPARE)
    shown = await mesh.shown(lambda pipeline: "no model 'predict'" in pipeline.error.message)
    assert shown.state == pipeline_pb2.PIPELINE_STATE_READY
    assert mesh.envoy.serves("match", PREDICT)
