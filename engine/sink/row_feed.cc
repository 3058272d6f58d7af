#include "engine/sink/row_feed.h"

#include <sqlite3.h>

#include <new>

namespace weir {
namespace {

using WindowPointer = const ClosedWindow* const*;

struct Table : sqlite3_vtab {
  WindowPointer window;
};

struct Cursor : sqlite3_vtab_cursor {
  const ClosedWindow* window;
  size_t row;
};

int Connect(sqlite3* db, void* window, int, const char* const*, sqlite3_vtab** out, char**) {
  const int rc = sqlite3_declare_vtab(db, "CREATE TABLE x(window_start INTEGER, window_end INTEGER, key TEXT, value INTEGER)");
  if (rc != SQLITE_OK) return rc;
  auto* const table = new (std::nothrow) Table{};
  if (table == nullptr) return SQLITE_NOMEM;
  table->window = static_cast<WindowPointer>(window);
  *out = table;
  return SQLITE_OK;
}

int Disconnect(sqlite3_vtab* table) {
  delete static_cast<Table*>(table);
  return SQLITE_OK;
}

// There is one way to read it: all rows, in order.
int BestIndex(sqlite3_vtab*, sqlite3_index_info*) { return SQLITE_OK; }

int Open(sqlite3_vtab*, sqlite3_vtab_cursor** out) {
  *out = new (std::nothrow) Cursor{};
  return *out == nullptr ? SQLITE_NOMEM : SQLITE_OK;
}

int Close(sqlite3_vtab_cursor* cursor) {
  delete static_cast<Cursor*>(cursor);
  return SQLITE_OK;
}

int Filter(sqlite3_vtab_cursor* base, int, const char*, int, sqlite3_value**) {
  auto* const cursor = static_cast<Cursor*>(base);
  cursor->window = *static_cast<Table*>(base->pVtab)->window;
  cursor->row = 0;
  return SQLITE_OK;
}

int Next(sqlite3_vtab_cursor* base) {
  ++static_cast<Cursor*>(base)->row;
  return SQLITE_OK;
}

int Eof(sqlite3_vtab_cursor* base) {
  const auto* const cursor = static_cast<const Cursor*>(base);
  return cursor->window == nullptr || cursor->row >= cursor->window->rows.size();
}

int Column(sqlite3_vtab_cursor* base, sqlite3_context* out, int column) {
  const auto* const cursor = static_cast<const Cursor*>(base);
  const ClosedWindow& window = *cursor->window;
  switch (column) {
    case 0: sqlite3_result_int64(out, window.start_ms); break;
    case 1: sqlite3_result_int64(out, window.end_ms); break;
    case 2: {
      const std::string_view key = window.rows.key(cursor->row);
      sqlite3_result_text64(out, key.data(), key.size(), SQLITE_STATIC, SQLITE_UTF8);
      break;
    }
    default: sqlite3_result_int64(out, window.rows.value(cursor->row)); break;
  }
  return SQLITE_OK;
}

int RowId(sqlite3_vtab_cursor* base, sqlite3_int64* out) {
  *out = static_cast<sqlite3_int64>(static_cast<const Cursor*>(base)->row);
  return SQLITE_OK;
}

constexpr sqlite3_module kModule = [] {
  sqlite3_module module{};  // without xCreate: eponymous only
  module.xConnect = Connect;
  module.xBestIndex = BestIndex;
  module.xDisconnect = Disconnect;
  module.xDestroy = Disconnect;
  module.xOpen = Open;
  module.xClose = Close;
  module.xFilter = Filter;
  module.xNext = Next;
  module.xEof = Eof;
  module.xColumn = Column;
  module.xRowid = RowId;
  return module;
}();

}  // namespace

int AddRowFeed(sqlite3* db, const ClosedWindow* const* window) {
  return sqlite3_create_module(db, kRowFeedTable, &kModule, const_cast<void*>(static_cast<const void*>(window)));
}

}  // namespace weir
