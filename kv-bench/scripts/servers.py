"""Two servers side by side, for the scripts here: starting them, and the CPU they have used."""
import argparse
import glob
import os
import random
import shlex
import socket
import statistics
import subprocess
import sys
import tempfile
import time


class Server:
    """A server without persistence, on some cores, in a folder of its own in `folder`. `command` gets --port, --dir, --save "" and --appendonly no."""

    def __init__(self, command, port, folder, cores, more=()):
        folder = os.path.join(folder, str(port))
        os.mkdir(folder)
        words = shlex.split(command) + ["--port", str(port), "--dir", folder, "--save", "", "--appendonly", "no", *more]
        self.port = port
        self.process = subprocess.Popen(["taskset", "-c", cores] + words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(200):
            if self.process.poll() is not None:
                raise SystemExit(f"ended at once: {' '.join(words)}")
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                return
            except OSError:
                time.sleep(0.05)
        raise SystemExit(f"does not answer: {' '.join(words)}")

    def stop(self):
        self.process.kill()
        self.process.wait()

    def cpu_us(self):
        """What the kernel's scheduler counted for the server's threads (schedstat, in nanoseconds)."""
        files = glob.glob(f"/proc/{self.process.pid}/task/*/schedstat")
        return sum(int(open(f).read().split()[0]) for f in files) / 1000

    def settle(self):
        """Waits until nothing is done in the background any more (freeing what was there before)."""
        before = self.cpu_us()
        for _ in range(200):
            time.sleep(0.05)
            now = self.cpu_us()
            if now - before < 1000:
                return
            before = now


def encode(words):
    """A request."""
    words = [str(word).encode() for word in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def take(connection, lines):
    """Waits for so many lines; an error ends the program."""
    while lines > 0:
        data = connection.recv(1 << 16)
        if not data or any(error in data for error in (b"-ERR", b"-EXECABORT", b"-NOSCRIPT")):
            raise SystemExit(f"a wrong reply: {data[-200:]}")
        lines -= data.count(b"\r\n")


def bursts(server, requests, lines, units, pipeline, connections):
    """Sends some `units` in a closed loop: on each connection one of `requests`, which is `pipeline` units and has replies of `lines` lines,
    then waits for all of them. CPU a unit, in us, and units a second."""
    sockets = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(connections)]
    server.settle()
    before, start = server.cpu_us(), time.monotonic()
    rounds = units // (pipeline * connections)
    for _ in range(rounds):
        for connection in sockets:
            connection.sendall(random.choice(requests))
        for connection in sockets:
            take(connection, lines)
    took, used = time.monotonic() - start, server.cpu_us() - before
    count = rounds * pipeline * connections
    return used / count, count / took


def compare_bursts(doc, lines, request, load, bars, unit):
    """The whole of a program that compares two servers' CPU under `bursts`, one shard each: reads its options, runs its cases in interleaved
    rounds, prints medians with the bars, and ends with status 1 when one is not reached.

    doc: what --help says. lines: by case, the lines of a unit's replies. request(case): a unit's bytes, another one each time. load(connection):
    brings the keys. bars: by case, the most that A may use of B's CPU. unit: what the units are called, which is the name of an option.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--a", default="target/release/kv-server --shards 1")
    parser.add_argument("--b", default="redis-server")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(f"--{unit}", dest="units", type=int, default=400_000)
    parser.add_argument("--pipeline", type=int, default=16)
    parser.add_argument("--connections", type=int, default=20)
    parser.add_argument("--only", default="", help="names of cases, with commas")
    o = parser.parse_args()
    chosen = [case for case in lines if case in (o.only.split(",") if o.only else lines)]
    os.sched_setaffinity(0, {1})
    requests = {case: [b"".join(request(case) for _ in range(o.pipeline)) for _ in range(20_000)] for case in chosen}
    got = {}
    with tempfile.TemporaryDirectory() as folder:
        servers = {"A": Server(o.a, 7431, folder, "0")}
        try:
            servers["B"] = Server(o.b, 7432, folder, "0")
            for server in servers.values():
                with socket.create_connection(("127.0.0.1", server.port)) as connection:
                    load(connection)
            for round in range(o.rounds):
                for case in chosen:
                    for name in "AB" if round % 2 == 0 else "BA":
                        figures = bursts(servers[name], requests[case], lines[case] * o.pipeline, o.units, o.pipeline, o.connections)
                        got.setdefault((case, name), []).append(figures)
        finally:
            for server in servers.values():
                server.stop()
    short = []
    for case in chosen:
        (a, a_rate), (b, b_rate) = ([statistics.median(column) for column in zip(*got[case, name])] for name in "AB")
        bar = bars.get(case)
        short += [case] if bar and a / b > bar else []
        verdict = "" if bar is None else f"   bar {bar:.2f} {'SHORT' if case in short else 'met'}"
        print(f"{case:8s} A {a:7.3f} us {a_rate:9.0f}/s   B {b:7.3f} us {b_rate:9.0f}/s   A/B {a / b:.2f}{verdict}")
    sys.exit(1 if short else 0)


def benchmark(port, cores, options):
    """Runs redis-benchmark. Requests a second, and the p99 in ms."""
    os.environ.setdefault("LC_ALL", "C")
    command = ["taskset", "-c", cores, "redis-benchmark", "-p", str(port), "--csv"] + [str(option) for option in options]
    result = subprocess.run(command, capture_output=True, text=True)
    fields = (result.stdout.strip().splitlines() or [""])[-1].strip('"').split('","')
    if len(fields) < 7 or "rror" in result.stdout + result.stderr:
        raise SystemExit(f"{' '.join(command)}: {(result.stdout + result.stderr)[-500:]}")
    return float(fields[1]), float(fields[6])
