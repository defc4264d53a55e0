"""Traces a PyTorch network by torch.fx: what calls what, in which order."""

from __future__ import annotations

import contextlib
import dis
import inspect
import sys
from typing import Any
from unittest import mock

import torch
from torch import fx, nn
from torch.nn.utils import rnn

from gruserve.export.errors import ONNX_ADVICE, ExportError, one_line


def _unpacked(proxy: fx.Proxy) -> Any:
    """As many values as there are names to unpack into; torch 1.13 cannot read Python 3.11's bytecode."""
    frame = sys._getframe(1)
    for instruction in dis.get_instructions(frame.f_code):
        if instruction.offset == frame.f_lasti and instruction.opname == "UNPACK_SEQUENCE":
            return iter([proxy[index] for index in range(instruction.argval)])
    raise fx.proxy.TraceError("a loop over a tensor, or its unpacking into a call")


def _proxied(tracer: fx.Tracer, function: Any) -> Any:
    """A function of torch that a trace cannot see by itself, made visible where it meets a traced value."""

    def call(*args: Any, **kwargs: Any) -> Any:
        flat = [*args, *kwargs.values()]
        flat += [each for group in flat if isinstance(group, (list, tuple)) for each in group]
        if any(isinstance(each, fx.Proxy) for each in flat):
            return tracer.create_proxy("call_function", function, args, kwargs)
        return function(*args, **kwargs)

    return call


class _Tracer(fx.Tracer):
    """Knows a first hidden state of zeros, and packed sequences."""

    def __init__(self) -> None:
        super().__init__(autowrap_functions=(rnn.pack_padded_sequence, rnn.pad_packed_sequence))

    def trace(self, root: nn.Module, concrete_args: dict[str, Any] | None = None) -> fx.Graph:
        """The graph of `root`, with `concrete_args` in place of arguments."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(mock.patch.object(fx.Proxy, "__iter__", _unpacked))
            for owner, name in (
                (torch, "zeros"),
                (rnn, "pack_padded_sequence"),
                (rnn, "pad_packed_sequence"),
            ):
                function = getattr(owner, name)
                stack.enter_context(mock.patch.object(owner, name, _proxied(self, function)))
            return super().trace(root, concrete_args)


def trace(module: nn.Module) -> fx.Graph:
    """The graph of `module`. Arguments with a default keep it where the network can be traced so."""
    parameters = list(inspect.signature(module.forward).parameters.values())[1:]
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    cells = any(type(part) is nn.GRUCell for part in module.modules())
    attempts = [defaults, {name: value for name, value in defaults.items() if value is not None}]
    reason: Exception | None = None
    for concrete in attempts[1:] if cells else attempts:
        try:
            return _Tracer().trace(module, concrete_args=concrete)
        except Exception as error:  # Whatever the network's own code raises.
            reason = reason or error
    raise ExportError(
        f"forward of {type(module).__name__} cannot be traced ({one_line(reason)}): its steps "
        f"depend on the numbers, or use what torch.fx does not know; write the model.json by hand and give it "
        f"with --model-json, or {ONNX_ADVICE}"
    )
