// engine/sink/text.h: text of unknown origin, made fit for a terminal, JSON and CSV.
//
// Keys come from strangers: they hold any script, any control character, and (in results of others) any
// bytes.
#ifndef WEIR_ENGINE_SINK_TEXT_H_
#define WEIR_ENGINE_SINK_TEXT_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace weir {

// Columns that `text` takes on a terminal: 2 for East Asian wide characters and emoji, 0 for combining marks
// and format characters, 1 for others. An emoji sequence (joined, with skin tone, keycap, flag) counts as one
// character, as it is drawn by terminals that know it. Tables: Unicode 14.
size_t DisplayWidth(std::string_view text);

// `text` with everything made visible that could steer a terminal or reorder what is read: C0 and C1
// controls, DEL, line and paragraph separators, bidirectional controls, and bytes that are no UTF-8. Bytes
// below 0x80 and invalid ones become \xNN, others \u{NNNN}. The rest is kept as it is, backslashes too: this
// is to be read, not decoded.
std::string Printable(std::string_view text);

// `text` if it is at most `columns` wide, else its beginning and an ellipsis, together at most `columns`
// wide. Cuts between what is drawn as one character. REQUIRES: columns > 0.
std::string Truncated(std::string_view text, size_t columns);

// True when `text` holds characters of a script that is written from right to left.
bool HasRightToLeft(std::string_view text);

// Appends `text` as a JSON string with its quotes: valid JSON for any bytes. What is no UTF-8 becomes U+FFFD.
// What Printable would make visible is escaped, so that the line does no harm on a terminal either.
void AppendJsonString(std::string_view text, std::string& out);

// Appends `field`, in quotes only where RFC 4180 needs them: around a comma, a quote, CR or LF.
void AppendCsvField(std::string_view field, std::string& out);

// Milliseconds since the epoch as `2015-04-30T21:34:00.000Z`. Years outside 0..9999 get a sign and at least
// six digits (`+012345-01-01T…`), the expanded form of ISO 8601. Year 0 is 1 BC.
std::string IsoTime(int64_t epoch_ms);

// The same for people: `2015-04-30 21:34:00`, with `.250` only when it is no whole second.
std::string ReadableTime(int64_t epoch_ms);

// `-1234567` as `-1,234,567`.
std::string WithThousands(int64_t value);

}  // namespace weir

#endif  // WEIR_ENGINE_SINK_TEXT_H_
