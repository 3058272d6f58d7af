"""What `run` prints and writes: the machine, the table of one slide, the notes, the JSON file."""

import json
import os
import platform
import re
import statistics
import subprocess
import time

from common import CORES, read, say
from session import weir_name

HEAD = ("", "wall s", "steady s", "CPU s", "peak MB", "time ÷ weir", "CPU ÷ weir", "peak ÷ weir 128M")
WEIR_FIGURES = (("wall_s", "%.2f"), (None, ""), ("cpu_s", "%.2f"), ("peak_mb", "%.0f"), (None, ""), (None, ""), (None, ""))
PEER_FIGURES = (("wall_s", "%.1f"), ("steady_s", "%.1f"), ("cpu_s", "%.1f"), ("peak_mb", "%.0f"), ("time_ratio", "%.1f"),
                ("cpu_ratio", "%.1f"), ("peak_ratio", "%.1f"))


def version_of(*command):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return done.stdout.splitlines()[0].strip()
    except (OSError, IndexError):
        return "missing"


def machine(weir):
    cpu = re.search(r"model name\s*: (.*)", read("/proc/cpuinfo"))
    memory = re.search(r"MemTotal:\s*(\d+)", read("/proc/meminfo"))
    return {"date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), "cpu": cpu[1] if cpu else platform.machine(), "cores": CORES,
            "memory_gb": round(int(memory[1]) / 1e6, 1) if memory else None, "load_at_start": round(os.getloadavg()[0], 2),
            "system": platform.platform(), "weir": version_of(weir, "version"), "java": version_of("java", "-version"),
            "python": platform.python_version()}


def print_settings(about, peers, options):
    say("%(date)s, %(cpu)s, %(cores)d cores, %(memory_gb)s GB, load %(load_at_start)s, %(system)s" % about)
    say("%(weir)s; %(java)s; Python %(python)s" % about)
    say("weir: --watermark-delay %ds, results and state into SQLite; once more with --max-memory 128M, for its memory" % options.delay)
    for peer in peers:
        say("%s: %s: %s%s" % (peer.name, peer.version(), peer.settings, "; heap up to " + options.heap if peer.maven else ""))


def median(session, name, slide, figure):
    found = [run[figure] for run in session.runs if (run["engine"], run["slide_s"]) == (name, slide) and run["run"] > 0 and
             run.get(figure) is not None]
    return statistics.median(found) if found else None


def cells(session, name, slide, figures):
    for figure, form in figures:
        value = median(session, name, slide, figure) if figure else None
        yield "" if value is None else form % value


def table(session, peers, slide):
    failed = {each["engine"]: each["reason"].splitlines()[0] for each in session.failures if each["slide_s"] in (slide, None)}
    lines = [HEAD]
    for reads in ("topic", "file"):
        group = [peer for peer in peers if peer.reads == reads]
        for limited in (False, True) if group else ():
            name = weir_name(reads, limited)
            lines.append((name, *cells(session, name, slide, WEIR_FIGURES)))
        for peer in group:
            if peer.name in failed:
                lines.append((peer.title, "failed: " + failed[peer.name], *[""] * 6))
                continue
            wall, *others = cells(session, peer.name, slide, PEER_FIGURES)
            lines.append((peer.title, wall if peer.time == "wall" else "—", *others))
    say("\nW = %d s, S = %d s: %d rows; medians of %d run%s\n" % (
        session.o.window, slide, session.about["rows"][str(slide)], session.o.runs, "s" if session.o.runs > 1 else ""))
    say("| " + " | ".join(lines[0]) + " |")
    say("|---" + "|---:" * (len(HEAD) - 1) + "|")
    for line in lines[1:]:
        say("| " + " | ".join(line) + " |")
    say()


def notes(session, peers):
    """What the figures do not say by themselves."""
    measured = {run["engine"] for run in session.runs}
    for peer in peers:
        if peer.note and peer.name in measured:
            say("- %s: %s." % (peer.title, peer.note))


def write_json(path, session, about, peers):
    settings = {name: getattr(session.o, name) for name in ("window", "slides", "delay", "runs", "partitions", "heap")}
    engines = {peer.name: {"version": peer.version(), "settings": peer.settings, "note": peer.note, "compared": peer.time} for peer in peers}
    with open(path, "w") as out:
        json.dump({"machine": about, "corpus": session.about, "settings": settings, "engines": engines, "runs": session.runs,
                   "failures": session.failures}, out, indent=1, ensure_ascii=False)
