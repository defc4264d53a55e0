"""Keras's own equations in numpy and double precision: what a served Keras network is compared with."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from gruserve.export.errors import ExportError
from gruserve.export.keras_network import KerasLayer, KerasNetwork
from gruserve.export.keras_weights import activation_name, norm_weights, normalization, reset_after

Array = np.ndarray


def _sigmoid(x: Array) -> Array:
    return 0.5 * (1 + np.tanh(0.5 * x))


def _softmax(x: Array) -> Array:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


_ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.2 * x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "gelu": lambda x: 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))),
    "silu": lambda x: x * _sigmoid(x),
    "swish": lambda x: x * _sigmoid(x),
    "sigmoid": _sigmoid,
    "tanh": np.tanh,
    "softplus": lambda x: np.logaddexp(x, 0),
    "softmax": _softmax,
    "log_softmax": lambda x: np.log(_softmax(x)),
}


class KerasReference:
    """One network over x [T, B, I]."""

    def __init__(self, network: KerasNetwork):
        self._network = network

    def run(self, x: Array) -> Array:
        """The output, [T, B, O]; where the network gives the last time step only, [B, O]."""
        values: dict[str, Array] = {"input": np.asarray(x, "f8")}
        for layer in self._network.layers:
            values[layer.name] = self._layer(layer, [values[name] for name in layer.sources])
        return values[self._network.output]

    def _activate(self, value: Any, x: Array) -> Array:
        name = activation_name(value)
        if name == "hard_sigmoid":
            third = self._network.version.startswith("3")
            return np.clip(x / 6 + 0.5 if third else 0.2 * x + 0.5, 0, 1)
        return _ACTIVATIONS[name](x)

    def _layer(self, layer: KerasLayer, inputs: list[Array]) -> Array:
        kind, config, x = layer.class_name, layer.config, inputs[0]
        weights = {role: weight.astype("f8") for role, weight in layer.weights.items()}
        if kind == "TimeDistributed":
            inner = config["layer"]
            wrapped = KerasLayer(
                layer.name, inner["class_name"], inner["config"], layer.sources, layer.weights
            )
            return self._layer(wrapped, inputs)
        if kind == "GRU":
            y = _gru(x, layer, config, "")
            return y if config.get("return_sequences") else y[-1]
        if kind == "Bidirectional":
            inner = config["layer"]["config"]
            forward, backward = _gru(x, layer, inner, "forward/"), _gru(x[::-1], layer, inner, "backward/")
            return np.concatenate([forward, backward[::-1]], axis=-1)
        if kind == "Dense":
            y = x @ weights["kernel"] + weights.get("bias", 0.0)
            return self._activate(config.get("activation"), y)
        if kind == "Embedding":
            return weights["embeddings"][x[..., 0].astype(int)]
        if kind == "Activation":
            return self._activate(config.get("activation"), x)
        if kind in _MERGES:
            return _MERGES[kind](inputs)
        return _plain(layer, config, weights, x)


_MERGES: dict[str, Callable[[list[Array]], Array]] = {
    "Add": lambda inputs: inputs[0] + inputs[1],
    "Subtract": lambda inputs: inputs[0] - inputs[1],
    "Multiply": lambda inputs: inputs[0] * inputs[1],
    "Concatenate": lambda inputs: np.concatenate(inputs, axis=-1),
}


def _plain(layer: KerasLayer, config: dict[str, Any], weights: dict[str, Array], x: Array) -> Array:
    """Layers without an activation of their own."""
    kind, eps = layer.class_name, config.get("epsilon", 1e-3)
    if kind == "LayerNormalization":
        norm = norm_weights(layer)
        centred = x - x.mean(-1, keepdims=True)
        y = centred / np.sqrt(np.square(centred).mean(-1, keepdims=True) + eps)
        return y * norm.get("gamma", 1.0) + norm.get("beta", 0.0)
    if kind == "BatchNormalization":
        y = (x - weights["moving_mean"]) / np.sqrt(weights["moving_variance"] + eps)
        return y * weights["gamma"] + weights["beta"]
    if kind == "Normalization":
        mean, variance = normalization(layer)
        return (x - mean) / np.maximum(np.sqrt(variance.astype("f8")), 1e-7)
    if kind == "Rescaling":
        return x * config.get("scale", 1.0) + config.get("offset", 0.0)
    if kind == "ReLU":
        y = np.where(x > 0, x, (config.get("negative_slope") or 0.0) * x)
        return np.minimum(y, config.get("max_value") or np.inf)
    if kind == "LeakyReLU":
        return np.where(x > 0, x, config.get("negative_slope", config.get("alpha", 0.3)) * x)
    if kind == "ELU":
        return np.where(x > 0, x, config.get("alpha", 1.0) * np.expm1(np.minimum(x, 0)))
    if kind == "Softmax":
        return _softmax(x)
    if kind == "Masking" or "Dropout" in kind or kind in ("GaussianNoise", "ActivityRegularization"):
        return x
    raise ExportError(f'"{layer.name}" ({kind}) has no reference')


def _gru(x: Array, layer: KerasLayer, config: dict[str, Any], role: str) -> Array:
    """keras.layers.GRUCell, step by step, gates in the order z, r, h."""
    after = reset_after(layer, config, role)
    kernel = layer.weights[f"{role}kernel"].astype("f8")
    recurrent = layer.weights[f"{role}recurrent_kernel"].astype("f8")
    bias = layer.weights.get(
        f"{role}bias", np.zeros((2, kernel.shape[1]) if after else kernel.shape[1])
    ).astype("f8")
    input_bias, recurrent_bias = (bias[0], bias[1]) if after else (bias, None)
    units = recurrent.shape[0]
    h = np.zeros((x.shape[1], units))
    outputs = []
    for row in x:
        x_z, x_r, x_h = np.split(row @ kernel + input_bias, 3, axis=-1)
        if recurrent_bias is not None:
            h_z, h_r, h_h = np.split(h @ recurrent + recurrent_bias, 3, axis=-1)
            z, r = _sigmoid(x_z + h_z), _sigmoid(x_r + h_r)
            candidate = np.tanh(x_h + r * h_h)
        else:
            z = _sigmoid(x_z + h @ recurrent[:, :units])
            r = _sigmoid(x_r + h @ recurrent[:, units : 2 * units])
            candidate = np.tanh(x_h + (r * h) @ recurrent[:, 2 * units :])
        h = z * h + (1 - z) * candidate
        outputs.append(h)
    return np.stack(outputs)
