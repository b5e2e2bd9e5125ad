"""The Debian package on machines with nothing but Debian: what a newcomer does, upgrades
while mail comes, removal, and that no mail is lost by any of it."""

import atexit
import contextlib
import functools
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

from capture import Capture
from debian import Debian
from peers import Skipped, again_and_again, listens, run, wait_for
from test_setup import talk

SCRIPT = pathlib.Path(__file__).parents[1] / "package"
RELAY, PORT = "127.0.0.40", 2525
SETUP = ["puerto", "setup", "example.com", "--yes", "--relayhost", f"[{RELAY}]:{PORT}"]
NAMES = ["/usr/sbin/sendmail", "/usr/lib/sendmail", "/usr/bin/mailq", "/usr/bin/newaliases"]


@functools.cache
def packages():
    """Two of the same program, of which one is the older."""
    if not shutil.which("objdump"):
        raise Skipped("binutils is needed")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="puerto-packages-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    # They are not kept, so nobody waits until they are small.
    environment = os.environ | {"DPKG_DEB_COMPRESSOR_TYPE": "gzip", "DPKG_DEB_COMPRESSOR_LEVEL": "1"}
    made = [run(SCRIPT, "--version", version, "--into", folder, env=environment)
            for version in ("1.0-1", "1.1-1")]
    return [pathlib.Path(one.stdout.decode().split()[-1]) for one in made]


class Machine:
    """Debian with a package of ours beside it, and a relay that can be switched off."""

    def __init__(self, world, release, booted):
        old, new = packages()
        self.debian = Debian(world, release, booted)
        self.old, self.new = self.debian.bring(old), self.debian.bring(new)
        self.run, self.shell, self.apt = self.debian.run, self.debian.shell, self.debian.apt
        self.world, self.relay, self.received = world, None, []

    def files(self):
        """What lies where the package or a setup might have put something."""
        found = self.shell("find /etc /usr /var/lib /var/spool /var/mail /run/puerto -xdev "
                           "-not -path '/var/lib/dpkg*' -not -path '/var/lib/apt*' "
                           "-not -path '/var/lib/systemd*' 2>/dev/null; cat /etc/passwd", check=False)
        return set(found.splitlines())

    def send(self, number):
        self.run("sendmail", "-f", "root@example.com", "you@example.net",
                 input=f"Subject: {number}\n\nhi\n".encode())

    def waiting(self):
        listed = self.run("puerto", "queue", "list", "--json").stdout.splitlines()
        return sum(1 for line in listed if line.strip())

    def relay_on(self):
        self.relay = Capture(self.world, RELAY, port=PORT)

    def relay_off(self):
        self.world.running.remove(self.relay)
        self.relay.stop()
        self.received += self.relay.arrivals

    def arrived(self):
        """The subjects of all that the relay took."""
        arrivals = self.received + (self.relay.arrivals if self.relay else [])
        lines = [line for one in arrivals for line in one.octets.split(b"\r\n\r\n")[0].split(b"\r\n")]
        return {line[9:].decode() for line in lines if line.startswith(b"Subject: ")}

    def drain(self):
        # What is being tried at that moment, without the relay, waits for its next time.
        for _ in range(3):
            self.run("puerto", "queue", "retry", "--all", "--yes")
            with contextlib.suppress(AssertionError):
                return wait_for("the queue to be empty", lambda: self.waiting() == 0, 10)
        raise AssertionError("what waits does not go though it is to be tried")

    def property(self, name, unit="puerto.service"):
        return self.run("systemctl", "show", "--value", "-p", name, unit).stdout.decode().strip()


class Client:
    """Sends one message after the other to port 25, or by `sendmail`."""

    def __init__(self, send):
        self.send, self.taken = send, []

    def __call__(self):
        self.send(f"{self.send.__name__}{len(self.taken)}")
        self.taken.append(f"{self.send.__name__}{len(self.taken)}")


def by_smtp(subject):
    """As mail programs do: who is told that the service is closing tries again. There is
    always somebody to connect to."""
    while True:
        with socket.create_connection(("127.0.0.1", 25), timeout=30) as connection:
            with contextlib.suppress(Closing):
                told(connection, f"Subject: {subject}\r\n\r\nhi\r\n.\r\n")
                return


class Closing(Exception):
    """The server ends the session, as it may at any time before it has taken the message."""


def told(connection, content):
    replies = connection.makefile("r", newline="\r\n")
    for line in ["", "HELO client.example.com\r\n", "MAIL FROM:<root@example.com>\r\n",
                 "RCPT TO:<you@example.net>\r\n", "DATA\r\n", content]:
        try:
            connection.sendall(line.encode())
            reply = replies.readline()
        except OSError as error:
            raise Closing from error
        if not reply or reply.startswith("421"):
            raise Closing
        assert reply[0] in "23", reply


def newcomer(machine, before):
    """Installs it, finds nothing started, sets it up and sends."""
    said = machine.apt("install", machine.old)
    assert "Nothing has been started yet" in said, said
    assert not listens("127.0.0.1", 25)
    for name in NAMES:
        assert machine.run("readlink", "-f", name).stdout == b"/usr/bin/puerto\n", name
    refused = machine.run("sendmail", "you@example.net", input=b"hi\n", check=False)
    assert refused.returncode != 0, "accepted by nobody"
    shown = machine.run(*SETUP).stdout.decode()
    new = machine.files() - before
    assert not [path for path in new if path.startswith(("/etc/systemd/system/puerto", "/etc/sysusers.d/p",
                                                         "/etc/tmpfiles.d/p", "/usr/local"))], new
    assert "divert" not in shown and "puerto man" not in shown, shown
    return shown


def test_the_package_lives_on_debian_12_with_systemd(world):
    machine = Machine(world, "bookworm", booted=True)
    before = machine.files()
    newcomer(machine, before)
    assert machine.property("ActiveState") == "active"
    machine.relay_on()
    said = machine.apt("install", "bsd-mailx")
    assert "REMOVED" not in said, said
    machine.shell("echo hi | mail -s by-mail you@example.net")
    wait_for("the mail", lambda: machine.arrived() == {"by-mail"})
    machine.relay_off()

    sent = ["by-mail", *upgraded(machine), *mended(machine)]
    machine.relay_on()
    machine.drain()
    assert machine.arrived() == set(sent), machine.arrived() ^ set(sent)
    machine.relay_off()

    sent += removed_and_back(machine)
    purged(machine, before, sent)


def upgraded(machine):
    """With mail in the queue, and while clients send."""
    waiting = ["q1", "q2", "q3"]
    for subject in waiting:
        machine.send(subject)
    one, other = Client(by_smtp), Client(machine.send)
    first = machine.property("MainPID")
    with again_and_again(one), again_and_again(other):
        while len(one.taken) < 3 or len(other.taken) < 3:
            time.sleep(0.05)
        machine.apt("install", machine.new)
    assert machine.property("MainPID") != first, "it was not started again"
    assert machine.property("ActiveState") == "active"
    acknowledged = waiting + one.taken + other.taken
    # What is taken while the connection breaks is sent twice.
    counted = machine.waiting()
    assert counted >= len(acknowledged), (counted, acknowledged)
    # Downwards it is the same.
    machine.apt("install", "--allow-downgrades", machine.old)
    assert machine.waiting() == counted
    machine.apt("install", machine.new)
    return acknowledged


def mended(machine):
    """A version that refuses the configuration leaves the one before running."""
    machine.run("systemctl", "reload", "puerto")
    machine.shell("cp /etc/puerto/puerto.toml /root/ && sed -i '1i nothing = 1' /etc/puerto/puerto.toml")
    first = machine.property("MainPID")
    said = machine.apt("install", "--reinstall", machine.new)
    assert "This version refuses the configuration" in said and "nothing" in said, said
    assert machine.property("MainPID") == first
    machine.shell("cp /root/puerto.toml /etc/puerto/puerto.toml")
    machine.send("on")
    # What the administrator has stopped stays so.
    machine.run("systemctl", "stop", "puerto.socket", "puerto.service")
    machine.apt("install", "--reinstall", machine.new)
    assert machine.property("ActiveState") == "inactive"
    machine.run("systemctl", "start", "puerto")
    return ["on"]


def removed_and_back(machine):
    """Mail that waits stays where it is, and the service comes back as it was."""
    machine.send("left")
    said = machine.apt("remove", "puerto")
    assert "Messages that wait in /var/lib/puerto/spool: 1." in said, said
    assert not listens("127.0.0.1", 25)
    machine.run("systemctl", "start", "puerto.socket", check=False)
    assert not listens("127.0.0.1", 25), "a socket without a program"
    machine.apt("install", machine.new)
    assert machine.property("ActiveState") == "active"
    assert machine.waiting() == 1
    return ["left"]


def purged(machine, before, sent):
    """Mail is kept unless somebody says that it is to go; without mail nothing stays."""
    said = machine.apt("purge", "puerto")
    assert "Kept, with the user puerto" in said, said
    assert machine.files() - before >= {"/var/lib/puerto/spool"}
    assert not [path for path in machine.files() - before if path.startswith("/etc/puerto")]
    machine.apt("install", machine.new)
    assert machine.property("ActiveState") == "inactive"
    machine.relay_on()
    machine.run(*SETUP)
    machine.drain()
    assert machine.arrived() == set(sent), machine.arrived() ^ set(sent)
    machine.apt("purge", "puerto", "bsd-mailx")
    machine.apt("autoremove", "--purge")
    assert not machine.files() - before, machine.files() - before


def test_the_package_lives_on_debian_13_with_systemd(world):
    machine = Machine(world, "trixie", booted=True)
    before = machine.files()
    newcomer(machine, before)
    sent = upgraded(machine)
    machine.relay_on()
    machine.drain()
    assert machine.arrived() == set(sent), machine.arrived() ^ set(sent)
    machine.apt("purge", "puerto")
    assert not machine.files() - before, machine.files() - before


@contextlib.contextmanager
def daemon(machine):
    """The daemon, started by hand where nothing else starts it."""
    with open(machine.debian.folder / "log", "a") as log:
        process = subprocess.Popen(machine.debian.inside("puerto", "serve"), stdin=subprocess.DEVNULL,
                                   stdout=log, stderr=log)
    try:
        wait_for("the daemon", lambda: listens("127.0.0.1", 25))
        yield process
    finally:
        machine.shell("kill -TERM $(cat /proc/[0-9]*/stat | sed -n 's/^\\([0-9]*\\) (puerto) .*/\\1/p')", check=False)
        process.wait(60)


def test_the_package_lives_on_debian_without_systemd_as_in_a_container(world):
    machine = Machine(world, "bookworm", booted=False)
    before = machine.files()
    shown = newcomer(machine, before)
    assert "puerto serve" in shown, shown
    with daemon(machine):
        machine.relay_on()
        machine.send("one")
        wait_for("the mail", lambda: machine.arrived() == {"one"})
        machine.relay_off()
        machine.send("two")
        machine.apt("install", machine.new)
        assert machine.waiting() == 1
    # Another mail server takes its place, and it takes that one's.
    said = machine.apt("install", "nullmailer")
    assert "Messages that wait in /var/lib/puerto/spool: 1." in said, said
    assert machine.shell("dpkg-query -W -f '${db:Status-Abbrev}' puerto").startswith("rc")
    said = machine.apt("install", machine.new)
    assert machine.shell("dpkg-query -W -f '${db:Status-Abbrev}' nullmailer").startswith("rc"), said
    with daemon(machine):
        assert machine.waiting() == 1
        # It cannot be counted while the daemon runs, which nobody here can stop.
        said = machine.apt("remove", "puerto")
        assert "spool: unknown." in said, said
    # Who is asked may say no, and may say yes.
    for answer, kept in [(b"\n", True), (b"y\n", False)]:
        machine.apt("install", machine.new)
        code, said, _ = talk(machine.debian.inside("apt-get", "--yes", "purge", "puerto"),
                             [("Remove them for good?", answer)])
        assert code == 0 and ("Kept, with the user puerto" in said) == kept, said
        assert machine.debian.at("/var/lib/puerto/spool").exists() == kept
    machine.apt("purge", "nullmailer")
    left = {path for path in machine.files() - before if "puerto" in path}
    assert not left, left


def test_a_program_that_was_set_up_from_elsewhere_is_not_hidden_behind(world):
    machine = Machine(world, "bookworm", booted=False)
    machine.shell("mkdir -p /etc/systemd/system && cp /bin/true /usr/local/bin/puerto && "
                  "echo ExecStart=/usr/local/bin/puerto serve >/etc/systemd/system/puerto.service")
    said = machine.apt("install", machine.old, check=False)
    assert "/usr/local/bin/puerto setup --undo --yes" in said, said
    assert machine.shell("dpkg-query -W -f '${db:Status-Abbrev}' puerto", check=False)[:2] != "ii"
    machine.shell("rm /usr/local/bin/puerto /etc/systemd/system/puerto.service")
    machine.apt("install", machine.old)


def test_lintian_finds_no_error_in_the_package(world):
    if not shutil.which("lintian"):
        raise Skipped("lintian is needed")
    done = run("lintian", "--fail-on", "error", "--no-tag-display-limit", packages()[0], check=False)
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
