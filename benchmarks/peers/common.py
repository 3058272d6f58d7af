"""Small things that all parts of `run` use."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
CORES = len(os.sched_getaffinity(0))
LOG_LINES = 30


class Failure(Exception):
    """A peer cannot go on: the reason, and the end of its log."""

    def __init__(self, reason, log=""):
        super().__init__(reason)
        self.log = "\n".join(log.splitlines()[-LOG_LINES:])


def say(text=""):
    print(text, flush=True)


def die(code, message):
    print("peers: " + message, file=sys.stderr)
    sys.exit(code)


def read(path):
    try:
        with open(path, errors="replace") as file:
            return file.read()
    except OSError:
        return ""
