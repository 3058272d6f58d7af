#!/usr/bin/env python3
"""The conformance table of section 4 of the reference, and the rules around it, through the binary.

Each case states the records, the flags and the rows that a person can work out by hand.
"""
import datetime
import gzip
import json
import os
import sys

import common
from common import lines, run, tweet

CONFORMANCE = [
    tweet(2000, "Paris", ["a"]),
    tweet(7000, "Paris", ["b", "c"], retweets=10),
    tweet(33000, None, ["a"], retweets=0),
    tweet(64000, "Oslo"),
]
TABLE = ("--batch", "5s", "--window", "60s", "--slide", "30s")
LOCATIONS = [(-30000, 30000, "Paris", 2), (0, 60000, "Paris", 2), (30000, 90000, "Oslo", 1), (60000, 120000, "Oslo", 1)]
MENTIONS = [(-30000, 30000, "b", 10), (-30000, 30000, "c", 10), (-30000, 30000, "a", 1), (0, 60000, "b", 10), (0, 60000, "c", 10),
            (0, 60000, "a", 2), (30000, 90000, "a", 1)]  # no window [60,120)


def rows(db, operator):
    key, value = common.oracle.VALUE_COLUMN[operator]
    return common.query(db, 'select window_start, window_end, %s, %s from %s order by window_end, %s desc, %s' % (key, value, operator, value, key))


def milliseconds(value):
    """A time as a sink prints it: integer milliseconds, or ISO 8601 UTC."""
    try:
        return int(value)
    except ValueError:
        parsed = datetime.datetime.strptime(value, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=datetime.timezone.utc)
        return (parsed - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)) // datetime.timedelta(milliseconds=1)


def conformance_table(checks, place, path):
    both = "tweets_by_location,user_mentions"
    for name, inputs, stdin in (("file", ["-i", path], None), ("stdin", ["-i", "-"], lines(*CONFORMANCE)),
                                ("gzip", ["-i", common.write(path + ".gz", gzip.compress(lines(*CONFORMANCE)))], None),
                                ("no last line end", ["-i", common.write(path + "2", lines(*CONFORMANCE)[:-1])], None),
                                ("blank lines and CRLF", ["-i", common.write(path + "3", b"\n\r\n" + b"\r\n \n".join(r.encode() for r in CONFORMANCE))], None)):
        db = os.path.join(place, name + ".db")
        result = run("run", both, *inputs, *TABLE, "--mention-weight", "retweets", "-o", db, "--stdout", "none", stdin=stdin)
        if not checks.check("conformance, %s: exit 0, nothing on stdout" % name, result.code == 0 and result.out == "", result):
            continue
        checks.equal("conformance, %s: tweets_by_location" % name, rows(db, "tweets_by_location"), LOCATIONS)
        checks.equal("conformance, %s: user_mentions" % name, rows(db, "user_mentions"), MENTIONS)
        checks.equal("conformance, %s: weir_windows" % name, common.query(
            db, "select operator, window_start, window_end, revision, records, keys from weir_windows order by 1, 3"),
            [("tweets_by_location", s, e, 0, n, 1) for (s, e, _, n) in LOCATIONS] +
            [("user_mentions", -30000, 30000, 0, 3, 3), ("user_mentions", 0, 60000, 0, 4, 3), ("user_mentions", 30000, 90000, 0, 1, 1)])
        progress = common.query(db, "select topic, partition, next_offset, consumed, aggregated, filtered, skipped, late, invalid, "
                                    "quarantined, duplicates, gap from weir_progress")
        checks.equal("conformance, %s: weir_progress" % name, [row[1:] for row in progress], [(0, 4, 4, 4, 0, 0, 0, 0, 0, 0, 0)])
        if stdin is None:
            checks.equal("conformance, %s: the topic is the path as given" % name, progress[0][0], inputs[1])
        checks.check("conformance, %s: at most five lines on stderr" % name, result.err.count("\n") <= 5, result.err)


def stdout_formats(checks, place, path):
    for operator, expected, more in (("tweets_by_location", LOCATIONS, ()), ("user_mentions", MENTIONS, ("--mention-weight", "retweets"))):
        key, value = common.oracle.VALUE_COLUMN[operator]
        result = run("run", operator, "-i", path, *TABLE, *more, "--stdout", "csv", "-q")
        text = result.out.split("\n")
        checks.check(operator + ", csv: exit 0, nothing on stderr with -q", result.code == 0 and result.err == "", result)
        checks.equal(operator + ", csv: header", text[0], "window_start,window_end,%s,%s" % (key, value))
        checks.check(operator + ", csv: LF line ends, one after the last row", "\r" not in result.out and result.out.endswith("\n"))
        found = [line.split(",") for line in text[1:-1]]
        checks.equal(operator + ", csv: rows by value, then key",
                     [(milliseconds(r[0]), milliseconds(r[1]), r[2], int(r[3])) for r in found if len(r) == 4], expected)
        result = run("run", operator, "-i", path, *TABLE, *more, "--stdout", "jsonl")
        checks.check(operator + ", jsonl: exit 0", result.code == 0, result)
        found = [json.loads(line) for line in result.out.splitlines()]
        checks.equal(operator + ", jsonl: columns", {frozenset(r) for r in found},
                     {frozenset(("operator", "revision", "window_start", "window_end", key, value))})
        checks.equal(operator + ", jsonl: rows", [(milliseconds(r["window_start"]), milliseconds(r["window_end"]), r[key], r[value]) for r in found], expected)
        checks.check(operator + ", jsonl: times are ISO 8601", found and found[0]["window_start"] == "1969-12-31T23:59:30.000Z", found[:1])
        checks.check(operator + ", jsonl: operator and revision", all(r["operator"] == operator and r["revision"] == 0 for r in found))
    piped = run("run", "tweets_by_location", "-i", path, *TABLE)
    checks.check("without --stdout, a pipe gets jsonl", piped.code == 0 and all(line.startswith("{") for line in piped.out.splitlines())
                 and piped.out.count("\n") == len(LOCATIONS), piped)
    table = run("run", "tweets_by_location", "-i", path, *TABLE, "--stdout", "table")
    checks.check("table names places and numbers", table.code == 0 and "Paris" in table.out and "Oslo" in table.out, table)


def case(checks, place, name, records, flags, expected, operator="tweets_by_location", fates=None, stdin=None):
    """Runs `records` with `flags`; compares rows, and the counters named in `fates`."""
    db = os.path.join(place, "case.db")
    for suffix in ("", "-wal", "-shm"):
        if os.path.exists(db + suffix):
            os.remove(db + suffix)
    data = records if isinstance(records, bytes) else lines(*records)
    path = common.write(os.path.join(place, "case.ndjson"), data)
    result = run("run", operator, "-i", path, *flags, "-o", db, "--stdout", "none", "-q")
    if not checks.check(name + ": exit 0", result.code == 0, result):
        return None
    if expected is not None:
        checks.equal(name, rows(db, operator), expected)
    if fates:
        sums = common.totals(db)
        checks.equal(name + ": fates", {k: sums[k] for k in fates}, fates)
        checks.equal(name + ": consumed is the sum of all fates", sums["consumed"], sum(sums[k] for k in common.oracle.COUNTERS[1:]))
    return db


def rules(checks, place):
    def one(name, *args, **more):
        return case(checks, place, name, *args, **more)

    one("a record on an edge belongs to the window it opens", [tweet(9999, "x"), tweet(10000, "x")], ("--window", "10s"),
        [(0, 10000, "x", 1), (10000, 20000, "x", 1)])
    one("negative times", [tweet(None, "x", timestamp_ms=-1), tweet(None, "y", timestamp_ms=-30000)], ("--window", "60s", "--slide", "30s"),
        [(-60000, 0, "x", 1), (-60000, 0, "y", 1), (-30000, 30000, "x", 1), (-30000, 30000, "y", 1)])
    one("a length that is no multiple of the slide", [tweet(0, "x")], ("--window", "50s", "--slide", "20s"),
        [(-40000, 10000, "x", 1), (-20000, 30000, "x", 1), (0, 50000, "x", 1)])
    sixteen = [tweet(35000, "x")] * 16
    late = ("--window", "60s", "--slide", "30s")
    one("late in all windows or in none: delay 0", sixteen + [tweet(5000, "late")], late + ("--watermark-delay", "0s"),
        [(0, 60000, "x", 16), (30000, 90000, "x", 16)], fates={"late": 1, "aggregated": 16})
    one("late in all windows or in none: delay 10 s", sixteen + [tweet(5000, "in time")], late + ("--watermark-delay", "10s"),
        [(-30000, 30000, "in time", 1), (0, 60000, "x", 16), (0, 60000, "in time", 1), (30000, 90000, "x", 16)], fates={"late": 0})
    one("allowed lateness", sixteen + [tweet(5000, "in time")], late + ("--watermark-delay", "0s", "--allowed-lateness", "5001ms"),
        None, fates={"late": 0, "aggregated": 17})
    one("at the end of the allowed lateness it is late", sixteen + [tweet(5000, "late")],
        late + ("--watermark-delay", "0s", "--allowed-lateness", "5s"), None, fates={"late": 1})
    one("no watermark before the 16th record", sixteen[1:] + [tweet(5000, "in time")], late + ("--watermark-delay", "0s"), None, fates={"late": 0})
    far = 35000 + 3600000
    one("a jump that nothing confirms makes no record late", sixteen + [tweet(far + 1, "far")] * 15 + [tweet(35000, "x")],
        late + ("--watermark-delay", "0s"), None, fates={"late": 0, "aggregated": 32})
    one("a jump of just max-jump needs no confirmation", sixteen + [tweet(far, "far"), tweet(35000, "late")],
        late + ("--watermark-delay", "0s"), None, fates={"late": 1})
    one("sixteen candidates confirm a jump", sixteen + [tweet(far + 1, "far")] * 16 + [tweet(35000, "late")],
        late + ("--watermark-delay", "0s"), None, fates={"late": 1})
    one("a record between makes the candidates begin again", sixteen + [tweet(far + 1, "f")] * 15 + [tweet(35000, "x")] + [tweet(far + 1, "f")] * 15 +
        [tweet(35000, "x")], late + ("--watermark-delay", "0s"), None, fates={"late": 0})
    one("an outlier among the first sixteen is left aside", [tweet(far + 1, "far")] + sixteen[1:] + [tweet(5000, "late"), tweet(35000, "x")],
        late + ("--watermark-delay", "0s"), None, fates={"late": 1, "aggregated": 17})
    one("far future is quarantined", [tweet(4102444800000, "x"), tweet(1000, "y")], ("--window", "10s"), [(0, 10000, "y", 1)],
        fates={"quarantined": 1, "aggregated": 1})
    one("fates, in order", [
        "not json",                                                                  # invalid
        '{"delete":{"status":{"id":1}}}',                                            # skipped: no time
        tweet(4102444800000, "x", text="no"),                                        # quarantined before filtered
        tweet(1000, "kept", text="All About APPLES"),                                # aggregated
        tweet(2000, None, text="apples"),                                            # aggregated without a key
        tweet(3000, "dropped", text="pears"),                                        # filtered
    ], ("--window", "10s", "--track", "apple,plum"), [(0, 10000, "kept", 1)],
        fates={"invalid": 1, "skipped": 1, "quarantined": 1, "aggregated": 2, "filtered": 1, "late": 0, "consumed": 6})
    one("late comes before filtered", sixteen + [tweet(5000, "x", lang="fr")], late + ("--watermark-delay", "0s", "--lang", "en"), [],
        fates={"late": 1, "filtered": 16})
    one("--track looks into the whole text first", [tweet(0, "a", text="apple", full_text="pear"), tweet(0, "b", text="x", extended_tweet={"full_text": "Apple"})],
        ("--window", "10s", "--track", "apple"), [(0, 10000, "b", 1)])
    one("--lang", [tweet(0, "a", lang="en"), tweet(0, "b", lang="fr"), tweet(0, "c", lang="de"), tweet(0, "d")], ("--window", "10s", "--lang", "en,de"),
        [(0, 10000, "a", 1), (0, 10000, "c", 1)])
    one("white space around a location is trimmed, inside it stays", [tweet(0, " \t\r\n New  York \v\f"), tweet(0, "New  York"), tweet(0, ""), tweet(0, " \t")],
        ("--window", "10s"), [(0, 10000, "New  York", 2)])
    one("only ASCII white space is trimmed", [tweet(0, "\u00a0x\u00a0")], ("--window", "10s"), [(0, 10000, "\u00a0x\u00a0", 1)])
    one("locations keep their case", [tweet(0, "Köln"), tweet(0, "KÖLN")], ("--window", "10s"), [(0, 10000, "KÖLN", 1), (0, 10000, "Köln", 1)])
    one("--normalize casefold folds ASCII only", [tweet(0, "KÖLN"), tweet(0, "kÖln")], ("--window", "10s", "--normalize", "casefold"), [(0, 10000, "kÖln", 2)])
    one("--location-field", [tweet(0, "x", place={"country_code": "NO"}), tweet(0, "x", place=None)],
        ("--window", "10s", "--location-field", "place.country_code"), [(0, 10000, "NO", 1)])
    one("a value of another type is absent", [tweet(0, 5), tweet(0, ["x"]), tweet(0, True), tweet(0, {"a": 1})], ("--window", "10s"), [],
        fates={"aggregated": 4})
    one("of equal keys the last counts", [
        '{"timestamp_ms":"99","timestamp_ms":"1","user":{"location":"a"},"user":{"location":"b","location":"c"}}',
        '{"timestamp_ms":"1","user":{"location":"a"},"user":{}}'], ("--window", "50ms"), [(0, 50, "c", 1)], fates={"aggregated": 2})
    one("an escaped key is the same key", ['{"timestamp\\u005fms":"1","us\\u0065r":{"locatio\\u006e":"x"}}'], ("--window", "10s"), [(0, 10000, "x", 1)])
    one("a lone surrogate becomes U+FFFD, a pair one character", ['{"timestamp_ms":1,"user":{"location":"a\\ud800b \\ud83d\\ude00"}}'], ("--window", "10s"),
        [(0, 10000, "a\ufffdb \U0001f600", 1)])
    one("timestamp_ms, else created_at", [
        tweet(None, "c", created_at="Wed Aug 27 13:08:45 +0000 2008"),
        tweet(None, "n", created_at="Wed Aug 27 13:08:45 +0000 2008", timestamp_ms=1219842524999),
        tweet(None, "s", created_at="Thu Jan 01 00:00:00 +0000 1970", timestamp_ms="1219842525000"),
        tweet(None, "bad", created_at="Wed Aug 27 13:08:46 +0000 2008", timestamp_ms="soon"),
        tweet(None, "none", created_at="yesterday"),
    ], ("--window", "1s"), [(1219842524000, 1219842525000, "n", 1), (1219842525000, 1219842526000, "c", 1), (1219842525000, 1219842526000, "s", 1),
                            (1219842526000, 1219842527000, "bad", 1)], fates={"skipped": 1, "aggregated": 4})
    for encoding, value in ((":s", 7), (":ms", "7000"), (":us", 7000000), (":iso", "1970-01-01T00:00:07Z"), (":twitter", "Thu Jan 01 00:00:07 +0000 1970"),
                            ("", 7), ("", "7"), ("", "1970-01-01T00:00:07.000Z"), ("", "Thu Jan 01 00:00:07 +0000 1970")):
        one("--time-field at.t%s with %r" % (encoding, value), [tweet(99000, "x", at={"t": value})], ("--window", "1s", "--time-field", "at.t" + encoding),
            [(7000, 8000, "x", 1)])
    one("a number from 1e11 on is milliseconds", [tweet(0, "x", t=10**11)], ("--window", "1s", "--time-field", "t"), [(10**11, 10**11 + 1000, "x", 1)])
    names = [tweet(0, None, list("bac")), tweet(0, None, ["a", "d"])]
    db = one("--top keeps the greatest, then the first by bytes", names, ("--window", "10s", "--top", "2"), [(0, 10000, "a", 2), (0, 10000, "b", 1)], operator="user_mentions")
    if db:
        checks.equal("--top: records and keys are of before the cut", common.query(db, "select records, keys from weir_windows"), [(5, 4)])
    one("names are folded, twice in one tweet counts twice", [tweet(0, None, ["Ann", "aNN", "É"])], ("--window", "10s"),
        [(0, 10000, "ann", 2), (0, 10000, "É", 1)], operator="user_mentions")
    one("the extended tweet's mentions replace the tweet's", [
        tweet(0, None, ["old"], extended_tweet={"entities": {"user_mentions": [{"screen_name": "new"}, {"screen_name": None}]}}),
        tweet(0, None, ["old"], extended_tweet={"entities": {"user_mentions": []}}),
        tweet(0, None, ["old"], extended_tweet={"full_text": "x"})], ("--window", "10s"), [(0, 10000, "new", 1), (0, 10000, "old", 1)], operator="user_mentions")
    weights = [
        tweet(0, None, ["a"], retweeted_status={"id_str": "9", "retweet_count": 5}),
        tweet(1, None, ["a", "a"], retweeted_status={"id_str": "9", "retweet_count": 7}),   # the same status, seen again
        tweet(2, None, ["a"], retweeted_status={"id_str": "8", "retweet_count": -3}),
        tweet(3, None, ["a"], retweeted_status={"id_str": "7", "retweet_count": "4"}),
        tweet(4, None, ["a"], id_str="6"), tweet(5, None, ["a"], id_str="6"),               # a repeated tweet
        tweet(6, None, ["a"]), tweet(7, None, ["a"]),                                       # no id: the records themselves
    ]
    for weight, total in (("one", 9), ("retweets", 5 + 7 + 7 + 1 + 1 + 1 + 1 + 1 + 1), ("max-per-status", 7 + 1 + 1 + 1 + 1 + 1)):
        one("--mention-weight " + weight, weights, ("--window", "10s", "--mention-weight", weight), [(0, 10000, "a", total)], operator="user_mentions")
    one("the greatest weight is that of the window, not of all time", weights[:1] + [tweet(12000, None, ["a"], retweeted_status={"id_str": "9", "retweet_count": 3})],
        ("--window", "10s", "--slide", "5s", "--mention-weight", "max-per-status"),
        [(-5000, 5000, "a", 5), (0, 10000, "a", 5), (5000, 15000, "a", 3), (10000, 20000, "a", 3)], operator="user_mentions")
    one("hashtags", [tweet(0, None, hashtags=["Go", "go", "É"])], ("--window", "10s"), [(0, 10000, "go", 2), (0, 10000, "É", 1)], operator="hashtags")


def results_file(checks, place, path):
    db = os.path.join(place, "results.db")
    first = run("run", "tweets_by_location", "-i", path, *TABLE, "-o", db, "--stdout", "none", "-q")
    checks.check("results file: exit 0", first.code == 0, first)
    checks.equal("results file: columns", [row[:2] for row in common.query(db, "select name, type from pragma_table_info('tweets_by_location')")],
                 [("window_start", "INTEGER"), ("window_end", "INTEGER"), ("location", "TEXT"), ("tweets", "INTEGER")])
    flags = common.query(db, "select strict, wr from pragma_table_list where name = 'tweets_by_location' and schema = 'main'")
    checks.equal("results file: STRICT, WITHOUT ROWID", flags, [(1, 1)])
    checks.equal("results file: primary key", common.query(db, "select name from pragma_table_info('tweets_by_location') where pk > 0 order by pk"),
                 [("window_end",), ("location",)])
    checks.equal("results file: latest window", [row for row in common.query(db, "select location, tweets from tweets_by_location_latest")], [("Oslo", 1)])
    checks.equal("results file: view", common.query(db, "select count(*) from tweets_by_location_view"), [(4,)])
    plan = common.query(db, "explain query plan select window_end, tweets from tweets_by_location where location = 'Oslo' order by window_end")
    checks.check("results file: the series of one key is found by an index", any("SEARCH" in row[-1] for row in plan), plan)
    for table, columns in (("weir_late", "operator topic partition offset event_time reason"), ("weir_dead_letters", "topic partition offset reason payload"),
                           ("weir_gaps", "topic partition first_offset next_offset reason")):
        checks.equal("results file: " + table, [row[0] for row in common.query(db, "select name from pragma_table_info(?)", table)], columns.split())
    named = os.path.join(place, "named.db")
    result = run("run", "tweets_by_location", "-i", path, *TABLE, "-o", named, "--name", "places", "--stdout", "none", "-q")
    if checks.check("--name: exit 0", result.code == 0, result):
        checks.equal("--name: rows", common.query(named, "select window_start, window_end, location, tweets from places order by window_end"), LOCATIONS)
    again = common.read(db)
    for output, marks in (("table", "Oslo"), ("jsonl", "Oslo"), ("csv", "Oslo")):
        result = run("query", db, "--format", output)
        checks.check("weir query --format %s shows the newest window" % output, result.code == 0 and marks in result.out and "Paris" not in result.out, result)
    result = run("query", db, "select sum(tweets) as n from tweets_by_location", "--format", "csv")
    checks.equal("weir query with SQL", (result.code, result.out), (0, "n\n6\n"))
    result = run("query", db, "delete from tweets_by_location")
    checks.check("weir query is read-only", result.code not in (0, "timeout"), result)
    checks.equal("weir query changes no byte", common.read(db), again)


def main():
    checks = common.Checks("conformance")
    with common.folder() as place:
        path = common.write(os.path.join(place, "conformance.ndjson"), lines(*CONFORMANCE))
        checks.section(conformance_table, place, path)
        checks.section(stdout_formats, place, path)
        checks.section(rules, place)
        checks.section(results_file, place, path)
    return checks.done()


if __name__ == "__main__":
    sys.exit(main())
