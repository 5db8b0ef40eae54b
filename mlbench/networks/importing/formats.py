"""Files of networks, told apart by what they hold, and looked at before any library reads them.

A file's configuration and the arrays' places are read here as data. What cannot be imported is refused with the way
that works.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

from mlbench.errors import UsageError

_CONVERT = (
    "`mlbench measure FILE.tflite` and `mlbench compress FILE.tflite --chain int8` work on what it writes"
)
_PYTORCH = f"is of PyTorch: convert it by litert-torch (formerly ai-edge-torch); {_CONVERT}"
_SAVED_MODEL = (
    "is of a SavedModel, which holds a graph without layers: save the network as .keras where it was made, or convert "
    f"it by tf.lite.TFLiteConverter.from_saved_model; {_CONVERT}"
)

#: Why files are refused by their name's end.
_REFUSED_ENDS = {
    ".onnx": f"is ONNX: convert it by onnx2tf; {_CONVERT}",
    ".pt": _PYTORCH,
    ".pth": _PYTORCH,
    ".ckpt": _PYTORCH,
    ".safetensors": _PYTORCH,
    ".pb": _SAVED_MODEL,
    ".tflite": "is a finished file: `mlbench measure FILE.tflite` measures it, and "
    "`mlbench compress FILE.tflite --chain int8` compresses it; --model takes networks that can be trained",
    ".pkl": "is a pickle, which can hold code: save the network by model.save as .keras",
    ".pickle": "is a pickle, which can hold code: save the network by model.save as .keras",
    ".npz": "holds arrays: save the network by model.save as .keras",
}
_WEIGHTS_ALONE = "holds weights without layers: save the whole network by model.save, as .keras"

_HDF5, _ZIP = b"\x89HDF\r\n\x1a\n", b"PK\x03\x04"
_WEIGHTS = "model.weights.h5"
_MEMBERS = {"config.json", "metadata.json", _WEIGHTS}
_LARGEST_TEXT = 64 << 20  # bytes of a configuration: those of the largest networks have a few
_BOMB_BYTES, _BOMB_RATIO = 1 << 30, 50


@dataclass(frozen=True)
class NetworkFile:
    """A file of a network.

    Attributes:
        path: of the file.
        kind: a zip of Keras' own, or HDF5.
        config: of the network, as the file has it: nothing in it is to be trusted.
        keras: version of Keras that wrote it, 2 or 3.
    """

    path: Path
    kind: Literal["zip", "hdf5"]
    config: dict[str, Any]
    keras: int

    def place_weights(self, folder: Path) -> Path:
        """A file with the weights, in a folder for scratch, named as Keras wants it.

        Raises:
            UsageError: damaged, or with parts that lie in other files.
        """
        named = folder / ("network.h5" if self.kind == "hdf5" else _WEIGHTS)
        try:
            if self.kind == "hdf5":
                named.symlink_to(self.path.resolve())
            else:
                with (
                    zipfile.ZipFile(self.path) as archive,
                    archive.open(_WEIGHTS) as held,
                    named.open("wb") as to,
                ):
                    shutil.copyfileobj(held, to)
            _check_places(named)
        except UsageError as error:
            message = f"{self.path} {error}."
            raise UsageError(message) from error
        except Exception as error:  # zipfile, zlib and h5py raise nearly anything on damaged files
            raise _damaged(self.path, error) from error
        return named


def read(path: Path) -> NetworkFile:
    """Look at a file; no library for networks has a part in it.

    Raises:
        UsageError: absent, damaged, or of another kind; the sentence says what to do.
    """
    fault = _fault_of(path)
    if fault:
        message = f"{path} {fault}."
        raise UsageError(message)
    try:
        with path.open("rb") as file:
            head = file.read(8)
        return _read_zip(path) if head.startswith(_ZIP) else _read_hdf5(path)
    except UsageError as error:
        message = f"{path} {error}."
        raise UsageError(message) from error
    except Exception as error:  # zipfile, zlib, h5py and json raise nearly anything on damaged files
        raise _damaged(path, error) from error


def _fault_of(path: Path) -> str:
    """Why a file is none that can be imported, as far as its name and first bytes say; "" otherwise."""
    if path.is_dir():
        return (
            _SAVED_MODEL if (path / "saved_model.pb").exists() else "is a folder: give a .keras or .h5 file"
        )
    if not path.exists():
        return "does not exist: give a .keras or .h5 file, or package.module:function"
    end = path.suffix.lower()
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    if not head:
        return "is empty: save the network again by model.save"
    if head[4:8] == b"TFL3":
        end = ".tflite"
    if end in _REFUSED_ENDS:
        return _REFUSED_ENDS[end]
    if head.startswith((_HDF5, _ZIP)):
        return ""
    if head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        return "is a web page: download the file itself"
    if head.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS: fetch the file by `git lfs pull`"
    return "is neither a .keras nor an .h5 file: save the network by model.save"


def _read_zip(path: Path) -> NetworkFile:
    with zipfile.ZipFile(path) as archive:
        members = {member.filename: member for member in archive.infolist()}
        if "config.json" not in members:
            _refuse(
                _PYTORCH
                if any(name.endswith("data.pkl") for name in members)
                else "is a zip without a network"
            )
        if strange := sorted(members.keys() - _MEMBERS):
            _refuse(f"holds {strange[0]!r}, which no network of plain layers needs")
        total, size = sum(member.file_size for member in members.values()), path.stat().st_size
        if total > _BOMB_BYTES and total > _BOMB_RATIO * size:
            _refuse(f"has {size:,} bytes that would inflate to {total:,}")
        if _WEIGHTS not in members:
            _refuse("holds no weights: save the network again by model.save")
        texts = {}
        for name in ("config.json", "metadata.json"):
            if name in members and members[name].file_size > _LARGEST_TEXT:
                _refuse(f"holds a {name} of {members[name].file_size:,} bytes")
            texts[name] = json.loads(archive.read(name)) if name in members else {}
    return _described(path, "zip", texts["config.json"], texts["metadata.json"].get("keras_version"))


def _read_hdf5(path: Path) -> NetworkFile:
    import h5py

    with h5py.File(path, "r") as file:
        config, version = (_text(file.attrs.get(name)) for name in ("model_config", "keras_version"))
    if config is None:
        raise UsageError(_WEIGHTS_ALONE)
    return _described(path, "hdf5", json.loads(config), version)


def _described(path: Path, kind: Literal["zip", "hdf5"], config: Any, version: Any) -> NetworkFile:
    if not isinstance(config, dict):
        _refuse("holds no configuration of a network")
    major = str(version or "2").partition(".")[0]
    if major not in ("1", "2", "3"):
        _refuse(f"was written by Keras {version}, which is not known here: Keras 2 and 3 are")
    return NetworkFile(path, kind, config, max(2, int(major)))


def _check_places(file: Path) -> None:
    """Refuse HDF5 whose parts lie in other files, which would be read as weights."""
    import h5py

    def check(group: h5py.Group) -> None:
        for name in group:
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                _refuse(f"has a link in place of {name!r}, which could lead anywhere")
            item = group[name]
            if isinstance(item, h5py.Group):
                check(item)
            elif item.external or item.is_virtual:
                _refuse(f"keeps {name!r} in another file")

    with h5py.File(file, "r") as opened:
        check(opened)


def _text(value: Any) -> str | None:
    return value.decode() if isinstance(value, bytes) else value


def _damaged(path: Path, error: Exception) -> UsageError:
    return UsageError(f"{path} is damaged ({_one_line(error)}): save the network again by model.save.")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _refuse(fault: str) -> NoReturn:
    raise UsageError(fault)
