"""What a long queue costs those that are not in it, and what a busy one leaves behind.

dead: so many messages wait for a destination that refuses every connection, in a queue that
is compared, in turn, with one that is empty: how fast other mail passes through both.
bloat: so many messages pass through a queue in which some wait: how much the store takes.
"""

import argparse
import statistics
import time

from bench import SINK, Sink, Store, measure, send
from peers import RECORDS, SENDER_ADDRESS, Puerto, Unbound, World, wait_for

# Nothing listens there.
DEAD = ("dead.example", "127.0.0.61")
WAITING = 10_000
# Of one measurement.
LOAD = (5000, 4096)
SIZES = """SELECT relname, relkind, pg_relation_size(c.oid) / 1024
  + CASE WHEN relkind = 'r' THEN coalesce(pg_total_relation_size(nullif(reltoastrelid, 0)), 0) / 1024
    ELSE 0 END
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE nspname = 'puerto' AND relkind IN ('r', 'i') ORDER BY 2 DESC, 1"""


class Queues:
    """One daemon at a time, on one of several queues."""

    def __init__(self, world, kind, *names):
        self.world = world
        Unbound(self.world, RECORDS)
        self.store = Store(self.world, kind)
        route = f'[[route]]\nto = "{DEAD[0]}"\nvia = "[{DEAD[1]}]:2525"\n'
        self.puerto = Puerto(self.world, f'relayhost = "[{SINK[0]}]:{SINK[1]}"\n',
                             self.store.section(names[0]) + route, start=False)
        whole = self.puerto.configuration.read_text()
        self.files = {}
        for name in names:
            section = "" if name == names[0] else self.store.section(name)
            text = whole.replace(f"{self.puerto.folder}/state", f"{self.puerto.folder}/{name}")
            self.files[name] = text.replace(f"/{names[0]}\"\npassword", f"/{name}\"\npassword")
            assert not section or section in self.files[name]

    def run(self, name):
        self.puerto.configuration.write_text(self.files[name])
        self.puerto.start()

    def roots(self):
        return [self.puerto.process.pid, *self.store.processes()]

    def fill(self, count, size):
        send(SENDER_ADDRESS, count, size, f"someone@{DEAD[0]}", "-d")

    def multiply(self, name, times):
        """Each message so many times, under earlier ids. They are due in the next hours."""
        later = "(extract(epoch FROM now()) * 1000)::bigint + 3600000"
        for table, columns, due in [
                ("message", "common, size, recipients, parts, open, held, delay_noted, content", ""),
                ("work", "place, domain, tried, open, held, epoch, fence, ceiling, recipients, state",
                 f", {later} + k * 14400000::bigint / {times}")]:
            into = f"id, {columns}" + (", due" if due else "")
            self.store.database.sql(
                f"INSERT INTO puerto.{table} ({into}) SELECT id - k * (1000000::bigint << 15), "
                f"{columns}{due} FROM puerto.{table}, generate_series(1, {times} - 1) k", name)
        self.store.database.sql(f"UPDATE puerto.work SET due = {later}", name)
        self.store.database.sql("VACUUM ANALYZE", name)

    def make_due(self, name):
        """Everything for the dead destination, with no daemon running or by the one that is."""
        if self.store.database:
            for sql in ("UPDATE puerto.work SET due = 0", "VACUUM puerto.work"):
                self.store.database.sql(sql, name)
        else:
            self.run(name)
            self.puerto.command("queue", "retry", "--to", DEAD[0], "--yes", timeout=1800)
            self.end()

    def end(self):
        self.puerto.stop()


def dead(world, options):
    queues = Queues(world, options.store, "short", "long")
    queues.run("long")
    began = time.monotonic()
    times = 1000 if queues.store.database else 1
    queues.fill(options.count // times, 1024)
    time.sleep(5)
    queues.end()
    if times > 1:
        queues.multiply("long", times)
    print(f"{options.count} queued for {DEAD[0]} in {time.monotonic() - began:.0f} s", flush=True)
    paces = {}
    for state in ("none of it due", "all of it due"):
        rates = {"short": [], "long": []}
        for number in range(options.rounds):
            for name, rows in rates.items():
                if name == "long" and state == "all of it due":
                    queues.make_due(name)
                queues.run(name)
                time.sleep(3)
                row = measure(SENDER_ADDRESS, queues.roots(), *LOAD)
                rows.append(row)
                print(f"{state}, round {number + 1}, {name}: "
                      + ", ".join(f"{key} {value:.1f}" for key, value in row.items()), flush=True)
                queues.end()
        paces[state] = {name: statistics.median(r["end"] for r in rows) for name, rows in rates.items()}
    for state, pace in paces.items():
        print(f"{queues.store.says()}, {options.count} for a dead destination, {state}: "
              f"{pace['long']:.0f} messages/s, beside none {pace['short']:.0f}/s, "
              f"{pace['long'] / pace['short']:.2f}")


def bloat(world, options):
    queues = Queues(world, "postgres", "puerto")
    queues.run("puerto")
    queues.fill(WAITING, LOAD[1])
    sizes = []
    def look(percent):
        time.sleep(2)
        rows = queues.store.database.sql(SIZES, "puerto").splitlines()
        sizes.append((percent, {row.split("|")[0]: int(row.split("|")[2]) for row in rows}))
        total = sum(sizes[-1][1].values()) / 1024
        print(f"{percent} %: {total:.0f} MiB, {sizes[-1][1]}", flush=True)
    look(0)
    sent, began = 0, time.monotonic()
    for percent in (10, 25, 50, 75, 100):
        sink = Sink()
        wanted = options.count * percent // 100 - sent
        send(SENDER_ADDRESS, wanted, LOAD[1], "someone@example.net", "-d")
        wait_for("the sink to have all", lambda: sink.count() >= wanted, 900)
        sink.stop()
        sent += wanted
        look(percent)
    rate = sent / (time.monotonic() - began)
    print(f"{queues.store.says()}: {sent} messages at {rate:.0f}/s through a queue of {WAITING}")
    print("| KiB | " + " | ".join(f"{percent} %" for percent, _ in sizes) + " |")
    print("| --- |" + " --- |" * len(sizes))
    for name in sizes[0][1]:
        print(f"| {name} | " + " | ".join(str(size.get(name, 0)) for _, size in sizes) + " |")


def main():
    options = argparse.ArgumentParser()
    options.add_argument("what", choices=["dead", "bloat"])
    options.add_argument("--store", choices=["files", "postgres"], default="files")
    options.add_argument("--count", type=int, default=1_000_000)
    options.add_argument("--rounds", type=int, default=3)
    options = options.parse_args()
    world = World()
    try:
        {"dead": dead, "bloat": bloat}[options.what](world, options)
    finally:
        world.close()


if __name__ == "__main__":
    main()
