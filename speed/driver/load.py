"""Load with wrk: one thread, some connections, each request a refund of its own."""

import json
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
BASE = 0x0190_0000_0000_7000_8000_0000_0000_0000
# So many equal counts in a row are the last word.
STILL = 4
DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def ulid_prefix():
    """What all payments' ids begin with, spelt as ULID: all but the last 40 bits."""
    return "".join(DIGITS[(BASE >> (5 * place)) & 31] for place in range(25, 7, -1))


def wrk(url, connections, seconds, request):
    """Runs wrk and answers what it measured: rate in requests a second, latencies in milliseconds."""
    spelling, start, payments, hot, path, body, headers = request
    call = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s"]
    call += ["-s", HERE / "refund.lua", url, "--", spelling, ulid_prefix(), start, payments]
    call += [hot, path, body, *headers]
    done = subprocess.run(
        [str(word) for word in call], text=True, capture_output=True, check=False
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0 or not lines:
        sys.exit(f"wrk: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    told = json.loads(lines[-1])
    if told["not_2xx"] or told["broken"]:
        sys.exit(f"{path} at {connections} connections: not every request succeeded: {told}")
    return {
        "requests": told["requests"],
        "rate": told["requests"] * 1e6 / told["us"],
        "p50": told["p50_us"] / 1e3,
        "p99": told["p99_us"] / 1e3,
        "max": told["max_us"] / 1e3,
    }


def refunds(house, faces, face, connections, seconds, hot=0):
    """Refunds through one face: so many (`hot`) of one payment before those of the next, or each of another. The store
    must then have as many more as succeeded, and those that were under way when wrk stopped listening."""
    spelling, path, who, body = faces[face]
    headers = [who.replace("{KEY}", house.keys[face]), "Content-Type: application/json"]
    before = house.refunds()
    request = (spelling, house.start, house.payments, hot, path, body, headers)
    measured = wrk(house.server.url, connections, seconds, request)
    made = settled(house) - before
    house.start += made + connections + 1
    if not measured["requests"] <= made <= measured["requests"] + connections:
        sys.exit(f"{face}: {measured['requests']} refunds succeeded, the store has {made}")
    return measured


def settled(house):
    """The number of refunds once it has not grown for a while: some were still under way."""
    seen = [house.refunds()]
    while len(seen) < STILL or seen[-1] != seen[-STILL]:
        time.sleep(0.1)
        seen.append(house.refunds())
    return seen[-1]
