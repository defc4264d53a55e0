"""A server of one's own, for one check: started on a free port, stopped afterwards."""

from __future__ import annotations

import contextlib
import pathlib
import subprocess
import tempfile
import threading
from collections.abc import Iterator

from gruserve.export.errors import ExportError

_STOP_SECONDS = 60


@contextlib.contextmanager
def running(binary: pathlib.Path, repository: pathlib.Path) -> Iterator[str]:
    """Gives the address of a gruserve-server that serves `repository`."""
    with tempfile.TemporaryDirectory(prefix="gruserve-check-") as folder:
        port_file = pathlib.Path(folder) / "port"
        command = [str(binary), "--repository", str(repository), "--listen", "127.0.0.1:0"]
        command += ["--port-file", str(port_file), "--http-listen", "none"]
        try:
            process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        except OSError as error:
            raise ExportError(f"--server-binary {binary} cannot be started: {error.strerror}") from None
        try:
            drain = _wait(process, port_file)
            yield port_file.read_text().strip()
        finally:
            process.terminate()
            try:
                process.wait(timeout=_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        drain.join()
        process.stderr.close()


def _wait(process: subprocess.Popen[str], port_file: pathlib.Path) -> threading.Thread:
    """The server logs a line after it wrote the port file: waiting for lines needs no clock."""
    lines: list[str] = []
    while not port_file.exists():
        line = process.stderr.readline()
        if not line:
            raise ExportError("the server did not start:\n" + "".join(lines), exit_code=1)
        lines.append(line)
    drain = threading.Thread(target=process.stderr.read, daemon=True)
    drain.start()
    return drain
