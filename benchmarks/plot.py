#!/usr/bin/env python3
"""Draws the figures of the other programs here as SVG, with nothing but Python's standard library.

    python3 benchmarks/plot.py --out DIR [--scaling scaling.json] [--latency latency.json]

Writes DIR/scaling-CURVE.svg and DIR/latency.svg, and prints what it wrote. Lines and texts take the colour
of a light or a dark page.
"""
import argparse
import html
import json
import math
import os
import sys

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 360, 70, 150, 40, 50
COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999999", "#8c564b", "#7f3fbf", "#2f8f4e"]
STYLE = """<style>text{font:12px sans-serif;fill:#222}.axis{stroke:#222}.grid{stroke:#ccc;stroke-width:.5}
@media (prefers-color-scheme:dark){text{fill:#ddd}.axis{stroke:#ddd}.grid{stroke:#555}}</style>"""


def short(value):
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size:
            return "%g%s" % (round(value / size, 3), unit)
    return "%g" % round(value, 3)


def decades(low, high):
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    return [10.0 ** e for e in range(first, max(last, first + 1) + 1)]


def frame(title, x_label, y_label, body):
    return ('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="%s">%s'
            '<text x="%d" y="20" style="font-weight:bold">%s</text>'
            '<text x="%d" y="%d" text-anchor="middle">%s</text>'
            '<text x="16" y="%d" text-anchor="middle" transform="rotate(-90 16 %d)">%s</text>%s</svg>\n' %
            (WIDTH, HEIGHT, html.escape(title), STYLE, LEFT, html.escape(title), (LEFT + WIDTH - RIGHT) // 2, HEIGHT - 10,
             html.escape(x_label), (TOP + HEIGHT - BOTTOM) // 2, (TOP + HEIGHT - BOTTOM) // 2, html.escape(y_label), "".join(body)))


def log_lines(title, x_label, y_label, series):
    """series: name -> [(x, y)], both axes logarithmic."""
    points = [p for line in series.values() for p in line if p[0] > 0 and p[1] > 0]
    if not points:
        sys.exit("plot: nothing to draw for %s" % title)
    xs, ys = decades(min(p[0] for p in points), max(p[0] for p in points)), decades(min(p[1] for p in points), max(p[1] for p in points))
    x_at = lambda x: LEFT + (math.log10(x) - math.log10(xs[0])) / (math.log10(xs[-1]) - math.log10(xs[0])) * (WIDTH - LEFT - RIGHT)
    y_at = lambda y: HEIGHT - BOTTOM - (math.log10(y) - math.log10(ys[0])) / (math.log10(ys[-1]) - math.log10(ys[0])) * (HEIGHT - TOP - BOTTOM)
    body = []
    for x in xs:
        body.append('<line class="grid" x1="%.1f" y1="%d" x2="%.1f" y2="%d"/><text x="%.1f" y="%d" text-anchor="middle">%s</text>' %
                    (x_at(x), TOP, x_at(x), HEIGHT - BOTTOM, x_at(x), HEIGHT - BOTTOM + 16, short(x)))
    for y in ys:
        body.append('<line class="grid" x1="%d" y1="%.1f" x2="%d" y2="%.1f"/><text x="%d" y="%.1f" text-anchor="end">%s</text>' %
                    (LEFT, y_at(y), WIDTH - RIGHT, y_at(y), LEFT - 6, y_at(y) + 4, short(y)))
    for number, (name, line) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        drawn = sorted(p for p in line if p[0] > 0 and p[1] > 0)
        body.append('<polyline fill="none" stroke="%s" stroke-width="2" points="%s"/>' %
                    (colour, " ".join("%.1f,%.1f" % (x_at(x), y_at(y)) for x, y in drawn)))
        body += ['<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>' % (x_at(x), y_at(y), colour) for x, y in drawn]
        body.append('<rect x="%d" y="%d" width="10" height="10" fill="%s"/><text x="%d" y="%d">%s</text>' %
                    (WIDTH - RIGHT + 12, TOP + 18 * number, colour, WIDTH - RIGHT + 28, TOP + 18 * number + 9, html.escape(name)))
    return frame(title, x_label, y_label, body)


def bars(title, x_label, y_label, bins):
    """bins: [(low, count)] of one width, ascending."""
    width = 10
    last = max(low for low, _ in bins) + width
    most = max(count for _, count in bins)
    x_at = lambda x: LEFT + x / last * (WIDTH - LEFT - 20)
    body = ['<line class="axis" x1="%d" y1="%d" x2="%d" y2="%d"/>' % (LEFT, HEIGHT - BOTTOM, WIDTH - 20, HEIGHT - BOTTOM)]
    step = max(width, math.ceil(last / 10 / width) * width)
    for x in range(0, last + 1, step):
        body.append('<text x="%.1f" y="%d" text-anchor="middle">%d</text>' % (x_at(x), HEIGHT - BOTTOM + 16, x))
    for low, count in bins:
        tall = count / most * (HEIGHT - TOP - BOTTOM)
        body.append('<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"><title>%d..%d: %d</title></rect>' %
                    (x_at(low) + 0.5, HEIGHT - BOTTOM - tall, x_at(width) - LEFT - 1, tall, COLOURS[0], low, low + width, count))
    body.append('<text x="%d" y="%d" text-anchor="end">%d</text>' % (LEFT - 6, TOP + 4, most))
    return frame(title, x_label, y_label, body)


CURVES = {
    "records": ("Records in the input", "records"),
    "keys": ("Distinct keys", "keys"),
    "ratio": ("Windows that overlap", "window ÷ slide"),
    "partitions": ("Partitions", "partitions"),
    "operators": ("Operators in one job", "operators"),
    "size": ("Size of a record", "bytes"),
}


def read(path):
    try:
        with open(path) as file:
            return json.load(file)
    except (OSError, ValueError) as error:
        sys.exit("plot: %s: %s" % (path, error))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, help="folder for the pictures")
    parser.add_argument("--scaling", help="of scaling.py --json")
    parser.add_argument("--latency", help="of latency.py --json")
    options = parser.parse_args()
    if not (options.scaling or options.latency):
        parser.error("give --scaling or --latency")
    os.makedirs(options.out, exist_ok=True)

    def write(name, svg):
        path = os.path.join(options.out, name)
        with open(path, "w") as out:
            out.write(svg)
        print(path)

    if options.scaling:
        for curve, points in read(options.scaling)["curves"].items():
            title, x_label = CURVES[curve]
            write("scaling-%s.svg" % curve, log_lines(title, x_label, "records/s", {"weir": [(p["x"], p["records_per_s"]) for p in points]}))
    if options.latency:
        found = read(options.latency)
        write("latency.svg", bars("Append of the closing record to rows visible, batch %s" % found["batch"], "ms", "windows", found["histogram_ms"]))


if __name__ == "__main__":
    main()
