#!/usr/bin/env python3
"""The kernels need as many instructions as they did: counted by valgrind, so that a busy machine makes no difference.

    python3 tests/instructions_test.py            compares with benchmarks/instructions.json, ± 3 %
    python3 tests/instructions_test.py --store    writes that file anew: after a change that was meant to move them

Counts hold for one compiler and processor family; with another one they are not compared, and a line says so (in CI that is a
failure: store them anew there).
"""
import json
import os
import platform
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
STORED = os.path.join(ROOT, "benchmarks", "instructions.json")
PROGRAM = os.environ.get("WEIR_INSTRUCTIONS", os.path.join(ROOT, "build", "release", "benchmarks", "instructions"))
TOLERANCE = 0.03
# The C library's string functions choose by the processor: here always those that every x86-64 has.
TUNABLES = "glibc.cpu.hwcaps=-AVX2,-AVX,-ERMS,-FSRM,-BMI2,-RTM"


def count(kernel):
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no", "--toggle-collect=Measured",
               PROGRAM, kernel]
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=dict(os.environ, GLIBC_TUNABLES=TUNABLES))
    found = re.search(rb"Collected : (\d+)", run.stdout)
    if run.returncode != 0 or not found or int(found.group(1)) == 0:
        sys.exit("%s ended with %d and counted nothing:\n%s" % (" ".join(command), run.returncode, run.stdout.decode(errors="replace")[-3000:]))
    return int(found.group(1))


def main():
    if sys.argv[1:] not in ([], ["--store"]):
        sys.exit(__doc__)
    compiler = subprocess.run(["c++", "-dumpfullversion"], stdout=subprocess.PIPE, check=True).stdout.decode().strip()
    built_with = "g++ %s, %s" % (compiler, platform.machine())
    kernels = subprocess.run([PROGRAM], stdout=subprocess.PIPE, check=True).stdout.decode().split()
    if sys.argv[1:] == ["--store"]:
        with open(STORED, "w") as out:
            json.dump({"built_with": built_with, "instructions": {kernel: count(kernel) for kernel in kernels}}, out, indent=1)
            out.write("\n")
        return print("stored in %s" % STORED)
    with open(STORED) as file:
        stored = json.load(file)
    if stored["built_with"] != built_with:
        line = "instruction counts: stored with %s, this is %s" % (stored["built_with"], built_with)
        print(line)
        if os.environ.get("CI") in ("1", "true"):
            sys.exit("store them anew: python3 tests/instructions_test.py --store")
        if "WEIR_LEFT_OUT" in os.environ:
            with open(os.environ["WEIR_LEFT_OUT"], "a") as left_out:
                left_out.write(line + "\n")
        return
    print("%-16s %14s %14s %8s" % ("kernel", "stored", "now", "change"))
    moved = []
    for kernel in sorted(set(kernels) | set(stored["instructions"])):
        if kernel not in stored["instructions"] or kernel not in kernels:
            moved.append("%s is %s" % (kernel, "not stored" if kernel in kernels else "stored, but there is no such kernel"))
            continue
        before, now = stored["instructions"][kernel], count(kernel)
        change = now / before - 1
        print("%-16s %14s %14s %+7.1f%%" % (kernel, "{:,}".format(before), "{:,}".format(now), 100 * change))
        if abs(change) > TOLERANCE:
            moved.append("%s needs %+.1f %% instructions" % (kernel, 100 * change))
    if moved:
        sys.exit("%s. If that was not meant, find out what the change added (valgrind --tool=callgrind, callgrind_annotate); if it was, "
                 "say so in the commit and store the counts anew: python3 tests/instructions_test.py --store" % "; ".join(moved))


if __name__ == "__main__":
    main()
