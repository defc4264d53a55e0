"""What is run, in which order, and how long it will take."""
import contextlib
import sys
import time

from models import Gru
from processes import BenchError, BusyNeighbour
from swaps import SwappedModel, Swapping

KERNEL_SECONDS = 0.1
SAY_SECONDS = 15
CLEAR = "\r\033[K"
MIN_CALLS = 3  # Of sequences, in one run.
HIDDEN = (256, 512, 1024)
PING_PONG = (64, 256, 512, 1024)
STREAMS = (8, 64, 512)
BF16_STREAMS = 64

# (T, B, GRU): those whose cost is known from the first measurements, then those of oneDNN's own benchmarks
# (tests/benchdnn/inputs/rnn of 3.7.2, Apache-2.0, shapes with more than one step).
KNOWN_SEQUENCES = ((100, 1, Gru(64, 64)), (100, 1, Gru(256, 256)), (50, 1, Gru(512, 512)), (50, 32, Gru(256, 256)),
                   (100, 16, Gru(512, 512)), (25, 4, Gru(1024, 1024)), (50, 8, Gru(512, 512, 4)))
ONEDNN_SEQUENCES = ((30, 1, Gru(512, 512)), (30, 1, Gru(1024, 1024, 7)), (50, 1, Gru(1760, 1760)),
                    (100, 1, Gru(1760, 1760)), (200, 1, Gru(1760, 1760)), (50, 1, Gru(500, 500)),
                    (629, 1, Gru(128, 128)), (10, 1, Gru(512, 128)), (50, 64, Gru(1760, 1760)),
                    (100, 64, Gru(1760, 1760)), (200, 64, Gru(1760, 1760)), (3, 1, Gru(16, 16)),
                    (2, 1, Gru(32, 32, 3)), (3, 2, Gru(36, 36)), (2, 2, Gru(32, 16)), (2, 1, Gru(34, 17)),
                    (83, 512, Gru(92, 256)), (83, 512, Gru(379, 681)), (83, 512, Gru(681, 681)))
QUICK_FLOPS = 10e9  # Of one call; larger ones are left out of a quick run.
# Bounded by oneDNN alone, at least 5 ms on one core.
LONG_SEQUENCES = ((50, 32, Gru(256, 256)), (100, 16, Gru(512, 512)))
# Name, T, B, GRU: what two workers must do faster than one.
SPLIT = (("rows", 50, 32, Gru(256, 256)), ("rows", 25, 4, Gru(1024, 1024)), ("layers", 50, 8, Gru(512, 512, 4)),
         ("directions", 100, 1, Gru(256, 256, 1, 2)), ("columns", 100, 1, Gru(256, 256)),
         ("columns", 50, 1, Gru(512, 512)))
# Of much work for their bytes: what cannot even be sent in time measures the client.
OVERLOAD_STEP = Gru(1024, 1024)
OVERLOAD_SEQUENCE = (10, 1, Gru(1760, 1760))
LIVE = (1024, 1_024_000)  # Sessions, of 16 streams; the second is a tenth in a quick run.
CURVE = (0.1, 0.25, 0.5, 0.7, 0.85, 1.0)


def flops(sequence):
    steps, batch, gru = sequence
    rows = gru.input_size + gru.hidden_size + (gru.layers - 1) * 2 * gru.hidden_size
    return 6 * steps * batch * gru.hidden_size * rows * gru.directions


def kernel_shape(steps, batch, gru, kind="f32"):
    return f"{kind}:{steps},{batch},{gru.input_size},{gru.hidden_size},{gru.layers}"


def sequence_name(steps, batch, gru):
    return f"T{steps} B{batch} I{gru.input_size} H{gru.hidden_size}" + (
        f" L{gru.layers}" if gru.layers > 1 else "") + (" D2" if gru.directions > 1 else "")


def brief(run):
    """What of a run is kept."""
    latency = run["latency"]
    kept = {key: run[key] for key in ("rate", "operations", "server_cpu_us", "client_cpu_us", "cpu_us")}
    kept.update({key: latency.get(key) for key in ("count", "p50_us", "p90_us", "p99_us", "p999_us")})
    for key in ("refused", "barred", "shed", "magnitude", "server_rss_bytes"):
        if key in run:
            kept[key] = run[key]
    return kept


class Plan:
    """Every run of every round."""

    def __init__(self, args):
        self.count = 3 if args.quick else 7
        self.quick = args.quick
        self.parts = [name for name in PARTS if not args.only or name in args.only]
        self.seconds = 0.6 if args.quick else 2.0
        self.sequences = [s for s in KNOWN_SEQUENCES + ONEDNN_SEQUENCES if not self.quick or flops(s) <= QUICK_FLOPS]
        wanted = [Gru(h, h) for h in PING_PONG]
        if "sequences" in self.parts:
            wanted += [s[-1] for s in self.sequences]
        if "split" in self.parts:
            wanted += [s[-1] for s in SPLIT]
        if "overload" in self.parts:
            wanted += [OVERLOAD_STEP, OVERLOAD_SEQUENCE[-1]]
        self.models = list(dict.fromkeys(wanted))
        self.programs = self.servers = None
        self.swapped = SwappedModel(args.work, Gru(256, 256))
        self.figures = {}
        self.done = 0
        self.began = 0
        self.said = -SAY_SECONDS

    def run(self, programs, servers):
        """Part -> figures; each figure has one entry a round."""
        self.programs, self.servers = programs, servers
        self.began = time.monotonic()
        work = [(name, number, unit) for name in self.parts for number in range(1 if name == "curve" else self.count)
                for unit in PARTS[name](self)]
        total = sum(unit.cost for _, _, unit in work)
        for name, number, unit in work:
            self._say(f"{name}: {unit.label}", number, total)
            unit.run(self, number, self.figures.setdefault(name, {}))
            self.done += unit.cost
        if sys.stdout.isatty():
            print(CLEAR, end="")
        return self.figures

    def _say(self, label, number, total):
        """One line that changes on a terminal; elsewhere a line now and then."""
        passed = time.monotonic() - self.began
        left = passed / self.done * (total - self.done) if self.done else total
        terminal = sys.stdout.isatty()
        if terminal or passed >= self.said + SAY_SECONDS:
            self.said = passed
            print(f"{CLEAR if terminal else ''}[bench] {100 * self.done / total:3.0f} %, {left / 60:4.1f} min left; "
                  f"round {number + 1}, {label}", end="" if terminal else "\n", flush=True)

    def sides(self, number, names):
        """Those that run, in turned order every second round."""
        here = [name for name in names if name in self.servers]
        return here if number % 2 == 0 else here[::-1]

    def load(self, side, mode, gru, **options):
        options.setdefault("seconds", self.seconds)
        return brief(self.programs.load(self.servers[side], mode, gru, **options))

    def kernel(self, shapes, seconds=KERNEL_SECONDS):
        return self.programs.kernel(seconds, shapes)


class Unit:
    """One comparison of one round. `cost` is its guessed time in seconds."""

    def __init__(self, label, cost, work):
        self.label, self.cost, self._work = label, cost, work

    def run(self, plan, number, figures):
        figures.setdefault(self.label, []).append(self._work(plan, number))


def step_unit(hidden, streams):
    gru = Gru(hidden, hidden)
    sides = ("two", "bf16", "echo", "ort") if streams == BF16_STREAMS else ("two", "echo", "ort")

    def work(plan, number):
        result = {"raw": plan.kernel([kernel_shape(1, b, gru) for b in (1, 8, 64)])}
        for side in plan.sides(number, sides):
            result[side] = plan.load(side, "steps", gru, streams=streams, connections=2 if streams > 64 else 1)
        return result
    return lambda plan: Unit(f"hidden {hidden}, streams {streams}", len(sides) * (plan.seconds + 0.4) + 0.5, work)


def steps(plan):
    wanted = [(h, 1) for h in PING_PONG] + [(h, s) for h in HIDDEN for s in STREAMS]
    return [step_unit(*w)(plan) for w in wanted]


def frames(plan):
    def unit(hidden):
        gru = Gru(hidden, hidden)

        def work(inner, number):
            result = {"raw": inner.kernel([kernel_shape(1, 64, gru)])}
            for side in inner.sides(number, ("one", "two", "echo")):
                result[side] = inner.load(side, "steps", gru, sessions=64, in_flight=2)
            return result
        return Unit(f"hidden {hidden}", 3 * (plan.seconds + 0.3), work)
    return [unit(hidden) for hidden in HIDDEN]


def _sequence_load(plan, side, sequence):
    """Short where a call is short; again and longer where a busy machine answered too few calls."""
    length, batch, gru = sequence
    call = max(flops(sequence) / 60e9, 1e-4)
    seconds = max(plan.seconds / 2, 5 * call)
    for longer in (1, 4, 16):
        run = plan.load(side, "sequences", gru, time_steps=length, batch=batch, seconds=longer * seconds,
                        warm_up=max(0.1, call))
        if run["operations"] >= MIN_CALLS:
            return run
    raise BenchError(f"{side}: fewer than {MIN_CALLS} calls of {sequence_name(*sequence)} in {16 * seconds:.0f} s")


def _sequence_cost(plan, sequence, sides):
    call = flops(sequence) / 60e9
    return sides * (max(plan.seconds / 2, 6 * call) + 0.25 + 2 * call)


def long_sequences(plan):
    def unit(sequence):
        def work(inner, _):
            return {"raw": inner.kernel([kernel_shape(*sequence)], inner.seconds),
                    "one": _sequence_load(inner, "one", sequence)}
        return Unit(sequence_name(*sequence), _sequence_cost(plan, sequence, 1) + plan.seconds, work)
    return [unit(sequence) for sequence in LONG_SEQUENCES]


def split(plan):
    def unit(kind, neighbour, sequence):
        def work(inner, number):
            with BusyNeighbour() if neighbour else contextlib.nullcontext():
                return {side: _sequence_load(inner, side, sequence) for side in inner.sides(number, ("two", "one"))}
        label = f"{kind}, {sequence_name(*sequence)}" + (", busy neighbour" if neighbour else "")
        return Unit(label, _sequence_cost(plan, sequence, 2) * (1.5 if neighbour else 1), work)
    return [unit(s[0], neighbour, s[1:]) for s in SPLIT for neighbour in (False, True)]


def sequences(plan):
    def unit(sequence):
        def work(inner, number):
            result = {side: _sequence_load(inner, side, sequence) for side in inner.sides(number, ("two", "bf16", "ort2"))}
            if sequence in KNOWN_SEQUENCES:
                result["raw"] = inner.kernel([kernel_shape(*sequence)])
            return result
        return Unit(sequence_name(*sequence), _sequence_cost(plan, sequence, 3), work)
    return [unit(sequence) for sequence in plan.sequences]


def overload(plan):
    seconds = plan.seconds * 2

    def step_work(inner, _):
        peak = inner.load("bounded", "steps", OVERLOAD_STEP, streams=64)
        return {"peak": peak, "over": inner.load("bounded", "steps", OVERLOAD_STEP, streams=64, rate=3 * peak["rate"],
                                                 warm_up=1, seconds=seconds)}

    def sequence_work(inner, _):
        length, batch, gru = OVERLOAD_SEQUENCE
        shape = {"time_steps": length, "batch": batch}
        peak = inner.load("bounded", "sequences", gru, concurrency=32, **shape)
        return {"peak": peak, "over": inner.load("bounded", "sequences", gru, rate=3 * peak["rate"], warm_up=1,
                                                 seconds=seconds, **shape)}
    cost = plan.seconds + seconds + 2
    return [Unit("steps", cost, step_work), Unit("sequences", cost, sequence_work)]


def live_sessions(plan):
    gru = Gru(256, 256)
    few, many = LIVE[0], LIVE[1] // (10 if plan.quick else 1)

    def work(inner, _):
        result = {name: inner.load("live", "steps", gru, streams=16, sessions=64, live=live // 16)
                  for name, live in (("few", few), ("many", many))}
        begins = [result[name]["server_rss_bytes"][0] for name in ("few", "many")]
        result["bytes_a_session"] = (begins[1] - begins[0]) / (many - few)
        return result
    return [Unit(f"hidden 256, {many} sessions", 2 * plan.seconds + many / 50_000, work)]


def swaps(plan):
    def work(inner, _):
        load = {"streams": 64, "seconds": 2 * inner.seconds}
        quiet = inner.load("swapped", "steps", inner.swapped.gru, **load)
        with Swapping(inner.programs.bin / "gruserve", inner.servers["swapped"], inner.swapped) as swapping:
            during = inner.load("swapped", "steps", inner.swapped.gru, **load)
        return {"quiet": quiet, "during": during, "swaps": swapping.count}
    return [Unit("hidden 256, 64 streams", 4 * plan.seconds + 1, work)]


class CurveUnit(Unit):
    """Latency against load: the same rates for both sides, parts of what the closed loop reaches."""

    def run(self, plan, number, figures):
        gru = Gru(256, 256)
        peak = plan.load("two", "steps", gru, streams=64)["rate"]
        for side, name in (("two", "gruserve"), ("ort", "ONNX Runtime peer")):
            for part in CURVE if side in plan.servers else ():
                point = plan.load(side, "steps", gru, streams=64, rate=part * peak, warm_up=0.3)
                if point["count"]:
                    figures.setdefault(name, []).append((part * peak, point["p50_us"], point["p99_us"]))


def curve(plan):
    return [CurveUnit("rates", 2 * len(CURVE) * (plan.seconds + 0.5), None)]


PARTS = {"steps": steps, "frames": frames, "long": long_sequences, "split": split, "sequences": sequences,
         "overload": overload, "sessions": live_sessions, "swaps": swaps, "curve": curve}
