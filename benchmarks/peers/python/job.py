"""What every Python peer needs: its settings, the keys of one tweet, rows, and when it worked.

A key carries its kind in front, L for a location and M for a mention, so that one stream holds both.
"""

import calendar
import json
import os
import time

SETTING = {name: os.environ.get("PEER_" + name, "") for name in ("BROKERS", "TOPIC", "CORPUS", "ROWS", "SCRATCH")}
WINDOW_S, SLIDE_S, CORES = (int(os.environ["PEER_" + name]) for name in ("WINDOW_S", "SLIDE_S", "CORES"))
WHITE_SPACE = " \t\n\v\f\r"
KIND = {"L": "location", "M": "mention"}
MONTHS = {name: number for number, name in enumerate("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)}


def created_at_s(text):
    """'Sun Mar 01 00:00:03 +0000 2015' as epoch seconds."""
    return calendar.timegm(
        (int(text[26:30]), MONTHS[text[4:7]], int(text[8:10]), int(text[11:13]), int(text[14:16]), int(text[17:19]))
    )


class Times(dict):
    """created_at → the event time that `make` builds of its seconds; many tweets share a second, so each is parsed once."""

    def __init__(self, make):
        super().__init__()
        self.make = make

    def __missing__(self, text):
        value = self[text] = self.make(created_at_s(text))
        return value


class Extract:
    """The keyed events of one tweet. pysimdjson, by pointers into the document: of the parsers tried (msgspec, orjson, json) the
    fastest from Python."""

    def __init__(self, make_time):
        import simdjson  # only some of the peers have it

        self.parse = simdjson.Parser().parse
        self.times = Times(make_time)

    def __call__(self, message, out):
        tweet = self.parse(message)
        at = self.times[tweet["created_at"]]
        try:
            location = tweet.at_pointer("/user/location")
            location = location and location.strip(WHITE_SPACE)
            if location:
                out.append(("L" + location, at))
        except KeyError:
            pass
        try:
            mentions = tweet.at_pointer("/entities/user_mentions")
            for mention in mentions or ():
                name = mention["screen_name"]
                if name:
                    out.append(("M" + name.lower(), at))
        except KeyError:
            pass
        tweet = mentions = mention = None  # the parser may only be used again when nothing refers to its document


def row(key, start_s, count):
    return "%s,%d,%d,%s\n" % (KIND[key[0]], start_s, count, key[1:])


def create(name):
    return open(os.path.join(SETTING["ROWS"], name), "w", 1 << 20, encoding="utf-8", newline="")


def done(began, ended=None, records=None):
    """Called when the last row is written: tells `run` how long that took without start-up. Times are of time.time()."""
    ended = ended or time.time()
    print(json.dumps({"steady_s": ended - began, "ended_at": ended, "records": records}), flush=True)
