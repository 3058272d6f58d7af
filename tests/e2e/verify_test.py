#!/usr/bin/env python3
"""`weir verify`: agrees with untouched results of many kinds of jobs, and finds one altered row, counter or window.

    verify_test.py
"""
import os
import shutil
import signal
import sqlite3
import sys
import time

import common
import law_test
from common import lines, run, tweet

OPERATORS = "tweets_by_location,user_mentions,hashtags"
BASE = "--window 60s --slide 20s --watermark-delay 10s".split()


def change(db, copy, sql):
    shutil.copyfile(db, copy)
    connection = sqlite3.connect(copy)
    changed = connection.execute(sql).rowcount
    connection.commit()
    connection.close()
    return changed


def agrees(checks, name, db, *flags):
    before = common.read(db)
    result = run("verify", db, *flags)
    checks.check(name + ": verify agrees, exit 0", result.code == 0 and "agrees with its log" in result.out, result)
    checks.check(name + ": verify changes nothing", common.read(db) == before)
    return result


def kinds(checks, place):
    """Untouched results of jobs that use what can be set."""
    files = []
    for p in range(2):
        records = law_test.corpus(700, 40 + p)
        files.append(common.write(os.path.join(place, "part-%d.ndjson" % p), b"".join(r + b"\n" for r in records)))
    inputs = [word for file in files for word in ("-i", file)]
    for number, (operators, flags) in enumerate([
            (OPERATORS, BASE),
            (OPERATORS, ["--window", "60s"]),
            (OPERATORS, ["--window", "45s", "--slide", "30s", "--watermark-delay", "0s", "--top", "3"]),
            (OPERATORS, ["--window", "7s", "--slide", "3s", "--allowed-lateness", "20s", "--batch-records", "50"]),
            (OPERATORS, ["--window", "60s", "--slide", "20s", "--watermark-delay", "inf"]),
            ("user_mentions", BASE + ["--mention-weight", "max-per-status", "--name", "effective"]),
            ("user_mentions", BASE + ["--mention-weight", "retweets", "--track", "a,e"]),
            ("tweets_by_location", BASE + ["--location-field", "lang", "--normalize", "casefold", "--validate", "full"]),
            ("tweets_by_location", BASE + ["--format", "json", "--field", "location=user.location", "--time-field", "timestamp_ms:ms"]),
            (OPERATORS, BASE + ["--max-jump", "5s", "--max-future", "inf"])]):
        db = os.path.join(place, "kind-%d.db" % number)
        command = ["run", operators, *inputs, *flags, "-o", db, "--stdout", "none", "-q"]
        name = " ".join([operators] + flags)
        for limit in (300, 500):  # in pieces: windows close at each end, and come again
            run(*command, "--limit", str(limit))
        agrees(checks, name + ", an end in between", db)
        result = run(*command)
        checks.check(name + ": exit 0", result.code == 0, result)
        agrees(checks, name, db)


def altered(checks, place):
    file = os.path.join(place, "altered.ndjson")
    common.write(file, b"".join(r + b"\n" for r in law_test.corpus(900, 3)))
    db, copy = os.path.join(place, "whole.db"), os.path.join(place, "altered.db")
    run("run", OPERATORS, "-i", file, *BASE, "-o", db, "--stdout", "none", "-q")
    agrees(checks, "before it is altered", db)
    one = "(select window_end from weir_windows where operator = 'user_mentions' order by 1 limit 1 offset 3)"
    row = common.query(db, "select window_end, user, mentions from user_mentions where window_end = %s order by user limit 1" % one)[0]
    at = "window_end = %d" % row[0]
    for name, sql, words in [
            ("one row's value", "update user_mentions set mentions = mentions + 1 where %s and user = '%s'" % (at, row[1]), ["user_mentions window", '"%s"' % row[1], "%d there" % (row[2] + 1), "%d by the log" % row[2]]),
            ("one row's key", "update user_mentions set user = 'nobody_of_that_name' where %s and user = '%s'" % (at, row[1]), ["user_mentions window", "missing"]),
            ("a row too few", "delete from user_mentions where %s and user = '%s'" % (at, row[1]), ["user_mentions window", "missing there", "%d by the log" % row[2]]),
            ("a row too many", "insert into user_mentions values (%d, %d, 'nobody', 7)" % (row[0] - 60000, row[0]), ["nobody", "7 there", "missing by the log"]),
            ("a row without a window", "insert into user_mentions values (0, 60000, 'nobody', 7)", ["nobody", "no such window"]),
            ("a window's records", "update weir_windows set records = records - 1 where operator = 'user_mentions' and " + at, ["records in weir_windows", str(row[0])]),
            ("a window's keys", "update weir_windows set keys = keys + 1 where operator = 'user_mentions' and " + at, ["keys in weir_windows"]),
            ("a missing window", "delete from weir_windows where operator = 'tweets_by_location' and window_end = (select max(window_end) from weir_windows)", ["tweets_by_location"]),
            ("a window too many", "insert into weir_windows values ('hashtags', -60000, 0, 0, 1, 1)", ["hashtags window", "empty"]),
            ("a counter", "update weir_progress set late = late + 1, aggregated = aggregated - 1", ["weir_progress", "late"]),
            ("a counter, so that the law does not hold", "update weir_progress set filtered = filtered + 1", ["do not add up"]),
            ("gap", "update weir_progress set gap = gap + 1", ["do not add up"]),
            ("the watermark", "update weir_progress set watermark = watermark - 1", ["weir_progress", "watermark"])]:
        checks.check(name + ": is altered", change(db, copy, sql) == 1)
        result = run("verify", copy)
        checks.check(name + ": exit 4, named", result.code == 4 and all(w in result.err for w in words), result)
    change(db, copy, "delete from weir_windows where operator = 'tweets_by_location' and window_end = (select min(window_end) from weir_windows where operator = 'tweets_by_location')")
    connection = sqlite3.connect(copy)
    connection.execute("delete from tweets_by_location where window_end not in (select window_end from weir_windows where operator = 'tweets_by_location')")
    connection.commit()
    connection.close()
    result = run("verify", copy)
    checks.check("a window that is missing with its rows: exit 4, named", result.code == 4 and "is missing there" in result.err, result)
    # The log is another one.
    text = common.read(file)
    common.write(file, text[:len(text) // 2])
    result = run("verify", db)
    checks.check("a shorter log: exit 3", result.code == 3 and "cannot be verified" in result.err, result)
    common.write(file, text.replace(b'"timestamp_ms":"14304', b'"timestamp_ms":"14305', 1) if b'"timestamp_ms":"14304' in text else text[1:])
    result = run("verify", db)
    checks.check("another log: exit 4", result.code == 4, result)
    os.remove(file)
    result = run("verify", db)
    checks.check("no log: exit 66", result.code == 66, result)


def refusals(checks, place):
    text = common.write(os.path.join(place, "text.db"), "x" * 200)
    other = os.path.join(place, "other.db")
    connection = sqlite3.connect(other)
    connection.execute("create table t(x)")
    connection.commit()
    connection.close()
    piped = os.path.join(place, "piped.db")
    run("run", "hashtags", "-i", "-", "-o", piped, "--stdout", "none", "-q", stdin=lines(tweet(law_test.START_MS, "x")))
    clock = os.path.join(place, "clock.db")
    file = common.write(os.path.join(place, "clock.ndjson"), lines(tweet(law_test.START_MS, "x")))
    run("run", "hashtags", "-i", file, "--time", "processing", "-o", clock, "--stdout", "none", "-q")
    for name, args, code, word in [
            ("nothing given", [], 2, "no results file"), ("a missing file", [os.path.join(place, "nothing.db")], 74, "no such file"),
            ("no database", [text], 74, text), ("another program's", [other], 78, "another program"), ("an unknown flag", [clock, "--slide", "1s"], 2, "--slide"),
            ("stdin", [piped], 78, "stdin"), ("processing time", [clock], 78, "processing"), ("brokers for files", [clock, "-b", "h:1"], 2, "--brokers")]:
        result = run("verify", *args)
        checks.check("%s: exit %d, named" % (name, code), result.code == code and word in result.err, result)
    checks.check("--help", run("verify", "--help").code == 0)


def kafka(checks, place):
    if not common.have_kafka():
        checks.leave_out("verify over Kafka: no broker")
        return
    topic = "verify-%d-%x" % (os.getpid(), int(time.time()))
    parts = [law_test.corpus(600, 60 + p) for p in range(3)]
    with common.Cluster({topic: 3}) as cluster:
        for p, part in enumerate(parts):
            cluster.produce(topic, p, part[:400])
        db = os.path.join(place, "kafka.db")
        command = ["run", OPERATORS, "-b", cluster.brokers, "-t", topic, *BASE, "-o", db, "--stdout", "none", "-q"]
        for limit in ("500", "300"):
            run(*command, "--limit", limit, "--to", "latest")
        agrees(checks, "kafka, stopped in between", db, "-b", cluster.brokers)
        for p, part in enumerate(parts):
            cluster.produce(topic, p, part[400:])  # beyond what the job has read
        agrees(checks, "kafka, the log has grown", db, "-b", cluster.brokers)
        process = common.start(*command)
        deadline = time.monotonic() + 30
        while common.consumed(db) < 1500 and time.monotonic() < deadline:
            time.sleep(.01)
        result = run("verify", db, "-b", cluster.brokers)
        checks.check("kafka, while the job runs: exit 0", result.code == 0, result)
        process.send_signal(signal.SIGKILL)
        process.wait()
        result = run("verify", db, "-b", cluster.brokers)
        checks.check("kafka, after a kill: exit 0", result.code == 0, result)
        run(*command, "--to", "latest")
        agrees(checks, "kafka, all of it", db, "-b", cluster.brokers)
        result = run("verify", db)
        checks.check("kafka, without brokers: exit 2", result.code == 2 and "--brokers" in result.err, result)
        change(db, os.path.join(place, "changed.db"), "update hashtags set uses = uses + 1 where window_end = (select min(window_end) from hashtags)")
        result = run("verify", os.path.join(place, "changed.db"), "-b", cluster.brokers)
        checks.check("kafka, a window altered: exit 4", result.code == 4 and "hashtags window" in result.err, result)


def main():
    checks = common.Checks("verify")
    with common.folder() as place:
        for part in (kinds, altered, refusals, kafka):
            checks.section(part, place)
    return checks.done()


if __name__ == "__main__":
    sys.exit(main())
