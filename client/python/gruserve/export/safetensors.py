"""The safetensors format: header length, JSON header, then the bytes of the tensors."""

import json
import os
import pathlib
import struct
from collections.abc import Mapping

import numpy as np

from gruserve.export.errors import ExportError

MAX_HEADER_BYTES = 100_000_000


def write(file: pathlib.Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Stores `tensors` as float32, by name."""
    header: dict[str, object] = {}
    offset = 0
    for name in sorted(tensors):
        size = 4 * int(np.size(tensors[name]))
        shape = list(np.shape(tensors[name]))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with file.open("wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for name in sorted(tensors):
            out.write(np.ascontiguousarray(tensors[name], "<f4").tobytes())
        out.flush()
        os.fsync(out.fileno())


def read(file: pathlib.Path) -> dict[str, np.ndarray]:
    """The tensors of a file as float32. ExportError where it is no sound safetensors file."""
    data = file.read_bytes()
    try:
        (length,) = struct.unpack_from("<Q", data)
        if length > min(len(data) - 8, MAX_HEADER_BYTES):
            raise ValueError(f"a header of {length} bytes does not fit into {len(data)}")
        header = json.loads(data[8 : 8 + length])
        body = memoryview(data)[8 + length :]
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        return {name: _tensor(body, **entry) for name, entry in entries.items()}
    except (ValueError, TypeError, AttributeError, KeyError, struct.error) as error:
        raise ExportError(f"{file} is not a safetensors file: {error}") from None


def _tensor(body: memoryview, dtype: str, shape: list[int], data_offsets: list[int]) -> np.ndarray:
    begin, end = data_offsets
    part = body[begin:end]
    if dtype == "BF16":  # The upper half of a float32.
        flat = (np.frombuffer(part, "<u2").astype("<u4") << 16).view("<f4")
    else:
        kinds = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8"}
        if dtype not in kinds:
            raise ValueError(f"a tensor of {dtype}, expected F64, F32, F16 or BF16")
        flat = np.frombuffer(part, kinds[dtype])
    return flat.reshape(shape).astype("<f4")
