#!/usr/bin/env python3
"""The one law: a result depends on the records alone. One corpus, run every way, byte-identical tables.

    law_test.py [--records N] [--seed S] [--quick] [--only WORD]

Workers 1, 2, 4; batches of 777 records, 64 KiB, 64 MiB; files, stdin, Kafka with 1, 3 and 8 partitions (WEIR_TEST_BROKERS or a
mock broker); stopped and resumed anywhere: all tables but weir_windows.revision must equal each other and the oracle, which is
asked anew for each partitioning. Where nothing is late, the partitioning makes no difference either.

On the whole corpus every pair of workers, bounds and source is run, on a fortieth of it every triple, with batches of one
record too. --quick, for sanitizer builds: a tenth of the records, fewer stops.
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
# One job on the whole corpus, in which every fate of a record occurs (see corpus()); on a quarter of it one with odd lengths,
# and one where nothing is late.
JOBS = {
    "main": "--window 60s --slide 10s --watermark-delay 10s --mention-weight max-per-status --track rain,SNOW --lang en,ja",
    "odd": "--window 45s --slide 20s --watermark-delay 5s --allowed-lateness 15s --mention-weight retweets --top 5 --normalize casefold",
    "in-time": "--window 60s --slide 60s --watermark-delay 30s --mention-weight max-per-status",
}
WORKERS = (1, 2, 4)
BOUNDS = (("--batch-records", "777"), ("--batch-bytes", "64K"), ("--batch-bytes", "64M"))
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
        "text": "tweet %d on %s" % (number, random_.choice(("Rain", "snow", "rain and SNOW", "rain", "the sun"))),
        "user": {"id": number, "location": place, "screen_name": "author"},
        "entities": {"hashtags": [{"text": "Tag%d" % zipf(random_, 900)} for _ in range(random_.choice((0, 0, 0, 1, 2)))],
                     "user_mentions": [{"screen_name": n, "id": 1} for n in names]},
        "lang": random_.choice(("en", "en", "en", "ja", "ja", "de", None)),
    }
    kind = random_.random()
    if kind < .9:
        record["timestamp_ms"] = str(t) if kind < .85 else t
    if random_.random() < .3:
        record["retweeted_status"] = {"id_str": str(10**16 + zipf(random_, 500)), "retweet_count": random_.choice((0, 1, 5, 70, 3000, -2, "9", None, 2.5))}
        if random_.random() < .1:
            del record["retweeted_status"]["id_str"]
    if random_.random() < .1:
        record["extended_tweet"] = {"full_text": random_.choice(("the whole text", "all of the rain")), "entities": {"user_mentions": [{"screen_name": "Extended%d" % zipf(random_, 50)}], "hashtags": []}}
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
        most = 5 if self.arguments.quick else 10
        while done < total:
            step = self.random.choice((1, 7, total // 20 + 1, total // 4 + 1)) if runs < most else total
            result = common.run("run", OPERATORS, *inputs, *flags, "--limit", step, "--workers", self.random.choice(WORKERS),
                                "--batch-records", self.random.choice((1, 10, 777, 10**6)) if step < 5000 else 10000,
                                "-o", db, "--stdout", "none", "-q")
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
            process = common.start("run", OPERATORS, *inputs, *flags, "--workers", self.random.choice(WORKERS), "--batch-records", max(1, total // 400), "-o", db, "--stdout", "none", "-q")
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
            if stops >= (4 if self.arguments.quick else 8):
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

    def streamed(self, name, place, data, flags, expected):
        if not self.wanted(name):
            return
        db, started = self.new_db(place), time.monotonic()
        result = common.run("run", OPERATORS, "-i", "-", *flags, "-o", db, "--stdout", "none", "-q", stdin=data, timeout=900)
        seconds = time.monotonic() - started
        if self.checks.check(name + ": exit 0", result.code == 0, result):
            topic = common.query(db, "select topic from weir_progress")[0][0]
            self.verdict(name, db, expected, {topic: "all"}, seconds)

    def settings(self, how, source):
        """(label, flags) for the source of this number. "pairs": a Latin square, so that over all sources every pair of workers,
        bounds and source occurs; "all": every triple; "one": another one for each source."""
        for w, workers in enumerate(WORKERS):
            for b, bounds in enumerate(BOUNDS):
                if how == "all" or (w + b + source) % 3 == 0 and (how == "pairs" or w == (source + source // 3) % 3):
                    yield "workers %d, %s %s" % (workers, *bounds), ["--workers", str(workers), *bounds]

    def split(self, records, n):
        """Uneven on purpose."""
        if n == 1:
            return [records]
        parts, chooser = [[] for _ in range(n)], random.Random(self.arguments.seed + n)
        for record in records:
            parts[min(chooser.randrange(n), chooser.randrange(n))].append(record)
        return parts

    def oracle(self, job, records, n, memo, known={}):
        """(tables, sums of the counters) of this partitioning; each is asked for once."""
        key = job, len(records), n
        if key not in known:
            started = time.monotonic()
            answer = oracle.answer([("all", p, [(r, None) for r in part]) for p, part in enumerate(self.split(records, n))],
                                   oracle.options_of(OPERATORS, JOBS[job].split()), memo=memo)
            sums = {name: sum(c[name] for c in answer.progress.values()) for name in oracle.COUNTERS}
            known[key] = common.expected_snapshot(answer), sums, answer
            print("%s, %d records, %d partition(s): oracle %s, %d windows, %.1f s" % (
                job, len(records), n, " ".join("%s %d" % item for item in sums.items() if item[1]), len(answer.windows),
                time.monotonic() - started), flush=True)
        return known[key]

    def job(self, job, place, records, how, stops=True):
        """Every way to run one job. `how`: see settings(). Returns what the oracle said: {partitions: (tables, sums, answer)}."""
        flags, memo, total = JOBS[job].split(), {}, len(records)
        title = "%s, %d" % (job, total)

        # One file, stdin.
        data = b"".join(r + b"\n" for r in records)
        path = common.write(os.path.join(place, "%s-%d.ndjson" % (job, total)), data)
        expected, sums, _ = self.oracle(job, records, 1, memo)
        found = {1: (expected, sums)}
        one_file = {path: "all"}
        for label, more in self.settings(how, 0):
            self.once("%s, file, %s" % (title, label), place, ["-i", path], flags + more, expected, one_file)
        for label, more in self.settings(how, 1):
            self.streamed("%s, stdin, %s" % (title, label), place, data, flags + more, expected)
        if how == "all":
            for workers in WORKERS:
                more = ["--workers", str(workers), "--batch-records", "1"]
                self.once("%s, file, workers %d, --batch-records 1" % (title, workers), place, ["-i", path], flags + more, expected, one_file)
            self.streamed(title + ", stdin, --batch-records 1", place, data, flags + ["--batch-records", "1"], expected)
        if stops:
            self.limited(title + ", file, --limit again and again", place, ["-i", path], flags, expected, one_file, total)
            self.signalled(title + ", file, SIGTERM and resumed", place, ["-i", path], flags, expected, one_file, total)
            self.grown(title + ", file that grows", place, records, flags, expected)

        # Three files. The oracle numbers partitions; a file has its name and partition 0.
        if job != "main":
            tables, sums, answer = self.oracle(job, records, 3, memo)
            found[3] = tables, sums
            paths = [common.write(os.path.join(place, "%s-%d-%d.ndjson" % (job, total, p)), b"".join(r + b"\n" for r in part))
                     for p, part in enumerate(self.split(records, 3))]
            as_files = common.expected_snapshot(oracle.Answer(
                answer.tables, answer.windows, {(paths[p], 0): c for (_, p), c in answer.progress.items()},
                {(paths[r[1]], 0) + r[2:] for r in answer.late}, {(paths[r[1]], 0) + r[2:] for r in answer.dead}))
            inputs = [word for p in paths for word in ("-i", p)]
            for label, more in self.settings(how, 2):
                self.once("%s, 3 files, %s" % (title, label), place, inputs, flags + more, as_files, None)
            if stops:
                self.limited(title + ", 3 files, --limit again and again", place, inputs, flags, as_files, None, total)
                self.signalled(title + ", 3 files, SIGTERM and resumed", place, inputs, flags, as_files, None, total)

        if not common.have_kafka():
            self.checks.leave_out(title + ": Kafka (neither WEIR_TEST_BROKERS nor a mock broker)")
            return found
        if not os.environ.get("WEIR_TEST_BROKERS") and total > MOCK_RECORDS:
            print("%s, Kafka: the first %d records, more than which a mock broker does not keep" % (title, MOCK_RECORDS))
            records, total = records[:MOCK_RECORDS], MOCK_RECORDS
            title, found = "%s, %d" % (job, total), {}  # the oracle's answers so far are of more records
        topics = {n: "law-%s-%d-%d-%d" % (job, total, n, os.getpid()) for n in (1, 3, 8)}
        with common.Cluster({topic: n for n, topic in topics.items()}) as cluster:
            for source, (n, topic) in enumerate(topics.items(), 3):
                name = "%s, Kafka %d" % (title, n)
                if not any(self.wanted(name + tail) for tail in (", workers", ", --limit", ", SIGTERM")):
                    continue
                for p, part in enumerate(self.split(records, n)):
                    cluster.produce(topic, p, part)
                expected, sums, _ = self.oracle(job, records, n, memo)
                found[n] = expected, sums
                inputs = ["-b", cluster.brokers, "-t", topic, "--to", "latest"]
                for label, more in self.settings(how, source):
                    self.once("%s, %s" % (name, label), place, inputs, flags + more, expected, {topic: "all"})
                if how == "all":
                    self.once(name + ", --batch-records 1", place, inputs, flags + ["--batch-records", "1"], expected, {topic: "all"})
                if stops:
                    self.limited(name + ", --limit again and again", place, inputs, flags, expected, {topic: "all"}, total)
                    self.signalled(name + ", SIGTERM and resumed", place, inputs, flags, expected, {topic: "all"}, total)
        return found


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
        started = time.monotonic()
        hard = corpus(count, arguments.seed)
        print("corpus: %.0f bytes per record, %.1f s" % (sum(map(len, hard)) / len(hard), time.monotonic() - started), flush=True)
        found = law.job("main", place, hard, "pairs")
        for n, (_, sums) in found.items():  # a corpus without the hard cases would prove little
            for counter in ("aggregated", "late", "invalid", "skipped", "quarantined", "filtered"):
                law.checks.check("main, %d partition(s): the corpus has records %s" % (n, counter), sums[counter] > 0)
        law.job("main", place, hard[:max(1, count // 40)], "all", stops=False)
        law.job("odd", place, hard[:count // 4], "one", stops=not arguments.quick)
        found = law.job("in-time", place, corpus(count // 4, arguments.seed + 1, in_time=True), "one", stops=False)
        for n, (tables, sums) in found.items():  # the oracle's; each run was equal to them
            law.checks.equal("in-time, %d partitions: nothing is late" % n, sums["late"], 0)
            for table in OPERATORS.split(",") + ["weir_windows"]:
                law.checks.equal("in-time, %d partitions as with %d: %s" % (n, min(found), table), tables[table], found[min(found)][0][table])
    width = max([len(row[0]) for row in law.table] or [0])
    for name, seconds, verdict in law.table:
        print("%-*s %8.2f s  %s" % (width, name, seconds, verdict))
    print("%d configurations, --seed %d" % (len(law.table), arguments.seed))
    return law.checks.done()


if __name__ == "__main__":
    sys.exit(main())
