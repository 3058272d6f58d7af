#!/usr/bin/env python3
"""Exactly once: SIGKILL at random moments, the same command again, and not one row differs.

    kill_test.py [--kills N] [--records N] [--seed S] [--source kafka|mock|file]

Reads Kafka (WEIR_TEST_BROKERS), then a mock broker, each as far as it is there; files where neither is. Kills a run when its
committed progress reaches a random point (and some at a random time after the start, to meet the opening of the file
too), starts it again, and kills it again. When the job is through, its tables must equal those of a run that nobody
disturbed, and the oracle's. Then the next round begins with an empty results file, until all kills are done.
"""
import argparse
import os
import random
import sys
import time

import common
import law_test
import oracle

OPERATORS = law_test.OPERATORS
FLAGS = "--window 60s --slide 10s --watermark-delay 10s --mention-weight max-per-status".split()
PER_ROUND = 5


class Kills:
    def __init__(self, checks, source, place, inputs, total, expected, random_):
        self.checks, self.source, self.place, self.inputs = checks, source, place, inputs
        self.total, self.expected, self.random = total, expected, random_
        self.spread = []  # (round, committed records before the restart, at the kill)
        self.kills = 0

    def command(self, db):
        return ["run", OPERATORS, *self.inputs, *FLAGS, "--batch-records", "60", "-o", db, "--stdout", "none", "-q"]

    def compare(self, name, db):
        found = common.snapshot(db, OPERATORS.split(","))
        for table, expected in self.expected.items():
            self.checks.equal("%s, %s: %s" % (self.source, name, table), found[table], expected)
        check = common.query(db, "pragma integrity_check")
        self.checks.equal("%s, %s: the results file is sound" % (self.source, name), check, [("ok",)])
        return found

    def one(self, round_, db):
        """Starts the job, kills it. Returns whether there is something left to do."""
        before = common.consumed(db)
        early = self.kills % PER_ROUND == 0  # at a moment, the making of the file perhaps; else at a point of its progress
        goal = before + 1 + int((self.total - before) * self.random.uniform(0, .5))
        process = common.start(*self.command(db))
        deadline = time.monotonic() + (self.random.uniform(0, .06) if early else 120)
        while process.poll() is None and time.monotonic() < deadline and (early or common.consumed(db) < goal):
            time.sleep(.0005)
        if not early:
            time.sleep(self.random.uniform(0, .005))  # so that not every kill comes just after a commit
        if process.poll() is not None:
            self.checks.equal("round %d: a run that was not killed in time exits 0" % round_, process.returncode, 0)
            if process.returncode:
                print(common.log_of(process))
            return False
        process.kill()
        process.wait()
        self.kills += 1
        self.spread.append((round_, before, common.consumed(db)))
        return self.spread[-1][2] < self.total


def try_source(checks, source, arguments):
    random_ = random.Random(arguments.seed)
    records = law_test.corpus(arguments.records, arguments.seed)
    parts = [[] for _ in range(3)]
    for record in records:
        parts[random_.randrange(3)].append(record)
    what = {"kafka": "a topic of WEIR_TEST_BROKERS", "mock": "a mock broker's topic", "file": "3 files"}[source]
    print("%d records in 3 partitions of %s, --seed %d" % (len(records), what, arguments.seed), flush=True)
    options = oracle.options_of(OPERATORS, FLAGS)
    cluster = None
    with common.folder() as place:
        try:
            if source == "file":
                names = [(os.path.join(place, "part-%d.ndjson" % p), 0) for p in range(3)]
                for (path, _), part in zip(names, parts):
                    common.write(path, b"".join(r + b"\n" for r in part))
                inputs = [word for path, _ in names for word in ("-i", path)]
            else:
                topic = "kill-%d" % os.getpid()
                cluster = common.Cluster({topic: 3}, mock=source == "mock")
                for p, part in enumerate(parts):
                    cluster.produce(topic, p, part)
                inputs, names = ["-b", cluster.brokers, "-t", topic, "--to", "latest"], [(topic, p) for p in range(3)]
            answer = oracle.answer([(*name, [(r, None) for r in part]) for name, part in zip(names, parts)], options)
            kills = Kills(checks, source, place, inputs, len(records), common.expected_snapshot(answer), random_)

            undisturbed = os.path.join(place, "undisturbed.db")
            started = time.monotonic()
            result = common.run(*kills.command(undisturbed), timeout=900)
            if not checks.check(source + ", undisturbed: exit 0", result.code == 0, result):
                return
            print("undisturbed: %.2f s" % (time.monotonic() - started), flush=True)
            calm = kills.compare("undisturbed equals the oracle", undisturbed)

            round_ = 0
            while kills.kills < arguments.kills and round_ < arguments.kills * 3 and not checks.bad:
                round_ += 1
                db = os.path.join(place, "round-%d.db" % round_)
                until = min(kills.kills + PER_ROUND, arguments.kills)
                while kills.kills < until and kills.one(round_, db):
                    pass
                result = common.run(*kills.command(db), timeout=900)
                if checks.check("%s, round %d: the run after the last kill: exit 0" % (source, round_), result.code == 0, result):
                    after = kills.compare("round %d equals the oracle" % round_, db)
                    checks.check("%s, round %d equals the undisturbed run" % (source, round_), after == calm)
        finally:
            if cluster:
                cluster.close()
    between = [kill for kill in kills.spread if 0 < kill[2] < kills.total]
    print("%d kills in %d rounds, %d between first and last commit; committed at the kill, in %% of the records:" % (kills.kills, round_, len(between)))
    print("  " + " ".join("%d:%.1f" % (r, 100 * at / kills.total) for r, _, at in kills.spread))
    tenths = [0] * 10
    for _, _, at in kills.spread:
        tenths[min(9, 10 * at // kills.total)] += 1
    print("  by tenth of the input: " + " ".join(map(str, tenths)))
    checks.equal(source + ": kills", kills.kills, arguments.kills)
    checks.check(source + ": at least half of them between the first and the last commit", 2 * len(between) >= arguments.kills, kills.spread)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--records", type=int, default=60000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--source", choices=("kafka", "mock", "file"))
    arguments = parser.parse_args()
    checks = common.Checks("kill")
    there = {"kafka": os.environ.get("WEIR_TEST_BROKERS"), "mock": common.mock_broker()}
    sources = [arguments.source] if arguments.source else [source for source in there if there[source]]
    if not arguments.source and not there["kafka"]:
        checks.leave_out("killing runs over a real Kafka (WEIR_TEST_BROKERS is not set)")
    for source in sources or ["file"]:
        checks.section(try_source, source, arguments)
    return checks.done()


if __name__ == "__main__":
    sys.exit(main())
