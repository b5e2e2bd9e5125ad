"""`puerto check` on the records of real name servers (BIND) seen through a real
resolver (Unbound): a world in which all is well, and worlds in which one thing is
not."""

import contextlib
import json
import pathlib
import tomllib

from peers import DNS_ADDRESS, Process, Puerto, listens, run, wait_for

ROOT = pathlib.Path(__file__).parents[2]
LISTS = tomllib.loads((ROOT / "crates/puerto/src/check/blocklists.toml").read_text())
NAME_SERVERS = ["127.0.0.54", "127.0.0.55"]
EGRESS = "185.20.30.40"
REVERSED = "40.30.20.185"


class Bind(Process):
    """An authoritative name server for these zones: name → lines of records."""

    def __init__(self, world, address, zones):
        folder = world.folder / f"bind-{address}"
        folder.mkdir(exist_ok=True)
        configuration = [
            f'options {{ directory "{folder}"; pid-file "{folder}/pid"; recursion no;',
            f"listen-on port 53 {{ {address}; }}; listen-on-v6 {{ none; }};",
            'empty-zones-enable no; allow-transfer { none; }; };', "controls { };"]
        for number, (zone, records) in enumerate(zones.items()):
            file = folder / f"{number}.zone"
            file.write_text(
                f"$ORIGIN {zone}.\n$TTL 3600\n"
                + "@ IN SOA ns1.example.com. root.example.com. 1 7200 900 1209600 300\n"
                + "@ IN NS ns1.example.com.\n@ IN NS ns2.example.com.\n"
                + "".join(f"{record}\n" for record in records))
            configuration.append(f'zone "{zone or "."}" {{ type primary; file "{file}"; }};')
        (folder / "named.conf").write_text("\n".join(configuration) + "\n")
        # BIND listens only at addresses that an interface is seen to have.
        run("ip", "address", "add", f"{address}/8", "dev", "lo", check=False)
        self.start_process(["named", "-g", "-c", folder / "named.conf"], folder / "log")
        self.listens = lambda: listens(address, 53)


class Resolver(Process):
    """An Unbound that asks these name servers for everything."""

    def __init__(self, world):
        folder = world.folder / "resolver"
        folder.mkdir(exist_ok=True)
        stubs = "".join(f"    stub-addr: {address}\n" for address in NAME_SERVERS)
        (folder / "unbound.conf").write_text(
            f"server:\n    interface: {DNS_ADDRESS}\n    do-ip6: no\n    do-daemonize: no\n"
            "    use-syslog: no\n    username: \"\"\n    chroot: \"\"\n"
            f"    directory: \"{folder}\"\n    pidfile: \"{folder}/pid\"\n"
            "    module-config: \"iterator\"\n    do-not-query-localhost: no\n"
            "    qname-minimisation: no\n    local-zone: \"127.in-addr.arpa.\" nodefault\n"
            f"stub-zone:\n    name: \".\"\n    stub-prime: no\n{stubs}"
            "remote-control:\n    control-enable: no\n")
        self.start_process(["unbound", "-d", "-c", folder / "unbound.conf"], folder / "log")
        self.listens = lambda: listens(DNS_ADDRESS, 53)


def healthy(keys):
    """The zones of a sender with whom all is well."""
    zones = {
        "": [f"ns{n}.example.com. IN A {ip}" for n, ip in enumerate(NAME_SERVERS, 1)],
        "example.com": [
            f"ns1 IN A {NAME_SERVERS[0]}", f"ns2 IN A {NAME_SERVERS[1]}",
            "@ IN MX 10 mail.example.com.", f"mail IN A {EGRESS}",
            f'@ IN TXT "v=spf1 ip4:{EGRESS} -all"', 'mail IN TXT "v=spf1 a -all"',
            '_dmarc IN TXT "v=DMARC1; p=none; rua=mailto:postmaster@example.com"',
            *keys],
        "in-addr.arpa": [f"{REVERSED} IN PTR mail.example.com."],
    }
    for entry in LISTS["list"]:
        if entry.get("access") != "key":
            zones[entry["zone"]] = ["2.0.0.127 IN A 127.0.0.2", "test IN A 127.0.0.2"]
    return zones


def replaced(zones, zone, old, new):
    """The zones with each record that begins with `old` replaced by others."""
    kept = [record for record in zones[zone] if not record.startswith(old)]
    assert len(kept) < len(zones[zone]), f"{zone} has no {old}"
    return zones | {zone: kept + new}


@contextlib.contextmanager
def served(world, *zones):
    """The name servers, the second with zones of its own if there are some, and the
    resolver."""
    running = []
    try:
        for address, own in zip(NAME_SERVERS, (zones[0], zones[-1])):
            running.append(Bind(world, address, own))
        running.append(Resolver(world))
        for peer in running:
            wait_for(type(peer).__name__, peer.listens)
        yield
    finally:
        for peer in running:
            peer.stop()


def check(puerto, *arguments):
    """The report: its exit code, the document, and what is wrong as a set of ids."""
    done = puerto.command("check", "example.com", "--egress", EGRESS, "--json", *arguments,
                          check=False)
    assert done.returncode in (0, 1, 2), done.stderr.decode()
    report = json.loads(done.stdout)
    found = {c["id"] for c in report["checks"]
             if c["status"] == "finding" and c["severity"] != "info"}
    return done.returncode, report, found


def sender(world):
    """A configuration with a key of each kind, and the records of both."""
    puerto = Puerto(world, start=False)
    world.running.remove(puerto)
    puerto.command("dkim", "new", "example.com", "--selector", "r", "--type", "rsa")
    puerto.command("dkim", "new", "example.com", "--selector", "e", "--type", "ed25519")
    records = []
    for key in json.loads(puerto.command("dkim", "list", "--json").stdout)["keys"]:
        value = key["record"]
        pieces = " ".join(f'"{value[i:i + 255]}"' for i in range(0, len(value), 255))
        records.append(f"{key['selector']}._domainkey IN TXT {pieces}")
    return puerto, records


def of(report, check_id):
    return [c for c in report["checks"] if c["id"] == check_id]


def test_a_healthy_world_has_no_findings(world):
    puerto, keys = sender(world)
    with served(world, healthy(keys)):
        code, report, found = check(puerto)
    wrong = [c for c in report["checks"] if c["status"] == "finding"]
    assert not found, json.dumps(wrong, indent=1)
    assert code in (0, 2), report["summary"]
    passed = {c["id"] for c in report["checks"] if c["status"] == "pass"}
    for expected in ("helo.resolves", "ptr.fcrdns", "spf.covers-ip", "dkim.key-match",
                     "dmarc.exists", "bl.spamhaus-zen", "bl.sanity"):
        assert expected in passed, (expected, of(report, expected))
    return f"{len(report['checks'])} checks"


def faults(zones):
    """Name, what the name servers serve, and the one check that must find it."""
    apex = f'@ IN TXT "v=spf1 ip4:{EGRESS}'
    yield "no PTR", [replaced(zones, "in-addr.arpa", REVERSED, [])], "ptr.exists"
    generic = replaced(zones, "in-addr.arpa", REVERSED, [
        f"{REVERSED} IN PTR host-185-20-30-40.dyn.example.net."])
    generic["example.net"] = [f"host-185-20-30-40.dyn IN A {EGRESS}"]
    yield "generic PTR", [generic], "ptr.generic"
    yield "no SPF", [replaced(zones, "example.com", apex, [])], "spf.exists"
    two = [f'@ IN TXT "v=spf1 ip4:{EGRESS} -all"', '@ IN TXT "v=spf1 mx -all"']
    yield "two SPF records", [replaced(zones, "example.com", apex, two)], "spf.single"
    other = ['@ IN TXT "v=spf1 ip4:192.0.2.1 -all"']
    yield "SPF for another", [replaced(zones, "example.com", apex, other)], "spf.covers-ip"
    eleven = ['@ IN TXT "v=spf1 ' + " ".join(f"a:a{i}.example.com" for i in range(11))
              + f' ip4:{EGRESS} -all"'] + [f"a{i} IN A 192.0.2.{i + 1}" for i in range(11)]
    yield "too many look-ups", [replaced(zones, "example.com", apex, eleven)], "spf.lookups"
    yield "no DMARC", [replaced(zones, "example.com", "_dmarc", [])], "dmarc.exists"
    yield "no key", [replaced(zones, "example.com", "e._domainkey", [])], "dkim.record-exists"
    key = next(r for r in zones["example.com"] if r.startswith("e._domainkey"))
    start, _, rest = key.partition("p=")
    wrong = [f"{start}p={rest[:4]}{'B' if rest[4] != 'B' else 'C'}{rest[5:]}"]
    mismatch = replaced(zones, "example.com", "e._domainkey", wrong)
    yield "another key", [mismatch], "dkim.key-match"
    yield "a name server behind", [zones, mismatch], "dns.ns-consistent"
    listed = ["2.0.0.127 IN A 127.0.0.2", f"{REVERSED} IN A 127.0.0.11"]
    yield "on the PBL", [zones | {"zen.spamhaus.org": listed}], "bl.spamhaus-zen"


def test_each_fault_is_named(world):
    puerto, keys = sender(world)
    names = 0
    for name, zones, expected in faults(healthy(keys)):
        with served(world, *zones):
            code, report, found = check(puerto)
        # The resolver may have asked the name server that is behind.
        allowed = {expected} | ({"dkim.key-match"} if name == "a name server behind" else set())
        assert expected in found and found <= allowed, (name, expected, found)
        assert code == 1, (name, code)
        remedy = next(c["remedy"] for c in of(report, expected) if c["status"] == "finding")
        assert remedy, name
        names += 1
    return f"{names} faults"


def test_a_list_that_refuses_the_resolver_is_no_listing(world):
    puerto, keys = sender(world)
    refusing = [f"{name} IN A 127.255.255.254" for name in ("2.0.0.127", "1.0.0.127", REVERSED)]
    zones = healthy(keys) | {"zen.spamhaus.org": refusing}
    with served(world, zones):
        _, report, found = check(puerto)
    assert "bl.spamhaus-zen" not in found, of(report, "bl.spamhaus-zen")
    unknown = [c for c in of(report, "bl.spamhaus-zen") if c["status"] == "unknown"]
    assert unknown and DNS_ADDRESS in unknown[0]["seen"], of(report, "bl.spamhaus-zen")


def test_a_name_server_that_refuses_is_named_and_nothing_is_concluded(world):
    puerto, keys = sender(world)
    zones = healthy(keys)
    refusing = {name: zones[name] for name in zones if name not in ("", "example.com")}
    with served(world, zones, refusing):
        _, report, found = check(puerto)
    assert not found, found
    consistent = of(report, "dns.ns-consistent")[0]
    assert consistent["status"] == "unknown", consistent
    assert "ns2.example.com" in consistent["seen"] and consistent["remedy"], consistent


def test_a_domain_that_nobody_registered_is_named_first(world):
    puerto, keys = sender(world)
    with served(world, healthy(keys)):
        for domain in ("nobody.org", "shop.nobody.org"):
            done = puerto.command("check", domain, "--egress", EGRESS, "--json", check=False)
            report = json.loads(done.stdout)
            first = report["checks"][0]
            assert done.returncode == 1, report["summary"]
            assert (first["id"], first["subject"]) == ("dns.sender-resolves", domain), first
            assert "nobody.org does not exist" in first["seen"], first
            assert "register nobody.org" in report["summary"], report["summary"]
            others = {c["id"] for c in report["checks"][1:] if c["status"] == "finding"}
            assert not others - {"ptr.own-domain", "net.resolver-dnssec"}, others
            shown = puerto.command("dns", domain, "--egress", EGRESS).stdout.decode()
            assert shown.splitlines()[2].startswith("! nobody.org does not exist"), shown
