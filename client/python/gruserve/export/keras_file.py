"""Reads what Keras saves: whole-model .h5, weights .h5 of Keras 2, .weights.h5 and .keras of Keras 3.

Nothing of a file is run; links, data outside of the file and what is larger than the file are refused.
"""

from __future__ import annotations

import io
import json
import pathlib
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gruserve.export.errors import ExportError, one_line

# The order of a layer's variables where a file only counts them.
_ROLES = {
    "dense": ("kernel", "bias"),
    "embedding": ("embeddings",),
    "layer_normalization": ("gamma", "beta"),
    "batch_normalization": ("gamma", "beta", "moving_mean", "moving_variance"),
    "normalization": ("mean", "variance", "count"),
}
_GRU_ROLES = ("kernel", "recurrent_kernel", "bias")
_CONTAINERS = ("layers/", "_layer_checkpoint_dependencies/")


@dataclass
class KerasFile:
    """What a file holds."""

    # By the layer's name or, in counted files without names, by its class and number ("gru", "gru_1").
    # A weight is called "kernel"; of a Bidirectional "forward/kernel" and "backward/kernel".
    weights: dict[str, dict[str, np.ndarray]]
    counted: bool  # Keras 3: `weights` is by class and number.
    config: dict[str, Any] | None = None  # As of model.to_json().
    version: str = ""


def read(file: pathlib.Path) -> KerasFile:
    """Reads a file of any of these kinds. ExportError where it is none."""
    try:
        import h5py
    except ModuleNotFoundError:
        raise ExportError("h5py is not installed (Debian: python3-h5py)") from None
    if not file.is_file():
        raise ExportError(f"{file} is not there" if not file.exists() else f"{file} is not a file")
    try:
        if not zipfile.is_zipfile(file):
            with h5py.File(file, "r") as h5:
                return _read_h5(h5, file.stat().st_size)
        with zipfile.ZipFile(file) as archive:
            config = json.loads(archive.read("config.json"))
            version = json.loads(archive.read("metadata.json")).get("keras_version", "3")
            data = archive.read("model.weights.h5")
        with h5py.File(io.BytesIO(data), "r") as h5:
            found = _read_h5(h5, len(data))
        found.config, found.version = config, version
        return found
    except ExportError as error:
        raise ExportError(f"{file}: {error}") from None
    except Exception as error:  # h5py, zipfile and json each have their own.
        raise ExportError(f"{file} is no file that Keras saved: {one_line(error)}") from None


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _read_h5(h5: Any, size: int) -> KerasFile:
    version = _text(h5.attrs.get("keras_version", ""))
    if "model_config" in h5.attrs:
        return KerasFile(
            weights=_by_layer(h5["model_weights"], size),
            counted=False,
            config=json.loads(_text(h5.attrs["model_config"])),
            version=version,
        )
    if "layer_names" in h5.attrs or "layer_names0" in h5.attrs:
        return KerasFile(weights=_by_layer(h5, size), counted=False, version=version)
    weights = _counted(h5, size)
    if not weights:
        raise ExportError("it holds no layers of Keras: no layer_names, and no group called layers")
    return KerasFile(weights=weights, counted=True, version="3")


def _names(attributes: Mapping[str, Any], name: str) -> list[str]:
    """A list of names; Keras cuts long ones into name0, name1, ..."""
    if name in attributes:
        return [_text(each) for each in attributes[name]]
    names: list[str] = []
    while f"{name}{len(names)}" in attributes:
        names.append(f"{name}{len(names)}")
    return [_text(each) for part in names for each in attributes[part]]


def _array(group: Any, path: str, size: int) -> np.ndarray:
    dataset = group[path]
    if not hasattr(dataset, "is_virtual"):
        raise ExportError(f"{path} is no dataset")
    if dataset.file.filename != group.file.filename or dataset.external or dataset.is_virtual:
        raise ExportError(f"{path} lies in another file")
    if dataset.nbytes > size:
        raise ExportError(f"{path} is larger than the file")
    if dataset.dtype.kind not in "fiu" or "dtype" in dataset.attrs:
        raise ExportError(f"{path} holds {_text(dataset.attrs.get('dtype', dataset.dtype))}, expected floats")
    return dataset[()].astype("f4")


def _direction(parts: list[str]) -> str:
    for part in parts:
        for direction in ("forward", "backward"):
            if part.startswith(f"{direction}_"):
                return f"{direction}/"
    return ""


def _by_layer(group: Any, size: int) -> dict[str, dict[str, np.ndarray]]:
    """The layout of Keras 2, which Keras 3 still writes for .h5: names of layers, in them names of weights."""
    layers: dict[str, dict[str, np.ndarray]] = {}
    for layer in _names(group.attrs, "layer_names"):
        weights = layers.setdefault(layer, {})
        for name in _names(group[layer].attrs, "weight_names"):
            *parts, last = name.split("/")
            if "seed" in last or any(part.startswith("seed_generator") for part in parts):
                continue
            role = _direction(parts) + re.sub(r":[0-9]+$", "", last)
            if role in weights:
                raise ExportError(f'the layer "{layer}" has two weights called {role}')
            weights[role] = _array(group[layer], name, size)
    return layers


def _counted(h5: Any, size: int) -> dict[str, dict[str, np.ndarray]]:
    """The layout of Keras 3: layers/gru_1/cell/vars/0."""
    paths: list[str] = []
    h5.visit(paths.append)  # Does not follow links.
    layers: dict[str, dict[str, np.ndarray]] = {}
    for path in paths:
        container = next((prefix for prefix in _CONTAINERS if path.startswith(prefix)), None)
        if container is None or "seed_generator" in path:
            continue
        key, _, rest = path[len(container) :].partition("/")
        weights = layers.setdefault(key, {})
        place, _, number = rest.rpartition("vars/")
        if not number or hasattr(h5[path], "keys"):
            continue
        weights[_role(key, place, number)] = _array(h5, path, size)
    return layers


def _role(key: str, place: str, number: str) -> str:
    """What variable `number` of layers/`key`/`place` is."""
    if not number.isdigit():
        return number
    if place.endswith("cell/"):
        direction = {"forward_layer/cell/": "forward/", "backward_layer/cell/": "backward/"}.get(place, "")
        roles: tuple[str, ...] = _GRU_ROLES
    else:
        direction, roles = "", _ROLES.get(re.sub(r"_[0-9]+$", "", key), ("kernel", "bias"))
    index = int(number)
    return direction + (roles[index] if index < len(roles) else f"variable {index}")


def snake_case(class_name: str) -> str:
    """How Keras 3 counts layers of a class: LayerNormalization is layer_normalization, ReLU is re_lu."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", class_name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
