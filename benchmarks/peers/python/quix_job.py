"""Quix Streams: one process takes keys out of tweets, the others count them in hopping windows, with a topic between.

- The messages have no key and windows are by message key, so the keys must go through Kafka again (group_by would make such a
  topic too). As services that share a consumer group the job uses more than one core, which is how the documentation scales.
- The counting processes are in their group before the first event is sent, so no partition moves with its state.
- count().current(): each update is emitted and the last one of each window is kept and written at the end. final() closes a window
  only when a later message comes, so it never closes the last ones of a bounded topic.
- Grace longer than the data: nothing is late. Changelog topics off (in its favour); default commit interval; lz4, linger 20 ms.
"""

import gc
import os
import subprocess
import sys
import time

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from quixstreams import Application
from quixstreams.models.serializers import Serializer

from job import CORES, SETTING, SLIDE_S, WINDOW_S, Extract, create, done, row

PARTITIONS = 8
GRACE_MS = 24 * 3600 * 1000
END = (
    "\0end"  # the key of the message that ends a partition of the topic between; its value: how many ends its process waits for
)


class One(Serializer):
    def __call__(self, value, ctx):
        return b"1"


def application(name, run, on_message):
    gc.set_threshold(500_000, 20, 100)
    return Application(
        SETTING["BROKERS"],
        consumer_group="%s-%s" % (run, name),
        auto_offset_reset="earliest",
        use_changelog_topics=False,
        loglevel="WARNING",
        state_dir=os.path.join(SETTING["SCRATCH"], "state-%s-%d" % (name, os.getpid())),
        consumer_poll_timeout=0.05,
        on_message_processed=on_message,
        producer_extra_config={"linger.ms": 20, "compression.type": "lz4", "queue.buffering.max.messages": 2_000_000},
    )


def records_in(topic):
    consumer = Consumer({"bootstrap.servers": SETTING["BROKERS"], "group.id": "weir-peers-quix-look"})
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    bounds = [consumer.get_watermark_offsets(TopicPartition(topic, partition)) for partition in partitions]
    consumer.close()
    return sum(high - low for low, high in bounds)


def wait_for_group(admin, group, counters):
    """Returns, for each partition of the topic between, how many partitions its process has."""
    while True:
        about = admin.describe_consumer_groups([group])[group].result()
        assigned = [[taken.partition for taken in member.assignment.topic_partitions] for member in about.members]
        shares = {partition: len(partitions) for partitions in assigned for partition in partitions}
        if about.state.name == "STABLE" and len(assigned) == len(counters) and all(assigned) and len(shares) == PARTITIONS:
            return shares
        if any(counter.poll() is not None for counter in counters):
            sys.exit("a counting process ended")
        time.sleep(0.05)


def extract_keys(run, began):
    total = records_in(SETTING["TOPIC"])
    processed = [0]
    take = Extract(lambda seconds: 1000 * seconds)

    def keys(message):
        began[0] = began[0] or time.time()
        out = []
        take(message, out)
        return out

    def on_message(topic, partition, offset):
        processed[0] += 1
        if processed[0] == total:
            app.stop()

    app = application("extract", run, on_message)
    stream = app.dataframe(app.topic(SETTING["TOPIC"], value_deserializer="bytes", key_deserializer="bytes"))
    stream = stream.apply(keys, expand=True).set_timestamp(lambda event, key, timestamp, headers: event[1])
    stream.to_topic(app.topic(run, key_serializer="str", value_serializer=One()), key=lambda event: event[0])
    return app, processed


def main():
    run = "weir-peers-quix-%d" % os.getpid()
    admin = AdminClient({"bootstrap.servers": SETTING["BROKERS"]})
    # Event times may be years ago: the broker must not delete them as expired.
    admin.create_topics([NewTopic(run, PARTITIONS, 1, config={"retention.ms": "-1"})])[run].result()
    counters = []
    try:
        counters += [subprocess.Popen([sys.executable, "-W", "ignore", __file__, run, str(number)]) for number in range(CORES)]
        shares = wait_for_group(admin, run + "-count", counters)
        began = [None]
        app, processed = extract_keys(run, began)
        app.run()  # returns when all of its messages are in the topic
        producer = Producer({"bootstrap.servers": SETTING["BROKERS"]})
        for partition in range(PARTITIONS):
            producer.produce(run, b"%d" % shares[partition], key=END.encode(), partition=partition, timestamp=1000)
        producer.flush(10)
        if any([counter.wait() for counter in counters]):
            sys.exit("a counting process failed")
        done(began[0], records=processed[0])
    finally:
        for counter in counters:
            counter.kill()  # no-op for one that ended
        admin.delete_topics([run])[run].result()


def count(run, number):
    rows, ends = {}, []

    def on_message(topic, partition, offset):
        if ends and len(ends) == int(ends[0]):
            app.stop()

    def is_event(value, key, timestamp, headers):
        if key == END:
            ends.append(value)
        return key != END

    app = application("count", run, on_message)
    stream = app.dataframe(app.topic(run, value_deserializer="bytes", key_deserializer="str"))
    counts = (
        stream.filter(is_event, metadata=True)
        .hopping_window(WINDOW_S * 1000, SLIDE_S * 1000, grace_ms=GRACE_MS)
        .count()
        .current()
    )
    counts.update(
        lambda window, key, timestamp, headers: rows.__setitem__((window["start"], key), window["value"]), metadata=True
    )
    app.run()
    with create("rows-%s.csv" % number) as out:
        for (start_ms, key), value in rows.items():
            out.write(row(key, start_ms // 1000, value))


if len(sys.argv) > 1:
    count(sys.argv[1], sys.argv[2])
else:
    main()
