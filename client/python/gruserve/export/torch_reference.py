"""Runs a PyTorch network as it is, over x [T, B, I], to compare others with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from gruserve.export.entry import Input
from gruserve.export.torch_values import Argument


def split_inputs(x: np.ndarray, inputs: Mapping[str, Input]) -> dict[str, torch.Tensor]:
    """The arguments of forward that a row of features holds; an index is a whole number without that axis."""
    arguments, begin = {}, 0
    for argument, each in inputs.items():
        value = torch.from_numpy(np.asarray(x[..., begin : begin + each.size], "f4"))
        arguments[argument] = value[..., 0].long() if each.index_size else value
        begin += each.size
    return arguments


class SequenceRunner:
    """A network around nn.GRU: one call over all time steps."""

    def __init__(
        self, module: nn.Module, inputs: Mapping[str, Input], *, batch_first: bool, lengths: str = ""
    ):
        self._module = module
        self._inputs = inputs  # By the argument of forward.
        self._lengths = lengths  # The argument that has the rows' lengths.
        self._batch_first = batch_first

    def run(self, x: np.ndarray, lengths: np.ndarray | None = None) -> np.ndarray:
        """The output, [T, B, O]; as the network gives it where it is of the last step only."""
        arguments = split_inputs(x, self._inputs)
        if self._batch_first:
            arguments = {name: value.transpose(0, 1) for name, value in arguments.items()}
        if self._lengths:
            whole = np.full(x.shape[1], x.shape[0]) if lengths is None else lengths
            arguments[self._lengths] = torch.from_numpy(whole.astype("i8"))
        with torch.no_grad():
            output: Any = self._module(**arguments)
        while isinstance(output, (tuple, list)):
            output = output[0]
        sequence = tuple(output.shape[:2]) == ((x.shape[1], x.shape[0]) if self._batch_first else x.shape[:2])
        return (output.transpose(0, 1) if self._batch_first and sequence else output).numpy()


class CellRunner:
    """A network around nn.GRUCells: one call a step, which takes the states of the step before."""

    def __init__(self, module: nn.Module, inputs: Mapping[str, Input], states: Mapping[str, Argument]):
        self._module = module
        self._inputs = inputs  # By the argument of forward.
        self._states = states  # By the path of the cell.
        self._now: dict[str, torch.Tensor] = {}

    def run(self, x: np.ndarray) -> np.ndarray:
        """The output, [T, B, O]."""
        cells = {path: self._module.get_submodule(path) for path in self._states}
        self._now = {path: torch.zeros(x.shape[1], cell.hidden_size) for path, cell in cells.items()}
        hooks = [cell.register_forward_hook(self._remember(path)) for path, cell in cells.items()]
        try:
            with torch.no_grad():
                return np.stack([self._step(split_inputs(row, self._inputs)) for row in x])
        finally:
            for hook in hooks:
                hook.remove()

    def _remember(self, path: str) -> Any:
        def _hook(_module: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
            self._now[path] = output

        return _hook

    def _step(self, inputs: dict[str, torch.Tensor]) -> np.ndarray:
        arguments: dict[str, Any] = {}
        for path, state in self._states.items():
            if not state.path:
                arguments[state.argument] = self._now[path]
                continue
            several = arguments.setdefault(state.argument, {})
            several[state.path[0]] = self._now[path]
        for name, value in arguments.items():
            if isinstance(value, dict):
                arguments[name] = [value[index] for index in sorted(value)]
        output = self._module(**inputs, **arguments)
        while isinstance(output, (tuple, list)):
            output = output[0]
        return output.numpy()


class BareCellRunner:
    """nn.GRUCell itself."""

    def __init__(self, cell: nn.GRUCell):
        self._cell = cell

    def run(self, x: np.ndarray) -> np.ndarray:
        """The states after each step, [T, B, H]."""
        state = torch.zeros(x.shape[1], self._cell.hidden_size)
        outputs = []
        with torch.no_grad():
            for row in torch.from_numpy(np.asarray(x, "f4")):
                state = self._cell(row, state)
                outputs.append(state.numpy())
        return np.stack(outputs)
