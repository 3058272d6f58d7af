#!/usr/bin/env python3
"""What the right result is, and whether a result is right.

    rows.py reference CORPUS WINDOW_S OUT_DIR SLIDE_S…    writes OUT_DIR/SLIDE_S.rows for each slide, and OUT_DIR/totals.rows
    rows.py check RESULT REFERENCE                        RESULT: a weir results file, or a folder of CSV files

A row is `kind,window_start_s,count,key`: kind is location or mention, the key is the rest of the line as it is. Files of rows
are sorted by bytes. The reference is computed from the corpus alone, by no engine: per second of event time, then into windows.
totals.rows counts the whole corpus as one window that starts at 0, for what has no event time.
"""

import calendar
import collections
import json
import os
import sqlite3
import sys

MONTHS = {name: number for number, name in enumerate("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)}
WHITE_SPACE = " \t\n\v\f\r"
LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def created_at_s(text):
    _, month, day, clock, zone, year = text.split()
    if zone != "+0000":
        raise ValueError("created_at is not UTC")
    return calendar.timegm((int(year), MONTHS[month], int(day), *map(int, clock.split(":"))))


def keys(tweet):
    location = ((tweet.get("user") or {}).get("location") or "").strip(WHITE_SPACE)
    if location:
        yield "location", location
    for mention in (tweet.get("entities") or {}).get("user_mentions") or []:
        if mention.get("screen_name"):
            yield "mention", mention["screen_name"].translate(LOWER)


def count_by_second(corpus):
    """Counter of (kind, second, key), and the number of tweets. Refuses what the engines would read differently."""
    counts, tweets = collections.Counter(), 0
    with open(corpus, "rb") as lines:
        for tweets, line in enumerate(lines, 1):
            try:
                tweet = json.loads(line)
                second = created_at_s(tweet["created_at"])
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                sys.exit("%s:%d: no tweet with created_at (%s); every line must be one" % (corpus, tweets, error))
            if int(tweet.get("timestamp_ms", second * 1000)) // 1000 != second:
                sys.exit(
                    "%s:%d: timestamp_ms and created_at name different seconds; weir reads the one, the peers the other"
                    % (corpus, tweets)
                )
            if "extended_tweet" in tweet:
                sys.exit(
                    "%s:%d: extended_tweet: weir takes its mentions, the peers those of entities. Rename it:\n"
                    '  sed \'s/"extended_tweet"/"extended_entry"/\' %s > COPY' % (corpus, tweets, corpus)
                )
            for kind, key in keys(tweet):
                counts[kind, second, key] += 1
    return counts, tweets


def write_rows(path, counter):
    lines = sorted(("%s,%d,%d,%s" % (kind, start, count, key)).encode() for (kind, start, key), count in counter.items())
    with open(path, "wb") as out:
        out.writelines(line + b"\n" for line in lines)
    return len(lines)


def reference(corpus, window, folder, slides):
    seconds, tweets = count_by_second(corpus)
    rows = {}
    for slide in slides:
        windows = collections.Counter()
        for (kind, second, key), count in seconds.items():
            start = second // slide * slide
            while start > second - window:
                windows[kind, start, key] += count
                start -= slide
        rows[slide] = write_rows(os.path.join(folder, "%d.rows" % slide), windows)
    totals = collections.Counter()
    for (kind, _, key), count in seconds.items():
        totals[kind, 0, key] += count
    write_rows(os.path.join(folder, "totals.rows"), totals)
    span = [second for _, second, _ in seconds] or [0]
    return {"tweets": tweets, "rows": rows, "span_s": max(span) - min(span) + 1}


def read_result(path):
    """The rows of a result as sorted lines."""
    if os.path.isfile(path):
        db = sqlite3.connect("file:%s?mode=ro" % path, uri=True)
        db.text_factory = bytes
        lines = [
            row
            for (row,) in db.execute(
                "select 'location,' || (window_start / 1000) || ',' || tweets || ',' || location from tweets_by_location "
                "union all select 'mention,' || (window_start / 1000) || ',' || mentions || ',' || user from user_mentions"
            )
        ]
        # A key with a line break in it is two lines in a CSV file, so it must be here too.
        lines = b"\n".join(lines).split(b"\n") if lines else []
    else:
        lines = []
        for folder, _, names in os.walk(path):
            for name in names:
                if not name.startswith((".", "_")):
                    with open(os.path.join(folder, name), "rb") as rows:
                        lines += rows.read().split(b"\n")[:-1]
    lines.sort()
    return lines


def difference(result, expected):
    """None, or words about the first difference."""
    with open(expected, "rb") as rows:
        want = rows.read().split(b"\n")[:-1]
    want.sort()
    have = read_result(result)
    if have == want:
        return None
    at = next((i for i, (a, b) in enumerate(zip(have, want)) if a != b), min(len(have), len(want)))
    show = lambda lines: lines[at].decode(errors="replace") if at < len(lines) else "(no more rows)"
    return "%d rows where %d are right; the first difference, in sorted order:\n  right: %s\n  here:  %s" % (
        len(have),
        len(want),
        show(want),
        show(have),
    )


def main():
    verb = sys.argv[1]
    if verb == "reference":
        json.dump(reference(sys.argv[2], int(sys.argv[3]), sys.argv[4], [int(slide) for slide in sys.argv[5:]]), sys.stdout)
    elif verb == "check":
        found = difference(*sys.argv[2:4])
        if found:
            sys.exit(found)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
