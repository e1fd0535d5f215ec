"""What is measured, one function each. Targets are those of docs/performance.md."""

import shutil
import statistics
import subprocess
import time
from pathlib import Path

import load
from house import FACES, Server

HERE = Path(__file__).resolve().parent
SLOW_MS = 2
STARTS = 5
SHOWN = ("rate", "p50", "p99")
# Refunds of one payment before those of the next, and what that is called.
HEAT = {0: "spread", 100: "a hundred of each payment", 2**31: "all of one payment"}


def shown(measured):
    return {name: measured[name] for name in SHOWN if name in measured}


def of_face(bench, house, face, connections, hot=0):
    return lambda: load.refunds(house, FACES, face, connections, bench.plan.seconds, hot)


def middle_connections(bench):
    """Where most is compared: 64, or the most there are."""
    return 64 if 64 in bench.plan.connections else bench.plan.connections[-1]


def needs(bench, house):
    """What a start takes on a full store, and the process that waits."""
    starts = []
    for _ in range(STARTS):
        starts.append(house.serve().start_ms)
        time.sleep(0.3)
        idle = house.server.memory()
        house.stop()
    start = statistics.median(starts)
    report = bench.report
    report.add("Needs", "start to first answer, ms", value=start)
    report.target("start to first answer, SQLite, ms", start, 200, 50, True)
    for name, what in (("VmRSS", "memory idle, MiB"), ("RssAnon", "of it not of files, MiB")):
        report.add("Needs", what, value=idle[name])
    report.target("memory idle, MiB", idle["VmRSS"], 60, 25, True)


def load_needs(bench, house):
    loaded, log = house.server.memory(), house.log_bytes()
    bench.report.add("Needs", "memory under load, not of files, MiB", value=loaded["RssAnon"])
    bench.report.ratio("memory under load, MiB", loaded["RssAnon"], 150, True)
    bench.report.add("Needs", "log at its longest, MiB", value=log / 2**20)
    bench.report.ratio("log at its longest, MiB", log / 2**20, 250, True)


def file_needs(bench, house):
    """How much longer the next refunds make the file."""
    refunds, size = house.refunds(), house.file_bytes()
    house.lane("lane", bench.plan.lane_refunds, 64)
    each = (house.file_bytes() - size) / (house.refunds() - refunds)
    bench.report.add("Needs", f"{house.store}: file for each of the last refunds, bytes", value=each)


def references(bench):
    """A server of the reference points: with N where there is PostgreSQL."""
    call = [bench.programs / "requite-speed", "reference", "--listen", "127.0.0.1:0"]
    if bench.cluster:
        bench.cluster.make_pgbench(bench.plan.scale)
        call += ["--naive", bench.cluster.make_naive(bench.plan.payments)]
    return Server(call, bench.folder)


def http(bench, houses):
    """Every face on every store and all reference points, at each number of connections. First what is compared with
    reference points: what has gone through a store makes it slower, which is measured by itself."""
    plan, reference = bench.plan, references(bench)
    drawn = iter(range(0, 1 << 40, 10_000_000))

    def refund(path, connections):
        headers = ["Authorization: Bearer none", "Content-Type: application/json"]
        # Keys of their own each time: numbers that no other run has.
        request = ("uuid", next(drawn), plan.payments, 0, path, '{"amount":1}', headers)
        return load.wrk(reference.url, connections, plan.seconds, request)

    cells, others = {}, {}
    for at in plan.connections:
        if plan.is_whole:
            hello = ("uuid", 0, 0, 0, "/hello", "", [])
            cells["hello world", at] = lambda c=at: load.wrk(reference.url, c, plan.seconds, hello)
        cells["Z", at] = lambda c=at: refund("/nothing/{ID}", c)
        if bench.cluster:
            cells["N", at] = lambda c=at: refund("/naive/{ID}", c)
        for house in houses:
            cells[f"native, {house.store}", at] = of_face(bench, house, "native", at)
            if plan.is_whole or at == plan.connections[0]:
                for face in plan.faces[1:]:
                    others[f"{face}, {house.store}", at] = of_face(bench, house, face, at)
    if bench.cluster:
        cells["P", 16] = lambda: {"rate": bench.cluster.pgbench(plan.seconds)}
    found = {**bench.rounds(cells), **bench.rounds(others)}
    reference.stop()
    titles = {
        "Z": "Z: keeps nothing",
        "N": "N: PostgreSQL, a transaction for each refund, pool of 16",
        "P": f"P: pgbench TPC-B, prepared, scale {plan.scale}, 16 clients, no HTTP",
    }
    for (name, at), measured in found.items():
        what = f"c={at}" if name == "P" else f"HTTP, c={at}"
        bench.report.add(titles.get(name, name), what, connections=at, **shown(measured))
    http_targets(bench, houses, found)


# The store's name, the yardstick's, and what native must and should reach of it.
YARDSTICKS = [
    ("SQLite", "N", 2.5, 3.5),
    ("SQLite", "P", 1.5, 2.3),
    ("SQLite", "Z", 0.15, 0.23),
    ("PostgreSQL", "N", 2, 3),
]


def http_targets(bench, houses, found):
    report, faces, middle = bench.report, bench.plan.faces, middle_connections(bench)
    wanted = [at for at in (64, 256) if at in bench.plan.connections] or [middle]
    stores = [house.store for house in houses]
    for store, name, must, good in YARDSTICKS:
        for at in wanted:
            yardstick = found.get((name, 16 if name == "P" else at))
            if yardstick is None or store not in stores:
                continue
            rate = lambda face: found[f"{face}, {store}", at]["rate"] / yardstick["rate"]
            report.target(f"{store} / {name}, c={at}", rate("native"), must, good)
            for face in faces[1:]:
                if (f"{face}, {store}", at) in found:
                    report.ratio(f"{face}, {store} / {name}, c={at}", rate(face), good)
    for store in stores:
        for face in faces:
            measured = found[f"{face}, {store}", middle]
            ratio = measured["p99"] / max(measured["p50"], 0.001)
            if face == "native":
                report.target(f"{store}: p99 / p50, c={middle}", ratio, 15, 9, True)
            else:
                report.ratio(f"{face}, {store}: p99 / p50, c={middle}", ratio, 9, True)


def hot(bench, houses):
    """All refunds of one payment, against as many of different ones. Between them: a hundred of one payment, then as
    many of the next. Some faces show all refunds of a payment in each answer, which grows with them."""
    at, cells = middle_connections(bench), {}
    for house in houses:
        for face in bench.plan.hot:
            for many in HEAT:
                cells[f"{face}, {house.store}", many] = of_face(bench, house, face, at, many)
    found = bench.rounds(cells)
    for (name, many), measured in found.items():
        bench.report.add(f"A hot payment, c={at}", f"{name}, {HEAT[many]}", **shown(measured))
        if many:
            # Where everything that is asked takes longer than a run, nothing is answered within it.
            ratio = found[name, 0]["rate"] / max(measured["rate"], 0.1)
            bench.report.ratio(f"{name}: spread / {HEAT[many]}, c={at}", ratio, 3, True)


def lane_rate(house, kind, refunds, batch, hot=False):
    done = house.lane(kind, refunds, batch, hot)
    return {"rate": done["refunds"] * 1e9 / done["ns"], "us": done["ns"] / done["refunds"] / 1e3}


# So many times the measured refunds go first through the store of a lane, whose work begins when it has some.
LANE_BEFORE = 5


def lane(bench, house, loop_house):
    """The lane without HTTP, and the loop that only writes the same rows, in a store like the lane's. The loop leaves
    a store behind that no audit may see."""
    count, batches = bench.plan.lane_refunds, bench.plan.lane_batches
    for one in (house, loop_house):
        one.warm()
        one.lane("lane", LANE_BEFORE * count, 256)
    cells = {}
    for batch in batches:
        some = max(count // 10, 50) if batch == 1 else count
        for kind, one in (("lane", house), ("rows", loop_house)):
            cells[kind, batch] = lambda h=one, k=kind, b=batch, n=some: lane_rate(h, k, n, b)
    middle = 64 if 64 in batches else batches[-1]
    cells["hot", middle] = lambda: lane_rate(house, "lane", count, middle, hot=True)
    found = bench.rounds(cells)
    titles = {"lane": "lane", "rows": "bare loop, same rows", "hot": "lane, one hot payment"}
    for (kind, batch), measured in found.items():
        bench.report.add(f"Without HTTP, {house.store}", f"{titles[kind]}, batches of {batch}", **measured)
    for batch in batches:
        if batch >= 64:
            ratio = found["lane", batch]["rate"] / found["rows", batch]["rate"]
            bench.report.ratio(f"{house.store}: lane / bare loop, batches of {batch}", ratio, 0.8)
    hot = found["lane", middle]["rate"] / found["hot", middle]["rate"]
    bench.report.ratio(f"{house.store}: lane: spread / one hot payment", hot, 3, True)


def phases(bench):
    """One commit a refund against two, with a connector that answers at once."""
    face, at = "native", middle_connections(bench)
    payments, cells, houses = min(bench.plan.payments, 50_000), {}, []
    for connector, what in (("manual", "one commit"), ("sandbox", "two commits")):
        for house in bench.houses_of_each(payments, connector):
            house.serve()
            houses.append(house)
            cells[house.store, what] = of_face(bench, house, face, at)
    found = bench.rounds(cells)
    for (store, what), measured in found.items():
        bench.report.add(f"Commits of a refund, {face}, c={at}", f"{store}, {what}", **shown(measured))
        if what == "two commits":
            ratio = measured["rate"] / found[store, "one commit"]["rate"]
            bench.report.target(f"{store}: two commits / one commit, c={at}", ratio, 0.55, 0.75)
    for house in houses:
        house.stop()
        house.remove()


def slow_disk(bench, houses):
    """Every fsync takes 2 ms longer: of the server on SQLite, and of PostgreSQL."""
    face, at = "native", bench.plan.connections[-1]
    folder = bench.cluster.folder if bench.cluster else bench.folder
    library = folder / "slow_sync.so"
    source = HERE / "slow_sync.c"
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, source], check=True)
    slow = {"LD_PRELOAD": str(library), "SLOW_SYNC_MS": str(SLOW_MS)}

    def with_disk(house, extra):
        is_shared = house.store == "PostgreSQL"
        if is_shared:
            bench.cluster.stop()
            bench.cluster.start(extra)
        house.serve(None if is_shared else extra)
        measured = of_face(bench, house, face, at)()
        house.stop()
        return measured

    cells = {}
    for house in houses:
        cells[house.store, "as it is"] = lambda h=house: with_disk(h, None)
        cells[house.store, f"{SLOW_MS} ms slower"] = lambda h=house: with_disk(h, slow)
    found = bench.rounds(cells)
    if bench.cluster:
        bench.cluster.stop()
        bench.cluster.start()
    for (store, what), measured in found.items():
        bench.report.add(f"A slow disk, {face}, c={at}", f"{store}, fsync {what}", **shown(measured))
        if what != "as it is":
            ratio = measured["rate"] / found[store, "as it is"]["rate"]
            name = f"{store}: fsync {SLOW_MS} ms slower / as it is, c={at}"
            bench.report.target(name, ratio, 0.6, 0.8)


def aged(bench, house, fresh, empty_bytes):
    """A store on SQLite with many refunds, against a fresh one of as many payments."""
    at, refunds = middle_connections(bench), bench.plan.aged
    missing = refunds - house.refunds()
    if missing > 0:
        house.lane("lane", missing, 256)
    each = (house.file_bytes() - empty_bytes[house.store]) / house.refunds()
    bench.report.add("Needs", f"SQLite: file for each of {house.refunds():,} refunds, bytes", value=each)
    bench.report.target("file for each refund, SQLite, bytes", each, 1_000, 400, True)
    cells = {}
    for name, one in (("old", house), ("fresh", fresh)):
        one.warm()
        one.serve()
        cells[name] = of_face(bench, one, "native", at)
    found = bench.rounds(cells)
    for name, one in (("old", house), ("fresh", fresh)):
        one.stop()
        bench.report.add(f"An old store, native, c={at}", name, **shown(found[name]))
    ratio = found["old"]["rate"] / found["fresh"]["rate"]
    name = f"rate with {refunds:,} refunds / with none, c={at}"
    bench.report.target(name, ratio, 0.7, 0.85)


def growth(bench):
    """The same load as the number of payments grows, in one store."""
    at, rates, plan = middle_connections(bench), {}, bench.plan
    house = bench.house(0)
    for payments in plan.growth:
        house.fill(payments)
        house.serve()
        measured = bench.rounds({"native": of_face(bench, house, "native", at)})["native"]
        house.stop()
        alone = bench.rounds({"lane": lambda: lane_rate(house, "lane", plan.lane_refunds, 64)})["lane"]
        what = f"{payments:,} payments"
        bench.report.add("Growth, native, c=64", what, **shown(measured), lane=alone["rate"])
        rates[payments] = measured["rate"]
    house.requite("verify")
    house.remove()
    most, million = max(rates), min(1_000_000, max(rates))
    if most > million:
        ratio = rates[most] / rates[million]
        bench.report.ratio(f"rate at {most:,} payments / at {million:,}", ratio, 0.7)
