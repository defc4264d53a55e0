"""What the weights and options of a Keras layer mean."""

from __future__ import annotations

from typing import Any

import numpy as np

from gruserve.export.errors import ExportError
from gruserve.export.keras_network import KerasLayer


def activation_name(value: Any) -> str:
    """The name of an activation, which a config gives as text or as an object."""
    if value is None:
        return "linear"
    if isinstance(value, dict):
        inner = value.get("config")
        return inner if isinstance(inner, str) else str(value.get("class_name"))
    return str(value)


def reorder(weights: np.ndarray) -> np.ndarray:
    """Gates z, r, h in columns (or a bias) to r, z, n in rows."""
    update, reset, new = np.split(weights.T, 3)
    return np.concatenate([reset, update, new])


def reset_after(layer: KerasLayer, config: dict[str, Any], role: str) -> bool:
    """Which of the two GRUs it is: the bias shows it, and the config must agree."""
    bias = layer.weights.get(f"{role}bias")
    said = config.get("reset_after")
    if bias is None:
        if said is None:
            raise ExportError(
                f'the GRU "{layer.name}" has no bias, so its weights do not show which GRU it is: '
                "say reset_after=true or reset_after=false with --layer"
            )
        return bool(said)
    if said is not None and bool(said) != (bias.ndim == 2):
        raise ExportError(
            f'reset_after of the GRU "{layer.name}" is {said}, its bias has {bias.ndim} dimensions'
        )
    return bias.ndim == 2


def normalization(layer: KerasLayer) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance: given to the layer, or learned by it."""
    found = []
    for key in ("mean", "variance"):
        value = layer.config.get(key)
        value = layer.weights.get(key) if value is None else value
        if value is None:
            raise ExportError(f'the layer "{layer.name}" has no {key} in the file: was it adapted?')
        found.append(np.asarray(value, "f4").reshape(-1))
    return found[0], found[1]


def norm_weights(layer: KerasLayer) -> dict[str, np.ndarray]:
    """Scale (gamma) and shift (beta) of a LayerNormalization, as far as it has them, in Keras's order."""
    wanted = [role for role, on in (("gamma", "scale"), ("beta", "center")) if layer.config.get(on, True)]
    if len(wanted) != len(layer.weights):
        have = ", ".join(layer.weights) or "none"
        raise ExportError(
            f'the layer "{layer.name}" has the weights {have}, expected {" and ".join(wanted) or "none"}'
        )
    return dict(zip(wanted, layer.weights.values()))
