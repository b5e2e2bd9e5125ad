"""How long an operator waits in front of a long queue: the first page, the summary, whole lists,
and a change of all of it. The queue is made by an example of puerto-spool, and nothing of it is
due meanwhile. And how long `puerto why` takes to find one message in a long history, which is
made of one message's that was really sent.
"""

import argparse
import os
import pathlib
import re
import shutil
import statistics
import struct
import subprocess
import time
import zlib

from bench import SINK, Sink, Store
from peers import RECORDS, UNPRIVILEGED, Puerto, Unbound, World

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


def fnv(kind, text):
    """The key under which the history has a name."""
    key = 0xcbf29ce484222325
    for octet in kind + text.lower():
        key = (key ^ octet) * 0x100000001b3 % 2**64
    return key


def multiply(folder, count):
    """Makes of the notes about one message those about so many, each from its own sender, to its
    own recipient, with its own Message-ID. All are from a sender that they have in common, too."""
    notes = []
    for file in sorted(folder.glob("*.history")):
        octets, at = file.read_bytes(), 8
        while at < len(octets):
            length, _ = struct.unpack_from("<II", octets, at)
            note = octets[at + 8:at + 8 + length]
            if b"r0000000@example.net" in note:
                notes.append(note)
            at += 8 + length
        file.unlink()
    for file in folder.glob("*.index"):
        file.unlink()
    names = [(b"a", b"r%07d@example.net"), (b"a", b"s%07d@example.com"),
             (b"m", b"m%07d@example.com")]
    first = struct.unpack_from("<Q", notes[0])[0]
    number, out = 1, bytearray(b"PUERTOH1")
    for n in range(count):
        for note in notes:
            for kind, name in names:
                old, new = name % 0, name % n
                note = note.replace(old, new)
                note = note.replace(struct.pack("<Q", fnv(kind, old)),
                                    struct.pack("<Q", fnv(kind, new)))
            note = struct.pack("<Q", first - count + n) + note[8:]
            out += struct.pack("<II", len(note), zlib.crc32(note)) + note
        if len(out) > 16 << 20 or n == count - 1:
            file = folder / f"{number:08}.history"
            file.write_bytes(out)
            shutil.chown(file, UNPRIVILEGED)
            number, out = number + 1, bytearray(b"PUERTOH1")
    return len(notes), number - 1


def measure_history(world, options):
    Unbound(world, RECORDS)
    world.add(Sink())
    puerto = Puerto(world, f'relayhost = "[{SINK[0]}]:{SINK[1]}"\n',
                    '[history]\nsize = "8GiB"\n')
    letter = b"From: s0000000@example.com\nMessage-ID: <m0000000@example.com>\n\nhello\n"
    subprocess.run([puerto.sendmail, "-f", "s0000000@example.com", "r0000000@example.net"],
                   input=letter, check=True)
    puerto.wait_empty()
    template = puerto.command("why", "r0000000@example.net").stdout.decode()
    print(template)
    puerto.stop()
    folder = puerto.folder / "state" / "history"
    each, files = multiply(folder, options.count)
    size = sum(file.stat().st_size for file in folder.iterdir()) >> 20
    print(f"{options.count} messages, {each} notes each, {files} files, {size} MiB", flush=True)
    for what in ("first start", "start"):
        began = time.monotonic()
        puerto.start()
        print(f"{what}: {time.monotonic() - began:.2f} s", flush=True)
        puerto.command("why", "r0000001@example.net")
        if what == "first start":
            puerto.stop()
    middle = options.count // 2
    shown = puerto.command("why", f"r{middle:07}@example.net").stdout.decode()
    found = re.search(r"[0-9A-Z]{12,14}", shown)[0]
    for name, asked in [("id", found), ("Message-ID", f"<m{middle:07}@example.com>"),
                        ("sender", f"s{middle:07}@example.com"),
                        ("recipient", f"r{middle:07}@example.net"),
                        ("nobody", "nobody@nowhere.example")]:
        rounds = []
        for _ in range(max(options.rounds, 5)):
            began = time.monotonic()
            puerto.command("why", asked, check=name != "nobody")
            rounds.append(time.monotonic() - began)
        print(f"why by {name}: {statistics.median(rounds) * 1000:.0f} ms, "
              f"{max(rounds) * 1000:.0f} ms at most", flush=True)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("what", choices=["list", "history"])
    options.add_argument("--count", type=int, default=1_000_000)
    options.add_argument("--store", choices=["files", "postgres"], default="files")
    options.add_argument("--rounds", type=int, default=3)
    options = options.parse_args()
    world = World()
    try:
        (measure if options.what == "list" else measure_history)(world, options)
    finally:
        world.close()


if __name__ == "__main__":
    main()
