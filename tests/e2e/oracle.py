#!/usr/bin/env python3
"""The oracle: recomputes from scratch what weir must answer, straight from docs/reference.md, sections 3 and 4.

Brute force on purpose: every record is copied into each of its windows, nothing is incremental, nothing is shared with
the engine. Slow and short, so that a person can check it against the text.

    oracle.py --check DATA_DIR [FILTER]     compare with DATA_DIR/expected/contract
    oracle.py OPERATOR[,…] -i FILE… [flags] print the tables, as CSV
"""
import argparse
import calendar
import collections
import csv
import datetime
import hashlib
import io
import json
import os
import re
import sys
import time

sys.setrecursionlimit(20000)

MAX_DEPTH = 1024
MAX_EVENT_TIME = 1 << 60
FOREVER = None  # `inf`
ASCII_SPACE = " \t\n\v\f\r"
WARM_UP = 16    # records before a partition has a watermark, and that confirm a jump
VALUE_COLUMN = {"tweets_by_location": ("location", "tweets"), "user_mentions": ("user", "mentions"), "hashtags": ("hashtag", "uses")}

Options = collections.namedtuple(
    "Options", "operators window slide delay lateness max_future max_jump time time_field mention_weight location_field normalize track lang top",
    defaults=(("tweets_by_location",), 60000, None, 10000, 0, 300000, 3600000, "event", None, "one", "user.location", "none", (), (), 0))

# What a record says, before time has been looked at. `emits`: {operator: [(key, status, weight)]}.
Extract = collections.namedtuple("Extract", "valid time filtered emits")

Answer = collections.namedtuple("Answer", "tables windows progress late dead")
# tables:   {operator: [(start, end, key, value)]} by (end, key bytes), after --top
# windows:  [(operator, start, end, records, keys)]
# progress: {(topic, partition): {counter: n, "watermark": ms or None}}
# late:     {(topic, partition, offset, event_time)};  dead: {(topic, partition, offset)}


# ---- records ---------------------------------------------------------------------------------------------------------

_LONE = re.compile("[\ud800-\udfff]")


def _refuse(name):
    raise ValueError("not JSON: " + name)


def _integer(digits):
    return int(digits) if len(digits) <= 40 else 1e300  # valid, and too great for every use


def depth_of(text):
    """Greatest nesting of brackets outside strings."""
    depth = deepest = 0
    for token in re.finditer(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', text, re.S):
        c = token.group()[0]
        if c in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif c in "]}":
            depth -= 1
    return deepest


def parse(payload):
    """The object in `payload`, or None when the record is invalid (`--validate full`)."""
    try:
        text = payload.decode("utf-8", "strict")
        if text.count("[") + text.count("{") > MAX_DEPTH and depth_of(text) > MAX_DEPTH:
            return None
        value = json.loads(text, parse_constant=_refuse, parse_int=_integer)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def at(value, path):
    """What stands under a dotted path, or None."""
    for key in path.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def string_at(value, path):
    found = at(value, path)
    return _LONE.sub("\ufffd", found) if isinstance(found, str) else None


def fold_ascii(text):
    return re.sub("[A-Z]+", lambda m: m.group().lower(), text)


_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_TWITTER = re.compile(r"[A-Z][a-z]{2} ([A-Z][a-z]{2}) (\d\d) (\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d) (\d{4})\Z", re.A)


def twitter_time(text):
    m = _TWITTER.match(text)
    if not m or m[1] not in _MONTHS:
        return None
    try:
        datetime.date(int(m[9]), _MONTHS.index(m[1]) + 1, int(m[2]))
    except ValueError:
        return None
    if int(m[3]) > 23 or int(m[4]) > 59 or int(m[5]) > 59:
        return None
    seconds = calendar.timegm((int(m[9]), _MONTHS.index(m[1]) + 1, int(m[2]), int(m[3]), int(m[4]), int(m[5])))
    ahead = (int(m[7]) * 60 + int(m[8])) * 60
    return (seconds - (ahead if m[6] == "+" else -ahead)) * 1000


def iso_time(text):
    try:
        parsed = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=datetime.timezone.utc)
    return (parsed - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)) // datetime.timedelta(milliseconds=1)


def whole_number(value):
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,30}", value):
        return int(value)
    return None


def usable(ms):
    return ms if ms is not None and abs(ms) <= MAX_EVENT_TIME else None


def field_time(value, encoding):
    number = whole_number(value)
    if encoding in ("s", "ms", "us"):
        return None if number is None else usable({"s": number * 1000, "ms": number, "us": number // 1000}[encoding])
    if encoding is None and number is not None:
        return usable(number * 1000 if number < 10**11 else number)
    if not isinstance(value, str):
        return None
    if encoding == "iso":
        return usable(iso_time(value))
    if encoding == "twitter":
        return usable(twitter_time(value))
    iso = iso_time(value)
    return usable(iso if iso is not None else twitter_time(value))


def event_time(tweet, options):
    if options.time_field:
        path, _, encoding = options.time_field.partition(":")
        return field_time(at(tweet, path), encoding or None)
    ms = field_time(tweet.get("timestamp_ms"), "ms")
    return ms if ms is not None else field_time(tweet.get("created_at"), "twitter")


def entities(tweet, kind, name):
    """Strings under `name` of the list of entities: the extended tweet's list when it has one, else the tweet's."""
    found = at(tweet, "extended_tweet.entities." + kind)
    if not isinstance(found, list):
        found = at(tweet, "entities." + kind)
    if not isinstance(found, list):
        return []
    strings = [string_at(entry, name) for entry in found]
    return [fold_ascii(s) for s in strings if s is not None]


def emits_of(tweet, operator, options):
    if operator == "tweets_by_location":
        location = (string_at(tweet, options.location_field) or "").strip(ASCII_SPACE)
        if options.normalize == "casefold":
            location = fold_ascii(location)
        return [(location, None, 1)] if location else []
    if operator == "hashtags":
        return [(tag, None, 1) for tag in entities(tweet, "hashtags", "text")]
    weight, status = 1, None
    retweeted = tweet.get("retweeted_status")
    if options.mention_weight != "one":
        count = at(tweet, "retweeted_status.retweet_count")
        weight = count if isinstance(count, int) and not isinstance(count, bool) and 0 < count < 1 << 63 else 1
    if options.mention_weight == "max-per-status":
        status = string_at(retweeted, "id_str") if isinstance(retweeted, dict) else string_at(tweet, "id_str")
        status = status if status is not None else ""  # "": the record itself; completed by its place in fold()
    return [(user, status, weight) for user in entities(tweet, "user_mentions", "screen_name")]


def extract(payload, options):
    tweet = parse(payload)
    if tweet is None:
        return Extract(False, None, False, None)
    filtered = False
    if options.track:
        text = next((t for t in (string_at(tweet, p) for p in ("extended_tweet.full_text", "full_text", "text")) if t is not None), "")
        filtered = not any(fold_ascii(word) in fold_ascii(text) for word in options.track)
    if options.lang and not filtered:
        filtered = string_at(tweet, "lang") not in options.lang
    return Extract(True, event_time(tweet, options), filtered, {op: emits_of(tweet, op, options) for op in options.operators})


# ---- time ------------------------------------------------------------------------------------------------------------

class Partition:
    """`top` of one partition (section 3): a function of the records before, in offset order."""

    def __init__(self, options):
        self.max_jump = float("inf") if options.max_jump is FOREVER else options.max_jump
        self.delay = options.delay
        self.first = []
        self.candidates = []
        self.top = None

    def watermark(self):
        return None if self.top is None or self.delay is FOREVER else self.top - self.delay

    def add(self, t):
        if self.top is None:
            self.first.append(t)
            if len(self.first) == WARM_UP:
                eighth = sorted(self.first)[7]
                self.top = max(x for x in self.first if x <= eighth + self.max_jump)
        elif t <= self.top + self.max_jump:
            self.top = max(self.top, t)
            self.candidates = []
        else:
            self.candidates.append(t)
            if len(self.candidates) == WARM_UP:
                self.top = min(self.candidates)
                self.candidates = []


def gcd(a, b):
    return a if b == 0 else gcd(b, a % b)


def windows_of(t, window, slide):
    """Every [k*slide, k*slide + window) that holds t."""
    k = t // slide
    while k * slide + window > t:
        yield k * slide, k * slide + window
        k -= 1


COUNTERS = ("consumed", "aggregated", "filtered", "skipped", "late", "invalid", "quarantined", "duplicates")


def answer(partitions, options, now_ms=None, memo=None):
    """What a bounded run over `partitions`, [(topic, partition, [(payload, kafka_time)])], must answer.

    `memo`: a dict that may be given to several calls with the same options, to parse equal payloads once.
    """
    now_ms = int(time.time() * 1000) if now_ms is None else now_ms
    slide = options.slide or options.window
    pane = gcd(options.window, slide)
    memo = {} if memo is None else memo
    values = collections.defaultdict(lambda: collections.defaultdict(list))  # (operator, start, end) -> key -> [(status, weight)]
    progress, late, dead = {}, set(), set()
    for topic, number, records in partitions:
        state = Partition(options)
        count = progress[(topic, number)] = dict.fromkeys(COUNTERS, 0)
        for offset, (payload, kafka_time) in enumerate(records):
            record = memo.get(payload)
            if record is None:
                record = memo[payload] = extract(payload, options)
            count["consumed"] += 1
            if not record.valid:
                count["invalid"] += 1
                dead.add((topic, number, offset))
                continue
            t = kafka_time if options.time == "kafka" else record.time
            if t is None:
                count["skipped"] += 1
                continue
            if options.max_future is not FOREVER and t > now_ms + options.max_future:
                count["quarantined"] += 1
                dead.add((topic, number, offset))
                continue
            before = state.watermark()
            state.add(t)
            if before is not None and (t // pane + 1) * pane + options.lateness <= before:
                count["late"] += 1
                late.add((topic, number, offset, t))
            elif record.filtered:
                count["filtered"] += 1
            else:
                count["aggregated"] += 1
                for operator, emits in record.emits.items():
                    emits = [(key, ((topic, number, offset) if status == "" else status, weight)) for key, status, weight in emits]
                    for start, end in windows_of(t, options.window, slide) if emits else ():
                        into = values[(operator, start, end)]
                        for key, one in emits:
                            into[key].append(one)
        count["watermark"] = state.watermark()
    tables = {operator: [] for operator in options.operators}
    windows = []
    for (operator, start, end), keys in sorted(values.items(), key=lambda item: (item[0][0], item[0][2])):
        rows = []
        for key, seen in keys.items():
            if operator == "user_mentions" and options.mention_weight == "max-per-status":
                greatest = collections.defaultdict(int)
                for status, weight in seen:
                    greatest[status] = max(greatest[status], weight)
                total = sum(greatest.values())
            else:
                total = sum(weight for _, weight in seen)
            rows.append((key, total))
        windows.append((operator, start, end, sum(len(seen) for seen in keys.values()), len(rows)))
        rows.sort(key=lambda row: (-row[1], row[0].encode()))
        rows = rows[:options.top] if options.top else rows
        tables[operator] += [(start, end, key, total) for key, total in sorted(rows, key=lambda row: row[0].encode())]
    return Answer(tables, windows, progress, late, dead)


# ---- files, flags, CSV -----------------------------------------------------------------------------------------------

def lines_of(data):
    """Records of a file: lines that are not blank. A carriage return before the line end is JSON white space."""
    return [line for line in data.split(b"\n") if line.strip(b" \t\r")]


def read_files(paths):
    partitions = []
    for path in paths:
        with open(path, "rb") as file:
            partitions.append((path, 0, [(line, None) for line in lines_of(file.read())]))
    return partitions


def duration(text):
    if text == "inf":
        return FOREVER
    units = {"ms": 1, "s": 1000, "m": 60000, "h": 3600000, "d": 86400000}
    parts = re.findall(r"(\d+)(ms|s|m|h|d)", text)
    if "".join(n + u for n, u in parts) != text or not parts:
        raise ValueError("not a duration: " + text)
    return sum(int(n) * units[u] for n, u in parts)


def options_of(operators, flags):
    parser = argparse.ArgumentParser()
    for name, default in (("window", "60s"), ("slide", None), ("watermark-delay", "10s"), ("allowed-lateness", "0s"),
                          ("max-future", "5m"), ("max-jump", "1h")):
        parser.add_argument("--" + name, type=duration, default=default if default is None else duration(default))
    parser.add_argument("--time", default="event")
    parser.add_argument("--time-field")
    parser.add_argument("--mention-weight", default="one")
    parser.add_argument("--location-field", default="user.location")
    parser.add_argument("--normalize", default="none")
    parser.add_argument("--track", type=lambda words: tuple(words.split(",")), default=())
    parser.add_argument("--lang", type=lambda tags: tuple(tags.split(",")), default=())
    parser.add_argument("--top", type=int, default=0)
    a = parser.parse_args(flags)
    return Options(tuple(operators.split(",")), a.window, a.slide, a.watermark_delay, a.allowed_lateness, a.max_future, a.max_jump,
                   a.time, a.time_field, a.mention_weight, a.location_field, a.normalize, a.track, a.lang, a.top)


def csv_field(value):
    text = str(value)
    return '"' + text.replace('"', '""') + '"' if re.search(r'[",\r\n]', text) else text


def to_csv(operator, rows):
    """The table as CSV: columns of the contract, LF, quotes only where needed, by (window_end, key bytes)."""
    out = io.StringIO()
    out.write("window_start,window_end,%s,%s\n" % VALUE_COLUMN[operator])
    for start, end, key, value in rows:
        out.write("%s,%s,%s,%s\n" % (start, end, csv_field(key), value))
    return out.getvalue().encode("utf-8")


def check(data, wanted):
    folder = os.path.join(data, "expected", "contract")
    with open(os.path.join(folder, "INDEX.csv"), newline="") as file:
        index = [row for row in csv.DictReader(file) if wanted in ",".join(row.values())]
    good = 0
    for row in index:
        partitions = read_files([os.path.join(data, path) for path in row["inputs"].split()])
        options = options_of(row["operator"], row["flags"].split())
        found = answer(partitions, options)
        text = to_csv(row["operator"], found.tables[row["operator"]])
        total = collections.Counter()
        for counters in found.progress.values():
            total.update({name: counters[name] for name in COUNTERS})
        wrong = [name + " %d, not %s" % (total[counter], row[name]) for name, counter in
                 (("counted", "aggregated"), ("late", "late"), ("skipped", "skipped"), ("invalid", "invalid"))
                 if str(total[counter]) != row[name]]
        if hashlib.sha256(text).hexdigest() != row["sha256_csv"]:
            wrong.append("other rows (%d, not %s)" % (text.count(b"\n") - 1, row["rows"]))
        good += not wrong
        if wrong:
            print("FAIL", row["id"], row["operator"], row["flags"], row["inputs"], "; ".join(wrong))
    print("oracle: %d of %d" % (good, len(index)))
    return 0 if index and good == len(index) else 1


def main():
    if len(sys.argv) > 2 and sys.argv[1] == "--check":
        return check(sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else "")
    inputs, flags, rest = [], [], iter(sys.argv[2:])
    for word in rest:
        (inputs.append(next(rest)) if word in ("-i", "--input") else flags.append(word))
    if len(sys.argv) < 2 or not inputs:
        print(__doc__)
        return 2
    found = answer(read_files(inputs), options_of(sys.argv[1], flags))
    for operator, rows in found.tables.items():
        sys.stdout.buffer.write(to_csv(operator, rows))
    print(found.progress, file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
