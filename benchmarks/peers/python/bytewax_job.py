"""bytewax: Kafka source to its end, keys, fold_window over sliding windows.

- batch_size 20,000 (1,000 by default): the documentation says to raise it for throughput; flat_map_batch is one call a batch.
- ordered=False: sorting by time costs throughput, and counts do not need it.
- Its watermark is per key and goes on with the system's clock. The wait is longer than the data and the clock stands still, so
  nothing is late; windows close at the end of input.
- `-s`, the time between two epoch snapshots, longer than the run: they copy all open windows even without recovery.
- Threads do not help under the interpreter's lock. A second process doubles the CPU that rows cost on their way between the two,
  which pays only where windows overlap much: two processes from 8 windows a record on.

Run without an argument this starts the processes; they run this file again, by bytewax.run, for its `flow`.
"""

import gc
import json
import os
import socket
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone

from job import CORES, SETTING, SLIDE_S, WINDOW_S, Extract, create, done, row

ME = os.environ.get("PEER_PROCESS")


def times_file(process):
    return os.path.join(SETTING["SCRATCH"], "times-%s" % process)


def make_flow():
    import bytewax.operators as op
    from bytewax.connectors.kafka import KafkaSource
    from bytewax.dataflow import Dataflow
    from bytewax.operators.windowing import EventClock, SlidingWindower, fold_window
    from bytewax.outputs import DynamicSink, StatelessSinkPartition

    gc.set_threshold(1_000_000, 20, 100)
    seen = {"records": 0, "began": None}
    extract = Extract(lambda seconds: datetime.fromtimestamp(seconds, timezone.utc))

    def keys(messages):
        seen["began"] = seen["began"] or time.time()
        seen["records"] += len(messages)
        out = []
        for message in messages:
            extract(message.value, out)
        return out

    class Csv(StatelessSinkPartition):
        def __init__(self):
            self.file = create("rows-%s.csv" % ME)

        def write_batch(self, items):
            self.file.write("".join([row(key, window * SLIDE_S, count) for key, (window, count) in items]))

        def close(self):
            self.file.close()
            with open(times_file(ME), "w") as out:
                json.dump({**seen, "ended": time.time()}, out)

    class CsvSink(DynamicSink):
        def build(self, step_id, worker_index, worker_count):
            return Csv()

    flow = Dataflow("tweets")
    messages = op.input(
        "topic", flow, KafkaSource(SETTING["BROKERS"].split(","), [SETTING["TOPIC"]], tail=False, batch_size=20_000)
    )
    clock = EventClock(
        ts_getter=lambda at: at,
        wait_for_system_duration=timedelta(days=1),
        now_getter=lambda: datetime(2000, 1, 1, tzinfo=timezone.utc),
        to_system_utc=lambda at: None,
    )
    windows = SlidingWindower(
        timedelta(seconds=WINDOW_S), timedelta(seconds=SLIDE_S), datetime(1970, 1, 1, tzinfo=timezone.utc)
    )
    counts = fold_window(
        "count",
        op.flat_map_batch("keys", messages, keys),
        clock,
        windows,
        builder=lambda: 0,
        folder=lambda count, at: count + 1,
        merger=lambda one, other: one + other,
        ordered=False,
    )
    op.output("rows", counts.down, CsvSink())
    return flow


def start_processes():
    processes = min(CORES, 2) if WINDOW_S // SLIDE_S >= 8 else 1
    addresses = []
    if processes > 1:
        held = [socket.create_server(("127.0.0.1", 0)) for _ in range(processes)]
        addresses = ["127.0.0.1:%d" % server.getsockname()[1] for server in held]
        for server in held:
            server.close()
    started = []
    for process in range(processes):
        command = [sys.executable, "-m", "bytewax.run", "bytewax_job:flow", "-s", "86400"]
        if addresses:
            command += ["-i", str(process), "-a", ";".join(addresses)]
        started.append(
            subprocess.Popen(
                command, cwd=os.path.dirname(os.path.abspath(__file__)), env=dict(os.environ, PEER_PROCESS=str(process))
            )
        )
    for process in started:
        if process.wait() != 0:
            sys.exit("a process of bytewax ended with %d" % process.returncode)  # measure.py ends the other
    times = [json.load(open(times_file(process))) for process in range(processes)]
    done(
        min(each["began"] for each in times if each["began"]),
        max(each["ended"] for each in times),
        sum(each["records"] for each in times),
    )


if ME is not None:
    flow = make_flow()
elif __name__ == "__main__":
    start_processes()
