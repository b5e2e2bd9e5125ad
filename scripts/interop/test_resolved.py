"""`puerto check` and `puerto dns` behind a real systemd-resolved, which answers for this
machine's own name and addresses by itself: what nobody else sees counts for nothing."""

import json
import pathlib
import shutil

from peers import Process, Skipped, run, wait_for
from test_check import EGRESS, REVERSED, Bind, healthy, replaced, sender

RESOLVED = pathlib.Path("/lib/systemd/systemd-resolved")
STUB, AUTHORITY = "127.0.0.53", "127.0.0.57"


class Resolved(Process):
    """systemd-resolved on a machine that is called mail.example.com, without systemd."""

    def __init__(self, world):
        if not RESOLVED.exists():
            raise Skipped("systemd-resolved is not installed")
        # With loopback alone it takes the network to be down.
        run("ip", "link", "add", "outside", "type", "veth", "peer", "name", "further")
        run("ip", "address", "add", f"{EGRESS}/24", "dev", "outside")
        for link in ("outside", "further"):
            run("ip", "link", "set", link, "up")
        folder = pathlib.Path("/run/systemd/resolve")
        shutil.rmtree(folder, ignore_errors=True)
        run("install", "-d", "-o", "systemd-resolve", "-g", "systemd-resolve", folder)
        settings = pathlib.Path("/etc/systemd/resolved.conf.d")
        settings.mkdir(parents=True, exist_ok=True)
        (settings / "puerto.conf").write_text(
            f"[Resolve]\nDNS={AUTHORITY}\nDNSSEC=no\nLLMNR=no\nMulticastDNS=no\nCache=no\n")
        self.start_process(
            ["unshare", "--uts", "sh", "-c", f"hostname mail.example.com; exec {RESOLVED}"],
            world.folder / "resolved")
        world.add(self)
        wait_for("systemd-resolved", lambda: self.says("-x", EGRESS), 8)

    @staticmethod
    def says(*question):
        done = run("dig", "+short", "+tries=1", "+time=1", f"@{STUB}", *question, check=False)
        return b"" if done.returncode else done.stdout


def authority(world, zones):
    """The server of all zones, whose own names lead to itself."""
    zones = zones | {"": [f"ns{n}.example.com. IN A {AUTHORITY}" for n in (1, 2)]}
    zones = replaced(zones, "example.com", "ns", [f"ns{n} IN A {AUTHORITY}" for n in (1, 2)])
    served = Bind(world, AUTHORITY, zones)
    world.add(served)
    answer = ("dig", "+short", "+tries=1", f"@{AUTHORITY}", "example.com", "SOA")
    wait_for("BIND", lambda: b"ns1" in run(*answer, check=False).stdout)
    return served


def test_what_systemd_resolved_makes_up_is_no_reverse_dns(world):
    puerto, keys = sender(world)
    zones = healthy(keys)
    bare = replaced(replaced(zones, "in-addr.arpa", REVERSED, []), "example.com", "mail IN A", [])
    served = authority(world, bare)
    resolved = Resolved(world)
    assert b"mail.example.com" in resolved.says("-x", EGRESS), "it makes up the reverse name"
    for asked, expected in (("check", {"ptr.exists", "helo.resolves"}), ("dns", None)):
        done = puerto.command("--lang", "en", asked, "example.com", "--egress", EGRESS, "--json",
                              check=False)
        document = json.loads(done.stdout)
        if expected:
            found = {c["id"] for c in document["checks"] if c["status"] == "finding"}
            assert expected <= found, [(c["id"], c["status"], c["seen"]) for c in document["checks"]
                                       if c["id"].split(".")[0] in ("ptr", "helo", "dns")]
            assert "ptr.fcrdns" not in {
                c["id"] for c in document["checks"] if c["status"] == "pass"}, found
        else:
            new = [r for r in document["records"] if r["name"] == "mail.example.com"
                   and r["type"] == "A"]
            assert [r["state"] for r in new] == ["new"], document["records"]
            assert document["ptr"][0]["state"] != "keep", document["ptr"]
    served.stop()
    served = authority(world, zones)
    done = puerto.command("check", "example.com", "--egress", EGRESS, "--json", "--only", "ptr",
                          "--only", "helo", check=False)
    wrong = [c for c in json.loads(done.stdout)["checks"] if c["status"] != "pass"
             and c["status"] != "not-applicable" and c["severity"] == "error"]
    assert not wrong, wrong
