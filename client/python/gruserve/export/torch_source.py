"""Gets a PyTorch network from where it is, and makes a ModelEntry of it."""

from __future__ import annotations

import importlib
import inspect
import pathlib
import pickle
import re
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from gruserve.export import safetensors
from gruserve.export.entry import Input, ModelEntry, Reference
from gruserve.export.errors import ONNX_ADVICE, ExportError, one_line
from gruserve.export.torch_reference import BareCellRunner, CellRunner, SequenceRunner
from gruserve.export.torch_replay import Replay
from gruserve.export.torch_tensors import bare_gru, describe, find_tensors
from gruserve.export.torch_trace import TraceReader
from gruserve.export.torch_tracer import trace

_TORCH = f"torch {torch.__version__}, float32"
_TRACED_WITHIN = 1e-5


@dataclass
class TorchSource:
    """Where the network is, as the command line says it."""

    source: str  # "package.module:attribute" or a file.
    weights: pathlib.Path | None = None
    kwargs: Mapping[str, Any] | None = None
    model_json: pathlib.Path | None = None
    # Features of an argument of forward where the network does not say; of the first also as "".
    input_sizes: Mapping[str, int] = field(default_factory=dict)
    trust_pickle: bool = False

    def entry(self) -> ModelEntry:
        """Loads the network and puts it into the server's words."""
        loaded: Any = (
            self._import() if _is_path_of_object(self.source) else self._load(pathlib.Path(self.source))
        )
        if isinstance(loaded, nn.Module):
            if self.weights is not None:
                self._load_weights(loaded)
            return self._of_module(loaded.eval().float().cpu())
        if self.weights is not None:
            raise ExportError(f"--weights are loaded into a module, and {self.source} is none")
        return self._of_tensors(find_tensors(loaded, self.source))

    def _import(self) -> nn.Module:
        path, _, attribute = self.source.partition(":")
        sys.path.insert(0, "")
        try:
            found: Any = importlib.import_module(path)
            for name in attribute.split("."):
                found = getattr(found, name)
            if not isinstance(found, nn.Module) and callable(found):
                found = found(**(self.kwargs or {}))
            elif self.kwargs:
                raise ValueError("it is made already, and takes no --kwargs")
        except Exception as error:  # Whatever the user's own module raises.
            raise ExportError(f"{self.source}: {one_line(error)}") from error
        finally:
            sys.path.remove("")
        if not isinstance(found, nn.Module):
            raise ExportError(
                f"{self.source} is or gives a {type(found).__name__}, expected a torch.nn.Module"
            )
        return found

    def _load(self, file: pathlib.Path) -> Any:
        """A module or a dictionary of tensors. Runs nothing of the file, unless it is trusted."""
        _check_file(file)
        if file.suffix == ".safetensors":
            return {name: torch.from_numpy(tensor) for name, tensor in safetensors.read(file).items()}
        try:
            return torch.load(file, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            if not self.trust_pickle:
                what = str(error).rpartition("WeightsUnpickler error: ")[2].splitlines()[0]
                raise ExportError(
                    f"{file} holds more than tensors ({what}). Loading it runs whatever "
                    "code the file names, with your rights. If you made the file yourself, or trust who did, say "
                    "--trust-pickle; else save model.state_dict() and name the class: PACKAGE.MODULE:CLASS "
                    "--weights FILE"
                ) from None
        except Exception as error:  # Each kind of broken file raises another.
            raise ExportError(f"{file} is not a file of torch.save: {one_line(error)}") from None
        sys.path.insert(0, "")
        try:
            return torch.load(file, map_location="cpu", **_WHOLE_PICKLES)
        except Exception as error:  # The pickle's own code runs here.
            raise ExportError(f"{file} cannot be loaded: {one_line(error)}") from error
        finally:
            sys.path.remove("")

    def _load_weights(self, module: nn.Module) -> None:
        tensors = find_tensors(self._load(self.weights), str(self.weights))
        try:
            module.load_state_dict(tensors)
        except RuntimeError as error:
            raise ExportError(f"{self.weights} does not fit {self.source}: {error}") from None

    def _of_module(self, module: nn.Module) -> ModelEntry:
        tensors = dict(module.state_dict())
        if self.model_json is not None:
            entry = describe(tensors, self.model_json, self.input_sizes.get("", 0))
            parameters = list(inspect.signature(module.forward).parameters)
            runner: Any = SequenceRunner(
                module,
                dict(zip(parameters, entry.inputs)),
                batch_first=any(part.batch_first for part in module.modules() if type(part) is nn.GRU),
            )
        elif type(module) is nn.GRU:
            entry = bare_gru(tensors)
            runner = SequenceRunner(module, {"input": entry.inputs[0]}, batch_first=module.batch_first)
        elif type(module) is nn.GRUCell:
            entry = bare_gru(tensors)
            runner = BareCellRunner(module)
        else:
            entry, runner = self._traced(module)
        self._compare(entry, runner)
        entry.reference = Reference(_TORCH, runner.run)
        return entry

    def _traced(self, module: nn.Module) -> tuple[ModelEntry, Any]:
        reader = TraceReader(module, trace(module), self.input_sizes)
        reader.read()
        writer = reader.writer
        inputs = {
            argument: Input(rows.name, rows.width.size or 0, writer.index_sizes.get(rows.name, 0))
            for argument, rows in reader.inputs.items()
        }
        for argument, each in inputs.items():
            if not each.size:
                raise ExportError(
                    f'how many features "{argument}" has cannot be seen from the network: say --input-size'
                )
        if len(inputs) > 1:
            writer.modules[0].setdefault("inputs", ["input"])
        entry = ModelEntry(
            tensors=writer.tensors,
            modules=writer.modules,
            inputs=list(inputs.values()),
            last_only=not reader.steps_cells and writer.time not in reader.output.axes,
            output=reader.output.name if reader.output.name != writer.last else "",
            write_inputs=writer.modules[0]["type"] not in _SIZED,
        )
        unused = [n for n in module.state_dict() if n not in entry.tensors and "num_batches_tracked" not in n]
        if unused:
            entry.notes.append(f"left out, since forward does not use them: {', '.join(unused)}")
        if reader.steps_cells:
            return entry, CellRunner(module, inputs, writer.states)
        entry.ragged = bool(reader.lengths)
        return entry, SequenceRunner(module, inputs, batch_first=writer.time == "1", lengths=reader.lengths)

    def _compare(self, entry: ModelEntry, runner: Any) -> None:
        """The network itself against what was written of it."""
        x = entry.random_input(np.random.default_rng(0), 7, 2)
        try:
            own = runner.run(x)
            entry.last_only = entry.last_only or own.shape[:2] != x.shape[:2]
            written = Replay(entry).run(x)
        except (RuntimeError, ValueError, IndexError, TypeError, KeyError, AttributeError) as error:
            raise ExportError(f"the network does not run on an input of {list(x.shape)}: {error}") from None
        same = own.size == written.size
        worst = float(np.abs(own.reshape(-1) - written.reshape(-1)).max()) if same else np.inf
        if not worst <= _TRACED_WITHIN * max(1.0, float(np.abs(own).max())):
            raise ExportError(
                f"what was read of the network gives other numbers than the network itself (difference {worst:.3g}):"
                f" it does something that the trace does not show; write the model.json by hand, or {ONNX_ADVICE}"
            )

    def _of_tensors(self, tensors: dict[str, torch.Tensor]) -> ModelEntry:
        """Of tensors alone: compared with torch's own modules, made anew from them."""
        if self.model_json is not None:
            entry = describe(tensors, self.model_json, self.input_sizes.get("", 0))
        else:
            entry = bare_gru(tensors)
        entry.reference = Reference(_TORCH, Replay(entry).run)
        return entry


_SIZED = {"GRU", "GRUCell", "Linear", "Embedding", "OneHot", "LayerNorm", "BatchNorm1d"}
# torch 2.6 turned the default around.
_WHOLE_PICKLES: dict[str, Any] = {"weights_only": False}


def _is_path_of_object(source: str) -> bool:
    return (
        bool(re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*", source)) and not pathlib.Path(source).exists()
    )


def _check_file(file: pathlib.Path) -> None:
    if not file.exists():
        raise ExportError(f"{file} is not there")
    if not file.is_file():
        raise ExportError(f"{file} is not a file")
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            if any("/code/" in name for name in archive.namelist()):
                raise ExportError(f"{file} is TorchScript: export the Python module itself, or {ONNX_ADVICE}")
