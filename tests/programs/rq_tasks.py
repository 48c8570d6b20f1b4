"""What the jobs of rq_jobs.py do."""


def square(n):
    return n * n


def fail():
    raise ValueError("not today")
