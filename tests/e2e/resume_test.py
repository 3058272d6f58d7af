#!/usr/bin/env python3
"""Section 5 of the reference: going on where a job stopped, what is refused and why, and results files that are not ours."""
import os
import signal
import sqlite3
import sys
import time

import common
import oracle
from common import lines, run, tweet

RECORDS = [tweet(1000 * i, "place %d" % (i % 7), ["u%d" % (i % 5)], lang="en") for i in range(300)]
BASE = {"--window": "60s", "--slide": "20s", "--watermark-delay": "5s"}


def command(operator, inputs, db, flags=(), **changes):
    """`run` with the flags of BASE; `changes` by flag name with _ for -, None leaves one out."""
    merged = dict(BASE)
    merged.update({"--" + k.replace("_", "-"): v for k, v in changes.items()})
    words = [w for k, v in merged.items() if v is not None for w in (k, v)]
    return ["run", operator, *[w for path in inputs for w in ("-i", path)], *words, *flags, "-o", db, "--stdout", "none", "-q"]


def expected(path, operator="tweets_by_location", **changes):
    merged = dict(BASE)
    merged.update({"--" + k.replace("_", "-"): v for k, v in changes.items()})
    options = oracle.options_of(operator, [w for item in merged.items() for w in item])
    return oracle.to_csv(operator, oracle.answer(oracle.read_files([path]), options).tables[operator])


def dump(db):
    """Everything that the results file holds, as text."""
    connection = sqlite3.connect("file:%s?mode=ro" % db, uri=True)
    try:
        return "\n".join(connection.iterdump())
    finally:
        connection.close()


def copy(db, to):
    """A copy of the results file, with what may stand in its WAL."""
    for leftover in (to, to + "-wal", to + "-shm"):
        if os.path.exists(leftover):
            os.remove(leftover)
    source, target = sqlite3.connect("file:%s?mode=ro" % db, uri=True), sqlite3.connect(to)
    source.backup(target)
    source.close()
    target.close()


def wait_for(predicate, seconds=30):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if predicate():
            return True
        time.sleep(.01)
    return False


def going_on(checks, place, path):
    db = os.path.join(place, "on.db")
    for limit in (1, 100, 29):  # the middle of a window each time
        result = run(*command("tweets_by_location", [path], db, ("--limit", limit)))
        checks.check("--limit %d: exit 0" % limit, result.code == 0, result)
    checks.equal("three limited runs consumed", common.consumed(db), 130)
    result = run(*command("tweets_by_location", [path], db))
    checks.check("the rest: exit 0", result.code == 0, result)
    checks.equal("resumed in the middle of windows: rows", common.table_csv(db, "tweets_by_location"), expected(path))
    checks.check("windows that closed at an end and came again are one revision higher",
                 common.query(db, "select max(revision) from weir_windows")[0][0] >= 1)
    result = run(*command("tweets_by_location", [path], db))
    checks.check("nothing new to read: exit 0", result.code == 0, result)
    checks.equal("nothing new to read: the same rows", common.table_csv(db, "tweets_by_location"), expected(path))
    checks.equal("nothing new to read: the same progress", common.consumed(db), 300)
    # A record for windows that the end of the input had closed already.
    grown = common.write(os.path.join(place, "grown.ndjson"), lines(*RECORDS[:31]))
    db = os.path.join(place, "grown.db")
    run(*command("tweets_by_location", [grown], db))
    checks.equal("before it grows", common.table_csv(db, "tweets_by_location"), expected(grown))
    with open(grown, "ab") as file:
        file.write(lines(*RECORDS[31:33]))
    result = run(*command("tweets_by_location", [grown], db))
    checks.check("a file that grew: exit 0", result.code == 0, result)
    checks.equal("a file that grew: rows", common.table_csv(db, "tweets_by_location"), expected(grown))
    checks.equal("a file that grew: the windows came again, one revision higher", common.query(
        db, "select distinct revision from weir_windows where window_end > 32000 and window_start <= 31000"), [(1,)])


def refused(checks, place, path):
    other = common.write(os.path.join(place, "other.ndjson"), lines(*RECORDS[:50]))
    fields = ("--format", "json", "--field", "location=user.location", "--time-field", "timestamp_ms:ms")
    base = os.path.join(place, "base.db")
    result = run(*command("user_mentions", [path], base, ("--limit", "130")))
    checks.check("base run: exit 0", result.code == 0, result)
    changes = [  # what the message must name, operator, inputs, flags, changed flags
        ("operator", "hashtags", [path], (), {}),
        ("operator", "user_mentions,hashtags", [path], (), {}),
        ("mention-weight", "user_mentions", [path], ("--mention-weight", "retweets"), {}),
        ("window", "user_mentions", [path], (), {"window": "80s"}),
        ("slide", "user_mentions", [path], (), {"slide": "30s"}),
        ("time", "user_mentions", [path], ("--time", "processing"), {}),
        ("time", "user_mentions", [path], ("--time-field", "created_at:twitter"), {}),
        ("delay", "user_mentions", [path], (), {"watermark_delay": "6s"}),
        ("lateness", "user_mentions", [path], ("--allowed-lateness", "1s"), {}),
        ("jump", "user_mentions", [path], ("--max-jump", "2h"), {}),
        ("future", "user_mentions", [path], ("--max-future", "6m"), {}),
        ("track", "user_mentions", [path], ("--track", "a"), {}),
        ("lang", "user_mentions", [path], ("--lang", "en"), {}),
        ("top", "user_mentions", [path], ("--top", "3"), {}),
        ("input", "user_mentions", [other], (), {}),
        ("input", "user_mentions", [path, other], (), {}),
    ]
    for word, operator, inputs, flags, changed in changes:
        name = "refused: %s %s %s %s" % (operator, " ".join(flags), changed or "", "" if inputs == [path] else "other inputs")
        db = os.path.join(place, "changed.db")
        copy(base, db)
        before = dump(db)
        result = run(*command(operator, inputs, db, flags, **changed))
        checks.equal(name + ": exit 78", result.code, 78)
        checks.check(name + ": the message names it", word in result.err.lower(), result.err)
        checks.check(name + ": the results are as before", dump(db) == before)
        for value in changed.values():
            checks.check(name + ": the message gives the value asked for", value in result.err, result.err)
    base_json = os.path.join(place, "json.db")
    result = run(*command("tweets_by_location", [path], base_json, ("--limit", "10")))
    checks.check("before another format: exit 0", result.code == 0, result)
    result = run(*command("tweets_by_location", [path], base_json, fields))
    checks.check("refused: another format: exit 78, named", result.code == 78 and "format" in result.err.lower(), result)

    free = [("--batch", "5s"), ("--batch-records", "7"), ("--batch-bytes", "8K"), ("--workers", "3"), ("--max-memory", "1G"), ("--stdout", "jsonl"),
            ("--durability", "full"), ("--limit", "5"), ("--for", "1h")]
    for flags in free:
        db = os.path.join(place, "free.db")
        copy(base, db)
        words = command("user_mentions", [path], db)
        if flags[0] == "--stdout":
            words[words.index("--stdout") + 1] = flags[1]
        else:
            words += flags
        result = run(*words)
        checks.check("free to change: %s %s: exit 0" % flags, result.code == 0, result)
        checks.equal("free to change: %s %s: it went on" % flags, common.consumed(db), 135 if flags[0] == "--limit" else 300)
    db = os.path.join(place, "reset.db")
    copy(base, db)
    before = common.table_csv(db, "user_mentions")
    result = run(*command("user_mentions", [path + ".mistyped"], db, ("--reset",), window="40s"))
    checks.check("--reset without its input: exit 66", result.code == 66, result)
    checks.equal("--reset without its input: the results stay", common.table_csv(db, "user_mentions"), before)
    result = run(*command("user_mentions", [path], db, ("--reset",), window="40s"))
    checks.check("--reset with another window: exit 0", result.code == 0, result)
    checks.equal("--reset starts over", common.table_csv(db, "user_mentions"), expected(path, "user_mentions", window="40s"))
    checks.equal("--reset: progress", common.consumed(db), 300)


def sources(checks, place, path):
    db = os.path.join(place, "stdin.db")
    result = run(*command("tweets_by_location", ["-"], db), stdin=lines(*RECORDS))
    checks.check("stdin: exit 0", result.code == 0, result)
    result = run(*command("tweets_by_location", ["-"], db), stdin=lines(*RECORDS))
    checks.check("stdin cannot be gone on with: exit 78", result.code == 78 and "stdin" in result.err.lower(), result)
    checks.equal("stdin: its rows stay", common.table_csv(db, "tweets_by_location"), expected(path))

    def changed(name, change, flags=()):
        file, db = os.path.join(place, "changing.ndjson"), os.path.join(place, "changing.db")
        for leftover in (db, db + "-wal", db + "-shm"):
            if os.path.exists(leftover):
                os.remove(leftover)
        common.write(file, lines(*RECORDS[:100]))
        run(*command("tweets_by_location", [file], db))
        rows = common.table_csv(db, "tweets_by_location")
        common.write(file, change(common.read(file)))
        result = run(*command("tweets_by_location", [file], db, flags))
        checks.check(name + ": exit 3, the file is named", result.code == 3 and file in result.err, result)
        checks.equal(name + ": the rows stay", common.table_csv(db, "tweets_by_location"), rows)

    changed("a file that was shortened", lambda data: data[:len(data) // 2])
    changed("a file that was emptied", lambda data: b"")
    changed("a file that was rewritten, as long as before", lambda data: data.replace(b"place", b"PLACE"))
    changed("a file that was rewritten, longer", lambda data: data.replace(b"place", b"other place") + data)
    os.remove(os.path.join(place, "changing.ndjson"))
    result = run(*command("tweets_by_location", [os.path.join(place, "changing.ndjson")], os.path.join(place, "changing.db")))
    checks.check("a file that is gone: exit 66", result.code == 66, result)

    db = os.path.join(place, "term.db")
    patient = ("--idle-timeout", "1h")  # silence closes no window here, however slow the machine
    process = common.start(*command("tweets_by_location", [path], db, ("--follow", "--batch", "50ms", *patient)))
    try:
        checks.check("--follow reads what is there", wait_for(lambda: common.consumed(db) == 300), common.log_of(process))
        second = run(*command("tweets_by_location", [path], db, patient), timeout=60)
        checks.check("a second process on the results file: exit 75, and says why", second.code == 75 and db in second.err, second)
        checks.check("the first one does not mind", process.poll() is None)
        process.send_signal(signal.SIGTERM)
        checks.equal("SIGTERM: drained, exit 0", process.wait(30), 0)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    late_windows = common.query(db, "select count(*) from weir_windows where window_end > 299000 - 5000")[0][0]
    checks.equal("a signal closes no window early", late_windows, 0)
    result = run(*command("tweets_by_location", [path], db, patient))
    checks.check("after SIGTERM the job goes on: exit 0", result.code == 0, result)
    checks.equal("after SIGTERM: rows", common.table_csv(db, "tweets_by_location"), expected(path))


def results_files(checks, place, path):
    text = common.write(os.path.join(place, "notes.txt"), "These are my notes, and no database. " * 100)
    before = common.read(text)
    result = run(*command("tweets_by_location", [path], text))
    checks.check("-o not a database: exit 74, named", result.code == 74 and text in result.err, result)
    checks.equal("-o not a database: untouched", common.read(text), before)

    missing = os.path.join(place, "no", "such", "folder", "x.db")
    result = run(*command("tweets_by_location", [path], missing))
    checks.check("-o in no folder: exit 74, named", result.code == 74 and missing in result.err, result)
    checks.check("-o in no folder: none is made", not os.path.exists(os.path.join(place, "no")))

    result = run(*command("tweets_by_location", [path], place))
    checks.check("-o is a folder: exit 74", result.code == 74, result)

    if os.geteuid() == 0:  # root writes everywhere but there
        closed = "/proc"
    else:
        closed = os.path.join(place, "closed")
        os.mkdir(closed, 0o555)
    result = run(*command("tweets_by_location", [path], os.path.join(closed, "x.db")))
    checks.check("-o in a read-only folder: exit 74", result.code == 74, result)
    checks.check("-o in a read-only folder: nothing is there", not os.path.exists(os.path.join(closed, "x.db")))

    foreign = os.path.join(place, "foreign.db")
    connection = sqlite3.connect(foreign)
    connection.executescript("create table tweets_by_location(mine); insert into tweets_by_location values ('keep me'); create table shop(item);")
    connection.commit()
    connection.close()
    before = common.read(foreign)
    result = run(*command("tweets_by_location", [path], foreign))
    checks.check("-o is another program's database: exit 78, named", result.code == 78 and foreign in result.err, result)
    checks.equal("-o is another program's database: not a byte changed", common.read(foreign), before)
    checks.check("-o is another program's database: no files beside it", not [n for n in os.listdir(place) if n.startswith("foreign.db-")])
    result = run(*command("tweets_by_location", [path], foreign, ("--reset",)))
    checks.check("--reset does not take another program's database: exit 78", result.code == 78, result)
    checks.equal("--reset: not a byte changed", common.read(foreign), before)

    broken = os.path.join(place, "broken.db")
    run(*command("tweets_by_location", [path], broken, ("--limit", "200")))
    data = bytearray(common.read(broken))
    data[1024:] = b"\xa5" * (len(data) - 1024)
    common.write(broken, bytes(data))
    result = run(*command("tweets_by_location", [path], broken))
    checks.check("-o is corrupt: exit 74", result.code == 74, result)

    previous = os.umask(0o077)
    try:
        private = os.path.join(place, "private.db")
        run(*command("tweets_by_location", [path], private))
        checks.equal("created with the user's umask", os.stat(private).st_mode & 0o777, 0o600)
    finally:
        os.umask(previous)


def main():
    checks = common.Checks("resume")
    with common.folder() as place:
        path = common.write(os.path.join(place, "records.ndjson"), lines(*RECORDS))
        checks.section(going_on, place, path)
        checks.section(refused, place, path)
        checks.section(sources, place, path)
        checks.section(results_files, place, path)
    return checks.done()


if __name__ == "__main__":
    sys.exit(main())
