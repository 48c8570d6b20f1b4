"""Two servers side by side, for the scripts here: starting them, and the CPU they have used."""
import glob
import os
import random
import shlex
import socket
import subprocess
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


def benchmark(port, cores, options):
    """Runs redis-benchmark. Requests a second, and the p99 in ms."""
    os.environ.setdefault("LC_ALL", "C")
    command = ["taskset", "-c", cores, "redis-benchmark", "-p", str(port), "--csv"] + [str(option) for option in options]
    result = subprocess.run(command, capture_output=True, text=True)
    fields = (result.stdout.strip().splitlines() or [""])[-1].strip('"').split('","')
    if len(fields) < 7 or "rror" in result.stdout + result.stderr:
        raise SystemExit(f"{' '.join(command)}: {(result.stdout + result.stderr)[-500:]}")
    return float(fields[1]), float(fields[6])
