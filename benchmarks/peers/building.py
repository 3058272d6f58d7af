"""Makes the peers from Maven and PyPI artifacts, in the cache folder."""

import fcntl
import glob
import hashlib
import os
import shutil
import subprocess
import sys

from catalogue import POM
from common import HERE, Failure, read, say

CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "weir", "peers")

# What Spark's and Flink's own launchers open for Java 17.
OPENED = """java.lang java.lang.invoke java.lang.reflect java.io java.net java.nio java.text java.time java.util java.util.concurrent
    java.util.concurrent.atomic java.util.concurrent.locks jdk.internal.ref sun.nio.ch sun.nio.cs sun.security.action
    sun.util.calendar""".split()


def fetch(kind, key, make):
    """A folder of the cache, filled once for each key by `make(folder, call)`; it counts as made when it has a file `done`."""
    folder = os.path.join(CACHE, "%s-%s" % (kind, hashlib.sha256(key.encode()).hexdigest()[:12]))
    os.makedirs(CACHE, exist_ok=True)
    with open(os.path.join(CACHE, "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another `run` may be making the same
        if os.path.exists(os.path.join(folder, "done")):
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        say("  making %s" % folder)
        log = os.path.join(folder, "log")
        with open(log, "w") as out:

            def call(*command):
                subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

            try:
                make(folder, call)
            except OSError as error:
                raise Failure("cannot be built: %s" % error) from None
            except subprocess.CalledProcessError as error:
                raise Failure("cannot be had: %s ended with %d" % (os.path.basename(error.cmd[0]), error.returncode), read(log)) from None
        open(os.path.join(folder, "done"), "w").close()
    return folder


def python_command(peer):
    requirements = sorted(peer.pip)

    def make(folder, call):
        call(sys.executable, "-m", "venv", folder + "/venv")
        call(folder + "/venv/bin/pip", "install", "--quiet", "--disable-pip-version-check", *requirements)

    folder = fetch(peer.name, "\n".join([sys.version, *requirements]), make)
    return [folder + "/venv/bin/python", "-W", "ignore", os.path.join(HERE, "python", peer.script)]


def java_command(peer, heap):
    for tool in ("java", "mvn"):
        if not shutil.which(tool):
            raise Failure("%s is missing (Debian: default-jdk-headless, maven)" % tool)

    def maven(folder, call, *goals):
        call("mvn", "-B", "-q", "-f", POM, "-P", peer.maven, "-Dpeers.build=" + folder, *goals)

    def download(folder, call):
        maven(folder, call, "dependency:copy-dependencies", "-DoutputDirectory=" + folder, "-DincludeScope=runtime")

    jars = fetch(peer.maven + "-jars", read(POM), download)
    sources = [POM, *sorted(glob.glob(HERE + "/java/**/*.java", recursive=True))]
    classes = fetch(peer.maven + "-classes", "\n".join(map(read, sources)), lambda folder, call: maven(folder, call, "compile"))
    path = [classes + "/classes"]
    for jar in sorted(glob.glob(jars + "/*.jar")):
        if not (peer.leave_out and os.path.basename(jar).startswith(peer.leave_out)):
            path.append(jar)
    return ["java", "-Xms2g", "-Xmx" + heap, "-XX:+UseParallelGC", "-XX:MetaspaceSize=256m",
            *("--add-opens=java.base/%s=ALL-UNNAMED" % package for package in OPENED),
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", ":".join(path), peer.main, *peer.arguments]


def command_of(peer, heap):
    """The command that runs the peer's job."""
    return python_command(peer) if peer.pip else java_command(peer, heap)
