#!/usr/bin/env python3
"""gruserve-export of Keras networks: what their layers and weights mean, without a file of Keras.

usage: export_keras_test.py SERVER_BINARY PYTHON_PACKAGE
"""
import copy
import pathlib
import sys
import tempfile
import unittest

import numpy as np

SERVER, PACKAGE = (pathlib.Path(argument).resolve() for argument in sys.argv[1:3])
sys.path.insert(0, str(PACKAGE))
sys.dont_write_bytecode = True

import gruserve  # noqa: E402
import keras_models as keras  # noqa: E402
from gruserve.export.entry import Target  # noqa: E402
from gruserve.export.errors import ExportError  # noqa: E402
from gruserve.export.keras_file import KerasFile, snake_case  # noqa: E402
from gruserve.export.keras_source import entry_of  # noqa: E402
from gruserve.export.server_process import running  # noqa: E402

STEPS, BATCH = 20, 3


def file_of(layers, version="2.12.0"):
    """What keras_file.read gives for a file of Keras 2."""
    return KerasFile({each["config"]["name"]: dict(each["variables"]) for each in layers}, counted=False, version=version)


def entry(layers, config=None, options=(), version="2.12.0", ignore_mask=False):
    return entry_of(file_of(layers, version), config or keras.sequential_config(layers), options, ignore_mask)


class Served(unittest.TestCase):
    """Against Keras's equations in float64, which the test has for itself."""

    @classmethod
    def setUpClass(cls):
        random = np.random.default_rng(4)
        floats = lambda size: random.standard_normal((STEPS, BATCH, size)).astype("f4")  # noqa: E731
        cls.cases = {}
        for name, after in (("after", True), ("before", False)):
            gru, x = keras.gru("gru", 3, 8, reset_after=after), floats(3)
            cls.cases[name] = (entry([gru]), x, keras.run_gru(gru["variables"], x.astype("f8")))
            both, last = keras.bidirectional("bidirectional", 3, 4, after), keras.dense("dense", 8, 2, "tanh")
            forward = keras.run_gru(both["variables"], x.astype("f8"), "forward/")
            backward = keras.run_gru(both["variables"], x.astype("f8")[::-1], "backward/")[::-1]
            y = np.tanh(keras.run_dense(last, np.concatenate([forward, backward], axis=-1)))
            cls.cases[f"both_{name}"] = (entry([both, last]), x, y)
        layers = keras.tagger()
        x = random.integers(0, 20, (STEPS, BATCH, 1)).astype("f4")
        cls.cases["tagger"] = (entry(layers), x, keras.run_tagger(layers, x))
        layers, sources = keras.sensor()
        x = 5 + 2 * floats(3)
        for version in (2, 3):
            config = keras.functional_config(layers, sources, version)
            expected = keras.run_sensor(layers, x.astype("f8"), version)
            cls.cases[f"sensor{version}"] = (entry(layers, config, version=f"{version}.5"), x, expected)

    def test_all_as_sequence_and_in_steps(self):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for name, (made, _, _) in self.cases.items():
                target = Target(root, name, 1, False)
                with target.staged(made) as stage:
                    target.publish(stage)
            self.assertFalse((root / "after/1/model.json").exists(), "PyTorch's form needs none")
            with running(SERVER, root) as address, gruserve.Client(address) as client:
                for name, (made, x, expected) in self.cases.items():
                    y = client.infer_sequence(name, x)
                    served = y[-1] if made.last_only else y
                    self.assertEqual(served.shape, expected.shape, name)
                    error = np.abs(served - expected).max()
                    self.assertLess(error, 1e-6, name)
                    print(f"{name}: largest difference to float64 {error:.3g}")
                    np.testing.assert_allclose(made.reference.run(x), expected, atol=1e-12, rtol=0, err_msg=name)
                    self.assertEqual(client.describe(name).steppable, not name.startswith("both"))
                    if not name.startswith("both"):
                        with client.open_session(name, batch_size=BATCH) as session:
                            steps = np.stack([session.step(row) for row in x])
                            self.assertEqual(steps.tobytes(), y.tobytes(), name)

    def test_the_two_grus_are_not_mistaken_for_one_another(self):
        self.assertIsNone(self.cases["after"][0].modules)
        self.assertEqual([m.get("linear_before_reset", True) for m in self.cases["tagger"][0].modules if m["type"] == "GRU"],
                         [True, False])


class Activations(unittest.TestCase):
    """Every layer that does not mix features, one after the other in one network."""

    def test_each(self):
        names = ("relu", "relu6", "leaky_relu", "elu", "gelu", "silu", "sigmoid", "tanh", "softplus", "softmax",
                 "log_softmax", "hard_sigmoid", "linear")
        layers = [keras.dense(f"dense_{name}", 4, 4, name) for name in names]
        layers += [keras.layer("ReLU", "a", max_value=6.0), keras.layer("ReLU", "b", negative_slope=0.25, max_value=None),
                   keras.layer("LeakyReLU", "c", alpha=0.3), keras.layer("ELU", "d", alpha=0.5),
                   keras.layer("Rescaling", "e", scale=3.0, offset=-0.5), keras.layer("Activation", "f", activation="tanh"),
                   keras.layer("Softmax", "g", axis=-1)]
        layers.insert(6, keras.gru("gru", 4, 4))
        made = entry(layers)
        x = made.random_input(np.random.default_rng(0), 9, 2)
        with tempfile.TemporaryDirectory() as folder:
            target = Target(pathlib.Path(folder), "m", 1, False)
            with target.staged(made) as stage, running(SERVER, stage) as address, gruserve.Client(address) as client:
                np.testing.assert_allclose(client.infer_sequence("m", x), made.reference.run(x), atol=1e-6, rtol=0)


class Refused(unittest.TestCase):
    """By the layer's name and class."""

    def assert_refused(self, layers, pattern, config=None, **options):
        with self.assertRaisesRegex(ExportError, pattern):
            entry(layers, config, **options)

    def test_layers(self):
        gru = keras.gru("gru", 3, 4)
        cases = [
            (keras.layer("Conv1D", "conv"), r'"conv" \(Conv1D\)'),
            (keras.layer("LSTM", "memory"), r'"memory" \(LSTM\)'),
            (keras.layer("Softmax", "soft", axis=1), r'"soft" \(Softmax\).*axis is 1'),
            (keras.dense("out", 4, 2, "selu"), r'"out" \(Dense\).*activation is selu'),
            (keras.gru("next", 4, 3, go_backwards=True), "go_backwards is on"),
            (keras.gru("next", 4, 3, recurrent_activation="hard_sigmoid"), "recurrent_activation is hard_sigmoid"),
            (keras.layer("Masking", "mask"), "--ignore-mask"),
            (keras.layer("TimeDistributed", "each", layer={"class_name": "Conv1D"}), "it wraps a Conv1D"),
        ]
        for layer, pattern in cases:
            self.assert_refused([gru, layer], pattern)
        self.assertIn("masks are ignored", entry([gru, keras.layer("Masking", "mask")], ignore_mask=True).notes[0])
        self.assert_refused([keras.dense("only", 3, 2)], "has no GRU")
        last = keras.gru("gru", 3, 4, return_sequences=False)
        self.assert_refused([last, keras.gru("next", 4, 4)], r'"next" \(GRU\).*last time step only')

    def test_weights(self):
        gru = keras.gru("gru", 3, 4)
        wrong = copy.deepcopy(gru)
        wrong["config"]["reset_after"] = False
        self.assert_refused([wrong], "reset_after of the GRU .gru. is False, its bias has 2 dimensions")
        bare = keras.gru("gru", 3, 4, use_bias=False)
        del bare["config"]["reset_after"]
        self.assert_refused([bare], "has no bias.*--layer")
        for role, value, pattern in (
            ("recurrent_kernel", keras.weights(4, 16), "four gates are an LSTM"),
            ("kernel", keras.weights(3, 11), "not a GRU"),
            ("bias", keras.weights(2, 11), "not a GRU"),
            ("kernel", keras.weights(12), "has 1 dimensions"),
        ):
            changed = {**gru, "variables": [(r, value if r == role else v) for r, v in gru["variables"]]}
            self.assert_refused([changed], pattern)
        self.assert_refused([{**gru, "variables": gru["variables"][1:]}], "has no weight kernel in the file")

    def test_models(self):
        gru = keras.gru("gru", 3, 4)
        self.assert_refused([gru], "the model is a Custom", {"class_name": "Custom", "config": {}})
        self.assert_refused([gru], "the model has no layers", {"class_name": "Sequential", "config": {"layers": []}})
        self.assert_refused([gru], "none that Keras writes", {"class_name": "Sequential", "config": {"layers": [3]}})
        two = keras.functional_config([gru], [["input_1"]])
        two["config"]["layers"].insert(0, {"class_name": "InputLayer", "config": {"name": "other"}})
        self.assert_refused([gru], "several inputs", two)
        shared = keras.functional_config([gru], [["input_1"]])
        shared["config"]["layers"][1]["inbound_nodes"] *= 2
        self.assert_refused([gru], r'"gru" \(GRU\).*called 2 times', shared)
        state = keras.functional_config([gru], [["input_1"]])
        state["config"]["layers"][1]["inbound_nodes"][0][0][3] = {"initial_state": [["x", 0, 0]]}
        self.assert_refused([gru], "takes more than its input: initial_state", state)


class WeightsAlone(unittest.TestCase):
    def test_options(self):
        layers = [keras.gru("gru", 3, 4, reset_after=False), keras.dense("dense", 4, 2)]
        found = file_of(layers)
        made = entry_of(found, None, ["gru", "drop:Dropout", "dense,activation=softmax"], False)
        self.assertEqual([module["type"] for module in made.modules], ["GRU", "Linear", "Softmax"])
        self.assertFalse(made.modules[0]["linear_before_reset"])
        cases = [
            ([], r"--layer dense,activation=softmax. Layers with weights: gru \(GRU\), dense \(Dense\)"),
            (["gru"], "no --layer names the weights of: dense"),
            (["gru", "dense,softmax"], "expected OPTION=VALUE"),
            (["gru", "fc"], '--layer "fc" is not in the file'),
        ]
        for options, pattern in cases:
            with self.assertRaisesRegex(ExportError, pattern):
                entry_of(found, None, options, False)

    def test_one_gru_needs_none(self):
        self.assertIsNone(entry_of(file_of([keras.gru("gru", 3, 4)]), None, [], False).modules)
        bare = file_of([keras.gru("gru", 3, 4, use_bias=False)])
        made = entry_of(bare, None, ["gru,reset_after=false,use_bias=false"], False)
        self.assertEqual(made.modules, [{"type": "GRU", "prefix": "gru", "linear_before_reset": False}])

    def test_names_of_keras_3(self):
        for name, snake in (("GRU", "gru"), ("LayerNormalization", "layer_normalization"), ("ReLU", "re_lu")):
            self.assertEqual(snake_case(name), snake)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
