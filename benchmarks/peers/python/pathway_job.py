"""Pathway: the documented way, windowby over a sliding window with the key as its instance.

- mode='static' ends by itself at the topic's end; JSON is parsed in its Rust engine, by paths; one worker a core.
- count() is the only reducer and the key comes from `_pw_instance`: a reducer over the key would keep every row.
- No behavior, so nothing is late or forgotten.
- Up to 8 windows a record all of the topic is one minibatch. More would not fit the memory (each record is a row for each of
  its windows), so it commits each 1.5 s, with the backlog limited as the documentation advises for replays.
- The CSV connector writes a stream of changes, each with a time and a difference; adding them up gives the rows, and is part of
  the job's time.
"""

import collections
import csv
import os
import sys
import time

os.environ["PATHWAY_THREADS"] = os.environ["PEER_CORES"]  # read when the module is loaded

import pathway as pw
from job import SETTING, SLIDE_S, WHITE_SPACE, WINDOW_S, create, done, row

CHANGES = os.path.join(SETTING["SCRATCH"], "changes.csv")
MANY = WINDOW_S // SLIDE_S > 8


class Tweet(pw.Schema):
    created_at: str
    location: str | None = pw.column_definition(default_value=None)
    mentions: pw.Json | None = pw.column_definition(default_value=None)


def counts():
    tweets = pw.io.kafka.read(
        {
            "bootstrap.servers": SETTING["BROKERS"],
            "group.id": "weir-peers-pathway-%d" % os.getpid(),
            "auto.offset.reset": "earliest",
            "session.timeout.ms": "10000",
            "enable.auto.commit": "false",
        },
        topic=SETTING["TOPIC"],
        format="json",
        schema=Tweet,
        mode="static",
        autocommit_duration_ms=1500 if MANY else None,
        max_backlog_size=100_000 if MANY else None,
        json_field_paths={"location": "/user/location", "mentions": "/entities/user_mentions"},
    )
    seconds = pw.this.created_at.dt.strptime("%a %b %d %H:%M:%S +0000 %Y").dt.timestamp(unit="s")
    tweets = tweets.select(pw.this.location, pw.this.mentions, at=pw.cast(int, seconds))
    locations = (
        tweets.filter(pw.this.location.is_not_none())
        .select(pw.this.at, name=pw.unwrap(pw.this.location).str.strip(WHITE_SPACE))
        .filter(pw.this.name != "")
        .select(pw.this.at, key="L" + pw.this.name)
    )
    mentions = (
        tweets.filter(pw.this.mentions.is_not_none())
        .select(pw.this.at, mention=pw.unwrap(pw.this.mentions))
        .flatten(pw.this.mention)
        .select(pw.this.at, name=pw.unwrap(pw.this.mention["screen_name"].as_str()))
        .filter(pw.this.name != "")
        .select(pw.this.at, key="M" + pw.this.name.str.lower())
    )
    keys = pw.Table.concat_reindex(locations, mentions)
    return keys.windowby(
        pw.this.at, window=pw.temporal.sliding(hop=SLIDE_S, duration=WINDOW_S, origin=0), instance=pw.this.key
    ).reduce(start=pw.this._pw_window_start, count=pw.reducers.count(), key=pw.this._pw_instance)


def write_rows():
    left = collections.Counter()
    with open(CHANGES, newline="", encoding="utf-8") as changes:
        lines = csv.reader(changes)
        next(lines)  # the header
        for start, count, key, _, difference in lines:
            change = start, count, key
            left[change] += int(difference)
            if not left[change]:
                del left[change]
    if set(left.values()) - {1}:
        sys.exit("its changes do not add up to rows")
    with create("rows.csv") as out:
        for start, count, key in left:
            out.write(row(key, int(start), int(count)))


pw.io.csv.write(counts(), CHANGES)
began = time.time()
pw.run(monitoring_level=pw.MonitoringLevel.NONE)
write_rows()
done(began)
