"""What the tests of following read: a small video with all that may happen in it, and a network with presence."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

from mlbench.export.notes import Notes, with_notes
from mlbench.export.repacking import model_of, packed
from mlbench.faces.sequences import Scene, sequence

Grey = npt.NDArray[np.uint8]

SIZE = (240, 432)

_SCENES = (
    Scene(speed=0.02, size=(0.4, 0.7), roll=15),
    Scene(faces=2, speed=0.01, size=(0.4, 0.5)),
    Scene(faces=0),
    Scene(speed=0.06, size=(0.45, 0.55)),
    Scene(faces=2, size=(0.4, 0.6), blur=1.0),
)
_LENGTH = 40  # frames of each
_DARK = slice(22, 28)  # in which the light is off


def video() -> Grey:
    """200 frames of other faces every 40, which move, turn, come near, and stand in the dark for a while."""
    return np.stack([image for seed, scene in enumerate(_SCENES) for image in _shown(scene, seed)])


def _shown(scene: Scene, seed: int) -> Iterator[Grey]:
    for number, frame in enumerate(sequence(scene, _LENGTH, seed, SIZE)):
        dark = number in range(_DARK.start, _DARK.stop)
        yield frame.image // 4 if dark else frame.image


def telling_presence(content: bytes, margin: float) -> bytes:
    """A network of landmarks with a first output beside them: how bright the crop is, which refuses dark ones."""
    model = model_of(content)
    (graph,) = model.subgraphs
    axes, presence, kind, mean = (
        schema.TensorT(),
        schema.TensorT(),
        schema.OperatorCodeT(),
        schema.OperatorT(),
    )
    axes.name, axes.type, axes.shape, axes.buffer = "axes", schema.TensorType.INT32, [2], len(model.buffers)
    presence.name, presence.type, presence.shape = "presence", schema.TensorType.FLOAT32, [1, 1]
    model.buffers.append(schema.BufferT())
    model.buffers[-1].data = np.array([1, 2], np.int32).view(np.uint8)
    kind.builtinCode = kind.deprecatedBuiltinCode = schema.BuiltinOperator.MEAN
    kind.version = 1
    (crop,), (points,) = graph.inputs, graph.outputs
    first = len(graph.tensors)
    mean.opcodeIndex, mean.inputs, mean.outputs = len(model.operatorCodes), [crop, first], [first + 1]
    mean.builtinOptions = schema.ReducerOptionsT()
    mean.builtinOptionsType = schema.BuiltinOptions.ReducerOptions
    model.operatorCodes.append(kind)
    graph.tensors += [axes, presence]
    graph.operators.append(mean)
    graph.tensors[points].name, graph.outputs, model.signatureDefs = "points", [first + 1, points], []
    settings = {"presence_slope": 20.0, "presence_offset": -5.0, "presence_threshold": 0.6}
    return with_notes(packed(model, len(content)), Notes(settings, {"crop": margin}))


def with_real_weights(content: bytes) -> bytes:
    """The same network, its 8-bit weights as float32: runtimes round activations of the others each in its way."""
    model = model_of(content)
    (graph,) = model.subgraphs
    for tensor in (one for one in graph.tensors if one.type == schema.TensorType.INT8):
        scale = np.asarray(tensor.quantization.scale, np.float32)
        codes = np.frombuffer(bytes(model.buffers[tensor.buffer].data), np.int8).reshape(tensor.shape)
        values = codes * scale.reshape(-1, *[1] * (codes.ndim - 1))  # one scale, or one for each output
        model.buffers[tensor.buffer].data = (
            np.ascontiguousarray(values, np.float32).view(np.uint8).reshape(-1)
        )
        tensor.type, tensor.quantization = schema.TensorType.FLOAT32, None
    return packed(model, 4 * len(content))
