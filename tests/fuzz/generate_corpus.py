#!/usr/bin/python3
"""Makes tests/fuzz/corpus/onnx, tiny networks by PyTorch's exporter, a few hundred bytes each, and
tests/fuzz/corpus/checkpoint, in the form of core/store/checkpoint.h but for the checksum.

    tests/fuzz/generate_corpus.py          (Debian 12: apt-get install python3-torch)
"""
import math
import pathlib
import struct

import torch
from torch import nn

CORPORA = pathlib.Path(__file__).resolve().parent / "corpus"
CORPUS = CORPORA / "onnx"


class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.gru, self.norm, self.fc = nn.Embedding(3, 2), nn.GRU(2, 2, 2), nn.LayerNorm(2), nn.Linear(2, 3)

    def forward(self, x, h):
        y, h = self.gru(self.embed(x), h)
        return torch.log_softmax(self.fc(self.norm(y)), -1), h


class Both(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru, self.fc = nn.GRU(2, 2, bidirectional=True, batch_first=True), nn.Linear(4, 2)

    def forward(self, x):
        y, _ = self.gru(x)
        return torch.cat([torch.tanh(self.fc(y)) * 2 - 1, y[..., 1:3], nn.functional.gelu(x)], -1)


class Last(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru, self.norm, self.fc = nn.GRU(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 1)

    def forward(self, x):
        y, h = self.gru(x)
        return torch.relu(self.norm(h[-1])).sqrt() + self.fc(y[-1]) / 3


def export(name, model, arguments, inputs, axes, opset=13):
    torch.onnx.export(model.eval(), arguments, str(CORPUS / name), opset_version=opset, input_names=inputs,
                      output_names=["y"], dynamic_axes=axes)


def text(value):
    return struct.pack("<H", len(value)) + value.encode()


def floats(values):
    return struct.pack(f"<{len(values)}f", *values)


def checkpoint(name, states, remembered=(), kept=()):
    """states: (name, dims) each; remembered: (output, state) each; kept: steps."""
    body = struct.pack("<qqqQQIB", 1, 0, 41, 7, 99, len(remembered), 2)
    body += text("demo") + text("a" * 64) + text("oneDNN") + struct.pack("<H", len(states))
    for state, dims in states:
        body += text(state) + struct.pack(f"<B{len(dims)}q", len(dims), *dims)
    state = floats([0.5] * sum(math.prod(dims) for _, dims in states))
    body += state
    body += struct.pack("<I", len(remembered))
    for values in remembered:
        for array in values:
            body += struct.pack("<Q", len(array)) + floats(array)
    body += struct.pack("<II", len(kept), len(kept)) + b"".join(struct.pack("<q", step) + state for step in kept)
    head = b"GRUSCKPT" + struct.pack("<IQ", 2, 20 + len(body) + 8)
    (CORPORA / "checkpoint" / name).write_bytes(head + body + bytes(8))


def main():
    (CORPORA / "checkpoint").mkdir(exist_ok=True)
    checkpoint("plain", [("state", (2, 1, 3))])
    checkpoint("two", [("a", (1, 2, 2)), ("b", (2, 2, 1))], [([1, 2], []), ([], [3, 4])])
    checkpoint("empty", [])
    checkpoint("kept", [("state", (1, 1, 2))], [], [0, 40, 41])
    torch.manual_seed(1)
    both = {"x": {0: "b", 1: "t"}}
    export("words_13", Words(), (torch.zeros(2, 2, dtype=torch.long), torch.zeros(2, 2, 2)), ["x", "h"],
           {"x": {0: "t", 1: "b"}, "h": {1: "b"}})
    export("words_17", Words(), (torch.zeros(2, 2, dtype=torch.long), torch.zeros(2, 2, 2)), ["x", "h"],
           {"x": {0: "t", 1: "b"}, "h": {1: "b"}}, 17)
    export("both_11", Both(), (torch.zeros(2, 2, 2),), ["x"], both, 11)
    export("both_13", Both(), (torch.zeros(2, 2, 2),), ["x"], both)
    export("last", Last(), (torch.zeros(2, 2, 2),), ["x"], {"x": {0: "t", 1: "b"}})


if __name__ == "__main__":
    main()
