"""The command `gruserve-export`."""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
from collections.abc import Sequence

import numpy as np

from gruserve.export.check import CheckOptions, check
from gruserve.export.entry import ModelEntry, Target, next_version
from gruserve.export.errors import ExportError
from gruserve.export.server_process import running

_DESCRIPTION = """\
Puts a trained network into a gruserve repository, as <repository>/<name>/<version>/model.safetensors, with a
model.json where something stands around the GRU, and checks it: the same input goes through the network itself
and through the server, as one sequence and step by step.

SOURCE is one of
  PACKAGE.MODULE:NAME   a torch.nn.Module, a class or a function that gives one; with --weights its state_dict
  FILE.pt               a state_dict of one nn.GRU or nn.GRUCell, a checkpoint with one in it, or a saved module
  FILE.safetensors      such a state_dict
  FILE.h5, FILE.keras   a Keras model; of weights alone (.weights.h5) say with --keras-config or --layer what they are
"""
_EXAMPLES = """\
examples:
  # a class of your own and its trained weights, checked by a server that is started for it
  gruserve-export my_net:Net --weights net.pt --repository models --name my-net \\
      --server-binary build/release/bin/gruserve-server
  # the state_dict of an nn.GRU; the next free version
  gruserve-export gru.pt --repository models --name gru --version next
  # a constructor with arguments, checked on data of your own, [T, I] or [T, B, I]
  gruserve-export my_net:Net --kwargs '{"hidden": 64}' --repository models --name my-net --input x.npy \\
      --server-binary build/release/bin/gruserve-server
  # a Keras model; weights alone, with what the file does not say
  gruserve-export model.keras --repository models --name my-net
  gruserve-export my.weights.h5 --layer gru --layer dense,activation=softmax --repository models --name my-net

What can be expressed: GRU, GRUCell, Linear, Embedding, LayerNorm, BatchNorm1d, activations, softmaxes, dropout,
concatenations, arithmetic among features and with constants, the last time step. Anything else is refused by its
name; it may still be served from an ONNX file.

exit codes: 0 written and, if asked for, checked; 1 the check failed; 2 usage, or a source that cannot be exported
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gruserve-export",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", metavar="SOURCE")
    target = parser.add_argument_group("where to")
    target.add_argument("--repository", type=pathlib.Path, required=True, metavar="DIR")
    target.add_argument("--name", required=True, help="of the model")
    target.add_argument("--version", default="1", help='a number from 1, or "next" (default: %(default)s)')
    target.add_argument("--force", action="store_true", help="replace a version that is there already")
    _add_network_options(parser.add_argument_group("the network"))
    _add_check_options(parser.add_argument_group("the check"))
    return parser


def _add_network_options(network: argparse._ArgumentGroup) -> None:
    network.add_argument(
        "--weights", type=pathlib.Path, metavar="FILE.pt", help="a state_dict to load into SOURCE"
    )
    network.add_argument("--kwargs", type=json.loads, metavar="JSON", help="arguments of a class or function")
    network.add_argument(
        "--model-json", type=pathlib.Path, metavar="FILE", help="describes the modules, in place of tracing"
    )
    network.add_argument(
        "--input-size",
        type=_input_size,
        action="append",
        default=[],
        metavar="[ARGUMENT=]N",
        help="features of forward's first argument, or of the one named, where the network does not say",
    )
    network.add_argument(
        "--keras-config",
        type=pathlib.Path,
        metavar="FILE",
        help="what model.to_json() gives, for Keras weights alone",
    )
    network.add_argument(
        "--layer",
        action="append",
        default=[],
        metavar="NAME[:CLASS][,OPTION=VALUE]",
        help="a layer of Keras weights alone; once for each, in their order",
    )
    network.add_argument(
        "--ignore-mask",
        action="store_true",
        help="serve a Keras network without its masks: send rows unpadded",
    )
    network.add_argument(
        "--trust-pickle",
        action="store_true",
        help="load files that hold more than tensors: this runs whatever code the file names",
    )


def _add_check_options(checks: argparse._ArgumentGroup) -> None:
    where = checks.add_mutually_exclusive_group()
    where.add_argument("--server", metavar="HOST:PORT", help="a server that serves this repository")
    where.add_argument(
        "--server-binary",
        type=pathlib.Path,
        metavar="PATH",
        help="start this gruserve-server for the check; what fails it is not put into the repository",
    )
    checks.add_argument(
        "--tolerance",
        type=float,
        default=CheckOptions.tolerance,
        help="largest difference allowed, times the largest output where that is above 1 (default: %(default)s)",
    )
    checks.add_argument(
        "--steps", type=int, default=CheckOptions.steps, help="time steps (default: %(default)s)"
    )
    checks.add_argument("--batch", type=int, default=CheckOptions.batch, help="rows (default: %(default)s)")
    checks.add_argument(
        "--seed", type=int, default=CheckOptions.seed, help="of the input (default: %(default)s)"
    )
    checks.add_argument("--input", type=pathlib.Path, metavar="FILE.npy", help="in place of random numbers")


def _input_size(text: str) -> tuple[str, int]:
    argument, _, size = text.rpartition("=")
    if int(size) < 1:
        raise ValueError
    return argument, int(size)


def _target(args: argparse.Namespace) -> Target:
    if args.version == "next":
        version = next_version(args.repository, args.name)
    elif args.version.isascii() and args.version.isdigit() and args.version[0] != "0":
        version = int(args.version)
    else:
        raise ExportError(f'--version is "{args.version}", expected a number from 1, or "next"')
    target = Target(args.repository, args.name, version, args.force)
    target.check()
    return target


def _check_options(args: argparse.Namespace) -> CheckOptions:
    if args.steps < 1 or args.batch < 1 or not args.tolerance >= 0:
        raise ExportError("--steps and --batch are at least 1, --tolerance at least 0")
    x = None
    if args.input is not None:
        try:
            x = np.load(args.input, allow_pickle=False).astype("f4")
        except (OSError, ValueError) as error:
            raise ExportError(f"--input {args.input}: {error}") from None
        if x.ndim not in (2, 3) or 0 in x.shape:
            raise ExportError(f"--input has the shape {list(x.shape)}, expected [T, I] or [T, B, I]")
        x = x.reshape(len(x), -1, x.shape[-1])
    return CheckOptions(args.steps, args.batch, args.seed, args.tolerance, x)


def _refuse_options(args: argparse.Namespace, names: Sequence[str], of_whom: str) -> None:
    """An option that would do nothing is a mistake of whoever gave it."""
    given = ["--" + name.replace("_", "-") for name in names if getattr(args, name)]
    if given:
        raise ExportError(f"{', '.join(given)}: not for a network of {of_whom}")


def _load(args: argparse.Namespace) -> ModelEntry:
    if pathlib.Path(args.source).suffix in (".h5", ".hdf5", ".keras"):
        from gruserve.export.keras_source import KerasSource

        _refuse_options(args, ("weights", "kwargs", "model_json", "input_size", "trust_pickle"), "Keras")

        return KerasSource(pathlib.Path(args.source), args.keras_config, args.layer, args.ignore_mask).entry()
    _refuse_options(args, ("keras_config", "layer", "ignore_mask"), "PyTorch")
    try:
        from gruserve.export.torch_source import TorchSource
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ExportError("PyTorch is not installed (Debian: python3-torch)") from None
    return TorchSource(
        args.source, args.weights, args.kwargs, args.model_json, dict(args.input_size), args.trust_pickle
    ).entry()


def _run_check(entry: ModelEntry, address: str, target: Target, options: CheckOptions) -> None:
    result = check(entry, address, target.model, target.version, options)
    print("\n".join(result.lines()))
    if not result.passed:
        raise ExportError("the check failed: the server does not give the network's numbers", exit_code=1)


def _export(args: argparse.Namespace) -> None:
    target = _target(args)
    options = _check_options(args)
    entry = _load(args)
    entry.check_finite()
    with target.staged(entry) as stage:
        if args.server_binary is not None:
            with running(args.server_binary, stage) as address:
                _run_check(entry, address, target, options)
        target.publish(stage)
    kinds = [module["type"] for module in entry.modules or []]
    print(f"wrote {target.folder}" + (f": {', '.join(kinds)}" if kinds else ""))
    for note in entry.notes:
        print(f"note: {note}")
    if entry.last_only:
        print("note: the network gives its last time step: ask the server for the last output")
    if args.server is not None:
        _run_check(entry, args.server, target, options)
    elif args.server_binary is None:
        print(
            "NOT CHECKED: no server was named; --server-binary PATH or --server HOST:PORT compares the numbers"
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; gives its exit code."""
    args = _parser().parse_args(argv)
    try:
        _export(args)
    except (ExportError, ImportError) as error:
        print(f"gruserve-export: {error}", file=sys.stderr)
        return getattr(error, "exit_code", 2)
    return 0
