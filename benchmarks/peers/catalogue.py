"""The peers: where each comes from, how it is started, with which settings, and what about it cannot be compared.

The settings are those that the engine's own documentation advises for throughput; the jobs say more where they are made.
"""

import dataclasses
import os
import xml.etree.ElementTree

from common import HERE

POM = os.path.join(HERE, "pom.xml")


@dataclasses.dataclass(frozen=True)
class Peer:
    name: str
    title: str
    reads: str  # "topic" or "file"
    settings: str
    maven: str = ""  # a profile of pom.xml,
    main: str = ""  # the class to run,
    arguments: tuple = ()
    leave_out: str = ""  # and the jars, by the beginning of their names, that stay out of its class path; or
    pip: tuple = ()  # requirements,
    script: str = ""  # and the file in python/ to run
    note: str = ""  # what the table must say beside its figures
    time: str = "wall"  # the figure that is compared with weir's wall time: "wall", or "steady" where wall is no measure
    reference: str = "windows"  # "totals": no event time, so the window that holds all is compared

    def version(self):
        if self.pip:
            return ", ".join(requirement.replace("==", " ") for requirement in self.pip)
        found = xml.etree.ElementTree.parse(POM).getroot().find("{*}properties")
        versions = {item.tag.rpartition("}")[2]: item.text for item in found}
        return {
            "flink": "Flink %(flink.version)s, flink-connector-kafka %(flink-kafka.version)s",
            "spark": "Spark %(spark.version)s (Scala 2.13)",
            "dstreams": "Spark %(spark.version)s (Scala 2.12)",
            "kstreams": "Kafka Streams %(kafka-streams.version)s",
        }[self.maven] % versions


CLOSED_FILE = "no stream: the file must be whole before it starts"

PEERS = [
    Peer(
        "spark",
        "Spark Structured Streaming",
        "topic",
        "local, one thread a core, update mode, all of the topic as one micro-batch, from_json",
        maven="spark",
        main="peers.spark.StructuredStreamingJob",
        note="its best case: one batch, all windows in state at once; append mode, in smaller batches, takes more CPU",
    ),
    Peer(
        "spark-dstreams",
        "Spark DStreams",
        "topic",
        "local, one thread a core, reduceByKeyAndWindow with its inverse, Kryo, batches of 5 s (1 s)",
        maven="dstreams",
        main="peers.dstreams.DStreamsJob",
        time="steady",
        reference="totals",
        note="no event time, so it cannot do this job: windows are of processing time. The stream's clock sets its wall time (—); steady is the "
        "sum of the processing times of its batches, and compared with weir's wall. Checked: the window that holds everything",
    ),
    Peer(
        "flink",
        "Flink DataStream",
        "topic",
        "embedded, one slot a core, object reuse, hashmap state, exactly-once checkpoints every 10 s",
        maven="flink",
        main="peers.flink.DataStreamJob",
        arguments=("windows",),
        leave_out="flink-table",
    ),
    Peer(
        "flink-panes",
        "Flink DataStream, panes by hand",
        "topic",
        "as flink; counts per pane in one keyed function, one timer a key",
        maven="flink",
        main="peers.flink.DataStreamJob",
        arguments=("panes",),
        leave_out="flink-table",
        note="a window operator of some 100 lines, written for this job",
    ),
    Peer(
        "flink-sql",
        "Flink SQL, HOP",
        "topic",
        "as flink; two-phase aggregation, mini-batches of 1 s or 5,000 rows, 512 MB managed memory",
        maven="flink",
        main="peers.flink.SqlJob",
        note="its file sink is exactly-once; the window must be a multiple of the slide",
    ),
    Peer(
        "kstreams",
        "Kafka Streams",
        "topic",
        "one thread a core, exactly_once_v2, commits every 10 s, 256 MB cache, in-memory window store, lz4",
        maven="kstreams",
        main="peers.kstreams.KafkaStreamsJob",
        note="rows are read from its store at the end, since the last windows of a bounded topic never close; the broker's work for its "
        "repartition and changelog topics is not in its CPU",
    ),
    Peer(
        "bytewax",
        "bytewax",
        "topic",
        "one process (two from 8 windows a record on), batches of 20,000, pysimdjson, unordered fold, no epoch snapshots",
        pip=("bytewax[kafka]==0.21.1", "pysimdjson==7.0.2"),
        script="bytewax_job.py",
        note="its watermark follows the wall clock, so in a replay nothing may close before the end: all windows are held",
    ),
    Peer(
        "quix",
        "Quix Streams",
        "topic",
        "one extracting process, a counting one for each core, pysimdjson, no changelog topics, lz4",
        pip=("quixstreams==3.28.1", "pysimdjson==7.0.2"),
        script="quix_job.py",
        note="windows of a bounded topic do not close: each update is emitted and the last one is kept. The broker's work for the topic between "
        "is not in its CPU",
    ),
    Peer(
        "pathway",
        "Pathway",
        "topic",
        "one worker a core, static mode, windowby sliding; from 9 windows a record on a commit each 1.5 s, backlog 100,000",
        pip=("pathway==0.33.0",),
        script="pathway_job.py",
        note="static mode: nothing closes before the end; its CSV changes are added up to rows, in its time",
    ),
    Peer(
        "duckdb",
        "DuckDB",
        "file",
        "all cores, explicit columns, insertion order not kept, panes",
        pip=("duckdb==2.0.0",),
        script="duckdb_job.py",
        note=CLOSED_FILE,
    ),
    Peer(
        "chdb",
        "ClickHouse (chDB)",
        "file",
        "all cores, LineAsString and one JSONExtract a tweet, panes",
        pip=("chdb==4.4.0",),
        script="chdb_job.py",
        note=CLOSED_FILE,
    ),
    Peer(
        "polars",
        "Polars",
        "file",
        "all cores, streaming engine, explicit schema, batches of 10,000, panes",
        pip=("polars==2.1.0",),
        script="polars_job.py",
        note=CLOSED_FILE,
    ),
]
