"""A worker of Celery, in a process of its own and with its normal settings, does 100 tasks: alone, in a group, in a chain, in a
chord, later, and again after a failure. Prints one line for each part that works; anything else is a failure."""
import os
import subprocess
import sys

from celery import chain, chord, group

import celery_tasks

url = sys.argv[1]
folder = os.path.dirname(os.path.abspath(__file__))
worker = subprocess.Popen(
    [sys.executable, "-m", "celery", "-A", "celery_tasks", "worker", "--concurrency", "2", "--loglevel", "WARNING"],
    cwd=folder, env={**os.environ, "CELERY_URL": url}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
celery_tasks.app.conf.update(broker_url=url, result_backend=url)
square, total = celery_tasks.square, celery_tasks.total
try:
    assert square.delay(7).get(timeout=60) == 49
    print("one")
    assert group(square.s(n) for n in range(80)).apply_async().get(timeout=60) == [n * n for n in range(80)]
    print("group")
    assert chain(square.s(2), square.s(), square.s()).apply_async().get(timeout=60) == 256
    print("chain")
    assert chord((square.s(n) for n in range(12)), total.s()).apply_async().get(timeout=60) == sum(n * n for n in range(12))
    print("chord")
    assert square.apply_async((5,), countdown=0.2).get(timeout=60) == 25
    print("later")
    assert celery_tasks.second_time.delay("celery-second-time").get(timeout=60) == 2
    print("retry")
    assert len(celery_tasks.app.control.ping(timeout=5)) == 1
    print("control")
finally:
    worker.terminate()
    worker.wait(60)
