"""What may go wrong with the disk under the queue: errors, no room, no writing, no power.

Every test holds that what was acknowledged is delivered, that what was refused is
not, and that the daemon goes on by itself once it can.
"""

import contextlib
import pathlib
import random
import re
import signal
import subprocess
import threading
import time

from peers import (DNS_ADDRESS, FINAL_ADDRESS, RECORDS, SENDER_ADDRESS, Process, Puerto,
                   Skipped, Unbound, run, wait_for)
from scripted import WAIT, Client, Sink, body_hash, numbered

OTHER_ADDRESS = "127.0.0.31"
OTHER = ["other.example.org. IN MX 10 mx.other.example.org.",
         f"mx.other.example.org. IN A {OTHER_ADDRESS}"]
AT_ONCE = '[queue]\nretry = ["1s"]\n'


class Image:
    """A file system in a file."""

    def __init__(self, world, name, kind, mebibytes, options=(), folder=None, size=None):
        self.path = (folder or world.folder) / f"{name}.img"
        self.mount_point = world.folder / name
        self.mount_point.mkdir()
        with open(self.path, "wb") as file:
            file.truncate(size or mebibytes << 20)
        run(f"mkfs.{kind}", "-q", *options, self.path)
        world.add(self)
        self.mount()

    def mount(self, *options):
        mount(self.path, self.mount_point, *options)

    def stop(self):
        run("umount", self.mount_point)


def mount(image, folder, *options):
    assert image.exists(), image
    done = run("mount", "-o", ",".join(["loop", *options]), image, folder, check=False)
    if done.returncode != 0:
        raise Skipped(f"this machine cannot mount an image: {done.stderr.decode().strip()}")


class Tracer(Process):
    """Lets system calls of the daemon fail from now until it is stopped."""

    def __init__(self, world, puerto, *injections):
        arguments = [word for injection in injections for word in ("-e", f"inject={injection}")]
        names = ",".join(injection.partition(":")[0] for injection in injections)
        log = world.folder / "strace"
        log.unlink(missing_ok=True)
        self.start_process(["strace", "-f", "-p", puerto.process.pid, "-o", world.folder / "trace",
                            "-e", f"trace={names}", *arguments], log)
        # A call that kills may come while strace is still on its way.
        wait_for("strace", lambda: self.process.poll() is not None or self.has_all(puerto))
        world.add(self)

    @staticmethod
    def has_all(puerto):
        with contextlib.suppress(FileNotFoundError):
            tasks = list(pathlib.Path(f"/proc/{puerto.process.pid}/task").iterdir())
            return all(re.search(r"^TracerPid:\t[1-9]", (task / "status").read_text(), re.MULTILINE)
                       for task in tasks)
        return False

    def injected(self):
        trace = pathlib.Path(self.log_path).with_name("trace")
        return trace.read_text().count("(INJECTED)") if trace.exists() else 0

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(10)


def delivered_once(sink, acknowledged, refused, excusable=0):
    """Holds that everything came that was acknowledged and nothing that was refused."""
    copies = sink.copies()
    lost = [n for n in acknowledged if copies[n] == 0]
    assert not lost, f"{len(lost)} lost: {lost[:10]}"
    ghosts = [n for n in refused if copies[n]]
    assert not ghosts, f"{len(ghosts)} refused and yet delivered: {ghosts[:10]}"
    extra = sum(copies.values()) - len(copies)
    assert extra <= excusable, f"{extra} second copies, {excusable} would be excusable"
    whole = {n: body_hash(numbered(n)) for n in copies}
    assert all(m.body_hash == whole[m.number] for m in sink.messages if m.octets < 10_000)
    return extra


def sort_reply(number, reply, acknowledged, refused):
    assert reply[:3] in ("250", "451", "452"), reply
    (acknowledged if reply.startswith("250") else refused).append(number)


def test_a_sync_that_fails_acknowledges_nothing(world):
    Unbound(world, RECORDS)
    sink = Sink(world, FINAL_ADDRESS)
    puerto = Puerto(world, "", AT_ONCE)
    acknowledged, refused, number, faults = [], [], 0, 0
    for nth in range(1, 9):
        tracer = Tracer(world, puerto, f"fdatasync:error=EIO:when={nth}")
        with Client() as client:
            for _ in range(nth + 2):
                number += 1
                sort_reply(number, client.send(numbered(number)), acknowledged, refused)
        tracer.stop()
        faults += tracer.injected()
        wait_for("new mail to be taken again", lambda: takes(acknowledged), 10)
    assert faults >= 8 and refused, (faults, refused)
    puerto.kill()
    puerto.start()
    puerto.wait_empty(30)
    extra = delivered_once(sink, acknowledged, refused, excusable=20)
    return f"{faults} errors, {len(refused)} refused, {extra} second copies after kill -9, 0 lost"


def segments(puerto):
    """The sizes of the segments: those that are being made are smaller."""
    with contextlib.suppress(FileNotFoundError):
        return [path.stat().st_size for path in (puerto.state / "spool" / "segments").iterdir()]
    return []


def test_the_daemon_killed_at_a_write_or_a_sync_loses_nothing(world):
    Unbound(world, RECORDS)
    sink = Sink(world, FINAL_ADDRESS)
    puerto = Puerto(world, "", AT_ONCE)
    acknowledged, unanswered, refused, kills = [], [], [], 0
    for call in ("pwrite64", "fdatasync"):
        for nth in range(1, 9):
            wait_for("a spare segment", lambda: segments(puerto)[1:] and len(
                set(segments(puerto))) == 1)
            tracer = Tracer(world, puerto, f"{call}:signal=KILL:when={nth}")
            number = 1000 * (kills + 1)
            with contextlib.suppress(OSError):
                while True:
                    number += 1
                    # Only large content is written outside the log.
                    size = 500 if number % 3 else 1_500_000
                    with Client() as client:
                        unanswered.append(number)
                        sort_reply(number, client.send(numbered(number, size)), acknowledged,
                                   refused)
                        unanswered.pop()
            puerto.process.wait(10)
            tracer.process.wait(10)
            kills += 1
            puerto.start()
    puerto.wait_empty(30)
    assert not refused, refused
    copies = sink.copies()
    assert all(copies[n] for n in acknowledged), "lost"
    assert set(copies) <= set(acknowledged) | set(unanswered)
    extra = sum(copies.values()) - len(copies)
    assert acknowledged and extra <= 20 * kills, extra
    return f"{kills} kills, {len(acknowledged)} acknowledged, {extra} second copies, 0 lost"


_taken = iter(range(1_000_000, 10**9))


def takes(acknowledged):
    """Whether new mail is taken."""
    number = next(_taken)
    with Client() as client:
        reply = client.send(numbered(number))
    if reply.startswith("250"):
        acknowledged.append(number)
        return True
    assert reply[:3] in ("451", "452"), reply
    return False


def sendmail_exit(puerto):
    return run(puerto.sendmail, "you@example.net", input=b"Subject: x\n\nx\n", check=False).returncode


def test_a_disk_that_refuses_every_write_refuses_mail_and_recovers(world):
    Unbound(world, RECORDS)
    sink = Sink(world, FINAL_ADDRESS)
    puerto = Puerto(world, "", AT_ONCE)
    acknowledged, refused, number = [], [], 0
    for calls, error, code in [(("fdatasync",), "EIO", "451"),
                               (("pwrite64", "openat"), "EROFS", "451"),
                               (("pwrite64",), "ENOSPC", "452")]:
        assert takes(acknowledged)
        puerto.wait_empty()
        sink.misbehave("dot", WAIT)
        number += 1
        with Client() as client:
            assert client.send(numbered(number)).startswith("250")
        acknowledged.append(number)
        wait_for("a delivery to be under way", lambda: sink.waiting == 1)
        tracer = Tracer(world, puerto, *(f"{call}:error={error}:when=1+" for call in calls))
        with Client() as client:
            for _ in range(5):
                number += 1
                reply = client.send(numbered(number))
                assert reply.startswith(code), f"{error}: {reply}"
                refused.append(number)
        assert sendmail_exit(puerto) == 75
        sink.behave()
        under_way = acknowledged[-1]
        wait_for("the delivery under way to end", lambda: sink.copies()[under_way] == 1)
        assert puerto.alive()
        tracer.stop()
        wait_for("new mail to be taken again", lambda: takes(acknowledged), 10)
        puerto.wait_empty(20)
    latest = acknowledged[-1]
    puerto.kill()
    puerto.start()
    wait_for("a last one", lambda: takes(acknowledged))
    puerto.wait_empty(20)
    # The kill may have come before the record of the delivery just before it was
    # written. Of no other message may there be a second copy.
    extra = delivered_once(sink, acknowledged, refused, excusable=1)
    assert extra == 0 or sink.copies()[latest] == 2, "a second copy of an older message"
    return f"{len(refused)} refused, 0 lost, {extra} second copies"


def fill_until_refused(acknowledged, refused, size, number):
    with Client() as client:
        for n in range(number, number + 5000):
            reply = client.send(numbered(n, size))
            sort_reply(n, reply, acknowledged, refused)
            if not reply.startswith("250"):
                assert reply.startswith("452 4.3.1"), reply
                return
    raise AssertionError("the disk never filled")


def full_disk(world, mebibytes, least):
    """Fills a small disk with mail, then to the brim; the mail leaves all the same, and
    notifications for which there is no room come when there is."""
    image = Image(world, "disk", "ext4", mebibytes, ["-m", "0"])
    Unbound(world, RECORDS + OTHER)
    sink, senders = Sink(world, FINAL_ADDRESS), Sink(world, OTHER_ADDRESS)
    sink.misbehave("mail", "450 4.2.0 later")
    puerto = Puerto(world, "", '[queue]\nretry = ["2s"]\n', state=image.mount_point / "state")
    acknowledged, refused, returned = [], [], 5
    with Client() as client:
        for number in range(returned):
            reply = client.send(numbered(number), f"never-{number}@example.net",
                                sender="sender@other.example.org")
            assert reply.startswith("250"), reply
    # Messages that are kept in the log, then large ones.
    fill_until_refused(acknowledged, refused, 100_000, 1000)
    held = len(acknowledged) * 100_000
    assert held >= least << 20, f"only {held >> 20} MiB were taken"
    with contextlib.suppress(OSError), open(image.mount_point / "filler", "wb") as filler:
        while True:
            filler.write(bytes(1 << 16))
    fill_until_refused(acknowledged, refused, 3_000_000, 10_000)
    assert sendmail_exit(puerto) == 75
    # Five are refused for good while the others wait, so that nothing makes room.
    sink.misbehave("rcpt", "450 4.2.0 later")
    sink.recipients = {f"never-{number}@example.net": "550 5.1.1 unknown"
                       for number in range(returned)}
    sink.misbehave("mail", None)
    untold = "the sender could not be told: 452 4.3.1"
    wait_for("five notifications to find no room", lambda: puerto.log().count(untold) >= returned)
    assert not senders.messages, "a notification was sent, for which there was no room"
    sink.behave()
    wait_for("the queue to drain", lambda: puerto.queue_length() <= returned, 60)
    (image.mount_point / "filler").unlink()
    started = time.monotonic()
    wait_for("new mail to be taken again", lambda: takes(acknowledged), 10)
    recovered = time.monotonic() - started
    # They would be tried again in five minutes; and a file system hands out what was freed
    # only after its next commit, so that the first of these may still find no room.
    def drained():
        puerto.command("queue", "retry", "--all", "--yes")
        return puerto.queue_length() == 0

    wait_for("the queue to be empty", drained, 30)
    assert len(senders.messages) == returned
    puerto.kill()
    puerto.start()
    wait_for("a last one", lambda: takes(acknowledged))
    puerto.wait_empty(20)
    delivered_once(sink, acknowledged, refused)
    return (f"{held >> 20} MiB of mail on {mebibytes} MiB, taken again after {recovered:.1f} s, "
            f"0 lost")


def test_a_full_disk_of_64_mib(world):
    return full_disk(world, 64, 30)


def test_a_full_disk_of_12_mib(world):
    return full_disk(world, 12, 3)


def test_a_file_system_that_becomes_read_only(world):
    image = Image(world, "disk", "ext4", 256, ["-m", "0", "-E", "lazy_itable_init=0"])
    Unbound(world, RECORDS)
    sink = Sink(world, FINAL_ADDRESS)
    puerto = Puerto(world, "", AT_ONCE, state=image.mount_point / "state")
    acknowledged, refused = [], []
    assert takes(acknowledged)
    wait_for("the first", lambda: len(sink.copies()) == 1)
    sink.misbehave("dot", WAIT)
    assert takes(acknowledged)
    wait_for("a delivery to be under way", lambda: sink.waiting == 1)
    # What the kernel does itself when the journal cannot be written.
    run("mount", "-o", "remount,abort", image.mount_point)
    with Client() as client:
        for number in range(10):
            reply = client.send(numbered(number))
            assert reply.startswith("451"), reply
            refused.append(number)
    assert sendmail_exit(puerto) == 75
    sink.behave()
    wait_for("the delivery under way to end", lambda: len(sink.copies()) == 2)
    assert puerto.alive()
    started = time.monotonic()
    puerto.process.send_signal(signal.SIGTERM)
    assert puerto.process.wait(40) == 0 and time.monotonic() - started <= 35
    run("umount", image.mount_point)
    image.mount()
    puerto.start()
    wait_for("new mail to be taken again", lambda: takes(acknowledged), 10)
    puerto.wait_empty(20)
    # What came of the delivery under way could not be written down.
    extra = delivered_once(sink, acknowledged, refused, excusable=1)
    return f"{len(refused)} refused, {extra} second copies, 0 lost"


class Copy:
    """A second daemon, on what a power cut would have left of the first one's disk."""

    def __init__(self, world, puerto):
        self.folder = world.folder / "copy"
        self.folder.mkdir()
        self.mount_point = self.folder / "disk"
        self.mount_point.mkdir()
        self.binary, self.configuration = puerto.binary, self.folder / "puerto.toml"
        text = puerto.configuration.read_text()
        for name, value in [("state_dir", self.mount_point / "state"),
                            ("run_dir", self.folder / "run"), ("log_to", self.folder / "mail.log")]:
            text = re.sub(rf"^{name} = .*$", f'{name} = "{value}"', text, flags=re.MULTILINE)
        text = text.replace(f'smtp = ["{SENDER_ADDRESS}:25"]', 'smtp = ["127.0.0.21:25"]')
        # It finds no way to anybody, so that nothing leaves its queue.
        text = text.replace(f"{DNS_ADDRESS}:53", "127.0.0.54:53")
        self.configuration.write_text(text)

    @contextlib.contextmanager
    def running(self, image):
        mount(image, self.mount_point)
        process = subprocess.Popen([self.binary, "serve", "--config", self.configuration],
                                   stdin=subprocess.DEVNULL)
        try:
            yield
        finally:
            process.kill()
            process.wait()
            # Its small processes see that it is gone, and end a moment later.
            wait_for("nobody to have the disk",
                     lambda: run("umount", self.mount_point, check=False).returncode == 0, 10)

    def queued(self, image):
        """The ids of the messages that are there after a power cut."""
        with self.running(image):
            return self.ids(wait_for("the copy's queue", self.listing, 10))

    def deliver(self, image):
        """Delivers all that is there."""
        text = self.configuration.read_text().replace("127.0.0.54:53", f"{DNS_ADDRESS}:53")
        self.configuration.write_text(text)
        with self.running(image):
            wait_for("the copy's queue", self.listing, 10)
            run(self.binary, "queue", "retry", "--all", "--yes", "--config", self.configuration)
            wait_for("the copy's queue to be empty", lambda: not self.ids(self.listing()))

    @staticmethod
    def ids(listing):
        return set(re.findall(r'"id": ?"([0-9A-F]+)"', listing.stdout.decode()))

    def listing(self):
        done = run(self.binary, "queue", "list", "--json", "--config", self.configuration,
                   check=False)
        return done if done.returncode == 0 else None


def test_power_cuts_lose_nothing_that_was_acknowledged(world):
    outer = Image(world, "outer", "xfs", 2048, ["-m", "reflink=1"])
    disk = Image(world, "disk", "ext4", 512, ["-m", "0"], folder=outer.mount_point)
    run("umount", disk.mount_point)
    disk.mount("commit=600")
    Unbound(world, RECORDS)
    sink = Sink(world, FINAL_ADDRESS)
    sink.misbehave("mail", "450 4.2.0 later")
    puerto = Puerto(world, "", '[queue]\nretry = ["1h"]\n', state=disk.mount_point / "state")
    copy = Copy(world, puerto)
    acknowledged, sizes, stop = {}, {}, threading.Event()

    def load(first):
        number = first
        with Client() as client:
            while not stop.is_set():
                sizes[number] = 300 if number % 7 else 1_200_000
                reply = client.send(numbered(number, sizes[number]))
                acknowledged[reply.rpartition(" ")[2]] = number
                number += 1
                stop.wait(0.01)

    threads = [threading.Thread(target=load, args=[1_000_000 * n], daemon=True) for n in (1, 2, 3)]
    for thread in threads:
        thread.start()
    snapshot, kept = outer.mount_point / "snapshot.img", outer.mount_point / "kept.img"
    cuts, found, whole = 40, 0, set()
    with Client() as client:
        for cut in range(cuts):
            if cut == 25:
                # From here on mail leaves, too: what is no longer there has arrived.
                sink.behave()
                puerto.command("queue", "retry", "--all", "--yes")
            if cut % 2:
                # Straight after a 250.
                reply = client.send(numbered(cut))
                assert reply.startswith("250"), reply
                acknowledged[reply.rpartition(" ")[2]] = cut
            else:
                time.sleep(random.uniform(0, 0.1))
            before = set(acknowledged)
            run("cp", "--reflink=always", disk.path, snapshot)
            there = copy.queued(snapshot)
            if cut == 20:
                snapshot.rename(kept)
                whole = {acknowledged[id] for id in before}
            else:
                snapshot.unlink()
            copies = sink.copies()
            lost = {id for id in before - there if not copies[acknowledged[id]]}
            assert not lost, f"cut {cut}: {len(lost)} of {len(before)} lost"
            found = max(found, len(there))
    stop.set()
    for thread in threads:
        thread.join(10)
    left = sum(sink.copies().values())
    puerto.kill()
    sink.messages.clear()
    copy.deliver(kept)
    assert whole and whole <= set(sink.copies()), "lost"
    for message in sink.messages:
        size = sizes.get(message.number, 500)
        assert message.body_hash == body_hash(numbered(message.number, size)), message.number
    return f"{cuts} cuts, up to {found} messages, {left} had left, 0 lost"
