#!/usr/bin/env python3
"""gruserve-export of the files that Keras 2 and Keras 3 write, through the command and the real server.

usage: export_keras_files_test.py SERVER_BINARY PYTHON_PACKAGE
"""
import contextlib
import io
import json
import pathlib
import sys
import tempfile
import unittest
import zipfile

SERVER, PACKAGE = (pathlib.Path(argument).resolve() for argument in sys.argv[1:3])
sys.path.insert(0, str(PACKAGE))
sys.dont_write_bytecode = True
try:
    import h5py
except ModuleNotFoundError:
    print("SKIPPED: h5py is not installed (Debian: python3-h5py)")
    sys.exit(77)

import numpy as np  # noqa: E402

import gruserve  # noqa: E402
import keras_models as keras  # noqa: E402
from gruserve.export.command import main  # noqa: E402
from gruserve.export.server_process import running  # noqa: E402


class Harness(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        self.repository = self.root / "models"

    def export(self, file, *options, name="m"):
        """Exit code, stdout, stderr; with a check by a server of its own."""
        argv = [str(file), "--repository", str(self.repository), "--name", name, "--server-binary", str(SERVER)]
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main([*argv, *map(str, options)])
        return code, out.getvalue(), err.getvalue()

    def assert_refused(self, run, pattern):
        self.assertEqual(run[0], 2, run)
        self.assertRegex(run[2], pattern)
        self.assertFalse(self.repository.exists() and list(self.repository.rglob("*")), "nothing is written")


class Layouts(Harness):
    """The same network from each kind of file gives the same repository entry, and Keras's numbers."""

    def check(self, files, x, expected):
        for name, options in files.items():
            code, out, err = self.export(self.root / name, *options, name=name)
            self.assertEqual(code, 0, f"{name}: {err}")
            self.assertIn("equal, bit for bit", out)
            print(name, out.split("allowed")[0].splitlines()[-1])
        first = (self.repository / next(iter(files)) / "1/model.safetensors").read_bytes()
        with running(SERVER, self.repository) as address, gruserve.Client(address) as client:
            for name in files:
                self.assertEqual((self.repository / name / "1/model.safetensors").read_bytes(), first, name)
                y = client.infer_sequence(name, x)
                self.assertLess(np.abs((y if expected.ndim == 3 else y[-1]) - expected).max(), 1e-6, name)

    def test_a_sequential_model(self):
        layers = keras.tagger()
        config = keras.sequential_config(layers)
        keras.write_legacy_model(h5py, self.root / "whole.h5", layers, config)
        keras.write_legacy_weights(h5py, self.root / "weights.h5", layers)
        keras.write_keras3_weights(h5py, self.root / "three.weights.h5", layers)
        keras.write_keras3_archive(h5py, self.root / "three.keras", layers, config)
        (self.root / "config.json").write_text(json.dumps(config))
        described = ["--keras-config", self.root / "config.json"]
        listed = ["--layer=embedding", "--layer=gru", "--layer=gru_1", "--layer=layer_normalization",
                  "--layer=dense,activation=softmax"]
        x = np.random.default_rng(1).integers(0, 20, (15, 2, 1)).astype("f4")
        files = {"whole.h5": [], "three.keras": [], "weights.h5": described, "three.weights.h5": described}
        self.check(files, x, keras.run_tagger(layers, x))
        for name in ("weights.h5", "three.weights.h5"):
            code, _, err = self.export(self.root / name, *listed, name=f"listed-{name}")
            self.assertEqual(code, 0, err)
            self.assertEqual((self.repository / f"listed-{name}/1/model.safetensors").read_bytes(),
                             (self.repository / "whole.h5/1/model.safetensors").read_bytes())

    def test_a_functional_model(self):
        layers, sources = keras.sensor()
        x = 5 + np.random.default_rng(1).standard_normal((15, 2, 3)).astype("f4")
        keras.write_legacy_model(h5py, self.root / "two.h5", layers, keras.functional_config(layers, sources))
        self.check({"two.h5": []}, x, keras.run_sensor(layers, x.astype("f8"), 2))
        keras.write_keras3_archive(h5py, self.root / "three.keras", layers, keras.functional_config(layers, sources, 3))
        self.check({"three.keras": []}, x, keras.run_sensor(layers, x.astype("f8"), 3))

    def test_one_gru_of_either_kind(self):
        x = np.random.default_rng(1).standard_normal((15, 2, 3)).astype("f4")
        for after in (True, False):
            layers = [keras.gru("my_gru", 3, 6, reset_after=after)]
            keras.write_legacy_weights(h5py, self.root / f"two{after}.h5", layers)
            keras.write_keras3_weights(h5py, self.root / f"three{after}.weights.h5", layers)
            expected = keras.run_gru(layers[0]["variables"], x.astype("f8"))
            self.check({f"two{after}.h5": []}, x, expected)
            self.check({f"three{after}.weights.h5": []}, x, expected)

    def test_both_directions(self):
        layers = [keras.bidirectional("both", 3, 4, reset_after=False), keras.dense("dense", 8, 2)]
        keras.write_legacy_model(h5py, self.root / "two.h5", layers, keras.sequential_config(layers))
        keras.write_keras3_archive(h5py, self.root / "three.keras", layers, keras.sequential_config(layers))
        for name in ("two.h5", "three.keras"):
            code, out, err = self.export(self.root / name, name=name)
            self.assertEqual(code, 0, err)
            self.assertRegex(out, "step by step:  not run.*bidirectional")

    def test_many_layers(self):
        """Keras cuts attributes that are too long into numbered ones."""
        file = self.root / "w.h5"
        keras.write_legacy_weights(h5py, file, [keras.gru("gru", 3, 4), keras.dense("dense", 4, 2)])
        with h5py.File(file, "r+") as h5:
            del h5.attrs["layer_names"]
            h5.attrs["layer_names0"], h5.attrs["layer_names1"] = [b"gru"], [b"dense"]
        self.assertEqual(self.export(file, "--layer=gru", "--layer=dense,activation=tanh")[0], 0)


class Hostile(Harness):
    def model(self):
        layers = [keras.gru("gru", 3, 4)]
        file = self.root / "m.h5"
        keras.write_legacy_model(h5py, file, layers, keras.sequential_config(layers))
        return file

    def test_files_that_are_none(self):
        good = self.model().read_bytes()
        for name, data in {"noise.h5": b"abc" * 99, "empty.h5": b"", "cut.h5": good[:-900], "cut.keras": good[:100]}.items():
            (self.root / name).write_bytes(data)
            self.assert_refused(self.export(self.root / name), f"{name} is no file that Keras saved")
        with zipfile.ZipFile(self.root / "z.keras", "w") as archive:
            archive.writestr("config.json", "{}")
        self.assert_refused(self.export(self.root / "z.keras"), "metadata.json")
        self.assert_refused(self.export(self.root / "absent.h5"), "is not there")
        self.assert_refused(self.export(self.root / "m.h5", "--keras-config", self.root / "absent"), "--keras-config")
        run = self.export(self.root / "m.h5", "--trust-pickle", "--weights", "x")
        self.assert_refused(run, "--weights, --trust-pickle: not for a network of Keras")
        with h5py.File(self.root / "other.h5", "w") as h5:
            h5["data"] = np.ones(3)
        self.assert_refused(self.export(self.root / "other.h5"), "no layers of Keras")

    def test_data_that_lies_elsewhere(self):
        secret = self.root / "secret.h5"
        with h5py.File(secret, "w") as h5:
            h5["kernel"] = h5["folder/kernel:0"] = np.ones((3, 12), "f4")
        layout = h5py.VirtualLayout((3, 12), "f4")
        layout[:] = h5py.VirtualSource(secret, "kernel", (3, 12))
        changes = {
            "external link": lambda group: group.__setitem__("kernel:0", h5py.ExternalLink(secret, "kernel")),
            "external data": lambda group: group.create_dataset("kernel:0", (3, 12), "f4", external=[(secret, 0, 144)]),
            "virtual data": lambda group: group.create_virtual_dataset("kernel:0", layout),
        }
        for name, change in changes.items():
            file = self.model()
            with h5py.File(file, "r+") as h5:
                group = h5["model_weights/gru/gru/gru_cell"]
                del group["kernel:0"]
                change(group)
            with self.subTest(name):
                self.assert_refused(self.export(file), "lies in another file")
        file = self.model()
        with h5py.File(file, "r+") as h5:
            del h5["model_weights/gru/gru/gru_cell"]
            h5["model_weights/gru/gru/gru_cell"] = h5py.ExternalLink(secret, "folder")
        self.assert_refused(self.export(file), "kernel:0 lies in another file")
        file = self.model()
        with h5py.File(file, "r+") as h5:
            del h5["model_weights/gru/gru/gru_cell/kernel:0"]
            h5["model_weights/gru/gru/gru_cell/kernel:0"] = h5py.SoftLink("/model_weights")
        self.assert_refused(self.export(file), "kernel:0 is no dataset")

    def test_data_larger_than_the_file(self):
        file = self.model()
        with h5py.File(file, "r+") as h5:
            group = h5["model_weights/gru/gru/gru_cell"]
            del group["kernel:0"]
            group.create_dataset("kernel:0", (1 << 20, 1 << 20), "f4", chunks=(64, 64))
        self.assert_refused(self.export(file), "is larger than the file")

    def test_weights_that_are_not_floats(self):
        file = self.model()
        with h5py.File(file, "r+") as h5:
            group = h5["model_weights/gru/gru/gru_cell"]
            del group["kernel:0"]
            group["kernel:0"] = np.full((3, 12), b"x")
        self.assert_refused(self.export(file), "expected floats")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
