#!/usr/bin/env python3
"""Does the rate stay flat and the memory bounded over a long run whose keys never stop changing?

    python3 benchmarks/soak.py [--minutes 30] [--workers 1] [--json OUT]

An endless stream of small records, each key alive for a few windows only and then never seen again, goes by a pipe into
`weir run tweets_by_location` (W = 60 s, S = 10 s, results and state into SQLite, --top 100). Every ten seconds the records
consumed and the resident memory are taken; printed are both, and at the end their slopes by least squares, without the first
tenth. The results file grows by what the windows bring; memory must not.
"""
import argparse
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
KEYS_ALIVE = 100_000


def feed(pipe, stop):
    """10,000 records a second of event time; of 100,000 keys a tenth is replaced every second of it."""
    second = 1430429640
    base = 0
    try:
        while not stop.is_set():
            lines = "".join('{"t":%d,"k":"key_%d"}\n' % (second * 1000 + i // 10, base + i * 7919 % KEYS_ALIVE) for i in range(10_000))
            pipe.write(lines.encode())
            second += 1
            base += KEYS_ALIVE // 10
    except BrokenPipeError:
        pass
    finally:
        try:
            pipe.close()
        except BrokenPipeError:
            pass


def slope(points):
    """Least squares: change of y for each unit of x."""
    n = len(points)
    mean_x, mean_y = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


def resident_mb(pid):
    with open("/proc/%d/status" % pid) as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--every", type=float, default=10, help="seconds between two looks [10]")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "release"), help="where weir was built [build/release]")
    parser.add_argument("--json", help="write the figures there too")
    options = parser.parse_args()
    weir = os.path.join(options.build, "weir")
    if not os.path.exists(weir):
        parser.error("%s is not built" % weir)
    if options.minutes * 60 < 5 * options.every:
        parser.error("--minutes must give at least five looks")
    folder = tempfile.mkdtemp(prefix="weir-soak-")
    database = os.path.join(folder, "results.db")
    job = subprocess.Popen([weir, "run", "tweets_by_location", "-i", "-", "--format", "json", "--field", "location=k", "--time-field", "t:ms",
                            "--window", "60s", "--slide", "10s", "--top", "100", "--workers", str(options.workers), "-o", database,
                            "--stdout", "none", "-q"], stdin=subprocess.PIPE)
    stop = threading.Event()
    feeder = threading.Thread(target=feed, args=(job.stdin, stop))
    feeder.start()
    samples = []
    begin, before = time.monotonic(), 0
    try:
        while time.monotonic() - begin < options.minutes * 60:
            time.sleep(options.every)
            if job.poll() is not None:
                sys.exit("soak: weir run ended with %d" % job.returncode)
            try:
                with sqlite3.connect("file:%s?mode=ro" % database, uri=True) as reader:
                    consumed = reader.execute("select coalesce(sum(consumed), 0) from weir_progress").fetchone()[0]
            except sqlite3.OperationalError:
                continue
            now = time.monotonic() - begin
            rate = (consumed - before) / (now - samples[-1]["at_s"]) if samples else consumed / now
            before = consumed
            samples.append({"at_s": now, "records": consumed, "rate": rate, "rss_mb": resident_mb(job.pid)})
            print("%6.0f s  %12s records  %9s records/s  %6.1f MB" % (now, "{:,}".format(consumed), "{:,.0f}".format(rate), samples[-1]["rss_mb"]),
                  flush=True)
    finally:
        stop.set()
        if job.poll() is None:
            job.send_signal(signal.SIGTERM)
        job.wait()
        feeder.join()
        size_mb = os.path.getsize(database) / 1e6 if os.path.exists(database) else 0
        shutil.rmtree(folder)
    if len(samples) < 5:
        sys.exit("soak: too few looks succeeded")
    settled = samples[len(samples) // 10 + 1:]
    mean = sum(s["rate"] for s in settled) / len(settled)
    figures = {"minutes": options.minutes, "records": samples[-1]["records"], "mean_rate": mean,
               "rate_slope_percent_per_hour": 100 * 3600 * slope([(s["at_s"], s["rate"]) for s in settled]) / mean,
               "rss_mb": settled[-1]["rss_mb"], "rss_slope_mb_per_hour": 3600 * slope([(s["at_s"], s["rss_mb"]) for s in settled]),
               "results_mb": size_mb}
    print("%.0f records/s; rate %+.1f %% an hour; %.1f MB resident, %+.1f MB an hour; results file %.0f MB" %
          (mean, figures["rate_slope_percent_per_hour"], figures["rss_mb"], figures["rss_slope_mb_per_hour"], size_mb))
    if options.json:
        with open(options.json, "w") as out:
            json.dump({"date": time.strftime("%Y-%m-%d"), **figures, "samples": samples}, out, indent=1)


if __name__ == "__main__":
    main()
