#!/usr/bin/env python3
"""Starts the real server and runs the Node client against it.

usage: node_client_test.py SERVER_BINARY PROTO_FOLDER NODE WORK_FOLDER
"""
import pathlib
import shutil
import subprocess
import sys

from interop_server import InteropServer

server_binary, protos, node, work = sys.argv[1:]
source = pathlib.Path(__file__).parent / "node"
work = pathlib.Path(work)
work.mkdir(parents=True, exist_ok=True)
lock = (source / "package-lock.json").read_bytes()
installed = work / "installed-lock.json"
if not installed.exists() or installed.read_bytes() != lock:
    for name in ("package.json", "package-lock.json"):
        shutil.copy(source / name, work / name)
    subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=work, check=True)
    installed.write_bytes(lock)
shutil.copy(source / "client.test.cjs", work / "client.test.cjs")

server = InteropServer(server_binary)
try:
    code = subprocess.run([node, "--test", "client.test.cjs"], cwd=work,
                          env={"PATH": "/usr/bin:/bin", "GRUSERVE_ADDRESS": server.address,
                               "GRUSERVE_PROTOS": protos}).returncode
finally:
    server.stop()
sys.exit(code)
