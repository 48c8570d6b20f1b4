#!/usr/bin/env python3
"""Server CPU per PUBLISH, of kv-server beside another server, with the bar that kv is to reach.

    pubsub.py --b REDIS8 [--rounds 5] [--subscribers 100] [--channels 1] [--count 20000] [--size 64] [--bar 0.75]

One shard, the servers on core 0, the publisher and the subscribers on core 1. All subscribers have subscribed to one channel each,
of `--channels`; each message is published to a channel in turn and goes to `--subscribers` of them. Two cases: one PUBLISH at a
time, the next when all subscribers have got the last; and sixteen in one pipeline. What subscribers got is counted to the byte. CPU
is what the kernel's scheduler counted for the server's threads (schedstat); a figure is the median over the rounds, in which the
servers take turns. Exit status 1 when the bar is not reached.

A: --a COMMAND, default "target/release/kv-server --shards 1"; B: --b COMMAND, default redis-server. Both get --port, --dir, --save ""
and --appendonly no.
"""
import argparse
import os
import select
import socket
import statistics
import sys
import tempfile

from servers import Server


def encoded(*words):
    words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def name(channel):
    return b"channel:%06d" % channel


class Subscribers:
    def __init__(self, port, o):
        self.poll = select.epoll()
        self.sockets = {}
        for at in range(o.subscribers * o.channels):
            s = socket.create_connection(("127.0.0.1", port))
            s.sendall(encoded("SUBSCRIBE", name(at % o.channels)))
            assert s.recv(4096).startswith(b"*3\r\n$9\r\nsubscribe")
            s.setblocking(False)
            self.sockets[s.fileno()] = s
            self.poll.register(s.fileno(), select.EPOLLIN)

    def take(self, expected):
        """Reads until so many bytes have come to all of them together, and no more."""
        while expected > 0:
            for fd, _ in self.poll.poll(20):
                expected -= len(os.read(fd, 1 << 20))
        assert expected == 0, "more came than was sent"

    def close(self):
        [s.close() for s in self.sockets.values()]


def measure(server, o, pipeline):
    """Microseconds of CPU of the server for one PUBLISH."""
    subscribers = Subscribers(server.port, o)
    publisher = socket.create_connection(("127.0.0.1", server.port))
    publisher.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    text = b"x" * o.size
    answer = b":%d\r\n" % o.subscribers
    push = len(encoded("message", name(0), text)) * o.subscribers
    channel = 0

    def publish(rounds):
        nonlocal channel
        for _ in range(rounds):
            publisher.sendall(b"".join(encoded("PUBLISH", name((channel + i) % o.channels), text) for i in range(pipeline)))
            channel += pipeline
            got = b""
            while len(got) < len(answer) * pipeline:
                got += publisher.recv(65536)
            assert got == answer * pipeline, got
            subscribers.take(push * pipeline)

    rounds = max(o.count // pipeline, 1)
    publish(max(rounds // 10, 1))
    server.settle()
    before = server.cpu_us()
    publish(rounds)
    used = (server.cpu_us() - before) / (rounds * pipeline)
    subscribers.close()
    publisher.close()
    return used


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--a", default="target/release/kv-server --shards 1")
    parser.add_argument("--b", default="redis-server")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--subscribers", type=int, default=100, help="of each channel")
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--bar", type=float, default=0.75)
    parser.add_argument("--port", type=int, default=7501)
    o = parser.parse_args()
    os.sched_setaffinity(0, {1})
    missed = False
    with tempfile.TemporaryDirectory() as folder:
        servers = [Server(o.a, o.port, folder, "0"), Server(o.b, o.port + 1, folder, "0")]
        try:
            for pipeline in (1, 16):
                figures = ([], [])
                for turn in range(o.rounds):
                    for which in ((0, 1) if turn % 2 == 0 else (1, 0)):
                        figures[which].append(measure(servers[which], o, pipeline))
                a, b = (statistics.median(list_) for list_ in figures)
                reached = a / b <= o.bar
                missed |= not reached
                print(f"PUBLISH to {o.subscribers}, {pipeline:2} at a time: A {a:7.1f} us, B {b:7.1f} us, "
                      f"ratio {a / b:.2f} (bar {o.bar}){'' if reached else '  MISSED'}", flush=True)
        finally:
            [server.stop() for server in servers]
    sys.exit(missed)


if __name__ == "__main__":
    main()
