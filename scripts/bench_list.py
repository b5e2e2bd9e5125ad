"""How long an operator waits in front of a long queue: the first page, the summary, whole lists,
and a change of all of it. The queue is made by an example of puerto-spool, and nothing of it is
due meanwhile.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import time

from bench import Store
from peers import RECORDS, Puerto, Unbound, World

ROOT = pathlib.Path(__file__).resolve().parent.parent
FILL = os.environ.get("PUERTO_FILL", str(ROOT / "target/release/examples/fill_queue"))


def first_line(puerto, *arguments):
    """Seconds until the first line of a command's output is there."""
    command = [puerto.binary, "--config", str(puerto.configuration), *arguments]
    began = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        took = time.monotonic() - began
        process.stdout.close()
    return took


def whole(puerto, *arguments):
    """Seconds until a command has ended, and how many lines it wrote to a file."""
    target = puerto.folder / "listed"
    command = [puerto.binary, "--config", str(puerto.configuration), *arguments]
    began = time.monotonic()
    with target.open("wb") as out:
        subprocess.run(command, stdout=out, check=True)
    took = time.monotonic() - began
    with target.open("rb") as lines:
        return took, sum(1 for _ in lines)


def measure(world, options):
    Unbound(world, RECORDS)
    store = Store(world, options.store)
    puerto = Puerto(world, sections=store.section(), start=False)
    spool = puerto.folder / "state" / "spool"
    spool.parent.mkdir(parents=True, exist_ok=True)
    print(subprocess.run([FILL, str(spool), str(options.count)], check=True, text=True,
                         stdout=subprocess.PIPE).stdout, end="", flush=True)
    if store.database:
        began = time.monotonic()
        puerto.command("store", "copy", "segments", "postgres", timeout=14_400)
        store.database.sql("VACUUM ANALYZE", "puerto")
        print(f"store copy: {time.monotonic() - began:.0f} s", flush=True)
    began = time.monotonic()
    puerto.start()
    print(f"start: {time.monotonic() - began:.2f} s", flush=True)
    for name, arguments in [("first line of queue list", ["queue", "list"]),
                            ("first line of mailq", ["mailq"])]:
        rounds = [first_line(puerto, *arguments) for _ in range(options.rounds)]
        print(f"{name}: {statistics.median(rounds) * 1000:.0f} ms", flush=True)
    for name, arguments in [("queue summary", ["queue", "summary"]),
                            ("queue summary --class greylisted",
                             ["queue", "summary", "--class", "greylisted"])]:
        rounds = [whole(puerto, *arguments)[0] for _ in range(options.rounds)]
        print(f"{name}: {statistics.median(rounds):.2f} s", flush=True)
    for arguments in (["queue", "list"], ["--lang", "es", "queue", "list"],
                      ["queue", "list", "--json"], ["mailq"],
                      ["queue", "list", "--class", "greylisted"]):
        took, lines = whole(puerto, *arguments)
        print(f"{' '.join(arguments)}: {took:.2f} s, {lines} lines, {lines / took:.0f} lines/s",
              flush=True)
    for change in ("hold", "release"):
        took, _ = whole(puerto, "queue", change, "--all", "--yes")
        print(f"queue {change} --all: {took:.1f} s, {options.count / took:.0f} messages/s", flush=True)
    status = pathlib.Path(f"/proc/{puerto.process.pid}/status").read_text()
    print(next(line for line in status.splitlines() if line.startswith("VmHWM")))


def main():
    options = argparse.ArgumentParser()
    options.add_argument("what", choices=["list"])
    options.add_argument("--count", type=int, default=1_000_000)
    options.add_argument("--store", choices=["files", "postgres"], default="files")
    options.add_argument("--rounds", type=int, default=3)
    options = options.parse_args()
    world = World()
    try:
        measure(world, options)
    finally:
        world.close()


if __name__ == "__main__":
    main()
