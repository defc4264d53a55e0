#!/usr/bin/env python3
"""A test that ARCHITECTURE.md names, as `SuiteTest.Name`, is there."""
import pathlib
import re
import subprocess
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
NAMED = re.compile(r"`(\w+Test)\.(\w+)`")
DEFINED = re.compile(r"\bTEST(?:_F|_P)?\(\s*(\w+)\s*,\s*(\w+)\s*\)")


class NamedTests(unittest.TestCase):
    def test_named_tests_exist(self):
        listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "tests/*_test.cc"], cwd=ROOT,
                                check=True, capture_output=True, text=True).stdout.split()
        defined = {found for name in listed for found in DEFINED.findall((ROOT / name).read_text(encoding="utf-8"))}
        named = NAMED.findall((ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8"))
        self.assertGreater(len(named), 10)
        for each in named:
            self.assertIn(each, defined, "ARCHITECTURE.md names a test that is not there")


if __name__ == "__main__":
    unittest.main()
