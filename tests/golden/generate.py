#!/usr/bin/python3
"""Makes the golden vectors with PyTorch: cases.json and witness.safetensors.

    tests/golden/generate.py          (Debian 12: apt-get install python3-torch python3-numpy)

Weights and inputs come from SplitMix64, which the C++ test has as well, so only
the answers are stored: PyTorch's float64 results (of the float32-rounded numbers)
at sampled places, and the largest error of PyTorch's own float32 run. The C++ test
compares the places between them with its own double-precision reference.
"""
import itertools
import json
import pathlib
import random
import struct

import numpy as np
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

HERE = pathlib.Path(__file__).resolve().parent
SIZES = [1, 3, 5, 10, 17, 64, 128, 257, 512]
PARAMETERS = {
    "input_size": SIZES, "hidden_size": SIZES, "num_layers": [1, 2, 3, 4], "num_directions": [1, 2],
    "bias": [True, False], "batch": [0, 1, 3, 17], "time_steps": [1, 2, 7, 100, 1000], "h_0": [True, False],
    "ragged": [True, False], "batch_first": [True, False],
}
CELL_PARAMETERS = {"input_size": SIZES, "hidden_size": SIZES, "bias": [True, False], "batch": [0, 1, 3, 17],
                   "time_steps": [1, 7, 100], "h_0": [True, False]}
MAX_MULTIPLICATIONS = 2e9
OUTPUT_SAMPLES, STATE_SAMPLES = 256, 128
FEW_NUMBERS = 16
# What the streams of numbers of one case are for.
INPUT, H_0, SAMPLES, WEIGHTS = 0, 1, 2, 8


def splitmix64(seed, count):
    """`count` numbers of the SplitMix64 that starts at `seed`."""
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def floats(case, stream, shape, bound=1.0):
    """From U(-bound, bound): 24 bits each, exact in float32 before the bound."""
    bits = splitmix64(case["seed"] * 1000003 + stream, int(np.prod(shape))) >> np.uint64(40)
    unit = bits.astype(np.float32) * np.float32(2.0 ** -23) - np.float32(1)
    return (unit * np.float32(bound)).reshape(shape)


def samples(case, which, count, size):
    return (splitmix64(case["seed"] * 1000003 + SAMPLES + which, min(count, size)) % np.uint64(size)).astype(np.int64)


def legal(case):
    if case.get("ragged") and (case["batch"] < 2 or case["time_steps"] < 2):
        return False
    if case.get("batch_first") and case["batch"] == 0:
        return False
    return multiplications(case) <= MAX_MULTIPLICATIONS


def multiplications(case):
    layers, directions, hidden = case.get("num_layers", 1), case.get("num_directions", 1), case["hidden_size"]
    inputs = case["input_size"] + (layers - 1) * directions * hidden
    return case["time_steps"] * max(1, case["batch"]) * directions * 3 * hidden * (inputs + layers * hidden)


def pairwise(parameters, rng):
    """A cover of all legal pairs of values, greedily."""
    names = list(parameters)
    pairs = {((a, va), (b, vb)) for a, b in itertools.combinations(names, 2)
             for va in parameters[a] for vb in parameters[b]}
    def covered(case):
        return {((a, case[a]), (b, case[b])) for a, b in itertools.combinations(names, 2)}
    cases, misses = [], 0
    while pairs and misses < 50:
        (a, va), (b, vb) = rng.choice(sorted(pairs, key=repr))
        candidates = [{**{n: rng.choice(v) for n, v in parameters.items()}, a: va, b: vb} for _ in range(400)]
        best = max((c for c in candidates if legal(c)), key=lambda c: len(covered(c) & pairs), default=None)
        if best is None:
            misses += 1
            if misses == 50:
                print("not coverable within the limits:", sorted(pairs, key=repr))
            continue
        pairs -= covered(best)
        cases.append(best)
    return cases


def layer_names(case):
    if case["module"] == "cell":
        return [("", case["input_size"])]
    return [(f"_l{layer}{suffix}", case["input_size"] if layer == 0 else case["num_directions"] * case["hidden_size"])
            for layer in range(case["num_layers"]) for suffix in ("", "_reverse")[:case["num_directions"]]]


def state_dict(case):
    hidden, tensors = case["hidden_size"], {}
    for i, (suffix, inputs) in enumerate(layer_names(case)):
        shapes = {"weight_ih": (3 * hidden, inputs), "weight_hh": (3 * hidden, hidden)}
        if case["bias"]:
            shapes |= {"bias_ih": (3 * hidden,), "bias_hh": (3 * hidden,)}
        for role, (name, shape) in enumerate(shapes.items()):
            tensors[name + suffix] = torch.from_numpy(floats(case, WEIGHTS + 4 * i + role, shape, hidden ** -0.5))
    return tensors


def make_lengths(case):
    """Any order; some row has the full length, as PyTorch's padding wants it."""
    if not case.get("ragged"):
        return []
    lengths = [int(v) for v in splitmix64(case["seed"] * 1000003 + 7, case["batch"]) % np.uint64(case["time_steps"])]
    lengths = [1 + length for length in lengths]
    lengths[case["seed"] % case["batch"]] = case["time_steps"]
    return lengths


def run(case, dtype):
    """output and h_n of PyTorch in `dtype`."""
    cell, batch = case["module"] == "cell", [case["batch"]] if case["batch"] else []
    x = torch.from_numpy(floats(case, INPUT, [case["time_steps"], *batch, case["input_size"]])).to(dtype)
    blocks = [] if cell else [case["num_layers"] * case["num_directions"]]
    h = torch.from_numpy(floats(case, H_0, blocks + batch + [case["hidden_size"]])).to(dtype) if case["h_0"] else None
    if cell:
        module = torch.nn.GRUCell(case["input_size"], case["hidden_size"], case["bias"])
    else:
        module = torch.nn.GRU(case["input_size"], case["hidden_size"], case["num_layers"], case["bias"],
                              case["batch_first"], 0.0, case["num_directions"] == 2)
    module.load_state_dict(state_dict(case))
    module.to(dtype)
    with torch.no_grad():
        if cell:
            outputs = []
            for row in x:
                h = module(row, h)
                outputs.append(h)
            return torch.stack(outputs), h
        if case["batch_first"]:
            x = x.transpose(0, 1)
        if case["lengths"]:
            packed = pack_padded_sequence(x, case["lengths"], case["batch_first"], enforce_sorted=False)
            output, h_n = module(packed, h)
            output, _ = pad_packed_sequence(output, case["batch_first"])
            return output, h_n
        return module(x, h)


def torch_f32_error(case, seeds):
    """The largest error of PyTorch's float32 run over seeds of the case's shape."""
    errors = []
    for seed in seeds:
        other = {**case, "seed": seed}
        errors += [float((exact - single.double()).abs().max())
                   for exact, single in zip(run(other, torch.float64), run(other, torch.float32))]
    return max(errors)


def main():
    torch.set_num_threads(2)
    rng = random.Random(5)
    cases = [{"module": "gru", **case} for case in pairwise(PARAMETERS, rng)]
    cases += [{"module": "cell", **case} for case in pairwise(CELL_PARAMETERS, rng)]
    witness = []
    for number, case in enumerate(cases):
        case["seed"] = number + 1
        case["lengths"] = make_lengths(case)
        case.pop("ragged", None)
        o64, h64 = run(case, torch.float64)
        case["torch_f32_error"] = torch_f32_error(case, [case["seed"]])
        # One number alone is right or wrong by luck: say what its shape's error is.
        if o64.numel() < FEW_NUMBERS:
            case["torch_f32_error_of_shape"] = torch_f32_error(case, range(case["seed"], case["seed"] + FEW_NUMBERS))
        for which, (count, result) in enumerate(((OUTPUT_SAMPLES, o64), (STATE_SAMPLES, h64))):
            flat = result.contiguous().numpy().ravel()
            witness.append(flat[samples(case, which, count, flat.size)])
        print(f"\r{number + 1}/{len(cases)}", end="", flush=True)
    data = np.concatenate(witness).astype("<f8").tobytes()
    header = json.dumps({"witness": {"dtype": "F64", "shape": [len(data) // 8], "data_offsets": [0, len(data)]}}).encode()
    (HERE / "witness.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + data)
    lines = ",\n".join(json.dumps(case) for case in cases)
    (HERE / "cases.json").write_text(f"[\n{lines}\n]\n")
    print(f"\n{len(cases)} cases, {len(data)} bytes, torch {torch.__version__}, numpy {np.__version__}")


if __name__ == "__main__":
    main()
