"""What the values of a traced PyTorch network stand for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

TIME_OR_BATCH = ("0", "1")  # Which is which, the first GRU says.


@dataclass
class Width:
    """How many features; shared by values that must have equally many."""

    size: int | None = None


@dataclass
class Rows:
    """Rows of features, that a module of model.json gives."""

    name: str
    axes: tuple[str, ...]  # "0" and "1" are time and batch, "F" the features.
    width: Width = field(default_factory=Width)
    packed: bool = False  # A PackedSequence.


@dataclass
class Constant:
    """A parameter, a buffer or a number."""

    value: np.ndarray
    tensor: str = ""  # Its name in the state_dict.


@dataclass
class GruResult:
    """What nn.GRU gives: output and h_n."""

    output: Rows
    name: str
    layers: int
    directions: int


@dataclass
class StateResult:
    """The h_n of a GRU, [layers * directions, B, H], or the new state of a GRUCell."""

    gru: GruResult


@dataclass
class Argument:
    """An argument of forward behind the first: hidden states, lengths, or another input, as its use will show."""

    argument: str
    path: tuple[Any, ...] = ()  # Of indexes into it.


@dataclass
class Zeros:
    """torch.zeros, as a first hidden state."""


@dataclass
class Opaque:
    """A size, a device, an assertion: of no concern to the rows."""
