"""Several machines, each in a network namespace of its own: nodes of one queue and their
database. All have a leg in the network of the database, the nodes one in the Internet,
too, where a resolver and the recipient are. A leg can be cut."""

import contextlib
import glob
import json
import os
import pathlib
import shutil
import subprocess
import threading
import urllib.error
import urllib.request

from load import Sender, copies_of
from peers import UNPRIVILEGED, Process, Skipped, Unbound, final_postfix, listens, run, wait_for

INSIDE, OUTSIDE = "10.77.1", "10.77.2"
RESOLVER, RECIPIENT = f"{OUTSIDE}.53", f"{OUTSIDE}.30"
OWNER = "postgres"
PASSWORD = "correct horse"
# A dead node's mail goes out from another within so many seconds, by default.
TAKEN_OVER_WITHIN = 30


def server_programs():
    """The folder of PostgreSQL's programs."""
    folders = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
    if not folders:
        raise Skipped("PostgreSQL is not installed")
    return pathlib.Path(folders[-1])


def kill_with_children(pid):
    children = run("pgrep", "--parent", str(pid), check=False).stdout.decode().split()
    for each in [str(pid), *children]:
        run("kill", "-9", each, check=False)


class Networks:
    """Both networks, and in the Internet what a sender needs."""

    def __init__(self, world):
        for number, (name, prefix) in enumerate((("inside", INSIDE), ("outside", OUTSIDE))):
            # Otherwise it changes with the legs, and who knows the old one is not heard.
            run("ip", "link", "add", name, "address", f"02:00:00:00:00:0{number}", "type", "bridge")
            run("ip", "address", "add", f"{prefix}.1/24", "dev", name)
            run("ip", "link", "set", name, "up")
        for address in (RESOLVER, RECIPIENT):
            run("ip", "address", "add", f"{address}/32", "dev", "outside")
        self.resolver = Unbound(world, [
            "example.net. IN MX 10 mx.example.net.",
            f"mx.example.net. IN A {RECIPIENT}",
            # Takes no connection, ever: mail for it stays in the queue.
            "example.org. IN MX 10 silent.example.org.",
            f"silent.example.org. IN A {RECIPIENT[:-2]}31",
        ], address=RESOLVER)
        self.final = final_postfix(world, RECIPIENT, smtpd_client_connection_count_limit="0",
                                   smtpd_client_connection_rate_limit="0")
        world.add(self)

    def stop(self):
        for name in ("inside", "outside"):
            run("ip", "link", "delete", name, check=False)


class Host:
    """A machine: a namespace that a process holds, with a leg in each network that it has
    a number in."""

    def __init__(self, world, name, number, networks=("inside", "outside")):
        self.name, self.number = name, number
        self.holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        here = os.readlink("/proc/self/ns/net")
        wait_for(f"the namespace of {name}", lambda: self.namespace() not in (None, here))
        world.add(self)
        self.run("ip", "link", "set", "lo", "up")
        for network, prefix in (("inside", INSIDE), ("outside", OUTSIDE)):
            if network in networks:
                ours = f"{name}-{network[:3]}"
                run("ip", "link", "add", ours, "type", "veth", "peer", "name", network,
                    "netns", str(self.holder.pid))
                run("ip", "link", "set", ours, "master", network, "up")
                self.run("ip", "address", "add", f"{prefix}.{number}/24", "dev", network)
                self.run("ip", "link", "set", network, "up")

    def namespace(self):
        try:
            return os.readlink(f"/proc/{self.holder.pid}/ns/net")
        except OSError:
            return None

    @property
    def inside(self):
        return f"{INSIDE}.{self.number}"

    @property
    def outside(self):
        return f"{OUTSIDE}.{self.number}"

    def within(self, *command):
        """The command as this machine runs it."""
        return ["nsenter", f"--net=/proc/{self.holder.pid}/ns/net", *map(str, command)]

    def run(self, *command, **options):
        return run(*self.within(*command), **options)

    def cut(self, network):
        """Pulls the cable of a network."""
        run("ip", "link", "set", f"{self.name}-{network[:3]}", "down")

    def mend(self, network):
        run("ip", "link", "set", f"{self.name}-{network[:3]}", "up")

    def stop(self):
        # With the namespace they would go only some time later.
        for network in ("inside", "outside"):
            run("ip", "link", "delete", f"{self.name}-{network[:3]}", check=False)
        self.holder.kill()
        self.holder.wait()


class Database(Process):
    """A PostgreSQL server on a machine of its own, with a user and a database `puerto`."""

    def __init__(self, world, host, **settings):
        self.host, self.programs = host, server_programs()
        self.folder = world.folder / host.name
        self.folder.mkdir(mode=0o755)
        shutil.chown(self.folder, OWNER, OWNER)
        self.data = self.folder / "data"
        self.as_owner(self.programs / "initdb", "--pgdata", self.data, "--auth-local=trust",
                      "--auth-host=scram-sha-256", "--no-instructions", "--encoding=UTF8")
        with open(self.data / "pg_hba.conf", "a") as file:
            file.write(f"host all all {INSIDE}.0/24 scram-sha-256\n")
        settings = {"listen_addresses": f"'{host.inside}'", "fsync": "on",
                    "unix_socket_directories": f"'{self.folder}'"} | settings
        with open(self.data / "postgresql.conf", "a") as file:
            file.writelines(f"{key} = {value}\n" for key, value in settings.items())
        self.start()
        self.sql(f"CREATE ROLE puerto LOGIN PASSWORD '{PASSWORD}'")
        self.sql("CREATE DATABASE puerto OWNER puerto")
        world.add(self)

    def as_owner(self, *command, **options):
        return self.host.run("setpriv", f"--reuid={OWNER}", f"--regid={OWNER}", "--init-groups",
                             *command, cwd=self.folder, **options)

    def start(self):
        self.start_process(
            self.host.within("setpriv", f"--reuid={OWNER}", f"--regid={OWNER}", "--init-groups",
                             self.programs / "postgres", "-D", self.data),
            self.folder / "log", cwd=self.folder)
        wait_for("PostgreSQL", lambda: self.is_ready())

    def is_ready(self):
        return self.as_owner(self.programs / "pg_isready", "--quiet", "--host", self.folder,
                             check=False).returncode == 0

    def sql(self, text, database="postgres"):
        done = self.as_owner("psql", "--host", self.folder, "--dbname", database, "--quiet",
                             "--tuples-only", "--no-align", "--command", text)
        return done.stdout.decode().strip()

    def kill(self):
        """All of it at once, as if the power had gone."""
        kill_with_children(self.process.pid)
        self.process.wait()

    def stop(self):
        # Does not wait for clients.
        if self.process.poll() is None:
            self.process.send_signal(2)
            self.process.wait(40)


class Etcd(Process):
    """Where Patroni agrees who leads."""

    def __init__(self, world, host):
        self.host, self.url = host, f"http://{host.inside}:2379"
        peer = f"http://{host.inside}:2380"
        self.start_process(host.within(
            "etcd", "--data-dir", world.folder / "etcd", "--name", "one",
            "--listen-client-urls", self.url, "--advertise-client-urls", self.url,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
            "--initial-cluster", f"one={peer}"), world.folder / "etcd.log")
        wait_for("etcd", lambda: listens(host.inside, 2379))
        world.add(self)


class Patroni(Process):
    """One of several PostgreSQL servers of which Patroni lets one lead; a standby has
    everything before a commit is answered."""

    def __init__(self, world, host, etcd):
        self.host, self.folder = host, world.folder / host.name
        self.folder.mkdir(mode=0o755)
        shutil.chown(self.folder, OWNER, OWNER)
        self.configuration = self.folder / "patroni.json"
        entry = f"host all all {INSIDE}.0/24 scram-sha-256"
        self.configuration.write_text(json.dumps({
            "scope": "puerto", "name": host.name,
            "restapi": {"listen": f"{host.inside}:8008", "connect_address": f"{host.inside}:8008"},
            "etcd3": {"host": f"{etcd.host.inside}:2379"},
            "bootstrap": {
                "dcs": {"ttl": 20, "loop_wait": 2, "retry_timeout": 5, "synchronous_mode": True,
                        "maximum_lag_on_failover": 1048576},
                "initdb": [{"encoding": "UTF8"}, "data-checksums"]},
            "postgresql": {
                "listen": f"{host.inside}:5432", "connect_address": f"{host.inside}:5432",
                "data_dir": str(self.folder / "data"), "bin_dir": str(server_programs()),
                "pgpass": str(self.folder / "pgpass"), "use_pg_rewind": True,
                # Otherwise the standby waits minutes for the primary's next checkpoint.
                "basebackup": [{"checkpoint": "fast"}],
                "pg_hba": [entry, f"host replication all {INSIDE}.0/24 scram-sha-256",
                           "local all all trust"],
                "parameters": {"unix_socket_directories": str(self.folder), "wal_log_hints": "on",
                               "max_connections": 100},
                "authentication": {
                    "superuser": {"username": OWNER, "password": PASSWORD},
                    "replication": {"username": "replicator", "password": PASSWORD},
                    "rewind": {"username": "rewinder", "password": PASSWORD}}}}))
        world.add(self)
        self.start()

    def start(self):
        self.start_process(
            self.host.within("setpriv", f"--reuid={OWNER}", f"--regid={OWNER}", "--init-groups",
                             "patroni", self.configuration),
            self.folder / "log", cwd=self.folder)

    def state(self):
        """What Patroni says of it: `role`, `state`, `sync_standby` …"""
        try:
            with urllib.request.urlopen(f"http://{self.host.inside}:8008/patroni", timeout=2) as page:
                return json.load(page)
        except urllib.error.HTTPError as answer:
            return json.load(answer)
        except OSError:
            return {}

    def leads(self):
        state = self.state()
        return state.get("role") in ("master", "primary") and state.get("state") == "running"

    def is_synchronous(self):
        return self.state().get("sync_standby") is True

    def sql(self, text, database="postgres"):
        done = self.host.run(
            "psql", "--host", self.folder, "--username", OWNER, "--dbname", database, "--quiet",
            "--tuples-only", "--no-align", "--command", text)
        return done.stdout.decode().strip()

    def kill(self):
        """Patroni and all of PostgreSQL at once, as if the power had gone."""
        self.process.kill()
        self.process.wait()
        file = self.folder / "data" / "postmaster.pid"
        if file.exists():
            kill_with_children(file.read_text().split()[0])
            file.unlink()

    def stop(self):
        # Nothing of it is worth waiting for.
        self.kill()


def patroni(world, count=2):
    """So many PostgreSQL servers below Patroni, the first in the lead."""
    etcd = Etcd(world, Host(world, "etcd", 5, ("inside",)))
    first = Patroni(world, Host(world, "db1", 11, ("inside",)), etcd)
    wait_for("a leader", first.leads, 60)
    first.sql(f"CREATE ROLE puerto LOGIN PASSWORD '{PASSWORD}'")
    first.sql("CREATE DATABASE puerto OWNER puerto")
    others = [Patroni(world, Host(world, f"db{n}", 10 + n, ("inside",)), etcd)
              for n in range(2, count + 1)]
    wait_for("a synchronous standby", lambda: any(o.is_synchronous() for o in others), 90)
    return [first, *others]


class Node(Process):
    """A daemon that has its queue in the database."""

    def __init__(self, world, host, databases, sections="", start=True, environment=None):
        self.host, self.name, self.binary = host, host.name, os.environ["PUERTO_BINARY"]
        self.folder = world.folder / host.name
        self.folder.mkdir(mode=0o755)
        self.configuration, self.mail_log = self.folder / "puerto.toml", self.folder / "mail.log"
        password = self.folder / "password"
        password.write_text(PASSWORD + "\n")
        password.chmod(0o600)
        shutil.chown(password, UNPRIVILEGED)
        hosts = ",".join(databases)
        self.configuration.write_text(
            f'hostname = "{host.name}.example.com"\ndomains = ["example.com"]\n'
            f'trusted_networks = ["127.0.0.0/8", "{OUTSIDE}.0/24"]\n'
            f'state_dir = "{self.folder}/state"\nrun_dir = "{self.folder}/run"\n'
            f'user = "{UNPRIVILEGED}"\nlog = "postfix"\nlog_to = "{self.mail_log}"\n'
            f'[listen]\nsmtp = ["{host.outside}:25"]\n'
            f'[store]\nurl = "postgres://puerto@{hosts}/puerto?sslmode=disable"\n'
            f'password_file = "{password}"\nnode = "{host.name}"\n'
            f'[dns]\nservers = ["{RESOLVER}:53"]\n[dkim]\ndirectory = "{self.folder}/dkim"\n'
            f'[delivery]\nallow_private = true\n{sections}')
        self.environment = os.environ | (environment or {})
        world.add(self)
        if start:
            self.start()

    def start(self):
        self.start_process(
            self.host.within(self.binary, "serve", "--migrate", "--config", self.configuration),
            self.folder / "output", env=self.environment)
        wait_for(self.name, lambda: self.alive() and listens(self.host.outside, 25), 30)

    def alive(self):
        if self.process.poll() is not None:
            raise AssertionError(
                f"{self.name} ended with {self.process.returncode}:\n{self.text()}")
        return True

    def kill(self):
        self.process.kill()
        self.process.wait()

    def command(self, *arguments, **options):
        return self.host.run(self.binary, *arguments, "--config", self.configuration, **options)

    def ids(self):
        """What is queued, as this node shows it."""
        lines = self.command("queue", "list", "--json").stdout.splitlines()
        return [line for line in lines if line.strip()]

    def log(self):
        return self.mail_log.read_text(errors="replace") if self.mail_log.exists() else ""


class Account:
    """What clients were told, held against what arrived."""

    def __init__(self, networks, addresses, messages, clients=10, to="you@example.net",
                 rate=None):
        """`rate`: messages a second of all clients together at most."""
        self.final, self.messages = networks.final, messages
        self.acknowledged, self.unanswered, self.excused = [], [], 0
        self.senders = [
            Sender(addresses[c % len(addresses):] + addresses[:c % len(addresses)],
                   range(c, messages, clients), self.acknowledged, self.unanswered, to,
                   clients / rate if rate else 0.0)
            for c in range(clients)]
        for sender in self.senders:
            sender.start()

    def excuse(self, in_flight):
        """So many messages were on their way at a node that was killed or cut off."""
        self.excused += in_flight

    def sending(self):
        return any(sender.is_alive() for sender in self.senders)

    def missing(self):
        """What was acknowledged and has not arrived."""
        return sorted(set(self.acknowledged) - set(copies_of(self.final.messages())))

    def settle(self, nodes, seconds=120):
        """Waits until all have arrived and the queue is empty, and draws the balance."""
        for sender in self.senders:
            sender.join(seconds)
        assert not self.sending(), "the clients were never done"
        wait_for(f"{self.messages} messages (there are {self.final.count()})",
                 lambda: self.final.count() >= self.messages, seconds)
        wait_for("the queue to be empty", lambda: not nodes[0].ids(), seconds)
        # Second copies may have made up the number, while the recipient still has others in hand.
        with contextlib.suppress(AssertionError):
            wait_for("all of them", lambda: not self.missing(), seconds)
        lost = self.missing()
        assert not lost, f"{len(lost)} acknowledged messages never arrived, such as {lost[:5]}"
        copies = copies_of(self.final.messages())
        extra = sum(copies.values()) - len(copies)
        allowed = len(self.unanswered) + self.excused
        assert extra <= allowed, f"{extra} copies too many, {allowed} would be excusable"
        return (f"{len(self.acknowledged)} acknowledged, {len(self.unanswered)} unanswered, "
                f"{extra} second copies, 0 lost")


def nodes_on(world, databases, count):
    """So many nodes on a database, which is at these addresses."""
    made = [Node(world, Host(world, f"node{number}", 20 + number), databases,
                 '[queue]\nretry = ["2s"]\n', start=False) for number in range(1, count + 1)]
    # Each makes the tables if they are not there, all at once.
    starts = [threading.Thread(target=node.start) for node in made]
    for start in starts:
        start.start()
    for start in starts:
        start.join()
    for node in made:
        node.alive()
    return made


def cluster(world, nodes, **settings):
    """A database and so many nodes on it."""
    networks = Networks(world)
    database = Database(world, Host(world, "database", 10, ("inside",)), **settings)
    return networks, database, nodes_on(world, [database.host.inside], nodes)
