// apps/cmd_version.cc: `weir version`: what this binary is, and what it runs with.
#include <cstdio>

#include <fmt/format.h>
#include <librdkafka/rdkafka.h>
#include <simdjson.h>
#include <sqlite3.h>
#include <zlib.h>
#include <zstd.h>

#include "absl/base/config.h"
#include "apps/flag_set.h"
#include "apps/verbs.h"

namespace weir {
namespace {

#ifndef WEIR_VERSION
#define WEIR_VERSION "development"
#endif
#ifndef WEIR_BUILD_TYPE
#define WEIR_BUILD_TYPE "unknown"
#endif

std::string Compiler() {
#if defined(__clang__)
  return fmt::format("clang {}.{}.{}", __clang_major__, __clang_minor__, __clang_patchlevel__);
#elif defined(__GNUC__)
  return fmt::format("gcc {}.{}.{}", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
#else
  return "unknown";
#endif
}

#if defined(__has_feature)
#define WEIR_HAS_FEATURE(x) __has_feature(x)
#else
#define WEIR_HAS_FEATURE(x) 0
#endif

std::string Sanitizers() {
  std::string names;
#if defined(__SANITIZE_ADDRESS__) || WEIR_HAS_FEATURE(address_sanitizer)
  names += " address";
#endif
#if defined(__SANITIZE_THREAD__) || WEIR_HAS_FEATURE(thread_sanitizer)
  names += " thread";
#endif
  return names.empty() ? " none" : names;
}

const char* Assertions() {
#ifdef NDEBUG
  return "off";
#else
  return "on";
#endif
}

std::string Abseil() {
#if defined(ABSL_LTS_RELEASE_VERSION) && defined(ABSL_LTS_RELEASE_PATCH_LEVEL)
  return fmt::format("{}.{}", ABSL_LTS_RELEASE_VERSION, ABSL_LTS_RELEASE_PATCH_LEVEL);
#else
  return "no LTS release";
#endif
}

}  // namespace

int CmdVersion(int argc, char** argv) {
  FlagTable table;
  table.verb = "version";
  table.usage = "weir version";
  table.about = "Prints the version of weir, how it was built, and the versions of its libraries as loaded.";
  const auto parsed = ParseFlags(table, argc, argv);
  if (!parsed.ok()) return Fail(parsed.status());
  if (parsed->help) return PrintAll(HelpText(table));
  std::string text = fmt::format("weir {}\n", WEIR_VERSION);
  const auto line = [&text](std::string_view name, std::string_view value) {
    text += fmt::format("  {:<16}{}\n", name, value);
  };
  line("build", fmt::format("{}, assertions {}, sanitizers:{}", WEIR_BUILD_TYPE, Assertions(), Sanitizers()));
  line("compiler", Compiler());
  line("librdkafka", rd_kafka_version_str());
  // What the processor is given, of what the library has.
  const auto& json = *simdjson::get_active_implementation();
  line("simdjson", fmt::format("{}.{}.{} ({})", static_cast<int>(simdjson::SIMDJSON_VERSION_MAJOR),
                               static_cast<int>(simdjson::SIMDJSON_VERSION_MINOR),
                               static_cast<int>(simdjson::SIMDJSON_VERSION_REVISION), json.name()));
  line("sqlite", sqlite3_libversion());
  line("abseil", Abseil());
  line("fmt", fmt::format("{}.{}.{}", FMT_VERSION / 10'000, FMT_VERSION / 100 % 100, FMT_VERSION % 100));
  line("CLI11", FlagLibraryVersion());
  line("zlib", zlibVersion());
  line("zstd", ZSTD_versionString());
  char features[512];
  size_t size = sizeof features;
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  if (rd_kafka_conf_get(conf, "builtin.features", features, &size) == RD_KAFKA_CONF_OK)
    line("kafka features", features);
  rd_kafka_conf_destroy(conf);
  return PrintAll(text);
}

}  // namespace weir
