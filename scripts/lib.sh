# scripts/lib.sh: sourced by the other scripts: what must be installed, and building with one line of progress.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '%s\n' "$*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }

# What is needed, by the names of Debian 12 and Ubuntu 24.04: package, then how to see that it is there: a command, or a
# header. Headers and commands rather than the package database, so that what was installed otherwise counts too.
build_needs="
g++                       command g++
cmake                     command cmake
ninja-build               command ninja
pkg-config                command pkg-config
libabsl-dev               header absl/status/statusor.h
libcli11-dev              header CLI/CLI.hpp
libfmt-dev                header fmt/format.h
librdkafka-dev            header librdkafka/rdkafka.h
libsimdjson-dev           header simdjson.h
libsqlite3-dev            header sqlite3.h
libzstd-dev               header zstd.h
zlib1g-dev                header zlib.h"
test_needs="
libgtest-dev              header gtest/gtest.h
python3                   command python3
sqlite3                   command sqlite3
kcat                      command kcat
libbenchmark-dev          header benchmark/benchmark.h
valgrind                  command valgrind
procps                    command ps
util-linux                command flock"
clang_needs="
clang-14                  command clang++-14"
# For the real Kafka (scripts/kafka); Docker or WEIR_KAFKA_BROKERS would do as well.
kafka_needs="
default-jre-headless      command java
maven                     command mvn"

there() {  # command|header NAME
  case $1 in
    command) have "$2" ;;
    # Preprocessing takes seconds with some of these; looking the file up takes none.
    header) have g++ && printf '#if !__has_include(<%s>)\n#error\n#endif\n' "$2" | g++ -E -x c++ - >/dev/null 2>&1 ;;
  esac
}

missing_packages() {  # NEEDS…
  local package kind name
  while read -r package kind name; do
    [[ -z $package ]] || there "$kind" "$name" || printf '%s\n' "$package"
  done <<<"$(printf '%s\n' "$@")"
}

# Installs what is missing of the needs, where apt may: as root, or by sudo without a password. Elsewhere prints what is missing
# and the command, and fails.
need() {  # NEEDS…
  local missing as_root=()
  mapfile -t missing < <(missing_packages "$@")
  [[ ${#missing[@]} -gt 0 ]] || return 0
  if ! have apt-get; then
    say "missing (names of Debian and Ubuntu packages; your system's differ): ${missing[*]}"
    return 1
  fi
  [[ $(id -u) -eq 0 ]] || as_root=(sudo)
  if [[ ${#as_root[@]} -gt 0 ]] && ! sudo -n true 2>/dev/null; then
    say "missing packages: ${missing[*]}"
    say "install them with:  sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}"
    return 1
  fi
  say "installing with apt-get: ${missing[*]}"
  local log
  log=$(mktemp)
  # `env`: sudo does not pass the variable on.
  if ! { "${as_root[@]}" apt-get update &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"; } \
    >"$log" 2>&1 </dev/null; then
    tail -n 15 "$log" >&2
    say "apt-get failed; its output is in $log"
    return 1
  fi
  rm -f "$log"
  mapfile -t missing < <(missing_packages "$@")
  [[ ${#missing[@]} -eq 0 ]] || { say "still missing after the installation: ${missing[*]}"; return 1; }
}

# Processes at a time: one a processor, as far as there are 1.5 GB for each.
parallel_jobs() {
  local by_cpu by_memory
  by_cpu=$(nproc 2>/dev/null || echo 2)
  by_memory=$(awk '/^MemAvailable:/ {print int($2 / 1500000)}' /proc/meminfo 2>/dev/null || true)
  [[ -n $by_memory && $by_memory -lt $by_cpu ]] && by_cpu=$by_memory
  echo $((by_cpu > 1 ? by_cpu : 1))
}

configure_and_build() {  # PRESET [CONFIGURE OPTIONS…]
  cd "$root" && cmake --preset "$@" &&
    cmake --build --preset "$1" ${target:+--target "$target"} --parallel "${CMAKE_BUILD_PARALLEL_LEVEL:-$(parallel_jobs)}"
}

# Configures and builds a preset (all, or $target), with the output in build/PRESET.log and one line here; the log's end when it fails.
build() {  # PRESET [CONFIGURE OPTIONS…]
  local log=$root/build/$1.log begin=$SECONDS
  mkdir -p "$root/build"
  if ! (configure_and_build "$@" 2>&1 | tee "$log" | progress "$1"); then
    tail -n 40 "$log" >&2
    say "building $1 failed; all of the output is in $log"
    return 1
  fi
  say "built $1 in $((SECONDS - begin)) s"
}

# Reads a build's output; shows how far it is, on a terminal only.
progress() {  # PRESET
  local line
  if [[ ! -t 2 ]]; then
    say "building $1; the output goes to build/$1.log"
    cat >/dev/null
    return
  fi
  while IFS= read -r line; do
    [[ $line =~ ^\[([0-9]+/[0-9]+)\] ]] && printf '\r\033[Kbuilding %s  %s' "$1" "${BASH_REMATCH[1]}" >&2
  done
  printf '\r\033[K' >&2
}
