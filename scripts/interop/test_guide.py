"""The guide, read as its readers read it: what a page says is typed on a machine that has
nothing of a mail server yet, in an Internet of its own, and has to print what the page shows.

`test_guide.py play PAGE [en|es]`, in the tests' machine, shows what each command of a page
prints, to write the page by.
"""

import json
import os
import pathlib
import re
import sys
import tomllib

from guide import DOCS, Page
from machines import SYSTEMCTL, Machine
from peers import World, wait_for
from test_classroom import HOME, RELAY, STRANGER, VPS, Internet, bare, pointer, record, the_relay
from test_setup import with_postfix

LANGUAGES = ["en", "es"]

# What it says of the service is in a file here; the guide's reader has systemd.
JOURNALCTL = r"""#!/bin/sh
n=$(echo "$*" | sed -n 's/.*-n \([0-9]*\).*/\1/p')
g=$(echo "$*" | sed -n 's/.*-g \([^ ]*\).*/\1/p')
grep -e "${g:-.}" /run/puerto.log | tail -n ${n:-1000}
"""


# As systemd does with this unit, it returns when the daemon says that it is done.
RELOAD = """
reload() {
    told=$(grep -c 'read again' /run/puerto.log)
    kill -HUP $(cat /run/puerto.pid)
    until [ $(grep -c 'read again' /run/puerto.log) -gt $told ]; do sleep 0.1; done
}"""


# What the Debian package brings, as its scripts leave it.
PACKAGE = """
mkdir -p /usr/local/share/man
touch /usr/bin/puerto
mount --bind /usr/local/bin/puerto /usr/bin/puerto
umount /usr/local/bin/puerto
rm /usr/local/bin/puerto
/usr/bin/puerto service-files /
for name in sbin/sendmail lib/sendmail bin/mailq bin/newaliases; do ln -s /usr/bin/puerto /usr/$name; done
systemd-sysusers puerto.conf
systemd-tmpfiles --create puerto.conf
"""


def packaged(machine):
    machine.run("sh", "-ec", PACKAGE)


class Somewhere:
    """A machine on which the page's reader works, as root and as ana."""

    def settle(self, machine):
        self.machine = machine
        verbs = SYSTEMCTL.replace("\nreload)", "\nstart) start ;;\nstop) stop ;;\nreload) reload ;;\nkill)")
        machine.write("/usr/bin/systemctl", verbs.replace("\ncase", RELOAD + "\ncase").encode(), 0o755)
        machine.write("/usr/bin/journalctl", JOURNALCTL.encode(), 0o755)
        machine.run("rm", "-f", "/usr/bin/bsd-mailx", "/usr/bin/mail")
        machine.run("useradd", "--create-home", "--shell", "/bin/bash", "ana", check=False)

    def inside(self, prompt, command, locale):
        user = "root" if prompt == "#" else "ana"
        home = "/root" if prompt == "#" else "/home/ana"
        if prompt == "#":
            rights = []
        else:
            rights = ["setpriv", "--reuid=ana", "--regid=ana", "--init-groups"]
        return self.machine.inside(
            *rights, "env", "-i", f"HOME={home}", f"USER={user}", f"LOGNAME={user}", "TERM=xterm",
            "NO_COLOR=1", f"LANG={locale}",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "bash", "-c", f"cd; {command}")

    def write_keys(self, path, text):
        """Sets these keys of the configuration, as one does in an editor; sections of which
        there may be several go to its end."""
        assert path == "/etc/puerto/puerto.toml", path
        if text.startswith("[["):
            whole = self.machine.read(path) + "\n" + text + "\n"
            self.machine.write(path, whole.encode())
        else:
            self.machine.configure(dict(keys_of(text)))

    def wait_log(self, words, times="1"):
        """The log has said this so often."""
        wait_for(f"the log to say {words}",
                 lambda: self.machine.read("/run/puerto.log").count(words) >= int(times))

    def wait_sent(self):
        """What was sent last has come to its end."""
        wait_for("the queue to be empty",
                 lambda: b"empty" in self.machine.run("mailq").stdout)


def keys_of(text):
    """Each `section.key` with its value, as it is written."""
    tomllib.loads(text)
    section, found = "", []
    for line in text.splitlines():
        if heading := re.fullmatch(r"\[(.*)\]", line):
            section = f"{heading[1]}."
        elif key := re.match(r"([\w-]+) = ([^#]*[^# ])", line):
            found.append((section + key[1], key[2]))
    return found


class Alone(Somewhere):
    """A machine that reaches nobody: enough for the lab."""

    def __init__(self, world):
        self.settle(Machine(world))

    def wait_lab(self):
        """The lab has delivered what its reader sent after its own letters."""
        def is_delivered():
            text = "".join(p.read_text() for p in self.machine.at("/tmp").glob("puerto-lab-*/mail.log"))
            return "removed" in text.partition("we have it as strict-3")[2]
        wait_for("the letter to be delivered", is_delivered)


class Vps(Somewhere):
    """A rented server with an address of its own, before anything is published."""

    def __init__(self, world):
        self.internet = Internet(world)
        self.settle(bare(world, "vps", self.internet, VPS, "vps5.host.example"))

    def publish(self):
        """What `puerto dns` prints, in the panels of who manages the domain and the address."""
        plan = json.loads(self.machine.run("puerto", "dns", "example.com", "--json").stdout)
        replaced = [r["name"] for r in plan["records"] if r["state"] == "change"]
        self.internet.records = [text for text in self.internet.records if not any(
            text.startswith(f"{name}. IN TXT") and "v=spf1" in text for name in replaced)]
        self.internet.publish(
            [record(r) for r in plan["records"] if r["state"] in ("new", "change")]
            + [pointer(r["address"], r["value"].rstrip(".")) for r in plan["ptr"]])


class Rented(Vps):
    """The same, with the package installed."""

    def __init__(self, world):
        super().__init__(world)
        packaged(self.machine)


class Zone(Vps):
    """The same, for a domain that has sent its newsletter through somebody else until now."""

    def __init__(self, world):
        super().__init__(world)
        self.internet.publish([
            'example.com. IN TXT "v=spf1 include:_spf.boletines.example ~all"',
            'example.com. IN TXT "google-site-verification=abc"',
            '_spf.boletines.example. IN TXT "v=spf1 ip4:192.0.2.77 -all"',
            "boletines.example. IN SOA ns.boletines.example. x.boletines.example. 1 2 3 4 5"])


class Unpublished(Vps):
    """The same, set up, whose owner has not looked at the DNS yet."""

    def __init__(self, world):
        super().__init__(world)
        self.machine.setup("--yes")


class Working(Vps):
    """The same, set up and published, beside a receiver that is out of reach."""

    def __init__(self, world):
        super().__init__(world)
        self.machine.setup("--yes")
        self.internet.publish(["example.edu. IN MX 10 mx.example.edu.",
                               f"mx.example.edu. IN A {STRANGER}"])
        self.publish()


    def lose(self):
        """The disk is gone, and another machine with the program is there."""
        self.machine.run("systemctl", "stop", "puerto")
        self.machine.run("rm", "-rf", "/etc/puerto", "/var/lib/puerto")


class Certified(Working):
    """The same, with a certificate where certbot leaves it."""

    def __init__(self, world):
        super().__init__(world)
        certificate, key = world.authority.issue("mail.example.com", days=90)
        folder = "/etc/letsencrypt/live/mail.example.com"
        self.machine.write(f"{folder}/fullchain.pem", certificate.read_bytes())
        self.machine.write(f"{folder}/privkey.pem", key.read_bytes(), 0o600)


class WithPostfix(Somewhere):
    """A server that has sent through a relay with Postfix and OpenDKIM until now."""

    def __init__(self, world):
        self.world, self.internet = world, Internet(world)
        self.settle(Machine(world, "old", self.internet, VPS, "mail.example.com"))
        with_postfix(self.machine)

    def with_exim(self):
        """Another machine, which has sent with Exim as Debian sets it up for a smarthost."""
        self.settle(bare(self.world, "exim", self.internet, "192.0.2.22", "mail.example.com"))
        self.publish()
        machine = self.machine
        machine.write("/etc/exim4/update-exim4.conf.conf", (
            b"dc_eximconfig_configtype='smarthost'\ndc_other_hostnames='example.com'\n"
            b"dc_local_interfaces='127.0.0.1 ; ::1'\ndc_relay_nets='192.0.2.0/24'\n"
            b"dc_smarthost='smtp.example.net::587'\ndc_localdelivery='mail_spool'\n"))
        machine.write("/etc/exim4/passwd.client", b"smtp.example.net:ana@example.net:s3cret\n", 0o640)
        # It is installed and starts with the machine; nothing waits in its queue.
        machine.write("/usr/sbin/exim4", b"#!/bin/sh\nexit 0\n", 0o755)
        machine.write("/lib/systemd/system/exim4.service", b"[Service]\nExecStart=/usr/sbin/exim4 -bd\n")
        machine.run("sh", "-ec", "mkdir -p /etc/systemd/system/multi-user.target.wants; ln -s "
                    "/lib/systemd/system/exim4.service /etc/systemd/system/multi-user.target.wants/; "
                    "for n in sbin/sendmail bin/mailq bin/newaliases; do ln -sf /usr/sbin/exim4 /usr/$n; done")

    def with_msmtp(self):
        """Another, whose programs have handed mail to a provider by msmtp."""
        self.settle(bare(self.world, "msmtp", self.internet, "192.0.2.23", "web.example.com"))
        self.publish()
        self.machine.write("/etc/msmtprc", (
            b"defaults\ntls on\nauth on\n\naccount provider\nhost smtp.example.net\nport 587\n"
            b"from ana@example.com\nuser ana@example.com\npassword s3cret\n\naccount default : provider\n"), 0o600)

    def publish(self):
        self.internet.publish(["smtp.example.net. IN A 198.51.100.77"])


class Gateway(Somewhere):
    """The relay of a network, and in that network a machine that nobody has told it of."""

    def __init__(self, world):
        self.internet = Internet(world)
        self.settle(bare(world, "gateway", self.internet, RELAY, "mail.example.org"))
        self.student = bare(world, "student", self.internet, "192.0.2.21", "uno.example.org")
        self.student.setup("--yes", "--relayhost", "[mail.example.org]", domain="uno.example.org")
        self.student.run("useradd", "--create-home", "luis", check=False)

    def publish(self):
        self.internet.publish_for(self.machine, "example.org")
        self.internet.publish_for(self.student, "uno.example.org")

    def student_sends(self):
        """What waits there for the relay is tried, beside a new message."""
        self.student.as_user("luis", "/usr/sbin/sendmail", "-i", "ana@example.net",
                             input=b"Subject: uno\n\nhola\n")


class Behind(Somewhere):
    """A student's machine in the room whose mail goes out through mail.example.org, and later
    one at home, which that relay does not know."""

    def __init__(self, world):
        self.world, self.internet = world, Internet(world)
        # Somebody else has their mailboxes.
        self.internet.publish([f"{domain}. IN MX 10 mx.example.net."
                               for domain in ("uno.example.org", "casa.example.com")])
        self.relay = the_relay(world, self.internet)
        self.relay.run("puerto", "user", "addresses", "casa", "--add", "@casa.example.com")
        # A certificate that does not end within the days in which it is warned of that.
        certificate, key = world.authority.issue("mail.example.org", days=90)
        self.relay.write("/etc/ssl/mail.pem", certificate.read_bytes())
        self.relay.write("/etc/ssl/private/mail.key", key.read_bytes(), 0o600)
        self.relay.run("systemctl", "restart", "puerto")
        self.settle(bare(world, "room", self.internet, "192.0.2.21", "portatil.lan"))
        packaged(self.machine)

    def publish(self):
        self.internet.publish_for(self.machine, "uno.example.org")

    def go_home(self):
        self.settle(bare(self.world, "home", self.internet, HOME, "portatil.lan"))
        packaged(self.machine)


WORLDS = {"postfix": WithPostfix, "alone": Alone, "certified": Certified, "gateway": Gateway, "vps": Rented, "zone": Zone, "unpublished": Unpublished,
          "working": Working, "behind": Behind}


def read(world, page):
    """Both languages, each on a machine of its own."""
    for language in LANGUAGES:
        inner = World()
        world.add(Closing(inner))
        play(inner, page, language)
        inner.close()


class Closing:
    """A world of one language, closed with the other's if it failed."""

    def __init__(self, world):
        self.stop = world.close


def play(world, page, language, show=None):
    page = Page(f"{page}.md", language)
    page.play(WORLDS[page.world](world), show)


def test_first_steps(world):
    read(world, "first-steps")


def test_behind_a_relay(world):
    read(world, "behind-a-relay")


def test_a_vps(world):
    read(world, "vps")


def test_dns(world):
    read(world, "dns")


def test_the_log(world):
    read(world, "log")


def test_a_refusal(world):
    read(world, "refused")


def test_logins(world):
    read(world, "logins")


def test_the_relay_of_a_network(world):
    read(world, "relaying")


def test_teaching(world):
    read(world, "teaching")


def test_aliases(world):
    read(world, "aliases")


def test_coming_from_postfix(world):
    read(world, "coming-from")


def test_several_nodes(world):
    read(world, "cluster")


def test_backup(world):
    read(world, "backup")


# What the guide shows as a shell's lines and nobody types here, and why.
NOT_TYPED = {"first-steps": "a release build takes minutes", "logins": "certbot asks Let's Encrypt",
             "cluster": "it wants a database; test_cluster moves a queue into one",
             "backup": "it puts a new program in the place of the one under test"}


def test_what_is_not_typed_is_known(world):
    for language in LANGUAGES:
        pages = {p.stem for p in (DOCS / language).glob("*.md") if "```sh" in p.read_text()}
        assert pages == set(NOT_TYPED), (language, pages)


def test_each_page_with_commands_is_read(world):
    pages = {p.stem for p in (DOCS / "en").glob("*.md") if "```console" in p.read_text()}
    source = pathlib.Path(__file__).read_text()
    assert pages == set(re.findall(r'read\(world, "([a-z-]+)"\)', source)), pages


def show(one, lines, complaint):
    print(f"{one.prompt} {one.command}")
    print("\n".join(lines).rstrip())
    if complaint:
        print(f"!!!! {one.number}: {complaint}")


if __name__ == "__main__":
    _, verb, page, *languages = sys.argv
    assert verb == "play", __doc__
    os.environ.setdefault("PUERTO_BINARY", str(DOCS.parent / "target/debug/puerto"))
    for language in languages or LANGUAGES:
        world = World()
        try:
            play(world, page, language, show)
        finally:
            world.close()
