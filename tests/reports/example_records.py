"""Small records for the tests of reports: the shape of real ones, of landmarks and of classes, figures by a seed."""

from __future__ import annotations

import base64
from functools import lru_cache

import cv2
import numpy as np

from mlbench.contracts import Task, Variant
from mlbench.evaluation.budgets import parse_budget, verdicts_of
from mlbench.evaluation.metrics import facts_of, scores_of
from mlbench.evaluation.within_run import differences_of, numbers_of
from mlbench.faces.accuracy import mae_per_face
from mlbench.faces.appearance import AppearanceModel
from mlbench.faces.dataset import Faces
from mlbench.faces.landmarks import Landmarks
from mlbench.records import (
    Artifact,
    BudgetVerdict,
    Data,
    Device,
    Epoch,
    Failure,
    Gallery,
    GallerySample,
    Groups,
    LayerChange,
    Measurement,
    Memory,
    Record,
    Scores,
    SplitSizes,
    Stage,
    Timing,
)
from mlbench.tasks.classification import Classification
from mlbench.variants.paper import BASIC, ONE_POOL, TWO_POOL

VARIANTS = {"basic": BASIC, "two_pool": TWO_POOL, "one_pool": ONE_POOL}
CHAINS = {"none": 1.0, "svd": 0.6, "svd+int8": 0.15}
HOST = Device(id="host", runner="host", name="Some CPU", threads=1, details={"cores": "2", "cpu": "Some CPU"})
PHONE = Device(id="emulator-5554", runner="android", name="Some phone", threads=2)

_FACES = 12
PERSONS = Groups(of_sample=(0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 8), unit="person")


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
    points = {"points": some_faces().points}
    scores = [
        _scores(Landmarks(), a.id, device.id, {"points": guesses[a.id]}, points)
        for device in devices
        for a in artifacts
    ]
    layers = tuple(definition.layers())
    facts = facts_of(Landmarks())
    return Record(
        task=facts,
        mlbench_version="0.1.0",
        created=f"2026-11-24T14:{seed % 60:02d}:00+00:00",
        command=("mlbench", "run", "--variant", variant, "--compress", "svd"),
        configuration={"variants": [variant], "seed": seed},
        environment={"python": "3.11.7", "cpu": "Some CPU"},
        data=Data(
            source="2000 sampled faces",
            fingerprint="ab" * 32,
            samples=2000,
            sampled=True,
            unit="person",
            split=SplitSizes(train=1600, validation=200, test=200, rule="last rows"),
        ),
        test_sets={"test": "cd" * 32},
        layers=dict.fromkeys((a.id for a in artifacts), layers),
        stages={a.id: _stages(a, definition, rng) for a in artifacts},
        artifacts=tuple(artifacts),
        devices=devices,
        measurements=tuple(measurements),
        scores=tuple(scores),
        groups={"test": PERSONS},
        differences=tuple(
            differences_of(artifacts[0].id, facts.primary, measurements, scores, {"test": PERSONS}, 7)
        ),
        budgets=tuple(_budget(a) for a in artifacts),
        gallery=_gallery(artifacts, guesses),
        warnings=("Other programs used 40 % of this machine: stop them and measure again.",),
    )


def of_classes(variant: str = "tiny", seed: int = 0, fingerprint: str = "12" * 32) -> Record:
    """A record of a classifier: svd is right as often as the baseline, svd+int8 less often; words, no points."""
    rng = np.random.default_rng(seed)
    record = example("basic", seed)
    names = {a.id: a.id.replace("basic", variant) for a in record.artifacts}
    truth = {"y": np.arange(_FACES) % 3}
    right = dict(zip(names.values(), (10, 10, 6), strict=True))
    answers = {name: {"y": _classes(truth["y"], count, rng)} for name, count in right.items()}
    task = Classification()
    scores = [_scores(task, name, HOST.id, answers[name], truth) for name in names.values()]
    groups = {"test": PERSONS.model_copy(update={"unit": "recording"})}
    measurements = tuple(
        m.model_copy(update={"artifact": names[m.artifact], "parts": {}, "found": None, "frames": None})
        for m in record.measurements
    )
    metric = facts_of(task).primary
    differences = differences_of(names["basic · none"], metric, measurements, scores, groups, 7)
    shown = [
        GallerySample(
            name=f"sample {row}",
            truth=f"sample {row}: class {truth['y'][row]}",
            answers={name: f"class {own['y'][row].argmax()}" for name, own in answers.items()},
        )
        for row in range(4)
    ]
    changed = {
        "command": ("mlbench", "run", "--variant", variant, "--task", "classification"),
        "configuration": {"variants": [variant], "seed": seed},
        "task": facts_of(task),
        "data": record.data
        and record.data.model_copy(update={"source": "sounds.npz", "sampled": False, "unit": "recording"}),
        "test_sets": {"test": fingerprint},
        "groups": groups,
        "artifacts": tuple(
            a.model_copy(
                update={"id": names[a.id], "variant": variant, "path": f"{variant}-{a.chain}.tflite"}
            )
            for a in record.artifacts
        ),
        "layers": {names[key]: layers for key, layers in record.layers.items()},
        "stages": {names[key]: tuple(map(_of_classes, stages)) for key, stages in record.stages.items()},
        "measurements": measurements,
        "scores": tuple(scores),
        "differences": tuple(differences),
        "budgets": tuple(
            verdicts_of(
                [parse_budget(text, task.metrics) for text in ("top1=70%", "top1=-5pp", "size=-10%")],
                [a.model_copy(update={"id": names[a.id]}) for a in record.artifacts],
                measurements,
                scores,
            )
        ),
        "gallery": Gallery(
            test_set="test", chosen=tuple(shown), worst=dict.fromkeys(names.values(), (shown[0],))
        ),
    }
    return Record.model_validate(record.model_copy(update=changed).model_dump())


def _classes(truth: np.ndarray, right: int, rng: np.random.Generator) -> np.ndarray:
    """Probabilities whose largest is the true class in so many rows."""
    chosen = np.where(np.arange(len(truth)) < right, truth, (truth + 1) % 3)
    probabilities = np.full((len(truth), 3), 0.1) + rng.random((len(truth), 3)) / 20
    probabilities[np.arange(len(truth)), chosen] += 0.7
    return probabilities / probabilities.sum(axis=1, keepdims=True)


def _of_classes(stage: Stage) -> Stage:
    history = tuple(
        epoch.model_copy(
            update={"validation": {"top1": 1 - epoch.validation["mae"] / 4, "cross_entropy": 0.5}}
        )
        for epoch in stage.history
    )
    return stage.model_copy(update={"validation": 0.8, "validation_before_tuning": 0.7, "history": history})


def with_failure(record: Record) -> Record:
    """The same, but the baseline does not load on its device."""
    first = record.measurements[0]
    failed = Measurement(
        artifact=first.artifact, device=first.device, failure=Failure(stage="load", reason="out of memory")
    )
    others = tuple(s for s in record.scores if (s.artifact, s.device) != (first.artifact, first.device))
    changed = {"measurements": (failed, *record.measurements[1:]), "scores": others, "differences": ()}
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
        parts={"detector": timing(18, 1), "both": timing(18 + usual, 1)},
        memory=Memory(
            baseline_bytes=40_000_000, loaded_bytes=50_000_000, peak_bytes=40_000_000 + artifact.file_bytes
        ),
        found=30,
        frames=40,
    )


def _scores(
    task: Task, artifact: str, device: str, answers: dict[str, np.ndarray], targets: dict[str, np.ndarray]
) -> Scores:
    return scores_of(task, (artifact, device, "test"), answers, targets, 7, numbers_of(PERSONS))


def _stages(artifact: Artifact, variant: Variant, rng: np.random.Generator) -> tuple[Stage, ...]:
    names = ["baseline", *(step for step in artifact.chain.split("+") if step != "none")]
    return tuple(_stage(name, variant, rng) for name in names)


def _stage(name: str, variant: Variant, rng: np.random.Generator) -> Stage:
    history = tuple(
        Epoch(
            epoch=epoch,
            loss=float(9 / (epoch + 1)) if epoch else None,
            validation={
                name: start / (epoch + 1) + float(rng.random()) / 10
                for name, start in (("mae", 2.0), ("rmse", 2.6))
            },
            learning_rate=1e-3,
            samples_per_s=500,
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
        validation_before_tuning=1.4,
        validation=1.2,
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

    def face(row: int, models: list[str]) -> GallerySample:
        png = cv2.imencode(".png", faces.images[row])[1].tobytes()
        return GallerySample(
            name=f"face {row}",
            png_base64=base64.b64encode(png).decode(),
            truth_points=_points(faces.points[row]),
            answer_points={model: _points(guesses[model][row]) for model in models},
        )

    names = [artifact.id for artifact in artifacts]
    worst = {name: int(np.argmax(mae_per_face(guesses[name], faces.points))) for name in names}
    return Gallery(
        test_set="test",
        chosen=tuple(face(row, names) for row in range(8)),
        worst={name: (face(row, [name]),) for name, row in worst.items()},
        mean_points=_points(faces.points.mean(axis=0)),
    )


def _points(points: np.ndarray) -> tuple[tuple[float, float], ...]:
    return tuple((round(float(x), 2), round(float(y), 2)) for x, y in points)
