"""Networks for export_torch_test.py, as a user would write them: gruserve-export imports this file by name."""

import random

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


def seeded(make, *args, **kwargs):
    """The same weights each time; larger than PyTorch's own, so that mistakes show."""
    torch.manual_seed(20)
    module = make(*args, **kwargs)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(2)
    return module.eval()


class Tagger(nn.Module):
    """Embedding, two layers, LayerNorm, Linear, LogSoftmax; batch first, and the state is handed through."""

    def __init__(self, words=50, hidden=16):
        super().__init__()
        self.embed = nn.Embedding(words, 12)
        self.gru = nn.GRU(12, hidden, num_layers=2, dropout=0.1, batch_first=True)
        self.norm = nn.LayerNorm(hidden, eps=1e-4)
        self.fc = nn.Linear(hidden, 7)

    def forward(self, x, h=None):
        y, h = self.gru(self.embed(x), h)
        return F.log_softmax(self.fc(self.norm(y)), dim=-1), h


class Sensor(nn.Module):
    """Normalised input, the last step alone, and the output scaled back."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor([1.0, 2.0, 3.0]))
        self.register_buffer("std", torch.tensor([0.5, 2.0, 3.0]))
        self.gru = nn.GRU(3, 16, batch_first=True)
        self.head = nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 1))
        self.unused = nn.Linear(2, 2)

    def forward(self, x):
        x = (x - self.mean) / self.std
        h_0 = torch.zeros(1, x.size(0), 16, device=x.device, dtype=x.dtype)
        _, h_n = self.gru(x, h_0)
        return self.head(h_n[-1]).squeeze(-1) * 3 + 1


class Skips(nn.Module):
    """Three GRUs, skip connections, a learned first state; time first inside, batch first outside."""

    def __init__(self):
        super().__init__()
        self.first = nn.GRU(4, 8)
        self.second = nn.GRU(8, 8)
        self.third = nn.GRU(16, 8)
        self.h_0 = nn.Parameter(torch.randn(1, 1, 8))
        self.out = nn.Linear(12, 3)

    def forward(self, x):
        x = x.transpose(0, 1)
        a, _ = self.first(x, self.h_0.expand(-1, x.shape[1], -1))
        b = torch.tanh(self.second(a)[0]) * a + 0.5
        c, _ = self.third(torch.cat([a, b], dim=-1))
        return torch.sigmoid(self.out(torch.cat((c, x), -1)[..., :])).permute(1, 0, 2)


class Ragged(nn.Module):
    """Rows of several lengths, packed, through two GRUs; every step."""

    def __init__(self):
        super().__init__()
        self.first = nn.GRU(3, 8, batch_first=True)
        self.second = nn.GRU(8, 6, bidirectional=True)
        self.fc = nn.Linear(12, 2)

    def forward(self, x, lengths):
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths.cpu(), batch_first=True)
        y, _ = pad_packed_sequence(self.second(self.first(packed)[0])[0], batch_first=True)
        return self.fc(y)


class RaggedLast(nn.Module):
    """Each row's own last step."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(3, 8)
        self.fc = nn.Linear(8, 2)

    def forward(self, x, lengths):
        return self.fc(self.gru(pack_padded_sequence(x, lengths))[1][-1])


class RaggedMistake(RaggedLast):
    """Cannot be expressed: a step that some rows do not have."""

    def forward(self, x, lengths):
        return self.fc(pad_packed_sequence(self.gru(pack_padded_sequence(x, lengths))[0])[0][-1])


class Shapes(nn.Module):
    """Sizes that only a call knows, time and batch joined, features in the middle for a BatchNorm1d."""

    def __init__(self):
        super().__init__()
        self.front = nn.BatchNorm1d(3)
        self.grus = nn.ModuleList([nn.GRU(3, 6, batch_first=True), nn.GRU(6, 5, batch_first=True)])
        self.middle = nn.BatchNorm1d(5)
        self.fc = nn.Linear(5, 4)
        for norm in (self.front, self.middle):
            norm.running_mean.uniform_(-1, 1)
            norm.running_var.uniform_(0.5, 2)

    def forward(self, x):
        batch, steps, _ = x.shape
        y = self.front(x.transpose(1, 2)).transpose(1, 2)
        for gru in self.grus:
            gru.flatten_parameters()
            y, _ = gru(y, torch.zeros(1, batch, gru.hidden_size).to(x))
        y = self.fc(self.middle(y.contiguous().view(-1, 5)))
        return y.reshape(batch, steps, 4)


class LossGen(nn.Module):
    """Opus's model of packet loss, whose trained weights are in tests/data."""

    def __init__(self):
        super().__init__()
        self.dense_in = nn.Linear(2, 8)
        self.gru1 = nn.GRU(8, 16, batch_first=True)
        self.gru2 = nn.GRU(16, 32, batch_first=True)
        self.dense_out = nn.Linear(32, 1)

    def forward(self, x, states=(None, None)):
        y, h_1 = self.gru1(self.dense_in(x).tanh(), states[0])
        y, h_2 = self.gru2(y, states[1])
        return self.dense_out(y).sigmoid(), [h_1, h_2]


class Inputs(nn.Module):
    """A word, and features beside it: one argument each, one after the other in the server's rows."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(11, 4)
        self.speaker = nn.Embedding(3, 2)
        self.gru = nn.GRU(11, 8, batch_first=True)
        self.fc = nn.Linear(8, 2)

    def forward(self, word, features, who, h=None):
        x = torch.cat([self.embed(word), torch.relu(-features), self.speaker(input=who)], dim=-1)
        y, h = self.gru(x, hx=h)
        y = self.fc(y)
        y += features[:, :, 1:3]
        return y, h


class Cells(nn.Module):
    """Two GRUCells, whose states the caller keeps."""

    def __init__(self):
        super().__init__()
        self.a = nn.GRUCell(4, 8)
        self.b = nn.GRUCell(8, 8)
        self.fc = nn.Linear(8, 2)

    def forward(self, x, states):
        a = self.a(x, states[0])
        b = self.b(a, states[1])
        return self.fc(torch.cat([a, b], -1)[..., 4:12] + a), [a, b]


def stack():
    return nn.Sequential(nn.Linear(5, 8), nn.GELU(), nn.LeakyReLU(0.2), nn.Linear(8, 3))


class Backbone(nn.Module):
    """A Sequential in front, every function between, a norm without weights, both directions."""

    def __init__(self):
        super().__init__()
        self.front = stack()
        self.gru = nn.GRU(3, 4, bidirectional=True)
        self.norm = nn.LayerNorm(8, elementwise_affine=False)

    def forward(self, x):
        y = self.norm(self.gru(self.front(x))[0])
        y = F.elu(y, 0.7) + F.silu(y) - F.hardtanh(y, -0.5, 0.25) + F.softplus(y)
        return F.softmax((1 - y).relu() + F.relu6(y) + F.hardsigmoid(y), -1)


class Random(nn.Module):
    """Modules, functions, skips and constants in an order that a seed says; at least one GRU."""

    FUNCTIONS = (torch.tanh, F.relu, F.gelu, F.softplus, lambda x: F.leaky_relu(x, 0.3), lambda x: x.softmax(dim=-1),
                 lambda x: F.hardtanh(x, max_val=0.5), lambda x: F.elu(x, alpha=0.25), lambda x: 2 - x / 3)

    def __init__(self, seed, both):
        super().__init__()
        torch.manual_seed(seed)
        self.random = random.Random(seed)
        self.batch_first = self.random.random() < 0.5
        self.layers = nn.ModuleList()
        self.plan, widths = [], [self.random.randint(1, 9)]
        self.size = widths[0]
        kinds = [self.random.choice(("gru", "linear", "norm", "function", "skip", "slice", "scale")) for _ in range(8)]
        kinds.insert(self.random.randint(0, 8), "gru")
        for kind in kinds:
            widths.append(self.add(kind, widths, both))

    def add(self, kind, widths, both):
        last, wide = widths[-1], self.random.randint(1, 20)
        if kind == "gru":
            two = both and self.random.random() < 0.5
            self.layers.append(nn.GRU(last, wide, self.random.randint(1, 2), bias=self.random.random() < 0.7,
                                      batch_first=self.batch_first, bidirectional=two))
            self.plan.append((kind, len(self.layers) - 1))
            return wide * (2 if two else 1)
        if kind in ("linear", "norm"):
            self.layers.append(nn.Linear(last, wide) if kind == "linear" else nn.LayerNorm(last))
            self.plan.append((kind, len(self.layers) - 1))
            return wide if kind == "linear" else last
        if kind == "function":
            self.plan.append((kind, self.random.randrange(len(self.FUNCTIONS))))
        elif kind == "skip":
            place = self.random.randrange(len(widths))
            self.plan.append(("add" if widths[place] == last else "concat", place))
            return last if widths[place] == last else last + widths[place]
        elif kind == "slice":
            begin = self.random.randrange(last)
            self.plan.append((kind, begin))
            return last - begin
        else:
            self.register_buffer(f"scale_{len(self.plan)}", 1 + torch.rand(last))
            self.plan.append((kind, f"scale_{len(self.plan)}"))
        return last

    def forward(self, x):
        values = [x]
        for kind, what in self.plan:
            y = values[-1]
            if kind == "gru":
                y, _ = self.layers[what](y)
            elif kind in ("linear", "norm"):
                y = self.layers[what](y)
            elif kind == "function":
                y = self.FUNCTIONS[what](y)
            elif kind == "add":
                y = y + values[what]
            elif kind == "concat":
                y = torch.cat([y, values[what]], dim=2)
            elif kind == "slice":
                y = y[:, :, what:]
            else:
                y = y * getattr(self, what) - 0.25
            values.append(y)
        return values[-1]


class Convolution(nn.Module):
    """Cannot be expressed: the second layer of `front`."""

    def __init__(self):
        super().__init__()
        self.front = nn.Sequential(nn.Linear(3, 4), nn.Conv1d(4, 4, 3))
        self.gru = nn.GRU(4, 8)

    def forward(self, x):
        return self.gru(self.front(x))[0]


class Reversed(nn.Module):
    """Cannot be expressed: time runs backwards."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(4, 8)

    def forward(self, x):
        return self.gru(torch.flip(x, [0]))[0]


class LongMemory(nn.Module):
    """Cannot be expressed: an LSTM."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(4, 4)
        self.memory = nn.LSTM(4, 4)

    def forward(self, x):
        return self.memory(self.gru(x)[0])[0]


class Branching(nn.Module):
    """Cannot be traced: what it does depends on its numbers."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(4, 8)

    def forward(self, x):
        y = self.gru(x)[0]
        return y * 2 if y.sum() > 0 else y


class Sneaky(nn.Module):
    """Traced wrongly: a hook changes what the trace cannot see."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(4, 8)
        self.fc = nn.Linear(8, 2)
        self.fc.register_forward_hook(lambda module, inputs, output: output * 2)

    def forward(self, x):
        return self.fc(self.gru(x)[0])


class Softest(nn.Module):
    """Cannot be expressed: a softmax over time."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(4, 8)

    def forward(self, x):
        return torch.softmax(self.gru(x)[0], dim=0)


class TwoHeads(nn.Module):
    """Cannot be expressed: two outputs."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(4, 8)
        self.a = nn.Linear(8, 1)
        self.b = nn.Linear(8, 1)

    def forward(self, x):
        y = self.gru(x)[0]
        return self.a(y), self.b(y)


class NoGru(nn.Module):
    """Nothing to serve."""

    def forward(self, x):
        return x + 1


def broken():
    raise RuntimeError("no weights today")


not_a_module = 3
tagger = seeded(Tagger)
sensor = seeded(Sensor)
skips = seeded(Skips)
cells = seeded(Cells)
backbone = seeded(Backbone)
inputs = seeded(Inputs)
shapes = seeded(Shapes)
ragged = seeded(Ragged)
ragged_last = seeded(RaggedLast)
gru = seeded(nn.GRU, 3, 8, num_layers=2, batch_first=True)
wide = seeded(nn.GRU, 3, 8, bias=False, bidirectional=True)
cell = seeded(nn.GRUCell, 3, 8)
