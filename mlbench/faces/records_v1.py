"""Records of schema 1, which knew face landmarks alone, as records of schema 2."""

from __future__ import annotations

import dataclasses
from typing import Any

from mlbench.contracts.task import Metric
from mlbench.faces.landmarks import ENCODING, IMAGE, Landmarks

_Json = dict[str, Any]

#: Names of metrics in schema 1 that schema 2 calls otherwise.
_METRICS = {"mae": "mae_px", "rmse": "rmse_px"}
_PARTS = ("detector", "both")


def upgraded(record: _Json) -> _Json:
    """A record of schema 1 in schema 2; what is missing or wrong is left for its validation to name."""
    new = {key: value for key, value in record.items() if key not in ("errors", "persons")}
    new["schema_version"] = 2
    new["task"] = {
        "name": Landmarks.name,
        "version": 1,
        "metrics": [_facts(metric) for metric in Landmarks.metrics],
    }
    new["encodings"] = {IMAGE: dataclasses.asdict(ENCODING)}
    new["scores"] = [_scores(error) for error in record.get("errors", [])]
    new["groups"] = {
        name: {"of_sample": persons["of_face"], "unit": "person"}
        for name, persons in record.get("persons", {}).items()
    }
    new["measurements"] = [_measurement(row) for row in record.get("measurements", [])]
    new["stages"] = {
        artifact: [_stage(stage) for stage in stages] for artifact, stages in record.get("stages", {}).items()
    }
    new["differences"] = [
        {**row, "quantity": {"mae_px": "mae"}.get(row.get("quantity"), row.get("quantity"))}
        for row in record.get("differences", [])
    ]
    if record.get("data"):
        new["data"] = {**_renamed(record["data"], faces="samples", persons="groups"), "unit": "person"}
    if record.get("gallery"):
        new["gallery"] = _gallery(record["gallery"])
    return new


def _facts(metric: Metric) -> _Json:
    names = ("name", "title", "unit", "better", "same", "scale", "digits")
    return {name: getattr(metric, name) for name in names}


def _renamed(row: _Json, **names: str) -> _Json:
    return {names.get(key, key): value for key, value in row.items()}


def _scores(error: _Json) -> _Json:
    metrics = {metric.name: error.get(_METRICS.get(metric.name, metric.name)) for metric in Landmarks.metrics}
    return {
        **{key: error.get(key) for key in ("artifact", "device", "test_set")},
        "samples": error.get("faces"),
        "metrics": metrics,
        "per_sample": error.get("by_face_mae_px"),
        "details": {"by_landmark_px": error.get("by_landmark_px")},
    }


def _measurement(row: _Json) -> _Json:
    new = _renamed({key: value for key, value in row.items() if key not in _PARTS}, faces_found="found")
    return {**new, "parts": {part: row[part] for part in _PARTS if row.get(part)}}


def _stage(stage: _Json) -> _Json:
    names = {
        "validation_mae_px": "validation",
        "validation_mae_before_tuning_px": "validation_before_tuning",
    }
    return {**_renamed(stage, **names), "history": [_epoch(epoch) for epoch in stage.get("history", [])]}


def _epoch(epoch: _Json) -> _Json:
    metrics = {name: epoch.get(f"validation_{name}_px") for name in ("mae", "rmse")}
    old = {"images_per_s", "validation_mae_px", "validation_rmse_px"}
    kept = {key: value for key, value in epoch.items() if key not in old}
    return {**kept, "samples_per_s": epoch.get("images_per_s"), "validation": metrics}


def _gallery(gallery: _Json) -> _Json:
    return {
        "test_set": gallery.get("test_set"),
        "chosen": [_sample(face) for face in gallery.get("chosen", [])],
        "worst": {
            name: [_sample(face) for face in faces] for name, faces in gallery.get("worst", {}).items()
        },
        "mean_points": gallery.get("mean_face", []),
    }


def _sample(face: _Json) -> _Json:
    return _renamed(face, truth="truth_points", predictions="answer_points")
