// apps/print.h: text on stdout or stderr, from code that must go on when nobody can read it.
#ifndef WEIR_APPS_PRINT_H_
#define WEIR_APPS_PRINT_H_

#include <cstdio>
#include <string_view>

namespace weir {

// Unlike fmt::print it does not throw when the stream cannot be written: a full log disk, or a log reader that went away, must
// not end a job. Whoever needs to know asks std::fflush or std::ferror.
inline void PrintTo(std::FILE* stream, std::string_view text) { std::fwrite(text.data(), 1, text.size(), stream); }

}  // namespace weir

#endif  // WEIR_APPS_PRINT_H_
