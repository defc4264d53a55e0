"""What the interop tests share: small models, the real server, and a reference GRU in numpy."""
import json
import pathlib
import shutil
import struct
import subprocess
import tempfile
import threading

import numpy as np

INPUT, HIDDEN, LAYERS = 3, 8, 2
SEED_EXAMPLES = pathlib.Path(__file__).resolve().parents[1] / "golden/seed"


def write_safetensors(path, tensors):
    """The safetensors format: header length, JSON header, then the bytes."""
    header, offset = {}, 0
    for name, value in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [offset, offset + value.nbytes]}
        offset += value.nbytes
    text = json.dumps(header).encode()
    path.parent.mkdir(parents=True)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(value.tobytes() for value in tensors.values()))


def random_gru(seed, input_size, hidden_size, layers):
    """A state_dict like torch.nn.GRU's, as a list of (w_ih, w_hh, b_ih, b_hh)."""
    random = np.random.default_rng(seed)
    bound = hidden_size ** -0.5
    shapes = [((3 * hidden_size, input_size if layer == 0 else hidden_size), (3 * hidden_size, hidden_size),
               (3 * hidden_size,), (3 * hidden_size,)) for layer in range(layers)]
    return [tuple(random.uniform(-bound, bound, s).astype("<f4") for s in shape) for shape in shapes]


def reference_gru(weights, x, h_0):
    """torch.nn.GRU in double precision: x [T, B, I], h_0 [layers, B, H]."""
    def sigmoid(v):
        return 1 / (1 + np.exp(-v))
    layer_input, h_n = x.astype(float), []
    for (w_ih, w_hh, b_ih, b_hh), h in zip(weights, h_0.astype(float)):
        outputs = []
        for row in layer_input:
            i_r, i_z, i_n = np.split(row @ w_ih.T.astype(float) + b_ih, 3, axis=1)
            h_r, h_z, h_new = np.split(h @ w_hh.T.astype(float) + b_hh, 3, axis=1)
            r, z = sigmoid(i_r + h_r), sigmoid(i_z + h_z)
            h = (1 - z) * np.tanh(i_n + r * h_new) + z * h
            outputs.append(h)
        layer_input = np.stack(outputs)
        h_n.append(h)
    return layer_input, np.stack(h_n)


class InteropServer:
    """The real server on a free port, with the models "gru" and "cell"."""

    def __init__(self, binary):
        self.folder = tempfile.TemporaryDirectory()
        root = pathlib.Path(self.folder.name)
        self.weights = random_gru(1, INPUT, HIDDEN, LAYERS)
        self.cell_weights = random_gru(2, 5, 6, 1)
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        write_safetensors(root / "models/gru/1/model.safetensors",
                          {f"{n}_l{i}": w for i, layer in enumerate(self.weights) for n, w in zip(names, layer)})
        write_safetensors(root / "models/cell/1/model.safetensors", dict(zip(names, self.cell_weights[0])))
        # The seed example: GRUCell(5, 10) with PyTorch's own answers.
        for name in ("cell_5_10_b3", "cell_5_10_b3_stream50"):
            target = root / "models" / name / "1/model.safetensors"
            target.parent.mkdir(parents=True)
            shutil.copy(SEED_EXAMPLES / f"{name}.safetensors", target)
        port_file = root / "port"
        self.process = subprocess.Popen(
            [binary, "--repository", str(root / "models"), "--listen", "127.0.0.1:0", "--port-file", str(port_file),
             "--http-listen", "none"], stderr=subprocess.PIPE, text=True)
        # The server logs a line after it wrote the port file: waiting for lines
        # needs no clock.
        lines = []
        while not port_file.exists():
            line = self.process.stderr.readline()
            if not line:
                raise RuntimeError("the server did not start:\n" + "".join(lines))
            lines.append(line)
        self.drain = threading.Thread(target=self.process.stderr.read)
        self.drain.start()
        self.address = port_file.read_text().strip()

    def stop(self):
        self.process.terminate()
        code = self.process.wait(timeout=60)
        self.drain.join()
        self.process.stderr.close()
        self.folder.cleanup()
        assert code == 0, f"the server ended with {code}"
