"""messaging/*: the common patterns, over either binding."""

import errno
import time

from .payload import digest, message_digest, payload
from .sockets import PATIENCE_MS, connected


def req_rep(task, report, context):
    count, sizes = task.number("count"), task.numbers("sizes")
    asking = connected(context, "REQ", task.endpoint("replier"))
    answering = connected(context, "REP", task.endpoint("requester"))
    replies, requests = [], []
    for i in range(count):
        report.step("request %d" % i)
        asking.send_message([payload(task.seed, i, sizes[i % len(sizes)])])
        replies.append(message_digest(asking.receive_message()))
    for i in range(count):
        report.step("reply %d" % i)
        requests.append(message_digest(answering.receive_message()))
        answering.send_message([payload(task.seed, 100000 + i, sizes[i % len(sizes)])])
    _close(report, context, asking, answering)
    report.list("replies.digests", replies, "digest")
    report.list("requests.digests", requests, "digest")


def push_pull(task, report, context):
    messages = _push_and_pull(task, report, context, 1)
    report.list("received.digests", map(message_digest, messages), "digest")


def multipart(task, report, context):
    messages = _push_and_pull(task, report, context, task.number("parts"))
    report.list("received.digests", map(message_digest, messages), "digest")
    report.list("received.parts", map(len, messages))


def _push_and_pull(task, report, context, parts):
    """Sends the task's messages and returns the frames of each received."""
    count, sizes = task.number("count"), task.numbers("sizes")
    sink = connected(context, "PUSH", task.endpoint("sink"))
    source = connected(context, "PULL", task.endpoint("source"))
    for i in range(count):
        report.step("send message %d" % i)
        sink.send_message(
            [
                payload(task.seed, i if parts == 1 else i * 16 + j, sizes[(i * parts + j) % len(sizes)])
                for j in range(parts)
            ]
        )
    messages = []
    for i in range(count):
        report.step("receive message %d" % i)
        messages.append(source.receive_message())
    _close(report, context, sink, source)
    return messages


def pub_sub(task, report, context):
    count, sizes = task.number("count"), task.numbers("sizes")
    subscriber = connected(context, "SUB", task.endpoint("pubsub"), topics=(b"match", b"synced"))
    publisher = connected(context, "PUB", task.endpoint("pubsub-in"))
    report.step("wait for synced")
    _synchronise(context, subscriber, publisher)
    for i in range(2 * count):
        report.step("publish message %d" % i)
        topic = b"other" if i % 2 else b"match"
        publisher.send_message([topic, payload(task.seed, i, sizes[i % len(sizes)])])
    publisher.send_message([b"end"])
    report.step("receive until match.end")
    digests, other = [], 0
    while True:
        frames = subscriber.receive_message()
        if frames == [b"match.end"]:
            break
        if len(frames) == 2 and frames[0] == b"match":
            digests.append(digest(frames[1]))
        elif frames != [b"synced"]:
            other += 1
    _close(report, context, subscriber, publisher)
    report.list("received.digests", digests, "digest")
    report.count("received.other", other)


def _synchronise(context, subscriber, publisher):
    """Publishes sync until a synced shows that the subscriptions of both sides
    are in force."""
    end = time.monotonic() + PATIENCE_MS / 1000
    subscriber.set("rcvtimeo", 20)
    while True:
        publisher.send_message([b"sync"])
        try:
            frames = subscriber.receive_message()
        except context.Error as error:
            if error.errno != errno.EAGAIN or time.monotonic() > end:
                raise
            continue
        if frames != [b"synced"]:
            raise ValueError("before synced came a message of %d frames" % len(frames))
        subscriber.set("rcvtimeo", PATIENCE_MS)
        return


def _close(report, context, *sockets):
    report.step("close and terminate")
    for socket in sockets:
        socket.close()
    context.terminate()
