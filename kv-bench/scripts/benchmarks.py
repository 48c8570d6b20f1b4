#!/usr/bin/env python3
"""Writes docs/benchmarks.md's tables "Side by side" from kv-bench's own output: kv beside other servers.

    cargo build --release --bins && kv-bench/scripts/benchmarks.py --peer redis-server --peer REDIS8 [--rounds 3] [--write]

Two parts, each with all servers up and empty but for 1 M keys of 64-byte values, and the rounds interleaved:

- one core for the server and another for the client: kv with one shard
- server and client share two cores: kv with two shards

Cases: SET and GET in a closed loop of 50 connections at pipelines 1, 16 and 64; and an open loop of GET and SET (80:20) whose requests
are due independently of each other (Poisson) at two rates, latency from when they were due. A cell is the median of the rounds. What
kv-bench doubts about its own result is told below the table. Without --write the tables go to standard output only.
"""
import argparse
import json
import pathlib
import re
import statistics
import subprocess
import tempfile

from servers import Server

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/benchmarks.md"
BEGIN, END = "<!-- benchmarks.py: begin -->\n", "<!-- benchmarks.py: end -->\n"
KEYS = ["-r", "1000000", "-d", "64"]
CLOSED = [(test, pipeline) for pipeline in (1, 16, 64) for test in ("set", "get")]
PARTS = {
    "One shard: the server has one core, the client another": (["--shards", "1"], "0", "1"),
    "Two shards: server and client share two cores": (["--shards", "2"], "0,1", "0,1"),
}


def run(program, port, cores, options):
    command = ["taskset", "-c", cores, program, "-p", str(port), "--json", *KEYS, *map(str, options)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: {result.stdout[-300:]}{result.stderr[-300:]}")
    return json.loads(result.stdout.splitlines()[-1])


def per_second(value):
    return f"{value / 1000:,.0f} k/s" if value < 1e6 else f"{value / 1e6:.2f} M/s"


def us(value):
    return f"{value:.2f} us" if value < 10 else f"{value:.1f} us"


def ms(value):
    return f"{value:.2f} ms" if value < 10 else f"{value:.0f} ms"


# What a cell tells of a result, and how.
FIGURES = {
    "throughput": (lambda r: r["rps"], per_second),
    "p50": (lambda r: r["latency_ms"]["p50"], ms),
    "p99": (lambda r: r["latency_ms"]["p99"], ms),
    "p99.9": (lambda r: r["latency_ms"]["p99.9"], ms),
    "server CPU per operation": (lambda r: r["server"]["cpu_us_per_op"], us),
}


def part(o, title, folder):
    more, server_cores, client_cores = PARTS[title]
    commands = {"kv": (o.kv, more)} | {peer: (peer, []) for peer in o.peer}
    servers = {}
    try:
        for at, (command, extra) in enumerate(commands.values()):
            server = Server(command, 7461 + at, folder, server_cores, extra)
            loaded = run(o.kv_bench, server.port, client_cores, ["-t", "get", "--preload", "-n", 1000])
            servers[loaded["server"]["name"]] = server
        cases = [(f"{test.upper()}, pipeline {pipeline}", ["-t", test, "-P", pipeline, "--seconds", o.seconds, "--warm-up", 0.5], ["throughput", "p99"]) for test, pipeline in CLOSED]
        cases += [
            (f"{rate // 1000},000/s, GET and SET", ["--mix", "get:80,set:20", "--rate", rate, "-P", 16, "--seconds", o.seconds * 2, "--warm-up", 0.5], ["p50", "p99", "p99.9"])
            for rate in o.rates
        ]
        got = {}
        for _ in range(o.rounds):
            for name, options, _ in cases:
                for peer, server in servers.items():
                    got.setdefault((name, peer), []).append(run(o.kv_bench, server.port, client_cores, options))
        lines = [f"### {title}", "", "| | | " + " | ".join(servers) + " |", "|---|---|" + "---|" * len(servers)]
        for name, _, figures in cases:
            for at, figure in enumerate([*figures, "server CPU per operation"]):
                read, show = FIGURES[figure]
                cells = [show(statistics.median(map(read, got[name, peer]))) for peer in servers]
                lines.append(f"| {name if at == 0 else ''} | {figure} | " + " | ".join(cells) + " |")
        results = [result for all_rounds in got.values() for result in all_rounds]
        codes = [doubt["code"] for result in results for doubt in result["doubts"]]
        told = [f"- `{code}`: {codes.count(code)} of {len(results)} results" for code in sorted(set(codes))]
        return "\n".join(lines + (["", "What kv-bench doubts:", "", *told] if told else [])) + "\n"
    finally:
        for server in servers.values():
            server.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kv", default="target/release/kv-server")
    parser.add_argument("--kv-bench", default="target/release/kv-bench")
    parser.add_argument("--peer", action="append", default=[], help="command of a server to compare with")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rates", type=lambda text: [int(rate) for rate in text.split(",")], default=[20_000, 50_000])
    parser.add_argument("--write", action="store_true", help="into docs/benchmarks.md")
    o = parser.parse_args()
    tables = []
    for title in PARTS:
        with tempfile.TemporaryDirectory() as folder:
            tables.append(part(o, title, folder))
            print(tables[-1])
    if o.write:
        text = "\n".join(tables)
        page, count = re.subn(f"(?s){re.escape(BEGIN)}.*{re.escape(END)}", lambda _: BEGIN + "\n" + text + "\n" + END, PAGE.read_text())
        assert count == 1, "the page has no place for them"
        PAGE.write_text(page)


if __name__ == "__main__":
    main()
