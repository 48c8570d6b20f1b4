"""A worker of RQ, in a process of its own and with its normal settings, does 100 jobs that are put in line while it waits; some
depend on others, some fail. Prints one line for each part that works; anything else is a failure."""
import os
import subprocess
import sys
import time

import redis
import rq
from rq.registry import FailedJobRegistry, FinishedJobRegistry

import rq_tasks

url = sys.argv[1]
connection = redis.from_url(url)
queue = rq.Queue("work", connection=connection)
folder = os.path.dirname(os.path.abspath(__file__))
worker = subprocess.Popen(
    [sys.executable, "-m", "rq.cli", "worker", "--url", url, "--path", folder, "work"],
    stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def wait(until, what):
    """Looks until it is so; a minute is more than all of it takes anywhere."""
    end = time.monotonic() + 60
    while not until():
        assert worker.poll() is None, f"the worker has ended: {worker.stderr.read().decode()}"
        assert time.monotonic() < end, f"not within a minute: {what}"
        time.sleep(0.02)


try:
    wait(lambda: rq.Worker.count(connection=connection) == 1, "the worker is there")
    print("worker")
    jobs = [queue.enqueue(rq_tasks.square, n) for n in range(98)]
    behind = queue.enqueue(rq_tasks.square, 98, depends_on=jobs[:2])
    fails = queue.enqueue(rq_tasks.fail)
    wait(lambda: len(FinishedJobRegistry(queue=queue)) == 99 and len(FailedJobRegistry(queue=queue)) == 1, "100 jobs are done")
    assert [job.result for job in [*jobs, behind]] == [n * n for n in range(99)]
    fails.refresh()
    assert fails.get_status() == "failed" and "not today" in fails.exc_info
    assert queue.count == 0
    print("jobs")
    FailedJobRegistry(queue=queue).requeue(fails)
    wait(lambda: len(FailedJobRegistry(queue=queue)) == 1 and queue.count == 0, "the job that failed has failed again")
    print("requeue")
finally:
    worker.terminate()
    worker.wait(60)
assert rq.Worker.count(connection=connection) == 0
print("end")
