"""A queue that cannot be read for a while: other owners, I/O errors, too few file
descriptors, root's files between the service's.

Every test holds that what was acknowledged before and meanwhile is delivered exactly
once when all can be read again, with its content, and that nothing else is.
"""

import contextlib
import os
import pwd
import shutil

from peers import FINAL_ADDRESS, RECORDS, UNPRIVILEGED, Puerto, Unbound, run, wait_for
from scripted import Client, Sink, numbered
from test_faults_disk import delivered_once

AT_ONCE = '[queue]\nretry = ["1s"]\n'
LARGE = 3_000_000


def accept(acknowledged, count, size=500):
    """Has so many messages accepted; every fifth is large."""
    with Client() as client:
        for _ in range(count):
            number = len(acknowledged) + 1
            octets = LARGE if number % 5 == 0 else size
            reply = client.send(numbered(number, octets))
            assert reply.startswith("250"), reply
            acknowledged.append(number)


def stop(puerto):
    puerto.process.terminate()
    assert puerto.process.wait(40) == 0


class Queue:
    """A server whose next hop takes nothing until it is told to."""

    def __init__(self, world, **options):
        Unbound(world, RECORDS)
        self.sink = Sink(world, FINAL_ADDRESS)
        self.sink.misbehave("mail", "450 4.2.0 later")
        self.puerto = Puerto(world, "", AT_ONCE, **options)
        self.acknowledged = []

    @property
    def segments(self):
        return sorted((self.puerto.state / "spool" / "segments").glob("*.segment"))

    @property
    def contents(self):
        return sorted((self.puerto.state / "spool" / "content").glob("*.content"))

    def deliver(self):
        """Everything arrives, once."""
        self.sink.behave()
        self.puerto.command("queue", "retry", "--all", "--yes")
        self.puerto.wait_empty(60)
        delivered_once(self.sink, self.acknowledged, [])

    def owner(self, paths, name):
        user = pwd.getpwnam(name)
        for path in paths:
            os.chown(path, user.pw_uid, user.pw_gid)

    def as_service(self):
        """From now on the server is started as the service's user, as systemd does."""
        self.owner([self.puerto.folder], UNPRIVILEGED)
        self.puerto.mail_log.unlink(missing_ok=True)
        text = self.puerto.configuration.read_text()
        text = text.replace(f'user = "{UNPRIVILEGED}"', 'user = ""')
        self.puerto.configuration.write_text(text)
        self.puerto.prefix = ["setpriv", f"--reuid={UNPRIVILEGED}", "--regid=nogroup",
                              "--clear-groups", "--inh-caps=+net_bind_service",
                              "--ambient-caps=+net_bind_service"]
        shutil.rmtree(self.puerto.folder / "run", ignore_errors=True)


def unreadable_for_one_start(world, restart):
    queue = Queue(world)
    puerto, acknowledged = queue.puerto, queue.acknowledged
    accept(acknowledged, 11)
    stop(puerto)
    queue.as_service()
    old, contents = queue.segments, queue.contents
    queue.owner(old + contents[:1], "root")
    puerto.start()
    # The sockets are bound before the queue is opened.
    wait_for("the trouble to be told",
             lambda: "cannot be read: Permission denied" in puerto.log())
    listed = puerto.command("queue", "list")
    assert b"cannot be read for now" in listed.stderr, listed.stderr
    accept(acknowledged, 4)
    assert set(contents) <= set(queue.contents), "a content file was swept"
    if restart:
        puerto.kill()
        puerto.start()
        accept(acknowledged, 2)
        stop(puerto)
    queue.owner(old + contents[:1], UNPRIVILEGED)
    if restart:
        puerto.start()
    wait_for("all to be taken up", lambda: puerto.queue_length() == len(acknowledged), 90)
    assert "the spool is damaged" not in puerto.log(), puerto.log()
    queue.deliver()
    return f"{len(acknowledged)} messages, 0 lost"


def test_segments_of_another_owner_are_taken_up_without_a_restart(world):
    return unreadable_for_one_start(world, restart=False)


def test_segments_of_another_owner_are_taken_up_at_the_next_start(world):
    return unreadable_for_one_start(world, restart=True)


def test_a_run_as_root_leaves_nothing_that_the_service_cannot_read(world):
    queue = Queue(world)
    puerto, acknowledged = queue.puerto, queue.acknowledged
    accept(acknowledged, 5)
    stop(puerto)
    queue.as_service()
    service = puerto.prefix
    # Root runs it by hand, and it stays root.
    puerto.prefix = []
    puerto.start()
    accept(acknowledged, 10)
    stop(puerto)
    shutil.rmtree(puerto.folder / "run")
    puerto.mail_log.unlink()
    roots = [path for path in puerto.state.rglob("*") if path.stat().st_uid == 0]
    assert not roots, roots
    puerto.prefix = service
    puerto.start()
    assert puerto.queue_length() == len(acknowledged), puerto.log()
    queue.deliver()


def test_a_start_as_root_gives_back_what_root_has_left(world):
    queue = Queue(world)
    puerto, acknowledged = queue.puerto, queue.acknowledged
    accept(acknowledged, 10)
    stop(puerto)
    queue.owner(queue.segments + queue.contents, "root")
    victim = world.folder / "victim"
    victim.write_text("root's own")
    link = puerto.state / "spool" / "content" / "00000aaa.content"
    os.link(victim, link)
    (puerto.state / "spool" / "content" / "00000bbb.content").symlink_to(victim)
    puerto.start()
    assert victim.stat().st_uid == 0 and victim.read_text() == "root's own"
    assert puerto.queue_length() == len(acknowledged), puerto.log()
    queue.deliver()


def test_reads_that_fail_for_a_while_lose_nothing(world):
    """The kernel answers EIO to the server's reads, from its start on."""
    queue = Queue(world)
    puerto, acknowledged = queue.puerto, queue.acknowledged
    accept(acknowledged, 11)
    for error, call in [("EIO", "pread64"), ("EMFILE", "openat"), ("ESTALE", "pread64"),
                        ("ENOMEM", "openat")]:
        for nth in (1, 2, 3, 4, 6, 8, 12, 16):
            stop(puerto)
            # Only what is in the spool fails, so that the server itself starts.
            puerto.prefix = ["strace", "-f", "-o", world.folder / "trace", "-e", f"trace={call}",
                             *(word for path in (puerto.state / "spool", *queue.segments,
                                                 puerto.state / "spool" / "checkpoint",
                                                 puerto.state / "spool" / "identity")
                               for word in ("-P", path)),
                             "-e", f"inject={call}:error={error}:when={nth}"]
            with contextlib.suppress(AssertionError):
                puerto.start()
            tracer = puerto.process
            if tracer.poll() is None:
                accept(acknowledged, 1)
                children = run("pgrep", "-P", tracer.pid).stdout.split()
                for child in children:
                    os.kill(int(child), 15)
                tracer.wait(40)
            else:
                assert tracer.returncode == 75, (tracer.returncode, puerto.text())
            puerto.prefix = []
            puerto.start()
            assert puerto.queue_length() == len(acknowledged), (error, call, nth, puerto.log())
    queue.deliver()
    return f"{len(acknowledged)} messages, 0 lost"


def test_a_disk_that_is_not_mounted_stops_the_start(world):
    queue = Queue(world)
    puerto, acknowledged = queue.puerto, queue.acknowledged
    accept(acknowledged, 5)
    stop(puerto)
    segments, away = puerto.state / "spool" / "segments", puerto.state / "away"
    segments.rename(away)
    done = run(puerto.binary, "serve", "--config", puerto.configuration, check=False, timeout=30)
    assert done.returncode == 75 and b"mount" in done.stderr, (done.returncode, done.stderr)
    assert not list(segments.iterdir())
    segments.rmdir()
    away.rename(segments)
    puerto.start()
    assert puerto.queue_length() == len(acknowledged)
    queue.deliver()
