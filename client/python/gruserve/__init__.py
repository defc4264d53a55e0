"""Client of gruserve, a gRPC inference server for GRU models, and export of models to it.

with gruserve.Client("127.0.0.1:50051") as client:
    y = client.infer_sequence("my-model", x)  # x [T, I] or [T, B, I]
    with client.open_session("my-model") as session:
        row = session.step(x[0])
"""

from typing import Any

__all__ = ["Client", "GruserveError", "Session", "StepError"]


def __getattr__(name: str) -> Any:
    """Imports the client when it is first used: exporting without a check needs no gRPC."""
    if name not in __all__:
        raise AttributeError(f"module 'gruserve' has no attribute '{name}'")
    from gruserve import client

    return getattr(client, name)
