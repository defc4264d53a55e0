#!/usr/bin/env python3
"""The Python package's client against the real server, and what of the export needs neither torch nor h5py.

usage: python_package_test.py SERVER_BINARY PYTHON_PACKAGE
"""
import ast
import pathlib
import subprocess
import sys
import tempfile
import unittest

import numpy as np

SERVER, PACKAGE = (pathlib.Path(argument).resolve() for argument in sys.argv[1:3])
sys.path.insert(0, str(PACKAGE))
sys.dont_write_bytecode = True

import gruserve  # noqa: E402
from gruserve.export import safetensors  # noqa: E402
from gruserve.export.check import CheckResult  # noqa: E402
from gruserve.export.errors import ExportError  # noqa: E402
from interop_server import HIDDEN, INPUT, LAYERS, InteropServer, reference_gru  # noqa: E402


class ClientTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = InteropServer(str(SERVER))
        cls.client = gruserve.Client(cls.server.address)
        cls.random = np.random.default_rng(5)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.server.stop()

    def floats(self, *shape):
        return self.random.uniform(-1, 1, shape).astype("f4")

    def test_sequence(self):
        x, h_0 = self.floats(9, 2, INPUT), self.floats(LAYERS, 2, HIDDEN)
        y, h_n = self.client.infer_sequence_states("gru", x, h_0=h_0)
        expected, expected_h_n = reference_gru(self.server.weights, x, h_0)
        np.testing.assert_allclose(y, expected, atol=1e-6, rtol=0)
        np.testing.assert_allclose(h_n, expected_h_n, atol=1e-6, rtol=0)
        turned = self.client.infer_sequence("gru", x.transpose(1, 0, 2), h_0=h_0, batch_first=True)
        self.assertEqual(turned.transpose(1, 0, 2).tobytes(), y.tobytes())
        last = self.client.infer_sequence("gru", x, h_0=h_0, last=True)
        self.assertEqual(last.tobytes(), y[-1].tobytes())

    def test_ragged_rows(self):
        x = self.floats(6, 2, INPUT)
        y, h_n = self.client.infer_sequence_states("gru", x, lengths=[6, 4])
        alone = self.client.infer_sequence("gru", x[:4, 1])
        self.assertEqual(y[:4, 1].tobytes(), alone.tobytes())
        self.assertEqual(h_n[-1, 1].tobytes(), alone[-1].tobytes())

    def test_steps_chunks_and_reset_have_the_bits_of_the_sequence(self):
        x = self.floats(12, INPUT)
        y = self.client.infer_sequence("gru", x)
        with self.client.open_session("gru", session_id="mine") as session:
            self.assertEqual(session.session_id, "mine")
            rows = [session.step(row) for row in x[:5]] + list(session.step(x[5:9]))
            self.assertEqual(session.next_step, 10)
            rows += [session.step(row) for row in x[9:]]
            self.assertEqual(np.stack(rows).tobytes(), y.tobytes())
            session.reset()
            self.assertEqual(session.step(x[0]).tobytes(), y[0].tobytes())
            h_0 = self.floats(LAYERS, HIDDEN)
            session.reset(h_0)
            self.assertEqual(session.step(x[:3]).tobytes(), self.client.infer_sequence("gru", x[:3], h_0=h_0).tobytes())

    def test_a_rewound_session_goes_on_from_there(self):
        x = self.floats(5, INPUT)
        y = self.client.infer_sequence("gru", x)
        with self.client.open_session("gru", keep_states=3) as session:
            for row in x:
                session.step(row)
            session.rewind(3)
            self.assertEqual(session.next_step, 7)
            self.assertEqual(session.step(x[3]).tobytes(), y[3].tobytes())
            with self.assertRaisesRegex(gruserve.StepError, r"rewind_to is 2, states are kept after steps 5, 6, 7"):
                session.rewind(2)

    def test_a_batched_session_beside_another(self):
        x = self.floats(7, 3, INPUT)
        y = self.client.infer_sequence("gru", x)
        with self.client.open_session("gru", batch_size=3) as batch, self.client.open_session("gru") as one:
            for step, row in enumerate(x):
                self.assertEqual(batch.step(row).tobytes(), y[step].tobytes())
                self.assertEqual(one.step(row[1]).tobytes(), y[step, 1].tobytes())

    def test_copies_go_on_bit_for_bit_and_apart(self):
        x = self.floats(6, INPUT)
        y = self.client.infer_sequence("gru", x)
        with self.client.open_session("gru", session_id="origin") as session:
            session.step(x[:3])
            checkpoint = self.client.export_session("origin")
            copies = [self.client.import_session(checkpoint, session_id="copy"), *self.client.fork_session("origin", 2)]
            session.step(x[5])
        self.assertEqual((copies[0], len(set(copies))), ("copy", 3))
        for session_id in copies:
            with self.client.open_session("gru", session_id=session_id, resume=True) as session:
                self.assertEqual(session.next_step, 4)
                self.assertEqual(session.step(x[3:]).tobytes(), y[3:].tobytes())
        with self.assertRaisesRegex(gruserve.GruserveError, "checkpoint"):
            self.client.import_session(b"nonsense")

    def test_an_error_leaves_the_session_usable(self):
        x = self.floats(3, INPUT)
        with self.client.open_session("gru") as session:
            session.step(x[0])
            with self.assertRaises(gruserve.StepError) as raised:
                session.step(self.floats(INPUT + 1))
            self.assertEqual((raised.exception.code, raised.exception.expected_step), ("INVALID_ARGUMENT", 2))
            self.assertFalse(raised.exception.closed)
            self.assertRegex(raised.exception.message, rf"input\.shape\[0\] is {INPUT + 1}")
            y = self.client.infer_sequence("gru", x)
            self.assertEqual(session.step(x[1:]).tobytes(), y[1:].tobytes())
        with self.assertRaisesRegex(gruserve.GruserveError, "the session is closed"):
            session.step(x[0])
        session.close()

    def test_a_closed_session_is_gone(self):
        self.client.open_session("gru", session_id="gone").close()
        with self.assertRaises(gruserve.StepError) as raised:
            self.client.open_session("gru", session_id="gone", resume=True)
        self.assertEqual((raised.exception.code, raised.exception.closed), ("NOT_FOUND", True))

    def test_errors_carry_code_and_message(self):
        calls = [
            lambda: self.client.infer_sequence("none", self.floats(2, INPUT)),
            lambda: self.client.describe("none"),
            lambda: self.client.open_session("none"),
        ]
        for call in calls:
            with self.assertRaises(gruserve.GruserveError) as raised:
                call()
            self.assertEqual(raised.exception.code, "NOT_FOUND")
            self.assertIn('model "none" is not in the repository', raised.exception.message)

    def test_no_server(self):
        with gruserve.Client("127.0.0.1:1") as client:
            for call in (client.models, lambda: client.open_session("gru")):
                with self.assertRaises(gruserve.GruserveError) as raised:
                    call()
                self.assertEqual(raised.exception.code, "UNAVAILABLE")

    def test_models(self):
        self.assertIn(("gru", 1), [(model.name, model.version) for model in self.client.models()])
        self.assertEqual(self.client.describe("gru").hidden_size, HIDDEN)


class Safetensors(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.file = pathlib.Path(folder.name) / "t.safetensors"

    def test_round_trip(self):
        tensors = {"b": np.arange(6, dtype="f4").reshape(2, 3), "a": np.float32(2.5), "none": np.zeros((0, 4), "f4")}
        safetensors.write(self.file, tensors)
        read = safetensors.read(self.file)
        self.assertEqual(sorted(read), sorted(tensors))
        for name, value in tensors.items():
            np.testing.assert_array_equal(read[name], value)

    def test_broken_files(self):
        safetensors.write(self.file, {"a": np.ones(3, "f4")})
        good = self.file.read_bytes()
        broken = (b"", b"1234567", good[:20], good[:-4], b"\xff" * 16, good.replace(b"F32", b"I32"))
        for data in broken:
            self.file.write_bytes(data)
            with self.assertRaisesRegex(ExportError, "is not a safetensors file"):
                safetensors.read(self.file)


class Check(unittest.TestCase):
    def test_what_passes(self):
        good = {"sequence": 9e-6, "steps": 9e-6, "equal_bits": True}
        cases = [
            (good, True),
            ({**good, "sequence": 2e-5}, False),
            ({**good, "sequence": float("nan")}, False),
            ({**good, "steps": 2e-5}, False),
            ({**good, "equal_bits": False}, False),
            ({**good, "sequence": 2e-5, "steps": 2e-5, "scale": 4.0}, True),
            ({"sequence": 9e-6, "steps": None, "equal_bits": False}, True),
            ({"sequence": 2e-5, "steps": None, "equal_bits": False}, False),
        ]
        for fields, passes in cases:
            result = CheckResult(**{"reference": "r", "shape": (1, 1, 1), "lengths": None, "not_steppable": "",
                                    "tolerance": 1e-5, "scale": 1.0, **fields})
            self.assertEqual(result.passed, passes, fields)


class Package(unittest.TestCase):
    def test_files_and_functions_are_short_and_documented(self):
        for file in sorted((PACKAGE / "gruserve").rglob("*.py")):
            text = file.read_text()
            self.assertLessEqual(text.count("\n"), 400, file)
            tree = ast.parse(text)
            outer = [*tree.body, *(each for node in tree.body if isinstance(node, ast.ClassDef) for each in node.body)]
            for node in outer:
                if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
                    self.assertTrue(ast.get_docstring(node), f"{file.name}: {node.name} has no docstring")
                if isinstance(node, ast.FunctionDef):
                    self.assertLessEqual(node.end_lineno - node.lineno + 1, 60, f"{file.name}: {node.name}")

    def test_nothing_generated_lies_in_the_source(self):
        self.assertEqual(list((PACKAGE / "gruserve").rglob("*_pb2*.py")), [])

    def test_a_build_brings_its_stubs(self):
        try:
            from setuptools import setup  # noqa: F401
        except ImportError:
            self.skipTest("setuptools is not installed (Debian: python3-setuptools)")
        with tempfile.TemporaryDirectory() as folder:
            build = ["-q", "egg_info", "--egg-base", folder, "build", "--build-base", f"{folder}/b", "--build-lib", f"{folder}/lib"]
            run = subprocess.run([sys.executable, "-B", "setup.py", *build], cwd=PACKAGE, capture_output=True, text=True)
            self.assertEqual(run.returncode, 0, run.stderr)
            code = "import gruserve, gruserve.v1; print(gruserve.Client.__name__, *gruserve.v1.__path__)"
            run = subprocess.run([sys.executable, "-c", code], cwd=f"{folder}/lib", capture_output=True, text=True)
            self.assertEqual(run.stdout.split(), ["Client", f"{folder}/lib/gruserve/v1"], run.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
