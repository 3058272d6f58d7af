#!/usr/bin/env python3
"""What README.md and docs/ say, held against the command and the code.

    ```sh        is run, all blocks of a page in one folder, with weir on the PATH; a ```text block right behind a ```sh or
                 ```sql block is exactly what it prints on stdout
    ```sql       is run on the page's results.db (README's, where a page makes none)
    ```cpp       whose first line names a file is that file; the program that docs/operators.md builds is built against the
    ```cmake     installed package, run, and compared with weir itself
    ```console   needs brokers, packages or a build: only its weir flags and scripts are looked at

Flags, defaults, exit codes, tables, fields and links are compared with `weir VERB --help`, apps/verbs.h, a results file,
operators/formats.cc and the file system.
"""
import glob
import os
import re
import shutil
import subprocess
import sys
import sqlite3
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "e2e"))
import common
from common import REPO, WEIR, read, run

PAGES = ["README.md"] + sorted(os.path.relpath(p, REPO) for p in glob.glob(os.path.join(REPO, "docs", "*.md")))
VERBS = ["run", "demo", "query", "operators", "explain", "generate", "produce", "verify", "version"]


def page(name):
    return read(os.path.join(REPO, name)).decode("utf-8")


def blocks(text):
    """[(language, content, what stands between it and the block before)] of the fenced blocks."""
    found, end = [], 0
    for match in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S):
        found.append((match.group(1), match.group(2), text[end:match.start()]))
        end = match.end()
    return found


def prose(text):
    return re.sub(r"^```\w*\n.*?^```$", "", text, flags=re.M | re.S)


def unquoted(cell):
    return cell.strip().replace("\\|", "|").strip("`")


def rows(text):
    """Cells of all table rows."""
    return [[c.strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]] for line in text.splitlines() if line.startswith("|")]


# ---- blocks ----------------------------------------------------------------------------------------------------------

def sqlite_text(db, sql):
    """As `sqlite3 -separator '|'` prints rows."""
    connection = sqlite3.connect("file:%s?mode=ro" % db, uri=True)
    try:
        return "".join("|".join("" if v is None else str(v) for v in row) + "\n" for row in connection.execute(sql))
    finally:
        connection.close()


def commands(checks, place):
    env = dict(common.environment(), PATH=os.path.dirname(WEIR) + os.pathsep + os.environ.get("PATH", ""), LC_ALL="C.UTF-8")
    readme_db = os.path.join(place, "README.md", "results.db")
    for name in PAGES:
        if name == "docs/performance.md":  # measurements: they take long, and are run by whoever measures
            continue
        folder = os.path.join(place, name)
        os.makedirs(folder)
        previous = None  # output of the block before, if it was run
        for number, (language, content, between) in enumerate(blocks(page(name)), 1):
            what = "%s, block %d" % (name, number)
            if language == "sh":
                done = subprocess.run(["bash", "-eo", "pipefail", "-c", content], cwd=folder, env=env, stdin=subprocess.DEVNULL,
                                      capture_output=True, timeout=120)
                previous = done.stdout.decode("utf-8", "replace")
                checks.check(what + " runs", done.returncode == 0, content + done.stderr.decode("utf-8", "replace"))
            elif language == "sql":
                own = os.path.join(folder, "results.db")
                try:
                    previous = sqlite_text(own if os.path.exists(own) else readme_db, content)
                    checks.check(what + " runs and finds rows or knows that there are none", True)
                except sqlite3.Error as error:
                    previous = None
                    checks.check(what + " runs", False, "%s\n%s" % (content, error))
            elif language == "text" and previous is not None and not between.strip():
                checks.equal(what + " is what the block before it prints", previous, content)
                previous = None
            else:
                checks.check(what + " is of a kind that is known", language in ("text", "console", "cpp", "cmake", ""), language)
                previous = None
    ledger = "select sum(not (consumed = aggregated + filtered + skipped + late + invalid + quarantined + duplicates)) from weir_progress"
    checks.equal("conservation in README's results file", sqlite_text(readme_db, ledger), "0\n")


def named_files(text):
    """{path: content} of the blocks whose first line is a comment that names a file."""
    files = {}
    for language, content, _ in blocks(text):
        named = re.match(r"(?://|#) ([\w./]+\.(?:cc|h|txt))\b", content)
        if language in ("cpp", "cmake") and named:
            files[named.group(1)] = content
    return files


def excerpts(checks):
    """README shows the code that is there."""
    code = [line.strip() for line in page("operators/tweets_by_location.cc").splitlines()]
    shown = [line.strip() for language, content, _ in blocks(page("README.md")) if language == "cpp" for line in content.splitlines()]
    at = code.index(shown[0]) if shown and shown[0] in code else 0
    checks.equal("README's excerpt of operators/tweets_by_location.cc", "\n".join(shown), "\n".join(code[at:at + len(shown)]))


def own_program(checks, place):
    """docs/operators.md, "In a program of your own", against the installed package."""
    build = os.environ.get("WEIR_BUILD_DIR") or os.path.dirname(WEIR)
    if not shutil.which("cmake") or not os.path.exists(os.path.join(build, "cmake_install.cmake")):
        return checks.leave_out("the program of docs/operators.md: no cmake, or %s is no build folder (WEIR_BUILD_DIR)" % build)
    files = named_files(page("docs/operators.md"))
    checks.equal("docs/operators.md shows the whole program", sorted(files),
                 ["CMakeLists.txt", "main.cc", "operators/tweets_by_language.cc", "operators/tweets_by_language.h"])
    source, prefix, out = (os.path.join(place, n) for n in ("program", "prefix", "program-build"))
    for path, content in files.items():
        os.makedirs(os.path.dirname(os.path.join(source, path)), exist_ok=True)
        common.write(os.path.join(source, path), content)
    cache = read(os.path.join(build, "CMakeCache.txt")).decode("utf-8", "replace")

    def cached(name):
        found = re.search(r"^%s:\w+=(.*)$" % name, cache, re.M)
        return found.group(1) if found else ""

    flags = "-Wall -Wextra -Werror" + (" -fsanitize=" + cached("WEIR_SANITIZE") if cached("WEIR_SANITIZE") else "")
    if "clang" not in cached("CMAKE_CXX_COMPILER"):
        flags += " -Wno-maybe-uninitialized -Wno-restrict"  # the GCC bugs that CMakeLists.txt names
    steps = (["cmake", "--install", build, "--prefix", prefix],
             ["cmake", "-S", source, "-B", out, "-G", cached("CMAKE_GENERATOR"), "-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_PREFIX_PATH=" + prefix,
              "-DCMAKE_CXX_COMPILER=" + cached("CMAKE_CXX_COMPILER"), "-DCMAKE_CXX_FLAGS=" + flags],
             ["cmake", "--build", out])
    for step in steps:
        done = subprocess.run(step, capture_output=True, timeout=600)
        if not checks.check("docs/operators.md: " + " ".join(step[:2]), done.returncode == 0, (done.stdout + done.stderr).decode("utf-8", "replace")[-3000:]):
            return None
    tweets = os.path.join(place, "languages.ndjson")
    made = run("generate", "--count", 5000, "--rate", 50, "--seed", 5, "--size", "small", "-o", tweets)
    checks.check("generate", made.code == 0, made)
    found = subprocess.run([os.path.join(out, "languages"), tweets], capture_output=True, timeout=120)
    # The same question, put to weir: every tweet that is no retweet, by language.
    plain = os.path.join(place, "plain.ndjson")
    common.write(plain, b"".join(line for line in read(tweets).splitlines(keepends=True) if b'"retweeted_status":{' not in line))
    same = run("run", "tweets_by_location", "-i", plain, "--location-field", "lang", "--slide", "30s", "--stdout", "csv", "-q")
    checks.check("docs/operators.md: the program runs", found.returncode == 0 and found.stderr == b"", found.stderr)
    expected = same.out.replace(",location,", ",language,", 1)
    checks.check("there are rows to compare", expected.count("\n") > 20 and 0 < len(read(plain)) < len(read(tweets)), expected)
    checks.equal("docs/operators.md: the program's rows", found.stdout.decode(), expected)
    return None


# ---- names -----------------------------------------------------------------------------------------------------------

def help_flags(verb):
    """{spelling: default} of `weir verb --help`."""
    flags, current = {}, None
    for line in run(verb, "--help").out.splitlines():
        if re.match(r"^ {2,6}-", line):
            left, _, text = line.strip().partition("  ")
            current = [left.strip(), text.strip()]
            flags[current[0]] = current
        elif line.startswith(" " * 32) and current:
            current[1] += " " + line.strip()
        elif line.strip():
            current = None
    flags.pop("-h, --help", None)
    default = {left: re.search(r"\[([^\[\]]*)\]$", text.strip()) for left, text in flags.values()}
    return {left: found.group(1) if found else "" for left, found in default.items()}


def flags(checks):
    text = page("docs/reference.md")
    parts = dict(re.findall(r"^### weir (\w+)\n(.*?)(?=^##)", text, re.M | re.S))
    for verb in VERBS:
        of_help = help_flags(verb)
        documented = {}
        for cells in rows(parts.get("run" if verb == "explain" else verb, "")):
            if cells[0].startswith("`-"):
                checks.check("docs/reference.md: %s stands once under weir %s" % (cells[0], verb), unquoted(cells[0]) not in documented)
                documented[unquoted(cells[0])] = unquoted(cells[2])
        checks.check("weir %s --help and docs/reference.md: the same flags" % verb, set(of_help) == set(documented),
                     "only in --help: %s\nonly documented: %s" % (sorted(set(of_help) - set(documented)), sorted(set(documented) - set(of_help))))
        for flag in sorted(set(of_help) & set(documented)):
            checks.equal("weir %s: the default of %s" % (verb, flag), documented[flag], of_help[flag])
    checks.check("weir run --help has flags", len(help_flags("run")) > 30)
    verbs = re.findall(r"^  weir (\w+) {2,}", run("--help").out, re.M)
    checks.equal("weir --help: the verbs that are documented", [v for v in verbs if v in VERBS], VERBS)
    checks.equal("docs/reference.md: the verbs", re.findall(r"^\| `weir (\w+)` \|", text, re.M), VERBS)

    # Flags that the pages use somewhere exist.
    known = {name for verb in VERBS for spelling in help_flags(verb) for name in re.findall(r"--[\w-]+", spelling)}
    refused = {"--plugin"}  # named as not being there
    for name in PAGES:
        used = set()
        for language, content, _ in blocks(page(name)):
            for line in re.sub(r"\\\n|\|\n", " ", content).splitlines():
                if language in ("sh", "console") and re.search(r"(?:^|[|] *)\s*weir ", line):
                    used |= set(re.findall(r"(?<![\w-])--[a-z][\w-]*", line))
        for code in re.findall(r"`(--[a-z][\w-]*)[^`]*`", prose(page(name))):
            used.add(code)
        foreign = {"--install", "--help", "--retweets"}  # cmake's; every verb's; the one of docs/operators.md
        checks.check("%s: flags that exist" % name, used <= known | refused | foreign, sorted(used - known - refused - foreign))


def exit_codes(checks):
    of_code = {int(c) for c in re.findall(r"return (\d+);", re.search(r"int ExitCode\(.*?^}", page("apps/verbs.h"), re.M | re.S).group())}
    section = page("docs/reference.md").partition("### Exit codes")[2].partition("\n## ")[0]
    documented = {int(c) for cells in rows(section) for c in re.findall(r"\d+", cells[0])}
    forced = {130, 143}  # 128 + the signal
    checks.equal("docs/reference.md and apps/verbs.h: the same exit codes", sorted(documented), sorted(of_code | forced))


def seen_codes(checks, place):
    """Each exit code that needs neither a broker nor a broken disk, once."""
    at = lambda name: os.path.join(place, name)
    tweets = at("codes.ndjson")
    run("generate", "--count", 200, "--size", "small", "-o", tweets)
    job = ("run", "hashtags", "-i", tweets, "--stdout", "none", "-o", at("codes.db"))
    common.write(at("no.db"), "x" * 200)
    connection = sqlite3.connect(at("other.db"))
    connection.execute("create table t(x)")
    connection.commit()
    connection.close()
    for code, args in ((0, job), (0, job), (2, job + ("--window", "60")), (2, job + ("--on-data-loss", "ignore")), (2, job + ("--plugin", "x.so")),
                       (2, ("run", "-c", "job.toml")), (2, job + ("--format", "x-v2")), (0, ("verify", at("codes.db"))), (2, ("verify",)), (78, job + ("--window", "90s")),
                       (78, ("run", "hashtags", "-i", tweets, "--stdout", "none", "-o", at("other.db"))),
                       (74, ("run", "hashtags", "-i", tweets, "--stdout", "none", "-o", at("no.db"))),
                       (66, ("run", "hashtags", "-i", at("nothing.ndjson"), "--stdout", "none")),
                       (69, ("run", "hashtags", "-b", "127.0.0.1:%d" % common.free_port(), "-t", "t", "--connect-timeout", "1s", "--stdout", "none"))):
        result = run(*args)
        checks.check("exit %d: weir %s" % (code, " ".join(args)[:100]), result.code == code, result)
    connection = sqlite3.connect(at("codes.db"))
    connection.execute("update hashtags set uses = uses + 1")
    connection.commit()
    connection.close()
    result = run("verify", at("codes.db"))
    checks.check("exit 4: the results were altered", result.code == 4, result)
    common.write(tweets, read(tweets)[:1000])
    result = run(*job)
    checks.check("exit 3: the file was shortened", result.code == 3, result)
    result = run(*job, "--on-data-loss", "skip")
    checks.check("exit 0 with --on-data-loss skip", result.code == 0 and "shortened" in result.err, result)
    checks.equal("and a row in weir_gaps", common.query(at("codes.db"), "select first_offset, next_offset from weir_gaps"), [(200, 200)])


def tables(checks, place):
    """The tables of section 2 are those of a results file."""
    db = os.path.join(place, "tables.db")
    made = run("run", "tweets_by_location,user_mentions,hashtags", "-i", "-", "-o", db, "--stdout", "none", stdin=b"")
    checks.check("a results file of all operators", made.code == 0, made)
    listed = re.findall(r"^(\w+)\(([^)]*)\)$", page("docs/reference.md"), re.M)
    own = {"weir_meta", "weir_partitions", "weir_state"}
    checks.equal("docs/reference.md: the tables", sorted(name for name, _ in listed), sorted(
        name for name, in common.query(db, "select name from sqlite_master where type = 'table' and name not like 'sqlite_%'") if name not in own))
    for name, columns in listed:
        checks.equal("docs/reference.md: columns of " + name, columns,
                     ", ".join("%s %s" % row for row in common.query(db, "select name, type from pragma_table_info(?)", name)))
        if not name.startswith("weir_"):
            views = common.query(db, "select count(*) from sqlite_master where type = 'view' and name in (?, ?)", name + "_latest", name + "_view")
            strict = common.query(db, "select strict, wr from pragma_table_list where name = ?", name)
            keys = common.query(db, "select name from pragma_table_info(?) where pk > 0 order by pk", name)
            checks.equal("%s: views, STRICT, WITHOUT ROWID, primary key" % name, (views, strict, [k for k, in keys]),
                         ([(2,)], [(1, 1)], ["window_end", columns.split(", ")[2].split()[0]]))


def fields(checks):
    """The canonical fields are those of operators/formats.cc, the operators those that weir knows."""
    of_code = {name: re.findall(r'"([^"]+)"', paths) for name, paths in
               re.findall(r'^\s*\{"(\w+)", \{("[^{}]*")\}\},$', page("operators/formats.cc"), re.M)}
    section = page("docs/reference.md").partition("`twitter-v1`, Twitter's")[2].partition("Its event time")[0]
    documented = {unquoted(c[0]): re.findall(r"`([^`]+)`", c[1]) for c in rows(section) if c[0].startswith("`")}
    checks.check("operators/formats.cc has fields", len(of_code) > 5, of_code)
    checks.equal("docs/reference.md: the fields of twitter-v1", documented, of_code)
    known = re.findall(r"^(\w+)  ", run("operators").out, re.M)
    checks.equal("README: the operators", [unquoted(c[0]) for c in rows(page("README.md")) if c[0].startswith("`")], known)
    for name in known:
        checks.check("docs/reference.md has a section for " + name, "\n### %s\n" % name in page("docs/reference.md"))


def anchors(text):
    """As GitHub makes them from headings."""
    found = set()
    for heading in re.findall(r"^#+ (.*)$", prose(text), re.M):
        plain = re.sub(r"[`*]", "", heading).strip().lower()
        found.add(re.sub(r"[^\w\- ]", "", plain).replace(" ", "-"))
    return found


def links(checks):
    for name in PAGES:
        for target in re.findall(r"\]\(([^)\s]+)\)", prose(page(name))):
            if re.match(r"\w+:", target):
                continue
            path, _, anchor = urllib.parse.unquote(target).partition("#")
            there = os.path.normpath(os.path.join(REPO, os.path.dirname(name), path)) if path else os.path.join(REPO, name)
            checks.check("%s: link to %s" % (name, target), os.path.exists(there))
            if anchor and there.endswith(".md") and os.path.exists(there):
                checks.check("%s: link to %s, the heading" % (name, target), anchor in anchors(read(there).decode("utf-8")))
        for mentioned in set(re.findall(r"\b((?:scripts|tests|engine|apps|operators|docs)/[\w./-]*\w)", page(name))):
            if "tweets_by_language" not in mentioned:
                checks.check("%s: %s is there" % (name, mentioned), os.path.exists(os.path.join(REPO, mentioned)))


def main():
    checks = common.Checks("docs_test")
    with common.folder() as place:
        for part, *arguments in ((commands, place), (excerpts,), (flags,), (exit_codes,), (seen_codes, place), (tables, place), (fields,), (links,),
                                 (own_program, place)):
            checks.section(part, *arguments)
    return checks.done()


if __name__ == "__main__":
    sys.exit(main())
