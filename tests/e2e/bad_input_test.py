#!/usr/bin/env python3
"""What weir says when something is wrong: exit code, what, which value, and the way out. And that bad data harms nothing."""
import csv
import gzip
import io
import json
import os
import resource
import subprocess
import sys
import time

import common
from common import lines, run, tweet


def wrong_usage(checks, place, path):
    """Each: exit 2, nothing on stdout, no results file, and a message that holds all the words."""
    db = os.path.join(place, "never.db")
    plain = ["-i", path]
    cases = [
        ("unknown operator", ["user_mention", *plain], ['"user_mention"', "user_mentions", "Did you mean"]),
        ("one of two operators is unknown", ["hashtags,tweet_by_location", *plain], ["tweets_by_location"]),
        ("an operator twice", ["hashtags,hashtags", *plain], ["hashtags"]),
        ("unknown flag", ["hashtags", *plain, "--slid", "5s"], ["--slid", "--slide"]),
        ("unknown format", ["hashtags", *plain, "--format", "twiter-v1"], ["twiter-v1", "twitter-v1"]),
        ("unknown value", ["hashtags", *plain, "--time", "evnt"], ["evnt", "event"]),
        ("unknown weight", ["user_mentions", *plain, "--mention-weight", "retweet"], ["retweet", "retweets", "max-per-status"]),
        ("unknown field of a format", ["hashtags", *plain, "--format", "json", "--time-field", "t:ms", "--field", "hashtgs=tags[].text"], ["hashtgs", "hashtags"]),
        ("a field without a path", ["hashtags", *plain, "--format", "json", "--field", "hashtags"], ["--field"]),
        ("unknown encoding of a time", ["hashtags", *plain, "--time-field", "t:seconds"], ["seconds"]),
        ("a parameter of another operator", ["hashtags", *plain, "--mention-weight", "one"], ["--mention-weight"]),
        ("slide longer than window", ["hashtags", *plain, "--window", "60s", "--slide", "90s"], ["90s", "60s", "--slide", "--window"]),
        ("window of zero", ["hashtags", *plain, "--window", "0s"], ["--window"]),
        ("negative window", ["hashtags", *plain, "--window=-60s"], ["--window"]),
        ("slide of zero", ["hashtags", *plain, "--slide", "0s"], ["--slide"]),
        ("negative slide", ["hashtags", *plain, "--slide=-1s"], ["--slide"]),
        ("negative delay", ["hashtags", *plain, "--watermark-delay=-1s"], ["--watermark-delay"]),
        ("a bare number", ["hashtags", *plain, "--window", "60"], ["--window", "60s"]),
        ("a unit that is none", ["hashtags", *plain, "--window", "60x"], ["60x"]),
        ("an empty duration", ["hashtags", *plain, "--window", ""], ["--window"]),
        ("a duration that overflows", ["hashtags", *plain, "--window", "99999999999999999999h"], ["--window"]),
        ("a duration that overflows in ms", ["hashtags", *plain, "--window", "2562047788015215h"], ["--window"]),
        ("a window of inf", ["hashtags", *plain, "--window", "inf"], ["--window"]),
        ("a count that is none", ["hashtags", *plain, "--top", "many"], ["--top", "many"]),
        ("a negative count", ["hashtags", *plain, "--top=-1"], ["--top"]),
        ("a count that overflows", ["hashtags", *plain, "--limit", "99999999999999999999"], ["--limit"]),
        ("no workers", ["hashtags", *plain, "--workers", "0"], ["--workers"]),
        ("a size that is none", ["hashtags", *plain, "--batch-bytes", "64Q"], ["64Q"]),
        ("no end, and windows that wait for it", ["hashtags", *plain, "--follow", "--watermark-delay", "inf"], ["--watermark-delay", "inf"]),
        ("no end on Kafka, and windows that wait for it", ["hashtags", "-b", "127.0.0.1:1", "-t", "t", "--watermark-delay", "inf"], ["--watermark-delay", "inf"]),
        ("processing time and a batch that does not divide", ["hashtags", *plain, "--time", "processing", "--window", "10s", "--batch", "3s"], ["--batch"]),
        ("--name with two operators", ["hashtags,user_mentions", *plain, "--name", "x"], ["--name"]),
        ("csv with two operators", ["hashtags,user_mentions", *plain, "--stdout", "csv"], ["csv"]),
        ("files and Kafka", ["hashtags", *plain, "-b", "127.0.0.1:1", "-t", "t"], ["--input"]),
        ("nothing to read", ["hashtags"], ["--input"]),
        ("a topic without brokers", ["hashtags", "-t", "t"], ["--brokers"]),
        ("brokers without a topic", ["hashtags", "-b", "127.0.0.1:1"], ["--topic"]),
        ("no operator", [], ["operator"]),
        ("a plug-in that is not there", ["hashtags", *plain, "--plugin", os.path.join(place, "none.so")], ["plug-in"]),
        ("a plug-in that is none", ["hashtags", *plain, "--plugin", path], ["plug-in"]),
    ]
    for name, arguments, words in cases:
        result = run("run", *arguments, "-o", db, timeout=60)
        checks.equal(name + ": exit 2", result.code, 2)
        missing = [word for word in words if word.lower() not in result.err.lower()]
        checks.check("%s: the message holds %s" % (name, ", ".join(words)), not missing, "missing: %s\n%s" % (missing, result.err))
        checks.equal(name + ": nothing on stdout", result.out, "")
        checks.check(name + ": no results file", not os.path.exists(db))
        if os.path.exists(db):
            os.remove(db)
    result = run("rnu", "hashtags", *plain)
    checks.check("unknown verb: exit 2, did you mean run", result.code == 2 and "run" in result.err.replace("rnu", ""), result)
    result = run("operators", "hashtag")
    checks.check("weir operators of an unknown one: exit 2, did you mean", result.code == 2 and "hashtags" in result.err, result)
    result = run("run", "hashtags", *plain, "--stdout", "none", env={"WEIR_WINDOW": "60"})
    checks.check("a wrong value from the environment: exit 2, the hint", result.code == 2 and "60s" in result.err, result)
    result = run("run", "hashtags", *plain, "--stdout", "none", "--window", "10s", env={"WEIR_WINDOW": "60"})
    checks.check("a flag goes before the environment", result.code == 0, result)


def unreachable(checks, place):
    missing = os.path.join(place, "missing.ndjson")
    result = run("run", "hashtags", "-i", missing)
    checks.check("a missing input: exit 66, named", result.code == 66 and missing in result.err, result)
    result = run("run", "hashtags", "-i", place)
    checks.check("an input that is a folder: exit 66, named", result.code == 66 and place in result.err, result)
    port = common.free_port()
    started = time.monotonic()
    result = run("run", "hashtags", "-b", "127.0.0.1:%d" % port, "-t", "tweets", "--connect-timeout", "2s", "--to", "latest", timeout=60)
    seconds = time.monotonic() - started
    checks.check("a broker that is not there: exit 69, host named", result.code == 69 and "127.0.0.1:%d" % port in result.err, result)
    checks.check("a broker that is not there: within --connect-timeout", 0 <= seconds < 6, "%.1f s" % seconds)
    checks.check("a broker that is not there: no flood on stderr", result.err.count("\n") <= 10, result.err)
    if common.have_kafka() and not os.environ.get("WEIR_TEST_BROKERS"):
        pass  # a mock broker makes every topic that is asked for
    elif common.have_kafka():
        with common.Cluster({}) as cluster:
            result = run("run", "hashtags", "-b", cluster.brokers, "-t", "no-such-topic-%d" % os.getpid(), "--connect-timeout", "3s", "--to", "latest", timeout=60)
            checks.check("a topic that is not there: exit 69, named", result.code == 69 and "no-such-topic" in result.err, result)


def bad_records(checks, place):
    good = [tweet(1000 * i, "Oslo") for i in range(20)]
    bad = [(b'{"timestamp_ms":"1","text":"open', b"cut off"), (b"not json at all", b"text"), (b'{"timestamp_ms":"1"}}', b"one brace too many"),
           (b'{"timestamp_ms":"1"} {"timestamp_ms":"2"}', b"two objects"), (b"[1,2,3]", b"an array"), (b'"x"', b"a string"), (b"{\"a\":\"\xff\"}", b"no UTF-8"),
           (b'{"timestamp_ms":"1","text":"' + b"x" * 10000, b"long")]
    data = lines(*good[:10]) + b"".join(record + b"\n" for record, _ in bad) + lines(*good[10:])
    path = common.write(os.path.join(place, "bad.ndjson"), data)
    for validate in ("fast", "full"):
        db = os.path.join(place, "bad-%s.db" % validate)
        result = run("run", "tweets_by_location", "-i", path, "--validate", validate, "-o", db, "--stdout", "none")
        if not checks.check("bad records, %s: exit 0" % validate, result.code == 0, result):
            continue
        sums = common.totals(db)
        checks.equal("bad records, %s: counted, the good ones too" % validate, (sums["invalid"], sums["aggregated"]), (len(bad), len(good)))
        letters = common.query(db, "select topic, partition, offset, reason, payload from weir_dead_letters order by offset")
        checks.equal("bad records, %s: places" % validate, [row[:3] for row in letters], [(path, 0, 10 + i) for i in range(len(bad))])
        checks.equal("bad records, %s: payloads, cut at 4 KiB" % validate, [bytes(row[4]) for row in letters], [record[:4096] for record, _ in bad])
        checks.check("bad records, %s: each has a reason" % validate, all(row[3] for row in letters), letters)
        checks.check("bad records, %s: stderr names the place of the first" % validate, path in result.err and "10" in result.err, result.err)
        checks.check("bad records, %s: stderr stays short" % validate, result.err.count("\n") <= 15, result.err)
    future = common.write(os.path.join(place, "future.ndjson"), lines(tweet(4102444800000, "x")))
    db = os.path.join(place, "future.db")
    result = run("run", "tweets_by_location", "-i", future, "-o", db, "--stdout", "none")
    checks.check("a record from the future: exit 0", result.code == 0, result)
    letters = common.query(db, "select offset, reason from weir_dead_letters")
    checks.check("a record from the future: a dead letter that says so", len(letters) == 1 and letters[0][0] == 0 and "future" in letters[0][1], letters)


def wrong_encodings(checks, place):
    """A payload that is no JSON at all gets a hint at what it looks like."""
    squeezed = gzip.compress(tweet(1000, "Oslo").encode()).replace(b"\n", b" ")
    avro = b"\xc3\x01" + bytes(range(60, 68)) + b"\x02\x08Oslo" + b"x" * 20    # single-object encoding
    registry = b"\x00\x00\x00\x00\x07\x08Oslo" + b"y" * 20                     # schema registry framing
    container = b"Obj\x01\x04\x14avro.codec\x08null"
    for name, payload, words in (("gzip", squeezed, ("gzip",)), ("Avro", avro, ("avro",)), ("schema registry", registry, ("avro", "schema", "protobuf")),
                                 ("Avro container", container, ("avro",))):
        path = common.write(os.path.join(place, "encoded.ndjson"), lines(tweet(1000, "Oslo")) + payload + b"\n")
        db = os.path.join(place, "encoded-%s.db" % name.replace(" ", "-"))
        result = run("run", "tweets_by_location", "-i", path, "-o", db, "--stdout", "none")
        if checks.check("%s payload: exit 0" % name, result.code == 0, result):
            letters = common.query(db, "select offset, reason from weir_dead_letters")
            checks.check("%s payload: a dead letter that gives a hint" % name, len(letters) == 1 and letters[0][0] == 1
                         and any(word in (letters[0][1] + result.err).lower() for word in words), (letters, result.err))
    broken = common.write(os.path.join(place, "broken.gz"), gzip.compress(lines(*[tweet(i, "x%d" % i) for i in range(1000)]))[:-200])
    result = run("run", "tweets_by_location", "-i", broken, "--stdout", "none")
    checks.check("a gzip file that is cut off: no silence, named", result.code not in (0, "timeout") and result.code > 0 and broken in result.err, result)


def hostile_keys(checks, place):
    keys = ["'; drop table tweets_by_location; --", 'a"b', "nul\x00inside", "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "line\nbreak", "tab\there", "a,b",
            "\u202eright to left", "\u009b31m", "=1+1", "%s%n", "x" * 5000, "\U0001f600"]
    path = common.write(os.path.join(place, "keys.ndjson"), lines(*[tweet(1000, key) for key in keys]))
    db = os.path.join(place, "keys.db")
    result = run("run", "tweets_by_location", "-i", path, "--window", "10s", "-o", db, "--stdout", "table", "--show", "100")
    if not checks.check("hostile keys: exit 0", result.code == 0, result):
        return
    # cast to a blob: some clients end a text at a NUL
    found = sorted(bytes(row[0]) for row in common.query(db, "select cast(location as blob) from tweets_by_location"))
    checks.equal("hostile keys: stored as they are", found, sorted(key.encode() for key in keys))
    shown = run("query", db, "--format", "table").raw
    for name, out in (("--stdout table", result.raw), ("query --format table", shown)):
        controls = sorted(set(byte for byte in out if byte < 0x20 and byte != 0x0a) | ({0x7f} if b"\x7f" in out else set()))
        checks.equal("hostile keys, %s: no control byte reaches the terminal" % name, controls, [])
        checks.check("hostile keys, %s: no C1 control either" % name, b"\xc2\x9b" not in out)
        checks.check("hostile keys, %s: they are shown" % name, b"drop table" in out, out[:500])
    again = run("run", "tweets_by_location", "-i", path, "--window", "10s", "--stdout", "jsonl", "-q")
    rows = [json.loads(line) for line in again.out.split("\n") if line]
    checks.equal("hostile keys, jsonl: round trip", sorted(row["location"] for row in rows), sorted(keys))
    again = run("run", "tweets_by_location", "-i", path, "--window", "10s", "--stdout", "csv", "-q")
    text = again.raw.decode("utf-8").replace("nul\x00inside", "nul inside")  # Python's csv before 3.11 refuses NUL
    rows = list(csv.reader(io.StringIO(text, newline="")))
    checks.equal("hostile keys, csv: round trip", sorted(row[2] for row in rows[1:]), sorted(key.replace("\x00", " ") for key in keys))


def full_device(checks, path):
    """What is printed because it was asked for is printed whole, or the exit code tells."""
    if not os.path.exists("/dev/full"):
        checks.leave_out("a full device: there is no /dev/full here")
        return
    for arguments in ([], ["--help"], ["version"], ["operators"], ["operators", "hashtags"], ["explain", "hashtags", "-i", path],
                      *([verb, "--help"] for verb in ("run", "explain", "produce", "generate", "demo", "query", "operators", "version"))):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([common.WEIR, *arguments], stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, env=common.environment(), timeout=60)
        checks.check("weir %s to a full device: exit 74, said" % " ".join(arguments), done.returncode == 74 and b"No space left" in done.stderr,
                     (done.returncode, done.stderr))


def too_many_threads(checks, path):
    if "sanitizers: none" not in run("version").out:
        return  # a sanitizer's own memory is beyond any limit: there is nothing to try
    limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    done = subprocess.run([common.WEIR, "run", "hashtags", "-i", path, "--workers", "1000"], stdin=subprocess.DEVNULL, capture_output=True,
                          env=common.environment(), preexec_fn=limit, timeout=60)
    checks.check("more threads than there can be: exit 70, --workers named", done.returncode == 70 and b"--workers" in done.stderr, (done.returncode, done.stderr))


def main():
    checks = common.Checks("bad input")
    with common.folder() as place:
        path = common.write(os.path.join(place, "one.ndjson"), lines(tweet(1000, "Oslo", hashtags=["x"])))
        checks.section(wrong_usage, place, path)
        checks.section(unreachable, place)
        checks.section(bad_records, place)
        checks.section(wrong_encodings, place)
        checks.section(hostile_keys, place)
        checks.section(full_device, path)
        checks.section(too_many_threads, path)
    return checks.done()


if __name__ == "__main__":
    sys.exit(main())
