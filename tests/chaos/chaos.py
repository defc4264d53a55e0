#!/usr/bin/env python3
"""Breaks servers while sessions step through them, and compares every output with a run that nothing disturbed.

deploy/chaos.sh builds what this needs and calls it."""
import argparse
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "bench"))
import models  # noqa: E402  pylint: disable=wrong-import-position

GRU = models.Gru(8, 48, layers=2)
START_SECONDS = 60
FIRST_READER_BUG = 101  # deploy/fuzz.sh's, from there on.


class ChaosError(Exception):
    """The run cannot go on; the text says why."""


class Process:
    """A program that is killed, stopped and started again on the same port."""

    def __init__(self, name, command, work, ready):
        self.name, self.command, self.ready = name, [str(c) for c in command], ready
        self.log = open(pathlib.Path(work) / f"{name}.log", "ab")  # pylint: disable=consider-using-with
        self.process = None

    def start(self, wait=True):
        self.process = subprocess.Popen(self.command, stdout=self.log, stderr=subprocess.STDOUT)  # pylint: disable=consider-using-with
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

    def restart(self, number):
        self.end(number)
        self.port_file.unlink(missing_ok=True)
        self.start(wait=False)


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

    def __init__(self, options, replicas, work):
        command = [options.bin / "chaos-load", "--model", GRU.name, "--input-size", GRU.input_size, "--layers",
                   GRU.layers, "--hidden-size", GRU.hidden_size, "--seed", options.seed, "--sessions",
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


class Chaos:
    """One run: a store, replicas, their load, and a number of rounds."""

    def __init__(self, options):
        self.options = options
        self.random = random.Random(options.seed)
        self.failed = []
        self.passed = 0
        self.store = Redis(options.work) if options.store == "redis" else None
        options.store_url = f"sqlite:{options.work}/sessions.db"
        if self.store is not None:
            options.store_url = f"redis-socket:{self.store.socket}"
        self.replicas = [Replica(i, options, options.work) for i in range(options.replicas)]
        self.load = Load(options, self.replicas, options.work)

    def faults(self):
        """Each kind as often as it is listed."""
        kinds = [self.kill] * 5 + [self.cut] * 2 + [self.drain]
        if self.options.store == "redis":
            kinds += [self.pause, self.kill_store]
        return kinds

    def wait(self, least, most):
        """Until a random number of steps were done, with steps in flight in enough sessions."""
        report = self.load.ask("wait", self.random.randint(least, most), self.options.in_flight, self.options.patience)
        if report.get("late"):
            raise ChaosError(f"no progress for {self.options.patience} s: {report}")
        if report["failed"]:
            raise ChaosError(report["error"])
        return report

    def kill(self, replica):
        """kill -9, and a new process on the same port."""
        replica.restart(signal.SIGKILL)
        return "kill -9"

    def drain(self, replica):
        """SIGTERM, as a rolling update does."""
        replica.restart(signal.SIGTERM)
        return "drain"

    def cut(self, _):
        """Resets connections in the middle of a message."""
        self.load.ask("cut", self.random.randint(0, 3000))
        return "cut"

    def pause(self, replica):
        """SIGSTOP until others went on without it: a zombie owner wakes up."""
        before = self.wait(0, 0)["breaks"]
        replica.send(signal.SIGSTOP)
        report = self.wait(1000, 2000)
        while report["breaks"] <= before + self.options.sessions // 20:
            report = self.wait(1000, 2000)
        replica.send(signal.SIGCONT)
        return "pause"

    def kill_store(self, _):
        """kill -9 of the store, which comes back with what it had synced."""
        self.store.end()
        self.store.start()
        return "kill store"

    def round(self, number, before):
        report = self.wait(1000, 6000)
        # Whoever has a good part of the sessions may be the victim.
        replica = self.random.choice([r for r, held in zip(self.replicas, report["held"], strict=True)
                                      if held >= self.options.sessions // 8])
        what = self.random.choice(self.faults())(replica)
        steps = report["steps"] - before["steps"]
        after = self.wait(200, 800)
        # Who was hit may not have noticed before others went on.
        for _ in range(20):
            if after["breaks"] > report["breaks"] or what == "kill store":
                break
            after = self.wait(200, 800)
        replays, breaks = after["replayed"] - before["replayed"], after["breaks"] - before["breaks"]
        print(f"round {number:3}: {what:10} {replica.name}  {steps:6} steps since the last, {report['waiting']:3} "
              f"sessions in flight, {breaks:4} resumed, {replays:4} replayed, "
              f"{after['sent_again'] - before['sent_again']:5} sent again", flush=True)
        if breaks == 0 and what != "kill store":
            self.failed.append(f"round {number}: {what} of {replica.name} touched no session")
        return after

    def check(self, outcomes):
        """Compares with the oracle, in a process of its own from the weights' file."""
        folder = self.options.repository / GRU.name / "1"
        done = subprocess.run([self.options.bin / "chaos-oracle", "--model", folder, "--seed", str(self.options.seed)],
                              input="".join(json.dumps(o) + "\n" for o in outcomes), capture_output=True, text=True,
                              check=True)
        for seen, expected in zip(outcomes, map(json.loads, done.stdout.splitlines()), strict=True):
            problems = [seen["error"]] if seen["error"] else [
                f"its {key} differ from the oracle's" for key in ("outputs", "state") if seen[key] != expected[key]]
            if problems:
                self.failed.append(f"session {seen['session']}, {seen['operations']} operations: {problems[0]}")
            else:
                self.passed += 1

    def run(self):
        report = self.wait(2000, 4000)
        for number in range(1, self.options.rounds + 1):
            report = self.round(number, report)
            if self.failed:
                break
        for replica in self.replicas:
            replica.wait_ready()
        outcomes = self.load.stop()
        self.check(outcomes)
        print(f"{report['steps']} steps, {sum(o['operations'] for o in outcomes)} operations, longest pause "
              f"{report['longest_pause_us'] / 1e6:.2f} s")

    def end(self):
        for process in [*self.replicas, self.store, self.load]:
            if process is not None and process.process.poll() is None:
                process.process.send_signal(signal.SIGCONT)
                process.process.kill()
                process.process.wait()


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=pathlib.Path, required=True, help="folder of the programs")
    parser.add_argument("--work", type=pathlib.Path, required=True, help="folder for models, store and logs")
    parser.add_argument("--store", choices=["sqlite", "redis"], default="sqlite")
    parser.add_argument("--replicas", type=int, help="servers; one with sqlite, two with redis")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--patience", type=int, default=60, help="seconds without progress that are a failure")
    parser.add_argument("--mutant", type=int, default=0, help="the seeded bug of core/base/seeded_bug.h; 0: none")
    parser.add_argument("--mutants", action="store_true", help="each seeded bug in turn: all must be caught")
    options = parser.parse_args()
    options.replicas = options.replicas or (2 if options.store == "redis" else 1)
    options.in_flight = min(50, options.sessions)
    options.work = options.work.resolve()  # redis-server changes its folder.
    return options


def seeded_bugs():
    """Number and name, as the servers know them."""
    header = pathlib.Path(__file__).resolve().parent.parent.parent / "core/base/seeded_bug.h"
    bugs = re.findall(r"k(\w+) = (\d+),", header.read_text(encoding="utf-8"))
    return [(name, number) for name, number in bugs if int(number) < FIRST_READER_BUG]


def run_mutants(options):
    """Runs this program once for each seeded bug, until it fails."""
    caught = missed = 0
    for name, number in seeded_bugs():
        begin = time.monotonic()
        command = [sys.executable, __file__, "--bin", options.bin, "--work", options.work, "--store", options.store,
                   "--replicas", options.replicas, "--rounds", options.rounds, "--sessions", options.sessions,
                   "--seed", options.seed, "--mutant", number, "--patience", 20]
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False)
        why = next((line for line in done.stdout.splitlines() if line.startswith("FAILED")), "no failure")
        caught, missed = caught + (done.returncode != 0), missed + (done.returncode == 0)
        verdict = "caught" if done.returncode else "MISSED"
        print(f"{number:>3} {name:30} {verdict} in {time.monotonic() - begin:4.1f} s: {why[8:120]}", flush=True)
    print(f"{caught} passed, {missed} failed")
    return 1 if missed else 0


def main():
    options = parse()
    if options.mutants:
        return run_mutants(options)
    shutil.rmtree(options.work, ignore_errors=True)
    options.work.mkdir(parents=True)
    options.repository = options.work / "models"
    version = options.repository / GRU.name / "1"
    version.mkdir(parents=True)
    models.write_safetensors(version / "model.safetensors", models.tensors(GRU))
    os.environ["GRUSERVE_SEEDED_BUG"] = str(options.mutant)
    print(f"{options.sessions} sessions, {options.replicas} replicas, {options.store}, seed {options.seed}", flush=True)
    chaos = Chaos(options)
    try:
        chaos.run()
    except ChaosError as error:
        chaos.failed.append(str(error))
    finally:
        chaos.end()
    for failure in chaos.failed[:20]:
        print(f"FAILED: {failure}")
    print(f"{chaos.passed} passed, {len(chaos.failed)} failed")
    return 1 if chaos.failed else 0


if __name__ == "__main__":
    sys.exit(main())
