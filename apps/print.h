// apps/print.h: formatted text on stdout or stderr, from code that must go on when nobody can read it.
#ifndef WEIR_APPS_PRINT_H_
#define WEIR_APPS_PRINT_H_

#include <fmt/format.h>

#include <cstdio>
#include <string>
#include <utility>

namespace weir {

// Unlike fmt::print it does not throw when the stream cannot be written: a full log disk, or a log reader that went away, must
// not end a job. Whoever needs to know asks std::fflush or std::ferror.
template <class... Args>
void PrintTo(std::FILE* stream, fmt::format_string<Args...> format, Args&&... args) {
  const std::string text = fmt::format(format, std::forward<Args>(args)...);
  std::fwrite(text.data(), 1, text.size(), stream);
}

}  // namespace weir

#endif  // WEIR_APPS_PRINT_H_
