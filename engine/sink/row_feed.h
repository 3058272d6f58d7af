// engine/sink/row_feed.h: the rows of a closed window as a table that SQL can select from.
//
// `INSERT INTO t SELECT * FROM weir_rows` takes a window's rows straight from its RowTable: no binding, one statement a window.
// That is a third more rows a second than statements with 25 bound rows each.
// An eponymous virtual table (sqlite.org/vtab.html): it lives in the connection only, the file knows nothing of it.
#ifndef WEIR_ENGINE_SINK_ROW_FEED_H_
#define WEIR_ENGINE_SINK_ROW_FEED_H_

#include "engine/sink/sink.h"

struct sqlite3;

namespace weir {

inline constexpr char kRowFeedTable[] = "weir_rows";  // (window_start, window_end, key, value), in the order of the RowTable

// Makes the table in `db`. A statement that selects from it sees the window that `*window` points to while it runs, without a
// copy. `window` lives as long as `db`. Returns an SQLite result code.
int AddRowFeed(sqlite3* db, const ClosedWindow* const* window);

}  // namespace weir

#endif  // WEIR_ENGINE_SINK_ROW_FEED_H_
