#!/usr/bin/env python3
"""Measures gruserve against its floors and its peer, and judges the targets. Run by deploy/bench.sh.

How each figure is made. A round runs every side of a comparison one after the other, in turned order every
second round; a figure is the median over the rounds (7, or 3 with --quick) of the ratio within a round.
Servers, floors and peer run as processes beside each other and rest while another is measured; the load comes
from a process of its own (bench-load, gRPC's callback API with one polling thread, messages in the `raw` encoding).
It, the echo and the peer keep the memory that they free, so that no message pays for page faults. Every latency is
kept and sorted, nothing is rounded. Server and client share the machine's processors.

  raw          bench-kernel: oneDNN's lbr_gru, one thread, the faster of the two weight layouts, median of its calls,
               taken at the start of each round. A batched row is the call with batch 64, divided by 64.
  echo         bench-echo: same protocol, message sizes, channel arguments, callback API and polling threads; answers
               a step with its input.
  bf16         the server with --compute-dtype bf16, where the processor has AVX512_BF16 or AMX; the peer stays f32.
  peer         bench-ort: ONNX Runtime behind the same stream, one intra-op thread for steps and two for sequences.
  ping-pong    closed loop: each of S streams has one session, whose next step leaves when the last one is answered.
               Up to 64 streams share one connection, 512 have two.
  frames       one stream, 64 sessions, a message steps all of them, two messages in flight.
  CPU a step   the CPU time of both processes inside the measured window over the steps answered in it.
  sequences    closed loop, one InferSequence call in flight; the median latency, transport included.
  open loop    operations leave when they are due, whatever came back; latency counts from that time.
  sessions     16 streams that hold so many live sessions; messages of 64 steps go through all of them in turn, one
               in flight a stream. Bytes are the resident set with many over that with few, by the sessions between.
  swaps        64 streams, quiet and then while versions of other weights take each other's place all the time.
  overload     open loop at three times the closed loop's rate. Goodput is what was answered with a result.
               A refusal's latency counts from when its operation was written. Memory is the server's resident
               set at the end of the window over that at its begin, after one second of overload.
"""
import argparse
import contextlib
import json
import os
import pathlib
import platform
import sys
import time

import models
import rounds
import targets
from processes import BenchError, Programs, Server
from report import latency_svg, table


def arguments():
    parser = argparse.ArgumentParser(description="Runs the benchmarks; see deploy/bench.sh.")
    parser.add_argument("--bin", type=pathlib.Path, required=True, help="folder of the built programs")
    parser.add_argument("--work", type=pathlib.Path, required=True, help="folder for models, ports and logs")
    parser.add_argument("--json", type=pathlib.Path, required=True, help="gets every figure; a picture lies beside")
    parser.add_argument("--ort", type=pathlib.Path, help="ONNX Runtime's library")
    parser.add_argument("--quick", action="store_true", help="3 short rounds, no sequences of seconds")
    parser.add_argument("--only", action="append", choices=list(rounds.PARTS), help="leave out the other parts")
    return parser.parse_args()


def start_servers(stack, args, folders, swapped, bf16):
    """One process a kind, all with the same models: two workers, two that compute in bf16, two with short queues,
    one worker, the echo, the two peers."""
    repository, onnx = folders
    program = [args.bin / "gruserve-server", "--listen", "127.0.0.1:0",
              "--port-file", "{port_file}", "--http-listen", "none", "--log-level", "warning"]
    server = [*program, "--repository", repository]
    commands = {"live": [*server, "--workers", "2", "--session-memory-bytes", str(4 << 30)],
                "swapped": [*program, "--repository", swapped.repository, "--repository-mode", "explicit",
                            "--load-model", "*", "--version-policy", "latest:1", "--workers", "2"],
                # What waits is bounded, as whoever expects overload would have it.
                "bounded": [*server, "--workers", "2", "--max-inflight-per-session", "16",
                            "--max-queued-sequences", "64"],
                "two": [*server, "--workers", "2"], "one": [*server, "--workers", "1"],
                **({"bf16": [*server, "--workers", "2", "--compute-dtype", "bf16"]} if bf16 else {}),
                "echo": [args.bin / "bench-echo", "{port_file}"]}
    if args.ort:
        for name, threads in (("ort", 1), ("ort2", 2)):
            commands[name] = [args.bin / "bench-ort", args.ort, threads, onnx, "{port_file}"]
    started = {name: stack.enter_context(Server(name, command, args.work)) for name, command in commands.items()}
    return {name: server.wait() for name, server in started.items()}


def machine():
    info = pathlib.Path("/proc/cpuinfo").read_text()
    lines = dict(line.split("\t:", 1) for line in info.splitlines() if "\t:" in line)
    lines = {key.strip(): value.strip() for key, value in lines.items()}
    return {"processor": lines.get("model name", platform.machine()), "processors": len(os.sched_getaffinity(0)),
            "bf16": bool({"avx512_bf16", "amx_bf16"} & set(lines.get("flags", "").split())), "load_before": os.getloadavg()[0]}


def run(args):
    began = time.monotonic()
    args.work.mkdir(parents=True, exist_ok=True)
    plan = rounds.Plan(args)
    print(f"[bench] writing {len(plan.models)} models", flush=True)
    folders = models.write_all(args.work, plan.models, bool(args.ort))
    facts = machine()
    with contextlib.ExitStack() as stack:
        print("[bench] starting the servers", flush=True)
        servers = start_servers(stack, args, folders, plan.swapped, facts["bf16"])
        print(f"[bench] they serve after {time.monotonic() - began:.0f} s", flush=True)
        figures = plan.run(Programs(args.bin), servers)
    args.json.write_text(json.dumps({"figures": figures}))  # Kept, whatever comes.
    judged = targets.judge(figures, facts["bf16"])
    suspects = targets.suspects(figures)
    result = {"machine": facts, "quick": args.quick, "rounds": plan.count, "only": args.only,
              "seconds": round(time.monotonic() - began), "targets": judged, "suspect_floors": suspects,
              "figures": figures}
    args.json.write_text(json.dumps(result, indent=1) + "\n")
    print("\n" + table(judged) + "\n")
    if "curve" in figures:
        picture = args.json.with_suffix(".svg")
        picture.write_text(latency_svg("One step: latency against load (hidden 256, 64 streams, open loop)",
                                       figures["curve"]))
        print(f"[bench] the picture is in {picture}")
    print(f"[bench] every figure is in {args.json} ({result['seconds']} s)")
    for suspect in suspects:
        print(f"[bench] SUSPECT: {suspect}", file=sys.stderr)
    missed = sum(t["pass"] is False for t in judged)
    print(f"{sum(t['pass'] is True for t in judged)} passed, {missed} missed, "
          f"{sum(t['pass'] is None for t in judged)} not judged")
    return 1 if missed or suspects else 0


if __name__ == "__main__":
    try:
        sys.exit(run(arguments()))
    except BenchError as error:
        sys.exit(f"[bench] {error}")
