#!/usr/bin/env python3
"""Runs clang-tidy (with thread-safety analysis) on what has changed since it last passed.

usage: clang_tidy.py BUILD_FOLDER [--jobs N]

A file's key is the hash of all that its verdict depends on: the file, every header
of the project, the checks, the compile command and the tool's version. A passed key
is remembered in BUILD_FOLDER/clang-tidy. Tests may copy what they like, and are
spared the checks that take longest to find nothing in them.
"""
import argparse
import concurrent.futures
import hashlib
import json
import pathlib
import re
import subprocess
import sys
import time

FOLDERS = ("core", "server", "client", "tests")
SPARED_IN_TESTS = ("performance-*", "bugprone-suspicious-*", "bugprone-string*", "bugprone-unused-*",
                   "bugprone-infinite-loop")
ROOT = pathlib.Path(__file__).resolve().parents[2]


def parse_args():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=lambda text: pathlib.Path(text).resolve())
    parser.add_argument("--jobs", type=int, default=2)
    return parser.parse_args()


def key_of(entry, shared):
    command = re.sub(r"\s-o\s\S+|\s-MF\s\S+|\s-MT\s\S+", "", entry["command"]).replace(str(ROOT), "")
    text = pathlib.Path(entry["file"]).read_bytes()
    return hashlib.sha256(shared + command.encode() + b"\0" + text).hexdigest()


def tidy(build, entry):
    begin = time.monotonic()
    spared = SPARED_IN_TESTS if pathlib.Path(entry["file"]).is_relative_to(ROOT / "tests") else ()
    run = subprocess.run(["clang-tidy", "--quiet", "-p", str(build), "--checks=" + ",".join("-" + c for c in spared),
                          "--extra-arg=-Wthread-safety", "--extra-arg=-Wno-unknown-warning-option", entry["file"]],
                         capture_output=True, text=True)
    return run.returncode, run.stdout, time.monotonic() - begin


def main():
    args = parse_args()
    entries = [e for e in json.loads((args.build / "compile_commands.json").read_text())
               if any(pathlib.Path(e["file"]).is_relative_to(ROOT / folder) for folder in FOLDERS)]
    version = subprocess.run(["clang-tidy", "--version"], check=True, capture_output=True).stdout
    headers = sorted(p for folder in ("core", "server", "client", "tests", "proto")
                     for p in (ROOT / folder).rglob("*") if p.suffix in (".h", ".proto"))
    shared = hashlib.sha256(version + (ROOT / ".clang-tidy").read_bytes() + repr(SPARED_IN_TESTS).encode()
                            + b"".join(str(p.relative_to(ROOT)).encode() + p.read_bytes() for p in headers)).digest()
    passed = args.build / "clang-tidy"
    passed.mkdir(exist_ok=True)
    keys = {e["file"]: key_of(e, shared) for e in entries}
    due = [e for e in entries if not (passed / keys[e["file"]]).exists()]
    print(f"clang-tidy: {len(entries) - len(due)} files unchanged, {len(due)} to check", flush=True)
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        runs = {pool.submit(tidy, args.build, e): e for e in due}
        for done, future in enumerate(concurrent.futures.as_completed(runs), 1):
            name = runs[future]["file"]
            code, output, seconds = future.result()
            print(f"[{done}/{len(due)}] {pathlib.Path(name).relative_to(ROOT)} {seconds:.0f} s"
                  + (" FAILED" if code else ""), flush=True)
            if code:
                failed += 1
                print(output, flush=True)
            else:
                (passed / keys[name]).touch()
    for old in passed.iterdir():
        if old.name not in keys.values():
            old.unlink()
    print(f"clang-tidy: {len(entries) - failed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
