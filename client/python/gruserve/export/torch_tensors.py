"""Networks of which only a state_dict is there: one GRU, or what a model.json by hand describes."""

from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from gruserve.export.entry import Input, ModelEntry
from gruserve.export.errors import ExportError, cannot_express

_GRU_TENSOR = re.compile(r"(weight_ih|weight_hh|bias_ih|bias_hh)(_l[0-9]+(_reverse)?)?")
_NAME_THE_MODULE = (
    "name the module itself, PACKAGE.MODULE:CLASS --weights FILE, or write the model.json by hand and give it "
    "with --model-json"
)


def find_tensors(loaded: Any, source: str) -> dict[str, torch.Tensor]:
    """The state_dict in what a file held: itself, or one of a checkpoint's values."""
    if isinstance(loaded, nn.Module):
        return dict(loaded.state_dict())
    if not isinstance(loaded, Mapping):
        raise ExportError(f"{source} holds a {type(loaded).__name__}, expected a module or a state_dict")
    if _is_state_dict(loaded):
        return dict(loaded)
    inner = [value for value in loaded.values() if isinstance(value, Mapping) and _is_state_dict(value)]
    if len(inner) != 1:
        keys = ", ".join(str(key) for key in loaded) or "none"
        raise ExportError(f"{source} is a checkpoint without one single state_dict in it; its keys: {keys}")
    return dict(inner[0])


def _is_state_dict(value: Mapping[Any, Any]) -> bool:
    return bool(value) and all(isinstance(each, torch.Tensor) for each in value.values())


def _entry(tensors: dict[str, torch.Tensor], input_size: int) -> ModelEntry:
    arrays = {name: tensor.detach().cpu().float().numpy() for name, tensor in tensors.items()}
    return ModelEntry(tensors=arrays, modules=None, inputs=[Input("input", input_size)])


def bare_gru(tensors: dict[str, torch.Tensor]) -> ModelEntry:
    """The tensors of one nn.GRU or nn.GRUCell: they need no model.json."""
    names = list(tensors)
    prefix = names[0][: names[0].rfind(".") + 1]
    if not all(name.startswith(prefix) for name in names):
        prefix = ""
    for name, tensor in tensors.items():
        own = name[len(prefix) :]
        if not _GRU_TENSOR.fullmatch(own):
            why = "tensors alone do not say in which order modules run"
            raise cannot_express(name, "tensor", why, _NAME_THE_MODULE)
        if own.startswith("weight_hh") and tensor.shape[0] == 4 * tensor.shape[1]:
            raise cannot_express(name, "tensor", "four gates are an LSTM", "gruserve hosts GRUs")
    first = [t for n, t in tensors.items() if n[len(prefix) :] in ("weight_ih", "weight_ih_l0")]
    if not first:
        raise ExportError("there is no weight_ih_l0 and no weight_ih: not the state_dict of a GRU")
    return _entry(tensors, first[0].shape[1])


def describe(tensors: dict[str, torch.Tensor], model_json: pathlib.Path, input_size: int) -> ModelEntry:
    """The tensors with a model.json by hand, which the server judges."""
    try:
        config = json.loads(model_json.read_text())
        modules = config["modules"]
        kept = {name: t for name, t in tensors.items() if not name.endswith("num_batches_tracked")}
        entry = _entry(kept, 0)
        entry.inputs = _inputs(config, tensors, input_size)
    except OSError as error:
        raise ExportError(f"{model_json} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ExportError(
            f"{model_json} does not fit these tensors: {type(error).__name__}: {error}"
        ) from None
    entry.modules, entry.handwritten = modules, config
    entry.output = config.get("output", "")
    return entry


def _inputs(config: dict[str, Any], tensors: dict[str, torch.Tensor], input_size: int) -> list[Input]:
    """The inputs that a model.json names, or the one that its first module takes."""
    tables = {}
    for module in config["modules"]:
        if module["type"] == "Embedding":
            source = module.get("inputs", ["input"])[0]
            tables[source] = int(tensors[module["prefix"] + ".weight"].shape[0])
    if "inputs" in config:
        return [Input(each["name"], each["size"], tables.get(each["name"], 0)) for each in config["inputs"]]
    first = config["modules"][0]
    if first["type"] in ("Embedding", "OneHot"):
        return [Input("input", 1, tables.get("input", first.get("size", 0)))]
    for name in ("weight_ih_l0", "weight_ih", "weight"):
        tensor = tensors.get(f"{first.get('prefix')}.{name}")
        if tensor is not None:
            return [Input("input", int(tensor.shape[-1]))]
    if not input_size:
        raise ValueError("the first module does not say how many features come in: say --input-size")
    return [Input("input", input_size)]
