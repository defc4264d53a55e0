"""Judges what was measured: every target, and whether the floors can be trusted."""
import math
import statistics

import rounds
from models import Gru
from rounds import HIDDEN, PING_PONG, kernel_shape

# What the floors were when the targets were set, on two Zen 4 class cores: a floor 1.5 times slower makes every
# ratio to it look better than it is. Microseconds of a call, or operations a second, hidden 256 for the transport.
KERNEL_FLOORS_US = {"f32:1,1,64,64,1": 2.5, "f32:1,1,256,256,1": 24, "f32:1,1,512,512,1": 88,
                    "f32:1,1,1024,1024,1": 1200, "f32:1,64,256,256,1": 490, "f32:100,1,64,64,1": 135,
                    "f32:100,1,256,256,1": 2230, "f32:50,1,512,512,1": 3850, "f32:50,32,256,256,1": 17800,
                    "f32:100,16,512,512,1": 57200, "f32:25,4,1024,1024,1": 24600, "f32:50,8,512,512,4": 53000}
ECHO_FLOORS = {("hidden 256, streams 1", "p50_us"): 99, ("hidden 256, streams 8", "rate"): 42000,
               ("hidden 256, streams 64", "rate"): 46500, ("hidden 256, streams 512", "rate"): 54400}
PEER_FLOORS = {("hidden 256, streams 1", "rate"): 5480, ("hidden 256, streams 64", "rate"): 20600,
               ("hidden 512, streams 1", "rate"): 3070, ("hidden 512, streams 64", "rate"): 10900,
               ("hidden 1024, streams 1", "rate"): 713, ("hidden 1024, streams 64", "rate"): 1640}
SUSPECT = 1.5
NO_ORT = "ONNX Runtime's library or header is not here: see --ort"
NO_BF16 = "the processor has neither AVX512_BF16 nor AMX"
PEER_RATES = {8: ((1.3,) * 3, (2,) * 3), 64: ((1.8, 1.7, 3.2), (2.6, 2.5, 6)), 512: ((1.9, 2.3, 5.5), (3, 3, 7))}
CPU_BOUNDS = {64: (1.5, 1.25), 512: (1.25, 1.10)}
REFUSAL_MS = 5
FLAT_MEMORY = 1.1
# Between the mean magnitudes of the servers' answers.
F32_DIFFERENCE, BF16_DIFFERENCE = 1e-4, 1e-2


class Judge:
    """Collects the targets of one run."""

    def __init__(self, figures, bf16):
        self.figures = figures
        self.no_bf16 = NO_ORT if bf16 else NO_BF16
        self.targets = []

    def add(self, target, value, bound, after=None, at_most=True, reason=None, after_value=None):
        """`after_value` is what `after` bounds, where it is another figure than `value`."""
        entry = {"target": target, "value": value, "bound": bound, "pass": None, "after": after, "at_most": at_most}
        if value is None:
            entry["reason"] = reason
        else:
            entry["pass"] = value <= bound if at_most else value >= bound
            if after is not None:
                reached = value if after_value is None else after_value
                entry["after_pass"] = reached <= after if at_most else reached >= after
        self.targets.append(entry)

    def median(self, part, label, ratio):
        """The median over the rounds of `ratio(round)`; nothing where a side of it did not run."""
        values = []
        for one in self.figures.get(part, {}).get(label, []):
            try:
                values.append(ratio(one))
            except KeyError:
                return None
        return statistics.median(values) if values else None

    def measured(self, target, part, label, ratio, bound, **options):
        """Adds the median of a part's ratio."""
        if part not in self.figures:
            options["reason"] = f"left out: --only has no {part}"
        self.add(target, self.median(part, label, ratio), bound, **options)


def raw_us(one, steps, batch, gru):
    return one["raw"][kernel_shape(steps, batch, gru)]["us"]


def ping_pong(judge):
    for hidden in PING_PONG:
        gru, label = Gru(hidden, hidden), f"hidden {hidden}, streams 1"

        def over(kernels, gru=gru):
            return lambda r: r["two"]["p50_us"] / (1.05 * r["echo"]["p50_us"] + kernels * raw_us(r, 1, 1, gru))
        judge.measured(f"ping-pong p50 over 1.05 echo + 1.8 (1.2) raw, hidden {hidden}", "steps", label, over(1.8), 1,
                       after=1, after_value=judge.median("steps", label, over(1.2)))
        judge.measured(f"ping-pong p50 over the peer's, hidden {hidden}", "steps", label,
                       lambda r: r["two"]["p50_us"] / r["ort"]["p50_us"], 1, reason=NO_ORT)


def step_cpu(judge):
    for streams, (bound, after) in CPU_BOUNDS.items():
        for hidden in HIDDEN:
            def over(one, gru=Gru(hidden, hidden)):
                return one["two"]["cpu_us"] / (one["echo"]["cpu_us"] + raw_us(one, 1, 64, gru) / 64)
            judge.measured(f"CPU a step over echo + batched row, hidden {hidden}, {streams} streams", "steps",
                           f"hidden {hidden}, streams {streams}", over, bound, after=after)


def step_rates(judge):
    for streams, (bounds, afters) in PEER_RATES.items():
        for hidden, bound, after in zip(HIDDEN, bounds, afters):
            judge.measured(f"steps/s over the peer, hidden {hidden}, {streams} streams", "steps",
                           f"hidden {hidden}, streams {streams}", lambda r: r["two"]["rate"] / r["ort"]["rate"],
                           bound, after=after, at_most=False, reason=NO_ORT)
    for hidden, bound, after in zip(HIDDEN, (2.6, 2.6, 6.5), (3.5, 4, 10)):
        judge.measured(f"bf16 steps/s over the peer, hidden {hidden}, 64 streams", "steps",
                       f"hidden {hidden}, streams {rounds.BF16_STREAMS}", lambda r: r["bf16"]["rate"] / r["ort"]["rate"],
                       bound, after=after, at_most=False, reason=judge.no_bf16)
    for streams in (64, 512):
        for hidden in HIDDEN:
            judge.measured(f"step p99 over the peer's, hidden {hidden}, {streams} streams", "steps",
                           f"hidden {hidden}, streams {streams}", lambda r: r["two"]["p99_us"] / r["ort"]["p99_us"],
                           0.9, after=0.4, reason=NO_ORT)


def frames(judge):
    for hidden in HIDDEN:
        for side, cores, bound, after in (("one", 1, 0.90, 0.95), ("two", 2, 0.65, 0.85)):
            def over(one, gru=Gru(hidden, hidden), side=side, cores=cores):
                return one[side]["rate"] * raw_us(one, 1, 64, gru) / 64 * 1e-6 / cores
            workers = f"{side} worker{'s' * (cores - 1)}"
            judge.measured(f"frames of 64 over raw kernel, hidden {hidden}, {workers}", "frames", f"hidden {hidden}",
                           over, bound, after=after, at_most=False)


def sequences(judge):
    for sequence in rounds.LONG_SEQUENCES:
        name = rounds.sequence_name(*sequence)
        judge.measured(f"InferSequence over raw, one core, {name}", "long", name,
                       lambda r, s=sequence: r["one"]["p50_us"] / raw_us(r, *s), 1.08, after=1.03)
    for kind, *sequence in rounds.SPLIT:
        bound, after = (1.3, 1.8) if kind == "columns" else (1.8, 1.95)
        label = f"{kind}, {rounds.sequence_name(*sequence)}"

        def speedup(one):
            return one["one"]["p50_us"] / one["two"]["p50_us"]
        judge.measured(f"two cores over one, {label}", "split", label, speedup, bound, after=after, at_most=False)
        label += ", busy neighbour"
        judge.measured(f"two cores over one, {label}", "split", label, speedup, 1, at_most=False)


def peer_sequences(judge):
    part = judge.figures.get("sequences")

    def over_peer(side):
        medians = {label: judge.median("sequences", label, lambda r: r["ort2"]["p50_us"] / r[side]["p50_us"])
                   for label in part or {}}
        return {label: value for label, value in medians.items() if value is not None}

    def geometric_mean(ratios):
        return math.exp(statistics.fmean(map(math.log, ratios.values()))) if ratios else None
    ratios, bf16 = over_peer("two"), over_peer("bf16")
    left_out = "left out: --only has no sequences" if part is None else None
    reason, mean = left_out or NO_ORT, geometric_mean(ratios)
    worst = min(ratios, key=ratios.get) if ratios else "-"
    title = "sequences over the peer with 2 threads"
    judge.add(f"{title}, f32, geometric mean of {len(ratios)}", mean, 1.2, 1.5, at_most=False, reason=reason)
    judge.add(f"{title}, f32, worst: {worst}", ratios.get(worst), 0.95, 1.1, at_most=False, reason=reason)
    judge.add(f"{title}, bf16, geometric mean of {len(bf16)}", geometric_mean(bf16), 2.0, 3, at_most=False,
              reason=left_out or judge.no_bf16)


def overload(judge):
    judge.measured("overload 3x: sequences' goodput over the peak", "overload", "sequences",
                   lambda r: r["over"]["rate"] / r["peak"]["rate"], 0.9, at_most=False)
    judge.measured("overload 3x: steps' goodput a server-CPU-second over the peak's", "overload", "steps",
                   lambda r: r["peak"]["server_cpu_us"] / r["over"]["server_cpu_us"], 0.9, at_most=False)
    for kind in ("steps", "sequences"):
        judge.measured(f"overload 3x: p99 of a refusal in ms, {kind}", "overload", kind,
                       lambda r: r["over"]["refused"]["p99_us"] / 1000, REFUSAL_MS, reason="nothing was refused")
        judge.measured(f"overload 3x: memory at the end over the begin, {kind}", "overload", kind,
                       lambda r: r["over"]["server_rss_bytes"][-1] / r["over"]["server_rss_bytes"][0], FLAT_MEMORY)


def live_sessions(judge):
    for label in judge.figures.get("sessions", {"hidden 256": None}):
        # Of the first round, which finds no memory that the process kept.
        largest = max((r["bytes_a_session"] for r in judge.figures.get("sessions", {}).get(label, [])), default=None)
        judge.measured(f"bytes of a live session, {label}", "sessions", label, lambda r, largest=largest: largest,
                       1.25 * 256 * 4 + 256)
        judge.measured(f"CPU a step over that of {rounds.LIVE[0]} sessions, {label}", "sessions", label,
                       lambda r: r["many"]["server_cpu_us"] / r["few"]["server_cpu_us"], 1.10)


def swaps(judge):
    judge.measured("step p99 during swaps over the quiet one, hidden 256, 64 streams", "swaps", "hidden 256, 64 streams",
                   lambda r: r["during"]["p99_us"] / r["quiet"]["p99_us"], 2)


def judge(figures, bf16):
    """Every target of the table, in its order. `bf16`: whether the processor has it."""
    collected = Judge(figures, bf16)
    for rows in (ping_pong, step_cpu, step_rates, frames, sequences, peer_sequences, overload, live_sessions, swaps):
        rows(collected)
    collected.add("bits equal in every mode, 10^6 random mixes", None, None,
                  reason="judged by the end-to-end tests, not by a clock")
    return collected.targets


def suspects(figures):
    """Floors more than 1.5 times slower than they were, and answers that differ between the servers."""
    found, kernels = [], {}
    for part in figures.values():
        for label, one in ((label, one) for label, all_rounds in part.items() for one in all_rounds):
            for shape, line in one.get("raw", {}).items() if isinstance(one, dict) else ():
                kernels.setdefault(shape, []).append(line["us"])
            found += _other_answer(label, one) if isinstance(one, dict) else []
    for shape, floor in KERNEL_FLOORS_US.items():
        us = statistics.median(kernels.get(shape, [0]))
        if us > SUSPECT * floor:
            found.append(f"raw oneDNN {shape} takes {us:.1f} us; {floor} us were measured before")
    for side, floors in (("echo", ECHO_FLOORS), ("ort", PEER_FLOORS)):
        for (label, key), floor in floors.items():
            values = [one[side][key] for one in figures.get("steps", {}).get(label, []) if side in one]
            value = statistics.median(values) if values else floor
            if (value > SUSPECT * floor) if key == "p50_us" else (value * SUSPECT < floor):
                found.append(f"{side}, {label}: {key} is {value:.0f}; {floor} was measured before")
    return found


def _other_answer(label, one):
    magnitudes = {name: side["magnitude"] for name, side in one.items()
                  if isinstance(side, dict) and "magnitude" in side}
    largest = max(magnitudes.values(), default=0)
    wrong = [name for name, magnitude in magnitudes.items()
             if largest - magnitude > (BF16_DIFFERENCE if "bf16" in magnitudes else F32_DIFFERENCE) * largest]
    return [f"{label}: the servers' answers differ: mean magnitudes {magnitudes}"] if wrong else []
