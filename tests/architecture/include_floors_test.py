#!/usr/bin/env python3
"""Keeps the floors: an include goes down only, and guards match their paths."""
import pathlib
import re
import subprocess
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
INCLUDE = re.compile(r'^\s*#include\s+["<]([^">]+)[">]', re.M)

# Each floor and the floors below it that it may include.
FLOORS = {
    "core/base": [],
    "core/engine": ["core/base"],
    "core/model": ["core/base", "core/engine"],
    "core/network": ["core/base", "core/engine", "core/model"],
    "core/runtime": ["core/base", "core/engine", "core/model", "core/network"],
    "core/store": ["core/base"],
    "core/session": ["core/base", "core/engine", "core/model", "core/network", "core/runtime", "core/store"],
    "core/durability": ["core/base", "core/engine", "core/model", "core/network", "core/runtime", "core/session", "core/store"],
    "server": ["core/base", "core/engine", "core/model", "core/network", "core/runtime", "core/session", "core/store", "core/durability", "gruserve/v1"],
    "client": ["core/base", "gruserve/v1"],
}


def floor_of(path):
    return next((floor for floor in FLOORS if path == floor or path.startswith(floor + "/")), None)


def sources():
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.h", "*.cc"], cwd=ROOT,
                            check=True, capture_output=True, text=True).stdout.split()
    return [(name, (ROOT / name).read_text()) for name in listed if (ROOT / name).exists()]


class IncludeFloors(unittest.TestCase):
    def test_includes_go_down(self):
        for name, text in sources():
            floor = floor_of(name)
            for include in INCLUDE.findall(text) if floor else []:
                target = next((f for f in [*FLOORS, "gruserve/v1", "tests"] if include.startswith(f + "/")), None)
                if target and target != floor:
                    self.assertIn(target, FLOORS[floor], f"{name} includes {include}")

    def test_libraries_keep_their_rooms(self):
        for name, text in sources():
            for include in INCLUDE.findall(text):
                if include.startswith(("dnnl", "oneapi/dnnl")):
                    self.assertTrue(name.startswith(("core/engine/", "tests/bench/")), f"{name} includes {include}")
                if include.startswith(("grpcpp/", "grpc/")):
                    self.assertTrue(name.startswith(("server/", "client/", "tests/")), f"{name} includes {include}")
                if include.startswith("onnx/"):
                    room = "core/network/import/onnx/"
                    self.assertTrue(name.startswith((room, f"tests/{room}", "tests/fuzz/")), f"{name} includes {include}")
                if include.endswith(".pb.h"):
                    self.assertFalse(name.startswith("core/"), f"{name} includes {include}")

    def test_guards_match_paths(self):
        for name, text in sources():
            if name.endswith(".h"):
                guard = "GRUSERVE_" + re.sub(r"[^A-Za-z0-9]", "_", name).upper() + "_"
                self.assertIn(f"#ifndef {guard}\n#define {guard}\n", text, name)


if __name__ == "__main__":
    unittest.main()
