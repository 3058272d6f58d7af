#!/usr/bin/env python3
"""How fast is the whole way of a record, beside its limit, in the same run?

    cmake --build --preset release && python3 benchmarks/end_to_end.py [--brokers HOST:PORT] [--json OUT]

Generates its corpus by seed, runs each configuration and its limit in turn (A B A B …), and prints medians and ratios. Without
--brokers it starts a real broker by scripts/kafka, and stops it again; --no-kafka leaves that part out.
"""
import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OPERATORS = "tweets_by_location,user_mentions,hashtags"


def timed(command, cores=None, first_line=False):
    """Runs a command. Returns wall seconds, CPU seconds, peak MB, its stdout, and seconds to its first line of stdout."""
    pin = (lambda: os.sched_setaffinity(0, cores)) if cores else None
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=pin)
    first = None
    out = b""
    if first_line:
        out = process.stdout.readline()
        first = time.monotonic() - start
    out += process.stdout.read()
    err = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit("%s failed (%d):\n%s" % (" ".join(command), process.returncode, err.decode()[-2000:]))
    return {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "peak_mb": usage.ru_maxrss / 1024, "out": out.decode(), "first": first}


class Bench:
    def __init__(self, options):
        self.o = options
        self.rows = []
        self.dir = tempfile.mkdtemp(prefix="weir-bench-", dir=options.tmp)
        self.weir = os.path.join(options.build, "weir")
        self.tool = lambda name: os.path.join(options.build, "benchmarks", name)

    def report(self, name, **figures):
        self.rows.append({"name": name, **figures})
        print("%-44s %s" % (name, "  ".join("%s %s" % (k.replace("_", " "), ("%.2f" % v) if isinstance(v, float) else v)
                                            for k, v in figures.items())), flush=True)

    def pair(self, name, ours, limit, records, size, cores=None, runs=None):
        """ours and limit: functions that return a timed() result."""
        a, b = [], []
        for run in range((runs or self.o.runs) + 1):  # the first warms the page cache up and is not counted
            x, y = ours(cores), limit(cores)
            if run > 0:
                a.append(x)
                b.append(y)
        wall = statistics.median(r["wall"] for r in a)
        limit_wall = statistics.median(r["wall"] for r in b)
        self.report(name, weir_s=wall, limit_s=limit_wall, ratio=statistics.median(y["wall"] / x["wall"] for x, y in zip(a, b)),
                    weir_GB_per_s=size / wall / 1e9, limit_GB_per_s=size / limit_wall / 1e9, weir_krec_per_s=records / wall / 1e3,
                    weir_cpu_s=statistics.median(r["cpu"] for r in a), weir_peak_mb=statistics.median(r["peak_mb"] for r in a))

    def database(self):
        path = os.path.join(self.dir, "out.db")
        for suffix in ("", "-wal", "-shm", ".lock"):
            if os.path.exists(path + suffix):
                os.unlink(path + suffix)
        return path

    def run(self, source, cores, window=("60s", "30s"), operators=OPERATORS, workers=None, extra=()):
        command = [self.weir, "run", operators, *source, "--window", window[0], "--slide", window[1], "--stdout", "none", "-q",
                   "-o", self.database(), *extra]
        if workers:
            command += ["--workers", str(workers)]
        return timed(command, cores)

    def files(self):
        corpus = os.path.join(self.dir, "corpus.ndjson")
        timed([self.weir, "generate", "--seed", "1", "--count", str(self.o.count), "--rate", "1000", "--disorder", "3s", "-o", corpus])
        size = os.path.getsize(corpus)
        print("corpus: %d tweets, %.2f GB, seed 1, 1,000 a second of event time, up to 3 s out of order" % (self.o.count, size / 1e9))
        loop = lambda cores: timed([self.tool("limit_loop"), corpus], cores)
        one = {sorted(os.sched_getaffinity(0))[-1]}
        source = ("-i", corpus)
        self.pair("file, 3 operators, S=30s, one core", lambda c: self.run(source, c, workers=1), loop, self.o.count, size, one)
        self.pair("file, 3 operators, S=30s, 2 workers", lambda c: self.run(source, c, workers=2), loop, self.o.count, size)
        self.pair("file, 3 operators, S=1s, one core", lambda c: self.run(source, c, ("60s", "1s"), workers=1), loop, self.o.count, size, one)
        no_state = lambda c: timed([self.weir, "run", OPERATORS, *source, "--slide", "30s", "--stdout", "none", "-q", "--workers", "1"], c)
        self.pair("the same, S=30s, without results file", no_state, loop, self.o.count, size, one)

        small = os.path.join(self.dir, "small.ndjson")
        timed([self.weir, "generate", "--seed", "1", "--count", "3700", "--rate", "20", "-o", small])
        starts = [timed([self.weir, "run", "user_mentions", "-i", small, "--slide", "30s", "--stdout", "jsonl", "-q", "-o", self.database()],
                        first_line=True) for _ in range(self.o.runs)]
        self.report("start to first row, %.0f MB file" % (os.path.getsize(small) / 1e6), seconds=statistics.median(r["first"] for r in starts),
                    peak_mb=statistics.median(r["peak_mb"] for r in starts))
        return corpus, size

    def kafka(self, corpus, size):
        script = os.path.join(ROOT, "scripts", "kafka")
        brokers = self.o.brokers or subprocess.run([script, "start"], check=True, stdout=subprocess.PIPE).stdout.decode().split()[-1]
        try:
            topic = "bench-%d" % os.getpid()
            environment = dict(os.environ, WEIR_KAFKA_BROKERS=brokers) if self.o.brokers else os.environ
            subprocess.run([script, "topic", topic, "8"], check=True, stdout=subprocess.DEVNULL, env=environment)
            timed([self.weir, "produce", "-b", brokers, "-t", topic, "-i", corpus, "--compression", "lz4", "-q"])
            source = ("-b", brokers, "-t", topic, "--to", "latest")
            limit = lambda c: timed([self.tool("limit_consumer"), brokers, topic], c)
            two = "tweets_by_location,user_mentions"
            self.pair("Kafka, 8 partitions, lz4, S=30s", lambda c: self.run(source, c, operators=two), limit, self.o.count, size)
            self.pair("the same, --max-memory 128M", lambda c: self.run(source, c, operators=two, extra=("--max-memory", "128M")), limit,
                      self.o.count, size)
            self.pair("the same, S=1s", lambda c: self.run(source, c, ("60s", "1s"), operators=two), limit, self.o.count, size)
        finally:
            if not self.o.brokers:
                subprocess.run([script, "stop"], check=False, stdout=subprocess.DEVNULL)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "release"))
    parser.add_argument("--count", type=int, default=300_000, help="tweets")
    parser.add_argument("--runs", type=int, default=5, help="counted runs of each side")
    parser.add_argument("--brokers", help="a Kafka that is there; default: scripts/kafka starts one")
    parser.add_argument("--no-kafka", action="store_true")
    parser.add_argument("--tmp", help="where the corpus goes; needs about 3 GB")
    parser.add_argument("--json", help="write the figures there too")
    options = parser.parse_args()
    print("%s, %d cores, %s" % (platform.machine(), os.cpu_count(), platform.platform()))
    bench = Bench(options)
    try:
        corpus, size = bench.files()
        if not options.no_kafka:
            bench.kafka(corpus, size)
        if options.json:
            with open(options.json, "w") as out:
                json.dump(bench.rows, out, indent=1)
    finally:
        shutil.rmtree(bench.dir)


if __name__ == "__main__":
    main()
