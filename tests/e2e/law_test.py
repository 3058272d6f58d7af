#!/usr/bin/env python3
"""The one law: a result depends on the records alone. One corpus, run every way, byte-identical tables.

    law_test.py [--records N] [--seed S] [--quick] [--only WORD]

Workers, batch bounds, files, stdin, Kafka with 1, 3 and 8 partitions (WEIR_TEST_BROKERS or a mock broker), stopped and
resumed anywhere: all tables but weir_windows.revision must equal each other and the oracle, which is asked anew for each
partitioning. Where nothing is late, the partitioning makes no difference either.
"""
import argparse
import json
import os
import random
import signal
import sys
import time

import common
import oracle

OPERATORS = "tweets_by_location,user_mentions,hashtags"
# Two jobs with hard corners (see corpus()), and one where nothing is late.
JOBS = {
    "sliding": "--window 60s --slide 10s --watermark-delay 10s --mention-weight max-per-status",
    "odd": "--window 45s --slide 20s --watermark-delay 5s --allowed-lateness 15s --mention-weight retweets --top 5 --normalize casefold --track e,1",
    "in-time": "--window 60s --slide 60s --watermark-delay 30s --mention-weight max-per-status",
}
MOCK_RECORDS = 40000  # librdkafka's mock broker drops the oldest beyond 5 MB of a partition, silently
START_MS = 1430429640000  # 2015-04-30T21:34:00Z


def zipf(random_, n):
    """A small number far more often than a great one."""
    return int(n ** random_.random()) - 1


def one_tweet(random_, t, number):
    """One tweet of 250 to 400 bytes, more or less, as a JSON line; `t` in ms."""
    names = ["user%d" % zipf(random_, 4000) for _ in range(random_.choice((0, 0, 1, 1, 2, 3)))]
    names = [n.upper() if random_.random() < .2 else n for n in names]
    place = random_.choice((None, "", " Oslo ", "Köln", "São Paulo", "東京", "a \"b\", c", "\t")) if random_.random() < .3 else "place %d" % zipf(random_, 3000)
    record = {
        "created_at": time.strftime("%a %b %d %H:%M:%S +0000 %Y", time.gmtime(t // 1000)),
        "id_str": str(10**17 + number),
        "text": "the text of tweet %d, long enough to be one: %s" % (number, "lorem ipsum "[:random_.randrange(12)]),
        "user": {"id": number, "location": place, "screen_name": "author"},
        "entities": {"hashtags": [{"text": "Tag%d" % zipf(random_, 900)} for _ in range(random_.choice((0, 0, 0, 1, 2)))],
                     "user_mentions": [{"screen_name": n, "id": 1} for n in names]},
        "lang": "en",
    }
    kind = random_.random()
    if kind < .9:
        record["timestamp_ms"] = str(t) if kind < .85 else t
    if random_.random() < .3:
        record["retweeted_status"] = {"id_str": str(10**16 + zipf(random_, 500)), "retweet_count": random_.choice((0, 1, 5, 70, 3000, -2, "9", None, 2.5))}
        if random_.random() < .1:
            del record["retweeted_status"]["id_str"]
    if random_.random() < .1:
        record["extended_tweet"] = {"full_text": "the whole text", "entities": {"user_mentions": [{"screen_name": "Extended%d" % zipf(random_, 50)}], "hashtags": []}}
    if random_.random() < .02:
        del record["id_str"]
    line = json.dumps(record, ensure_ascii=random_.random() < .5, separators=(",", ":"))
    if random_.random() < .02 and "timestamp_ms" in record:  # the last of equal keys counts
        line = '{"user":{"location":"first"},"timestamp_ms":"1",' + line[1:]
    return line.encode()


INVALID = (b"no json", b"{", b'{"timestamp_ms":"1"', b'{"a":1}}', b"[1,2]", b'{"timestamp_ms":"1","text":"open', b'{"text":"\xff\xfe"}', b'{"a":1} {"b":2}')
NOTICES = (b'{"delete":{"status":{"id":1234,"user_id":3}}}', b'{"limit":{"track":42}}', b'{"created_at":"some day"}', b"{}")


def corpus(count, seed, in_time=False):
    """`count` records. `in_time`: nothing is late, and no time leaps."""
    random_ = random.Random(seed)
    rare = 1 / max(count, 5000)  # of a leap: a few dozen in all, and not one behind the other in a small corpus
    records, clock, burst, burst_at = [], START_MS, 0, 0
    for number in range(count):
        clock += random_.choice((0, 0, 1, 5, 20, 40))  # ~11 ms
        kind = random_.random()
        if burst:
            burst, t = burst - 1, burst_at + random_.randrange(1000)
        elif kind < .01:
            records.append(random_.choice(INVALID))
            continue
        elif kind < .03:
            records.append(random_.choice(NOTICES))
            continue
        elif in_time:
            t = clock - random_.randrange(3000)
        elif kind < .05:
            t = clock - random_.randrange(5000, 300000)                  # late, some of them
        elif kind < .052:
            t = 4102444800000 + random_.randrange(10**9)                 # beyond --max-future
        elif kind < .053:
            t = clock + random_.randrange(3600000, 10**9)                # an outlier of its own
        elif kind < .053 + 20 * rare:                                   # some 20 leaps that only a few records take: no move
            burst, burst_at = random_.randrange(2, 15), clock + 7200000
            t = burst_at
        elif kind < .053 + 26 * rare:                                   # some 6 that all follow
            clock += 3600000 + random_.randrange(7200000)
            t = clock
        else:
            t = clock - random_.randrange(2000)                          # in order within the delay
        records.append(one_tweet(random_, t, number))
    return records


class Law:
    def __init__(self, arguments):
        self.arguments = arguments
        self.checks = common.Checks("law")
        self.random = random.Random(arguments.seed)
        self.table = []      # (configuration, seconds, verdict)
        self.db = 0

    def wanted(self, name):
        return not self.arguments.only or self.arguments.only in name

    def new_db(self, place):
        self.db += 1
        return os.path.join(place, "%d.db" % self.db)

    def verdict(self, name, db, expected, topics, seconds, remarks=""):
        found = common.snapshot(db, OPERATORS.split(","), topics)
        ok = all([self.same("%s: %s" % (name, table), table, found[table], expected[table], db) for table in expected])
        idle = common.query(db, "select count(*) from weir_late where reason = 'idle'")[0][0]
        self.checks.equal(name + ": nothing is late for idleness", idle, 0)
        self.table.append((name, seconds, ("same" if ok else "DIFFERS") + remarks))
        if ok:
            for suffix in ("", "-wal", "-shm"):
                if os.path.exists(db + suffix):
                    os.remove(db + suffix)
        return found

    def same(self, name, table, found, expected, db):
        if table in ("weir_late", "weir_dead_letters") and common.query(db, "select count(*) from " + table)[0][0] >= 10000:
            return self.checks.check(name + ": the newest 10,000 are among them", set(found.splitlines()) <= set(expected.splitlines()),
                                     common.difference(found, expected))
        return self.checks.equal(name, found, expected)

    def once(self, name, place, inputs, flags, expected, topics, stdin=None):
        if not self.wanted(name):
            return None
        db = self.new_db(place)
        started = time.monotonic()
        result = common.run("run", OPERATORS, *inputs, *flags, "-o", db, "--stdout", "none", "-q", stdin=stdin, timeout=900)
        seconds = time.monotonic() - started
        if not self.checks.check(name + ": exit 0", result.code == 0, result):
            self.table.append((name, seconds, "exit %s" % result.code))
            return None
        return self.verdict(name, db, expected, topics, seconds)

    def limited(self, name, place, inputs, flags, expected, topics, total):
        """Ended by --limit again and again, each time with other workers and batches."""
        if not self.wanted(name):
            return
        db, done, runs, started = self.new_db(place), 0, 0, time.monotonic()
        while done < total:
            step = self.random.choice((1, 7, total // 50 + 1, total // 7 + 1))
            result = common.run("run", OPERATORS, *inputs, *flags, "--limit", step, "--workers", self.random.choice((1, 2, 4)),
                                "--batch-records", self.random.choice((1, 10, 777, 10**6)), "-o", db, "--stdout", "none", "-q")
            if not self.checks.check("%s: run %d, --limit %d: exit 0" % (name, runs, step), result.code == 0, result):
                return
            runs, before, done = runs + 1, done, common.consumed(db)
            if not self.checks.equal("%s: run %d consumed what --limit says" % (name, runs), done, min(before + step, total)):
                return
        self.verdict(name, db, expected, topics, time.monotonic() - started, ", %d runs" % runs)

    def signalled(self, name, place, inputs, flags, expected, topics, total):
        """Stopped by SIGTERM at random moments, and resumed."""
        if not self.wanted(name):
            return
        db, stops, started = self.new_db(place), 0, time.monotonic()
        for attempt in range(60):
            process = common.start("run", OPERATORS, *inputs, *flags, "--batch-records", max(1, total // 400), "-o", db, "--stdout", "none", "-q")
            before = common.consumed(db)
            goal = before + (self.random.randrange(1, max(2, (total - before) // 4)) if attempt % 4 else 1)
            deadline = time.monotonic() + 120
            while process.poll() is None and time.monotonic() < deadline and common.consumed(db) < goal:
                time.sleep(.002)
            if process.poll() is None and common.consumed(db) < total:
                process.send_signal(signal.SIGTERM)
            try:
                code = process.wait(120)
            except Exception:
                process.kill()
                code = "timeout"
            if not self.checks.check("%s: stop %d at %d: exit 0" % (name, stops, common.consumed(db)), code == 0, common.log_of(process)):
                return
            if common.consumed(db) >= total:
                break
            stops += 1
            if stops >= 12:
                break
        result = common.run("run", OPERATORS, *inputs, *flags, "-o", db, "--stdout", "none", "-q")
        if self.checks.check(name + ": last run: exit 0", result.code == 0, result):
            self.checks.check(name + ": it was really stopped on the way", stops >= 1, "stops: %d" % stops)
            self.verdict(name, db, expected, topics, time.monotonic() - started, ", %d stops" % stops)

    def grown(self, name, place, records, flags, expected):
        """An input that ends and goes on."""
        if not self.wanted(name):
            return
        db, path, at, started = self.new_db(place), os.path.join(place, "growing.ndjson"), 0, time.monotonic()
        common.write(path, b"")
        runs = 0
        while at < len(records):
            step = self.random.randrange(1, len(records) // 6 + 2)
            with open(path, "ab") as file:
                file.write(b"".join(r + b"\n" for r in records[at:at + step]))
            at, runs = at + step, runs + 1
            result = common.run("run", OPERATORS, "-i", path, *flags, "-o", db, "--stdout", "none", "-q")
            if not self.checks.check("%s: run %d: exit 0" % (name, runs), result.code == 0, result):
                return
        self.verdict(name, db, expected, {path: "all"}, time.monotonic() - started, ", %d runs" % runs)

    def job(self, job, place, records, whole):
        """Every way to run one job; `whole`: the full matrix. Returns [{partitions: (tables, sums)}], one for each corpus."""
        flags = JOBS[job].split()
        options = oracle.options_of(OPERATORS, flags)
        memo, found = {}, {}
        answers = [found]

        def expect(split):
            partitions = [("all", p, [(r, None) for r in part]) for p, part in enumerate(split)]
            answer = oracle.answer(partitions, options, memo=memo)
            sums = {n: sum(c[n] for c in answer.progress.values()) for n in oracle.COUNTERS}
            print("%s, %d partition(s): oracle %s, %d windows" % (job, len(split), sums, len(answer.windows)), flush=True)
            return answer, sums, common.expected_snapshot(answer)

        def bounds_of():
            for workers in (1, 2, 4) if whole else (2,):
                for bounds in (("--batch-records", "777"), ("--batch-bytes", "64K"), ("--batch-bytes", "64M")):
                    yield "workers %d, %s" % (workers, " ".join(bounds)), flags + ["--workers", str(workers), *bounds]

        def part_of(n):  # uneven on purpose
            parts = [[] for _ in range(n)]
            chooser = random.Random(self.arguments.seed + n)
            for record in records:
                parts[min(chooser.randrange(n), chooser.randrange(n))].append(record)
            return parts

        data = b"".join(r + b"\n" for r in records)
        path = common.write(os.path.join(place, job + ".ndjson"), data)
        answer, sums, expected = expect([records])
        found[1] = expected, sums
        if job != "in-time":  # a corpus without the hard cases would prove little
            for counter in ("late", "invalid", "skipped", "quarantined"):
                self.checks.check("%s: the corpus has records %s" % (job, counter), sums[counter] > 0)
        for label, more in bounds_of():
            self.once("%s, file, %s" % (job, label), place, ["-i", path], more, expected, {path: "all"})
        for label, more in list(bounds_of())[:None if whole else 1]:
            db = self.new_db(place)
            name = "%s, stdin, %s" % (job, label)
            if self.wanted(name):
                started = time.monotonic()
                result = common.run("run", OPERATORS, "-i", "-", *more, "-o", db, "--stdout", "none", "-q", stdin=data, timeout=900)
                if self.checks.check(name + ": exit 0", result.code == 0, result):
                    topic = common.query(db, "select topic from weir_progress")[0][0]
                    self.verdict(name, db, expected, {topic: "all"}, time.monotonic() - started)
        self.limited(job + ", file, --limit again and again", place, ["-i", path], flags, expected, {path: "all"}, len(records))
        self.signalled(job + ", file, SIGTERM and resumed", place, ["-i", path], flags, expected, {path: "all"}, len(records))
        self.grown(job + ", file that grows", place, records, flags, expected)

        fortieth = records[:max(1, len(records) // 40)]
        small = common.write(os.path.join(place, job + "-small.ndjson"), b"".join(r + b"\n" for r in fortieth))
        small_expected = common.expected_snapshot(oracle.answer([("all", 0, [(r, None) for r in fortieth])], options, memo=memo))
        self.once(job + ", a fortieth, --batch-records 1", place, ["-i", small], flags + ["--batch-records", "1"], small_expected, {small: "all"})
        self.once(job + ", a fortieth, --batch-records 1, 4 workers", place, ["-i", small], flags + ["--batch-records", "1", "--workers", "4"],
                  small_expected, {small: "all"})

        # Three files. The oracle numbers partitions; a file has its name and partition 0.
        split = part_of(3)
        answer, sums, _ = expect(split)
        found[3] = common.expected_snapshot(answer), sums
        paths = [common.write(os.path.join(place, "%s-%d.ndjson" % (job, p)), b"".join(r + b"\n" for r in part)) for p, part in enumerate(split)]
        as_files = oracle.Answer(answer.tables, answer.windows, {(paths[p], 0): c for (_, p), c in answer.progress.items()},
                                 {(paths[r[1]], 0) + r[2:] for r in answer.late},
                                 {(paths[r[1]], 0) + r[2:] for r in answer.dead})
        inputs = [word for p in paths for word in ("-i", p)]
        for label, more in bounds_of():
            self.once("%s, 3 files, %s" % (job, label), place, inputs, more, common.expected_snapshot(as_files), None)
        self.limited(job + ", 3 files, --limit again and again", place, inputs, flags, common.expected_snapshot(as_files), None, len(records))
        self.signalled(job + ", 3 files, SIGTERM and resumed", place, inputs, flags, common.expected_snapshot(as_files), None, len(records))

        if not common.have_kafka():
            self.checks.leave_out(job + ": Kafka (neither WEIR_TEST_BROKERS nor a mock broker)")
            return answers
        topics = {n: "law-%s-%d-%d" % (job, n, os.getpid()) for n in (1, 3, 8)}
        if not os.environ.get("WEIR_TEST_BROKERS") and len(records) > MOCK_RECORDS:
            print("%s, Kafka: the first %d records, more than which a mock broker does not keep" % (job, MOCK_RECORDS))
            records = records[:MOCK_RECORDS]
            found = {}  # the oracle's answers so far are of more records
            answers.append(found)
        with common.Cluster({topic: n for n, topic in topics.items()}) as cluster:
            for n, topic in topics.items():
                if not self.wanted("%s, Kafka %d" % (job, n)):
                    continue
                split = part_of(n) if n > 1 else [records]
                for p, part in enumerate(split):
                    cluster.produce(topic, p, part)
                if n not in found:
                    _, sums, expected = expect(split)
                    found[n] = expected, sums
                expected = found[n][0]
                inputs = ["-b", cluster.brokers, "-t", topic, "--to", "latest"]
                for label, more in bounds_of():
                    self.once("%s, Kafka %d, %s" % (job, n, label), place, inputs, more, expected, {topic: "all"})
                self.limited("%s, Kafka %d, --limit again and again" % (job, n), place, inputs, flags, expected, {topic: "all"}, len(records))
                self.signalled("%s, Kafka %d, SIGTERM and resumed" % (job, n), place, inputs, flags, expected, {topic: "all"}, len(records))
        return answers


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=200000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--quick", action="store_true", help="a tenth of the records, fewer configurations")
    parser.add_argument("--only", default="", help="only configurations whose name holds this")
    arguments = parser.parse_args()
    count = arguments.records // 10 if arguments.quick else arguments.records
    print("law: %d records, --seed %d" % (count, arguments.seed), flush=True)
    law = Law(arguments)
    with common.folder() as place:
        hard = corpus(count, arguments.seed)
        print("corpus: %.0f bytes per record" % (sum(map(len, hard)) / len(hard)), flush=True)
        law.job("sliding", place, hard, whole=not arguments.quick)
        law.job("odd", place, hard, whole=False)
        found = law.job("in-time", place, corpus(count, arguments.seed + 1, in_time=True), whole=False)
        for answers in found:
            for n, (tables, sums) in answers.items():  # the oracle's; each run was equal to them
                law.checks.equal("in-time, %d partitions: nothing is late" % n, sums["late"], 0)
                for table in OPERATORS.split(",") + ["weir_windows"]:
                    law.checks.equal("in-time, %d partitions as with %d: %s" % (n, min(answers), table), tables[table], answers[min(answers)][0][table])
    width = max([len(row[0]) for row in law.table] or [0])
    for name, seconds, verdict in law.table:
        print("%-*s %8.2f s  %s" % (width, name, seconds, verdict))
    print("%d configurations, --seed %d" % (len(law.table), arguments.seed))
    return law.checks.done()


if __name__ == "__main__":
    sys.exit(main())
