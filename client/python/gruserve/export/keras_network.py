"""A Keras network as a list of layers: from the model's config, or from what the command line says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gruserve.export.errors import ExportError, cannot_express
from gruserve.export.keras_file import KerasFile, snake_case

# Weights by which a layer of a file without a config is known.
_CLASSES = {
    "recurrent_kernel": "GRU",
    "forward/recurrent_kernel": "Bidirectional",
    "embeddings": "Embedding",
    "moving_mean": "BatchNormalization",
    "gamma": "LayerNormalization",
    "variance": "Normalization",
    "kernel": "Dense",
}


@dataclass
class KerasLayer:
    """One layer."""

    name: str
    class_name: str
    config: dict[str, Any]
    sources: list[str]  # Names of layers before it; "input".
    weights: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass
class KerasNetwork:
    """Layers in an order in which they can run."""

    layers: list[KerasLayer]
    output: str
    version: str


def from_config(config: dict[str, Any] | list[Any], found: KerasFile) -> KerasNetwork:
    """Of a Sequential or Functional model, as model.to_json() describes it."""
    kind = "Sequential" if isinstance(config, list) else str(config.get("class_name"))
    inner = config if isinstance(config, list) else config["config"]
    described = inner if isinstance(inner, list) else inner.get("layers")
    if kind not in ("Sequential", "Functional", "Model") or not isinstance(described, list):
        raise ExportError(f"the model is a {kind}: only Sequential and Functional ones describe their layers")
    chain = kind == "Sequential"
    layers: list[KerasLayer] = []
    alias: dict[str, str] = {}  # Of input layers.
    last = "input"
    for each in described:
        layer_config = each.get("config", {})
        name = layer_config.get("name") or each.get("name") or each["class_name"]
        if each["class_name"] == "InputLayer":
            if "input" in alias.values():
                raise ExportError(
                    f'the model has several inputs, "{name}" is the second; gruserve-export takes one'
                )
            alias[name] = "input"
            continue
        sources = [last] if chain else [alias.get(s, s) for s in _sources(name, each)]
        layers.append(KerasLayer(name, each["class_name"], layer_config, sources))
        last = name
    if not layers:
        raise ExportError("the model has no layers")
    _attach(layers, found)
    return KerasNetwork(layers, last if chain else _output(inner, last), found.version)


def _sources(name: str, layer: dict[str, Any]) -> list[str]:
    """The layers whose outputs a layer of a Functional model takes."""
    nodes = layer.get("inbound_nodes") or []
    if len(nodes) != 1:
        raise cannot_express(name, layer["class_name"], f"it is called {len(nodes)} times")
    node = nodes[0]
    if isinstance(node, dict):  # Keras 3.
        sources, extra = _histories(node.get("args")), _histories(node.get("kwargs"))
    else:
        inputs = [node] if isinstance(node[0], str) else node
        sources = [each[0] for each in inputs]
        extra = [key for each in inputs for key, value in (each[3] if len(each) > 3 else {}).items() if value]
    if extra:
        raise cannot_express(name, layer["class_name"], f"it takes more than its input: {', '.join(extra)}")
    return sources


def _histories(value: Any) -> list[str]:
    if isinstance(value, dict):
        if "keras_history" in value:
            return [value["keras_history"][0]]
        return [name for each in value.values() for name in _histories(each)]
    if isinstance(value, list):
        return [name for each in value for name in _histories(each)]
    return []


def _output(config: dict[str, Any], last: str) -> str:
    outputs = config.get("output_layers") or [last]
    if isinstance(outputs[0], str) and len(outputs) == 3:  # One alone, not in a list.
        return outputs[0]
    if len(outputs) != 1:
        raise ExportError(f"the model has {len(outputs)} outputs; gruserve-export takes one")
    return outputs[0] if isinstance(outputs[0], str) else outputs[0][0]


def _attach(layers: list[KerasLayer], found: KerasFile) -> None:
    """Gives the layers their weights. Keras 3 counts the layers of each class."""
    counts: dict[str, int] = {}
    for layer in layers:
        key = layer.name
        if found.counted:
            base = snake_case(layer.class_name)
            number = counts.get(base, 0)
            counts[base] = number + 1
            key = f"{base}_{number}" if number else base
        layer.weights = found.weights.get(key, {})


def from_options(options: Sequence[str], found: KerasFile) -> KerasNetwork:
    """Of weights alone: NAME[:CLASS][,OPTION=VALUE]... for each layer, in their order; of one GRU nothing."""
    filled = [name for name, weights in found.weights.items() if weights]
    if not options:
        if len(filled) != 1 or _guess(found, filled[0]) not in ("GRU", "Bidirectional"):
            listed = ", ".join(f"{name} ({_guess(found, name)})" for name in filled)
            raise ExportError(
                "the file holds weights, but not how the layers go together: say --keras-config FILE, with what "
                "model.to_json() gives, or for each layer, in their order, --layer NAME,OPTION=VALUE, such as "
                f"--layer dense,activation=softmax. Layers with weights: {listed or 'none'}"
            )
        options = [filled[0]]
    layers: list[KerasLayer] = []
    last = "input"
    for option in options:
        head, *pairs = option.split(",")
        name, _, class_name = head.partition(":")
        class_name = class_name or _guess(found, name)
        if not class_name:
            known = ", ".join(filled)
            raise ExportError(
                f'--layer "{name}" is not in the file, and has no class (NAME:CLASS); there: {known}'
            )
        config = {"return_sequences": True, **dict(_pair(pair) for pair in pairs)}
        if class_name == "Bidirectional":
            config = {"layer": {"class_name": "GRU", "config": config}}
        layers.append(KerasLayer(name, class_name, config, [last], found.weights.get(name, {})))
        last = name
    unused = [name for name in filled if name not in {layer.name for layer in layers}]
    if unused:
        raise ExportError(f"no --layer names the weights of: {', '.join(unused)}")
    return KerasNetwork(layers, last, found.version)


def _guess(found: KerasFile, name: str) -> str:
    weights = found.weights.get(name, {})
    return next((kind for role, kind in _CLASSES.items() if role in weights), "")


def _pair(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise ExportError(f'--layer has "{text}", expected OPTION=VALUE')
    try:
        return key, json.loads(value)
    except ValueError:
        return key, {"True": True, "False": False}.get(value, value)
