#!/usr/bin/env python3
"""JSONTestSuite through the binary: json_suite_test.py [--update]

Each file becomes one record: an object as it stands, anything else as the value of a field that the job does not read.
With `--validate full` all y_ files must be accepted and all n_ files refused. What `full` makes of the i_ files, and
`fast` of everything, is compared with json_suite_verdicts.csv; --update writes that table anew.

Line feeds and carriage returns outside strings become spaces (both are JSON white space), so that a file is one line.
A file with one inside a string cannot be a line: it goes through Kafka when there is a broker (see common.py), and is named
and left to the unit tests of the parser otherwise.
"""
import csv
import os
import sys

import common
import oracle

VERDICTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "json_suite_verdicts.csv")
HEAD = b'{"timestamp_ms":"1000","x":'


def one_line(data):
    """`data` with line ends outside strings made spaces, and whether one is left inside a string."""
    out, inside, escaped = bytearray(), False, False
    for byte in data:
        if inside:
            if escaped:
                escaped = False
            elif byte == 0x5c:
                escaped = True
            elif byte == 0x22:
                inside = False
        else:
            inside = byte == 0x22
            byte = 0x20 if byte in (0x0a, 0x0d) else byte
        out.append(byte)
    return bytes(out), b"\n" in out


def record_of(data):
    return data if data.lstrip(b" \t\r\n").startswith(b"{") else HEAD + data + b"}"


def verdicts(checks, db, label, inputs, names):
    """{name: accepted} of one run over the records, in the order of `names`; None when the run failed."""
    result = common.run("run", "tweets_by_location", *inputs, "--validate", label, "-o", db, "--stdout", "none", "-q")
    if not checks.check("%s: exit 0" % label, result.code == 0, result):
        return None
    sums = common.totals(db)
    refused = {offset for offset, in common.query(db, "select offset from weir_dead_letters")}
    checks.equal(label + ": each record is consumed", sums["consumed"], len(names))
    checks.equal(label + ": dead letters are the invalid records", len(refused), sums["invalid"])
    checks.equal(label + ": the rest is aggregated or has no time", sums["consumed"] - sums["invalid"], sums["aggregated"] + sums["skipped"])
    return {name: offset not in refused for offset, name in enumerate(names)}


def nesting(checks, place):
    """Depth counts the record's own object: 1,024 levels are fine, one more is not, and no depth crashes."""
    def nest(levels, close=True):
        return HEAD + b"[" * levels + (b"]" * levels if close else b"") + b"}"
    records = [nest(1023), nest(1024), nest(100000), nest(100000, False), HEAD + b'{"a":' * 100000 + b"1" + b"}" * 100001,
               b"[" * 100000, b"{" * 100000, HEAD + b"[" * 1023 + b"]" * 100000, HEAD + b'"' + b"[" * 100000 + b'"}']
    wanted = [True] + [False] * 7 + [True]
    assert [oracle.parse(r) is not None for r in records] == wanted
    path = common.write(os.path.join(place, "deep.ndjson"), b"".join(r + b"\n" for r in records))
    for label in ("full", "fast"):
        db = os.path.join(place, "deep-%s.db" % label)
        found = verdicts(checks, db, label, ["-i", path], list(range(len(records))))
        if found:
            checks.equal("nesting, %s" % label, [found[i] for i in range(len(records))], wanted)


def main():
    data = common.shared_data()
    suite = data and os.path.join(data, "json-test-suite")
    checks = common.Checks("json suite")
    with common.folder() as place:
        nesting(checks, place)
        if not suite or not os.path.isdir(suite):
            checks.leave_out("JSONTestSuite: there is no folder json-test-suite (WEIR_SHARED_DATA)")
            return checks.done()
        files = {name: common.read(os.path.join(suite, name)) for name in sorted(os.listdir(suite)) if name.endswith(".json")}
        checks.equal("files by kind", [sum(n.startswith(k) for n in files) for k in ("y_", "n_", "i_")], [95, 188, 35])
        lines, messages = {}, {}
        for name, data in files.items():
            record, broken = one_line(record_of(data))
            (messages if broken else lines)[name] = record_of(data) if broken else record
        for name, record in {**lines, **messages}.items():  # an embedding that changes what a file tests would be no test
            if name[0] in "yn":
                checks.equal("the record made of %s" % name, oracle.parse(record) is not None, name[0] == "y")
        path = common.write(os.path.join(place, "suite.ndjson"), b"".join(record + b"\n" for record in lines.values()))
        found = {label: verdicts(checks, os.path.join(place, label + ".db"), label, ["-i", path], list(lines)) or {} for label in ("full", "fast")}
        if messages and common.have_kafka():
            topic = "json-suite-%d" % os.getpid()
            with common.Cluster({topic: 1}) as cluster:
                cluster.produce(topic, 0, list(messages.values()), delimiter=b"\x1e")
                for label in found:
                    found[label].update(verdicts(checks, os.path.join(place, label + "-kafka.db"), label,
                                                 ["-b", cluster.brokers, "-t", topic, "--to", "latest"], list(messages)) or {})
        elif messages:
            checks.leave_out("no broker, and no lines: " + ", ".join(messages))
    for name in files:
        if name in found["full"] and name[0] in "yn":
            checks.equal("full: " + name, found["full"][name], name[0] == "y")
        if name in found["fast"] and name[0] == "y":
            checks.check("fast: accepts " + name, found["fast"][name])
    word = {True: "accepted", False: "refused"}
    table = [(name, word[found["full"][name]], word[found["fast"][name]]) for name in files if name in found["full"] and name in found["fast"]]
    if "--update" in sys.argv and len(table) < len(files):
        checks.check("--update needs every verdict", False, "%d of %d; is there a broker?" % (len(table), len(files)))
    elif "--update" in sys.argv:
        with open(VERDICTS, "w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([("file", "full", "fast")] + table)
        print("wrote %d verdicts to %s" % (len(table), VERDICTS))
    elif checks.check("json_suite_verdicts.csv is there", os.path.exists(VERDICTS), "make it with --update, and read it before committing it"):
        with open(VERDICTS, newline="") as file:
            stored = {row["file"]: (row["file"], row["full"], row["fast"]) for row in csv.DictReader(file)}
        for row in table:
            checks.equal("verdict as before: " + row[0], row, stored.get(row[0]))
    print("%d of %d files judged; fast accepts %d of the n_ files, full %d and fast %d of the i_ files" % (
        len(table), len(files), sum(r[0][0] == "n" and r[2] == "accepted" for r in table),
        sum(r[0][0] == "i" and r[1] == "accepted" for r in table), sum(r[0][0] == "i" and r[2] == "accepted" for r in table)))
    return checks.done()


if __name__ == "__main__":
    sys.exit(main())
