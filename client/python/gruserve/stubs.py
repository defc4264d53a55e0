"""The Python stubs of the protos, `gruserve.v1`: those of an installed package, or made here and now.

They are never stored in the source tree. Where they were not built in, `load` compiles the
protos that lie beside this package (a clone, or `cmake --install`) with `protoc`.
"""

import importlib
import importlib.util
import pathlib
import shutil
import subprocess
import sys
import tempfile

import gruserve

NAMES = ("tensor", "model", "session", "inference_service", "session_service", "model_service")
SERVICES = NAMES[3:]


def proto_folder() -> pathlib.Path:
    """The folder of the protos: of a clone, or of `cmake --install`."""
    here = pathlib.Path(__file__).resolve()
    for folder in (here.parents[3] / "proto", here.parents[2] / "proto"):
        if (folder / "gruserve/v1/inference_service.proto").is_file():
            return folder
    raise ImportError(
        "gruserve.v1 is missing, and so are the protos to make it from: "
        "use the package inside its clone, or install it with pip from there"
    )


def generate(protos: pathlib.Path, target: pathlib.Path) -> None:
    """Writes target/gruserve/v1/*_pb2.py and *_pb2_grpc.py."""
    files = [str(protos / f"gruserve/v1/{name}.proto") for name in NAMES]
    plugin = shutil.which("grpc_python_plugin")
    if shutil.which("protoc") and plugin:
        command = ["protoc", f"--plugin=protoc-gen-grpc={plugin}", f"--grpc_out={target}"]
    elif importlib.util.find_spec("grpc_tools"):
        command = [sys.executable, "-m", "grpc_tools.protoc", f"--grpc_python_out={target}"]
    else:
        raise ImportError(
            "to compile the protos, protoc and grpc_python_plugin (Debian: protobuf-compiler, "
            "protobuf-compiler-grpc) or the package grpcio-tools are needed"
        )
    run = subprocess.run(
        [*command, f"-I{protos}", f"--python_out={target}", *files], capture_output=True, text=True
    )
    if run.returncode != 0:
        raise ImportError(f"protoc failed: {run.stderr.strip()}")


def _import_all() -> None:
    for name in NAMES:
        importlib.import_module(f"gruserve.v1.{name}_pb2")
    for name in SERVICES:
        importlib.import_module(f"gruserve.v1.{name}_pb2_grpc")


def load() -> None:
    """Imports all of gruserve.v1. ImportError says what is missing."""
    if importlib.util.find_spec("gruserve.v1") is not None:
        _import_all()
        return
    with tempfile.TemporaryDirectory(prefix="gruserve-stubs-") as folder:
        generate(proto_folder(), pathlib.Path(folder))
        made = str(pathlib.Path(folder) / "gruserve")
        gruserve.__path__.append(made)
        importlib.invalidate_caches()
        try:
            _import_all()
        finally:
            gruserve.__path__.remove(made)
