"""Writes the models that are measured, for both servers, without any package: random weights from a seed."""
import dataclasses
import json
import pathlib
import random
import struct


@dataclasses.dataclass(frozen=True)
class Gru:
    """What torch.nn.GRU takes."""
    input_size: int
    hidden_size: int
    layers: int = 1
    directions: int = 1

    @property
    def name(self):
        return f"i{self.input_size}h{self.hidden_size}l{self.layers}d{self.directions}"


def _floats(rng, count, hidden_size):
    """Bytes of floats of random sign and mantissa, about 1/sqrt(hidden_size) large: one big-integer operation
    for all of them, where a loop would take seconds."""
    exponent = 127 - max(2, (hidden_size.bit_length() + 1) // 2)
    pattern = int.from_bytes(struct.pack("<I", exponent << 23) * count, "little")
    keep = int.from_bytes(struct.pack("<I", 0x807FFFFF) * count, "little")
    return (int.from_bytes(rng.randbytes(4 * count), "little") & keep | pattern).to_bytes(4 * count, "little")


def tensors(gru, seed=1):
    """PyTorch's state_dict: name -> (shape, bytes)."""
    rng = random.Random(f"{seed} {gru.name}")
    state = {}
    for layer in range(gru.layers):
        inputs = gru.input_size if layer == 0 else gru.hidden_size * gru.directions
        for suffix in ("", "_reverse")[:gru.directions]:
            for key, shape in (("weight_ih", (3 * gru.hidden_size, inputs)),
                               ("weight_hh", (3 * gru.hidden_size, gru.hidden_size)),
                               ("bias_ih", (3 * gru.hidden_size,)), ("bias_hh", (3 * gru.hidden_size,))):
                count = shape[0] * (shape[1] if len(shape) > 1 else 1)
                state[f"{key}_l{layer}{suffix}"] = (shape, _floats(rng, count, gru.hidden_size))
    return state


def write_safetensors(path, state):
    header, offset = {}, 0
    for name, (shape, data) in state.items():
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, data in state.values():
            file.write(data)


# What of ONNX's protobuf a GRU needs. Field numbers are those of onnx.proto.

def _varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def _field(number, value):
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _node(operator, inputs, outputs, **attributes):
    fields = [_field(1, i) for i in inputs] + [_field(2, o) for o in outputs] + [_field(4, operator)]
    for name, value in attributes.items():
        fields.append(_field(5, _field(1, name) + _field(3, value) + _field(20, 2)))
    return b"".join(fields)


def _initializer(name, kind, shape, data):
    return b"".join(_field(1, d) for d in shape) + _field(2, kind) + _field(8, name) + _field(9, data)


def _value(name, shape):
    dims = b"".join(_field(1, _field(2, d) if isinstance(d, str) else _field(1, d)) for d in shape)
    return _field(1, name) + _field(2, _field(1, _field(1, 1) + _field(2, dims)))


def _onnx_gates(data):
    """PyTorch's gates are r, z, n; ONNX wants z, r, h."""
    third = len(data) // 3
    return data[third:2 * third] + data[:third] + data[2 * third:]


def write_onnx(path, gru, state):
    """The graph that torch.onnx.export makes of a unidirectional GRU, opset 14: `input` [T, B, I] and `h_0`
    [L, B, H] to `output` [T, B, H] and `h_n` [L, B, H], T and B dynamic."""
    hidden, layers = gru.hidden_size, gru.layers
    nodes, weights = [], [_initializer("axis", 7, [1], struct.pack("<q", 1))]
    first = ["h_0"] if layers == 1 else [f"h_0_{i}" for i in range(layers)]
    last = ["h_n"] if layers == 1 else [f"h_n_{i}" for i in range(layers)]
    if layers > 1:
        nodes.append(_node("Split", ["h_0"], first, axis=0))
    source = "input"
    for i in range(layers):
        for key, name in (("weight_ih", "W"), ("weight_hh", "R")):
            shape, data = state[f"{key}_l{i}"]
            weights.append(_initializer(f"{name}{i}", 1, [1, *shape], _onnx_gates(data)))
        bias = b"".join(_onnx_gates(state[f"{key}_l{i}"][1]) for key in ("bias_ih", "bias_hh"))
        weights.append(_initializer(f"B{i}", 1, [1, 6 * hidden], bias))
        target = "output" if i == layers - 1 else f"y{i}"
        nodes.append(_node("GRU", [source, f"W{i}", f"R{i}", f"B{i}", "", first[i]], [f"Y{i}", last[i]],
                           hidden_size=hidden, linear_before_reset=1))
        nodes.append(_node("Squeeze", [f"Y{i}", "axis"], [target]))
        source = target
    if layers > 1:
        nodes.append(_node("Concat", last, ["h_n"], axis=0))
    graph = b"".join([*(_field(1, n) for n in nodes), _field(2, "gru"), *(_field(5, w) for w in weights),
                      _field(11, _value("input", ["T", "B", gru.input_size])),
                      _field(11, _value("h_0", [layers, "B", hidden])),
                      _field(12, _value("output", ["T", "B", hidden])),
                      _field(12, _value("h_n", [layers, "B", hidden]))])
    pathlib.Path(path).write_bytes(_field(1, 7) + _field(7, graph) + _field(8, _field(2, 14)))


def write_all(folder, grus, with_onnx):
    """Fills `folder`/repository and, for the peer, `folder`/onnx; leaves alone what is there."""
    repository, onnx = folder / "repository", folder / "onnx"
    onnx.mkdir(parents=True, exist_ok=True)
    for gru in grus:
        native = repository / gru.name / "1" / "model.safetensors"
        foreign = onnx / f"{gru.name}.onnx"
        wants_onnx = with_onnx and gru.directions == 1 and not foreign.exists()
        if native.exists() and not wants_onnx:
            continue
        state = tensors(gru)
        native.parent.mkdir(parents=True, exist_ok=True)
        write_safetensors(native, state)
        if wants_onnx:
            write_onnx(foreign, gru, state)
    return repository, onnx
