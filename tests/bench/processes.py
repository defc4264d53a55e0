"""Starts and stops what is measured, and runs the programs that measure."""
import json
import pathlib
import signal
import subprocess
import sys
import time

START_SECONDS = 300


class BenchError(Exception):
    """The run is worth nothing; the text says why."""


class Server:
    """A server process on a port of its own choice, known by its port file."""

    def __init__(self, name, command, work):
        self.name = name
        self.port_file = pathlib.Path(work) / f"{name}.port"
        self.log_path = pathlib.Path(work) / f"{name}.log"
        self.port_file.unlink(missing_ok=True)
        with open(self.log_path, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen([str(c).replace("{port_file}", str(self.port_file)) for c in command],
                                            stdout=log, stderr=subprocess.STDOUT)
        self.address = None

    def wait(self):
        deadline = time.monotonic() + START_SECONDS
        while not self.port_file.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise BenchError(f"{self.name} did not start; its log:\n{self.log_path.read_text()}")
            time.sleep(0.02)
        self.address = self.port_file.read_text().strip()
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Programs:
    """The measuring programs of one build."""

    def __init__(self, bin_folder):
        self.bin = pathlib.Path(bin_folder)

    def kernel(self, seconds, shapes):
        """Raw oneDNN: shape -> what bench-kernel says of it."""
        done = subprocess.run([self.bin / "bench-kernel", str(seconds), *shapes], check=True, text=True,
                              capture_output=True)
        return {line["shape"]: line for line in map(json.loads, done.stdout.splitlines())}

    def load(self, server, mode, gru, **options):
        """One run of bench-load; adds CPU microseconds an operation."""
        command = [self.bin / "bench-load", mode, "--server", server.address, "--server-pid", server.process.pid,
                   "--model", gru.name, "--input-size", gru.input_size]
        for name, value in options.items():
            command += ["--" + name.replace("_", "-"), value]
        done = subprocess.run([str(c) for c in command], text=True, capture_output=True, check=False)
        if done.returncode != 0 or not done.stdout.strip():
            raise BenchError(f"{server.name}, {mode} {gru.name} {options}: {done.stdout}{done.stderr}")
        result = json.loads(done.stdout)
        operations = max(result["operations"], 1)
        result["rate"] = result["operations"] / result["seconds"]
        result["server_cpu_us"] = 1e6 * result["server_cpu_seconds"] / operations
        result["client_cpu_us"] = 1e6 * result["client_cpu_seconds"] / operations
        result["cpu_us"] = result["server_cpu_us"] + result["client_cpu_us"]
        return result


class BusyNeighbour:
    """A process that never rests, on one processor. What starting it takes is over when it is entered."""

    def __enter__(self):
        work = "print(flush=True)\nwhile True: pass"
        self.process = subprocess.Popen(["taskset", "-c", "0", sys.executable, "-c", work], stdout=subprocess.PIPE)
        self.process.stdout.readline()
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()
