"""One corpus, one topic, and the runs of weir and the peers on them, each checked before it counts."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys

from common import CORES, HERE, ROOT, Failure, die, read, say

KAFKA = os.path.join(ROOT, "scripts", "kafka")
ROWS = os.path.join(HERE, "rows.py")
MEASURE = os.path.join(HERE, "measure.py")
OPERATORS = "tweets_by_location,user_mentions"
GENERATE = "generate --rate 1000 --disorder 3s --seed %d"
# The peers read the mentions of `entities` alone, so weir must not find others: see README.md.
RENAME = "s/\"extended_tweet\"/\"extended_entry\"/"


def weir_name(reads, limited):
    return "weir, %s → SQLite%s" % (reads, ", --max-memory 128M" if limited else "")


def free_port():
    """The first of two free neighbours, as a broker takes them; below the ports that the system gives to clients."""
    while True:
        port = random.randrange(20000, 32000)
        try:
            with socket.socket() as first, socket.socket() as second:
                first.bind(("127.0.0.1", port))
                second.bind(("127.0.0.1", port + 1))
                return port
        except OSError:
            pass


def run_measured(command, folder, environment, timeout_s):
    """Runs a command in a fresh folder; returns what measure.py says, and the command's stdout."""
    result, out, err = (os.path.join(folder, name) for name in ("measured", "stdout", "stderr"))
    with open(out, "w") as stdout, open(err, "w") as stderr:
        helper = subprocess.Popen([sys.executable, "-I", "-S", MEASURE, result, str(timeout_s), *command], stdout=stdout, stderr=stderr,
                                  env=environment, cwd=folder)
        try:
            helper.wait()
        except BaseException:
            helper.terminate()
            helper.wait()
            raise
    log = read(out) + read(err)
    if helper.returncode != 0:
        raise Failure("measure.py ended with %d" % helper.returncode, log)
    measured = json.loads(read(result))
    code = measured.pop("exit")
    if measured.pop("timed_out"):
        raise Failure("no end after %d s" % timeout_s, log)
    if code != 0:
        raise Failure("ended with %s" % (code if code > 0 else signal.Signals(-code).name), log)
    measured["process_s"] = measured["wall_s"]
    return measured, read(out)


class Session:
    def __init__(self, options, work):
        self.o = options
        self.work = work
        self.corpus = options.corpus or os.path.join(work, "corpus.ndjson")
        self.brokers = options.brokers
        self.topic = "weir-peers-%d" % os.getpid()
        self.kafka = dict(os.environ, **({"WEIR_KAFKA_BROKERS": options.brokers} if options.brokers else
                                         {"WEIR_KAFKA_DIR": os.path.join(work, "kafka")}))
        self.runs = []  # checked ones
        self.failures = []

    # ---- corpus and topic ---------------------------------------------------------------------------------------------

    def make_corpus(self):
        generate = GENERATE % self.o.seed
        if not self.o.corpus:
            with open(self.corpus, "w") as out:
                tweets = subprocess.Popen([self.o.weir, *generate.split(), "--count", str(self.o.tweets)], stdout=subprocess.PIPE)
                renamed = subprocess.run(["sed", RENAME], stdin=tweets.stdout, stdout=out)
            if tweets.wait() != 0 or renamed.returncode != 0:
                die(3, "weir generate failed")
        made = subprocess.run([sys.executable, ROWS, "reference", self.corpus, str(self.o.window), self.work, *map(str, self.o.slides)],
                              stdout=subprocess.PIPE)
        if made.returncode != 0:
            die(2, "this corpus cannot be used")
        self.about = {**json.loads(made.stdout), "bytes": os.path.getsize(self.corpus), "source": self.o.corpus or "weir " + generate}
        say("corpus: %(tweets)d tweets, %(bytes)d bytes, %(span_s)d s of event time; %(source)s" % self.about)

    def start_kafka(self):
        if not self.brokers:
            started = subprocess.run([KAFKA, "start", "--port", str(free_port())], stdout=subprocess.PIPE, text=True, env=self.kafka)
            if started.returncode != 0:
                die(3, "scripts/kafka could not start a broker; use --brokers")
            self.brokers = started.stdout.split()[-1]
        made = subprocess.run([KAFKA, "topic", self.topic, str(self.o.partitions)], env=self.kafka, stderr=subprocess.PIPE, text=True)
        if made.returncode != 0:
            die(3, "topic %s cannot be made on %s: %s" % (self.topic, self.brokers, made.stderr[-500:]))
        filled = subprocess.run([self.o.weir, "produce", "-b", self.brokers, "-t", self.topic, "-i", self.corpus, "--compression", "lz4", "-q"])
        if filled.returncode != 0:
            die(3, "the topic cannot be filled")
        say("topic: %d partitions, lz4, on %s%s" % (self.o.partitions, self.brokers, "" if self.o.brokers else ", from scripts/kafka"))

    def stop_kafka(self):
        verb = ["delete-topic", self.topic] if self.o.brokers else ["stop"]
        subprocess.run([KAFKA, *verb], env=self.kafka, stderr=subprocess.DEVNULL)

    def broker_cpu_s(self):
        """CPU seconds of the broker so far, where scripts/kafka started it as a process."""
        pid = read(os.path.join(self.work, "kafka", "node1", "pid")).strip()
        fields = read("/proc/%s/stat" % pid).rpartition(")")[2].split() if pid else None
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if fields else None

    # ---- runs ---------------------------------------------------------------------------------------------------------

    def fresh(self):
        folder = os.path.join(self.work, "run")
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        return folder

    def check(self, result, slide, reference="windows"):
        expected = os.path.join(self.work, "totals.rows" if reference == "totals" else "%d.rows" % slide)
        checked = subprocess.run([sys.executable, ROWS, "check", result, expected], stderr=subprocess.PIPE, text=True)
        if checked.returncode != 0:
            raise Failure("wrong result: " + checked.stderr.strip())

    def record(self, name, slide, run, measured, **more):
        self.runs.append({"engine": name, "slide_s": slide, "run": run, **measured, **more})
        return self.runs[-1]

    def run_weir(self, reads, limited, slide, run):
        folder = self.fresh()
        results = os.path.join(folder, "results.db")
        command = [self.o.weir, "run", OPERATORS, "--window", "%ds" % self.o.window, "--slide", "%ds" % slide,
                   "--watermark-delay", "%ds" % self.o.delay, "--stdout", "none", "-q", "-o", results]
        command += ["-b", self.brokers, "-t", self.topic, "--to", "latest"] if reads == "topic" else ["-i", self.corpus]
        command += ["--max-memory", "128M"] if limited else []
        try:
            measured, _ = run_measured(command, folder, os.environ, self.o.timeout)
            self.check(results, slide)
        except Failure as failure:
            die(1, "weir itself: %s\n%s" % (failure, failure.log))
        return self.record(weir_name(reads, limited), slide, run, measured)

    def run_peer(self, peer, command, slide, run):
        folder = self.fresh()
        settings = {"BROKERS": self.brokers or "", "TOPIC": self.topic, "CORPUS": os.path.abspath(self.corpus), "WINDOW_S": self.o.window,
                    "SLIDE_S": slide, "DELAY_S": self.o.delay, "CORES": CORES}
        for name in ("ROWS", "SCRATCH"):
            settings[name] = os.path.join(folder, name.lower())
            os.mkdir(settings[name])
        environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1", **{"PEER_" + name: str(value) for name, value in settings.items()})
        broker_before = self.broker_cpu_s()
        measured, out = run_measured(command, folder, environment, self.o.timeout)
        broker_after = self.broker_cpu_s()
        self.check(settings["ROWS"], slide, peer.reference)
        said = [json.loads(line) for line in out.splitlines() if line.startswith('{"steady_s"')]
        if not said:
            raise Failure("did not say when it worked", out)
        if said[-1]["records"] not in (None, self.about["tweets"]):
            raise Failure("saw %s tweets, not %d" % (said[-1]["records"], self.about["tweets"]))
        measured["wall_s"] = said[-1]["ended_at"] - measured["started_at"]  # process_s has its shutting down, too
        broker = None if broker_before is None else broker_after - broker_before
        return self.record(peer.name, slide, run, measured, steady_s=said[-1]["steady_s"], broker_cpu_s=broker)

    def measure(self, peers, slide):
        """All peers, pairs of peer and command, at one slide, each of their runs right after weir's."""
        for reads in sorted({peer.reads for peer, _ in peers}):
            self.run_weir(reads, False, slide, 0)  # warms the page cache up; not counted
        broken = set()
        for run in range(1, self.o.runs + 1):
            for peer, command in peers:
                if peer.name in broken:
                    continue
                weir = self.run_weir(peer.reads, False, slide, run)
                limited = self.run_weir(peer.reads, True, slide, run)
                try:
                    mine = self.run_peer(peer, command, slide, run)
                except Failure as failure:
                    broken.add(peer.name)
                    self.fail(peer, failure, slide)
                    continue
                time_s = mine[peer.time + "_s"]
                mine.update(time_ratio=time_s / weir["wall_s"], cpu_ratio=mine["cpu_s"] / weir["cpu_s"],
                            peak_ratio=mine["peak_mb"] / limited["peak_mb"])
                equal = "counts of the whole corpus equal the reference"
                if peer.reference == "windows":
                    equal = "%d rows equal weir's and the reference" % self.about["rows"][str(slide)]
                say("  S = %d s, run %d, %s: %s; %.1f s beside %.1f s" % (slide, run, peer.name, equal, time_s, weir["wall_s"]))

    def fail(self, peer, failure, slide=None):
        self.failures.append({"engine": peer.name, "slide_s": slide, "reason": str(failure), "log": failure.log})
        self.runs = [run for run in self.runs if run["engine"] != peer.name or run["slide_s"] != slide]  # not half a figure
        print("FAILED %s%s: %s" % (peer.name, " at S = %d s" % slide if slide else "", failure), file=sys.stderr)
        for line in failure.log.splitlines():
            print("  | " + line, file=sys.stderr)
        sys.stderr.flush()
