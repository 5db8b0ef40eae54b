"""Small records for the tests of reports: the shape of real ones, faces of the appearance model, figures by a seed."""

from __future__ import annotations

import base64
from functools import lru_cache

import cv2
import numpy as np

from mlbench.contracts import Variant
from mlbench.evaluation.within_run import differences_of, groups_of
from mlbench.faces.accuracy import errors_of, mae_per_face
from mlbench.faces.appearance import AppearanceModel
from mlbench.faces.dataset import Faces
from mlbench.records import (
    Artifact,
    BudgetVerdict,
    Data,
    Device,
    Epoch,
    Errors,
    Failure,
    Gallery,
    GalleryFace,
    LayerChange,
    Measurement,
    Memory,
    Persons,
    Record,
    Split,
    Stage,
    Timing,
)
from mlbench.variants.paper import BASIC, ONE_POOL, TWO_POOL

VARIANTS = {"basic": BASIC, "two_pool": TWO_POOL, "one_pool": ONE_POOL}
CHAINS = {"none": 1.0, "svd": 0.6, "svd+int8": 0.15}
HOST = Device(id="host", runner="host", name="Some CPU", threads=1, details={"cores": "2", "cpu": "Some CPU"})
PHONE = Device(id="emulator-5554", runner="android", name="Some phone", threads=2)

_FACES = 12
PERSONS = Persons(of_face=(0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 8))


@lru_cache
def some_faces() -> Faces:
    """A dozen sampled faces."""
    return AppearanceModel.load().sample(_FACES, seed=5)


def example(
    variant: str = "two_pool", seed: int = 0, devices: tuple[Device, ...] = (HOST,), bursts: int = 10
) -> Record:
    """A record of one variant with three chains."""
    rng = np.random.default_rng(seed)
    definition = VARIANTS[variant]
    artifacts = [_artifact(definition, chain, share) for chain, share in CHAINS.items()]
    guesses = {a.id: _guess(a, rng) for a in artifacts}
    measurements = [_measured(a, device, rng, bursts) for device in devices for a in artifacts]
    errors = [_errors(a.id, device.id, guesses[a.id]) for device in devices for a in artifacts]
    layers = tuple(definition.layers())
    return Record(
        mlbench_version="0.1.0",
        created=f"2026-11-24T14:{seed % 60:02d}:00+00:00",
        command=("mlbench", "run", "--variant", variant, "--compress", "svd"),
        configuration={"variants": [variant], "seed": seed},
        environment={"python": "3.11.7", "cpu": "Some CPU"},
        data=Data(
            source="2000 sampled faces",
            fingerprint="ab" * 32,
            faces=2000,
            sampled=True,
            split=Split(train=1600, validation=200, test=200, rule="last rows"),
        ),
        test_sets={"test": "cd" * 32},
        layers=dict.fromkeys((a.id for a in artifacts), layers),
        stages={a.id: _stages(a, definition, rng) for a in artifacts},
        artifacts=tuple(artifacts),
        devices=devices,
        measurements=tuple(measurements),
        errors=tuple(errors),
        persons={"test": PERSONS},
        differences=tuple(differences_of(artifacts[0].id, measurements, errors, {"test": PERSONS}, 7)),
        budgets=tuple(_budget(a) for a in artifacts),
        gallery=_gallery(artifacts, guesses),
        warnings=("Other programs used 40 % of this machine: stop them and measure again.",),
    )


def with_failure(record: Record) -> Record:
    """The same, but the baseline does not load on its device."""
    first = record.measurements[0]
    failed = Measurement(
        artifact=first.artifact, device=first.device, failure=Failure(stage="load", reason="out of memory")
    )
    others = tuple(e for e in record.errors if (e.artifact, e.device) != (first.artifact, first.device))
    changed = {"measurements": (failed, *record.measurements[1:]), "errors": others, "differences": ()}
    return record.model_copy(update=changed)


def _artifact(variant: Variant, chain: str, share: float) -> Artifact:
    size = round(4 * variant.parameters * share)
    return Artifact(
        id=f"{variant.name} · {chain}",
        variant=variant.name,
        chain=chain,
        path=f"{variant.name}-{chain}.tflite",
        sha256=f"{size:064x}",
        file_bytes=size,
        deflated_bytes=round(size * 0.9),
        parameters=round(variant.parameters * share),
        macs=round(variant.macs * share),
        precision="int8" if "int8" in chain else "float32",
        export_error=1e-4,
    )


def _guess(artifact: Artifact, rng: np.random.Generator) -> np.ndarray:
    points = some_faces().points
    spread = 1.4 if "int8" in artifact.chain else 1.2
    return (points + rng.normal(0, spread, points.shape)).astype(np.float32)


def _measured(artifact: Artifact, device: Device, rng: np.random.Generator, bursts: int) -> Measurement:
    usual = 1 + artifact.file_bytes / 1e7

    def timing(ms: float, count: int) -> Timing:
        return Timing.from_samples(
            (ms * rng.lognormal(0, 0.05, bursts * count)).tolist(), [count] * bursts, 0.98
        )

    return Measurement(
        artifact=artifact.id,
        device=device.id,
        load_ms=usual * 10,
        first_ms=usual * 2,
        warmup_count=20,
        network=timing(usual, 5),
        detector=timing(18, 1),
        both=timing(18 + usual, 1),
        memory=Memory(
            baseline_bytes=40_000_000, loaded_bytes=50_000_000, peak_bytes=40_000_000 + artifact.file_bytes
        ),
        faces_found=30,
        frames=40,
    )


def _errors(artifact: str, device: str, guess: np.ndarray) -> Errors:
    return errors_of(artifact, device, "test", guess, some_faces().points, 7, groups_of(PERSONS))


def _stages(artifact: Artifact, variant: Variant, rng: np.random.Generator) -> tuple[Stage, ...]:
    names = ["baseline", *(step for step in artifact.chain.split("+") if step != "none")]
    return tuple(_stage(name, variant, rng) for name in names)


def _stage(name: str, variant: Variant, rng: np.random.Generator) -> Stage:
    history = tuple(
        Epoch(
            epoch=epoch,
            loss=float(9 / (epoch + 1)) if epoch else None,
            validation_mae_px=2.0 / (epoch + 1) + float(rng.random()) / 10,
            validation_rmse_px=2.6 / (epoch + 1) + float(rng.random()) / 10,
            learning_rate=1e-3,
            images_per_s=500,
            seconds=3,
        )
        for epoch in range(0 if name == "int8" else 4)
    )
    dense = next(layer for layer in variant.layers() if layer.name == "dense1")
    change = LayerChange(
        layer="dense1",
        shape=(dense.parameters // 1000 - 1, 1000),
        parameters_before=dense.parameters,
        parameters_after=dense.parameters // 10,
        rank=(64,),
        energy=0.997,
    )
    return Stage(
        name=name,
        parameters=variant.parameters,
        macs=variant.macs,
        validation_mae_before_tuning_px=1.4,
        validation_mae_px=1.2,
        seconds=12,
        changes=(change,) if name == "svd" else (),
        history=history,
    )


def _budget(artifact: Artifact) -> BudgetVerdict:
    fits = artifact.file_bytes <= 68e6
    return BudgetVerdict(
        artifact=artifact.id,
        budget="asset file",
        quantity="size",
        limit=68e6,
        value=artifact.file_bytes,
        fits=fits,
    )


def _gallery(artifacts: list[Artifact], guesses: dict[str, np.ndarray]) -> Gallery:
    faces = some_faces()

    def face(row: int, models: list[str]) -> GalleryFace:
        png = cv2.imencode(".png", faces.images[row])[1].tobytes()
        return GalleryFace(
            name=f"face {row}",
            png_base64=base64.b64encode(png).decode(),
            truth=_points(faces.points[row]),
            predictions={model: _points(guesses[model][row]) for model in models},
        )

    names = [artifact.id for artifact in artifacts]
    worst = {name: int(np.argmax(mae_per_face(guesses[name], faces.points))) for name in names}
    return Gallery(
        test_set="test",
        chosen=tuple(face(row, names) for row in range(8)),
        worst={name: (face(row, [name]),) for name, row in worst.items()},
        mean_face=_points(faces.points.mean(axis=0)),
    )


def _points(points: np.ndarray) -> tuple[tuple[float, float], ...]:
    return tuple((round(float(x), 2), round(float(y), 2)) for x, y in points)
