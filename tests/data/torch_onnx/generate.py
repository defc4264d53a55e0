#!/usr/bin/python3
"""Makes the networks of this folder: ONNX files as PyTorch's TorchScript exporter writes them.

    tests/data/torch_onnx/generate.py          (Debian 12: apt-get install python3-torch)

Each NAME.onnx has beside it NAME.safetensors: input rows `x` [T, B, I] in float32,
PyTorch's float64 outputs `y` [T, B, O] of the float32-rounded numbers (stored in
float32), `h_n` [L, B, H] where the model gives it, and `torch_error`, the largest error of PyTorch's own
float32 run.
"""
import copy
import pathlib
import sys

import torch
from torch import nn

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2] / "deploy" / "models"))
from save_safetensors import save_safetensors  # noqa: E402

TIME_STEPS, BATCH = 20, 3


class Language(nn.Module):
    """A word's embedding, a GRU of 2 layers, LayerNorm, Linear, LogSoftmax; the state goes in and out."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(30, 12)
        self.gru = nn.GRU(12, 16, 2, batch_first=True)
        self.norm = nn.LayerNorm(16)
        self.fc = nn.Linear(16, 30)

    def forward(self, words, h_0):
        y, h_n = self.gru(self.embed(words), h_0)
        return torch.log_softmax(self.fc(self.norm(y)), -1), h_n


class Stateless(Language):
    """The same without a state outside: zeros of the batch's size."""

    def forward(self, words):
        return torch.log_softmax(self.fc(self.norm(self.gru(self.embed(words))[0])), -1)


class Joined(nn.Module):
    """Three GRUs joined by concatenations."""

    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(10, 8)
        self.voice = nn.GRU(8, 6)
        self.noise = nn.GRU(8 + 6 + 10, 9)
        self.gains = nn.GRU(6 + 9 + 10, 7)
        self.out = nn.Linear(7, 5)

    def forward(self, x):
        d = torch.tanh(self.dense(x))
        voice, _ = self.voice(d)
        noise, _ = self.noise(torch.cat([d, voice, x], -1))
        gains, _ = self.gains(torch.cat([voice, noise, x], -1))
        return torch.sigmoid(self.out(gains))


class Bidirectional(nn.Module):
    """Two layers in both directions, batch first, GELU, a residual and a softmax."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(5, 8, 2, bidirectional=True, batch_first=True)
        self.mix = nn.Linear(16, 16)
        self.out = nn.Linear(16, 4)

    def forward(self, x):
        y, _ = self.gru(x)
        return torch.softmax(self.out(y + nn.functional.gelu(self.mix(y))), -1)


class LastStep(nn.Module):
    """A classifier of whole sequences: BatchNorm and a head on the last hidden state."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(4, 10, 2)
        self.norm = nn.BatchNorm1d(10)
        self.fc = nn.Linear(10, 3)

    def forward(self, x):
        _, h_n = self.gru(x)
        return self.fc(torch.relu(self.norm(h_n[-1])))


class LastOutput(LastStep):
    """The same by the output's last time step."""

    def forward(self, x):
        y, _ = self.gru(x)
        return self.fc(torch.relu(self.norm(y[-1])))


class Cell(nn.Module):
    """One step as its own graph: the state goes in and out."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(4, 10)
        self.fc = nn.Linear(10, 3)

    def forward(self, x, h):
        y, h_n = self.gru(x.unsqueeze(0), h)
        return self.fc(y.squeeze(0)), h_n


def export(name, model, arguments, opset, axes, inputs, outputs):
    torch.onnx.export(model, arguments, str(HERE / f"{name}.onnx"), opset_version=opset, input_names=inputs,
                      output_names=outputs, dynamic_axes=axes)


def by_step(model, x):
    """What the classifiers answer after each step."""
    return torch.stack([model(x[:t + 1]) for t in range(x.shape[0])])


def save(name, model, x, answer, h_n=None):
    exact = copy.deepcopy(model).double()
    y = answer(exact, x.double())
    tensors = {"x": x.float(), "y": y, "torch_error": (answer(model, x.float()).double() - y).abs().max().reshape(1)}
    if h_n is not None:
        tensors["h_n"] = h_n(exact, x.double())
    save_safetensors(tensors, HERE / f"{name}.safetensors")


def main():
    torch.manual_seed(20)
    time_first = {"x": {0: "time", 1: "batch"}, "y": {0: "time", 1: "batch"}}
    batch_first = {"x": {0: "batch", 1: "time"}, "y": {0: "batch", 1: "time"}}
    words = torch.randint(0, 30, (TIME_STEPS, BATCH, 1))

    def language(model, x):
        h = torch.zeros(2, BATCH, 16, dtype=model.fc.weight.dtype)
        return model(x[..., 0].long().T, h)

    model = Language().eval()
    for opset in (11, 13, 17):
        export(f"language_opset{opset}", model, (torch.zeros(2, 5, dtype=torch.long), torch.zeros(2, 2, 16)), opset,
               {"words": {0: "batch", 1: "time"}, "h_0": {1: "batch"}, "y": {0: "batch", 1: "time"},
                "h_n": {1: "batch"}}, ["words", "h_0"], ["y", "h_n"])
        save(f"language_opset{opset}", model, words, lambda m, x: language(m, x)[0].transpose(0, 1),
             lambda m, x: language(m, x)[1])
    model = Stateless().eval()
    export("stateless", model, (torch.zeros(2, 5, dtype=torch.long),), 13,
           {"words": {0: "batch", 1: "time"}, "y": {0: "batch", 1: "time"}}, ["words"], ["y"])
    save("stateless", model, words, lambda m, x: m(x[..., 0].long().T).transpose(0, 1))
    model = Joined().eval()
    export("joined", model, (torch.zeros(4, 2, 10),), 17, time_first, ["x"], ["y"])
    save("joined", model, torch.randn(TIME_STEPS, BATCH, 10), lambda m, x: m(x))
    model = Bidirectional().eval()
    export("bidirectional", model, (torch.zeros(2, 4, 5),), 13, batch_first, ["x"], ["y"])
    save("bidirectional", model, torch.randn(TIME_STEPS, BATCH, 5),
         lambda m, x: m(x.transpose(0, 1)).transpose(0, 1))
    for name, model in (("last_step", LastStep().eval()), ("last_output", LastOutput().eval())):
        model.norm.running_mean.normal_()
        model.norm.running_var.uniform_(0.5, 2)
        export(name, model, (torch.zeros(4, 2, 4),), 13, {"x": {0: "time", 1: "batch"}, "y": {0: "batch"}}, ["x"],
               ["y"])
        save(name, model, torch.randn(TIME_STEPS, BATCH, 4), by_step)
    model = Cell().eval()
    export("cell", model, (torch.zeros(2, 4), torch.zeros(1, 2, 10)), 13,
           {"x": {0: "batch"}, "h": {1: "batch"}, "y": {0: "batch"}, "h_n": {1: "batch"}}, ["x", "h"], ["y", "h_n"])
    save("cell", model, torch.randn(TIME_STEPS, BATCH, 4), lambda m, x: m.fc(m.gru(x)[0]), lambda m, x: m.gru(x)[1])


if __name__ == "__main__":
    main()
