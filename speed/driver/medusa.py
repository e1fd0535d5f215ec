"""Refunds a second of any server that speaks Medusa's admin API, a real Medusa or Requite's face of it:

    python3 speed/driver/medusa.py URL-OF-ADMIN HEADER FILE-OF-PAYMENT-IDS [SECONDS [BODY]]

The header says who asks: `Authorization: Bearer ...`. The body is Medusa v2's unless it is given; Medusa v1
wants a reason as well: `{"amount":1,"reason":"other"}`. docs/performance.md tells how to start one.
"""

import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
CONNECTIONS = (1, 16, 64)
# A cent of a payment.
BODY = '{"amount":0.01}'


def measure(url, header, ids, seconds, connections, body=BODY):
    """Refunds a second, and what wrk says of failures."""
    call = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", HERE / "listed.lua"]
    path = re.sub("^https?://[^/]+", "", url) + "/payments/{ID}/refund"
    call += [url, "--", ids, path, body, header, "Content-Type: application/json"]
    done = subprocess.run([str(word) for word in call], text=True, capture_output=True, check=True)
    rate = float(re.search(r"Requests/sec:\s+([0-9.]+)", done.stdout)[1])
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", done.stdout)
    broken = re.search(r"Socket errors: .*", done.stdout)
    return rate, [found[0] for found in (failed, broken) if found]


def main():
    if len(sys.argv) not in (4, 5, 6):
        sys.exit(__doc__)
    url, header, ids = sys.argv[1].rstrip("/"), sys.argv[2], sys.argv[3]
    seconds = int(sys.argv[4]) if len(sys.argv) > 4 else 10
    body = sys.argv[5] if len(sys.argv) > 5 else BODY
    for connections in CONNECTIONS:
        rate, failures = measure(url, header, ids, seconds, connections, body)
        if failures:
            sys.exit(f"c={connections}: not every request succeeded: {failures}")
        print(f"c={connections}: {rate:.0f} refunds a second", flush=True)


if __name__ == "__main__":
    main()
