"""Gets a Keras network from a file, and makes a ModelEntry of it. Needs h5py, not Keras."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Sequence
from dataclasses import dataclass

from gruserve.export import keras_file, keras_network
from gruserve.export.entry import ModelEntry, Reference
from gruserve.export.errors import ExportError, one_line
from gruserve.export.keras_layers import KerasWriter
from gruserve.export.keras_reference import KerasReference


@dataclass
class KerasSource:
    """Where the network is, as the command line says it."""

    file: pathlib.Path
    config: pathlib.Path | None = None
    layers: Sequence[str] = ()
    ignore_mask: bool = False

    def entry(self) -> ModelEntry:
        """Loads the network and puts it into the server's words."""
        found = keras_file.read(self.file)
        return entry_of(found, self._config(), self.layers, self.ignore_mask)

    def _config(self) -> dict | None:
        if self.config is None:
            return None
        try:
            return json.loads(self.config.read_text())
        except (OSError, ValueError) as error:
            raise ExportError(f"--keras-config {self.config}: {one_line(error)}") from None


def entry_of(
    found: keras_file.KerasFile, config: dict | None, layers: Sequence[str], ignore_mask: bool
) -> ModelEntry:
    """The network of a file, described by the file itself, by `config` or by `layers`."""
    config = config or found.config
    if config is not None and layers:
        raise ExportError("--layer is for weights alone; here a config describes the layers")
    if config is None:
        network = keras_network.from_options(layers, found)
    else:
        try:
            network = keras_network.from_config(config, found)
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            raise ExportError(f"the model's config is none that Keras writes: {one_line(error)}") from None
    entry = KerasWriter(network, ignore_mask).entry()
    entry.reference = Reference("Keras's equations, float64", KerasReference(network).run)
    if ignore_mask:
        entry.notes.append("masks are ignored: send rows without padding, or with their lengths")
    return entry
