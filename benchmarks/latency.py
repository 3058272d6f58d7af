#!/usr/bin/env python3
"""How long after the record that closes a window was appended to Kafka are the window's rows visible to a reader?

    python3 benchmarks/latency.py [--seconds 120] [--rate 20000] [--batch 100ms] [--json OUT]

Tweets dated now go into a topic of 8 partitions at a steady pace, while `weir run tweets_by_location` counts them (window 1 s,
slide 100 ms, watermark delay 0) and a reader looks into the results file every 2 ms. The topic stamps records with the
broker's clock when they are appended. A window closes once every partition has a record at or behind its end: the last of
those first records to be appended is the record that closes it, as is found afterwards by reading the topic again. Latency is
the time from its stamp to the moment at which the reader saw the window. All clocks are this machine's; the stamps have a
resolution of 1 ms, the reader adds up to 2 ms. Windows of the first --warm-up seconds are left out.
"""
import argparse
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SLIDE_MS = 100
PARTITIONS = 8


def fail(message):
    sys.exit("latency: " + message)


def percentile(ordered, share):
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def watch(path, seen, end):
    """Notes when each window_end is first visible, until end() is true."""
    connection = None
    newest = -1
    while not end():
        time.sleep(0.002)
        try:
            if connection is None:
                connection = sqlite3.connect("file:%s?mode=ro" % path, uri=True, isolation_level=None)
            rows = connection.execute("select window_end from weir_windows where window_end > ? order by window_end", (newest,)).fetchall()
        except sqlite3.OperationalError:  # not there yet
            connection = None
            continue
        now = time.time() * 1000
        for (window_end,) in rows:
            seen[window_end] = now
            newest = window_end


def closing_appends(brokers, topic):
    """By window end: the stamp of the record that closed it; ends that some partition never reached are left out."""
    reader = subprocess.Popen(["kcat", "-C", "-e", "-q", "-b", brokers, "-t", topic, "-f", "%p %T %s\n"], stdout=subprocess.PIPE)
    pattern = re.compile(rb'^(\d+) (\d+) .*?"timestamp_ms":"?(\d+)', re.S)
    top, closed = {}, {}
    for line in reader.stdout:
        found = pattern.match(line)
        if not found:
            continue
        partition, stamp, event = (int(g) for g in found.groups())
        before = top.get(partition)
        if before is None or event > before:
            top[partition] = event
            if before is not None:
                for window_end in range((before // SLIDE_MS + 1) * SLIDE_MS, event + 1, SLIDE_MS):
                    closed.setdefault(window_end, {})[partition] = stamp
    if reader.wait() != 0:
        fail("kcat could not read topic %s" % topic)
    return {end: max(stamps.values()) for end, stamps in closed.items() if len(stamps) == PARTITIONS}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "release"))
    parser.add_argument("--brokers", help="a Kafka that is there; default: scripts/kafka starts one")
    parser.add_argument("--rate", type=int, default=20_000, help="tweets a second [20000]")
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--warm-up", type=int, default=5, help="seconds at the start that do not count [5]")
    parser.add_argument("--batch", default="100ms")
    parser.add_argument("--size", choices=["full", "small"], default="full", help="of a tweet: 2.7 kB or 300 bytes [full]")
    parser.add_argument("--json", help="write the figures there too")
    options = parser.parse_args()
    weir = os.path.join(options.build, "weir")
    if not os.path.exists(weir):
        parser.error("%s is not built" % weir)
    if options.seconds <= options.warm_up or options.rate < 1:
        parser.error("--seconds must be more than --warm-up, --rate at least 1")
    if shutil.which("kcat") is None:
        fail("kcat is missing (package kcat)")
    script = os.path.join(ROOT, "scripts", "kafka")
    brokers = options.brokers
    environment = dict(os.environ, WEIR_KAFKA_BROKERS=brokers) if brokers else os.environ
    if not brokers:
        started = subprocess.run([script, "start"], stdout=subprocess.PIPE)
        if started.returncode != 0:
            fail("scripts/kafka start ended with %d; name a broker with --brokers" % started.returncode)
        brokers = started.stdout.decode().split()[-1]
    folder = tempfile.mkdtemp(prefix="weir-latency-")
    children = []
    try:
        topic = "latency-%d" % os.getpid()
        subprocess.run([script, "topic", topic, str(PARTITIONS), "--config", "message.timestamp.type=LogAppendTime"], check=True,
                       stdout=subprocess.DEVNULL, env=environment)
        database = os.path.join(folder, "results.db")
        job = subprocess.Popen([weir, "run", "tweets_by_location", "-b", brokers, "-t", topic, "--window", "1s", "--slide", "%dms" % SLIDE_MS,
                                "--watermark-delay", "0s", "--idle-timeout", "1h", "--batch", options.batch, "-o", database,
                                "--stdout", "none", "-q"])
        children.append(job)
        time.sleep(2)
        generator = subprocess.Popen([weir, "generate", "--seed", "5", "--count", str(options.rate * options.seconds), "--rate",
                                      str(options.rate), "--start", str(int(time.time() * 1000)), "--size", options.size],
                                     stdout=subprocess.PIPE)
        producer = subprocess.Popen([weir, "produce", "-b", brokers, "-t", topic, "--rate", str(options.rate), "-q", "-X", "linger.ms=5",
                                     "-X", "sticky.partitioning.linger.ms=5"], stdin=generator.stdout)
        children += [generator, producer]
        begin = time.time()
        seen, quiet_since = {}, []

        def over():
            if job.poll() is not None:
                fail("weir run ended with %d" % job.returncode)
            if producer.poll() is None:
                return False
            quiet_since.append(time.time())
            return time.time() - quiet_since[0] > 2

        watch(database, seen, over)
        took = quiet_since[0] - begin
        if producer.returncode != 0:
            fail("weir produce ended with %d" % producer.returncode)
        job.send_signal(signal.SIGTERM)
        if job.wait() != 0:
            fail("weir run ended with %d" % job.returncode)
        appended = closing_appends(brokers, topic)
        first = min(appended, default=0) + options.warm_up * 1000
        latencies = sorted(seen[end] - stamp for end, stamp in appended.items() if end in seen and end >= first)
        missing = sum(1 for end in appended if end not in seen and end >= first)
        if not latencies:
            fail("no window closed")
        figures = {"tweets_per_s": options.rate * options.seconds / took, "windows": len(latencies), "not_seen": missing,
                   "p50_ms": percentile(latencies, 0.5), "p99_ms": percentile(latencies, 0.99), "p99_9_ms": percentile(latencies, 0.999),
                   "max_ms": latencies[-1]}
        print("%d tweets/s asked, %.0f appended; batch %s; %d windows (%d never seen)" %
              (options.rate, figures["tweets_per_s"], options.batch, len(latencies), missing))
        print("p50 %.0f ms  p99 %.0f ms  p99.9 %.0f ms  max %.0f ms" % tuple(figures[k] for k in ("p50_ms", "p99_ms", "p99_9_ms", "max_ms")))
        bins = {}
        for latency in latencies:
            bins[int(latency // 10) * 10] = bins.get(int(latency // 10) * 10, 0) + 1
        most = max(bins.values())
        for low in range(0, max(bins) + 10, 10):
            print("%4d..%-4d %6d %s" % (low, low + 10, bins.get(low, 0), "#" * round(60 * bins.get(low, 0) / most)))
        if options.json:
            with open(options.json, "w") as out:
                json.dump({"date": time.strftime("%Y-%m-%d"), "rate": options.rate, "batch": options.batch, "size": options.size, **figures,
                           "histogram_ms": sorted(bins.items())}, out, indent=1)
    finally:
        for child in children:
            if child.poll() is None:
                child.kill()
        if not options.brokers:
            subprocess.run([script, "stop"], check=False, stdout=subprocess.DEVNULL)
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
