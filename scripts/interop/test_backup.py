"""`puerto backup` and `puerto restore` on whole machines: what is brought back is what was there,
mail comes back held and once, and nothing that is in the way is lost."""

import json
import subprocess

from machines import Machine
from peers import wait_for
from test_setup import RELAY, without_postfix


class Server:
    """A server whose relay does not answer, so that its mail waits."""

    def __init__(self, world, name="machine"):
        self.machine = Machine(world, name)
        without_postfix(self.machine)
        self.machine.run("rm", "-rf", "/etc/postfix")

    def set_up(self):
        self.machine.setup("--yes", "--relayhost", RELAY)
        return self

    def send(self, number):
        self.machine.run("/usr/sbin/sendmail", "-i", f"u{number}@example.net",
                         input=f"Subject: number {number}\n\nhello\n".encode())

    def queue(self):
        listed = self.machine.run("puerto", "queue", "list", "--json").stdout.decode()
        return [json.loads(line) for line in listed.splitlines()]

    def stop(self):
        self.machine.run("systemctl", "disable", "--now", "puerto")

    def start(self):
        self.machine.run("systemctl", "enable", "--now", "puerto")

    def puerto(self, *arguments, check=True, **options):
        return self.machine.run("puerto", "--lang", "en", *arguments, check=check, **options)

    def files(self):
        """What is there of the server besides the queue: content, mode and owners."""
        return self.machine.run("sh", "-c", "find /etc/puerto /etc/aliases /var/lib/puerto -path "
                                "/var/lib/puerto/spool -prune -o -type f -printf '%p %m %u:%g ' -exec sha256sum {} "
                                "';' | sort").stdout.decode()


def test_a_server_is_brought_back_as_it_was_and_its_mail_held(world):
    server = Server(world).set_up()
    for number in range(3):
        server.send(number)
    ids = sorted(one["id"] for one in server.queue())
    assert len(ids) == 3
    told = server.puerto("backup", "/root/b.tar").stderr.decode()
    assert "messages that wait: 3" in told, told
    assert server.machine.at("/root/b.tar").stat().st_mode & 0o777 == 0o600
    # A backup is never written over.
    assert server.puerto("backup", "/root/b.tar", check=False).returncode == 73
    listed = subprocess.run(["tar", "-tf", server.machine.at("/root/b.tar")], capture_output=True, check=True)
    assert f"queue/{ids[0]}.eml" in listed.stdout.decode()
    # Not while it runs.
    refused = server.puerto("restore", "/root/b.tar", check=False)
    assert refused.returncode == 75 and b"the server runs" in refused.stderr, refused
    server.stop()
    at_rest = server.puerto("backup", "-").stdout
    before = server.files()
    server.machine.run("rm", "-rf", "/etc/puerto", "/var/lib/puerto")
    done = json.loads(server.puerto("restore", "/root/b.tar", "--json").stdout)
    assert (done["messages"], done["held"], done["aside"]) == (3, True, []), done
    # The history and what is noted of others' TLS go on while a server runs; all else is octet for
    # octet the same.
    goes_on = ("/history/", "/tls-hosts ", "/tls-results ")
    of_history = lambda text: [line for line in text.splitlines()
                               if not any(name in line for name in goes_on)]
    assert of_history(server.files()) == of_history(before)
    server.start()
    queue = server.queue()
    assert sorted(one["id"] for one in queue) == ids and all(one["held"] for one in queue)
    # Also what is shown to people says why it does not go.
    shown = server.puerto("queue", "list").stdout.decode()
    assert "backup of" in " ".join(shown.split()), shown
    server.puerto("queue", "release", "--held", "--yes")
    assert not any(one["held"] for one in server.queue())
    listed = json.loads(server.puerto("restore", "--list", "--json", "-", input=at_rest).stdout)
    assert listed["queue"]["messages"] == 3, listed


def test_a_damaged_message_is_named_and_keeps_none_of_the_others_out(world):
    server = Server(world).set_up()
    for number in range(3):
        server.send(number)
    ids = {one["id"]: one["recipients"][0]["address"] for one in server.queue()}
    [damaged] = [id for id, address in ids.items() if address.startswith("u1@")]
    paused = server.puerto("pause", "--to", "example.org", "--for", "2h")
    assert paused.returncode == 0, paused
    server.stop()
    for file in server.machine.at("/var/lib/puerto/spool").rglob("*"):
        octets = file.read_bytes() if file.is_file() else b""
        at = octets.find(b"Subject: number 1")
        if at >= 0:
            with file.open("r+b") as open_file:
                open_file.seek(at)
                open_file.write(b"X")

    def whole(name):
        told = server.puerto("backup", name, check=False)
        assert told.returncode == 65 and damaged in told.stderr.decode(), told
        listed = subprocess.run(["tar", "-tf", server.machine.at(name)], capture_output=True, check=True)
        saved = {line[6:-4] for line in listed.stdout.decode().splitlines() if line.endswith(".eml")}
        assert saved == set(ids) - {damaged}, saved

    whole("/root/rest.tar")
    server.start()
    whole("/root/runs.tar")
    server.stop()
    server.machine.run("rm", "-rf", "/var/lib/puerto")
    done = json.loads(server.puerto("restore", "/root/runs.tar", "--json").stdout)
    assert (done["messages"], done["orders"]) == (2, 1), done
    server.start()
    rules = server.puerto("queue", "rules").stdout.decode()
    assert "example.org" in rules, rules


def test_what_is_in_the_way_is_named_and_kept(world):
    server = Server(world).set_up()
    server.send(1)
    server.puerto("backup", "/root/b.tar")
    server.send(2)
    server.stop()
    server.machine.run("sh", "-c", "echo 'ana: luis' >> /etc/aliases")
    before = server.files()
    refused = server.puerto("restore", "/root/b.tar", check=False)
    assert refused.returncode == 73 and b"/etc/aliases" in refused.stderr and b"--replace" in refused.stderr
    refused = server.puerto("restore", "/root/b.tar", "--replace", check=False)
    assert refused.returncode == 73 and b"--merge" in refused.stderr, refused
    assert server.files() == before
    done = json.loads(server.puerto("restore", "/root/b.tar", "--replace", "--merge", "--json").stdout)
    assert (done["messages"], done["there"]) == (0, 1), done
    assert "/etc/aliases.before-restore" in done["aside"], done
    assert "ana: luis" in server.machine.read("/etc/aliases.before-restore")
    assert "ana: luis" not in server.machine.read("/etc/aliases")
    server.start()
    assert len(server.queue()) == 2
    octets = server.machine.at("/root/b.tar").read_bytes()
    server.stop()
    for harm in (octets[:-9000], octets[:515] + b"x" + octets[516:], b"no archive"):
        server.machine.write("/root/bad.tar", harm)
        refused = server.puerto("restore", "/root/bad.tar", "--replace", "--merge", check=False)
        assert refused.returncode == 65, refused


def test_nothing_that_was_accepted_before_it_began_is_missing_while_mail_comes_in(world):
    server = Server(world).set_up()
    for number in range(20):
        server.send(number)
    known = {one["id"] for one in server.queue()}
    sender = subprocess.Popen(server.machine.inside("sh", "-c", "i=0; while [ $i -lt 100 ]; do i=$((i+1)); echo hello | "
                              "/usr/sbin/sendmail -i more@example.net; done"))
    try:
        wait_for("more mail", lambda: len(server.queue()) > 22)
        server.puerto("backup", "/root/b.tar")
    finally:
        sender.kill()
        sender.wait()
    listed = subprocess.run(["tar", "-tf", server.machine.at("/root/b.tar")], capture_output=True, check=True)
    saved = {line[6:-4] for line in listed.stdout.decode().splitlines() if line.endswith(".eml")}
    assert known <= saved, known - saved


def test_an_archive_writes_elsewhere_only_for_those_who_say_so(world):
    server = Server(world).set_up()
    server.machine.configure({"accounts.file": '"/srv/accounts"'})
    server.machine.write("/srv/accounts", b"")
    server.stop()
    server.puerto("backup", "/root/b.tar")
    server.machine.run("rm", "/srv/accounts")
    refused = server.puerto("restore", "/root/b.tar", check=False)
    assert refused.returncode == 77 and b"/srv/accounts" in refused.stderr, refused
    assert not server.machine.at("/srv/accounts").exists()
    server.puerto("restore", "/root/b.tar", "--anywhere")
    assert server.machine.at("/srv/accounts").exists()


def test_mail_goes_at_once_where_it_is_moved(world):
    server = Server(world).set_up()
    server.send(1)
    server.stop()
    server.puerto("backup", "/root/b.tar")
    server.machine.run("rm", "-rf", "/var/lib/puerto")
    server.puerto("restore", "--release", "/root/b.tar")
    server.start()
    [one] = server.queue()
    assert not one["held"], one
