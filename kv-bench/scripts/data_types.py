#!/usr/bin/env python3
"""Server CPU per operation on every data type, of kv-server beside another server, with the bars that kv is to reach.

    data_types.py --b REDIS8 [--rounds 5] [--only zset,lpush] [--scale 0.2] [--pipeline 16] [--size 64]

One shard, the servers on core 0 and redis-benchmark (50 connections, pipeline 16) on core 1. Before each measurement the
server is emptied and loaded with the same data as the other. Rounds are interleaved: all cases, and in each of them the
servers by turns, the first in one round being the second in the next. CPU is what the kernel's scheduler counted for the
server's threads (schedstat); a figure is the median over the rounds. A case whose command a server does not have is told to be
absent. Exit status 1 when a bar is not reached.

A: --a COMMAND, default "target/release/kv-server --shards 1"; B: --b COMMAND, default redis-server. Both get --port, --dir, --save ""
and --appendonly no. Values are as long as redis-benchmark's (3 bytes) unless --size says otherwise. The operations
that answer much or combine whole sets run fewer times.
"""
import argparse
import socket
import statistics
import sys
import tempfile

from servers import Server, benchmark, encode

RAND = "__rand_int__"


class Case:
    """`count` requests of `words` (or of a test of redis-benchmark), `keys` being the range of __rand_int__."""

    def __init__(self, name, bar, count, words, load=None, keys=1_000_000):
        self.name, self.bar, self.count, self.load, self.keys = name, bar, count, load, keys
        self.test = words if isinstance(words, str) else None
        self.words = None if self.test else words

    @property
    def command(self):
        return self.words[0] if self.words else self.test.split("_")[0]

    def options(self, o, count):
        options = ["-c", 50, "-P", o.pipeline, "-d", o.size, "-r", self.keys, "-n", count]
        return options + (["-t", self.test] if self.test else self.words)


def many(command, key, item, count, per=100):
    """Requests that add `count` items to a key, `item(i)` being the words of one."""
    for start in range(0, count, per):
        yield [command, key] + [word for i in range(start, min(start + per, count)) for word in item(i)]


def member(i):
    return f"element:{i:012d}"


def scattered(i, below):
    """A number that depends on i without order."""
    return i * 7_919_987 % below


def points(count):
    """Places over some thousand kilometres: some forty within 50 km of each."""
    return many("GEOADD", "geo", lambda i: [scattered(i, 10_007) / 1000, 45 + scattered(i, 7_919) / 1000, member(i)], count)


def cases(o):
    value = "x" * o.size
    fast, pops = int(1_000_000 * o.scale), int(1_000_000 * o.scale)
    elements = lambda count: many("RPUSH", "mylist", lambda i: [value], count)
    scores = lambda key, count, first=0: many("ZADD", key, lambda i: [scattered(i, 1_000_003), member(first + i)], count)
    members = lambda key, count, first=0: many("SADD", key, lambda i: [member(first + i)], count)
    stream = lambda count: (["XADD", "stream", f"1{i:012d}-0", "field", value] for i in range(count))
    few = lambda count: max(int(count * o.scale), 50)
    return [
        Case("lpush", 0.60, fast, "lpush"),
        Case("rpush", 0.60, fast, "rpush"),
        Case("lpop", 0.60, pops, "lpop", lambda: elements(pops)),
        Case("rpop", 0.60, pops, "rpop", lambda: elements(pops)),
        Case("sadd", 0.60, fast, "sadd"),
        Case("hset", 0.60, fast, "hset"),
        Case("spop", 0.60, pops, "spop", lambda: members("myset", pops)),
        Case("zadd", 0.60, fast, "zadd"),
        Case("zpopmin", 0.60, pops, "zpopmin", lambda: scores("myzset", pops)),
        Case("lrange_100", 0.80, few(100_000), ["LRANGE", "mylist", "0", "99"], lambda: elements(10_000)),
        Case("lrange_600", 0.80, few(30_000), ["LRANGE", "mylist", "0", "599"], lambda: elements(10_000)),
        Case("mset (10)", 0.80, few(200_000), "mset"),
        Case("zrank", 0.75, fast, ["ZRANK", "z", f"element:{RAND}"], lambda: scores("z", 100_000), 100_000),
        Case(
            "zrange by score, 10", 0.75, few(500_000),
            ["ZRANGE", "z", RAND, "+inf", "BYSCORE", "LIMIT", "0", "10"], lambda: scores("z", 100_000), 900_000,
        ),
        Case(
            "sinter 10,000", 0.75, few(1_000), ["SINTER", "s1", "s2"],
            lambda: [*members("s1", 10_000), *members("s2", 10_000, 5_000)],
        ),
        Case(
            "zunionstore 10,000", 0.75, few(400), ["ZUNIONSTORE", "to", "2", "z1", "z2"],
            lambda: [*scores("z1", 10_000), *scores("z2", 10_000, 5_000)],
        ),
        Case(
            "geosearch 50 km", 0.75, few(50_000),
            ["GEOSEARCH", "geo", "FROMMEMBER", f"element:{RAND}", "BYRADIUS", "50", "km", "ASC"], lambda: points(20_000), 20_000,
        ),
        Case("xadd", 0.75, fast, ["XADD", "stream", "*", "field", value]),
        Case(
            "xread, 10", 0.75, few(500_000), ["XREAD", "COUNT", "10", "STREAMS", "stream", f"1{RAND}-0"],
            lambda: stream(100_000), 90_000,
        ),
    ]


class Client:
    """Loads data by pipelines."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.replies = self.socket.makefile("rb")

    def ask_all(self, requests):
        """The first line of each reply. Ends the program at an error."""
        requests, answers = list(requests), []
        for start in range(0, len(requests), 500):
            part = requests[start : start + 500]
            self.socket.sendall(b"".join(encode(request) for request in part))
            answers += [self.reply() for _ in part]
        return answers

    def reply(self):
        line = self.replies.readline()
        if line.startswith(b"-"):
            raise SystemExit(f"loading: {line.decode()}")
        if line[:1] == b"$" and line != b"$-1\r\n":
            self.replies.read(int(line[1:]) + 2)
        elif line[:1] == b"*":
            for _ in range(int(line[1:])):
                self.reply()
        return line


def has(client, command):
    client.socket.sendall(encode(["COMMAND", "INFO", command]))
    client.replies.readline()
    line = client.replies.readline()
    if line[:1] != b"*" or line.startswith(b"*-1"):
        return False
    for _ in range(int(line[1:])):
        client.reply()
    return True


def measure(server, case, o):
    """CPU an operation, in us, and requests a second; none: the server does not have the command."""
    client = Client(server.port)
    if not has(client, case.command):
        return None
    client.ask_all([["FLUSHALL"]])
    if case.load:
        client.ask_all(case.load())
    server.settle()
    before = server.cpu_us()
    rate, _ = benchmark(server.port, "1", case.options(o, case.count))
    return (server.cpu_us() - before) / case.count, rate


def report(case, got):
    """Prints a line; whether the bar is reached."""
    figures = {}
    for name in "AB":
        runs = [run for run in got[case.name, name] if run]
        if not runs:
            print(f"{case.name:22s} absent from {name}")
            return False
        figures[name] = [statistics.median(column) for column in zip(*runs)]
    (a, a_rate), (b, b_rate) = figures["A"], figures["B"]
    met = a / b <= case.bar
    print(
        f"{case.name:22s} A {a:9.3f} us {a_rate:9.0f}/s   B {b:9.3f} us {b_rate:9.0f}/s   "
        f"A/B {a / b:.2f}   bar {case.bar:.2f} {'met' if met else 'SHORT'}",
        flush=True,
    )
    return met


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--a", default="target/release/kv-server --shards 1")
    parser.add_argument("--b", default="redis-server")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="parts of the names of cases, with commas")
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of requests")
    parser.add_argument("--pipeline", type=int, default=16)
    parser.add_argument("--size", type=int, default=3, help="bytes of a value")
    o = parser.parse_args()
    wanted = [part for part in o.only.lower().split(",") if part]
    chosen = [case for case in cases(o) if not wanted or any(part in case.name for part in wanted)]
    got = {}
    with tempfile.TemporaryDirectory() as folder:
        servers = {"A": Server(o.a, 7431, folder, "0")}
        try:
            servers["B"] = Server(o.b, 7432, folder, "0")
            for round in range(o.rounds):
                for case in chosen:
                    for name in "AB" if round % 2 == 0 else "BA":
                        got.setdefault((case.name, name), []).append(measure(servers[name], case, o))
        finally:
            for server in servers.values():
                server.stop()
    short = [case.name for case in chosen if not report(case, got)]
    print("short or absent: " + ", ".join(short) if short else "all bars met")
    sys.exit(1 if short else 0)


if __name__ == "__main__":
    main()
