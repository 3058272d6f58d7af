#!/bin/sh
# layers_test.sh REPOSITORY: includes point one way, apps -> operators -> engine -> libraries, and third-party headers other
# than Abseil's stay in the .cc files that wrap them.
set -eu
cd "$1"
bad=0
none() {  # RULE GREP-ARGUMENT…
  rule=$1
  shift
  if grep -rnE "$@"; then
    echo "^ $rule"
    bad=1
  fi
}
none "the engine knows neither operators nor apps" '#include "(operators|apps)/' engine
none "operators do not know apps" '#include "apps/' operators
none "inside the engine: runtime -> {source, sink} -> {record, window}" '#include "engine/(source|sink|runtime)/' engine/record engine/window
none "windows know nothing but windows" '#include "engine/(record|source|sink|runtime)/' engine/window
none "sources do not know sinks" '#include "engine/sink/' engine/source
none "inside the engine: sources and sinks do not know the runtime" '#include "engine/runtime/' engine/source engine/sink
none "third-party headers stay in .cc files" --include='*.h' \
  '#include [<"](fmt/|simdjson|sqlite3|librdkafka/|rdkafka|zlib|zstd|CLI/)' engine operators apps
none "window arithmetic has no I/O, threads or clock" '#include <(thread|mutex|chrono|fstream|iostream|cstdio|ctime)>' engine/window
# A test that looks at nothing would pass.
[ "$(find engine operators apps -name '*.h' | wc -l)" -gt 20 ] || { echo "no headers found in $PWD"; bad=1; }
exit $bad
