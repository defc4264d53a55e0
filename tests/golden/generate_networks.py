#!/usr/bin/python3
"""Makes tests/golden/networks: small random networks of PyTorch, whole.

    tests/golden/generate_networks.py          (Debian 12: apt-get install python3-torch)

Each folder holds a state_dict as model.safetensors, its model.json, and
witness.safetensors: inputs `x` [T, B, I] in float32, PyTorch's float64 outputs `y`
(of the float32-rounded numbers), and `torch_error`, the largest error of PyTorch's
own float32 run.
"""
import json
import pathlib
import sys

import torch
from torch import nn

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "deploy" / "models"))
from save_safetensors import save_safetensors  # noqa: E402

TIME_STEPS, BATCH = 30, 4


class Language(nn.Module):
    """A word's embedding, a GRU of 2 layers, LayerNorm, Linear, LogSoftmax."""
    config = {"modules": [
        {"type": "Embedding", "prefix": "embed"},
        {"type": "GRU", "prefix": "gru"},
        {"type": "LayerNorm", "prefix": "norm"},
        {"type": "Linear", "prefix": "fc"},
        {"type": "LogSoftmax"}]}

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(40, 12)
        self.gru = nn.GRU(12, 20, num_layers=2)
        self.norm = nn.LayerNorm(20)
        self.fc = nn.Linear(20, 40)

    def inputs(self):
        return torch.randint(0, 40, (TIME_STEPS, BATCH, 1)).float()

    def forward(self, x):
        h, _ = self.gru(self.embed(x[..., 0].long()))
        return torch.log_softmax(self.fc(self.norm(h)), -1)


class Joined(nn.Module):
    """Three GRUs joined by concatenations, as a noise suppressor has them."""
    config = {
        "inputs": [{"name": "features", "size": 14}],
        "modules": [
            {"type": "Affine", "name": "scaled", "mean": "feature_mean", "scale": "feature_scale"},
            {"type": "Linear", "prefix": "dense"},
            {"type": "Tanh", "name": "dense_tanh"},
            {"type": "GRU", "prefix": "voice"},
            {"type": "Concat", "name": "noise_in", "inputs": ["dense_tanh", "voice", "scaled"]},
            {"type": "GRU", "prefix": "noise"},
            {"type": "Concat", "name": "gains_in", "inputs": ["voice", "noise", "scaled"]},
            {"type": "GRUCell", "prefix": "denoise"},
            {"type": "Linear", "prefix": "gains"},
            {"type": "Sigmoid", "name": "gains_out"},
            {"type": "Linear", "prefix": "vad", "inputs": ["voice"]},
            {"type": "Sigmoid", "name": "vad_out"},
            {"type": "Concat", "name": "all", "inputs": ["gains_out", "vad_out"]}]}

    def __init__(self):
        super().__init__()
        self.register_buffer("feature_mean", torch.randn(14) * 100)
        self.register_buffer("feature_scale", torch.rand(14) * 5 + 0.5)
        self.dense = nn.Linear(14, 8)
        self.voice = nn.GRU(8, 8)
        self.noise = nn.GRU(8 + 8 + 14, 12)
        self.denoise = nn.GRUCell(8 + 12 + 14, 16)
        self.gains = nn.Linear(16, 10)
        self.vad = nn.Linear(8, 1)

    def inputs(self):
        return self.feature_mean + self.feature_scale * torch.randn(TIME_STEPS, BATCH, 14)

    def forward(self, x):
        scaled = (x - self.feature_mean) / self.feature_scale
        dense = torch.tanh(self.dense(scaled))
        voice, _ = self.voice(dense)
        noise, _ = self.noise(torch.cat([dense, voice, scaled], -1))
        h, rows = None, []
        for row in torch.cat([voice, noise, scaled], -1):
            h = self.denoise(row, h)
            rows.append(h)
        return torch.cat([torch.sigmoid(self.gains(torch.stack(rows))), torch.sigmoid(self.vad(voice))], -1)


class Bidirectional(nn.Module):
    """What cannot step: both directions, batch norm, and a skip around them."""
    config = {
        "inputs": [{"name": "x", "size": 6}],
        "modules": [
            {"type": "BatchNorm1d", "prefix": "norm"},
            {"type": "GRU", "prefix": "gru"},
            {"type": "Dropout", "p": 0.3},
            {"type": "Linear", "prefix": "fc"},
            {"type": "GELU", "name": "activation"},
            {"type": "Add", "name": "sum", "inputs": ["activation", "norm"]}]}

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(6)
        self.norm.running_mean = torch.randn(6)
        self.norm.running_var = torch.rand(6) + 0.5
        self.gru = nn.GRU(6, 9, num_layers=2, bidirectional=True, bias=False)
        self.fc = nn.Linear(18, 6, bias=False)

    def inputs(self):
        return torch.randn(TIME_STEPS, BATCH, 6)

    def forward(self, x):
        normed = self.norm(x.flatten(0, 1)).view_as(x)
        h, _ = self.gru(normed)
        return nn.functional.gelu(self.fc(h)) + normed


def main():
    for seed, network in enumerate((Language, Joined, Bidirectional), 1):
        torch.manual_seed(seed)
        model = network().eval()
        folder = HERE / "networks" / network.__name__.lower()
        folder.mkdir(parents=True, exist_ok=True)
        with torch.no_grad():
            x = model.inputs()
            save_safetensors(model.state_dict(), folder / "model.safetensors")
            single = model(x)
            double = model.double()(x.double())
            error = (single.double() - double).abs().max()
        save_safetensors({"x": x, "y": double, "torch_error": error.reshape(1)}, folder / "witness.safetensors")
        (folder / "model.json").write_text(json.dumps(model.config, indent=1) + "\n")
        print(f"{network.__name__}: PyTorch's own float32 error {error:.3g}")


if __name__ == "__main__":
    main()
