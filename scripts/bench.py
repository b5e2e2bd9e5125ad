"""The benchmark: smtp-source → server → smtp-sink, Postfix and puerto in turn.

Both have the sink as their relayhost and everything else as it comes. The accept
rate counts until smtp-source has its last 250; the end-to-end rate until the sink
has the last message. CPU is that of the server's processes alone, those of its
database included, memory the largest sum of their proportional set sizes (PSS),
seen at every 50 ms.
"""

import argparse
import os
import pathlib
import platform
import re
import shutil
import statistics
import subprocess
import threading
import time

from cluster import PASSWORD, Database
from peers import (RECORDS, SENDER_ADDRESS, UNPRIVILEGED, Postfix, Puerto, Unbound, World, listens,
                   run, wait_for)

SINK = ("127.0.0.60", 2525)
POSTFIX_ADDRESS = "127.0.0.50"
LOADS = [(5000, 4096), (2000, 51200)]
SESSIONS = 20
IDLE_SECONDS = 10
TICKS = os.sysconf("SC_CLK_TCK")


class Here:
    """This machine as a host of the cluster's database."""
    name, inside = "database", "127.0.0.1"
    run = staticmethod(run)

    @staticmethod
    def within(*command):
        return [str(part) for part in command]


class Store:
    """Where puerto has its queues: files, or databases of one PostgreSQL as it comes, with
    another cache where asked."""

    def __init__(self, world, kind, cache="128MB"):
        self.world, self.database = world, None
        if kind == "postgres":
            self.database = Database(world, Here, shared_buffers=cache)

    def section(self, name="puerto"):
        """The configuration of an empty queue of this name."""
        if not self.database:
            return ""
        if name != "puerto":
            self.database.sql(f"CREATE DATABASE {name} OWNER puerto")
        password = self.world.folder / "password"
        password.write_text(PASSWORD + "\n")
        password.chmod(0o600)
        shutil.chown(password, UNPRIVILEGED)
        return (f'[store]\nurl = "postgres://puerto@127.0.0.1/{name}"\n'
                f'password_file = "{password}"\n')

    def processes(self):
        return [self.database.process.pid] if self.database else []

    def says(self):
        if not self.database:
            return "the queue in files"
        shown = self.database.sql("SHOW server_version").split()[0]
        commits = self.database.sql("SHOW synchronous_commit")
        return f"the queue in PostgreSQL {shown}, synchronous_commit = {commits}"


def processes_of(roots):
    """Processes and all that descend from them."""
    children = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, todo = [], list(roots)
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.get(pid, [])
    return found


def cpu_seconds(roots):
    """User and system time of the trees, their dead children's included."""
    total = 0
    for pid in processes_of(roots):
        try:
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        total += sum(int(f) for f in fields[11:15])
    return total / TICKS


def memory(roots):
    """The trees' proportional set size, in MiB."""
    total = 0
    for pid in processes_of(roots):
        try:
            for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
        except OSError:
            continue
    return total / 1024


class Peak(threading.Thread):
    """Watches the memory of process trees."""

    def __init__(self, roots):
        super().__init__(daemon=True)
        self.roots, self.value, self.ended = roots, 0.0, threading.Event()

    def run(self):
        while not self.ended.wait(0.05):
            self.value = max(self.value, memory(self.roots))

    def finish(self):
        self.ended.set()
        self.join()
        return self.value


class Sink:
    """smtp-sink, counting what it gets. Its counter is read all the while: with its pipe
    full it would take nothing more."""

    def __init__(self):
        self.process = subprocess.Popen(
            ["smtp-sink", "-u", "nobody", "-c", f"inet:{SINK[0]}:{SINK[1]}", "1024"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.tail = b""
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        wait_for("smtp-sink", lambda: listens(*SINK))

    def read(self):
        while data := os.read(self.process.stdout.fileno(), 65536):
            self.tail = (self.tail + data)[-200:]

    def count(self):
        """The message counter that smtp-sink -c keeps on its line."""
        numbers = re.findall(rb"(\d+)\s*[\r\n]", self.tail)
        return int(numbers[-1]) if numbers else 0

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.reader.join()


def send(address, count, size, to="someone@example.net", *options):
    run("smtp-source", *options, "-s", SESSIONS, "-m", count, "-l", size, "-f", "user@example.com",
        "-t", to, f"inet:{address}:25", timeout=3600)


def measure(address, roots, count, size):
    sink = Sink()
    before = cpu_seconds(roots)
    peak = Peak(roots)
    peak.start()
    started = time.monotonic()
    send(address, count, size)
    accepted = time.monotonic() - started
    wait_for("the sink to have all", lambda: sink.count() >= count, 600)
    arrived = time.monotonic() - started
    time.sleep(0.3)  # the last bookkeeping belongs to the server's CPU
    cpu = cpu_seconds(roots) - before
    result = {"accept": count / accepted, "end": count / arrived,
              "cpu": cpu / count * 1e6, "memory": peak.finish()}
    sink.stop()
    return result


def median(rows, key):
    return statistics.median(row[key] for row in rows)


def table(results, idle):
    lines = ["| load | figure | Postfix | puerto | ratio |", "| --- | --- | --- | --- | --- |"]
    names = [("accept", "accepted, messages/s", "{:.0f}"), ("end", "end to end, messages/s", "{:.0f}"),
             ("cpu", "CPU per message, µs", "{:.0f}"), ("memory", "peak memory (PSS), MiB", "{:.1f}")]
    for (count, size), rows in results.items():
        for key, name, form in names:
            postfix, puerto = median(rows["postfix"], key), median(rows["puerto"], key)
            lines.append(f"| {count} × {size // 1024} KiB | {name} | {form.format(postfix)} | "
                         f"{form.format(puerto)} | {puerto / max(postfix, 1e-9):.2f} |")
    memories = {name: figures["memory"] for name, figures in idle.items()}
    lines.append(f"| idle | memory (PSS), MiB | {memories['postfix']:.1f} | "
                 f"{memories['puerto']:.1f} | {memories['puerto'] / memories['postfix']:.2f} |")
    lines.append(f"| idle | CPU in {IDLE_SECONDS} s, ms | {idle['postfix']['cpu']:.0f} | "
                 f"{idle['puerto']['cpu']:.0f} | |")
    return "\n".join(lines)


def surroundings(world, binary, store):
    """What a reader must know of the machine to compare."""
    cpu = next((line.split(":", 1)[1].strip() for line in
                pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                if line.startswith("model name")), platform.machine())
    found = run("findmnt", "--noheadings", "--output", "FSTYPE", "--target", world.folder)
    file_system = found.stdout.decode().strip()
    postfix = run("postconf", "-h", "mail_version").stdout.decode().strip()
    puerto = run(binary, "--version").stdout.decode().strip()
    return (f"{os.cpu_count()} CPUs ({cpu}), Linux {platform.release()}, {file_system}; "
            f"Postfix {postfix}, {puerto}, {store.says()}; medians of the rounds")


def compare(world, options):
    store = Store(world, options.store)
    Unbound(world, RECORDS)
    relayhost = f"[{SINK[0]}]:{SINK[1]}"
    postfix = Postfix(world, "postfix", POSTFIX_ADDRESS, {
        "relayhost": relayhost, "smtp_bind_address": POSTFIX_ADDRESS,
        "default_process_limit": "100", "in_flow_delay": "1s"})
    puerto = Puerto(world, f'relayhost = "{relayhost}"\n', store.section())
    master = int((postfix.folder / "queue/pid/master.pid").read_text())
    roots = {"postfix": (POSTFIX_ADDRESS, [master]),
             "puerto": (SENDER_ADDRESS, [puerto.process.pid, *store.processes()])}
    time.sleep(1)
    before = {name: cpu_seconds(pids) for name, (_, pids) in roots.items()}
    time.sleep(IDLE_SECONDS)
    idle = {name: {"memory": memory(pids), "cpu": (cpu_seconds(pids) - before[name]) * 1e3}
            for name, (_, pids) in roots.items()}
    results = {}
    for load in LOADS:
        results[load] = {"postfix": [], "puerto": []}
        for number in range(options.rounds):
            for name, (address, pids) in roots.items():
                row = measure(address, pids, *load)
                results[load][name].append(row)
                print(f"{load[0]} × {load[1]}, round {number + 1}, {name}: "
                      + ", ".join(f"{k} {v:.1f}" for k, v in row.items()), flush=True)
    text = f"{surroundings(world, puerto.binary, store)}\n\n{table(results, idle)}"
    print(text)
    if options.markdown:
        options.markdown.write_text(text + "\n")


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--markdown", type=pathlib.Path)
    options.add_argument("--store", choices=["files", "postgres"], default="files")
    options = options.parse_args()
    world = World()
    try:
        compare(world, options)
    finally:
        world.close()


if __name__ == "__main__":
    main()
