"""The yardsticks on PostgreSQL that anyone can run again, on a durable throw-away cluster.

P is pgbench's own TPC-B, prepared. N is what is usually built: a transaction for each refund, with a
statement for each thing it does, seven round trips in all; here without HTTP in front of it, which makes
it a little faster than a server that works so.
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
SCHEMA = """
create table balance (payment bigint primary key, captured bigint not null, refunded bigint not null,
    check (refunded <= captured));
insert into balance select n, 1000000000, 0 from generate_series(1, {payments}) n;
create table key (hash uuid primary key, refund uuid not null, at timestamptz not null);
create table refund (id uuid primary key, payment bigint not null, amount bigint not null,
    status text not null, at timestamptz not null);
create index refund_payment on refund (payment);
create table ledger (refund uuid, line int, account text, amount bigint, primary key (refund, line));
create table event (payment bigint, at timestamptz, refund uuid, kind text);
create index event_payment on event (payment);
vacuum analyze;
"""
REFUND = """
\\set payment random(1, {payments})
begin;
with new as (select gen_random_uuid() id) insert into key select id, id, now() from new returning refund \\gset
update balance set refunded = refunded + 1 where payment = :payment and refunded < captured;
insert into refund values (:refund, :payment, 1, 'succeeded', now());
insert into ledger values (:refund, 0, 'refundable', -1), (:refund, 1, 'refunded', 1);
insert into event values (:payment, now(), :refund, 'succeeded');
commit;
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
        data = self.folder / "data"
        self.run("initdb", "-D", data, "-U", "bench", "--auth=trust", "--no-sync")
        settings = ["listen_addresses=", f"unix_socket_directories={self.folder}", "shared_buffers=256MB"]
        call = [self.bin / "postgres", "-D", data]
        for setting in [*settings, "max_wal_size=4GB"]:
            call += ["-c", setting]
        self.log = (self.folder / "log").open("w")
        self.server = subprocess.Popen(call, stdout=self.log, stderr=self.log, **self.who())
        until = time.monotonic() + READY_WITHIN_MAX_S
        while self.run("psql", "-c", "select 1", database="postgres", check=False).returncode:
            if time.monotonic() > until:
                raise RuntimeError((self.folder / "log").read_text())
            time.sleep(0.1)

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

    def rate(self, seconds, *words):
        """Transactions a second."""
        told = self.run("pgbench", "-n", "-M", "prepared", *CLIENTS, "-T", seconds, *words, database="postgres")
        return float(re.search(r"^tps = ([0-9.]+)", told.stdout, re.MULTILINE)[1])

    def remove(self):
        self.server.terminate()
        self.server.wait(READY_WITHIN_MAX_S)
        self.log.close()
        shutil.rmtree(self.folder)


def measure(seconds, rounds, scale, payments):
    """The medians of N and P; `None` where there is no PostgreSQL."""
    found = programs()
    if found is None:
        return None
    cluster = Cluster(found)
    try:
        cluster.run("pgbench", "-i", "-q", "-s", scale, database="postgres")
        cluster.run("psql", "-q", "-v", "ON_ERROR_STOP=1", database="postgres", given=SCHEMA.format(payments=payments))
        script = cluster.folder / "refund.sql"
        script.write_text(REFUND.format(payments=payments))
        rates = {"N": [], "P": []}
        for _ in range(rounds):
            rates["N"].append(cluster.rate(seconds, "-f", script))
            rates["P"].append(cluster.rate(seconds))
        return {name: sorted(all_of)[len(all_of) // 2] for name, all_of in rates.items()}
    finally:
        cluster.remove()
