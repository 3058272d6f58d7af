#!/usr/bin/env python3
"""A real Apache Kafka (WEIR_TEST_BROKERS): what only its own broker can show.

    kafka_test.py [--only WORD]

Needs `kafka_put` (WEIR_KAFKA_PUT, or beside the binary) for timestamps, headers and transactions. Every topic is new.
"""
import argparse
import datetime
import glob
import json
import os
import random
import signal
import struct
import subprocess
import sys
import zlib
import time

import common
import kafka_admin as admin
import law_test
import oracle
from common import lines, run, tweet

BROKERS = os.environ.get("WEIR_TEST_BROKERS", "")
PREFIX = "kafka-test-%d-%x-" % (os.getpid(), int(time.time()))
OPERATORS = "tweets_by_location,user_mentions"
FLAGS = "--window 60s --slide 20s --watermark-delay 10s".split()
START = law_test.START_MS


def put_command():
    command = os.environ.get("WEIR_KAFKA_PUT") or os.path.join(os.path.dirname(common.WEIR), "tests", "kafka_put")
    return command if os.access(command, os.X_OK) else None


class Put:
    """kafka_put, to talk to."""

    def __init__(self, *args):
        self.process = subprocess.Popen([put_command(), BROKERS, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def put(self, topic, partition, payload, timestamp=0, key="-", headers="-"):
        payload = payload if isinstance(payload, bytes) else payload.encode()
        self.process.stdin.write(b"put\t%s\t%d\t%d\t%s\t%s\t%s\n" % (topic.encode(), partition, timestamp, key.encode(), headers.encode(), payload))

    def say(self, word):
        self.process.stdin.write(word.encode() + b"\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if answer != b"ok\n":
            raise RuntimeError("kafka_put %s: %r" % (word, answer))

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        if self.process.wait(90):
            raise RuntimeError("kafka_put failed")

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind:
            self.process.kill()
            self.process.wait()
        else:
            self.close()


def new_topic(name, partitions, **config):
    admin.create_topic(BROKERS, PREFIX + name, partitions, **config)
    return PREFIX + name


def fill(topic, partition, payloads, *args):
    with Put(*args) as put:
        for payload in payloads:
            put.put(topic, partition, payload)


def job(operators, topics, db, *flags, base=FLAGS):
    return ["run", operators, "-b", BROKERS, *[word for t in topics for word in ("-t", t)], *base, *flags, "-o", db, "--stdout", "none", "-q"]


def some(count, seed):
    """Records with nothing late among them."""
    return law_test.corpus(count, seed, in_time=True)


def answer_of(partitions, operators=OPERATORS, flags=FLAGS):
    """The oracle's, for {(topic, partition): [payload]}."""
    return oracle.answer([(topic, p, [(r, None) for r in records]) for (topic, p), records in partitions.items()], oracle.options_of(operators, list(flags)))


def same(checks, name, db, partitions, operators=OPERATORS, flags=FLAGS):
    expected = common.expected_snapshot(answer_of(partitions, operators, flags))
    found = common.snapshot(db, operators.split(","))
    for table in expected:
        checks.equal("%s: %s" % (name, table), found[table], expected[table])


def progress(db):
    """{(topic, partition): (next_offset, consumed, gap)}"""
    return {(t, p): rest for t, p, *rest in ((*row[:2], tuple(row[2:])) for row in common.query(
        db, "select topic, partition, next_offset, consumed, gap from weir_progress")) for rest in rest}


def wait_for(predicate, seconds=40):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if predicate():
            return True
        time.sleep(.02)
    return False


class Running:
    """A run without an end, ended by SIGTERM."""

    def __init__(self, *args):
        self.process = common.start(*args)

    def stop(self, checks, name):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(30)
        except subprocess.TimeoutExpired:
            code = "timeout"
        return checks.check(name + ": SIGTERM: drained, exit 0", code == 0, "%s %s" % (code, common.log_of(self.process)))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


# ---- what is read ------------------------------------------------------------------------------------------------------

def topics_and_partitions(checks, place):
    a, b, c = new_topic("several-a", 3), new_topic("several-b", 1), new_topic("several-c", 2)
    new_topic("others", 1)
    fill(PREFIX + "others", 0, lines(tweet(START, "of no interest")).splitlines())
    parts = {(t, p): some(200 + 50 * p, seed) for seed, (t, p) in enumerate([(a, 0), (a, 1), (a, 2), (b, 0), (c, 0), (c, 1)])}
    for (topic, p), records in parts.items():
        fill(topic, p, records)
    db = os.path.join(place, "several.db")
    result = run(*job(OPERATORS, [a, b, "^%sseveral-[c-z]$" % PREFIX], db, "--to", "latest"))
    checks.check("several topics and partitions, a regular expression: exit 0", result.code == 0, result)
    same(checks, "several topics and partitions, a regular expression", db, parts)
    result = run(*job(OPERATORS, [a, b, "^%sseveral-[c-z]$" % PREFIX], db, "--to", "latest"))
    checks.check("again, nothing is new: exit 0", result.code == 0, result)
    more = some(300, 77)[200:]
    fill(a, 1, more)
    parts[(a, 1)] = parts[(a, 1)] + more
    result = run(*job(OPERATORS, [a, b, "^%sseveral-[c-z]$" % PREFIX], db, "--to", "latest"))
    checks.check("one partition went on: exit 0", result.code == 0, result)
    same(checks, "one partition went on", db, parts)
    db = os.path.join(place, "changed.db")
    run(*job(OPERATORS, [a, b], db, "--to", "latest"))
    before = progress(db)
    for topics in ([a], [a, b, c], ["^" + a, b]):
        result = run(*job(OPERATORS, topics, db, "--to", "latest"))
        checks.check("other topics, %d of them: exit 78, both lists named" % len(topics),
                     result.code == 78 and all(t in result.err for t in topics + [a, b]), result)
    checks.equal("other topics: nothing changed", progress(db), before)


def while_running(checks, place):
    """Topics and partitions that appear while a job runs are read from their beginning."""
    pattern, db = "^%slater-" % PREFIX, os.path.join(place, "later.db")
    flags = ["--window", "60s", "--slide", "20s", "--watermark-delay", "1h"]  # what comes later is not late
    with Running(*job(OPERATORS, [pattern], db, base=flags)) as running:
        time.sleep(1)
        checks.check("a regular expression that matches nothing waits", running.process.poll() is None, common.log_of(running.process))
        first = new_topic("later-one", 1)
        parts = {(first, 0): some(150, 1)}
        fill(first, 0, parts[(first, 0)])
        checks.check("a topic that appears is read from its beginning", wait_for(lambda: common.consumed(db) == 150),
                     "%d %s" % (common.consumed(db), common.log_of(running.process)))
        admin.create_partitions(BROKERS, first, 3)
        second = new_topic("later-two", 2)
        for seed, key in enumerate([(first, 1), (first, 2), (second, 0), (second, 1)]):
            parts[key] = some(100, 10 + seed)
            fill(*key, parts[key])  # before the job can have seen the partition
        checks.check("partitions that are added are read from their beginning", wait_for(lambda: common.consumed(db) == 550),
                     "%s %s" % (progress(db), common.log_of(running.process)))
        running.stop(checks, "topics that appear")
    checks.equal("a signal closes no window early", common.query(db, "select count(*) from weir_windows"), [(0,)])
    result = run(*job(OPERATORS, [pattern], db, "--to", "latest", base=flags))
    checks.check("afterwards, to the end: exit 0", result.code == 0, result)
    same(checks, "topics and partitions that appeared", db, parts, flags=flags)
    admin.create_partitions(BROKERS, second, 3)
    parts[(second, 2)] = some(80, 99)
    fill(second, 2, parts[(second, 2)])
    result = run(*job(OPERATORS, [pattern], db, "--to", "latest", "--from", "latest", base=flags))
    checks.check("a partition added between two runs: exit 0", result.code == 0, result)
    same(checks, "a partition added between two runs is read from its beginning, whatever --from says", db, parts, flags=flags)


def compression(checks, place):
    for codec in admin.CODECS:
        topic, db = new_topic("codec-" + codec, 1), os.path.join(place, codec + ".db")
        records = some(1500, zlib.crc32(codec.encode()) % 1000)
        file = common.write(os.path.join(place, codec + ".ndjson"), b"".join(r + b"\n" for r in records))
        result = run("produce", "-b", BROKERS, "-t", topic, "--compression", codec, "-i", file)
        checks.check(codec + ": produce: exit 0, all delivered", result.code == 0 and "1,500 lines delivered" in result.err, result)
        checks.equal(codec + ": the broker stores it so", admin.codecs(BROKERS, topic, 0), {codec})
        result = run(*job(OPERATORS, [topic], db, "--to", "latest"))
        checks.check(codec + ": exit 0", result.code == 0, result)
        same(checks, codec, db, {(topic, 0): records})


def transactions(checks, place):
    topic, db = new_topic("transactions", 2), os.path.join(place, "transactions.db")
    kept = {(topic, 0): [], (topic, 1): []}
    with Put("--transactional", topic) as put:
        for number, verdict in enumerate(["commit", "abort", "commit", "commit", "abort", "abort", "commit", "abort"]):
            put.say("begin")
            for p in (0, 1):
                records = lines(*[tweet(START + 1000 * (20 * number + i), "%s %d" % (verdict, number), ["u%d" % (i % 3)]) for i in range(20)]).splitlines()
                for record in records:
                    put.put(topic, p, record)
                if verdict == "commit":
                    kept[(topic, p)] += records
            put.say("flush")  # an aborted record is in the log, too
            put.say(verdict)
        # The coordinator answers before it has marked the end in every partition.
        checks.check("8 transactions of 20 records have a control record each",
                     wait_for(lambda: all(admin.end_offset(BROKERS, topic, p) == 168 for p in (0, 1))))
        put.say("begin")
        for i in range(10):
            put.put(topic, 0, tweet(START + 170000 + i, "open"))
        put.say("flush")
        checks.check("the log goes on behind the stable offset", admin.end_offset(BROKERS, topic, 0, committed=False) == 178)

        result = run(*job(OPERATORS, [topic], db, "--to", "latest"))
        checks.check("committed and aborted: exit 0", result.code == 0, result)
        answer = answer_of(kept)
        for operator in OPERATORS.split(","):
            checks.equal("committed and aborted: %s" % operator, common.table_csv(db, operator), oracle.to_csv(operator, answer.tables[operator]))
        checks.equal("next_offset = consumed + gap, to the last stable offset", progress(db), {(topic, p): (168, 80, 88) for p in (0, 1)})
        checks.equal("control and aborted records make no row in weir_gaps", common.query(db, "select count(*) from weir_gaps"), [(0,)])
        result = run(*job(OPERATORS, [topic], db, "--to", "latest"))
        checks.check("a transaction that is open is not read: exit 0", result.code == 0 and progress(db)[(topic, 0)] == (168, 80, 88), "%s %s" % (result, progress(db)))
        put.say("commit")
    checks.check("its control record, too", wait_for(lambda: admin.end_offset(BROKERS, topic, 0) == 179))
    kept[(topic, 0)] += lines(*[tweet(START + 170000 + i, "open") for i in range(10)]).splitlines()
    result = run(*job(OPERATORS, [topic], db, "--to", "latest"))
    checks.check("once committed it is: exit 0", result.code == 0, result)
    answer = answer_of(kept)
    for operator in OPERATORS.split(","):
        checks.equal("once committed it is: %s" % operator, common.table_csv(db, operator), oracle.to_csv(operator, answer.tables[operator]))
    checks.equal("once committed: progress", progress(db), {(topic, 0): (179, 90, 89), (topic, 1): (168, 80, 88)})
    # Stopped and resumed among transactions, one record at a time.
    db = os.path.join(place, "steps.db")
    for _ in range(200):
        result = run(*job(OPERATORS, [topic], db, "--to", "latest", "--limit", "17"))
        if result.code != 0 or common.consumed(db) == 170:
            break
    run(*job(OPERATORS, [topic], db, "--to", "latest"))
    for operator in OPERATORS.split(","):
        checks.equal("transactions, resumed often: %s" % operator, common.table_csv(db, operator), oracle.to_csv(operator, answer.tables[operator]))
    checks.equal("transactions, resumed often: progress", progress(db), {(topic, 0): (179, 90, 89), (topic, 1): (168, 80, 88)})


def from_and_to(checks, place):
    topic = new_topic("points", 2)
    now = int(time.time() * 1000)
    first = now - 100 * 60000  # offset i of both partitions is of 100 - i minutes ago
    with Put() as put:
        for i in range(100):
            for p in (0, 1):
                put.put(topic, p, tweet(START + 1000 * i, "p%d" % p), timestamp=first + 60000 * i)
    iso = datetime.datetime.fromtimestamp((first + 40 * 60000) / 1000, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    number = [0]

    def points(name, flags, begin, end):
        number[0] += 1
        db = os.path.join(place, "points-%d.db" % number[0])
        result = run(*job("tweets_by_location", [topic], db, *flags))
        checks.check(name + ": exit 0", result.code == 0, result)
        found = {key: (value[0] - value[1] - value[2], value[0]) for key, value in progress(db).items()}
        checks.equal(name + ": offsets", found, {(topic, p): (begin, end) for p in (0, 1)})
        checks.equal(name + ": consumed", common.consumed(db), 2 * (end - begin))
        return db
    points("--to latest", ["--to", "latest"], 0, 100)
    points("--from earliest", ["--from", "earliest", "--to", "latest"], 0, 100)
    points("--from latest", ["--from", "latest", "--to", "latest"], 100, 100)
    points("--from an offset", ["--from", "10", "--to", "latest"], 10, 100)
    points("--to an offset", ["--to", "25"], 0, 25)
    points("--from -N", ["--from", "-7", "--to", "latest"], 93, 100)
    points("--from -N, more than there are", ["--from", "-700", "--to", "latest"], 0, 100)
    points("--to -N", ["--to", "-7"], 0, 93)
    points("--from and --to offsets", ["--from", "10", "--to", "20"], 10, 20)
    points("--from @ISO", ["--from", "@" + iso, "--to", "latest"], 40, 100)
    points("--from @ms, between two records", ["--from", "@%d" % (first + 40 * 60000 - 30000), "--to", "latest"], 40, 100)
    points("--from @ms, after the last", ["--from", "@%d" % (now + 60000), "--to", "latest"], 100, 100)
    points("--to @ms", ["--to", "@%d" % (first + 60 * 60000)], 0, 60)
    points("--from -15m", ["--from", "-930s", "--to", "latest"], 85, 100)  # half a minute of slack on either side
    points("--from and --to by time", ["--from", "-1h30m30s", "--to", "-30m30s"], 10, 70)
    # The group's offsets: for lag tools, and for --from committed.
    group = PREFIX + "group"
    points("--group", ["--to", "30", "-g", group], 0, 30)
    checks.equal("the group's offsets are there for lag tools", admin.group_offsets(BROKERS, group, topic, 2), {0: 30, 1: 30})
    points("--from committed", ["--from", "committed", "--to", "latest", "-g", group], 30, 100)
    checks.equal("and move on", admin.group_offsets(BROKERS, group, topic, 2), {0: 100, 1: 100})
    points("--from committed, nothing is committed", ["--from", "committed", "--to", "latest", "-g", PREFIX + "none"], 0, 100)
    default = topic.replace("points", "default")
    admin.create_topic(BROKERS, default, 1)
    fill(default, 0, lines(tweet(START, "x")).splitlines())
    run(*job("hashtags,tweets_by_location", [default], os.path.join(place, "default.db"), "--to", "latest"))
    checks.equal("the group's default name", admin.group_offsets(BROKERS, "weir-hashtags-tweets_by_location", default, 1), {0: 1})
    # --from is for partitions that the results file does not know.
    db = points("before another --from", ["--to", "50"], 0, 50)
    result = run(*job("tweets_by_location", [topic], db, "--from", "90", "--to", "latest"))
    checks.check("the results file wins over --from: exit 0", result.code == 0, result)
    checks.equal("the results file wins over --from", progress(db), {(topic, p): (100, 100, 0) for p in (0, 1)})
    for bad in ("yesterday", "@", "-15", "+3"):
        result = run(*job("tweets_by_location", [topic], os.path.join(place, "bad.db"), "--from", bad, "--to", "latest"))
        checks.equal("--from %s: exit" % bad, result.code, 0 if bad == "-15" else 2)


def around_the_payload(checks, place):
    """Key, headers, topic, partition, offset and timestamp as fields."""
    topic = new_topic("fields", 2, retention_ms=-1)  # its records are of 2015
    base = START + 5 * 60000
    towns, rows = ["Oslo", "Köln", "東京", "-"], []
    with Put() as put:
        for i in range(120):
            town, p = towns[i % 4], i % 2
            put.put(topic, p, tweet(START + 7, "in the payload", lang="en"), timestamp=base + 1000 * i, key=town, headers="city=h%d,other=x" % (i % 5))
            rows.append((p, base + 1000 * i, None if town == "-" else town, "h%d" % (i % 5)))

    def check(name, flags, location, time_kind="kafka"):
        db = os.path.join(place, name.replace(" ", "-").replace("/", "-") + ".db")
        result = run(*job("tweets_by_location", [topic], db, "--to", "latest", "--time", time_kind, *flags))
        checks.check(name + ": exit 0", result.code == 0, result)
        seen = [0, 0]
        parts = [[], []]
        for row in rows:
            parts[row[0]].append((tweet(base, location(row, seen[row[0]])).encode(), row[1]))
            seen[row[0]] += 1
        answer = oracle.answer([(topic, p, part) for p, part in enumerate(parts)], oracle.options_of("tweets_by_location", FLAGS + ["--time", "kafka"]))
        checks.equal(name, common.table_csv(db, "tweets_by_location"), oracle.to_csv("tweets_by_location", answer.tables["tweets_by_location"]))
    check("time kafka", [], lambda row, n: "in the payload")
    check("location @key", ["--location-field", "@key"], lambda row, n: row[2])
    check("location @header", ["--location-field", "@header.city"], lambda row, n: row[3])
    check("location @header that is not there", ["--location-field", "@header.nothing"], lambda row, n: None)
    check("location @topic", ["--location-field", "@topic"], lambda row, n: topic)
    check("time field @timestamp", ["--time-field", "@timestamp:ms"], lambda row, n: "in the payload", time_kind="event")
    check("format json, field from @key", ["--format", "json", "--field", "location=@key", "--location-field", "location"], lambda row, n: row[2])
    check("format json, time field @timestamp", ["--format", "json", "--field", "location=@header.city", "--time-field", "@timestamp"],
          lambda row, n: row[3], time_kind="event")


# ---- what goes wrong ---------------------------------------------------------------------------------------------------

def not_there(checks, place):
    missing = PREFIX + "missing"
    started = time.monotonic()
    result = run(*job(OPERATORS, [missing], os.path.join(place, "missing.db"), "--connect-timeout", "2s"))
    took = time.monotonic() - started
    checks.check("a missing topic: exit 69, topic and broker named", result.code == 69 and missing in result.err and BROKERS.split(",")[0] in result.err, result)
    checks.check("a missing topic: within --connect-timeout", 1.5 < took < 8, took)
    checks.check("a missing topic is not created", missing not in admin.topics(BROKERS))
    nowhere = "127.0.0.1:%d" % common.free_port()
    started = time.monotonic()
    result = run("run", OPERATORS, "-b", nowhere, "-t", "x", "--connect-timeout", "2s", "-o", os.path.join(place, "nowhere.db"), "-q")
    took = time.monotonic() - started
    checks.check("no broker: exit 69, named", result.code == 69 and nowhere in result.err, result)
    checks.check("no broker: within --connect-timeout", 1.5 < took < 8, took)


def lost(checks, place):
    """The source lost or changed what the job had not read: exit 3, the results as they were."""
    def recreated(name, records, after):
        topic, db = new_topic(name, 1), os.path.join(place, name + ".db")
        fill(topic, 0, records)
        run(*job(OPERATORS, [topic], db, "--to", "latest"))
        before = common.snapshot(db, OPERATORS.split(","))
        admin.delete_topic(BROKERS, topic)

        def create():
            try:
                admin.create_topic(BROKERS, topic, 1)
                return True
            except admin.KafkaError:  # it is still being deleted
                return False
        checks.check(name + ": created again", wait_for(create))
        fill(topic, 0, after)
        wait_for(lambda: admin.end_offset(BROKERS, topic, 0) == len(after))
        result = run(*job(OPERATORS, [topic], db, "--to", "latest"))
        checks.check(name + ": exit 3, the topic named", result.code == 3 and topic in result.err, result)
        checks.equal(name + ": the results are as before", common.snapshot(db, OPERATORS.split(",")), before)
        result = run(*job(OPERATORS, [topic], db, "--to", "latest", "--reset"))
        checks.check(name + ": --reset starts over: exit 0", result.code == 0, result)
        same(checks, name + ": --reset starts over", db, {(topic, 0): after})
    records = some(100, 5)
    recreated("recreated-shorter", records, some(20, 6))
    recreated("recreated-as-long", records, some(100, 7))
    recreated("recreated-longer", records, some(180, 8))

    topic, db = new_topic("retention", 2), os.path.join(place, "retention.db")
    for p in (0, 1):
        fill(topic, p, some(100, 20 + p))
    result = run(*job(OPERATORS, [topic], db, "--to", "10"))
    checks.check("before retention: exit 0", result.code == 0, result)
    before = common.snapshot(db, OPERATORS.split(","))
    admin.delete_records(BROKERS, topic, 1, 50)
    result = run(*job(OPERATORS, [topic], db, "--to", "latest"))
    checks.check("retention took unread records: exit 3, the range named", result.code == 3 and topic in result.err and "10..49" in result.err, result)
    checks.equal("retention: the results are as before", common.snapshot(db, OPERATORS.split(",")), before)
    admin.delete_records(BROKERS, topic, 0, 10)
    db = os.path.join(place, "fresh.db")
    result = run(*job(OPERATORS, [topic], db, "--to", "latest"))
    checks.check("a new job starts at what is left: exit 0", result.code == 0, result)
    same_progress = {(topic, 0): (100, 90, 0), (topic, 1): (100, 50, 0)}
    checks.equal("a new job: progress", progress(db), same_progress)
    admin.delete_records(BROKERS, topic, 0, 100)
    result = run(*job(OPERATORS, [topic], db, "--to", "latest"))
    checks.check("retention of what was read harms nothing: exit 0", result.code == 0 and progress(db) == same_progress, result)


def gaps(db):
    return common.query(db, "select topic, partition, first_offset, next_offset from weir_gaps order by 1, 2, 3")


def recreate(topic, records):
    admin.delete_topic(BROKERS, topic)

    def create():
        try:
            admin.create_topic(BROKERS, topic, 1)
            return True
        except admin.KafkaError:  # it is still being deleted
            return False
    if not wait_for(create):
        raise RuntimeError(topic + " could not be created again")
    fill(topic, 0, records)
    wait_for(lambda: admin.end_offset(BROKERS, topic, 0) == len(records))


def skipped(checks, place):
    """--on-data-loss skip: the range is named, recorded with the offsets behind it, and counted."""
    skip = ["--on-data-loss", "skip"]
    topic, db = new_topic("skip-retention", 2), os.path.join(place, "skip-retention.db")
    parts = {(topic, p): some(100, 20 + p) for p in (0, 1)}
    for key, records in parts.items():
        fill(*key, records)
    run(*job(OPERATORS, [topic], db, "--to", "10"))
    admin.delete_records(BROKERS, topic, 1, 50)
    for round_ in (1, 2):  # the second one finds nothing more to skip
        result = run(*job(OPERATORS, [topic], db, "--to", "latest", *skip))
        named = "partition 1: offsets 10..49 are skipped" in result.err and topic in result.err
        checks.check("retention, skipped, run %d: exit 0, the range named once" % round_, result.code == 0 and named == (round_ == 1), result)
        checks.equal("retention, skipped, run %d: gaps" % round_, gaps(db), [(topic, 1, 10, 50)])
        checks.equal("retention, skipped, run %d: progress" % round_, progress(db), {(topic, 0): (100, 100, 0), (topic, 1): (100, 60, 40)})
    result = run(*job(OPERATORS, [topic], db, "--to", "latest"))
    checks.check("a gap that was taken note of is no error afterwards: exit 0", result.code == 0, result)
    left = dict(parts)
    left[(topic, 1)] = parts[(topic, 1)][:10] + parts[(topic, 1)][50:]
    answer = answer_of(left)
    for operator in OPERATORS.split(","):
        checks.equal("retention, skipped: %s of what was left" % operator, common.table_csv(db, operator), oracle.to_csv(operator, answer.tables[operator]))

    # SIGKILL while retention runs ahead of the job, again and again: each range is there once, with the offsets behind it.
    topic, db = new_topic("skip-killed", 1), os.path.join(place, "skip-killed.db")
    random_, rounds, killed = random.Random(5), 12, 0
    for round_ in range(rounds):
        fill(topic, 0, some(60 * rounds, 3)[60 * round_:60 * round_ + 60])
        if round_:
            admin.delete_records(BROKERS, topic, 0, 60 * round_ + 30)
        with Running(*job(OPERATORS, [topic], db, "--batch-records", "7", *skip)) as running:
            # A random moment, or just when the gap has been committed, or once all was read: then nothing is lost next time.
            goal = random_.choice([None, lambda: len(gaps(db)) > before, lambda: common.consumed(db) > consumed])
            before, consumed = (len(gaps(db)), common.consumed(db)) if os.path.exists(db) and progress(db) else (0, 0)
            deadline = time.monotonic() + (3 if goal and round_ else random_.uniform(.1, .5))
            while time.monotonic() < deadline and not (goal and round_ and goal()):
                time.sleep(.001)
            killed += running.process.poll() is None
    checks.equal("killed while skipping: so often", killed, rounds)
    result = run(*job(OPERATORS, [topic], db, "--to", "latest", *skip))
    checks.check("killed while skipping: the last run: exit 0", result.code == 0, result)
    found = gaps(db)
    next_offset, consumed, gap = progress(db)[(topic, 0)]
    checks.check("killed while skipping: some ranges were lost", len(found) >= 3, found)
    checks.check("killed while skipping: no range twice, none overlaps", all(a[3] <= b[2] for a, b in zip(found, found[1:])), found)
    checks.equal("killed while skipping: the ranges make up gap", sum(g[3] - g[2] for g in found), gap)
    checks.equal("killed while skipping: every offset is read or lost", (next_offset, consumed + gap), (60 * rounds, 60 * rounds))

    for name, records in (("shorter", some(20, 6)), ("as-long", some(100, 7)), ("longer", some(180, 8))):
        first = some(100, 5)
        topic, db = new_topic("skip-recreated-" + name, 1), os.path.join(place, "skip-%s.db" % name)
        fill(topic, 0, first)
        run(*job(OPERATORS, [topic], db, "--to", "latest"))
        recreate(topic, records)
        for round_ in (1, 2):
            result = run(*job(OPERATORS, [topic], db, "--to", "latest", *skip))
            checks.check("recreated %s, skipped, run %d: exit 0, named once" % (name, round_),
                         result.code == 0 and ("recreated" in result.err and topic in result.err) == (round_ == 1), result)
            checks.equal("recreated %s, skipped, run %d: gaps" % (name, round_), gaps(db), [(topic, 0, 100, 100)])
            checks.equal("recreated %s, skipped, run %d: the new log is read whole" % (name, round_), progress(db), {(topic, 0): (len(records), 100 + len(records), 0)})
        checks.equal("recreated %s: next_offset - first_offset = consumed + gap" % name,
                     common.query(db, "select next_offset - first_offset from weir_progress join weir_partitions using (topic, partition)"), [(100 + len(records),)])
        answer = answer_of({(topic, 0): first + records})
        for operator in OPERATORS.split(","):
            checks.equal("recreated %s: %s of both logs" % (name, operator), common.table_csv(db, operator), oracle.to_csv(operator, answer.tables[operator]))


def damaged_batch(checks, place):
    """A bit that flipped in the broker's log, between good batches that come in the same answer."""
    topic, db = new_topic("bitflip", 1), os.path.join(place, "bitflip.db")
    records = some(40, 12)
    with Put() as put:
        for i, record in enumerate(records):
            put.put(topic, 0, record)
            if i % 10 == 9:
                put.say("flush")
    files = glob.glob(os.path.join(os.environ.get("WEIR_KAFKA_DIR", "/nowhere"), "node*", "**", topic + "-0", "*.log"), recursive=True)
    if not files:
        print("the broker's log is not at hand (WEIR_KAFKA_DIR): no bit is flipped in it", flush=True)
        return
    with open(files[0], "r+b") as log:
        data, at = log.read(), 0
        while struct.unpack_from(">q", data, at)[0] < 10:
            at += 12 + struct.unpack_from(">i", data, at + 8)[0]
        end = at + 12 + struct.unpack_from(">i", data, at + 8)[0]
        first, last = struct.unpack_from(">q", data, at)[0], struct.unpack_from(">q", data, at)[0] + struct.unpack_from(">i", data, at + 23)[0] + 1
        log.seek(end - 10)
        log.write(bytes([data[end - 10] ^ 4]))
    result = run(*job(OPERATORS, [topic], db, "--to", "latest"))
    checks.check("a flipped bit: exit 3, the offset named", result.code == 3 and "offset %d" % first in result.err and "CRC32C" in result.err, result)
    checks.equal("a flipped bit: what precedes it is committed, nothing behind it is", progress(db), {(topic, 0): (first, first, 0)})
    result = run(*job(OPERATORS, [topic], db, "--to", "latest", "--on-data-loss", "skip"))
    checks.check("a flipped bit, skipped: exit 0", result.code == 0, result)
    checks.equal("a flipped bit, skipped: gaps", gaps(db), [(topic, 0, first, last)])
    checks.equal("a flipped bit, skipped: progress", progress(db), {(topic, 0): (40, 40 - (last - first), last - first)})
    answer = answer_of({(topic, 0): records[:first] + records[last:]})
    for operator in OPERATORS.split(","):
        checks.equal("a flipped bit, skipped: %s" % operator, common.table_csv(db, operator), oracle.to_csv(operator, answer.tables[operator]))


def signals(checks, place):
    topic, db = new_topic("signals", 2), os.path.join(place, "signals.db")
    parts = {(topic, p): some(400, 40 + p) for p in (0, 1)}
    for key, records in parts.items():
        fill(*key, records[:300])
    for round_, count in enumerate((600, 700, 800)):
        with Running(*job(OPERATORS, [topic], db, "--batch", "100ms", "--idle-timeout", "1h")) as running:
            checks.check("round %d: reads what is there" % round_, wait_for(lambda: common.consumed(db) == count), common.log_of(running.process))
            if round_ == 2:
                time.sleep(1)  # nothing new: nobody sees when it has begun
            else:
                for key, records in parts.items():
                    fill(*key, records[300 + 50 * round_:350 + 50 * round_])
                checks.check("round %d: and what comes" % round_, wait_for(lambda: common.consumed(db) == count + 100), common.log_of(running.process))
            running.stop(checks, "round %d" % round_)
    checks.equal("the group knows", admin.group_offsets(BROKERS, "weir-" + OPERATORS.replace(",", "-"), topic, 2), {0: 400, 1: 400})
    run(*job(OPERATORS, [topic], db, "--to", "latest", "--idle-timeout", "1h"))
    same(checks, "stopped by SIGTERM three times", db, parts)


def silence(checks, place):
    """Empty, short and silent partitions hold up nothing; the last windows close without another record; then it goes on."""
    topic, db = new_topic("silence", 4), os.path.join(place, "silence.db")
    flags = ["--window", "4s", "--slide", "2s", "--watermark-delay", "1s", "--idle-timeout", "700ms", "--batch", "100ms"]
    bare = flags[:6]
    def seconds(begin, end, name):
        return lines(*[tweet(START + 100 * i, "%s %d" % (name, i % 3), ["u%d" % (i % 2)]) for i in range(10 * begin, 10 * end)]).splitlines()
    parts = {(topic, 0): seconds(0, 20, "a"), (topic, 1): seconds(0, 20, "b"), (topic, 2): seconds(19, 20, "short")}  # and 3 is empty
    for key, records in parts.items():
        fill(*key, records)
    with Running(*job(OPERATORS, [topic], db, base=flags)) as running:
        windows = len(answer_of(parts, flags=bare).windows)
        closed = wait_for(lambda: len(common.query(db, "select * from weir_windows")) == windows if os.path.exists(db) and common.consumed(db) else False, 25)
        checks.check("all windows close in silence", closed, common.log_of(running.process))
        for table, expected in common.expected_snapshot(answer_of(parts, flags=bare)).items():
            if table != "weir_progress":  # a watermark of a partition with fewer than 16 records, which only silence gives
                checks.equal("closed in silence: " + table, common.snapshot(db, OPERATORS.split(","))[table], expected)
        def goes_on(what):
            windows = len(answer_of(parts, flags=bare).windows)
            closed = wait_for(lambda: len(common.query(db, "select * from weir_windows")) == windows, 25)
            checks.check(what + ", and all windows close again", closed, common.log_of(running.process))

        def add(p, more):
            parts.setdefault((topic, p), []).extend(more)
            fill(topic, p, more)
        add(0, seconds(600, 610, "live"))
        goes_on("one partition goes on")
        running.stop(checks, "silence")
    # Several partitions that wake at the same moment race for the watermark of a running job (docs/guarantees.md); one that
    # starts has read none of them to its end.
    for p in (0, 1, 3):
        add(p, seconds(700, 720, "later"))
    with Running(*job(OPERATORS, [topic], db, base=flags)) as running:
        goes_on("the next run goes on with all of them")
        running.stop(checks, "silence, again")
    for table, expected in common.expected_snapshot(answer_of(parts, flags=bare)).items():
        if table != "weir_progress":
            checks.equal("after silence: " + table, common.snapshot(db, OPERATORS.split(","))[table], expected)
    checks.equal("after silence: nothing is late", common.totals(db)["late"], 0)


def produce(checks, place):
    topic = new_topic("produce", 4)
    records = [tweet(START + 100 * i, "from the payload", id_str="k%d" % (i % 30)) for i in range(600)]
    result = run("produce", "-b", BROKERS, "-t", topic, "--key-field", "id_str", stdin=lines(*records))
    checks.check("produce --key-field: exit 0, all delivered", result.code == 0 and "600 lines delivered" in result.err, result)
    db = os.path.join(place, "keys.db")
    run(*job("tweets_by_location", [topic], db, "--to", "latest", "--watermark-delay", "1h", "--location-field", "@key", base=["--window", "1h"]))
    checks.equal("its keys", common.query(db, "select location, tweets from tweets_by_location order by 1"), sorted(("k%d" % k, 20) for k in range(30)))
    per = {}
    for p in range(4):
        db = os.path.join(place, "keys-%d.db" % p)
        only = new_topic("produce-one-%d" % p, 4)
        result = run("produce", "-b", BROKERS, "-t", only, "--key-separator", "|", stdin=lines(*["k%d|%s" % (p, r) for r in records[:40]]))
        checks.check("produce --key-separator: exit 0", result.code == 0, result)
        run(*job("tweets_by_location", [only], db, "--to", "latest", "--watermark-delay", "1h", "--location-field", "@key", base=["--window", "1h"]))
        per[p] = sorted(count for _, count, _ in progress(db).values())
        checks.equal("--key-separator: the key is no part of the message", common.query(db, "select location, tweets from tweets_by_location"), [("k%d" % p, 40)])
    checks.equal("equal keys go to one partition", per, {p: [0, 0, 0, 40] for p in range(4)})
    unkeyed = new_topic("produce-unkeyed", 4)
    result = run("produce", "-b", BROKERS, "-t", unkeyed, "--partition", "2", stdin=lines(*records) + b"\n \n")
    checks.check("produce --partition, blank lines: exit 0", result.code == 0 and "600 lines delivered" in result.err, result)
    checks.equal("produce --partition", [admin.end_offset(BROKERS, unkeyed, p) for p in range(4)], [0, 0, 600, 0])

    for name, args, stdin, code, words in [
            ("a missing topic", ["-t", PREFIX + "nowhere"], b"x\n", 69, [PREFIX + "nowhere", BROKERS.split(",")[0]]),
            ("a missing partition", ["-t", topic, "--partition", "9"], b"x\n", 2, ["9"]),
            ("a line that is too long", ["-t", topic, "-X", "message.max.bytes=2000"], b'{"a":1}\n' + b"x" * 3000 + b"\n" + b'{"b":2}\n', 69, ["line 2"]),
            ("no topic", [], b"x\n", 2, ["--topic"]),
            ("an unknown compression", ["-t", topic, "--compression", "zip"], b"x\n", 2, ["zip"]),
            ("a missing input", ["-t", topic, "-i", os.path.join(place, "no-such-file")], b"", 66, ["no-such-file"])]:
        result = run("produce", "-b", BROKERS, *args, "--connect-timeout", "2s", stdin=stdin)
        checks.check("produce, %s: exit %d, named" % (name, code), result.code == code and all(w in result.err for w in words), result)
    checks.check("produce does not create a topic", PREFIX + "nowhere" not in admin.topics(BROKERS))
    nowhere = "127.0.0.1:%d" % common.free_port()
    result = run("produce", "-b", nowhere, "-t", "x", "--connect-timeout", "2s", stdin=b"x\n")
    checks.check("produce, no broker: exit 69, named", result.code == 69 and nowhere in result.err, result)
    narrow = new_topic("produce-narrow", 1, max_message_bytes=500)
    result = run("produce", "-b", BROKERS, "-t", narrow, "--compression", "none", stdin=b"x" * 3000 + b"\n")
    checks.check("produce, the broker refuses: exit 69, 0 delivered, the topic named",
                 result.code == 69 and "0 lines delivered" in result.err and narrow in result.err, result)


PARTS = [topics_and_partitions, while_running, compression, transactions, from_and_to, around_the_payload, not_there, lost, skipped, damaged_batch, signals, silence, produce]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="only the parts whose name holds this")
    only = parser.parse_args().only
    checks = common.Checks("kafka")
    if not BROKERS:
        checks.leave_out("a real Kafka (WEIR_TEST_BROKERS is not set; scripts/kafka start prints what to set it to)")
        return checks.done()
    if not put_command():
        sys.exit("kafka: no kafka_put. Build it, or say where it is with WEIR_KAFKA_PUT.")
    with common.folder() as place:
        for part in PARTS:
            if only in part.__name__:
                started = time.monotonic()
                checks.section(part, place)
                print("%-22s %5.1f s" % (part.__name__, time.monotonic() - started), flush=True)
    return checks.done()


if __name__ == "__main__":
    sys.exit(main())
