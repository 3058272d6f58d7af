#!/usr/bin/env python3
"""Every stored answer, byte for byte, through the binary: contract_answers_test.py [FILTER]

The answers belong to real captures that are not part of this repository; see WEIR_SHARED_DATA in common.py. FILTER: only
the answers whose line in INDEX.csv holds this string.
"""
import concurrent.futures
import csv
import gzip
import hashlib
import os
import sys

import common


def compare(data, row, place):
    """What is wrong with one answer; empty when nothing is."""
    db = os.path.join(place, row["id"] + ".db")
    inputs = [word for path in row["inputs"].split() for word in ("-i", os.path.join(data, path))]
    result = common.run("run", row["operator"], *inputs, *row["flags"].split(), "-o", db, "--stdout", "none", "-q")
    if result.code != 0:
        return ["exit %s: %s" % (result.code, result.err.strip()[-200:])]
    wrong = []
    text = common.table_csv(db, row["operator"])
    stored = None
    if row["stored"] != "-":
        path = os.path.join(data, "expected", "contract", row["stored"])
        stored = gzip.open(path).read() if path.endswith(".gz") else common.read(path)
    if hashlib.sha256(text).hexdigest() != row["sha256_csv"]:
        wrong.append("other rows: %d, not %s" % (text.count(b"\n") - 1, row["rows"]) if stored is None else common.difference(text, stored))
    elif stored is not None and text != stored:
        wrong.append("the stored CSV and its sha256 disagree")
    sums = common.totals(db)
    for name, counter in (("counted", "aggregated"), ("late", "late"), ("skipped", "skipped"), ("invalid", "invalid")):
        if str(sums[counter]) != row[name]:
            wrong.append("%s %d, not %s" % (counter, sums[counter], row[name]))
    os.remove(db)
    return wrong


def main():
    data = common.shared_data()
    if data is None or not os.path.exists(os.path.join(data, "expected", "contract", "INDEX.csv")):
        print("contract answers: left out, there is no folder with them (WEIR_SHARED_DATA)")
        if os.environ.get("WEIR_LEFT_OUT"):
            with open(os.environ["WEIR_LEFT_OUT"], "a") as file:
                file.write("the 397 reference answers (no folder with them; WEIR_SHARED_DATA names it)\n")
        return 1 if common.CI else 0
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    with open(os.path.join(data, "expected", "contract", "INDEX.csv"), newline="") as file:
        index = [row for row in csv.DictReader(file) if wanted in ",".join(row.values())]
    checks = common.Checks("contract answers")
    with common.folder() as place, concurrent.futures.ThreadPoolExecutor(2) as pool:
        for row, wrong in zip(index, pool.map(lambda row: compare(data, row, place), index)):
            checks.check("%s %s %s | %s" % (row["id"], row["operator"], row["flags"], row["inputs"]), not wrong, "\n".join(wrong))
    print("%d of %d" % (checks.good, len(index)))
    return checks.done()


if __name__ == "__main__":
    sys.exit(main())
