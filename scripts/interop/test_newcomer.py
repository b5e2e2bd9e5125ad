"""From a bare machine to mail that is accepted, doing only what `setup`, `dns` and
`check` say, with BIND as the domain's name server and Unbound as the resolver."""

import json
import os
import re

import peers
from peers import Unbound, run
from test_dns import Bind

AUTHORITY = "127.0.0.54"
# Not where systemd-resolved is: what that says of this machine's own names counts for
# nothing with `check`.
RESOLVER = "127.0.0.52"
EGRESS = "192.0.2.25"


class Newcomer:
    """Somebody with a binary, a folder for a machine, and a name server."""

    def __init__(self, world, bind):
        self.root = world.folder / "machine"
        self.binary, self.bind = os.environ["PUERTO_BINARY"], bind
        self.configuration = self.root / "etc/puerto/puerto.toml"

    def puerto(self, *arguments, check=True):
        return run(self.binary, "--lang", "en", *arguments, check=check)

    def set_up(self):
        done = self.puerto("setup", "example.com", "--hostname", "mail.example.com", "--yes",
                           "--root", self.root)
        # The folder stands for the whole machine: what is /etc there is in it here, and
        # the resolver of this network namespace is Unbound.
        text = self.configuration.read_text()
        for table, key, value in [("dkim", "directory", f'"{self.root}/etc/puerto/dkim"'),
                                  ("dns", "servers", f'["{RESOLVER}:53"]'),
                                  ("local", "aliases", f'"{self.root}/aliases"')]:
            line = rf"(?m)(^#?\[{table}\]\n(?:[^\[\n].*\n|\n)*?)#?{key} = .*$"
            text, times = re.subn(line, rf"\g<1>{key} = {value}", text)
            assert times == 1, f"{table}.{key} stands {times} times in what setup wrote"
        self.configuration.write_text(text)
        (self.root / "aliases").write_text("postmaster: root\nabuse: root\n")
        return done.stdout.decode()

    def publish(self):
        self.puerto("--config", self.configuration, "dns", "example.com", "--egress", EGRESS,
                    "--update", AUTHORITY, "--key", self.bind.key, "--yes")

    def ask_the_hosting_company(self):
        """For the PTR record, in the words that `puerto dns` gave."""
        plan = json.loads(self.puerto("--config", self.configuration, "dns", "example.com",
                                      "--egress", EGRESS, "--format", "json").stdout)
        assert "mail.example.com" in json.dumps(plan["ptr"]), plan["ptr"]
        run("nsupdate", "-k", self.bind.key, input=(
            f"server {AUTHORITY}\nzone 192.in-addr.arpa\n"
            "update add 25.2.0.192.in-addr.arpa. 3600 PTR mail.example.com.\nsend\n").encode())

    def check(self):
        done = self.puerto("--config", self.configuration, "check", "example.com", "--egress",
                           EGRESS, "--json", check=False)
        report = json.loads(done.stdout)
        findings = [c for c in report["checks"] if c["status"] == "finding"]
        return done.returncode, report, findings


def test_a_newcomer_reaches_mail_that_is_accepted(world):
    peers.DNS_ADDRESS = RESOLVER
    bind = Bind(world, address=AUTHORITY)
    resolver = Unbound(world, [], stubs={"example.com": AUTHORITY, "2.0.192.in-addr.arpa": AUTHORITY})
    newcomer = Newcomer(world, bind)
    said = newcomer.set_up()
    assert "_domainkey" in said and "puerto check" in said, said
    code, _, findings = newcomer.check()
    errors = {f["id"] for f in findings if f["severity"] == "error"}
    assert code == 1 and {"spf.exists", "dkim.record-exists", "ptr.exists"} <= errors, errors
    newcomer.publish()
    newcomer.ask_the_hosting_company()
    # A resolver remembers for a while what was not there; that while has passed.
    resolver.stop()
    resolver.start()
    code, report, findings = newcomer.check()
    assert code == 0, json.dumps(findings, indent=1)
    refusing = [name for name, r in report["receivers"].items() if r["verdict"] == "refuse"]
    assert not refusing, report["receivers"]
