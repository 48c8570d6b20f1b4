"""The tasks of celery_jobs.py."""
import os

import celery

url = os.environ.get("CELERY_URL")
app = celery.Celery("tasks", broker=url, backend=url)


@app.task
def square(n):
    return n * n


@app.task
def total(numbers):
    return sum(numbers)


@app.task(bind=True, default_retry_delay=0.1)
def second_time(self, name):
    count = self.request.retries + 1
    if count < 2:
        raise self.retry(exc=ValueError(name))
    return count
