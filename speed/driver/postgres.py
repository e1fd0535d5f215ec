"""A durable throw-away PostgreSQL cluster, and the yardsticks on it that anyone can run again.

P is pgbench's own TPC-B, prepared. N is what is usually built: a transaction for each refund, with a
statement for each thing it does, seven round trips in all. Its tables are made here; who works with them
is `requite-speed reference`, behind the same HTTP stack as the rest.
"""

import os
import pwd
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

READY_WITHIN_MAX_S = 60
CLIENTS = ["-c", "16", "-j", "2"]
# What a careful administrator changes first. fsync and synchronous_commit are on, as they come.
SETTINGS = ["listen_addresses=", "shared_buffers=256MB", "max_wal_size=4GB"]
NAIVE = """
create table balance (payment uuid primary key, captured bigint not null, refunded bigint not null,
    check (refunded <= captured));
insert into balance select ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 1000000000, 0
    from generate_series(0, {payments} - 1) n;
create table key (hash uuid primary key, refund uuid not null, at timestamptz not null);
create table refund (id uuid primary key, payment uuid not null, amount bigint not null,
    status text not null, at timestamptz not null);
create index refund_payment on refund (payment);
create table ledger (refund uuid, line int, account text, amount bigint, primary key (refund, line));
create table event (payment uuid, at timestamptz, refund uuid, kind text);
create index event_payment on event (payment);
vacuum analyze;
"""


def programs():
    """The folder with PostgreSQL's programs, or `None`."""
    names = ("initdb", "postgres", "psql", "pgbench")
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda at: int(at.parent.name))
    for folder in [*reversed(debian), *map(Path, os.environ.get("PATH", "").split(os.pathsep))]:
        if all((folder / name).is_file() for name in names):
            return folder
    return None


class Cluster:
    """Listens on a socket in a folder of its own. PostgreSQL refuses to be root."""

    def __init__(self, bin_folder):
        self.bin = bin_folder
        self.folder = Path(tempfile.mkdtemp(prefix="requite-bench-pg-"))
        self.user = None
        if os.getuid() == 0:
            self.user = pwd.getpwnam("postgres")
            os.chown(self.folder, self.user.pw_uid, self.user.pw_gid)
        self.run("initdb", "-D", self.folder / "data", "-U", "bench", "--auth=trust", "--no-sync")
        self.log = (self.folder / "log").open("w")
        self.start()

    def start(self, extra=None):
        call = [self.bin / "postgres", "-D", self.folder / "data"]
        for setting in [*SETTINGS, f"unix_socket_directories={self.folder}"]:
            call += ["-c", setting]
        env = {**os.environ, **(extra or {})}
        self.server = subprocess.Popen(call, stdout=self.log, stderr=self.log, env=env, **self.who())
        until = time.monotonic() + READY_WITHIN_MAX_S
        while self.run("psql", "-c", "select 1", database="postgres", check=False).returncode:
            if time.monotonic() > until:
                raise RuntimeError((self.folder / "log").read_text())
            time.sleep(0.1)

    def stop(self):
        """Ends all connections and writes everything down."""
        self.server.send_signal(2)
        self.server.wait(READY_WITHIN_MAX_S)

    def who(self):
        if self.user is None:
            return {"cwd": self.folder}
        return {"cwd": self.folder, "user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}

    def run(self, program, *words, database=None, check=True, given=None):
        call = [str(self.bin / program), *(str(word) for word in words)]
        if database:
            call += ["-h", str(self.folder), "-U", "bench"]
            call += ["-d", database] if program == "psql" else [database]
        done = subprocess.run(call, input=given, text=True, capture_output=True, check=False, **self.who())
        if check and done.returncode != 0:
            raise RuntimeError(f"{call}: {done.stderr}")
        return done

    def sql(self, database, text):
        """What a statement says."""
        return self.run("psql", "-XqAt", "-v", "ON_ERROR_STOP=1", database=database, given=text).stdout.strip()

    def address(self, database):
        return f"postgres://bench@{str(self.folder).replace('/', '%2F')}/{database}"

    def make_naive(self, payments):
        """The tables of N, and their database's address."""
        self.sql("postgres", "create database naive")
        self.sql("naive", NAIVE.format(payments=payments))
        return self.address("naive")

    def pgbench(self, seconds):
        """P: transactions a second. The tables must be there (`make_pgbench`)."""
        call = ["-n", "-M", "prepared", *CLIENTS, "-T", seconds]
        told = self.run("pgbench", *call, database="postgres")
        return float(re.search(r"^tps = ([0-9.]+)", told.stdout, re.MULTILINE)[1])

    def make_pgbench(self, scale):
        self.run("pgbench", "-i", "-q", "-s", scale, database="postgres")

    def remove(self):
        self.stop()
        self.log.close()
        shutil.rmtree(self.folder)


def cluster():
    """A cluster; `None` where there is no PostgreSQL."""
    found = programs()
    return Cluster(found) if found else None
