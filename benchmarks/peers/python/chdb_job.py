"""ClickHouse in the process (chDB): one scan of the file, counts per pane, panes into windows.

- LineAsString and one JSONExtract (simdjson) into a small tuple a tweet: measured, less CPU than JSONAsString with
  JSONExtract or JSONEachRow with named tuples. simpleJSON is faster still, but takes the first "location" anywhere in the text.
- Up to 8 windows a pane: arrayJoin(range()) and sum. More: +n where a pane enters, -n where it leaves, and a running sum.
- Raw escaping: rows are written as they are.
"""

import time

from chdb import session
from job import CORES, SETTING, SLIDE_S as S, WINDOW_S as W, done

db = session.Session()
db.query(f"set max_threads = {CORES}, max_insert_threads = {CORES}, max_parsing_threads = {CORES}")
began = time.time()
TWEET = "Tuple(created_at String, user Tuple(location Nullable(String)), entities Tuple(user_mentions Array(Tuple(screen_name String))))"
read = db.query(rf"""
    create table pane engine = Memory as
    select (event.1 = 0 ? 'location' : 'mention') as kind, pane, event.2 as key, toInt64(count()) as n
    from (
      select intDiv(toInt64(toUnixTimestamp(parseDateTime(tweet.1, '%a %b %d %H:%i:%S +0000 %Y', 'UTC'))), {S}) * {S} as pane,
             arrayJoin(arrayConcat(
               [(toUInt8(0), trim(BOTH ' \t\n\x0b\x0c\r' FROM ifNull(tweet.2.1, '')))],
               arrayMap(mention -> (toUInt8(1), lower(mention.1)), tweet.3.1))) as event
      from (select JSONExtract(line, '{TWEET}') as tweet from file('{SETTING["CORPUS"]}', 'LineAsString', 'line String')))
    where key <> ''
    group by event.1, pane, key""")
if W // S <= 8:
    windows = f"""
        select kind, start, sum(n) as n, key
        from (select kind, key, n, arrayJoin(range(pane, pane - {W}, -{S})) as start from pane)
        group by kind, start, key"""
else:
    windows = f"""
        with step as (
          select kind, key, start, sum(n) as n
          from (select kind, key, pane - {W} + {S} as start, n from pane union all select kind, key, pane + {S}, -n from pane)
          group by kind, key, start),
        level as (
          select kind, key, start,
                 sum(n) over (partition by kind, key order by start rows between unbounded preceding and current row) as n,
                 leadInFrame(start) over (partition by kind, key order by start rows between unbounded preceding and unbounded following) as until
          from step)
        select kind, arrayJoin(range(start, until, {S})) as start, n, key from level where n > 0"""
db.query(
    rf"""
    insert into function file('{SETTING["ROWS"]}/rows.csv', 'CustomSeparated', 'kind String, start Int64, n Int64, key String')
    select kind, start, n, key from ({windows})
    settings format_custom_escaping_rule = 'Raw', format_custom_field_delimiter = ',', format_custom_row_after_delimiter = '\n'"""
)
done(began, records=read.storage_rows_read())
