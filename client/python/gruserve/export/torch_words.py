"""Which of PyTorch's modules and functions model.json has a word for, and with which options."""

from __future__ import annotations

import operator
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from gruserve.export.errors import cannot_express

# Do nothing to a row of features when a network is served.
PASSING_MODULES = (nn.Dropout, nn.Identity, nn.Dropout1d, nn.AlphaDropout)
PASSING_METHODS = {"contiguous", "float", "to", "detach", "clone", "cpu", "cuda", "type_as"}
PASSING_FUNCTIONS = {F.dropout, torch.clone, F.alpha_dropout}

# Name of the module type, by what a graph calls.
FUNCTIONS = {
    torch.relu: "ReLU",
    F.relu: "ReLU",
    F.leaky_relu: "LeakyReLU",
    F.relu6: "ReLU6",
    F.elu: "ELU",
    F.gelu: "GELU",
    F.silu: "SiLU",
    torch.sigmoid: "Sigmoid",
    F.sigmoid: "Sigmoid",
    torch.tanh: "Tanh",
    F.tanh: "Tanh",
    F.hardsigmoid: "Hardsigmoid",
    F.hardtanh: "Hardtanh",
    F.softplus: "Softplus",
    F.softmax: "Softmax",
    torch.softmax: "Softmax",
    F.log_softmax: "LogSoftmax",
    torch.log_softmax: "LogSoftmax",
}
METHODS = {
    "relu": "ReLU",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "softmax": "Softmax",
    "log_softmax": "LogSoftmax",
}
MODULES = (
    *(nn.ReLU, nn.LeakyReLU, nn.ReLU6, nn.ELU, nn.GELU, nn.SiLU, nn.Sigmoid, nn.Tanh),
    *(nn.Hardsigmoid, nn.Hardtanh, nn.Softplus, nn.Softmax, nn.LogSoftmax),
)
BINARY = {
    operator.iadd: "Add",
    operator.isub: "Sub",
    operator.imul: "Mul",
    operator.itruediv: "Div",
    operator.add: "Add",
    torch.add: "Add",
    operator.sub: "Sub",
    torch.sub: "Sub",
    operator.mul: "Mul",
    torch.mul: "Mul",
    operator.truediv: "Div",
    torch.div: "Div",
    "add": "Add",
    "sub": "Sub",
    "mul": "Mul",
    "div": "Div",
}

# Keys that model.json has, with PyTorch's own defaults; and those that must stay at theirs.
_KEYS: dict[str, dict[str, Any]] = {
    "LeakyReLU": {"negative_slope": 0.01},
    "ELU": {"alpha": 1.0},
    "Hardtanh": {"min_val": -1.0, "max_val": 1.0},
    "GELU": {"approximate": "none"},
}
_FIXED: dict[str, dict[str, Any]] = {"Softplus": {"beta": 1, "threshold": 20}}
# The order of a function's arguments behind its input.
_ORDER = {
    "LeakyReLU": ("negative_slope",),
    "ELU": ("alpha",),
    "Hardtanh": ("min_val", "max_val"),
    "Softplus": ("beta", "threshold"),
    "Softmax": ("dim",),
    "LogSoftmax": ("dim",),
}
_IGNORED = {"inplace", "dtype", "_stacklevel"}


def word_of_module(module: nn.Module) -> tuple[str, dict[str, Any]] | None:
    """The type of an activation module and its options; nothing for another module."""
    if type(module) not in MODULES:
        return None
    kind = type(module).__name__
    keys = (*_KEYS.get(kind, ()), *_FIXED.get(kind, ()), *_ORDER.get(kind, ()))
    return kind, {key: getattr(module, key) for key in keys}


def word_of_call(kind: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The options of a call of a function or method; `args` without the input."""
    options = dict(zip(_ORDER.get(kind, ()), args))
    options.update({key: value for key, value in kwargs.items() if key not in _IGNORED})
    return options


def activation(part: str, kind: str, options: dict[str, Any], rank: int) -> dict[str, Any]:
    """A module of model.json. Refuses options that it has no key for; `rank` is that of the input."""
    module: dict[str, Any] = {"type": kind}
    if kind in ("Softmax", "LogSoftmax"):
        dim = options.get("dim")
        if dim not in (-1, rank - 1):
            raise cannot_express(part, kind, f"dim is {dim}, the features are dim -1")
        return module
    for key, value in options.items():
        if key in _KEYS.get(kind, ()):
            if value != _KEYS[kind][key]:
                module[key] = value
        elif value != _FIXED.get(kind, {}).get(key, value if key == "inplace" else None):
            raise cannot_express(part, kind, f"{key} is {value}")
    return module
