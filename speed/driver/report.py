"""Tables and a plot of what was measured."""

import csv
import platform
from pathlib import Path

COLOURS = ["#1b6ca8", "#c8553d", "#588157", "#8e6c8a", "#e09f3e", "#335c67", "#6d6875", "#9e2a2b"]


def machine():
    cores = Path("/proc/cpuinfo").read_text().count("processor\t")
    kib = int(Path("/proc/meminfo").read_text().split("MemTotal:")[1].split()[0])
    return f"{cores} cores, {round(kib / 1048576)} GiB RAM, {platform.system()}"


class Report:
    """Rows of (group, what, value, unit), in the order in which they were measured."""

    def __init__(self, folder, title):
        self.folder = folder
        self.title = title
        self.rows = []
        self.targets = []
        self.ratios = []
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, group, what, **values):
        self.rows.append({"group": group, "what": what, **values})
        shown = ", ".join(f"{name} {number(value)}" for name, value in values.items())
        print(f"  {group}: {what}: {shown}", flush=True)

    def target(self, name, value, must, good, is_at_most=False):
        """A figure beside what it must reach and what it is meant to reach."""
        self.targets.append((name, value, must, good, is_at_most))

    def ratio(self, name, value, good, is_at_most=False):
        """The same of what is no target of its own."""
        self.ratios.append((name, value, None, good, is_at_most))

    def write(self):
        self.write_csv(self.folder / "bench.csv")
        (self.folder / "bench.md").write_text(self.markdown())
        (self.folder / "bench.svg").write_text(self.plot())
        print(self.markdown_ratios())
        print(f"written: {self.folder}/bench.md, bench.csv, bench.svg")

    def write_csv(self, path):
        names = ["group", "what"]
        for row in self.rows:
            names += [name for name in row if name not in names]
        with path.open("w", newline="") as out:
            writer = csv.DictWriter(out, names)
            writer.writeheader()
            writer.writerows(self.rows)

    def markdown(self):
        text = [f"# {self.title}", "", f"Machine: {machine()}.", "", self.markdown_ratios()]
        for group in dict.fromkeys(row["group"] for row in self.rows):
            rows = [row for row in self.rows if row["group"] == group]
            names = [name for name in rows[0] if name not in ("group", "what")]
            text += ["", f"## {group}", "", f"| | {' | '.join(names)} |"]
            text.append("|---|" + "---:|" * len(names))
            for row in rows:
                cells = [number(row.get(name)) for name in names]
                text.append(f"| {row['what']} | {' | '.join(cells)} |")
        return "\n".join(text) + "\n"

    def markdown_ratios(self):
        parts = [("Targets", self.targets), ("Further ratios", self.ratios)]
        return "\n".join(table(title, rows) for title, rows in parts if rows)

    def plot(self):
        """Refunds a second over connections, a line for each face."""
        rows = [row for row in self.rows if "connections" in row and row["what"].startswith("HTTP")]
        names = list(dict.fromkeys(row["group"] for row in rows))
        places = sorted({row["connections"] for row in rows})
        if not rows:
            return '<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"/>\n'
        width, height, left, below = 760, 420, 70, 50
        top = max(row["rate"] for row in rows) * 1.08
        across = lambda at: left + (width - left - 190) * places.index(at) / max(1, len(places) - 1)
        up = lambda rate: height - below - (height - below - 30) * rate / top
        out = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            'font-family="sans-serif" font-size="12">',
            f'<rect width="{width}" height="{height}" fill="white"/>',
            f'<text x="{left}" y="18" font-size="14">Refunds a second over connections</text>',
        ]
        for step in range(6):
            rate = top * step / 5
            y = up(rate)
            out.append(f'<path d="M{left} {y:.1f}H{width - 190}" stroke="#ddd"/>')
            out.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{rate:,.0f}</text>')
        for at in places:
            y = height - below + 18
            out.append(f'<text x="{across(at):.1f}" y="{y}" text-anchor="middle">{at}</text>')
        for place, name in enumerate(names):
            colour = COLOURS[place % len(COLOURS)]
            points = {row["connections"]: row["rate"] for row in rows if row["group"] == name}
            path = "L".join(f"{across(at):.1f} {up(points[at]):.1f}" for at in sorted(points))
            out.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
            y = 40 + 18 * place
            out.append(f'<rect x="{width - 175}" y="{y - 10}" width="12" height="12" fill="{colour}"/>')
            out.append(f'<text x="{width - 157}" y="{y}">{name}</text>')
        return "\n".join([*out, "</svg>"]) + "\n"


def table(title, rows):
    text = [f"## {title}", "", "| | measured | must | good | |", "|---|---:|---:|---:|---|"]
    for name, value, must, good, is_at_most in rows:
        sign = "≤ " if is_at_most else "≥ "
        reaches = lambda bound: value <= bound if is_at_most else value >= bound
        verdict = "good" if reaches(good) else "not good" if must is None else "fails"
        if must is not None and verdict == "fails" and reaches(must):
            verdict = "as it must"
        bound = "" if must is None else f"{sign}{must:,g}"
        text.append(f"| {name} | {number(value)} | {bound} | {sign}{good:,g} | {verdict} |")
    return "\n".join([*text, ""])


def number(value):
    if value is None:
        return "–"
    if isinstance(value, str) or isinstance(value, int):
        return f"{value:,}" if isinstance(value, int) else value
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"
