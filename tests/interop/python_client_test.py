#!/usr/bin/env python3
"""A Python client made from nothing but the published protos, against the real server.

usage: python_client_test.py SERVER_BINARY PROTO_FOLDER
"""
import importlib
import pathlib
import subprocess
import sys
import tempfile
import unittest

import grpc
import numpy as np

from interop_server import HIDDEN, INPUT, LAYERS, SEED_EXAMPLES, InteropServer, reference_gru

SERVER, PROTOS = sys.argv[1], pathlib.Path(sys.argv[2])
STUBS = tempfile.TemporaryDirectory()


def make_stubs():
    """Compiles the protos as a user would, and imports the result."""
    plugin = subprocess.run(["which", "grpc_python_plugin"], check=True, capture_output=True, text=True).stdout.strip()
    protos = sorted(PROTOS.rglob("*.proto"))
    subprocess.run(["protoc", f"-I{PROTOS}", f"--plugin=protoc-gen-grpc={plugin}", f"--python_out={STUBS.name}",
                    f"--grpc_out={STUBS.name}", *map(str, protos)], check=True)
    sys.path.insert(0, STUBS.name)


make_stubs()
inference = importlib.import_module("gruserve.v1.inference_service_pb2")
inference_grpc = importlib.import_module("gruserve.v1.inference_service_pb2_grpc")
sessions = importlib.import_module("gruserve.v1.session_service_pb2")
sessions_grpc = importlib.import_module("gruserve.v1.session_service_pb2_grpc")
models = importlib.import_module("gruserve.v1.model_service_pb2")
models_grpc = importlib.import_module("gruserve.v1.model_service_pb2_grpc")
session_pb = importlib.import_module("gruserve.v1.session_pb2")
tensor_pb = importlib.import_module("gruserve.v1.tensor_pb2")
model_pb = importlib.import_module("gruserve.v1.model_pb2")


def tensor(array):
    return tensor_pb.Tensor(shape=array.shape, raw=np.ascontiguousarray(array, "<f4").tobytes())


def values_tensor(array):
    return tensor_pb.Tensor(shape=array.shape, values=array.ravel())


def array(message):
    flat = np.frombuffer(message.raw, "<f4") if message.raw else np.array(message.values, "<f4")
    return flat.reshape(list(message.shape))


MODEL = model_pb.ModelSpec(name="gru")


class PythonClient(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = InteropServer(SERVER)
        cls.channel = grpc.insecure_channel(cls.server.address)
        cls.stub = inference_grpc.InferenceServiceStub(cls.channel)
        cls.random = np.random.default_rng(7)

    @classmethod
    def tearDownClass(cls):
        cls.channel.close()
        cls.server.stop()

    def floats(self, *shape):
        return self.random.uniform(-1, 1, shape).astype("<f4")

    def infer(self, x, **fields):
        return self.stub.InferSequence(inference.InferSequenceRequest(model=MODEL, input=tensor(x), **fields))

    def test_sequence_equals_the_reference(self):
        x, h_0 = self.floats(12, 3, INPUT), self.floats(LAYERS, 3, HIDDEN)
        response = self.infer(x, h_0=tensor(h_0))
        output, h_n = reference_gru(self.server.weights, x, h_0)
        np.testing.assert_allclose(array(response.output), output, atol=1e-6, rtol=0)
        np.testing.assert_allclose(array(response.h_n), h_n, atol=1e-6, rtol=0)
        self.assertEqual(response.gru_cell_count, LAYERS * 12)

    def test_both_encodings_and_batch_first_give_the_same_bits(self):
        x = self.floats(5, 2, INPUT)
        raw = array(self.infer(x).output)
        values = self.stub.InferSequence(inference.InferSequenceRequest(model=MODEL, input=values_tensor(x)))
        self.assertFalse(values.output.raw, "the response uses the request's encoding")
        self.assertEqual(array(values.output).tobytes(), raw.tobytes())
        turned = self.infer(x.transpose(1, 0, 2), batch_first=True)
        self.assertEqual(array(turned.output).transpose(1, 0, 2).tobytes(), raw.tobytes())

    def test_streamed_sessions_have_the_bits_of_whole_sequences(self):
        inputs = {handle: self.floats(20 + handle, INPUT) for handle in range(1, 9)}
        sent = {handle: 0 for handle in inputs}
        commands = [self.open_command(handle) for handle in inputs]
        while any(sent[h] < len(x) for h, x in inputs.items()):
            handle = int(self.random.choice([h for h, x in inputs.items() if sent[h] < len(x)]))
            commands.append(inference.SessionCommand(
                session=handle, step=inference.StepInput(input=tensor(inputs[handle][sent[handle]]))))
            sent[handle] += 1
        requests = [inference.StreamStepsRequest(commands=commands[i:i + 7]) for i in range(0, len(commands), 7)]
        outputs = {handle: [] for handle in inputs}
        for response in self.stub.StreamSteps(iter(requests)):
            for event in response.events:
                self.assertFalse(event.HasField("error"), event)
                if event.HasField("output"):
                    self.assertEqual(event.output.index, len(outputs[event.session]) + 1)
                    outputs[event.session].append(array(event.output.output))
        for handle, x in inputs.items():
            self.assertEqual(np.stack(outputs[handle]).tobytes(), array(self.infer(x).output).tobytes())

    @staticmethod
    def open_command(handle):
        return inference.SessionCommand(session=handle, open=session_pb.OpenSession(model=MODEL))

    def test_an_error_stays_in_its_session(self):
        bad = inference.StepInput(input=tensor(self.floats(INPUT + 1)))
        good = inference.StepInput(input=tensor(self.floats(INPUT)))
        commands = [self.open_command(1), self.open_command(2),
                    inference.SessionCommand(session=1, step=bad), inference.SessionCommand(session=1, step=good),
                    inference.SessionCommand(session=2, step=good)]
        events = [e for r in self.stub.StreamSteps(iter([inference.StreamStepsRequest(commands=commands)]))
                  for e in r.events]
        errors = [e.error for e in events if e.HasField("error")]
        self.assertEqual([e.code for e in errors], [grpc.StatusCode.INVALID_ARGUMENT.value[0],
                                                    grpc.StatusCode.FAILED_PRECONDITION.value[0]])
        self.assertRegex(errors[0].message, rf"input\.shape\[0\] is {INPUT + 1}.*expects {INPUT}")
        self.assertEqual(errors[1].expected_step, 1)
        self.assertEqual([e.session for e in events if e.HasField("output")], [2])

    def test_cell_is_one_step(self):
        x, h = self.floats(4, 5), self.floats(4, 6)
        cell = model_pb.ModelSpec(name="cell")
        response = self.stub.InferCell(inference.InferCellRequest(model=cell, input=tensor(x), h=tensor(h)))
        _, expected = reference_gru(self.server.cell_weights, x[None], h[None])
        np.testing.assert_allclose(array(response.h), expected[0], atol=1e-6, rtol=0)

    def assert_pytorchs(self, ours, example, key):
        """Within twice PyTorch's own float32 error of its float64 answer."""
        exact = example[key + "64"].reshape(ours.shape)
        error = np.abs(ours - exact).max()
        torch_error = np.abs(example[key].reshape(ours.shape) - exact).max()
        self.assertLessEqual(error, max(2 * torch_error, 1.2e-7))
        print(f"{key}: error {error:.3g}, PyTorch's own {torch_error:.3g}")

    def test_the_seed_example_through_infer_cell_and_streamed(self):
        one = np.load(SEED_EXAMPLES / "cell_5_10_b3.npz")
        response = self.stub.InferCell(inference.InferCellRequest(
            model=model_pb.ModelSpec(name="cell_5_10_b3"), input=tensor(one["x"].reshape(3, 5)),
            h=tensor(one["h0"].reshape(3, 10))))
        self.assert_pytorchs(array(response.h), one, "hn")

        many = np.load(SEED_EXAMPLES / "cell_5_10_b3_stream50.npz")
        model = model_pb.ModelSpec(name="cell_5_10_b3_stream50")
        commands = [inference.SessionCommand(session=1, open=session_pb.OpenSession(
            model=model, batch_size=3, h_0=tensor(many["h0"].reshape(3, 10))))]
        commands += [inference.SessionCommand(session=1, step=inference.StepInput(input=tensor(row)))
                     for row in many["x"]]
        outputs = [array(event.output.output)
                   for response in self.stub.StreamSteps(iter([inference.StreamStepsRequest(commands=[c])
                                                               for c in commands]))
                   for event in response.events if event.HasField("output")]
        self.assertEqual(len(outputs), 50)
        self.assert_pytorchs(np.stack(outputs), many, "y")
        self.assert_pytorchs(outputs[-1], many, "hn")

    def test_unary_steps_of_a_session_without_a_stream(self):
        service = sessions_grpc.SessionServiceStub(self.channel)
        opened = service.OpenSession(sessions.OpenSessionRequest(open=self.open_command(1).open)).session
        x = self.floats(6, INPUT)
        steps = [array(self.stub.Step(inference.StepRequest(
            session_id=opened.session_id, step=inference.StepInput(input=tensor(row)))).output.output) for row in x]
        self.assertEqual(np.stack(steps).tobytes(), array(self.infer(x).output).tobytes())
        state = service.GetSession(sessions.GetSessionRequest(session_id=opened.session_id, include_state=True))
        self.assertEqual(state.session.next_step, 7)
        self.assertEqual(array(state.state).tobytes(), array(self.infer(x).h_n).tobytes())
        service.CloseSession(sessions.CloseSessionRequest(session_id=opened.session_id))

    def test_errors_are_statuses_with_messages(self):
        with self.assertRaises(grpc.RpcError) as raised:
            self.infer(self.floats(4, 2, INPUT + 2))
        self.assertEqual(raised.exception.code(), grpc.StatusCode.INVALID_ARGUMENT)
        self.assertRegex(raised.exception.details(), rf"input\.shape\[2\] is {INPUT + 2}.*expects {INPUT}")

    def test_models_and_health(self):
        listed = models_grpc.ModelServiceStub(self.channel).ListModels(models.ListModelsRequest())
        self.assertEqual([(m.name, m.version) for m in listed.models], [("cell", 1), ("cell_5_10_b3", 1), ("cell_5_10_b3_stream50", 1), ("gru", 1)])
        # By hand: a generated `grpc` package would stand in the way of grpcio's own.
        check = self.channel.unary_unary("/grpc.health.v1.Health/Check", request_serializer=lambda b: b,
                                         response_deserializer=lambda b: b)
        self.assertEqual(check(b""), b"\x08\x01", "SERVING")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
