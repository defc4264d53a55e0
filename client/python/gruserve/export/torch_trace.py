"""Reads a PyTorch network into the server's words, node by node of its trace."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import fx, nn
from torch.nn.utils import rnn

from gruserve.export import torch_words as words
from gruserve.export.errors import ExportError, cannot_express, one_line
from gruserve.export.torch_modules import ModuleWriter
from gruserve.export.torch_values import (
    TIME_OR_BATCH,
    Argument,
    Constant,
    GruResult,
    Opaque,
    Rows,
    StateResult,
    Width,
    Zeros,
)

_ZEROS = {torch.zeros, torch.zeros_like}
_ASSERTIONS = {"_assert", "_assert_is_none"}


class TraceReader:
    """Turns one graph into modules and tensors. Used once."""

    def __init__(self, module: nn.Module, graph: fx.Graph, sizes: Mapping[str, int]):
        self.sizes = sizes  # Of arguments, where the modules do not say; of the first also as "".
        self.module = module
        self.graph = graph
        self.steps_cells = any(node.op == "call_module" and self._is_cell(node) for node in graph.nodes)
        self.writer = ModuleWriter()
        self.values: dict[fx.Node, Any] = {}
        self.lengths = ""  # The argument of forward that has the rows' lengths.
        self.output: Rows | None = None
        self.inputs: dict[str, Rows] = {}  # By the argument of forward.

    def _is_cell(self, node: fx.Node) -> bool:
        return type(self.module.get_submodule(node.target)) is nn.GRUCell

    def read(self) -> None:
        """Fills `writer`, `inputs`, `lengths` and `output`."""
        for node in self.graph.nodes:
            try:
                self.values[node] = getattr(self, f"_{node.op}")(node)
            except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
                raise cannot_express(
                    node.name, str(node.op), f"its arguments are unusual ({one_line(error)})"
                ) from None
        if not self.writer.grus:
            raise ExportError(f"{type(self.module).__name__} has no GRU that forward runs")

    def _of(self, argument: Any) -> Any:
        """The value of a node; lists of them; anything else as it is."""
        if isinstance(argument, fx.Node):
            return self.values[argument]
        if isinstance(argument, (list, tuple)):
            return [self._of(each) for each in argument]
        return argument

    def _placeholder(self, node: fx.Node) -> Any:
        if not self.inputs:
            axes = ("batch", "F") if self.steps_cells else (*TIME_OR_BATCH, "F")
            self.inputs[str(node.target)] = Rows(
                "input", axes, Width(self.sizes.get(str(node.target), self.sizes.get("")))
            )
            return self.inputs[str(node.target)]
        return Argument(str(node.target))

    def _rows(self, value: Any) -> Any:
        """An argument that is used as rows of features is an input."""
        if not isinstance(value, Argument) or value.path:
            return value
        if value.argument not in self.inputs:
            axes = next(iter(self.inputs.values())).axes
            self.inputs[value.argument] = Rows(
                self.writer.name_input(value.argument), axes, Width(self.sizes.get(value.argument))
            )
        return self.inputs[value.argument]

    def _get_attr(self, node: fx.Node) -> Constant:
        value = operator.attrgetter(node.target)(self.module)
        return Constant(value.detach().float().numpy(), str(node.target))

    def _output(self, node: fx.Node) -> None:
        result = self._of(node.args[0])
        if isinstance(result, list) and result:
            for rest in result[1:]:
                parts = rest if isinstance(rest, list) else [rest]
                if not all(self._is_state(part) for part in parts):
                    raise ExportError("forward returns more than one output and hidden states")
            result = result[0]
        if isinstance(result, GruResult):
            result = result.output
        if not isinstance(result, Rows):
            raise ExportError("forward's first result is no rows of features that a module gives")
        self.output = result

    def _is_state(self, value: Any) -> bool:
        cell = isinstance(value, Rows) and value.name in self.writer.grus
        return cell or isinstance(value, (StateResult, Argument)) or value is None

    def _call_module(self, node: fx.Node) -> Any:
        path = str(node.target)
        module = self.module.get_submodule(path)
        args = [self._of(argument) for argument in (*node.args, *node.kwargs.values())]
        rows = self._rows(args[0])
        kind = type(module)
        if kind in words.PASSING_MODULES:
            return rows
        if isinstance(rows, GruResult):
            raise cannot_express(
                path, kind.__name__, "its input is the pair that a GRU gives, not the output"
            )
        if not isinstance(rows, Rows):
            raise cannot_express(path, kind.__name__, "its input is not rows of features")
        if rows.packed and kind is not nn.GRU:
            raise cannot_express(path, kind.__name__, "its input is a PackedSequence")
        if kind in (nn.GRU, nn.GRUCell):
            return self.writer.gru(path, module, rows, args[1] if len(args) > 1 else None)
        word = words.word_of_module(module)
        if kind is not nn.BatchNorm1d:
            self._need_features(path, rows, one_by_one=word is not None and "oftmax" not in word[0])
        if word is not None:
            return self.writer.activation(path, word[0], word[1], rows)
        return self.writer.layer(path, module, rows)

    def _call_function(self, node: fx.Node) -> Any:
        function = node.target
        name = getattr(function, "__name__", str(function))
        args = [self._of(argument) for argument in node.args or (node.kwargs.get("input"),)]
        if function in (rnn.pack_padded_sequence, rnn.pad_packed_sequence):
            return self._packing(node, name, args)
        if isinstance(args[0], list) and function is operator.getitem:
            return args[0][args[1]]
        if name in _ASSERTIONS or any(isinstance(a, (Opaque, Argument)) for a in args[:1]):
            if not isinstance(args[0], Argument):
                return Opaque()
            if function is operator.getitem and isinstance(args[1], int):
                return Argument(args[0].argument, (*args[0].path, args[1]))
            if name in _ASSERTIONS or function in (operator.eq, getattr):
                return Opaque()
            args[0] = self._rows(args[0])
        if function in _ZEROS:
            return Zeros()
        if function is getattr:
            return Opaque() if args[1] in ("shape", "device", "dtype") else self._refuse(node, name)
        if function is operator.getitem:
            return self._getitem(node, args[0], args[1])
        if function in words.PASSING_FUNCTIONS:
            return args[0]
        if function is operator.neg:
            return self._binary(node, "Mul", args[0], -1.0)
        if function is torch.cat:
            dim = args[1] if len(args) > 1 else node.kwargs.get("dim", 0)
            return self._concat(node, args[0] or self._of(node.kwargs["tensors"]), dim)
        if function in words.BINARY and len(args) == 2:
            return self._binary(node, words.BINARY[function], *args)
        if function in words.FUNCTIONS:
            return self._activation(node, words.FUNCTIONS[function], args)
        if name in ("transpose", "permute", "squeeze", "reshape"):
            return self._method(node, name, args)
        return self._refuse(node, name)

    def _packing(self, node: fx.Node, name: str, args: list[Any]) -> Any:
        """Rows of several lengths: the server's calls have them as `lengths`."""
        rows, options = args[0], dict(node.kwargs)
        pack = name == "pack_padded_sequence"
        batch_first = (
            args[2 if pack else 1] if len(args) > (2 if pack else 1) else options.get("batch_first", False)
        )
        if not isinstance(rows, Rows) or len(rows.axes) != 3 or rows.packed == pack:
            raise cannot_express(node.name, name, "its input is not what a GRU takes or gives")
        if not pack:
            batch = "1" if self.writer.time == "0" else "0"
            order = (batch, self.writer.time, "F") if batch_first else (self.writer.time, batch, "F")
            return [Rows(rows.name, order, rows.width), Opaque()]
        lengths = args[1] if len(args) > 1 else self._of(options.get("lengths"))
        if not isinstance(lengths, Argument) or lengths.path or self.lengths not in ("", lengths.argument):
            raise cannot_express(node.name, name, "the lengths are no argument of forward")
        self.lengths = lengths.argument
        self.writer.see_time(node.name, name, rows.axes[1 if batch_first else 0])
        return Rows(rows.name, rows.axes, rows.width, packed=True)

    def _call_method(self, node: fx.Node) -> Any:
        return self._method(node, str(node.target), [self._of(argument) for argument in node.args])

    def _method(self, node: fx.Node, name: str, args: list[Any]) -> Any:
        value = args[0]
        if name in ("squeeze", "transpose", "permute"):
            args = [*args, *(each for key, each in node.kwargs.items() if key != "input")]
        if isinstance(value, Argument) and name not in {*words.PASSING_METHODS, "size", "dim"}:
            value = args[0] = self._rows(value)
        if name in words.PASSING_METHODS or isinstance(value, (Zeros, Opaque)):
            return value
        if name in ("size", "dim", "new_zeros"):
            return Zeros() if name == "new_zeros" else Opaque()
        if isinstance(value, Constant) and name in ("expand", "repeat"):
            return value  # A first state, for each row of the batch.
        if isinstance(value, StateResult) and name == "squeeze" and args[1:] == [0] and value.gru.layers == 1:
            return self._last_state(node, value)
        if isinstance(value, Rows):
            if name in words.METHODS:
                return self._activation(node, words.METHODS[name], args)
            if name in words.BINARY and len(args) == 2:
                return self._binary(node, words.BINARY[name], *args)
            if name in ("transpose", "permute"):
                return self._permuted(node, value, name, args[1:])
            if name in ("view", "reshape"):
                return self._reshaped(node, value, name, args[1:])
            if name == "squeeze" and args[1:] in ([-1], [len(value.axes) - 1]) and value.width.size == 1:
                return Rows(value.name, value.axes[:-1], value.width)
        return self._refuse(node, name)

    def _refuse(self, node: fx.Node, name: str) -> Any:
        raise cannot_express(node.name, name, "no module of model.json does this")

    def _need_features(self, part: str, rows: Rows, one_by_one: bool = False) -> None:
        """The last dimension is the features; or there is one alone, squeezed, for what takes `one_by_one`."""
        squeezed = one_by_one and "F" not in rows.axes and rows.width.size == 1
        if rows.axes[-1:] != ("F",) and not squeezed:
            raise cannot_express(part, "operation", "the features are not the last dimension here")

    def _activation(self, node: fx.Node, kind: str, args: list[Any]) -> Rows:
        if not isinstance(args[0], Rows):
            self._refuse(node, kind)
        self._need_features(node.name, args[0], one_by_one="oftmax" not in kind)
        options = words.word_of_call(kind, tuple(args[1:]), dict(node.kwargs))
        return self.writer.activation(node.name, kind, options, args[0])

    def _permuted(self, node: fx.Node, rows: Rows, name: str, dims: list[Any]) -> Rows:
        rank = len(rows.axes)
        flat = dims[0] if len(dims) == 1 and isinstance(dims[0], list) else dims
        if not all(isinstance(d, int) and -rank <= d < rank for d in flat):
            self._refuse(node, name)
        order = list(range(rank))
        if name == "transpose":
            a, b = flat
            order[a], order[b] = order[b], order[a]
        else:
            order = [d % rank for d in flat]
        return Rows(rows.name, tuple(rows.axes[d] for d in order), rows.width)

    def _reshaped(self, node: fx.Node, rows: Rows, name: str, dims: list[Any]) -> Rows:
        """Time and batch as one dimension, and back."""
        sizes = dims[0] if len(dims) == 1 and isinstance(dims[0], list) else dims
        apart = tuple(rows.axes[0].split("*"))
        features = isinstance(sizes[-1], Opaque) or sizes[-1] in (-1, rows.width.size)
        if len(rows.axes) == 3 and rows.axes[2] == "F" and features and len(sizes) in (2, 3):
            joined = (f"{rows.axes[0]}*{rows.axes[1]}", "F")
            return Rows(rows.name, joined if len(sizes) == 2 else rows.axes, rows.width)
        if len(apart) == 2 and len(sizes) == 3 and features:
            return Rows(rows.name, (*apart, "F"), rows.width)
        if len(apart) == 2 and len(sizes) == 2 and rows.width.size == 1:
            return Rows(rows.name, apart, rows.width)
        raise cannot_express(node.name, name, "only time and batch can be joined, and parted again")

    def _concat(self, node: fx.Node, parts: list[Any], dim: Any) -> Rows:
        parts = [self._rows(part) for part in parts]
        if not all(isinstance(part, Rows) for part in parts) or dim not in (-1, len(parts[0].axes) - 1):
            raise cannot_express(node.name, "cat", "only rows of features are joined, along dim -1")
        self._need_features(node.name, parts[0])
        return self.writer.concat(node.name, parts)

    def _binary(self, node: fx.Node, kind: str, left: Any, right: Any) -> Rows:
        numbers = [
            Constant(np.float32(v)) if isinstance(v, (int, float)) else self._rows(v) for v in (left, right)
        ]
        if node.kwargs or not all(isinstance(v, (Rows, Constant)) for v in numbers):
            self._refuse(node, kind)
        for value in numbers:
            if isinstance(value, Rows):
                self._need_features(node.name, value, one_by_one=True)
        return self.writer.binary(node.name, kind, *numbers)

    def _getitem(self, node: fx.Node, value: Any, index: Any) -> Any:
        if isinstance(value, GruResult) and index in (0, 1):
            return value.output if index == 0 else StateResult(value)
        if isinstance(value, StateResult) and index in (-1, value.gru.layers - 1):
            return self._last_state(node, value)
        if isinstance(value, Rows):
            return self._rows_item(node, value, index)
        return self._refuse(node, "getitem")

    def _last_state(self, node: fx.Node, state: StateResult) -> Rows:
        if state.gru.directions != 1:
            raise cannot_express(
                node.name, "h_n", "the reverse direction's last state is not in the output's last row"
            )
        rows = state.gru.output
        return Rows(rows.name, tuple(a for a in rows.axes if a != self.writer.time), rows.width)

    def _rows_item(self, node: fx.Node, rows: Rows, index: Any) -> Rows:
        """out[:, -1], out[-1], out[..., 2:5], out[..., 0]."""
        indexes = list(index) if isinstance(index, (list, tuple)) else [index]
        if Ellipsis in indexes:
            place = indexes.index(Ellipsis)
            indexes[place : place + 1] = [slice(None)] * (len(rows.axes) - len(indexes) + 1)
        indexes += [slice(None)] * (len(rows.axes) - len(indexes))
        axes = list(rows.axes)
        for axis, each in reversed(list(enumerate(indexes))):
            if each == slice(None):
                continue
            if each == -1 and rows.axes[axis] == self.writer.time:
                if self.lengths:
                    why = "with padded rows it is not the last step of each: take h_n[-1]"
                    raise cannot_express(node.name, "getitem", why)
                del axes[axis]
            elif rows.axes[axis] == "F" and isinstance(each, slice) and each.step is None:
                rows = self.writer.slice(node.name, rows, each)
            elif rows.axes[axis] == "F" and each in (0, -1) and rows.width.size == 1:
                del axes[axis]
            else:
                raise cannot_express(
                    node.name, "getitem", "only the last time step, and ranges of features, can be taken"
                )
        return Rows(rows.name, tuple(axes), rows.width)
