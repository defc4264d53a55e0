#!/usr/bin/env python3
"""Compares the demo's two answers bit by bit and plots the forecast. Standard library only.

usage: demo_report.py RECORD.csv STEPS.npy WHOLE.npy PLOT.svg
"""
import array
import hashlib
import math
import struct
import sys

# As in train_sunspots.py: what output[0] means.
HORIZON = 6
SCALE = 300.0


def read_npy(path):
    """The raw float bytes of a version 1 .npy file of '<f4', and its row length."""
    with open(path, "rb") as file:
        data = file.read()
    (header_length,) = struct.unpack("<H", data[8:10])
    header = data[10:10 + header_length].decode()
    shape = header[header.index("(") + 1:header.index(")")].split(",")
    return data[10 + header_length:], int(shape[-1] or shape[-2])


def rmse(forecast, truth):
    return math.sqrt(sum((f - t) ** 2 for f, t in zip(forecast, truth)) / len(truth))


def terminal_plot(truth, forecast, width=100, height=15):
    step = len(truth) / width
    def column(series, i):
        part = series[int(i * step):max(int((i + 1) * step), int(i * step) + 1)]
        return sum(part) / len(part)
    top = max(*truth, *forecast)
    grid = [[" "] * width for _ in range(height)]
    for i in range(width):
        for series, glyph in ((truth, "·"), (forecast, "█")):
            row = height - 1 - min(height - 1, int(max(0.0, column(series, i)) / top * height))
            grid[row][i] = glyph
    for number, row in enumerate(grid):
        print(f"{top * (height - number) / height:6.0f} ┤{''.join(row)}")
    print("       └" + "─" * width)


def svg_plot(path, truth, forecast, width=1000, height=320):
    top = max(*truth, *forecast)
    def points(series):
        return " ".join(f"{i * width / len(series):.1f},{height - 20 - max(0.0, v) / top * (height - 40):.1f}"
                        for i, v in enumerate(series))
    with open(path, "w", encoding="utf-8") as file:
        file.write(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">'
                   f'<rect width="100%" height="100%" fill="white"/>'
                   f'<polyline points="{points(truth)}" fill="none" stroke="#9aa7b5" stroke-width="1.5"/>'
                   f'<polyline points="{points(forecast)}" fill="none" stroke="#d1495b" stroke-width="1.8"/>'
                   f'<text x="10" y="18" font-size="14">monthly sunspots, last 20 % of the record: '
                   f'<tspan fill="#7b8794">truth</tspan>, <tspan fill="#d1495b">forecast {HORIZON} months ahead</tspan>'
                   f'</text></svg>\n')


def main():
    record_path, steps_path, whole_path, svg_path = sys.argv[1:]
    with open(record_path, encoding="utf-8") as file:
        record = [float(line) for line in file]
    (steps, features), (whole, _) = read_npy(steps_path), read_npy(whole_path)
    digests = [hashlib.sha256(data).hexdigest() for data in (steps, whole)]
    print(f"SHA-256 of {len(record)} streamed steps  {digests[0]}")
    print(f"SHA-256 of the whole sequence   {digests[1]}")

    values = array.array("f")
    values.frombytes(whole)
    forecast = [SCALE * v for v in values[::features]]
    split = int(0.8 * len(record))
    truth, ahead, now = record[split + HORIZON:], forecast[split:-HORIZON], record[split:-HORIZON]
    print(f"last 20 % of the record, {HORIZON} months ahead: truth ·  forecast █")
    terminal_plot(truth, ahead)
    svg_plot(svg_path, truth, ahead)
    error, naive = rmse(ahead, truth), rmse(now, truth)
    print(f"RMSE {error:.2f}, persistence {naive:.2f}, ratio {error / naive:.3f}")
    if digests[0] != digests[1]:
        print("the streamed steps differ from the whole sequence", file=sys.stderr)
        return 1
    print("equal, bit for bit")
    return 0


if __name__ == "__main__":
    sys.exit(main())
