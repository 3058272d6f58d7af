#!/bin/sh
# example_test.sh PROGRAM STEM: runs the program with STEM.ndjson, if it is there, on stdin, and compares what it prints on
# stdout with STEM.expected.
set -eu
program=$1 stem=$2 input=/dev/null
[ ! -f "$stem.ndjson" ] || input=$stem.ndjson
found=$(mktemp)
trap 'rm -f "$found"' EXIT
"$program" <"$input" >"$found" || { echo "$program: exit $?"; exit 1; }
diff -u "$stem.expected" "$found"
