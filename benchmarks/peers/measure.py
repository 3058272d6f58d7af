#!/usr/bin/env python3
"""measure.py RESULT TIMEOUT_S COMMAND…: runs one command and writes what its whole process tree cost to RESULT, as JSON.

A process of its own for two reasons. The kernel hands the peak memory of a parent down to its child's figure, so the parent
must be small. And as the tree's subreaper it gets the descendants whose parent died first: none of them is missed, or left.

started_at: by the clock. wall_s: start of the command to its end. cpu_s: user + system, of all. peak_mb: of one process as the kernel counts it; of
several the greatest sum of their resident sets, sampled (pages that they share count once for each).
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time

SAMPLE_S = 0.05
PAGE = os.sysconf("SC_PAGE_SIZE")
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


class Tree:
    """The descendants of a process, followed by their parents' ids as they appear."""

    def __init__(self, root):
        self.members = {root}
        self.others = set()
        self.seen = {root}
        self.peak_bytes = 0
        self.most = 1

    def look_for_new(self):
        pids = {int(name) for name in os.listdir("/proc") if name.isdigit()}
        self.members &= pids
        self.others &= pids
        for pid in sorted(pids - self.members - self.others):
            chain = [pid]
            while chain[-1] > 1 and chain[-1] not in self.members and chain[-1] not in self.others:
                chain.append(parent(chain[-1]))
            (self.members if chain.pop() in self.members else self.others).update(chain)
        self.seen |= self.members

    def sample(self):
        # A process counts from its second sample on: between vfork and exec it shows its parent's memory as its own.
        known = list(self.members)
        self.look_for_new()
        total = sum(resident(pid) for pid in known)
        self.most = max(self.most, len(known))
        self.peak_bytes = max(self.peak_bytes, total)


def parent(pid):
    try:
        with open("/proc/%d/stat" % pid) as stat:
            return int(stat.read().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def resident(pid):
    try:
        with open("/proc/%d/statm" % pid) as statm:
            return int(statm.read().split()[1]) * PAGE
    except OSError:
        return 0


def kill_all(tree):
    tree.look_for_new()
    for pid in tree.members:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def main():
    result, timeout_s, command = sys.argv[1], float(sys.argv[2]), sys.argv[3:]
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)  # without `run` nobody waits for the result

    started_at, start = time.time(), time.monotonic()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    tree = Tree(process.pid)
    ended = threading.Event()
    timed_out = []

    def stop(*_):
        kill_all(tree)
        os._exit(130)

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)

    def watch():
        while not ended.wait(SAMPLE_S):
            tree.sample()
            if time.monotonic() - start > timeout_s and not timed_out:
                timed_out.append(True)
                kill_all(tree)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - start
    ended.set()
    watcher.join()
    process.returncode = os.waitstatus_to_exitcode(status)

    cpu, maxrss = usage.ru_utime + usage.ru_stime, usage.ru_maxrss
    tree.members.discard(process.pid)
    kill_all(tree)
    while True:
        try:
            _, _, orphan = os.wait4(-1, 0)
        except ChildProcessError:
            break
        cpu += orphan.ru_utime + orphan.ru_stime
    peak = max(maxrss * 1024, tree.peak_bytes if tree.most > 1 else 0)
    with open(result, "w") as out:
        json.dump(
            {
                "started_at": started_at,
                "wall_s": wall,
                "cpu_s": cpu,
                "peak_mb": peak / 1e6,
                "processes": tree.most,
                "exit": process.returncode,
                "timed_out": bool(timed_out),
            },
            out,
        )


if __name__ == "__main__":
    main()
