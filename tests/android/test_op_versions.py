"""The table of operator versions against the library inside the app: every operator is asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlbench.device_runners.android.op_versions import HIGHEST_VERSION, operators, unsupported

from .jvm import bionic_libraries
from .jvm.jvm_host import JvmHost

# In a process of its own: it loads Android's library over the stand-in of Android's C library.
_ASK = """
import ctypes, json
import flatbuffers
from ai_edge_litert import schema_py_generated as schema

library = ctypes.CDLL("libtensorflowlite_jni.so")
library.TfLiteModelCreate.restype = library.TfLiteInterpreterCreate.restype = ctypes.c_void_p
library.TfLiteModelCreate.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
library.TfLiteInterpreterCreate.argtypes = [ctypes.c_void_p, ctypes.c_void_p]

def loads(operator, version):
    model, code, graph = schema.ModelT(), schema.OperatorCodeT(), schema.SubGraphT()
    code.builtinCode, code.deprecatedBuiltinCode, code.version = operator, min(operator, 127), version
    graph.tensors = graph.inputs = graph.outputs = graph.operators = []
    model.version, model.operatorCodes, model.subgraphs, model.buffers = 3, [code], [graph], [schema.BufferT()]
    builder = flatbuffers.Builder(256)
    builder.Finish(model.Pack(builder), b"TFL3")
    data = bytes(builder.Output())
    return bool(library.TfLiteInterpreterCreate(library.TfLiteModelCreate(data, len(data)), None))

names = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
highest = {name: max((v for v in range(1, 20) if loads(code, v)), default=0) for code, name in names.items()}
print(json.dumps({name: version for name, version in highest.items() if version}))
"""


def test_the_table_is_the_librarys(jvm: JvmHost) -> None:
    environment = {**os.environ, **bionic_libraries.environment(jvm.libraries)}
    done = subprocess.run(
        [sys.executable, "-c", _ASK], env=environment, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == HIGHEST_VERSION


def test_operators_of_a_file(networks: Path) -> None:
    assert ("FULLY_CONNECTED", 9) in operators(networks / "dynamic.tflite")
    assert unsupported(networks / "dynamic.tflite") is None


@pytest.mark.parametrize("data", [b"", b"\0\0\0\1TFL3" + b"\xff" * 100, b"PK\3\4" + bytes(60)])
def test_other_files_are_told_from_networks(data: bytes, tmp_path: Path) -> None:
    file = tmp_path / "x.tflite"
    file.write_bytes(data)
    assert "not a network that TensorFlow Lite reads" in str(unsupported(file))
