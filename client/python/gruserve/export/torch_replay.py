"""Runs what was written, tensors and model.json, with torch's own modules: a witness that the trace is right."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from gruserve.export.entry import ModelEntry
from gruserve.export.errors import ExportError

_BINARY = {"Add": torch.add, "Sub": torch.sub, "Mul": torch.mul, "Div": torch.div}


class Replay:
    """One entry as a torch network, over x [T, B, I]."""

    def __init__(self, entry: ModelEntry):
        self._entry = entry
        self._tensors = {name: torch.from_numpy(np.asarray(t)) for name, t in entry.tensors.items()}

    def run(self, x: np.ndarray) -> np.ndarray:
        """The output, [T, B, O]; of the last step alone where the entry gives no other."""
        values, begin = {}, 0
        for each in self._entry.inputs:
            value = values[each.name] = torch.from_numpy(np.asarray(x[..., begin : begin + each.size], "f4"))
            begin += each.size
        with torch.no_grad():
            for index, module in enumerate(self._entry.modules or [self._bare()]):
                inputs = [values[name] for name in module.get("inputs", ())] or [value]
                value = self._module(module, inputs)
                prefix = module.get("prefix", "")
                values[module.get("name") or prefix or f"modules[{index}]"] = value
        output = values[self._entry.output] if self._entry.output else value
        return (output[-1] if self._entry.last_only else output).numpy()

    def _bare(self) -> dict[str, Any]:
        cell = any(name.endswith("weight_ih") for name in self._tensors)
        name = next(iter(self._tensors))
        prefix = name[: name.rfind(".") + 1].rstrip(".")
        return {"type": "GRUCell" if cell else "GRU", "prefix": prefix}

    def _get(self, module: dict[str, Any], name: str) -> torch.Tensor | None:
        prefix = module.get("prefix")
        if prefix is None:
            return None
        return self._tensors.get(f"{prefix}.{name}" if prefix else name)

    def _module(self, module: dict[str, Any], inputs: list[torch.Tensor]) -> torch.Tensor:
        kind, x = module["type"], inputs[0]
        weight, bias = self._get(module, "weight"), self._get(module, "bias")
        if kind in ("GRU", "GRUCell"):
            return self._gru(module, x)
        if kind == "Linear":
            return F.linear(x, weight, bias)
        if kind == "Embedding":
            return F.embedding(x[..., 0].long(), weight)
        if kind == "LayerNorm":
            return F.layer_norm(x, x.shape[-1:], weight, bias, module.get("eps", 1e-5))
        if kind == "BatchNorm1d":
            flat = x.reshape(-1, x.shape[-1])
            mean, variance = self._get(module, "running_mean"), self._get(module, "running_var")
            return F.batch_norm(flat, mean, variance, weight, bias, eps=module.get("eps", 1e-5)).reshape(
                x.shape
            )
        if kind == "Affine":
            return self._affine(module, x)
        if kind in _BINARY:
            return _BINARY[kind](x, inputs[1])
        if kind == "Concat":
            return torch.cat(inputs, dim=-1)
        if kind == "Slice":
            return x[..., module["begin"] : module["begin"] + module["size"]]
        if kind == "OneHot":
            return F.one_hot(x[..., 0].long(), module["size"]).float()
        if kind in ("Softmax", "LogSoftmax"):
            return getattr(nn, kind)(dim=-1)(x)
        options = {k: v for k, v in module.items() if k not in ("type", "name", "inputs", "prefix")}
        return getattr(nn, kind)(**options)(x)

    def _affine(self, module: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
        def constant(key: str, otherwise: float) -> Any:
            value = module.get(key, otherwise)
            return self._tensors[value] if isinstance(value, str) else torch.tensor(value)

        mean, scale = constant("mean", 0.0), constant("scale", 1.0)
        return x * scale + mean if module.get("inverse") else (x - mean) / scale

    def _gru(self, module: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
        if not module.get("linear_before_reset", True):
            raise ExportError("torch has no GRU with the reset before the recurrent product to compare with")
        prefix = module["prefix"] + "." if module["prefix"] else ""
        own = {n[len(prefix) :]: t for n, t in self._tensors.items() if n.startswith(prefix + "weight_")}
        own |= {n[len(prefix) :]: t for n, t in self._tensors.items() if n.startswith(prefix + "bias_")}
        cell = "weight_ih" in own
        hidden, size = own["weight_hh" if cell else "weight_hh_l0"].shape[1], x.shape[-1]
        layers = 1 if cell else len([n for n in own if n.startswith("weight_hh") and "reverse" not in n])
        both = "weight_hh_l0_reverse" in own
        gru = nn.GRU(size, hidden, layers, bias=any(n.startswith("bias") for n in own), bidirectional=both)
        gru.load_state_dict({n + "_l0" if cell else n: t for n, t in own.items()})
        state = None
        if "initial_state" in module:
            first = self._tensors[module["initial_state"]].reshape(-1, 1, hidden)
            state = first.expand(-1, x.shape[1], -1).contiguous()
        return gru(x, state)[0]
