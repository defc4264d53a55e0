"""A small client: whole sequences, and sessions whose hidden state stays on the server.

A Client may be used from many threads, a Session from one at a time.
"""

from __future__ import annotations

import queue
from collections.abc import Mapping
from typing import Any

import grpc
import numpy as np

from gruserve import stubs

stubs.load()
from gruserve.v1 import inference_service_pb2 as inference  # noqa: E402
from gruserve.v1 import inference_service_pb2_grpc as inference_grpc  # noqa: E402
from gruserve.v1 import model_pb2 as model_pb  # noqa: E402
from gruserve.v1 import model_service_pb2 as models  # noqa: E402
from gruserve.v1 import model_service_pb2_grpc as models_grpc  # noqa: E402
from gruserve.v1 import session_pb2 as session_pb  # noqa: E402
from gruserve.v1 import session_service_pb2 as sessions  # noqa: E402
from gruserve.v1 import session_service_pb2_grpc as sessions_grpc  # noqa: E402
from gruserve.v1 import tensor_pb2 as tensor_pb  # noqa: E402

# One hidden state, or several by the names that `describe` gives.
States = np.ndarray | Mapping[str, np.ndarray]
MAX_MESSAGE_BYTES = 64 << 20  # The server's own default.
_CODES = {code.value[0]: code.name for code in grpc.StatusCode}
_HANDLE = 1  # A stream of a Session holds this one only.


class GruserveError(Exception):
    """A call failed. `code` is the name of a gRPC status, `message` what the server said."""

    def __init__(self, code: str, message: str):
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class StepError(GruserveError):
    """An operation of a session failed. The session goes on at `expected_step`, unless it is `closed`."""

    def __init__(self, code: str, message: str, expected_step: int, closed: bool):
        super().__init__(code, message)
        self.expected_step = expected_step
        self.closed = closed


def _failed(error: grpc.RpcError) -> GruserveError:
    return GruserveError(error.code().name, error.details())


def to_tensor(array: np.ndarray) -> Any:
    """The message of an array, as little-endian float32."""
    data = np.ascontiguousarray(array, "<f4")
    return tensor_pb.Tensor(shape=np.shape(array), raw=data.tobytes())


def to_array(tensor: Any) -> np.ndarray:
    """The array of a message."""
    flat = np.frombuffer(tensor.raw, "<f4") if tensor.raw else np.array(tensor.values, "<f4")
    return flat.reshape(list(tensor.shape))


def _set_states(message: Any, field: str, states: States | None) -> None:
    """Puts one state into `field`, or several into `states`."""
    if isinstance(states, Mapping):
        for name, value in states.items():
            message.states.add(name=name, tensor=to_tensor(value))
    elif states is not None:
        getattr(message, field).CopyFrom(to_tensor(states))


class Client:
    """A connection to one server, without TLS."""

    def __init__(self, address: str, *, max_message_bytes: int = MAX_MESSAGE_BYTES):
        self._channel = grpc.insecure_channel(
            address,
            options=[
                ("grpc.max_receive_message_length", max_message_bytes),
                ("grpc.max_send_message_length", max_message_bytes),
            ],
        )
        self._inference = inference_grpc.InferenceServiceStub(self._channel)
        self._models = models_grpc.ModelServiceStub(self._channel)
        self._sessions = sessions_grpc.SessionServiceStub(self._channel)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection. Open sessions end after the server's grace."""
        self._channel.close()

    def models(self) -> list[Any]:
        """Every version of the repository, as gruserve.v1.ModelSummary; failed ones with their reason."""
        try:
            return list(self._models.ListModels(models.ListModelsRequest()).models)
        except grpc.RpcError as error:
            raise _failed(error) from None

    def describe(self, model: str, version: int = 0) -> Any:
        """One READY version, as gruserve.v1.ModelDescription. Version 0 is the highest."""
        spec = model_pb.ModelSpec(name=model, version=version)
        try:
            return self._models.GetModel(models.GetModelRequest(model=spec)).model
        except grpc.RpcError as error:
            raise _failed(error) from None

    def infer_sequence(self, model: str, x: np.ndarray, **options: Any) -> np.ndarray:
        """The output of a whole sequence; `infer_sequence_states` without the states."""
        return self.infer_sequence_states(model, x, **options)[0]

    def infer_sequence_states(
        self,
        model: str,
        x: np.ndarray,
        *,
        version: int = 0,
        h_0: States | None = None,
        lengths: list[int] | None = None,
        batch_first: bool = False,
        last: bool = False,
        timeout: float | None = None,
    ) -> tuple[np.ndarray, np.ndarray | dict[str, np.ndarray]]:
        """Runs x [T, I], [T, B, I] or, with `batch_first`, [B, T, I] as torch.nn.GRU does.

        Gives the output, of each row's last step alone with `last`, and the last hidden state;
        of a model of several states all of them by name.
        """
        request = inference.InferSequenceRequest(
            model=model_pb.ModelSpec(name=model, version=version),
            input=to_tensor(x),
            lengths=lengths or [],
            batch_first=batch_first,
            output_selection=inference.OUTPUT_SELECTION_LAST if last else inference.OUTPUT_SELECTION_ALL,
        )
        _set_states(request, "h_0", h_0)
        try:
            response = self._inference.InferSequence(request, timeout=timeout)
        except grpc.RpcError as error:
            raise _failed(error) from None
        several = {state.name: to_array(state.tensor) for state in response.states}
        return to_array(response.output), several or to_array(response.h_n)

    def open_session(
        self,
        model: str,
        *,
        version: int = 0,
        batch_size: int = 0,
        h_0: States | None = None,
        session_id: str = "",
        resume: bool = False,
        keep_states: int = 0,
    ) -> Session:
        """Opens a session, or resumes the one called `session_id`.

        Its batch is fixed: 0 is an unbatched session, whose steps are [I], n one whose steps are [n, I].
        With `keep_states` the states after so many last operations can be gone back to by `rewind`.
        """
        message = session_pb.OpenSession(
            session_id=session_id,
            model=model_pb.ModelSpec(name=model, version=version),
            mode=session_pb.OPEN_MODE_RESUME if resume else session_pb.OPEN_MODE_CREATE,
            batch_size=batch_size,
            keep_states=keep_states,
        )
        _set_states(message, "h_0", h_0)
        return Session(self._inference, message)


    def export_session(self, session_id: str) -> bytes:
        """A copy of a session, between two steps, for `import_session` on this server or another."""
        request = sessions.ExportSessionRequest(session_id=session_id)
        try:
            return self._sessions.ExportSession(request).checkpoint
        except grpc.RpcError as error:
            raise _failed(error) from None

    def import_session(self, checkpoint: bytes, *, session_id: str = "", model: str = "", version: int = 0) -> str:
        """Opens a session that goes on from `checkpoint`, and gives its id, for `open_session` to resume.

        `model` goes on in place of the one that was exported: any whose hidden states have the same shapes.
        """
        request = sessions.ImportSessionRequest(checkpoint=checkpoint, session_id=session_id)
        if model:
            request.model.CopyFrom(model_pb.ModelSpec(name=model, version=version))
        try:
            return self._sessions.ImportSession(request).session.session_id
        except grpc.RpcError as error:
            raise _failed(error) from None

    def fork_session(self, session_id: str, count: int = 1) -> list[str]:
        """Opens `count` sessions that go on where one stands, and gives their ids."""
        request = sessions.ForkSessionRequest(session_id=session_id, count=count)
        try:
            return [each.session_id for each in self._sessions.ForkSession(request).sessions]
        except grpc.RpcError as error:
            raise _failed(error) from None


class Session:
    """A hidden state on the server, and the stream that steps it."""

    def __init__(self, stub: Any, message: Any):
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._responses = stub.StreamSteps(iter(self._requests.get, None))
        self._events: list[Any] = []
        self._open = True
        try:
            info = self._run(open=message).opened
        except GruserveError:
            self._end()
            raise
        self.session_id: str = info.session_id
        self.next_step: int = info.next_step
        self.batch_size: int = info.batch_size

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def step(self, x: np.ndarray) -> np.ndarray:
        """Runs one time step [I] ([n, I] in a batched session), or a chunk [T, I] ([T, n, I])."""
        step = inference.StepInput(input=to_tensor(x), index=self.next_step)
        result = self._run(step=step).output
        chunk = np.ndim(x) > (2 if self.batch_size else 1)
        self.next_step = result.index + (len(x) if chunk else 1)
        return to_array(result.output)

    def reset(self, states: States | None = None) -> None:
        """Replaces the hidden state: zeros, or what the model begins with, where absent."""
        message = inference.SetState(index=self.next_step)
        _set_states(message, "state", states)
        self._run(set_state=message)
        self.next_step += 1

    def rewind(self, step: int) -> None:
        """Brings back the hidden state after the operation that ended at `step`, 0 for the first one.

        The log goes on: `next_step` rises by one. OUT_OF_RANGE where that state is not kept.
        """
        self._run(set_state=inference.SetState(index=self.next_step, rewind_to=step))
        self.next_step += 1

    def close(self) -> None:
        """Ends the session and frees its state. Closing again does nothing."""
        if not self._open:
            return
        try:
            self._run(close=inference.CloseSession())
        finally:
            self._end()

    def _end(self) -> None:
        self._open = False
        self._requests.put(None)
        self._responses.cancel()

    def _run(self, **command: Any) -> Any:
        """Sends one command and waits for what became of it."""
        if not self._open:
            raise GruserveError("FAILED_PRECONDITION", "the session is closed")
        sent = inference.SessionCommand(session=_HANDLE, **command)
        self._requests.put(inference.StreamStepsRequest(commands=[sent]))
        event = self._next_event()
        if not event.HasField("error"):
            return event
        error = event.error
        if error.detached:
            self._end()
        elif error.expected_step:
            self.next_step = error.expected_step
        raise StepError(_CODES[error.code], error.message, error.expected_step, error.detached)

    def _next_event(self) -> Any:
        try:
            while not self._events:
                self._events.extend(next(self._responses).events)
        except StopIteration:
            self._end()
            raise GruserveError("UNAVAILABLE", "the server ended the stream") from None
        except grpc.RpcError as error:
            self._end()
            raise _failed(error) from None
        return self._events.pop(0)
