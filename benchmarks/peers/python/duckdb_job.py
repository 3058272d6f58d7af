"""DuckDB: one scan of the file into narrow columns, counts per pane, panes into windows.

- read_ndjson with `columns`: the guide says that nothing is sniffed then and only the named fields are taken. Measured slower:
  read_ndjson_objects with json_extract, and a scan for each kind.
- preserve_insertion_order off: the tuning guide advises it for bulk work.
- Up to 8 windows a pane: unnest(range()) and sum. More: +n where a pane enters, -n where it leaves, and a running sum, so that the
  work follows the output and not W/S.
- quote '': rows are written as they are.
"""

import time

import duckdb
from job import CORES, SETTING, SLIDE_S as S, WINDOW_S as W, done

began = time.time()
db = duckdb.connect(":memory:", config={"threads": CORES, "preserve_insertion_order": False})
db.execute(
    rf"""
    create temp table tweet as
    select epoch(strptime(created_at, '%a %b %d %H:%M:%S +0000 %Y'))::bigint // {S} * {S} as pane,
           trim("user".location, E' \t\n\x0b\x0c\r') as location,
           entities.user_mentions as mentions
    from read_ndjson('{SETTING["CORPUS"]}', columns = {{
      created_at: 'VARCHAR', user: 'STRUCT(location VARCHAR)', entities: 'STRUCT(user_mentions STRUCT(screen_name VARCHAR)[])' }})"""
)
db.execute("""
    create temp table pane as
    select 'location' as kind, pane, location as key, count(*) as n from tweet where location <> '' group by all
    union all
    select 'mention', pane, key, count(*)
    from (select pane, lower(unnest(mentions).screen_name) as key from tweet) where key <> '' group by all""")
if W // S <= 8:
    windows = f"""
        select kind, start, sum(n)::bigint as n, key
        from (select kind, key, n, unnest(range(pane, pane - {W}, -{S})) as start from pane) group by kind, start, key"""
else:
    windows = f"""
        with step as (
          select kind, key, start, sum(n)::bigint as n
          from (select kind, key, pane - {W} + {S} as start, n from pane union all select kind, key, pane + {S}, -n from pane)
          group by all),
        level as (
          select kind, key, start, sum(n) over w as n, lead(start) over w as until
          from step window w as (partition by kind, key order by start))
        select kind, unnest(range(start, until, {S})) as start, n::bigint as n, key from level where n > 0"""
db.execute(f"copy ({windows}) to '{SETTING['ROWS']}/rows.csv' (format csv, header false, quote '', escape '')")
ended = time.time()
done(began, ended, db.execute("select count(*) from tweet").fetchone()[0])
