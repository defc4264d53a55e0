"""Keras models with known weights, as Keras 2 and Keras 3 write them, and Keras's equations in float64.

The layouts are those of keras/src/legacy/saving/legacy_h5_format.py (whole models and weights of Keras 2, which
Keras 3 still writes for .h5) and keras/src/saving/saving_lib.py (.weights.h5 and .keras of Keras 3).
"""
import io
import json
import re
import zipfile

import numpy as np

RANDOM = np.random.default_rng(9)


def weights(*shape, scale=0.8):
    return RANDOM.uniform(-scale, scale, shape).astype("f4")


def gru(name, inputs, units, reset_after=True, use_bias=True, **config):
    """A GRU layer, and its variables in Keras's order."""
    variables = [("kernel", weights(inputs, 3 * units)), ("recurrent_kernel", weights(units, 3 * units))]
    if use_bias:
        variables.append(("bias", weights(2, 3 * units) if reset_after else weights(3 * units)))
    config = {"name": name, "units": units, "activation": "tanh", "recurrent_activation": "sigmoid",
              "use_bias": use_bias, "reset_after": reset_after, "return_sequences": True, **config}
    return {"class_name": "GRU", "config": config, "variables": variables}


def bidirectional(name, inputs, units, reset_after):
    forward, backward = (gru(f"{way}_gru", inputs, units, reset_after) for way in ("forward", "backward"))
    variables = [(f"{way}/{role}", value) for way, layer in (("forward", forward), ("backward", backward))
                 for role, value in layer["variables"]]
    inner = {"class_name": "GRU", "config": forward["config"]}
    return {"class_name": "Bidirectional", "config": {"name": name, "merge_mode": "concat", "layer": inner},
            "variables": variables}


def layer(class_name, name, variables=(), **config):
    return {"class_name": class_name, "config": {"name": name, **config}, "variables": list(variables)}


def dense(name, inputs, units, activation="linear"):
    return layer("Dense", name, [("kernel", weights(inputs, units)), ("bias", weights(units))], units=units,
                 activation=activation, use_bias=True)


def norm(name, size):
    return layer("LayerNormalization", name, [("gamma", 1 + weights(size)), ("beta", weights(size))], axis=[-1],
                 epsilon=1e-3, center=True, scale=True)


def batch_norm(name, size):
    return layer("BatchNormalization", name, [
        ("gamma", 1 + weights(size)), ("beta", weights(size)), ("moving_mean", weights(size)),
        ("moving_variance", 1 + np.abs(weights(size)))], axis=[-1], epsilon=1e-3, center=True, scale=True)


def tagger():
    """Sequential: both kinds of GRU in one network."""
    return [layer("Embedding", "embedding", [("embeddings", weights(20, 6))], input_dim=20, output_dim=6, mask_zero=False),
            layer("Dropout", "dropout", rate=0.3),
            gru("gru", 6, 8), gru("gru_1", 8, 5, reset_after=False), norm("layer_normalization", 5),
            dense("dense", 5, 4, "softmax")]


def sensor():
    """Functional: a normalised input, a skip connection, the last step only. Sources behind each layer."""
    layers = [layer("Normalization", "normalization", [("mean", 5 + weights(3)), ("variance", 1 + np.abs(weights(3)))],
                    axis=[-1], mean=None, variance=None),
              dense("dense", 3, 6, "relu"), gru("gru", 6, 7), layer("Concatenate", "concatenate", axis=-1),
              gru("gru_1", 13, 4, reset_after=False, return_sequences=False), batch_norm("batch_normalization", 4),
              dense("dense_1", 4, 2, "hard_sigmoid")]
    return layers, [["input_1"], ["normalization"], ["dense"], ["dense", "gru"], ["concatenate"], ["gru_1"],
                    ["batch_normalization"]]


# The equations.

def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def run_gru(variables, x, prefix=""):
    """keras.layers.GRUCell: gates z, r, h; the bias says which of the two it is."""
    named = {role: value.astype("f8") for role, value in variables}
    kernel, recurrent, bias = (named.get(f"{prefix}{role}") for role in ("kernel", "recurrent_kernel", "bias"))
    units = len(recurrent)
    h, outputs = np.zeros((x.shape[1], units)), []
    for row in x:
        inner = row @ kernel + (bias[0] if bias.ndim == 2 else bias)
        z = sigmoid(inner[:, :units] + h @ recurrent[:, :units] + (bias[1, :units] if bias.ndim == 2 else 0))
        r = sigmoid(inner[:, units:-units] + h @ recurrent[:, units:-units]
                    + (bias[1, units:-units] if bias.ndim == 2 else 0))
        if bias.ndim == 2:
            hh = np.tanh(inner[:, -units:] + r * (h @ recurrent[:, -units:] + bias[1, -units:]))
        else:
            hh = np.tanh(inner[:, -units:] + (r * h) @ recurrent[:, -units:])
        h = z * h + (1 - z) * hh
        outputs.append(h)
    return np.stack(outputs)


def run_dense(layer, x):
    kernel, bias = (value.astype("f8") for _, value in layer["variables"])
    return x @ kernel + bias


def run_tagger(layers, x):
    """x [T, B, 1] of indexes."""
    embedding, _, first, second, norm_layer, last = layers
    y = run_gru(second["variables"], run_gru(first["variables"], embedding["variables"][0][1].astype("f8")[x[..., 0].astype(int)]))
    gamma, beta = (value for _, value in norm_layer["variables"])
    y = (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + 1e-3) * gamma + beta
    e = np.exp(run_dense(last, y))
    return e / e.sum(-1, keepdims=True)


def run_sensor(layers, x, keras=2):
    """x [T, B, 3]; the last step's [B, 2]."""
    normal, first, inner, _, outer, batch, last = layers
    mean, variance = (value.astype("f8") for _, value in normal["variables"])
    wide = np.maximum(run_dense(first, (x - mean) / np.sqrt(variance)), 0)
    joined = np.concatenate([wide, run_gru(inner["variables"], wide)], axis=-1)
    y = run_gru(outer["variables"], joined)[-1]
    gamma, beta, mean, variance = (value.astype("f8") for _, value in batch["variables"])
    y = run_dense(last, (y - mean) / np.sqrt(variance + 1e-3) * gamma + beta)
    return np.clip(0.2 * y + 0.5 if keras == 2 else y / 6 + 0.5, 0, 1)


# The files.

def sequential_config(layers):
    described = [{"class_name": "InputLayer", "config": {"name": "input_1"}}]
    described += [{"class_name": each["class_name"], "config": each["config"]} for each in layers]
    return {"class_name": "Sequential", "config": {"name": "sequential", "layers": described}}


def functional_config(layers, sources, keras=2):
    described = [{"class_name": "InputLayer", "name": "input_1", "config": {"name": "input_1"}, "inbound_nodes": []}]
    for each, names in zip(layers, sources):
        if keras == 2:
            nodes = [[[name, 0, 0, {}] for name in names]]
        else:
            tensors = [{"class_name": "__keras_tensor__", "config": {"shape": [None], "keras_history": [n, 0, 0]}} for n in names]
            nodes = [{"args": [tensors] if len(tensors) > 1 else tensors, "kwargs": {"mask": None}}]
        described.append({"class_name": each["class_name"], "name": each["config"]["name"], "config": each["config"],
                          "inbound_nodes": nodes})
    last = layers[-1]["config"]["name"]
    outputs = [[last, 0, 0]] if keras == 2 else [last, 0, 0]
    return {"class_name": "Functional", "config": {"name": "model", "layers": described, "output_layers": outputs}}


def _legacy_name(each, role):
    name = each["config"]["name"]
    way, _, own = role.rpartition("/")
    if way:
        return f"{name}/{way}_gru/gru_cell/{own}:0"
    return f"{name}/gru_cell/{role}:0" if each["class_name"] == "GRU" else f"{name}/{role}:0"


def _write_legacy(group, layers):
    group.attrs["layer_names"] = [each["config"]["name"].encode() for each in layers]
    group.attrs["backend"], group.attrs["keras_version"] = b"tensorflow", b"2.12.0"
    for each in layers:
        inner = group.create_group(each["config"]["name"])
        names = [_legacy_name(each, role) for role, _ in each["variables"]]
        inner.attrs["weight_names"] = [name.encode() for name in names]
        for name, (_, value) in zip(names, each["variables"]):
            inner.create_dataset(name, data=value)


def write_legacy_model(h5py, file, layers, config):
    with h5py.File(file, "w") as h5:
        h5.attrs["keras_version"], h5.attrs["backend"] = b"2.12.0", b"tensorflow"
        h5.attrs["model_config"] = json.dumps(config).encode()
        _write_legacy(h5.create_group("model_weights"), layers)
        h5.create_group("optimizer_weights")


def write_legacy_weights(h5py, file, layers):
    with h5py.File(file, "w") as h5:
        _write_legacy(h5, layers)


def write_keras3_weights(h5py, file, layers):
    with h5py.File(file, "w") as h5:
        counts = {}
        for each in layers:
            base = re.sub(r"([a-z])([A-Z])", r"\1_\2", each["class_name"]).lower()
            counts[base] = counts.get(base, -1) + 1
            group = h5.create_group("layers/" + (f"{base}_{counts[base]}" if counts[base] else base))
            group.create_group("vars").attrs["name"] = each["config"]["name"]
            numbers = {}
            for role, value in each["variables"]:
                way = role.rpartition("/")[0]
                place = {"GRU": "cell/vars", "Bidirectional": f"{way}_layer/cell/vars"}.get(each["class_name"], "vars")
                number = numbers.setdefault(place, 0)
                numbers[place] += 1
                group.create_dataset(f"{place}/{number}", data=value)
            if each["class_name"] in ("Dropout", "GRU"):
                group.create_dataset("seed_generator/vars/0", data=np.array([1, 2], "u4"))
        h5.create_group("optimizer/vars")


def write_keras3_archive(h5py, file, layers, config):
    data = io.BytesIO()
    write_keras3_weights(h5py, data, layers)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.5.0"}))
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", data.getvalue())
