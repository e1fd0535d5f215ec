"""A store with a merchant and credentials, the server on it, and what its process needs."""

import copy
import json
import os
import select
import shutil
import sqlite3
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

READY_WITHIN_MAX_S = 120
STOPPED_WITHIN_MAX_S = 60
TOKEN_S = 86_400
READ_BYTES = 1 << 20

# Where each face makes a refund, how it spells a payment there, and the header that says who asks.
# `{ID}` is the payment, `{KEY}` the credential.
FACES = {
    "native": ("uuid", "/api/payments/{ID}/refunds", "Authorization: Bearer {KEY}", '{"amount":1}'),
    "medusa-v1": (
        "ulid",
        "/medusa/v1/admin/payments/pay_{ID}/refund",
        "x-medusa-access-token: {KEY}",
        '{"amount":1,"reason":"return"}',
    ),
    "medusa-v2": (
        "ulid",
        "/medusa/v2/admin/payments/pay_{ID}/refund",
        "Authorization: Basic {KEY}",
        '{"amount":0.01}',
    ),
    "mpg": ("uuid", "/mpg/v1/orders/{ID}/refund", "Authorization: Bearer {KEY}", '{"amount":1}'),
    "gr4vy": (
        "uuid",
        "/gr4vy/transactions/{ID}/refunds",
        "Authorization: Bearer {KEY}",
        '{"amount":1}',
    ),
    "loop": (
        "ulid",
        "/loop/v1/admin/refunds",
        "Authorization: Bearer {KEY}",
        '{"charge_id":"ch_{ID}","amount_cents":1}',
    ),
}


def environment(extra=None):
    """Ours, without what would lend the server other settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("REQUITE_")}
    # One line a request is the log's default; what it costs is part of the measurement.
    return {**kept, **(extra or {})}


class Server:
    """A process that says `listening on URL`."""

    def __init__(self, call, folder, extra=None):
        began = time.monotonic()
        self.log = folder / "server.log"
        self.process = subprocess.Popen(
            call,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self.log.open("w"),
            text=True,
            env=environment(extra),
        )
        ready, _, _ = select.select([self.process.stdout], [], [], READY_WITHIN_MAX_S)
        line = self.process.stdout.readline() if ready else ""
        self.url = line.removeprefix("listening on ").strip()
        if not self.url.startswith("http"):
            self.process.kill()
            sys.exit(f"{call} did not say that it listens:\n{self.log.read_text()}")
        self.start_ms = None
        self.began = began

    def first_answer(self, path):
        """Milliseconds from the start of the process to its first answer."""
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            answer.read()
        self.start_ms = (time.monotonic() - self.began) * 1000
        return self.start_ms

    def memory(self):
        """Resident memory now, and at most so far, in MiB. Pages of mapped files are not counted."""
        found = {}
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in ("VmRSS", "VmHWM", "RssFile", "RssAnon"):
                found[name] = int(value.split()[0]) / 1024
        return found

    def cpu_s(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.process.terminate()
        self.process.wait(STOPPED_WITHIN_MAX_S)


class House:
    """A store, filled with payments, and its credentials. Where it is kept is told by what follows."""

    store = None

    def __init__(self, programs, folder, database, connector="manual"):
        self.programs = programs
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.database = database
        self.connector = connector
        self.payments = 0
        self.start = 0
        self.server = None
        self.merchant = self.requite("merchant", "create", "Speed")["id"]
        self.keys = {face: self.credential(face) for face in FACES}

    def requite(self, *words, given=None):
        call = [self.programs / "requite", *words, "--database", self.database, "--json"]
        return run(call, given)

    def credential(self, face):
        made = self.requite("key", "create", "--merchant", self.merchant, "--face", face)
        if face != "gr4vy":
            return made["token"]
        words = ["key", "token", "--private-key", "-", "--seconds", str(TOKEN_S)]
        return self.requite(*words, given=made["private_key_pem"])["token"]

    def speed(self, *words):
        call = [self.programs / "requite-speed", *words]
        call += ["--database", self.database, "--merchant", self.merchant]
        return run([str(word) for word in call])

    def fill(self, until):
        if until > self.payments:
            words = ["fill", "--from", self.payments, "--until", until]
            self.speed(*words, "--connector", self.connector)
            self.payments = until

    def lane(self, kind, refunds, batch, hot=False):
        """Refunds through the lane (`lane`), or only their rows (`rows`)."""
        words = [kind, "--payments", self.payments, "--refunds", refunds, "--batch", batch]
        words += ["--start", self.start] + (["--hot"] if hot else [])
        done = self.speed(*words)
        self.start += refunds + 1
        return done

    def serve(self, extra=None):
        call = [self.programs / "requite", "serve", "--listen", "127.0.0.1:0"]
        self.server = Server([*call, "--database", self.database], self.folder, extra)
        self.server.first_answer("/ready")
        return self.server

    def stop(self):
        self.server.stop()
        self.server = None

    def twin(self, name):
        """The same store once more, while no server has it open."""
        twin = copy.copy(self)
        twin.folder = self.folder.with_name(f"{self.folder.name}_{name}")
        twin.folder.mkdir()
        self.copy_to(twin)
        return twin

    def warm(self):
        """As if it had been read a moment ago: a machine may let go of pages that nobody wanted for minutes."""
        for path in self.files():
            with path.open("rb") as file:
                while file.read(READ_BYTES):
                    pass

    def remove(self):
        shutil.rmtree(self.folder)


class SqliteHouse(House):
    store = "SQLite"

    def __init__(self, programs, folder, connector="manual"):
        self.path = folder / "speed.db"
        super().__init__(programs, folder, f"sqlite:{self.path}", connector)

    def refunds(self):
        """How many refunds the store has."""
        connection = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)
        try:
            return connection.execute("select count(*) from refund").fetchone()[0]
        finally:
            connection.close()

    def log_bytes(self):
        log = self.path.with_name(self.path.name + "-wal")
        return log.stat().st_size if log.exists() else 0

    def file_bytes(self):
        """The store's size once its log is written back."""
        connection = sqlite3.connect(self.path)
        try:
            connection.execute("pragma wal_checkpoint(truncate)")
        finally:
            connection.close()
        return self.path.stat().st_size

    def files(self):
        return [self.path]

    def copy_to(self, twin):
        self.file_bytes()
        twin.path = twin.folder / self.path.name
        twin.database = f"sqlite:{twin.path}"
        shutil.copyfile(self.path, twin.path)


class PostgresHouse(House):
    store = "PostgreSQL"

    def __init__(self, programs, folder, cluster, connector="manual"):
        self.cluster = cluster
        self.name = folder.name
        cluster.sql("postgres", f"create database {self.name}")
        super().__init__(programs, folder, cluster.address(self.name), connector)

    def fill(self, until):
        super().fill(until)
        # As it is on a database that has run for a while.
        self.cluster.sql(self.name, "vacuum analyze; checkpoint")

    def refunds(self):
        return int(self.cluster.sql(self.name, "select count(*) from refund"))

    def log_bytes(self):
        return 0

    def file_bytes(self):
        return int(self.cluster.sql(self.name, "select pg_database_size(current_database())"))

    def files(self):
        number = self.cluster.sql("postgres", f"select oid from pg_database where datname = '{self.name}'")
        return [*(self.cluster.folder / "data" / "base" / number).iterdir()]

    def copy_to(self, twin):
        twin.name = twin.folder.name
        twin.database = self.cluster.address(twin.name)
        self.cluster.sql("postgres", f"create database {twin.name} template {self.name}")

    def remove(self):
        self.cluster.sql("postgres", f"drop database {self.name}")
        super().remove()


def run(call, given=None):
    """Runs a program that prints one JSON object."""
    done = subprocess.run(
        call, input=given, text=True, capture_output=True, env=environment(), check=False
    )
    if done.returncode != 0:
        sys.exit(f"{call}: exit code {done.returncode}\n{done.stderr}")
    return json.loads(done.stdout)
