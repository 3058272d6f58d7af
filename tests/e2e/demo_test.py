#!/usr/bin/env python3
"""`weir demo`: a broker, tweets and both operators in one process; rows on stdout, and a results file to query meanwhile."""
import json
import os
import re
import signal
import subprocess
import sys
import time

import common
from common import run

NAMES = ["tweets_by_location", "user_mentions"]


def rows_of(out):
    return [json.loads(line) for line in out.splitlines()]


def live(checks, place):
    """Ends by itself; while it runs, others read the file."""
    db, out = os.path.join(place, "demo.db"), os.path.join(place, "rows.jsonl")
    with open(out, "wb") as stdout, open(os.path.join(place, "log"), "wb+") as stderr:
        started = time.monotonic()
        process = subprocess.Popen([common.WEIR, "demo", "--for", "6s", "--window", "2s", "--slide", "1s", "--rate", "500", "--stdout", "jsonl", "-o", db],
                                   stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env=common.environment())
        seen = None
        try:
            while process.poll() is None and time.monotonic() - started < 60:
                if os.path.exists(db):
                    result = run("query", db, "select operator, count(*) from weir_windows group by 1", "--format", "csv", timeout=30)
                    if result.code == 0 and all(name in result.out for name in NAMES) and process.poll() is None:
                        seen = result.out
                        break
                time.sleep(.1)
            first = time.monotonic() - started
            code = process.wait(60)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        took = time.monotonic() - started
        stderr.seek(0)
        log = stderr.read().decode()
    checks.equal("demo --for 6s: exit 0", (code, log if code else ""), (0, ""))
    checks.check("it takes 6 seconds, more or less", 5.5 < took < 30, took)
    if checks.check("windows can be queried while it runs", seen is not None, log):
        print("first windows of both operators after %.1f s" % first)
    checks.check("it names its broker, and the command to query with", re.search(r"127\.0\.0\.1:\d+", log) and "weir query " + db in log, log)
    rows = rows_of(common.read(out).decode())
    for name in NAMES:
        mine = [row for row in rows if row["operator"] == name]
        ends = sorted({row["window_end"] for row in mine})
        checks.check("%s: rows of several windows on stdout" % name, len(ends) >= 3, "%d rows, windows %s" % (len(mine), ends))
        checks.check("%s: times are ISO 8601 UTC" % name, all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", end) for end in ends), ends)
        checks.equal("%s: windows on stdout and in the file" % name, len(ends), common.query(
            db, "select count(*) from weir_windows where operator = ?", name)[0][0])
        value = {"tweets_by_location": "tweets", "user_mentions": "mentions"}[name]
        last = {(row["window_end"], row[name == "user_mentions" and "user" or "location"]): (row["revision"], row[value]) for row in mine}
        checks.equal("%s: the sums are the same" % name, sum(count for _, count in last.values()), common.query(
            db, "select coalesce(sum(%s), 0) from %s" % (value, name))[0][0])
    totals = common.totals(db)
    checks.check("tweets came at about the rate asked for", 500 < totals["consumed"] < 500 * (took + 1), totals)
    checks.check("some were notices, none was late", totals["skipped"] > 0 and totals["late"] == 0, totals)


def refused(checks, place):
    db = common.write(os.path.join(place, "there.db"), b"somebody's")
    result = run("demo", "--for", "1s", "-o", db)
    checks.check("demo does not begin anew what is there: exit 2, untouched", result.code == 2 and open(db, "rb").read() == b"somebody's", result)
    free = os.path.join(place, "free.db")
    for name, value in (("WEIR_NAME", "x"), ("WEIR_STDOUT", "csv"), ("WEIR_WINDOW", "5")):
        result = run("demo", "--for", "1s", "-o", free, env={name: value})
        checks.check("demo with %s=%s: exit 2, the variable named" % (name, value), result.code == 2 and name in result.err, result)


def stopped(checks, place):
    """Ctrl-C ends it in order; a second demo does not touch what is there."""
    counts = []
    for number in range(2):
        db = os.path.join(place, "stopped-%d.db" % number)
        process = common.start("demo", "--rate", "1000", "--stdout", "none", "-o", db)
        deadline = time.monotonic() + 30
        while process.poll() is None and time.monotonic() < deadline and not 0 < common.consumed(db) < 20000:
            time.sleep(.05)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        try:
            code = process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            code = "timeout"
        checks.check("SIGINT: exit 0", code == 0, "%s %s" % (code, common.log_of(process)))
        counts.append(common.consumed(db))
    checks.check("what was read is committed", all(count > 500 for count in counts), counts)
    checks.equal("its offsets add up", common.query(db, "select count(*) from weir_progress where next_offset - consumed - gap <> 0"), [(0,)])
    for args, word in [(["--rate", "0"], "--rate"), (["--window", "5"], "5s"), (["--tempo", "5"], "--tempo"), (["--stdout", "xml"], "xml")]:
        result = run("demo", "--for", "1s", "-o", os.path.join(place, "no.db"), *args, timeout=60)
        checks.check("demo %s: exit 2, named" % " ".join(args), result.code == 2 and word in result.err, result)


def main():
    checks = common.Checks("demo")
    with common.folder() as place:
        checks.section(live, place)
        checks.section(refused, place)
        checks.section(stopped, place)
    return checks.done()


if __name__ == "__main__":
    sys.exit(main())
