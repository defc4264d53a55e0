"""The processes that tests/chaos/chaos.py starts, kills, stops and starts again."""
import json
import os
import pathlib
import signal
import subprocess
import time

START_SECONDS = 60


class ChaosError(Exception):
    """The run cannot go on; the text says why."""


class Process:
    """A program that is killed, stopped and started again on the same port."""

    def __init__(self, name, command, work, ready):
        self.name, self.command, self.ready = name, [str(c) for c in command], ready
        self.log = open(pathlib.Path(work) / f"{name}.log", "ab")  # pylint: disable=consider-using-with
        self.process = None

    def start(self, wait=True, variables=None):
        self.process = subprocess.Popen(self.command, stdout=self.log, stderr=subprocess.STDOUT,  # pylint: disable=consider-using-with
                                        env=dict(os.environ, **(variables or {})))
        if wait:
            self.wait_ready()

    def wait_ready(self):
        deadline = time.monotonic() + START_SECONDS
        while not self.ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise ChaosError(f"{self.name} did not start; see {self.log.name}")
            time.sleep(0.01)

    def send(self, number):
        self.process.send_signal(number)

    def end(self, number=signal.SIGKILL):
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGCONT)
        self.process.send_signal(number)
        self.process.wait()


class Replica(Process):
    """A server; its first start picks the port that it keeps."""

    def __init__(self, index, options, work):
        self.port_file = pathlib.Path(work) / f"replica{index}.port"
        self.port_file.unlink(missing_ok=True)
        command = [options.bin / "gruserve-server", "--repository", options.repository, "--http-listen", "none",
                   "--port-file", self.port_file, "--workers", "1", "--checkpoint-interval", "20ms",
                   "--session-idle-timeout", "0", "--session-grace", "10m", "--drain-timeout", "10s",
                   "--store", options.store_url, "--listen", "127.0.0.1:0"]
        super().__init__(f"replica{index}", command, work, self.port_file.exists)
        self.start()
        self.port = int(self.port_file.read_text(encoding="utf-8").rsplit(":", 1)[1])
        self.command[-1] = f"127.0.0.1:{self.port}"

    def restart(self, number, meanwhile=lambda: None, **variables):
        """Ends it by signal `number`, calls `meanwhile`, and starts it with more `variables` of the environment."""
        self.end(number)
        meanwhile()
        self.port_file.unlink(missing_ok=True)
        self.start(wait=False, variables=variables)

    def dies_within(self, seconds):
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True


class Disk:
    """A small file system that can be full."""

    BYTES = 48 << 20

    def __init__(self, folder):
        self.folder = folder
        self.ballast = folder / "ballast"

    @classmethod
    def mount(cls, folder):
        """None where one may not be mounted."""
        folder.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={cls.BYTES}", "tmpfs", str(folder)],
                              capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return cls(folder)
        print(f"no full disk in this run: {done.stderr.strip() or 'mount failed'}", flush=True)
        return None

    def fill(self):
        with self.ballast.open("wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)) == 4096:
                    pass
            except OSError:
                pass  # Full.

    def free(self):
        self.ballast.unlink()

    def unmount(self):
        subprocess.run(["umount", "-l", str(self.folder)], check=False)


class Redis(Process):
    """Debian's redis-server on a socket of its own, with every write synced."""

    def __init__(self, work):
        self.socket = pathlib.Path(work) / "redis.sock"
        self.pipe = ["redis-cli", "-s", str(self.socket), "ping"]
        command = ["redis-server", "--port", "0", "--unixsocket", self.socket, "--dir", work, "--save", "",
                   "--appendonly", "yes", "--appendfsync", "always", "--daemonize", "no"]
        super().__init__("redis", command, work, self.answers)
        self.start()

    def answers(self):
        done = subprocess.run(self.pipe, capture_output=True, text=True, check=False)
        return done.stdout.strip() == "PONG"


class Load:
    """chaos-load: many sessions that never rest."""

    def __init__(self, options, gru, replicas, work):
        command = [options.bin / "chaos-load", "--model", gru.name, "--input-size", gru.input_size, "--layers",
                   gru.layers, "--hidden-size", gru.hidden_size, "--seed", options.seed, "--sessions",
                   options.sessions]
        for replica in replicas:
            command += ["--port", replica.port]
        self.log = open(pathlib.Path(work) / "load.log", "ab")  # pylint: disable=consider-using-with
        self.process = subprocess.Popen([str(c) for c in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,  # pylint: disable=consider-using-with
                                        stderr=self.log, text=True)

    def ask(self, *words):
        print(*words, file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            raise ChaosError(f"chaos-load ended; see {self.log.name}")
        return json.loads(line)

    def stop(self):
        print("stop", file=self.process.stdin, flush=True)
        return [json.loads(line) for line in self.process.stdout]
