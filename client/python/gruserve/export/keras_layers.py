"""Puts the layers of a Keras network into the server's words."""

from __future__ import annotations

from typing import Any

import numpy as np

from gruserve.export.entry import Input, ModelEntry
from gruserve.export.errors import ExportError, cannot_express
from gruserve.export.keras_network import KerasLayer, KerasNetwork
from gruserve.export.keras_weights import activation_name, norm_weights, normalization, reorder, reset_after

_ACTIVATIONS: dict[str, list[dict[str, Any]]] = {
    "linear": [],
    "relu": [{"type": "ReLU"}],
    "relu6": [{"type": "ReLU6"}],
    "leaky_relu": [{"type": "LeakyReLU", "negative_slope": 0.2}],
    "elu": [{"type": "ELU"}],
    "gelu": [{"type": "GELU"}],
    "silu": [{"type": "SiLU"}],
    "swish": [{"type": "SiLU"}],
    "sigmoid": [{"type": "Sigmoid"}],
    "tanh": [{"type": "Tanh"}],
    "softplus": [{"type": "Softplus"}],
    "softmax": [{"type": "Softmax"}],
    "log_softmax": [{"type": "LogSoftmax"}],
}
# Keras 2 and 3 give this name to different functions.
_HARD_SIGMOID = {
    "2": [
        {"type": "Affine", "scale": 0.2, "mean": 0.5, "inverse": True},
        {"type": "Hardtanh", "min_val": 0.0, "max_val": 1.0},
    ],
    "3": [{"type": "Hardsigmoid"}],
}
_PASSING = {"Dropout", "SpatialDropout1D", "GaussianNoise", "GaussianDropout", "AlphaDropout"}
_PASSING |= {"ActivityRegularization"}
_MERGES = {"Add": "Add", "Subtract": "Sub", "Multiply": "Mul", "Concatenate": "Concat"}


class KerasWriter:
    """Turns one network into modules and tensors. Used once."""

    def __init__(self, network: KerasNetwork, ignore_mask: bool):
        self._network = network
        self._ignore_mask = ignore_mask
        self._tensors: dict[str, np.ndarray] = {}
        self._modules: list[dict[str, Any]] = []
        self._values: dict[str, str] = {"input": "input"}  # The module that gives a layer's output.
        self._last_only: dict[str, bool] = {"input": False}
        self._last = "input"
        self._index_size = 0

    def entry(self) -> ModelEntry:
        """The whole network."""
        for layer in self._network.layers:
            self._layer(layer)
        if not any(module["type"] == "GRU" for module in self._modules):
            raise ExportError("the model has no GRU")
        output = self._values[self._network.output]
        first = self._modules[0]
        entry = ModelEntry(
            tensors=self._tensors,
            modules=self._modules,
            inputs=[Input("input", self._input_size(), self._index_size)],
            last_only=self._last_only[self._network.output],
            output="" if output == self._last else output,
            write_inputs=first["type"] not in ("GRU", "Linear", "Embedding", "LayerNorm", "BatchNorm1d"),
        )
        if len(self._modules) == 1 and first.get("linear_before_reset", True):
            prefix = first["prefix"] + "."
            entry.tensors = {name.removeprefix(prefix): tensor for name, tensor in self._tensors.items()}
            entry.modules = None
        return entry

    def _input_size(self) -> int:
        if self._index_size:
            return 1
        for layer in self._network.layers:
            for role in ("kernel", "forward/kernel"):
                if role in layer.weights:
                    return layer.weights[role].shape[0]
            for role in ("gamma", "mean", "moving_mean"):
                if role in layer.weights:
                    return layer.weights[role].size
        raise ExportError("the model does not say how many features come in")

    def _refuse(self, layer: KerasLayer, why: str) -> ExportError:
        return cannot_express(layer.name, layer.class_name, why)

    def _need(self, layer: KerasLayer, role: str, rank: int) -> np.ndarray:
        weight = layer.weights.get(role)
        if weight is None:
            have = ", ".join(layer.weights) or "none"
            raise ExportError(f'the layer "{layer.name}" has no weight {role} in the file; there: {have}')
        if weight.ndim != rank:
            raise ExportError(
                f'{role} of the layer "{layer.name}" has {weight.ndim} dimensions, expected {rank}'
            )
        return weight

    def _add(self, layer: KerasLayer, module: dict[str, Any], part: str = "") -> None:
        """Appends a module that takes what the layer takes, or what its part before this one gave."""
        sources = [self._values[name] for name in layer.sources]
        before = self._values.get(layer.name)
        inputs = [before] if before is not None else sources
        name = layer.name if not part else f"{layer.name}/{part}"
        entry = {"type": module["type"]}
        if module.get("prefix") != name:
            entry["name"] = name
        if inputs != [self._last] or module["type"] in ("Add", "Sub", "Mul"):
            entry["inputs"] = inputs
        entry.update({key: value for key, value in module.items() if key != "type"})
        self._modules.append(entry)
        self._values[layer.name] = self._last = name

    def _layer(self, layer: KerasLayer) -> None:
        missing = [name for name in layer.sources if name not in self._values]
        if missing:
            raise ExportError(
                f'the layer "{layer.name}" takes the output of "{missing[0]}", which comes later'
            )
        if layer.name in self._values:
            raise ExportError(f'two layers are called "{layer.name}"')
        lasts = {self._last_only[name] for name in layer.sources}
        if len(lasts) != 1:
            raise self._refuse(layer, "it joins all time steps and the last one")
        self._last_only[layer.name] = lasts.pop()
        kind = layer.class_name
        handler = getattr(self, "_" + kind.lower(), None)
        if kind in _PASSING:
            self._values[layer.name] = self._values[layer.sources[0]]
        elif kind in _MERGES:
            self._merge(layer)
        elif kind in _HANDLED and handler is not None:
            handler(layer)
        else:
            raise self._refuse(layer, "gruserve-export does not know this layer")
        # A layer that does nothing is what came before it.
        self._values.setdefault(layer.name, self._values[layer.sources[0]])

    def _merge(self, layer: KerasLayer) -> None:
        if layer.config.get("axis", -1) not in (-1, 2):
            raise self._refuse(layer, f"axis is {layer.config['axis']}, the features are axis -1")
        if layer.class_name != "Concatenate" and len(layer.sources) != 2:
            raise self._refuse(layer, f"it has {len(layer.sources)} inputs, expected 2")
        self._add(layer, {"type": _MERGES[layer.class_name]})

    def _activate(self, layer: KerasLayer, name: str) -> None:
        modules = _ACTIVATIONS.get(name)
        if name == "hard_sigmoid":
            modules = _HARD_SIGMOID["3" if self._network.version.startswith("3") else "2"]
        if modules is None:
            raise self._refuse(layer, f"activation is {name}")
        for number, module in enumerate(modules):
            self._add(layer, module, part=f"{name}{number or ''}" if layer.name in self._values else "")

    def _activation(self, layer: KerasLayer) -> None:
        self._activate(layer, activation_name(layer.config.get("activation")))

    def _dense(self, layer: KerasLayer) -> None:
        self._tensors[f"{layer.name}.weight"] = self._need(layer, "kernel", 2).T
        if layer.config.get("use_bias", True) and "bias" in layer.weights:
            self._tensors[f"{layer.name}.bias"] = self._need(layer, "bias", 1)
        self._add(layer, {"type": "Linear", "prefix": layer.name})
        self._activate(layer, activation_name(layer.config.get("activation")))

    def _timedistributed(self, layer: KerasLayer) -> None:
        inner = layer.config.get("layer", {})
        if inner.get("class_name") not in ("Dense", "Activation", "Dropout", "LayerNormalization"):
            raise self._refuse(layer, f"it wraps a {inner.get('class_name')}")
        wrapped = KerasLayer(layer.name, inner["class_name"], inner["config"], layer.sources, layer.weights)
        getattr(self, "_" + wrapped.class_name.lower())(wrapped)

    def _dropout(self, layer: KerasLayer) -> None:
        """Does nothing when a network is served."""

    def _embedding(self, layer: KerasLayer) -> None:
        if layer.sources != ["input"]:
            raise self._refuse(layer, "its input is not the network's own input")
        if layer.config.get("mask_zero"):
            self._mask(layer, "mask_zero")
        table = self._need(layer, "embeddings", 2)
        self._tensors[f"{layer.name}.weight"] = table
        self._index_size = len(table)
        self._add(layer, {"type": "Embedding", "prefix": layer.name})

    def _masking(self, layer: KerasLayer) -> None:
        self._mask(layer, "it")

    def _mask(self, layer: KerasLayer, what: str) -> None:
        if not self._ignore_mask:
            advice = "say --ignore-mask, and send each row without padding or with its length (`lengths`)"
            raise cannot_express(
                layer.name, layer.class_name, f"{what} skips time steps by their numbers", advice
            )

    def _layernormalization(self, layer: KerasLayer) -> None:
        self._last_axis(layer)
        if layer.config.get("rms_scaling"):
            raise self._refuse(layer, "rms_scaling is on")
        module: dict[str, Any] = {"type": "LayerNorm", "eps": layer.config.get("epsilon", 1e-3)}
        norm = norm_weights(layer)
        if norm:
            module["prefix"] = layer.name
            size = next(iter(norm.values())).size
            self._tensors[f"{layer.name}.weight"] = norm.get("gamma", np.ones(size, "f4"))
            if "beta" in norm:
                self._tensors[f"{layer.name}.bias"] = norm["beta"]
        self._add(layer, module)

    def _last_axis(self, layer: KerasLayer) -> None:
        axis = layer.config.get("axis", -1)
        axis = axis[0] if isinstance(axis, (list, tuple)) and len(axis) == 1 else axis
        if axis not in (-1, 2):
            raise self._refuse(layer, f"axis is {axis}, the features are axis -1")

    def _batchnormalization(self, layer: KerasLayer) -> None:
        self._last_axis(layer)
        if layer.config.get("scale", True) is not True or layer.config.get("center", True) is not True:
            raise self._refuse(layer, "scale or center is off")
        names = {
            "gamma": "weight",
            "beta": "bias",
            "moving_mean": "running_mean",
            "moving_variance": "running_var",
        }
        for role, name in names.items():
            self._tensors[f"{layer.name}.{name}"] = self._need(layer, role, 1)
        eps = layer.config.get("epsilon", 1e-3)
        self._add(layer, {"type": "BatchNorm1d", "prefix": layer.name, "eps": eps})

    def _normalization(self, layer: KerasLayer) -> None:
        self._last_axis(layer)
        if layer.config.get("invert"):
            raise self._refuse(layer, "invert is on")
        mean, variance = normalization(layer)
        self._tensors[f"{layer.name}.mean"] = mean
        self._tensors[f"{layer.name}.scale"] = np.maximum(np.sqrt(variance), 1e-7)
        self._add(layer, {"type": "Affine", "mean": f"{layer.name}.mean", "scale": f"{layer.name}.scale"})

    def _rescaling(self, layer: KerasLayer) -> None:
        scale, offset = layer.config.get("scale", 1.0), layer.config.get("offset", 0.0)
        self._add(layer, {"type": "Affine", "scale": scale, "mean": offset, "inverse": True})

    def _relu(self, layer: KerasLayer) -> None:
        given = {key: layer.config.get(key) or 0.0 for key in ("max_value", "negative_slope", "threshold")}
        if given["threshold"] or (
            given["max_value"] and (given["negative_slope"] or given["max_value"] != 6)
        ):
            raise self._refuse(layer, f"its options are {given}")
        slope = {"type": "LeakyReLU", "negative_slope": given["negative_slope"]}
        plain = {"type": "ReLU6" if given["max_value"] else "ReLU"}
        self._add(layer, slope if given["negative_slope"] else plain)

    def _leakyrelu(self, layer: KerasLayer) -> None:
        slope = layer.config.get("negative_slope", layer.config.get("alpha", 0.3))
        self._add(layer, {"type": "LeakyReLU", "negative_slope": float(slope)})

    def _elu(self, layer: KerasLayer) -> None:
        self._add(layer, {"type": "ELU", "alpha": float(layer.config.get("alpha", 1.0))})

    def _softmax(self, layer: KerasLayer) -> None:
        self._last_axis(layer)
        self._add(layer, {"type": "Softmax"})

    def _gru(self, layer: KerasLayer) -> None:
        self._recurrent(layer, layer.config, [("", "")])

    def _bidirectional(self, layer: KerasLayer) -> None:
        inner = layer.config.get("layer", {})
        backward = layer.config.get("backward_layer")
        if inner.get("class_name") != "GRU" or (backward and backward.get("class_name") != "GRU"):
            raise self._refuse(layer, f"it wraps a {inner.get('class_name')}")
        if layer.config.get("merge_mode", "concat") != "concat":
            raise self._refuse(layer, f"merge_mode is {layer.config['merge_mode']}, expected concat")
        if not inner["config"].get("return_sequences"):
            raise self._refuse(
                layer, "without return_sequences the reverse direction gives its own last state"
            )
        self._recurrent(layer, inner["config"], [("forward/", ""), ("backward/", "_reverse")])

    def _recurrent(
        self, layer: KerasLayer, config: dict[str, Any], directions: list[tuple[str, str]]
    ) -> None:
        if self._last_only[layer.name]:
            raise self._refuse(layer, "its input is the last time step only")
        for option in ("go_backwards", "return_state"):
            if config.get(option):
                raise self._refuse(layer, f"{option} is on")
        for option, wanted in (("activation", "tanh"), ("recurrent_activation", "sigmoid")):
            name = activation_name(config.get(option, wanted))
            if name != wanted:
                raise self._refuse(layer, f"{option} is {name}, expected {wanted}")
        after = reset_after(layer, config, directions[0][0])
        for role, suffix in directions:
            self._gru_tensors(layer, role, f"_l0{suffix}", config, after)
        module: dict[str, Any] = {"type": "GRU", "prefix": layer.name}
        if not after:
            module["linear_before_reset"] = False
        self._last_only[layer.name] = not config.get("return_sequences", False)
        self._add(layer, module)

    def _gru_tensors(
        self, layer: KerasLayer, role: str, suffix: str, config: dict[str, Any], after: bool
    ) -> None:
        """Keras: [I, 3H] in the order z, r, h; PyTorch: [3H, I] in the order r, z, n."""
        kernel, recurrent = self._need(layer, f"{role}kernel", 2), self._need(
            layer, f"{role}recurrent_kernel", 2
        )
        hidden = recurrent.shape[0]
        if recurrent.shape[1] == 4 * hidden:
            raise cannot_express(
                layer.name, layer.class_name, "four gates are an LSTM", "gruserve hosts GRUs"
            )
        if recurrent.shape[1] != 3 * hidden or kernel.shape[1] != 3 * hidden:
            shapes = f"{list(kernel.shape)} and {list(recurrent.shape)}"
            raise ExportError(f'the kernels of the layer "{layer.name}" have the shapes {shapes}: not a GRU')
        self._tensors[f"{layer.name}.weight_ih{suffix}"] = reorder(kernel)
        self._tensors[f"{layer.name}.weight_hh{suffix}"] = reorder(recurrent)
        if not config.get("use_bias", True) or f"{role}bias" not in layer.weights:
            return
        bias = self._need(layer, f"{role}bias", 2 if after else 1)
        if bias.size != (6 if after else 3) * hidden:
            raise ExportError(f'bias of the layer "{layer.name}" has the shape {list(bias.shape)}: not a GRU')
        input_bias, recurrent_bias = bias if after else (bias, np.zeros_like(bias))
        self._tensors[f"{layer.name}.bias_ih{suffix}"] = reorder(input_bias)
        self._tensors[f"{layer.name}.bias_hh{suffix}"] = reorder(recurrent_bias)


_HANDLED = {"GRU", "Bidirectional", "Dense", "Embedding", "LayerNormalization", "BatchNormalization"}
_HANDLED |= {
    "Normalization",
    "Rescaling",
    "TimeDistributed",
    "Activation",
    "ReLU",
    "LeakyReLU",
    "ELU",
    "Softmax",
}
_HANDLED |= {"Masking"}
