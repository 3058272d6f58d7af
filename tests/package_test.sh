#!/usr/bin/env bash
# package_test.sh BUILD-FOLDER COMPILER: what `cmake --install` gives, used from outside: a small project finds the package,
# defines an operator of its own, and runs it. Also: the installed `weir` starts, and every installed header compiles alone.
set -euo pipefail
build=$1 compiler=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake --install "$build" --prefix "$work/prefix" >"$work/log" || { cat "$work/log"; exit 1; }
"$work/prefix/bin/weir" version | head -n 1

mkdir "$work/outside"
cat >"$work/outside/CMakeLists.txt" <<'CMAKE'
cmake_minimum_required(VERSION 3.21)
project(outside LANGUAGES CXX)
find_package(weir 0.1 REQUIRED)
add_executable(colours colours.cc)
target_link_libraries(colours PRIVATE weir::operators weir::engine)

# Each header alone, as its first include.
get_target_property(root weir::engine INTERFACE_INCLUDE_DIRECTORIES)
list(GET root 0 root)
file(GLOB_RECURSE headers RELATIVE ${root} ${root}/engine/*.h ${root}/operators/*.h)
list(LENGTH headers count)
if(count LESS 15)
  message(FATAL_ERROR "only ${count} headers under ${root}")
endif()
foreach(header IN LISTS headers)
  string(MAKE_C_IDENTIFIER ${header} name)
  file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/alone/${name}.cc "#include \"${header}\"\n")
  list(APPEND alone ${CMAKE_CURRENT_BINARY_DIR}/alone/${name}.cc)
endforeach()
add_library(alone OBJECT ${alone})
target_link_libraries(alone PRIVATE weir::engine)
target_compile_options(alone PRIVATE -fsyntax-only -Wall -Wextra)
CMAKE
cat >"$work/outside/colours.cc" <<'CC'
#include <cstdio>
#include <string>

#include "engine/runtime/job.h"
#include "engine/sink/stdout_sink.h"
#include "engine/source/file_source.h"
#include "operators/registry.h"

int main() {
  if (weir::FindOperator("user_mentions") == nullptr) return 3;
  weir::Job::Parts parts;
  parts.operators.push_back(weir::Define("colours", "Uses of each colour")
                                .Reads(weir::TextList("colours"))
                                .Key("colour")
                                .Counts("uses")
                                .Map([](const auto& batch, auto& emit) {
                                  for (const auto& row : batch)
                                    for (std::string_view colour : row.template get<0>()) emit(row, colour);
                                }));
  parts.options.format = {.name = "paint", .fields = {{"colours", {"colours[]"}}}, .times = {{"t", weir::TimeEncoding::kSeconds}}};
  parts.options.window = {.window_ms = 10'000, .slide_ms = 5'000};
  auto source = weir::FileSource::Create({.paths = {"-"}});
  if (!source.ok()) return 4;
  parts.source = *std::move(source);
  auto sink = weir::StdoutSink::Open({{.table = "colours", .key = "colour", .value = "uses"}},
                                     {.rows = {.format = weir::RowFormat::kCsv}, .required = true});
  if (!sink.ok()) return 5;
  parts.sinks.push_back(*std::move(sink));
  auto job = weir::Job::Create(std::move(parts));
  absl::Status status = job.status();
  if (status.ok()) status = (*job)->Run();
  if (!status.ok()) std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  return status.ok() ? 0 : 1;
}
CC

# No ccache, no flags of the project's: as a stranger would.
{
  cmake -S "$work/outside" -B "$work/outside/build" -DCMAKE_PREFIX_PATH="$work/prefix" -DCMAKE_CXX_COMPILER="$compiler" \
    -DCMAKE_BUILD_TYPE=Debug && cmake --build "$work/outside/build"
} >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }

printf '%s\n' '{"t":1,"colours":["red","blue"]}' '{"t":4,"colours":["red"]}' '{"t":6,"colours":["green"]}' |
  "$work/outside/build/colours" >"$work/found"
diff -u - "$work/found" <<'CSV'
window_start,window_end,colour,uses
-5000,5000,red,2
-5000,5000,blue,1
0,10000,red,2
0,10000,blue,1
0,10000,green,1
5000,15000,green,1
CSV
echo "the installed package builds and runs an operator of its own"
