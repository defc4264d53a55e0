"""The table on the terminal and the picture of latency against load."""
import math


def _text(value):
    if value is None:
        return "-"
    return f"{value:.2f}" if abs(value) < 1000 else f"{value:,.0f}"


def verdict(target):
    if target["pass"] is None:
        return "n/a"
    if not target["pass"]:
        return "MISSED"
    return "after" if target.get("after_pass") else "pass"


def table(targets):
    """One line a target; `after` marks those that reach the second number too."""
    rows = [("target", "value", "bound", "after", "")]
    for t in targets:
        sign = "≤ " if t["at_most"] else "≥ "
        bound = sign + _text(t["bound"]) if t["bound"] is not None else "-"
        after = sign + _text(t["after"]) if t.get("after") is not None else "-"
        note = verdict(t) + (f": {t['reason']}" if t.get("reason") else "")
        rows.append((t["target"], _text(t["value"]), bound, after, note))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = [f"{r[0]:<{widths[0]}}  {r[1]:>{widths[1]}}  {r[2]:>{widths[2]}}  {r[3]:>{widths[3]}}  {r[4]}"
             for r in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 440, 70, 170, 40, 50
COLOURS = {"gruserve": "#1f6feb", "ONNX Runtime peer": "#d1622b"}


def _powers(low, high):
    return [10.0 ** e for e in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]


def latency_svg(title, curves):
    """`curves`: name -> [(operations a second, p50 us, p99 us)]; the latencies' axis is logarithmic."""
    points = [p for curve in curves.values() for p in curve]
    x_max = max(p[0] for p in points) * 1.05
    marks = _powers(min(p[1] for p in points), max(p[2] for p in points))
    low, high = math.log10(marks[0]), math.log10(marks[-1])

    def at(rate, micros):
        x = LEFT + (WIDTH - LEFT - RIGHT) * rate / x_max
        return x, HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (math.log10(micros) - low) / (high - low)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
           f'font-size="12"><rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>'
           f'<text x="{LEFT}" y="22" font-size="15">{title}</text>']
    for mark in marks:
        y = at(0, mark)[1]
        label = f"{mark / 1000:g} ms" if mark >= 1000 else f"{mark:g} µs"
        out.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>'
                   f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    for i in range(6):
        x = at(x_max * i / 5, marks[0])[0]
        out.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{x_max * i / 5:,.0f}</text>')
    out.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 10}" text-anchor="middle">steps a second '
               f'asked for</text>')
    legend = TOP + 10
    for name, curve in curves.items():
        for column, label, dash in ((1, "p50", ""), (2, "p99", ' stroke-dasharray="6 4"')):
            path = "L".join("{:.1f} {:.1f}".format(*at(p[0], p[column])) for p in sorted(curve))
            stroke = f'stroke="{COLOURS[name]}" stroke-width="2" fill="none"{dash}'
            out.append(f'<path d="M{path}" {stroke}/><path d="M{WIDTH - RIGHT + 10} {legend}h24" {stroke}/>'
                       f'<text x="{WIDTH - RIGHT + 40}" y="{legend + 4}">{name.replace(" peer", "")} {label}</text>')
            legend += 20
    return "\n".join([*out, "</svg>\n"])
