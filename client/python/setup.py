"""Adds the stubs of the protos to a build; everything else is in pyproject.toml."""

import pathlib
import sys

from setuptools import setup
from setuptools.command.build_py import build_py

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from gruserve import stubs  # noqa: E402


class BuildWithStubs(build_py):
    """Puts gruserve/v1 beside the modules that were copied."""

    def run(self) -> None:
        super().run()
        stubs.generate(stubs.proto_folder(), pathlib.Path(self.build_lib))


setup(cmdclass={"build_py": BuildWithStubs})
