"""The driver of ./bench: builds stores, runs the server under load, and writes down what it measured.

Everything that is compared is measured in one run, round by round, so that a change of the machine's mood
meets all of it. Start at `run`; what is measured is one function each, in `measure.py`.
"""

import argparse
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import measure
import postgres
from house import FACES, PostgresHouse, SqliteHouse
from report import Report


@dataclass
class Plan:
    """How much is measured."""

    payments: int
    # Payments in a store that grows; none: it is not measured.
    growth: tuple
    connections: tuple
    seconds: int
    rounds: int
    lane_refunds: int
    # pgbench's scale factor.
    scale: int
    # Refunds in an old store, which is compared with a fresh one.
    aged: int
    faces: tuple = tuple(FACES)
    # Faces that are also measured on one hot payment.
    hot: tuple = tuple(FACES)
    lane_batches: tuple = (1, 16, 64, 256)
    # Whether all faces are measured at every number of connections, or only the first of them.
    is_whole: bool = True


GROWTH = (10_000, 100_000, 1_000_000, 5_000_000)
PLANS = {
    "smoke": Plan(400, (), (4,), 1, 1, 200, 1, 300, ("native", "mpg"), ("mpg",), (16,)),
    "quick": Plan(20_000, (), (1, 16, 64), 1, 1, 4_000, 5, 20_000),
    "targets": Plan(
        1_000_000, (), (64, 256), 3, 3, 20_000, 50, 1_000_000,
        hot=("native", "medusa-v2", "mpg"), lane_batches=(64, 256), is_whole=False,
    ),
    "full": Plan(1_000_000, GROWTH, (1, 16, 64, 256), 4, 3, 30_000, 50, 1_000_000),
}


class Bench:
    def __init__(self, plan, programs, folder, report, cluster):
        self.plan = plan
        self.programs = programs
        self.folder = folder
        self.report = report
        # `None`: there is no PostgreSQL here.
        self.cluster = cluster
        self.houses = 0

    def house(self, payments, connector="manual", is_shared=False):
        """A store with payments: on SQLite, or on PostgreSQL."""
        self.houses += 1
        folder = self.folder / f"house{self.houses}"
        if is_shared:
            house = PostgresHouse(self.programs, folder, self.cluster, connector)
        else:
            house = SqliteHouse(self.programs, folder, connector)
        house.fill(payments)
        return house

    def houses_of_each(self, payments, connector="manual"):
        """One on every database that is here."""
        kinds = [False] if self.cluster is None else [False, True]
        with ThreadPoolExecutor() as pool:
            return list(pool.map(lambda kind: self.house(payments, connector, kind), kinds))

    def rounds(self, cells):
        """Measures each cell once a round; answers the median of each by its name."""
        found = {name: [] for name in cells}
        for _ in range(self.plan.rounds):
            for name, cell in cells.items():
                found[name].append(cell())
        return {name: middle(values) for name, values in found.items()}


def middle(values):
    """The median of each number of several measurements."""
    return {name: statistics.median(value[name] for value in values) for name in values[0]}


def run(bench):
    plan, report = bench.plan, bench.report
    began = time.monotonic()

    def told(what):
        print(f"[{time.monotonic() - began:.0f} s] {what}", flush=True)

    told("filling")
    houses = bench.houses_of_each(plan.payments)
    first = houses[0]
    fresh = first.twin("fresh") if plan.aged else None
    twins = [(house.twin("lane"), house.twin("rows")) for house in houses]
    empty_bytes = {house.store: house.file_bytes() for house in houses}
    told("needs")
    measure.needs(bench, first)
    told("every face over HTTP")
    for house in houses:
        house.serve()
    measure.http(bench, houses)
    told("a hot payment")
    measure.hot(bench, houses)
    measure.load_needs(bench, first)
    for house in houses:
        house.stop()
    if plan.payments > 1_000:
        told("a slow disk")
        measure.slow_disk(bench, houses)
    if plan.aged:
        told("an old store")
        measure.aged(bench, first, fresh, empty_bytes)
        fresh.remove()
    if plan.is_whole:
        told("verifying")
        for house in houses:
            house.requite("verify")
    for house in houses:
        house.remove()
    told("the lane without HTTP")
    for house, loop_house in twins:
        measure.lane(bench, house, loop_house)
        measure.file_needs(bench, house)
        house.remove()
        loop_house.remove()
    told("one commit and two")
    measure.phases(bench)
    if plan.growth:
        told("growth")
        measure.growth(bench)
    report.write()
    told("done")


def main():
    parser = argparse.ArgumentParser(prog="./bench", description="Measures Requite, side by side in one run.")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="small sizes, some minutes: the shape, not the figures")
    size.add_argument("--targets", action="store_true", help="only what the targets need, in a quarter of an hour")
    size.add_argument("--smoke", action="store_true", help="only whether it still works: figures mean nothing")
    parser.add_argument("--programs", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, required=True, help="folder for the table and the plot")
    parser.add_argument("--rounds", type=int, help="how often each cell is measured")
    parser.add_argument("--payments", type=int, help="payments in the store, and no growth beyond them")
    line = parser.parse_args()
    names = [name for name in ("smoke", "quick", "targets") if getattr(line, name)]
    name = names[0] if names else "full"
    plan = PLANS[name]
    if line.payments:
        growth = tuple(size for size in plan.growth if size < line.payments)
        aged = min(plan.aged, line.payments)
        plan = replace(plan, payments=line.payments, growth=growth, aged=aged)
    plan = replace(plan, rounds=line.rounds or plan.rounds)
    report = Report(line.out, f"Requite under load ({name} run, {plan.payments:,} payments)")
    cluster = postgres.cluster()
    try:
        with tempfile.TemporaryDirectory(prefix="requite-bench-") as folder:
            run(Bench(plan, line.programs.resolve(), Path(folder), report, cluster))
    finally:
        if cluster:
            cluster.remove()


if __name__ == "__main__":
    sys.exit(main())
