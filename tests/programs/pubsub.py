"""A program as people write them with redis-py: a cache that listens for changes, a chat with patterns, a worker in a thread, a
pipeline that writes and tells. Prints one line for each part that works; anything else is a failure."""
import sys
import threading

import redis


def messages(subscription, count):
    """The next `count` messages that are no confirmations."""
    got = []
    while len(got) < count:
        message = subscription.get_message(ignore_subscribe_messages=True, timeout=30)
        assert message is not None, "nothing came for 30 seconds"
        got.append(message)
    return got


def confirmed(subscription, count):
    while count:
        message = subscription.get_message(timeout=30)
        assert message is not None and message["type"].endswith("subscribe"), message
        count -= 1


client = redis.from_url(sys.argv[1], decode_responses=True)

chat = client.pubsub()
chat.subscribe("room:1", "room:2")
chat.psubscribe("room:*")
confirmed(chat, 3)
assert client.publish("room:1", "hello") == 2
assert client.publish("room:3", "there") == 1
assert [(m["type"], m["channel"], m["data"]) for m in messages(chat, 3)] == [
    ("message", "room:1", "hello"), ("pmessage", "room:1", "hello"), ("pmessage", "room:3", "there")]
assert client.pubsub_channels("room:*") and client.pubsub_numpat() == 1
assert client.pubsub_numsub("room:1", "room:9") == [("room:1", 1), ("room:9", 0)]
chat.ping("sign")
assert messages(chat, 1)[0]["data"] == "sign"
chat.unsubscribe("room:1")
chat.punsubscribe()
print("chat")

heard, all_heard = [], threading.Event()


def handler(message):
    heard.append((message["channel"], message["data"], int(client.get(f"value:{message['data']}"))))
    if len(heard) == 400:
        all_heard.set()


workers = client.pubsub(ignore_subscribe_messages=True)
workers.subscribe(**{"jobs": handler})
while client.pubsub_numsub("jobs") != [("jobs", 1)]:
    pass
thread = workers.run_in_thread(sleep_time=0.01)
for start in range(0, 400, 100):
    with client.pipeline(transaction=start % 200 == 0) as pipe:
        for job in range(start, start + 100):
            pipe.set(f"value:{job}", job)
            pipe.publish("jobs", job)
        replies = pipe.execute()
    assert replies == [True, 1] * 100, replies
assert all_heard.wait(30), f"only {len(heard)} came"
thread.stop()
thread.join()
assert heard == [("jobs", str(job), job) for job in range(400)]
print("worker")

many = [client.pubsub() for _ in range(50)]
for subscription in many:
    subscription.subscribe("all")
    confirmed(subscription, 1)
assert client.publish("all", "x" * 100_000) == 50
for subscription in many:
    assert messages(subscription, 1)[0]["data"] == "x" * 100_000
    subscription.close()
print("many")
