"""Writes a PyTorch state_dict as safetensors, with no package beyond torch itself.

    from save_safetensors import save_safetensors
    save_safetensors(gru.state_dict(), "repository/my-gru/1/model.safetensors")
"""
import json
import pathlib
import struct


def save_safetensors(state_dict, file):
    """Makes the folders on the way. The tensors are stored as float32."""
    header, chunks, offset = {}, [], 0
    for name, tensor in state_dict.items():
        data = tensor.detach().cpu().float().contiguous().numpy().tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [offset, offset + len(data)]}
        chunks.append(data)
        offset += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    file = pathlib.Path(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(chunks))
