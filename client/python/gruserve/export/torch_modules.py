"""Writes the modules of model.json, and their tensors, as a trace comes to them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from gruserve.export import torch_words as words
from gruserve.export.errors import ExportError, cannot_express
from gruserve.export.torch_values import Argument, Constant, GruResult, Rows, Width, Zeros

_LSTM_ADVICE = "gruserve hosts GRUs: train the network with nn.GRU, or serve it elsewhere"


class ModuleWriter:
    """Collects modules in the order in which they run."""

    def __init__(self) -> None:
        self.modules: list[dict[str, Any]] = []
        self.tensors: dict[str, np.ndarray] = {}
        self.grus: list[str] = []
        self.states: dict[str, Argument] = {}  # Of GRUCells, by their path.
        self.time: str | None = None  # The axis of time, once a GRU has said it.
        self.index_sizes: dict[str, int] = {}  # Of inputs that are indexes, what they are below.
        self._inputs = {"input": ""}  # What each is used as: "index" or "features".
        self._names = {"input"}
        self.last = "input"

    def name_input(self, wanted: str) -> str:
        """The name of an input behind the first."""
        name = self._unique(wanted)
        self._inputs[name] = ""
        return name

    def _unique(self, wanted: str) -> str:
        name, count = wanted, 2
        while name in self._names:
            name, count = f"{wanted}_{count}", count + 1
        self._names.add(name)
        return name

    def _add(self, part: str, module: dict[str, Any], inputs: list[Rows], axes: Any, width: Width) -> Rows:
        """Appends `module`; says `name` and `inputs` where the defaults would mean something else."""
        for rows in inputs:
            self._use_input(part, rows, "index" if module["type"] == "Embedding" else "features")
        prefix = module.get("prefix", "")
        name = self._unique(part)
        entry = {"type": module["type"]}
        if name != prefix:
            entry["name"] = name
        if [rows.name for rows in inputs] != [self.last] or module["type"] in ("Add", "Sub", "Mul", "Div"):
            entry["inputs"] = [rows.name for rows in inputs]
        entry.update({key: value for key, value in module.items() if key != "type"})
        self.modules.append(entry)
        self.last = name
        return Rows(name, axes, width)

    def _use_input(self, part: str, rows: Rows, use: str) -> None:
        if rows.name not in self._inputs:
            if use == "index":
                raise cannot_express(part, "Embedding", "its input is not the network's own input")
            return
        if self._inputs[rows.name] not in ("", use):
            raise cannot_express(part, "input", f'"{rows.name}" is used as an index and as features')
        self._inputs[rows.name] = use

    def _need_width(self, part: str, kind: str, rows: Rows, size: int) -> None:
        if rows.width.size not in (None, size):
            raise cannot_express(part, kind, f"it takes {size} features, {rows.width.size} come")
        rows.width.size = size

    def _keep(self, prefix: str, tensors: dict[str, torch.Tensor | None]) -> None:
        for name, tensor in tensors.items():
            if tensor is not None:
                self.tensors[f"{prefix}.{name}"] = tensor.detach().cpu().float().numpy()

    def gru(self, path: str, module: nn.Module, rows: Rows, state: Any) -> Any:
        """nn.GRU or nn.GRUCell, with whatever first hidden state the network hands to it."""
        kind = type(module).__name__
        cell = isinstance(module, nn.GRUCell)
        if rows.axes[-1:] != ("F",) or len(rows.axes) != (2 if cell else 3):
            raise cannot_express(
                path, kind, f"its input has not {2 if cell else 3} dimensions, features last"
            )
        self._need_width(path, kind, rows, module.input_size)
        if path in self.grus:
            raise cannot_express(path, kind, "forward runs it twice: which state is whose?")
        entry: dict[str, Any] = {"type": kind, "prefix": path}
        if isinstance(state, Constant):
            entry["initial_state"] = self._initial(path, module, state)
        elif cell and not isinstance(state, Argument):
            raise cannot_express(
                path, kind, "its hidden state is no argument of forward, so nothing is carried between steps"
            )
        elif not (state is None or isinstance(state, (Argument, Zeros))):
            raise cannot_express(path, kind, "its first hidden state is computed by the network")
        self._keep(path, dict(module.named_parameters(recurse=False)))
        if isinstance(state, Argument):
            self.states[path] = state
        directions = 1
        if not cell:
            if not rows.packed:
                self.see_time(path, kind, rows.axes[1 if module.batch_first else 0])
            directions = 2 if module.bidirectional else 1
        self.grus.append(path)
        output = self._add(path, entry, [rows], rows.axes, Width(module.hidden_size * directions))
        output.packed = rows.packed
        return output if cell else GruResult(output, path, module.num_layers, directions)

    def see_time(self, part: str, kind: str, axis: str) -> None:
        """Time runs along `axis`."""
        if self.time not in (None, axis):
            raise cannot_express(part, kind, "it runs along another dimension than the GRU before it")
        self.time = axis

    def _initial(self, path: str, module: nn.Module, state: Constant) -> str:
        size = state.value.size
        blocks = 1
        if isinstance(module, nn.GRU):
            blocks = module.num_layers * (2 if module.bidirectional else 1)
        if not state.tensor or size != blocks * module.hidden_size:
            raise cannot_express(path, "GRU", "its first hidden state is not one row a layer and direction")
        self.tensors[state.tensor] = state.value.reshape(blocks, module.hidden_size)
        return state.tensor

    def activation(self, part: str, kind: str, options: dict[str, Any], rows: Rows) -> Rows:
        """A function of each feature, or a softmax over them."""
        module = words.activation(part, kind, options, len(rows.axes))
        return self._add(part, module, [rows], rows.axes, rows.width)

    def layer(self, path: str, module: nn.Module, rows: Rows) -> Rows:
        """Linear, Embedding, LayerNorm, BatchNorm1d; refuses every other module."""
        if type(module) is nn.Linear:
            self._need_width(path, "Linear", rows, module.in_features)
            self._keep(path, {"weight": module.weight, "bias": module.bias})
            return self._add(
                path, {"type": "Linear", "prefix": path}, [rows], rows.axes, Width(module.out_features)
            )
        if type(module) is nn.Embedding:
            self._keep(path, {"weight": module.weight})
            self.index_sizes[rows.name] = module.num_embeddings
            rows.width.size = 1
            return self._add(
                path, {"type": "Embedding", "prefix": path}, [rows], rows.axes, Width(module.embedding_dim)
            )
        if type(module) is nn.LayerNorm:
            return self._layer_norm(path, module, rows)
        if type(module) is nn.BatchNorm1d:
            return self._batch_norm(path, module, rows)
        why = "gruserve has no such layer"
        if isinstance(module, (nn.LSTM, nn.LSTMCell)):
            raise cannot_express(path, type(module).__name__, why, _LSTM_ADVICE)
        if "Conv" in type(module).__name__ or "Pool" in type(module).__name__:
            why = "it mixes time steps"
        raise cannot_express(path, type(module).__name__, why)

    def _layer_norm(self, path: str, module: nn.LayerNorm, rows: Rows) -> Rows:
        if len(module.normalized_shape) != 1:
            raise cannot_express(path, "LayerNorm", f"normalized_shape is {tuple(module.normalized_shape)}")
        self._need_width(path, "LayerNorm", rows, module.normalized_shape[0])
        entry: dict[str, Any] = {"type": "LayerNorm", "eps": module.eps}
        if module.weight is not None:
            entry["prefix"] = path
            self._keep(path, {"weight": module.weight, "bias": module.bias})
        return self._add(path, entry, [rows], rows.axes, rows.width)

    def _batch_norm(self, path: str, module: nn.BatchNorm1d, rows: Rows) -> Rows:
        if rows.axes[1:2] != ("F",):
            raise cannot_express(path, "BatchNorm1d", "dimension 1 of its input is not the features")
        if module.running_mean is None:
            raise cannot_express(path, "BatchNorm1d", "it has no running mean: it would norm by the batch")
        self._need_width(path, "BatchNorm1d", rows, module.num_features)
        self._keep(path, {"running_mean": module.running_mean, "running_var": module.running_var})
        self._keep(path, {"weight": module.weight, "bias": module.bias})
        entry = {"type": "BatchNorm1d", "prefix": path, "eps": module.eps}
        return self._add(path, entry, [rows], rows.axes, rows.width)

    def concat(self, part: str, rows: list[Rows]) -> Rows:
        """Rows, one after the other."""
        self._need_equal_axes(part, rows)
        widths = [self._width(part, each) for each in rows]
        return self._add(part, {"type": "Concat"}, rows, rows[0].axes, Width(sum(widths)))

    def _width(self, part: str, rows: Rows) -> int:
        if rows.width.size is None:
            raise ExportError(
                f'how many features "{rows.name}" has, "{part}" must know: say --input-size ARGUMENT=N'
            )
        return rows.width.size

    def slice(self, part: str, rows: Rows, taken: slice) -> Rows:
        """A range of features."""
        begin, end, _ = taken.indices(self._width(part, rows))
        module = {"type": "Slice", "begin": begin, "size": end - begin}
        return self._add(part, module, [rows], rows.axes, Width(end - begin))

    def binary(self, part: str, kind: str, left: Any, right: Any) -> Rows:
        """Arithmetic of two rows, or of rows and a constant: an Affine."""
        if isinstance(left, Rows) and isinstance(right, Rows):
            self._need_equal_axes(part, [left, right])
            wide = right if left.width.size == 1 else left
            return self._add(part, {"type": kind}, [left, right], left.axes, wide.width)
        rows, constant = (left, right) if isinstance(left, Rows) else (right, left)
        if not isinstance(rows, Rows):
            raise cannot_express(part, kind, "neither side is rows of features")
        value = self._affine_value(part, kind, rows, constant)
        if kind == "Add":
            module: dict[str, Any] = {"type": "Affine", "mean": value, "inverse": True}
        elif kind == "Mul":
            module = {"type": "Affine", "scale": value, "inverse": True}
        elif rows is left:
            module = {"type": "Affine", "mean" if kind == "Sub" else "scale": value}
        elif kind == "Sub":
            module = {"type": "Affine", "scale": -1.0, "mean": value, "inverse": True}
        else:
            raise cannot_express(part, kind, "a constant divided by features")
        return self._add(part, module, [rows], rows.axes, rows.width)

    def _affine_value(self, part: str, kind: str, rows: Rows, constant: Constant) -> Any:
        value = constant.value
        if kind in ("Mul", "Div") and not np.all(value):
            raise cannot_express(part, kind, "a scale of 0")
        if value.size == 1:
            return float(value.reshape(()))
        if value.shape[-1] != value.size:
            raise cannot_express(
                part, kind, f"a constant of shape {list(value.shape)}, not one row of features"
            )
        self._need_width(part, kind, rows, value.size)
        self.tensors[constant.tensor] = value.reshape(-1)
        return constant.tensor

    def _need_equal_axes(self, part: str, rows: list[Rows]) -> None:
        if any(each.axes != rows[0].axes for each in rows):
            raise cannot_express(part, "operation", "its inputs have other dimensions than one another")
