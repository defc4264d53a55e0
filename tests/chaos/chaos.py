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
from faults import Faults  # noqa: E402  pylint: disable=wrong-import-position
from victims import ChaosError, Disk, Load, Redis, Replica  # noqa: E402  pylint: disable=wrong-import-position

GRU = models.Gru(8, 48, layers=2)
FIRST_READER_BUG = 101  # deploy/fuzz.sh's, from there on.


class Chaos:
    """One run: a store, replicas, their load, and a number of rounds."""

    def __init__(self, options):
        self.options = options
        self.random = random.Random(options.seed)
        self.failed = []
        self.passed = 0
        self.store = Redis(options.work) if options.store == "redis" else None
        self.disk = Disk.mount(options.work / "disk") if options.store == "sqlite" else None
        options.database = (self.disk.folder if self.disk else options.work) / "sessions.db"
        options.store_url = f"sqlite:{options.database}"
        if self.store is not None:
            options.store_url = f"redis-socket:{self.store.socket}"
        self.replicas = [Replica(i, options, options.work) for i in range(options.replicas)]
        self.load = Load(options, GRU, self.replicas, options.work)
        self.faults = Faults(self, self.disk)

    def wait(self, least, most):
        """Until a random number of steps were done, with steps in flight in enough sessions."""
        report = self.load.ask("wait", self.random.randint(least, most), self.options.in_flight, self.options.patience)
        if report.get("late"):
            raise ChaosError(f"no progress for {self.options.patience} s: {report}")
        if report["failed"]:
            raise ChaosError(report["error"])
        return report

    def round(self, number, before):
        report = self.wait(1000, 6000)
        # Whoever has a good part of the sessions may be the victim.
        replica = self.random.choice([r for r, held in zip(self.replicas, report["held"], strict=True)
                                      if held >= self.options.sessions // 8])
        what, breaks_streams = self.faults.strike(replica)
        steps = report["steps"] - before["steps"]
        after = self.wait(200, 800)
        # Who was hit may not have noticed before others went on.
        for _ in range(20):
            if after["breaks"] > report["breaks"] or not breaks_streams:
                break
            after = self.wait(200, 800)
        replays, breaks = after["replayed"] - before["replayed"], after["breaks"] - before["breaks"]
        print(f"round {number:3}: {what:14} {replica.name}  {steps:6} steps since the last, {report['waiting']:3} "
              f"sessions in flight, {breaks:4} resumed, {replays:4} replayed, "
              f"{after['sent_again'] - before['sent_again']:5} sent again", flush=True)
        if breaks == 0 and breaks_streams:
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
        self.faults.tell()

    def end(self):
        for process in [*self.replicas, self.store, self.load]:
            if process is not None and process.process.poll() is None:
                process.process.send_signal(signal.SIGCONT)
                process.process.kill()
                process.process.wait()
        if self.disk is not None:
            self.disk.unmount()


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=pathlib.Path, required=True, help="folder of the programs")
    parser.add_argument("--work", type=pathlib.Path, required=True, help="folder for models, store and logs")
    parser.add_argument("--store", choices=["sqlite", "redis"], default="sqlite")
    parser.add_argument("--replicas", type=int, help="servers; one with sqlite, two with redis")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--faults", type=lambda text: text.split(","), default=[], help="only these, of faults.py")
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
