"""`puerto doctor` on a whole machine: nothing is told of one that was just set up, what is broken
is told, and what it says mends it."""

import json
import subprocess

from machines import Machine
from peers import wait_for
from test_setup import RELAY, without_postfix

# The tests' machines lie in memory below an overlay, which is told, and is true.
# The daemon's own word of a folder that it may not write in, which ends with that.
BY_ITSELF = "queue.refusing"
OF_THE_TESTS = ("disk.layer", "disk.memory", "clock.nobody-sets-it")


class Patient:
    def __init__(self, world):
        self.machine = Machine(world)
        without_postfix(self.machine)
        self.machine.run("rm", "-rf", "/etc/postfix")
        report = self.machine.setup("--yes", "--relayhost", RELAY)
        assert "systemctl enable --now puerto" in report["done"], report

    def doctor(self, *options, **others):
        return self.machine.run("puerto", *options, "doctor", "--json", "--lang", "en", check=False, **others)

    def findings(self):
        done = self.doctor()
        report = json.loads(done.stdout)
        found = [one for section in report["sections"] for one in section["findings"]
                 if one["id"] not in OF_THE_TESTS]
        wrong = [one for section in report["sections"] for one in section["findings"]
                 if one["severity"] != "info"]
        assert done.returncode == (1 if wrong else 0), (done, report)
        return found

    def ids(self):
        return sorted({one["id"] for one in self.findings()})

    def shell(self, text):
        return self.machine.run("sh", "-ec", text)

    def heed(self):
        """Does what is said, finding by finding, as its reader would."""
        for one in self.findings():
            if one["id"] != BY_ITSELF:
                self.shell(one["remedy"])


def test_a_machine_that_was_just_set_up_is_well(world):
    patient = Patient(world)
    assert patient.findings() == []
    page = patient.machine.run("puerto", "doctor", "--lang", "es", check=False).stdout.decode()
    assert "✓ ficheros y permisos" in page and "\x1b" not in page, page
    # Who is not root is told what that means, and not that all is well.
    other = patient.machine.run("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups",
                                "puerto", "doctor", "--lang", "en", check=False)
    assert b"Only root sees everything: sudo puerto doctor" in other.stdout, other


def test_what_it_says_mends_what_is_broken(world):
    patient = Patient(world)
    for harm, ids in [
        ("chmod 666 /etc/puerto/puerto.toml", ["file.writable"]),
        ("chown daemon /etc/puerto/puerto.toml", ["file.owner"]),
        ("chmod 777 /etc/puerto", ["file.way"]),
        ("chmod 666 /etc/aliases", ["file.writable"]),
        ("chmod 600 /etc/puerto/puerto.toml", ["file.hidden"]),
        ("chmod 700 /etc/puerto", ["file.hidden"]),
        ("chmod 600 /etc/aliases", ["file.hidden"]),
        ("for key in /etc/puerto/dkim/*/*.pem; do cp $key ${key%.pem}-copy.pem; done", ["file.hidden"]),
        ("chown root /var/lib/puerto", ["folder.owner"]),
        ("chmod 755 /var/lib/puerto", ["folder.open"]),
        ("touch /var/lib/puerto/spool/left-by-root", ["queue.owner"]),
        ("rm /usr/bin/mailq", ["command.missing"]),
        ("rm /usr/sbin/sendmail; cp /bin/true /usr/sbin/sendmail", ["command.another"]),
    ]:
        patient.shell(harm)
        found = set(patient.ids())
        assert set(ids) <= found <= {*ids, BY_ITSELF}, (harm, patient.findings())
        patient.heed()
        wait_for(f"{harm} to be mended", lambda: patient.findings() == [])


def test_what_no_command_mends_is_named(world):
    patient = Patient(world)
    patient.shell("cp /etc/puerto/puerto.toml /root/kept; echo 'relayhots = 1' >> /etc/puerto/puerto.toml")
    [wrong] = patient.findings()
    assert (wrong["id"], wrong["severity"]) == ("config.wrong", "error"), wrong
    patient.shell("cat /root/kept > /etc/puerto/puerto.toml")
    patient.machine.run("systemctl", "disable", "--now", "puerto")
    assert patient.ids() == ["service.down"]
    stranger = subprocess.Popen(
        patient.machine.inside("openssl", "s_server", "-nocert", "-accept", "0.0.0.0:25"),
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for("the stranger", lambda: patient.machine.run("ss", "-Hltn", "sport = :25").stdout)
        taken = [one for one in patient.findings() if one["id"] == "port.taken"]
        assert len(taken) == 1 and "/openssl" in taken[0]["seen"] and taken[0]["subject"] == "tcp/25", taken
    finally:
        stranger.kill()
        stranger.wait()
