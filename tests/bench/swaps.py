"""A model whose versions are replaced while it is measured."""
import os
import pathlib
import shutil
import subprocess
import threading

import models
from processes import BenchError

REST_SECONDS = 0.15  # Between two swaps: about twenty in four seconds.


class SwappedModel:
    """A repository of one model, and two sets of weights that take turns as its next version."""

    def __init__(self, work, gru):
        self.gru, self.root = gru, pathlib.Path(work) / "swapped"
        shutil.rmtree(self.root, ignore_errors=True)
        self.weights = []
        for seed in (1, 2):
            folder = self.root / f"weights{seed}"
            folder.mkdir(parents=True)
            models.write_safetensors(folder / "model.safetensors", models.tensors(gru, seed))
            self.weights.append(folder / "model.safetensors")
        self.repository = self.root / "repository"
        self.version = 0
        self.add()

    def add(self):
        """Puts the next version there, whole."""
        self.version += 1
        ready = self.root / "next"
        ready.mkdir()
        os.link(self.weights[self.version % 2], ready / "model.safetensors")
        model = self.repository / self.gru.name
        model.mkdir(parents=True, exist_ok=True)
        ready.rename(model / str(self.version))
        shutil.rmtree(model / str(self.version - 1), ignore_errors=True)


class Swapping:
    """Swaps as long as the block runs; `count` says how often."""

    def __init__(self, client, server, model):
        self.command = [client, "--server", server.address, "models", "load", model.gru.name]
        self.model = model
        self.count = 0
        self.fault = None
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._swap)

    def _swap(self):
        while not self.over.wait(REST_SECONDS) and self.fault is None:
            self.model.add()
            try:
                done = subprocess.run([str(c) for c in self.command], text=True, capture_output=True, check=False)
            except OSError as error:
                self.fault = error
                return
            if done.returncode == 0:
                self.count += 1
            else:
                self.fault = done.stderr

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        if self.fault is not None:
            raise BenchError(f"a swap failed: {self.fault}")
