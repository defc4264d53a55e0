"""Compares a served model with the network that it came from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gruserve.export.entry import ModelEntry
from gruserve.export.errors import ExportError


@dataclass(frozen=True)
class CheckOptions:
    """What to send, and what to allow."""

    steps: int = 32
    batch: int = 3
    seed: int = 0
    tolerance: float = 1e-5
    input: np.ndarray | None = None  # [T, B, I], in place of random numbers.


@dataclass(frozen=True)
class CheckResult:
    """Largest differences; of the steps none where the model cannot step."""

    reference: str
    shape: tuple[int, ...]
    lengths: list[int] | None
    sequence: float
    steps: float | None
    equal_bits: bool
    not_steppable: str
    tolerance: float
    scale: float  # The largest number of the reference, at least 1.

    @property
    def passed(self) -> bool:
        """Differences within the tolerance, times the scale; NaN is not. Steps and sequence of equal bits."""
        allowed = self.tolerance * self.scale
        return self.sequence <= allowed and (
            self.steps is None or (self.steps <= allowed and self.equal_bits)
        )

    def lines(self) -> list[str]:
        """For whoever typed the command."""
        allowed = f"{self.tolerance * self.scale:.3g} allowed"
        ragged = "" if self.lengths is None else f", rows of {self.lengths} steps"
        lines = [f"input {list(self.shape)}{ragged}, compared with {self.reference}"]
        lines.append(f"one sequence:  largest difference {self.sequence:.3g} ({allowed})")
        if self.steps is None:
            lines.append(f"step by step:  not run, {self.not_steppable}")
        else:
            lines.append(f"step by step:  largest difference {self.steps:.3g} ({allowed})")
            lines.append(f"steps and sequence: {'equal, bit for bit' if self.equal_bits else 'bits DIFFER'}")
        return lines


def check(entry: ModelEntry, address: str, model: str, version: int, options: CheckOptions) -> CheckResult:
    """Runs one input through the network and through the server at `address`."""
    from gruserve.client import Client, GruserveError

    x = options.input
    if x is None:
        x = entry.random_input(np.random.default_rng(options.seed), options.steps, options.batch)
    if x.shape[2] != entry.input_size:
        raise ExportError(f"--input has {x.shape[2]} features, the network takes {entry.input_size}")
    lengths = np.full(x.shape[1], x.shape[0])
    if entry.ragged:  # From the longest on, as packed sequences may have to be.
        lengths[1:] = np.sort(
            np.random.default_rng(options.seed).integers(1, x.shape[0] + 1, x.shape[1] - 1)
        )[::-1]
    given = [x, lengths] if entry.ragged else [x]
    expected = np.asarray(entry.reference.run(*given), dtype=np.float64)
    try:
        with Client(address) as client:
            description = client.describe(model, version)
            sequence = client.infer_sequence(model, x, version=version, lengths=lengths.tolist())
            stepped = None
            if description.steppable:
                with client.open_session(model, version=version, batch_size=x.shape[1]) as session:
                    stepped = np.stack([session.step(row) for row in x])
    except GruserveError as error:
        hint = ""
        if error.code == "NOT_FOUND":
            hint = ": a server reads its repository when it starts; restart it, or check with --server-binary"
        raise ExportError(f"the server at {address} says {error}{hint}", exit_code=1) from None

    valid = np.arange(x.shape[0])[:, None] < lengths
    rows = _Rows(expected, valid, lengths, entry.last_only)
    return CheckResult(
        reference=entry.reference.name,
        shape=x.shape,
        lengths=lengths.tolist() if entry.ragged else None,
        sequence=rows.difference(sequence),
        steps=None if stepped is None else rows.difference(stepped),
        equal_bits=stepped is not None and stepped[valid].tobytes() == sequence[valid].tobytes(),
        not_steppable=description.not_steppable,
        tolerance=options.tolerance,
        scale=max(1.0, float(np.abs(expected).max(initial=0.0))),
    )


@dataclass(frozen=True)
class _Rows:
    """What is expected, and which of the served rows it is about."""

    expected: np.ndarray  # [T, B, O], or [B, O] of each row's last step.
    valid: np.ndarray  # [T, B]
    lengths: np.ndarray
    last_only: bool

    def difference(self, served: np.ndarray) -> float:
        """The largest one; infinite where the sizes differ."""
        if self.last_only:
            served, expected = served[self.lengths - 1, np.arange(len(self.lengths))], self.expected
        elif self.expected.shape[:2] != self.valid.shape:
            return float("inf")
        else:
            served, expected = served[self.valid], self.expected[self.valid]
        if served.size != expected.size:
            return float("inf")
        return float(np.abs(served.reshape(expected.shape) - expected).max(initial=0.0))
