"""Scripts as redis-py's users write them: register_script, pipelines with scripts, Lock. Ends with an error if something is not as it should be.

    scripts.py PORT
"""
import sys
import threading

import redis
from redis.exceptions import LockNotOwnedError, NoScriptError, ResponseError

LIMIT = """
local n = redis.call('INCR', KEYS[1])
if n == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return n <= tonumber(ARGV[1]) and 1 or 0
"""
# Names are made up from a prefix, as queues do.
ENQUEUE = """
local id = redis.call('INCR', KEYS[1] .. ':id')
redis.call('HSET', KEYS[1] .. ':job:' .. id, 'data', ARGV[1], 'opts', cjson.encode({attempts = 3}))
redis.call('LPUSH', KEYS[1] .. ':wait', id)
return id
"""
TAKE = """
local id = redis.call('RPOPLPUSH', KEYS[1] .. ':wait', KEYS[1] .. ':active')
if not id then return false end
return {id, redis.call('HGET', KEYS[1] .. ':job:' .. id, 'data')}
"""


def main(port):
    client = redis.Redis(port=port, decode_responses=True)
    limit = client.register_script(LIMIT)
    assert [limit(keys=["limit"], args=[3, 60_000]) for _ in range(5)] == [1, 1, 1, 0, 0]
    assert 0 < client.pttl("limit") <= 60_000

    # A script that the server has forgotten is loaded again.
    client.script_flush()
    assert client.script_exists(limit.sha) == [False]
    assert limit(keys=["other"], args=[1, 1000]) == 1
    assert client.script_exists(limit.sha) == [True]
    try:
        client.evalsha("0" * 40, 0)
        raise SystemExit("an unknown script ran")
    except NoScriptError:
        pass
    try:
        client.eval("return redis.call('LPUSH', KEYS[1], 1)", 1, "limit")
        raise SystemExit("a counter is no list")
    except ResponseError as error:
        assert str(error).startswith("WRONGTYPE"), error

    enqueue, take = client.register_script(ENQUEUE), client.register_script(TAKE)
    with client.pipeline(transaction=True) as pipeline:
        for i in range(100):
            enqueue(keys=["queue"], args=[f"job {i}"], client=pipeline)
        assert pipeline.execute() == list(range(1, 101))
    taken, guard = [], threading.Lock()

    def worker():
        mine = redis.Redis(port=port, decode_responses=True)
        while job := take(keys=["queue"], client=mine):
            with guard:
                taken.append(job[1])

    threads = [threading.Thread(target=worker) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert sorted(taken) == sorted(f"job {i}" for i in range(100)), len(taken)
    assert client.llen("queue:active") == 100 and client.llen("queue:wait") == 0

    # Lock: its release and its extension are scripts.
    count = {"n": 0}

    def locked():
        mine = redis.Redis(port=port)
        for _ in range(20):
            with mine.lock("lock", timeout=30, sleep=0.001):
                before = count["n"]
                mine.ping()
                count["n"] = before + 1

    threads = [threading.Thread(target=locked) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert count["n"] == 80 and not client.exists("lock")
    lock = client.lock("lock", timeout=30)
    assert lock.acquire() and lock.owned() and lock.extend(10) and lock.reacquire()
    client.set("lock", "somebody else")
    try:
        lock.release()
        raise SystemExit("a lock of somebody else was released")
    except LockNotOwnedError:
        pass
    print("ok")


main(int(sys.argv[1]))
