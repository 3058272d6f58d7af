"""What the end-to-end tests share: running the real binary, reading its results, a broker to talk to.

Every test is a plain script: it prints what it checked and exits 0, or 1 when a check failed. Environment:

    WEIR_BIN            the binary; default build/release/weir
    WEIR_SHARED_DATA    folder with the captures and their answers; default ../shared/data beside the repository
    WEIR_TEST_BROKERS   a Kafka cluster where topics may be created; without it:
    WEIR_MOCK_BROKER    a command `mock_broker NAME:PARTITIONS…` that prints its bootstrap address and serves until killed;
                        default: mock_broker beside the binary, if it is there
    CI=true             what would be left out for want of data or a broker is a failure
"""
import contextlib
import json
import os
import re
import shutil
import socket
import sqlite3
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback

import oracle

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WEIR = os.path.abspath(os.environ.get("WEIR_BIN") or os.path.join(REPO, "build", "release", "weir"))
CI = os.environ.get("CI", "").lower() in ("1", "true")


# ---- checks ----------------------------------------------------------------------------------------------------------

class Checks:
    """Counts what was checked; `done()` is the exit code."""

    def __init__(self, title):
        self.title, self.good, self.bad, self.left_out = title, 0, [], []
        self.started = time.monotonic()
        self.lock = threading.Lock()
        if not os.access(WEIR, os.X_OK):
            sys.exit("%s: no binary at %s. Build it, or say where it is with WEIR_BIN." % (title, WEIR))

    def check(self, name, ok, detail=""):
        with self.lock:
            if ok:
                self.good += 1
            else:
                self.bad.append(name)
                print("FAIL %s%s" % (name, "\n     " + str(detail).replace("\n", "\n     ")[:3000] if detail != "" else ""), flush=True)
        return bool(ok)

    def equal(self, name, found, expected):
        return self.check(name, found == expected, "" if found == expected else difference(found, expected))

    def section(self, function, *args):
        """Runs one part of a test; an exception there is a failed check, and the other parts still run."""
        try:
            return function(self, *args)
        except Exception:
            self.check("%s ran to its end" % function.__name__, False, traceback.format_exc())
            return None

    def leave_out(self, what):
        print("left out: " + what, flush=True)
        self.left_out.append(what)
        if os.environ.get("WEIR_LEFT_OUT"):  # ctest hides what a passing test prints; scripts/test shows this file
            with open(os.environ["WEIR_LEFT_OUT"], "a") as file:
                file.write("%s: %s\n" % (self.title, what))
        if CI:
            self.bad.append("left out under CI: " + what)

    def done(self):
        print("%s: %d of %d checks passed%s, %.1f s" % (self.title, self.good, self.good + len(self.bad),
              ", %d left out" % len(self.left_out) if self.left_out else "", time.monotonic() - self.started))
        if not self.good and not self.left_out:
            print("%s: nothing was checked" % self.title)
            return 1
        return 1 if self.bad else 0


def difference(found, expected):
    """The first lines that differ, for texts; both values otherwise."""
    if isinstance(found, bytes) and isinstance(expected, bytes):
        found, expected = found.decode("utf-8", "replace"), expected.decode("utf-8", "replace")
    if not (isinstance(found, str) and isinstance(expected, str)):
        return "found    %r\nexpected %r" % (found, expected)
    a, b = found.splitlines(), expected.splitlines()
    extra, missing = sorted(set(a) - set(b)), sorted(set(b) - set(a))
    lines = ["%d lines found, %d expected; %d only found, %d only expected" % (len(a), len(b), len(extra), len(missing))]
    return "\n".join(lines + ["  only found:    " + l for l in extra[:5]] + ["  only expected: " + l for l in missing[:5]])


# ---- running ---------------------------------------------------------------------------------------------------------

def environment(extra=None):
    """The caller's, without WEIR_*: those would be flags."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("WEIR_")}
    env["NO_COLOR"] = "1"
    env.update(extra or {})
    return env


class Result:
    def __init__(self, args, code, out, err):
        self.args, self.code, self.out, self.err = args, code, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")
        self.raw = out

    def __str__(self):
        return "weir %s\nexit %s\nstdout: %s\nstderr: %s" % (" ".join(self.args), self.code, self.out[-500:], self.err[-1500:])


def run(*args, stdin=None, timeout=300, env=None, cwd=None):
    """Runs `weir args…` to its end. A run that hangs is killed; its code is "timeout"."""
    args = [str(a) for a in args]
    process = subprocess.Popen([WEIR] + args, stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(env), cwd=cwd)
    try:
        out, err = process.communicate(stdin, timeout=timeout)
        return Result(args, process.returncode, out, err)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        return Result(args, "timeout", out, err)


def start(*args, **options):
    """Starts `weir args…` and returns at once. stderr goes to a file, so that a full pipe stops nothing."""
    log = tempfile.TemporaryFile()
    process = subprocess.Popen([WEIR] + [str(a) for a in args], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log,
                               env=environment(), **options)
    process.log = log
    return process


def log_of(process):
    process.log.seek(0)
    return process.log.read().decode("utf-8", "replace")[-1500:]


@contextlib.contextmanager
def folder():
    path = tempfile.mkdtemp(prefix="weir-e2e-")
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def write(path, data):
    with open(path, "wb") as file:
        file.write(data if isinstance(data, bytes) else data.encode("utf-8"))
    return path


def read(path):
    with open(path, "rb") as file:
        return file.read()


def tweet(t_ms=None, location=None, mentions=(), hashtags=(), retweets=None, **more):
    """One small tweet as a JSON line. `retweets`: it is a retweet, of a status retweeted so often."""
    record = {} if t_ms is None else {"timestamp_ms": str(t_ms)}
    record["user"] = {"location": location}
    record["entities"] = {"user_mentions": [{"screen_name": m} for m in mentions], "hashtags": [{"text": h} for h in hashtags]}
    if retweets is not None:
        record["retweeted_status"] = {"retweet_count": retweets}
    record.update(more)
    return json.dumps(record, ensure_ascii=False)


def lines(*records):
    return "".join(record + "\n" for record in records).encode("utf-8", "surrogatepass")


# ---- results ---------------------------------------------------------------------------------------------------------

def query(db, sql, *values):
    """Rows of the results file. Opened read-only, so that a test cannot mend what it looks at."""
    connection = sqlite3.connect("file:%s?mode=ro" % db.replace("%", "%25").replace("?", "%3f"), uri=True, timeout=10)
    try:
        return connection.execute(sql, values).fetchall()
    finally:
        connection.close()


def table_csv(db, operator, table=None):
    key, value = oracle.VALUE_COLUMN[operator]
    rows = query(db, 'select window_start, window_end, "%s", "%s" from "%s"' % (key, value, table or operator))
    rows.sort(key=lambda row: (row[1], row[2].encode("utf-8", "surrogatepass")))
    return oracle.to_csv(operator, rows)


def _csv(rows):
    return "".join(",".join("" if v is None else oracle.csv_field(v) for v in row) + "\n" for row in sorted(rows, key=repr)).encode()


NO_WATERMARK = -(1 << 63)


def snapshot(db, operators, topics=None):
    """All that must not depend on how a job ran: {table: CSV bytes}. `topics`: other names for topics.

    Left out: weir_windows.revision, and partitions that held no record. weir_late and weir_dead_letters keep the newest 10,000.
    """
    name = (lambda topic: topics.get(topic, topic)) if topics else (lambda topic: topic)
    found = {operator: table_csv(db, operator) for operator in operators}
    found["weir_windows"] = _csv(query(db, "select operator, window_start, window_end, records, keys from weir_windows"))
    found["weir_progress"] = _csv(
        (name(row[0]),) + row[1:-1] + (None if row[-1] == NO_WATERMARK else row[-1],) for row in query(
            db, "select topic, partition, next_offset, %s, gap, watermark from weir_progress where consumed + gap > 0" % ", ".join(oracle.COUNTERS)))
    found["weir_late"] = _csv({(name(row[0]),) + row[1:] for row in query(db, "select topic, partition, offset, event_time from weir_late")})
    found["weir_dead_letters"] = _csv({(name(row[0]),) + row[1:] for row in query(db, "select topic, partition, offset from weir_dead_letters")})
    return found


def expected_snapshot(answer, topics=None):
    """The same from the oracle's answer."""
    name = (lambda topic: topics.get(topic, topic)) if topics else (lambda topic: topic)
    found = {operator: oracle.to_csv(operator, rows) for operator, rows in answer.tables.items()}
    found["weir_windows"] = _csv(answer.windows)
    found["weir_progress"] = _csv((name(topic), partition, c["consumed"]) + tuple(c[n] for n in oracle.COUNTERS) + (0, c["watermark"])
                                  for (topic, partition), c in answer.progress.items() if c["consumed"])
    found["weir_late"] = _csv({(name(row[0]),) + row[1:] for row in answer.late})
    found["weir_dead_letters"] = _csv({(name(row[0]),) + row[1:] for row in answer.dead})
    return found


def totals(db):
    """Sums of the counters in weir_progress over all partitions."""
    sums = query(db, "select %s from weir_progress" % ", ".join("coalesce(sum(%s), 0)" % name for name in oracle.COUNTERS))[0]
    return dict(zip(oracle.COUNTERS, sums))


def consumed(db):
    """Records consumed so far as committed; 0 while there is no file or no table yet."""
    if not os.path.exists(db):
        return 0
    try:
        return query(db, "select coalesce(sum(consumed), 0) from weir_progress")[0][0]
    except sqlite3.Error:
        return 0


def shared_data():
    path = os.environ.get("WEIR_SHARED_DATA") or os.path.join(os.path.dirname(REPO), "shared", "data")
    return path if os.path.isdir(path) else None


def free_port():
    """A loopback port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# ---- Kafka -----------------------------------------------------------------------------------------------------------

class Cluster:
    """A place for topics: WEIR_TEST_BROKERS, or a mock broker of our own. `topics`: {name: partitions}. `mock`: that in any case."""

    def __init__(self, topics, mock=False):
        self.topics, self.process = topics, None
        self.brokers = None if mock else os.environ.get("WEIR_TEST_BROKERS")
        if self.brokers:
            for name, partitions in topics.items():
                create_topic(self.brokers, name, partitions)
            return
        command = mock_broker()
        self.process = subprocess.Popen([command] + ["%s:%d" % item for item in topics.items()], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, env=environment())
        first = self.process.stdout.readline().decode()
        found = re.search(r"[\w.\-\[\]:]+:\d+(,[\w.\-\[\]:]+:\d+)*", first)
        if not found:
            self.close()
            raise RuntimeError("%s printed no bootstrap address, but: %r" % (command, first))
        self.brokers = found.group()

    def produce(self, topic, partition, payloads, delimiter=b"\n"):
        """Appends records to one partition, in order. Compressed: a mock broker keeps only a few megabytes of each partition.

        `delimiter`: a byte that no payload holds; other than the line feed only with kcat.
        """
        with tempfile.NamedTemporaryFile(suffix=".ndjson") as file:
            file.write(b"".join(payload + delimiter for payload in payloads))
            file.flush()
            if shutil.which("kcat"):
                command = ["kcat", "-q", "-P", "-b", self.brokers, "-t", topic, "-p", str(partition), "-z", "gzip",
                           "-X", "max.in.flight=1", "-X", "linger.ms=20", "-D", "\\x%02x" % delimiter[0], "-l", file.name]
            elif delimiter != b"\n":
                raise RuntimeError("records that hold line feeds need kcat")
            else:
                command = [WEIR, "produce", "-b", self.brokers, "-t", topic, "--partition", str(partition), "-i", file.name]
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, env=environment(), timeout=300)
        if done.returncode:
            raise RuntimeError("%s: exit %d: %s" % (" ".join(command), done.returncode, done.stderr.decode()[-500:]))

    def close(self):
        if self.process:
            self.process.kill()
            self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def mock_broker():
    command = os.environ.get("WEIR_MOCK_BROKER") or os.path.join(os.path.dirname(WEIR), "mock_broker")
    return command if os.access(command, os.X_OK) else None


def have_kafka():
    return bool(os.environ.get("WEIR_TEST_BROKERS") or mock_broker())


def create_topic(brokers, name, partitions):
    """CreateTopics, version 2, to the first broker: the one request that kcat cannot make."""
    host, _, port = brokers.split(",")[0].rpartition(":")

    def text(s):
        return struct.pack(">h", len(s)) + s.encode()

    body = (struct.pack(">hhi", 19, 2, 1) + text("weir-e2e") + struct.pack(">i", 1) + text(name) +
            struct.pack(">ihiiib", partitions, 1, 0, 0, 30000, 0))
    with socket.create_connection((host.strip("[]"), int(port)), timeout=40) as connection:
        connection.sendall(struct.pack(">i", len(body)) + body)
        with connection.makefile("rb") as stream:
            size = struct.unpack(">i", stream.read(4))[0]
            answer = stream.read(size)
    length = struct.unpack(">h", answer[12:14])[0]   # correlation, throttle time, count; then the name
    error = struct.unpack(">h", answer[14 + length:16 + length])[0]
    if error not in (0, 36):  # 36: it exists
        raise RuntimeError("cannot create topic %s with %d partitions on %s: Kafka error %d" % (name, partitions, brokers, error))
