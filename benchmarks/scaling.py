#!/usr/bin/env python3
"""What does a record cost as something grows? Each curve changes one thing and prints nanoseconds a record, one worker, pinned.

    python3 benchmarks/scaling.py [--only CURVE,…] [--json OUT]

    records     50,000 … 1,600,000 tweets, 2 operators, S = 30 s
    keys        1,000 … 10,000,000 keys, all equally often, each seen once or more; --top 100, so that rows do not count
    ratio       W/S = 1 … 3,600 at S = 1 s, 1,000 keys, --top 10
    partitions  1 … 64 files with the same records in all
    operators   1 … 16 operators over one parse (a program of its own; rows go nowhere)
    size        records of 200 B … 20 kB; here MB a second count

A curve bends where its cost rises faster than what is changed: see docs/performance.md for where and why. Whole processes are
timed, and 20 ms of start and end are in every figure; the median of --runs is shown.
"""
import argparse
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
START_MS = 1430429640000


class Scaling:
    def __init__(self, options):
        self.o = options
        self.dir = tempfile.mkdtemp(prefix="weir-scaling-", dir=options.tmp)
        self.weir = os.path.join(options.build, "weir")
        self.core = sorted(os.sched_getaffinity(0))[-1]
        self.curves = {}

    def path(self, name):
        return os.path.join(self.dir, name)

    def timed(self, command):
        times, peak = [], 0
        for _ in range(self.o.runs):
            for suffix in ("", "-wal", "-shm", ".lock"):
                if os.path.exists(self.path("out.db") + suffix):
                    os.unlink(self.path("out.db") + suffix)
            start = time.monotonic()
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                       preexec_fn=lambda: os.sched_setaffinity(0, {self.core}))
            errors = process.stderr.read()
            _, status, usage = os.wait4(process.pid, 0)
            times.append(time.monotonic() - start)
            peak = max(peak, usage.ru_maxrss / 1024)
            if status != 0:
                sys.exit("scaling: %s failed:\n%s" % (" ".join(command), errors.decode(errors="replace")[-2000:]))
        return statistics.median(times), peak

    def run(self, operators, sources, *flags):
        inputs = [flag for source in sources for flag in ("-i", source)]
        return self.timed([self.weir, "run", operators, *inputs, "--workers", "1", "--stdout", "none", "-q", "-o", self.path("out.db"), *flags])

    def point(self, curve, x, seconds, peak, records, size=None):
        point = {"x": x, "ns_per_record": seconds / records * 1e9, "records_per_s": records / seconds, "peak_mb": peak}
        if size:
            point["mb_per_s"] = size / seconds / 1e6
        self.curves.setdefault(curve, []).append(point)
        print("%-10s %10s   %9.0f ns/record   %11s records/s   %6.0f MB peak%s" %
              (curve, "{:,}".format(x), point["ns_per_record"], "{:,.0f}".format(point["records_per_s"]), peak,
               "   %5.0f MB/s" % point["mb_per_s"] if size else ""), flush=True)

    def tweets(self, count):
        path = self.path("tweets-%d.ndjson" % count)
        if not os.path.exists(path):
            subprocess.run([self.weir, "generate", "--seed", "1", "--count", str(count), "--rate", "1000", "--disorder", "3s", "-o", path], check=True)
        return path

    def keyed(self, name, count, keys, span_s, padding=0):
        """Lines {"t": …, "k": "…"}: `count` records over `span_s` seconds, keys in an order of their own."""
        path = self.path(name)
        order = random.Random(3)
        ranks = list(range(keys))
        order.shuffle(ranks)
        filler = ',"text":"%s"' % ("x" * padding) if padding > 0 else ""
        with open(path, "w") as out:
            for at in range(0, count, 10_000):
                out.write("".join('{"t":%d,"k":"key_%d"%s}\n' % (START_MS + i * span_s * 1000 // count, ranks[i % keys], filler)
                                  for i in range(at, min(at + 10_000, count))))
        return path

    JSON = ("--format", "json", "--field", "location=k", "--time-field", "t:ms")

    def records(self):
        for count in (50_000, 100_000, 200_000, 400_000, 800_000, 1_600_000):
            if count > self.o.most_records:
                break
            path = self.tweets(count)
            self.point("records", count, *self.run("tweets_by_location,user_mentions", [path], "--window", "60s", "--slide", "30s"), count)
            if count > 50_000:
                os.unlink(path)

    def keys(self):
        for keys in (1_000, 10_000, 100_000, 1_000_000, 10_000_000):
            count = max(2_000_000, keys)
            path = self.keyed("keys.ndjson", count, keys, 60)
            self.point("keys", keys, *self.run("tweets_by_location", [path], *self.JSON, "--window", "60s", "--slide", "30s", "--top", "100"), count)

    def ratio(self):
        path = self.keyed("ratio.ndjson", 2_000_000, 1_000, 600)
        for ratio in (1, 6, 60, 600, 3_600):
            self.point("ratio", ratio, *self.run("tweets_by_location", [path], *self.JSON, "--window", "%ds" % ratio, "--slide", "1s",
                                                 "--top", "10"), 2_000_000)

    def partitions(self):
        whole = self.tweets(200_000)
        for partitions in (1, 2, 4, 8, 16, 32, 64):
            paths = [self.path("part-%d" % p) for p in range(partitions)]
            outputs = [open(path, "wb") for path in paths]
            with open(whole, "rb") as lines:
                for number, line in enumerate(lines):
                    outputs[number % partitions].write(line)
            for out in outputs:
                out.close()
            self.point("partitions", partitions, *self.run("tweets_by_location,user_mentions", paths, "--window", "60s", "--slide", "30s"), 200_000)

    def operators(self):
        program = os.path.join(self.o.build, "benchmarks", "many_operators")
        path = self.tweets(200_000)
        for operators in (1, 2, 4, 8, 16):
            self.point("operators", operators, *self.timed([program, path, str(operators)]), 200_000)

    def size(self):
        for size in (200, 500, 1_000, 2_000, 5_000, 10_000, 20_000):
            count = max(20_000, 400_000_000 // size // 4)
            path = self.keyed("size.ndjson", count, 1_000, 60, size - 55)
            self.point("size", size, *self.run("tweets_by_location", [path], *self.JSON, "--window", "60s", "--slide", "30s"), count,
                       os.path.getsize(path))


def main():
    curves = ["records", "keys", "ratio", "partitions", "operators", "size"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="comma-separated curves; default: all")
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "release"), help="where weir was built [build/release]")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--most-records", type=int, default=1_600_000, help="end of the curve over records; 4.3 GB of disk [1600000]")
    parser.add_argument("--tmp", help="where the inputs go")
    parser.add_argument("--json", help="write the figures there too")
    options = parser.parse_args()
    chosen = options.only.split(",") if options.only else curves
    for name in chosen:
        if name not in curves:
            parser.error('--only: unknown curve "%s"; there are %s' % (name, ", ".join(curves)))
    if options.runs < 1:
        parser.error("--runs is at least 1")
    if not os.path.exists(os.path.join(options.build, "weir")):
        parser.error("%s holds no weir; build it first, or name the folder with --build" % options.build)
    scaling = Scaling(options)
    try:
        for name in chosen:
            getattr(scaling, name)()
        if options.json:
            with open(options.json, "w") as out:
                json.dump({"machine": platform.machine(), "date": time.strftime("%Y-%m-%d"), "curves": scaling.curves}, out, indent=1)
    finally:
        shutil.rmtree(scaling.dir)


if __name__ == "__main__":
    main()
