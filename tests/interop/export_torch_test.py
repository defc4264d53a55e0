#!/usr/bin/env python3
"""gruserve-export of PyTorch networks: written, served by the real server, compared with torch itself.

usage: export_torch_test.py SERVER_BINARY PYTHON_PACKAGE
"""
import contextlib
import copy
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

SERVER, PACKAGE = (pathlib.Path(argument).resolve() for argument in sys.argv[1:3])
sys.path.insert(0, str(PACKAGE))
sys.dont_write_bytecode = True
try:
    import torch
except ModuleNotFoundError:
    print("SKIPPED: PyTorch is not installed (Debian: python3-torch)")
    sys.exit(77)

import numpy as np  # noqa: E402

import export_networks as networks  # noqa: E402
import gruserve  # noqa: E402
from gruserve.export import safetensors  # noqa: E402
from gruserve.export.command import main  # noqa: E402
from gruserve.export.server_process import running  # noqa: E402

NAMES = ("gru", "wide", "cell", "tagger", "sensor", "skips", "cells", "backbone", "shapes")
BATCH_FIRST = {"gru", "tagger", "sensor", "skips", "shapes"}
STEPS, BATCH = 24, 3


class Harness(unittest.TestCase):
    """A repository of its own, and the command run in this process."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        self.repository = self.root / "models"

    def export(self, source, *options, name="m", check=False):
        """Exit code, stdout, stderr."""
        argv = [str(source), "--repository", str(self.repository), "--name", name, *map(str, options)]
        if check:
            argv += ["--server-binary", str(SERVER)]
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(argv)
        return code, out.getvalue(), err.getvalue()

    def assert_refused(self, run, pattern, code=2):
        self.assertEqual(run[0], code, run)
        self.assertRegex(run[2], pattern)
        left = [str(path) for path in self.repository.rglob("*")] if self.repository.exists() else []
        self.assertEqual(left, [], "nothing is written")

    def save(self, file, value):
        torch.save(value, self.root / file)
        return self.root / file


class Served(Harness):
    """What is exported gives torch's numbers; the client here is apart from the command's own check."""

    def expected(self, name, x):
        """The network in double precision, stepped where it is made of cells: [T, B, O], sensor [B, 1]."""
        module = copy.deepcopy(getattr(networks, name)).double()
        with torch.no_grad():
            value = torch.from_numpy(x[..., 0].astype("i8") if name == "tagger" else x.astype("f8"))
            if name == "cell":
                state, rows = torch.zeros(BATCH, 8, dtype=torch.float64), []
                for row in value:
                    rows.append(state := module(row, state))
            elif name == "cells":
                states, rows = [torch.zeros(BATCH, 8, dtype=torch.float64)] * 2, []
                for row in value:
                    output, states = module(row, states)
                    rows.append(output)
            else:
                output = module(value.transpose(0, 1) if name in BATCH_FIRST else value)
                output = output[0] if isinstance(output, tuple) else output
                return output.unsqueeze(-1) if name == "sensor" else self.time_first(name, output)
            return torch.stack(rows)

    @staticmethod
    def time_first(name, output):
        return output.transpose(0, 1) if name in BATCH_FIRST else output

    def test_all_networks_as_sequence_and_in_steps(self):
        for name in NAMES:
            code, out, err = self.export(f"export_networks:{name}", name=name)
            self.assertEqual(code, 0, err)
            self.assertIn("NOT CHECKED", out)
        random = np.random.default_rng(3)
        with running(SERVER, self.repository) as address, gruserve.Client(address) as client:
            for name in NAMES:
                size = client.describe(name).input_size
                x = random.standard_normal((STEPS, BATCH, size)).astype("f4")
                if name == "tagger":
                    x = random.integers(0, 50, (STEPS, BATCH, 1)).astype("f4")
                expected = self.expected(name, x).numpy()
                y = client.infer_sequence(name, x)
                served = y[-1] if name == "sensor" else y
                self.assertEqual(served.shape, expected.shape, name)
                error = np.abs(served - expected).max()
                self.assertLess(error, 1e-6 * max(1, np.abs(expected).max()), name)
                print(f"{name}: largest difference to float64 {error:.3g}")
                if client.describe(name).steppable:
                    with client.open_session(name, batch_size=BATCH) as session:
                        self.assertEqual(np.stack([session.step(row) for row in x]).tobytes(), y.tobytes(), name)

    def test_random_networks(self):
        made = {f"random-{seed}": networks.Random(seed, both=seed % 3 == 0).eval() for seed in range(20)}
        for seed, (name, module) in enumerate(made.items()):
            kwargs = ["--kwargs", json.dumps({"seed": seed, "both": seed % 3 == 0}), "--input-size", module.size]
            code, _, err = self.export("export_networks:Random", *kwargs, name=name)
            self.assertEqual(code, 0, f"{name}: {err} {module.plan}")
        worst = 0
        with running(SERVER, self.repository) as address, gruserve.Client(address) as client:
            for name, module in made.items():
                x = torch.randn(STEPS, BATCH, module.size)
                y = client.infer_sequence(name, x.numpy())
                value = x.double().transpose(0, 1) if module.batch_first else x.double()
                expected = module.double()(value).detach()
                expected = (expected.transpose(0, 1) if module.batch_first else expected).numpy()
                error = np.abs(y - expected).max() / max(1, np.abs(expected).max())
                self.assertLess(error, 5e-6, f"{name}: {module.plan}")
                worst = max(worst, error)
                if client.describe(name).steppable:
                    with client.open_session(name, batch_size=BATCH) as session:
                        self.assertEqual(np.stack([session.step(row.numpy()) for row in x]).tobytes(), y.tobytes(), name)
        print(f"random networks: largest difference to float64 {worst:.3g}, of the largest output")

    def test_several_inputs(self):
        self.assert_refused(self.export("export_networks:inputs"), 'how many features "relu" has, "cat" must know: say --input-size ARGUMENT=N')
        code, out, err = self.export("export_networks:inputs", "--input-size", "features=5", check=True)
        self.assertEqual(code, 0, err)
        self.assertIn("input [32, 3, 7]", out)
        self.assertIn("bit for bit", out)
        config = json.loads((self.repository / "m/1/model.json").read_text())
        self.assertEqual([each["name"] for each in config["inputs"]], ["input", "features", "who"])
        x = np.random.default_rng(2).standard_normal((STEPS, BATCH, 7)).astype("f4")
        x[..., 0], x[..., 6] = 10, 2
        parts = torch.from_numpy(x).transpose(0, 1)
        own = networks.inputs(parts[..., 0].long(), parts[..., 1:6], parts[..., 6].long())[0].transpose(0, 1)
        with running(SERVER, self.repository) as address, gruserve.Client(address) as client:
            self.assertLess(np.abs(client.infer_sequence("m", x) - own.detach().numpy()).max(), 1e-6)

    def test_rows_of_several_lengths(self):
        for name in ("ragged", "ragged_last"):
            code, out, err = self.export(f"export_networks:{name}", name=name, check=True)
            self.assertEqual(code, 0, err)
            self.assertRegex(out, r"rows of \[32, \d+, \d+\] steps")
            self.assertRegex(out, r"one sequence:  largest difference \S+e-0[789] ")
        self.assertIn("bit for bit", out)
        x = np.random.default_rng(2).standard_normal((STEPS, BATCH, 3)).astype("f4")
        lengths = [STEPS, 9, 2]
        expected = copy.deepcopy(networks.ragged).double()(torch.from_numpy(x.astype("f8")).transpose(0, 1), torch.tensor(lengths))
        last = copy.deepcopy(networks.ragged_last).double()(torch.from_numpy(x.astype("f8")), torch.tensor(lengths))
        with running(SERVER, self.repository) as address, gruserve.Client(address) as client:
            y = client.infer_sequence("ragged", x, lengths=lengths).transpose(1, 0, 2)
            for row, length in enumerate(lengths):
                self.assertLess(np.abs(y[row, :length] - expected[row, :length].detach().numpy()).max(), 1e-6)
            y = client.infer_sequence("ragged_last", x, lengths=lengths, last=True)
            self.assertLess(np.abs(y - last.detach().numpy()).max(), 1e-6)

    def test_a_real_trained_network(self):
        data = pathlib.Path(__file__).parents[1] / "data/opus_lossgen"
        weights, recorded = data / "model.safetensors", safetensors.read(data / "steps.safetensors")
        code, out, err = self.export("export_networks:LossGen", "--weights", weights, name="lossgen", check=True)
        self.assertEqual(code, 0, err)
        self.assertIn("bit for bit", out)
        with running(SERVER, self.repository) as address, gruserve.Client(address) as client:
            y = client.infer_sequence("lossgen", recorded["x"])
        error = np.abs(y - recorded["y64"]).max()
        self.assertLess(error, 2e-6)
        print(f"lossgen: largest difference to float64 {error:.3g}")

    def test_the_check_prints_both_differences(self):
        code, out, err = self.export("export_networks:tagger", check=True)
        self.assertEqual(code, 0, err)
        self.assertRegex(out, r"one sequence:  largest difference \S+e-0[678] ")
        self.assertRegex(out, r"step by step:  largest difference \S+e-0[678] ")
        self.assertIn("equal, bit for bit", out)
        self.assertIn("Embedding, GRU, LayerNorm, Linear, LogSoftmax", out)
        print(out)

    def test_the_check_says_what_cannot_step(self):
        code, out, err = self.export("export_networks:wide", check=True)
        self.assertEqual(code, 0, err)
        self.assertRegex(out, "step by step:  not run, .*bidirectional")

    def test_a_check_beyond_the_tolerance_publishes_nothing(self):
        run = self.export("export_networks:gru", "--tolerance", "1e-12", check=True)
        self.assert_refused(run, "the check failed", code=1)

    def test_a_running_server(self):
        self.assertEqual(self.export("export_networks:gru", name="gru")[0], 0)
        with running(SERVER, self.repository) as address:
            code, out, err = self.export("export_networks:gru", "--force", "--server", address, name="gru")
            self.assertEqual(code, 0, err)
            self.assertIn("bit for bit", out)
            code, _, err = self.export("export_networks:gru", "--server", address, name="other")
            self.assertEqual(code, 1)
            self.assertRegex(err, 'NOT_FOUND: .*"other".*restart it')

    def test_input_of_ones_own(self):
        np.save(self.root / "x.npy", np.full((9, 3), 0.5))
        code, out, err = self.export("export_networks:sensor", "--input", self.root / "x.npy", check=True)
        self.assertEqual(code, 0, err)
        self.assertIn("input [9, 1, 3]", out)
        self.assertIn("left out, since forward does not use them: unused.weight, unused.bias", out)
        self.assertIn("ask the server for the last output", out)


class Files(Harness):
    """state_dicts, checkpoints and pickles."""

    def test_state_dict_and_checkpoint(self):
        state = networks.gru.state_dict()
        for number, value in enumerate((state, {"epoch": 3, "model_state_dict": state}), 1):
            file = self.save("gru.pt", value)
            code, _, err = self.export(file, "--version", "next", check=True)
            self.assertEqual(code, 0, err)
            self.assertEqual([p.name for p in (self.repository / "m" / str(number)).iterdir()], ["model.safetensors"])

    def test_safetensors(self):
        file = self.root / "gru.safetensors"
        safetensors.write(file, {name: tensor.numpy() for name, tensor in networks.gru.state_dict().items()})
        code, _, err = self.export(file, check=True)
        self.assertEqual(code, 0, err)
        self.assertEqual((self.repository / "m/1/model.safetensors").read_bytes(), file.read_bytes())

    def test_class_with_weights_and_arguments(self):
        torch.manual_seed(5)
        file = self.save("net.pt", networks.Tagger(words=9, hidden=4).state_dict())
        kwargs = ["--kwargs", '{"words": 9, "hidden": 4}']
        code, _, err = self.export("export_networks:Tagger", "--weights", file, *kwargs, check=True)
        self.assertEqual(code, 0, err)
        run = self.export("export_networks:Tagger", "--weights", file, name="other")
        self.assertEqual(run[0], 2)
        self.assertRegex(run[2], "net.pt does not fit export_networks:Tagger")

    def test_state_dict_with_a_model_json_by_hand(self):
        file = self.save("tagger.pt", networks.tagger.state_dict())
        description = self.root / "model.json"
        self.assertEqual(self.export("export_networks:tagger", name="traced")[0], 0)
        traced = json.loads((self.repository / "traced/1/model.json").read_text())
        description.write_text(json.dumps({**traced, "compute_dtype": "f32"}))
        code, out, err = self.export(file, "--model-json", description, check=True)
        self.assertEqual(code, 0, err)
        self.assertIn("bit for bit", out)
        self.assertEqual(json.loads((self.repository / "m/1/model.json").read_text())["compute_dtype"], "f32")
        description.write_text("{")
        self.assertEqual(self.export(file, "--model-json", description, name="bad")[0], 2)

    def test_a_pickled_module_needs_trust(self):
        file = self.save("whole.pt", networks.skips)
        self.assert_refused(self.export(file), "runs whatever code the file names.*--trust-pickle")
        code, _, err = self.export(file, "--trust-pickle", check=True)
        self.assertEqual(code, 0, err)

    def test_a_hostile_pickle_runs_nothing(self):
        class Hostile:
            def __reduce__(self):
                return os.mkdir, (str(witness),)

        witness = self.root / "ran"
        self.assert_refused(self.export(self.save("evil.pt", {"weight_ih": Hostile()})), "more than tensors")
        self.assertFalse(witness.exists())

    def test_files_that_are_none(self):
        cases = {
            "noise.safetensors": (b"abcdef" * 20, "is not a safetensors file"),
            "missing.pt": (None, "is not there"),
            "noise.pt": (b"abcdef" * 20, "is not a file of torch.save"),
            "empty.pt": (b"", "is not a file of torch.save"),
        }
        for name, (data, pattern) in cases.items():
            if data is not None:
                (self.root / name).write_bytes(data)
            self.assert_refused(self.export(self.root / name), pattern)
        self.assert_refused(self.export(self.root), "is not a file")
        torch.jit.script(torch.nn.Linear(2, 2)).save(str(self.root / "script.pt"))
        self.assert_refused(self.export(self.root / "script.pt"), "is TorchScript")

    def test_state_dicts_that_are_no_gru(self):
        cases = [
            (torch.nn.Linear(2, 2).state_dict(), r'"weight" \(tensor\).*--model-json'),
            (torch.nn.LSTM(2, 2).state_dict(), r'"weight_hh_l0".*four gates are an LSTM'),
            ({"a": {"w": torch.ones(1)}, "b": {"w": torch.ones(1)}}, "without one single state_dict.*keys: a, b"),
            ([torch.ones(1)], "holds a list"),
            ({"weight_hh_l0": torch.ones(3, 1)}, "no weight_ih_l0"),
        ]
        for value, pattern in cases:
            self.assert_refused(self.export(self.save("s.pt", value)), pattern)

    def test_weights_that_are_not_numbers(self):
        state = {name: tensor.clone() for name, tensor in networks.gru.state_dict().items()}
        state["weight_hh_l1"][2, 3] = float("nan")
        self.assert_refused(self.export(self.save("nan.pt", state)), '"weight_hh_l1" holds NaN')


class Refused(Harness):
    """What cannot be expressed is named; nothing is written."""

    def test_by_name(self):
        cases = {
            "Convolution": r'"front\.1" \(Conv1d\).*mixes time steps.*ONNX',
            "LongMemory": r'"memory" \(LSTM\).*gruserve hosts GRUs',
            "Reversed": r'"flip" \(flip\)',
            "Softest": r'"softmax" \(Softmax\).*dim is 0',
            "RaggedMistake": "with padded rows it is not the last step of each",
            "TwoHeads": "returns more than one output",
            "Branching": r"cannot be traced \(TraceError.*--model-json",
            "Sneaky": "gives other numbers than the network itself",
            "NoGru": "NoGru has no GRU",
            "broken": "RuntimeError: no weights today",
            "not_a_module": "gives a int, expected a torch.nn.Module",
            "absent": "AttributeError",
        }
        for name, pattern in cases.items():
            self.assert_refused(self.export(f"export_networks:{name}"), pattern)
        self.assert_refused(self.export("no_such_module:x"), "ModuleNotFoundError")

    def test_usage(self):
        source = "export_networks:gru"
        self.assert_refused(self.export(source, name="../up"), '--name is "../up"')
        self.assert_refused(self.export(source, "--version", "01"), '--version is "01"')
        self.assert_refused(self.export(source, "--steps", "0"), "--steps and --batch are at least 1")
        self.assert_refused(self.export(source, "--input", self.root / "x.npy"), "x.npy")
        self.assert_refused(self.export(source, "--layer", "gru"), "--layer: not for a network of PyTorch")
        self.assert_refused(self.export(source, "--kwargs", '{"a": 1}'), "takes no --kwargs")
        file = self.save("gru.pt", networks.gru.state_dict())
        self.assert_refused(self.export(file, "--weights", file), "--weights are loaded into a module")
        run = self.export(source, "--server-binary", self.root / "nothing")
        self.assert_refused(run, "nothing cannot be started")

    def test_an_existing_version_needs_force(self):
        self.assertEqual(self.export("export_networks:gru")[0], 0)
        file = self.repository / "m/1/model.safetensors"
        before = file.read_bytes()
        code, _, err = self.export("export_networks:wide")
        self.assertEqual((code, file.read_bytes()), (2, before))
        self.assertRegex(err, "m/1 is there already: .*--force")
        self.assertEqual(self.export("export_networks:wide", "--force")[0], 0)
        self.assertNotEqual(file.read_bytes(), before)
        self.assertEqual([p.name for p in self.repository.iterdir()], ["m"], "no temporary folder is left")


class Command(unittest.TestCase):
    """As a program of its own."""

    def test_help_teaches(self):
        run = subprocess.run([sys.executable, "-B", PACKAGE / "gruserve-export", "--help"], capture_output=True, text=True)
        self.assertEqual(run.returncode, 0, run.stderr)
        for part in ("examples:", "--server-binary", "--trust-pickle", "exit codes"):
            self.assertIn(part, run.stdout)

    def test_as_a_module(self):
        with tempfile.TemporaryDirectory() as folder:
            run = subprocess.run(
                [sys.executable, "-B", "-m", "gruserve.export", "export_networks:tagger", "--repository", folder,
                 "--name", "tagger", "--server-binary", SERVER],
                capture_output=True, text=True, cwd=pathlib.Path(__file__).parent,
                env={**os.environ, "PYTHONPATH": str(PACKAGE)})
            self.assertEqual(run.returncode, 0, run.stderr)
            self.assertIn("bit for bit", run.stdout)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
