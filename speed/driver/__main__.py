"""The driver of ./bench: builds stores, runs the server under load, and writes down what it measured.

Everything that is compared is measured in one run, round by round, so that a change of the machine's mood
meets all of it. Start at `main`; what is measured is one function each, below.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import load
import postgres
from house import FACES, House, Server
from report import Report

HERE = Path(__file__).resolve().parent
LANE_BATCHES = (1, 16, 64, 256)
SLOW_MS = 2


@dataclass
class Plan:
    """How much is measured."""

    payments: int
    growth: tuple
    connections: tuple
    seconds: int
    rounds: int
    lane_refunds: int
    # pgbench's scale factor; `None`: without PostgreSQL.
    scale: int | None
    faces: tuple = tuple(FACES)


GROWTH = (10_000, 100_000, 1_000_000, 5_000_000)
PLANS = {
    "smoke": Plan(400, (), (4,), 1, 1, 200, None, ("native", "mpg")),
    "quick": Plan(20_000, (), (1, 16, 64), 1, 1, 4_000, 5),
    "full": Plan(1_000_000, GROWTH, (1, 16, 64, 256), 4, 3, 30_000, 50),
}


class Bench:
    def __init__(self, plan, programs, folder, report):
        self.plan = plan
        self.programs = programs
        self.folder = folder
        self.report = report
        self.houses = 0

    def house(self, payments, connector="manual"):
        self.houses += 1
        house = House(self.programs, self.folder / f"house{self.houses}", connector)
        house.fill(payments)
        return house

    def rounds(self, cells):
        """Measures each cell once a round; answers the median of each by its name."""
        found = {name: [] for name in cells}
        for _ in range(self.plan.rounds):
            for name, measure in cells.items():
                found[name].append(measure())
        return {name: middle(values) for name, values in found.items()}


def middle(values):
    """The median of each number of several measurements."""
    return {name: statistics.median(value[name] for value in values) for name in values[0]}


def lane_rate(house, kind, refunds, batch, hot=False):
    done = house.lane(kind, refunds, batch, hot)
    return {"rate": done["refunds"] * 1e9 / done["ns"], "us": done["ns"] / done["refunds"] / 1e3}


def measure_lane(bench, house):
    """The lane without HTTP, and the loop that only writes the same rows."""
    count = bench.plan.lane_refunds
    twin = house.twin()
    cells = {}
    for batch in LANE_BATCHES:
        some = max(count // 10, 50) if batch == 1 else count
        for kind, where in (("lane", house), ("rows", twin)):
            cells[kind, batch] = lambda w=where, k=kind, b=batch, n=some: lane_rate(w, k, n, b)
    cells["hot", 64] = lambda: lane_rate(house, "lane", count, 64, hot=True)
    found = bench.rounds(cells)
    twin.remove()
    titles = {"lane": "lane", "rows": "bare loop, same rows", "hot": "lane, one hot payment"}
    for (kind, batch), measured in found.items():
        bench.report.add("Without HTTP", f"{titles[kind]}, batches of {batch}", **measured)
    for batch in (64, 256):
        ratio = found["lane", batch]["rate"] / found["rows", batch]["rate"]
        bench.report.ratio(f"lane / bare loop, batches of {batch}", ratio, 0.8)
    hot = found["lane", 64]["rate"] / found["hot", 64]["rate"]
    bench.report.ratio("lane: spread / one hot payment", hot, 3, is_at_most=True)


def measure_postgres(bench):
    """The yardsticks N and P: what is usually built, and pgbench's own load."""
    plan = bench.plan
    if plan.scale is None:
        return {}
    found = postgres.measure(plan.seconds * 2, plan.rounds, plan.scale, min(plan.payments, 1_000_000))
    titles = {
        "N": "N: a transaction for each refund, 16 clients, no HTTP",
        "P": f"P: pgbench TPC-B, prepared, scale {plan.scale}, 16 clients",
    }
    for name, rate in (found or {}).items():
        bench.report.add("PostgreSQL, yardsticks", titles[name], rate=rate)
    return found or {}


def measure_http(bench, house, reference, yardsticks):
    """Every face and both reference points at each number of connections."""
    plan = bench.plan
    server = house.server

    def of_face(face, connections):
        return load.refunds(house, FACES, face, connections, plan.seconds)

    def nothing(connections):
        headers = ["Authorization: Bearer none", "Content-Type: application/json"]
        request = ("uuid", 0, plan.payments, False, "/nothing/{ID}", '{"amount":1}', headers)
        return load.wrk(reference.url, connections, plan.seconds, request)

    def hello(connections):
        return load.wrk(reference.url, connections, plan.seconds, ("uuid", 0, 0, False, "/hello", "", []))

    cells = {}
    for connections in plan.connections:
        cells["hello world", connections] = lambda c=connections: hello(c)
        cells["Z: keeps nothing", connections] = lambda c=connections: nothing(c)
        for face in plan.faces:
            cells[face, connections] = lambda f=face, c=connections: of_face(f, c)
    found = bench.rounds(cells)
    for (name, connections), measured in found.items():
        told = {key: measured[key] for key in ("rate", "p50", "p99")}
        bench.report.add(name, f"HTTP, c={connections}", connections=connections, **told)
    at = 64 if 64 in plan.connections else plan.connections[-1]
    for face in plan.faces:
        for name, good in (("N", 3.5), ("P", 2.3)):
            if name in yardsticks:
                ratio = found[face, at]["rate"] / yardsticks[name]
                bench.report.ratio(f"{face} / {name}, c={at}", ratio, good)
    for face in plan.faces:
        measured = found[face, at]
        ratio = measured["rate"] / found["Z: keeps nothing", at]["rate"]
        bench.report.ratio(f"{face} / Z, c={at}", ratio, 0.23)
    for face in plan.faces:
        measured = found[face, at]
        bench.report.ratio(f"{face}: p99 / p50, c={at}", measured["p99"] / measured["p50"], 9, True)
    server.memory_under_load = server.memory()


def measure_hot(bench, house):
    """All refunds of one payment, against as many of different ones."""
    seconds, at = bench.plan.seconds, bench.plan.connections[-1]
    cells = {}
    for face in bench.plan.faces:
        cells[face, False] = lambda f=face: load.refunds(house, FACES, f, at, seconds)
        cells[face, True] = lambda f=face: load.refunds(house, FACES, f, at, seconds, hot=True)
    found = bench.rounds(cells)
    for (face, hot), measured in found.items():
        what = f"{face}, {'one hot payment' if hot else 'spread'}"
        told = {key: measured[key] for key in ("rate", "p50", "p99")}
        bench.report.add(f"A hot payment, c={at}", what, **told)
    for face in bench.plan.faces:
        ratio = found[face, False]["rate"] / found[face, True]["rate"]
        bench.report.ratio(f"{face}: spread / one hot payment, c={at}", ratio, 3, True)


def measure_phases(bench):
    """One commit a refund against two, with a connector that answers at once."""
    face, at, seconds = "native", min(64, bench.plan.connections[-1]), bench.plan.seconds
    houses = {name: bench.house(min(bench.plan.payments, 100_000), name) for name in ("manual", "sandbox")}
    for house in houses.values():
        house.serve()
    cells = {
        name: lambda h=house: load.refunds(h, FACES, face, at, seconds) for name, house in houses.items()
    }
    found = bench.rounds(cells)
    for name, what in (("manual", "one commit"), ("sandbox", "two commits")):
        told = {key: found[name][key] for key in ("rate", "p50", "p99")}
        bench.report.add(f"Commits of a refund, {face}, c={at}", what, **told)
    ratio = found["sandbox"]["rate"] / found["manual"]["rate"]
    bench.report.ratio(f"two commits / one commit, c={at}", ratio, 0.75)
    for house in houses.values():
        house.stop()
        house.remove()


def measure_slow_disk(bench, house):
    """Every fsync takes 2 ms longer."""
    face, at, seconds = "native", bench.plan.connections[-1], bench.plan.seconds
    library = bench.folder / "slow_sync.so"
    source = HERE / "slow_sync.c"
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, source], check=True)
    rates = {"as it is": [], f"{SLOW_MS} ms slower": []}
    for _ in range(bench.plan.rounds):
        for name, extra in zip(rates, (None, {"LD_PRELOAD": library, "SLOW_SYNC_MS": str(SLOW_MS)})):
            house.serve(extra)
            rates[name].append(load.refunds(house, FACES, face, at, seconds))
            house.stop()
    found = {name: middle(values) for name, values in rates.items()}
    for name, measured in found.items():
        told = {key: measured[key] for key in ("rate", "p50", "p99")}
        bench.report.add(f"A slow disk, {face}, c={at}", f"fsync {name}", **told)
    rated = [measured["rate"] for measured in found.values()]
    bench.report.ratio(f"fsync {SLOW_MS} ms slower / as it is, c={at}", rated[1] / rated[0], 0.8)


def measure_growth(bench):
    """The same load as the number of payments grows, in one store."""
    if not bench.plan.growth:
        return
    at, rates = min(64, bench.plan.connections[-1]), {}
    house = bench.house(0)
    for payments in bench.plan.growth:
        house.fill(payments)
        house.serve()
        run = lambda: load.refunds(house, FACES, "native", at, bench.plan.seconds)
        measured = middle([run() for _ in range(bench.plan.rounds)])
        house.stop()
        lane = middle([lane_rate(house, "lane", bench.plan.lane_refunds, 64) for _ in range(bench.plan.rounds)])
        told = {key: measured[key] for key in ("rate", "p50", "p99")}
        bench.report.add("Growth, native, c=64", f"{payments:,} payments", **told, lane=lane["rate"])
        rates[payments] = measured["rate"]
    most, million = max(rates), min(1_000_000, max(rates))
    if most > million:
        bench.report.ratio(f"rate at {most:,} payments / at {million:,}", rates[most] / rates[million], 0.7)
    house.remove()


def measure_needs(bench, house, idle, loaded):
    """What the process and its file need."""
    report = bench.report
    report.add("Needs", "start to first answer, ms", value=house.start_ms)
    report.add("Needs", "memory idle, MiB", value=idle["RssAnon"])
    report.add("Needs", "memory under load, MiB", value=loaded["RssAnon"])
    report.ratio("start to first answer, ms", house.start_ms, 50, True)
    report.ratio("memory idle, MiB", idle["RssAnon"], 25, True)
    report.ratio("memory under load, MiB", loaded["RssAnon"], 150, True)
    report.add("Needs", "log at its longest, MiB", value=house.log_max / 2**20)
    report.ratio("log at its longest, MiB", house.log_max / 2**20, 250, True)
    refunds, size = house.refunds(), house.file_bytes()
    house.lane("lane", bench.plan.lane_refunds, 64)
    each = (house.file_bytes() - size) / (house.refunds() - refunds)
    report.add("Needs", "file for each refund, bytes", value=each)
    report.ratio("file for each refund, bytes", each, 400, True)


def run(bench):
    yardsticks = measure_postgres(bench)
    house = bench.house(bench.plan.payments)
    call = [bench.programs / "requite-speed", "reference", "--listen", "127.0.0.1:0"]
    reference = Server(call, bench.folder)
    server = house.serve()
    house.start_ms = server.start_ms
    time.sleep(0.3)
    idle = server.memory()
    measure_http(bench, house, reference, yardsticks)
    house.log_max = house.log_bytes()
    reference.stop()
    if bench.plan.rounds > 0 and bench.plan.payments > 1_000:
        measure_hot(bench, house)
    house.log_max = max(house.log_max, house.log_bytes())
    loaded = server.memory()
    house.stop()
    measure_lane(bench, house)
    measure_needs(bench, house, idle, loaded)
    if bench.plan.payments > 1_000:
        measure_slow_disk(bench, house)
    house.requite("verify")
    house.remove()
    measure_phases(bench)
    measure_growth(bench)


def main():
    parser = argparse.ArgumentParser(prog="./bench", description="Measures Requite, side by side in one run.")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="small sizes, about three minutes")
    size.add_argument("--smoke", action="store_true", help="only whether it still works: figures mean nothing")
    parser.add_argument("--programs", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, required=True, help="folder for the table and the plot")
    parser.add_argument("--rounds", type=int, help="how often each cell is measured")
    parser.add_argument("--payments", type=int, help="payments in the store, and no growth beyond them")
    line = parser.parse_args()
    name = "smoke" if line.smoke else "quick" if line.quick else "full"
    plan = PLANS[name]
    if line.payments:
        growth = tuple(size for size in plan.growth if size < line.payments)
        plan = replace(plan, payments=line.payments, growth=growth)
    plan = replace(plan, rounds=line.rounds or plan.rounds)
    report = Report(line.out, f"Requite under load ({name} run, {plan.payments:,} payments)")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="requite-bench-") as folder:
        run(Bench(plan, line.programs.resolve(), Path(folder), report))
    report.write()
    print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
