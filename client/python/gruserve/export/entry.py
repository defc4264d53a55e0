"""What an export writes: one version of a model in a repository, complete or not at all."""

from __future__ import annotations

import contextlib
import json
import pathlib
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gruserve.export import safetensors
from gruserve.export.errors import ExportError

MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


@dataclass
class Reference:
    """The network as it was before the export, to compare with."""

    name: str  # "torch 1.13.1, float32"
    # x [T, B, I] to the output [T, B, O], of a network that gives the last step only [B, O].
    # Of a ragged network also with the rows' lengths behind x.
    run: Callable[..., np.ndarray]


@dataclass(frozen=True)
class Input:
    """Some features of an input row."""

    name: str
    size: int
    index_size: int = 0  # Of one feature that is an index: what it is below.

    def random(self, random: np.random.Generator, steps: int, batch: int) -> np.ndarray:
        """Standard normal numbers, or indexes: [T, B, size]."""
        if self.index_size:
            return random.integers(0, self.index_size, (steps, batch, 1)).astype("f4")
        return random.standard_normal((steps, batch, self.size)).astype("f4")


@dataclass
class ModelEntry:
    """One network in the server's words: tensors, and the modules that use them."""

    tensors: dict[str, np.ndarray]
    # As in model.json; nothing: the tensors are one GRU or GRUCell.
    modules: list[dict[str, Any]] | None
    inputs: list[Input]
    # The output is that of the last time step.
    last_only: bool = False
    # It takes the rows' lengths, as InferSequence does.
    ragged: bool = False
    # The module that gives the output, where it is not the last.
    output: str = ""
    # `inputs` of model.json must be written: the first module does not say its size.
    write_inputs: bool = False
    # A model.json by hand, in place of what the fields above would make.
    handwritten: dict[str, Any] | None = None
    reference: Reference | None = None
    notes: list[str] = field(default_factory=list)

    def config(self) -> dict[str, Any] | None:
        """What model.json holds."""
        if self.modules is None or self.handwritten is not None:
            return self.handwritten
        config: dict[str, Any] = {"modules": self.modules}
        if self.write_inputs or len(self.inputs) > 1:
            config["inputs"] = [{"name": each.name, "size": each.size} for each in self.inputs]
        if self.output:
            config["output"] = self.output
        return config

    def random_input(self, random: np.random.Generator, steps: int, batch: int) -> np.ndarray:
        """x [T, B, I], the inputs one after the other."""
        return np.concatenate([each.random(random, steps, batch) for each in self.inputs], axis=-1)

    @property
    def input_size(self) -> int:
        """Features of an input row."""
        return sum(each.size for each in self.inputs)

    def check_finite(self) -> None:
        """The server refuses weights that are not numbers: so does the export, before it writes."""
        for name, tensor in self.tensors.items():
            if not np.isfinite(tensor).all():
                raise ExportError(f'the tensor "{name}" holds NaN or infinity: the server would refuse it')

    def write(self, folder: pathlib.Path) -> None:
        """Makes `folder` and puts model.safetensors, and model.json where needed, into it."""
        folder.mkdir(parents=True)
        safetensors.write(folder / "model.safetensors", self.tensors)
        config = self.config()
        if config is not None:
            (folder / "model.json").write_text(json.dumps(config, indent=2) + "\n")


@dataclass(frozen=True)
class Target:
    """A place in a repository."""

    repository: pathlib.Path
    model: str
    version: int
    replace: bool

    @property
    def folder(self) -> pathlib.Path:
        """<repository>/<model>/<version>."""
        return self.repository / self.model / str(self.version)

    def check(self) -> None:
        """Refuses what cannot be written, before anything is loaded."""
        if not MODEL_NAME.fullmatch(self.model):
            raise ExportError(
                f'--name is "{self.model}": letters, digits, _ . - are allowed, 128 at most, '
                "and a letter or digit comes first"
            )
        if self.repository.exists() and not self.repository.is_dir():
            raise ExportError(f"--repository {self.repository} is not a folder")
        if self.folder.exists() and not self.replace:
            raise ExportError(f"{self.folder} is there already: choose another --version, or say --force")

    @contextlib.contextmanager
    def staged(self, entry: ModelEntry) -> Iterator[pathlib.Path]:
        """Gives a temporary repository, in the repository's own file system, that holds the entry alone.

        The name begins with a dot, so a server does not take it for a model.
        """
        try:
            self.repository.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".gruserve-export-", dir=self.repository) as stage:
                entry.write(pathlib.Path(stage) / self.model / str(self.version))
                yield pathlib.Path(stage)
        except OSError as error:
            raise ExportError(f"cannot write to {self.repository}: {error}") from None

    def publish(self, stage: pathlib.Path) -> None:
        """Moves the entry of `stage` to its place by one rename. Replacing takes two."""
        made = stage / self.model / str(self.version)
        self.folder.parent.mkdir(exist_ok=True)
        if self.folder.exists():
            if not self.replace:
                raise ExportError(f"{self.folder} has appeared meanwhile")
            self.folder.rename(stage / "replaced")
        made.rename(self.folder)
        shutil.rmtree(stage / "replaced", ignore_errors=True)


def next_version(repository: pathlib.Path, model: str) -> int:
    """One more than the highest version there is; 1 for a new model."""
    folder = repository / model
    names = [child.name for child in folder.iterdir()] if folder.is_dir() else []
    return max((int(name) for name in names if re.fullmatch("[1-9][0-9]*", name)), default=0) + 1
