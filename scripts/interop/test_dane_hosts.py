"""Forty made hosts: what we make of a host's certificate by its TLSA records, beside what
OpenSSL's s_client and Postfix's posttls-finger make of it. The rows are those of RFC 7671 and
RFC 7672, and what has gone wrong for people.

Where the others differ by design, it is said why."""

import hashlib
import pathlib
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

from peers import DNS_ADDRESS, RECORDS, Authority, Puerto, Unbound, run, wait_for
from test_transport import send, sink

ZONE = "example.org"
WRONG = {1: "00" * 32, 2: "00" * 64}


def der(pem):
    return run("openssl", "x509", "-in", pem, "-outform", "DER").stdout


def spki(pem):
    key = run("openssl", "x509", "-in", pem, "-noout", "-pubkey").stdout
    return subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=key,
                          stdout=subprocess.PIPE, check=True).stdout


def record(usage, selector, matching, pem):
    part = der(pem) if selector == 0 else spki(pem)
    data = {0: part.hex(), 1: hashlib.sha256(part).hexdigest(),
            2: hashlib.sha512(part).hexdigest()}[matching]
    return f"{usage} {selector} {matching} {data}"


class Made:
    """The certificates that hosts have."""

    def __init__(self, world):
        self.root = Authority(world.folder / "root")
        self.other = Authority(world.folder / "other")
        self.below = self.root.authority_below("below")
        self.folder = world.folder / "made"
        self.folder.mkdir()

    def chained(self, name, leaf, *others):
        """A leaf's key, and a file of it and of those above it."""
        certificate, key = leaf
        file = self.folder / f"{name}.chain"
        file.write_text("".join(pathlib.Path(pem).read_text() for pem in (certificate, *others)))
        return file, key

    def own(self, name):
        """A certificate that vouches for itself."""
        key, certificate = self.folder / f"{name}.key", self.folder / f"{name}.pem"
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}",
            "-addext", f"subjectAltName=DNS:{name}", "-days", "2", "-keyout", key,
            "-out", certificate)
        return certificate, key


def hosts(made):
    """Name → records, chain, key, whether mail goes there, and who else is asked: `all`, or the
    reason why only we are."""
    rows = {}

    def host(name, records, chain, goes, others="all"):
        assert name not in rows
        rows[name] = (records, chain, goes, others)

    def name_of(name):
        return f"mx-{name}.{ZONE}"

    # DANE-EE, each selector and matching type, right and wrong (RFC 7671 §5.1).
    plain = made.own("anything.example.edu")
    for selector in (0, 1):
        for matching in (0, 1, 2):
            name = f"ee-{selector}{matching}"
            host(name, [record(3, selector, matching, plain[0])], plain, True)
    for matching in (1, 2):
        host(f"ee-wrong-{matching}", [f"3 1 {matching} {WRONG[matching]}"], plain, False)
    # One that matches is enough, wherever it stands; that is how keys are rolled.
    right = record(3, 1, 1, plain[0])
    host("rolled-before", [right, f"3 1 1 {WRONG[1]}"], plain, True)
    host("rolled-after", [f"3 1 1 {WRONG[1]}", f"3 0 1 {WRONG[1]}", right], plain, True)
    host("both-usages", [right, f"2 1 1 {WRONG[1]}"], plain, True)
    # Neither names nor dates matter to it.
    expired = made.root.issue("old.example.edu", days=-1)
    host("ee-expired", [record(3, 1, 1, expired[0])], expired, True)
    host("ee-other-name", [right], plain, True)
    below = made.below.issue("elsewhere.example.edu")
    host("ee-below", [record(3, 1, 1, below[0])], below, True)
    # A certificate renewed with the same key keeps its record if that is of the key.
    renewed = made.folder / "renewed.pem"
    run("openssl", "req", "-x509", "-new", "-key", plain[1], "-subj", "/CN=renewed", "-days", "1",
        "-out", renewed)
    host("renewed-311", [right], (renewed, plain[1]), True)
    host("renewed-301", [record(3, 0, 1, plain[0])], (renewed, plain[1]), False)
    # DANE-TA: the authority in the chain, name and dates checked (RFC 7672 §3.1.2).
    def leaf(name, authority=None, **more):
        return (authority or made.root).issue(name_of(name), **more)

    for selector in (0, 1):
        for matching in (1, 2):
            name = f"ta-{selector}{matching}"
            chain = made.chained(name, leaf(name), made.root.certificate)
            host(name, [record(2, selector, matching, made.root.certificate)], chain, True)
    chain = made.chained("ta-not-sent", leaf("ta-not-sent"))
    host("ta-not-sent", [record(2, 0, 1, made.root.certificate)], chain, False)
    chain = made.chained("ta-whole", leaf("ta-whole"))
    host("ta-whole", [record(2, 0, 0, made.root.certificate)], chain, True)
    chain = made.chained("ta-whole-sent", leaf("ta-whole-sent"), made.root.certificate)
    host("ta-whole-sent", [record(2, 0, 0, made.root.certificate)], chain, True)
    chain = made.chained("ta-key-whole", leaf("ta-key-whole"), made.root.certificate)
    host("ta-key-whole", [record(2, 1, 0, made.root.certificate)], chain, True)
    for name, authority in (("ta-below", made.below), ("ta-root-of-below", made.root)):
        chain = made.chained(name, leaf(name, made.below), made.below.certificate,
                             made.root.certificate)
        host(name, [record(2, 1, 1, authority.certificate)], chain, True)
    chain = made.chained("ta-below-alone", leaf("ta-below-alone", made.below),
                         made.below.certificate)
    host("ta-below-alone", [record(2, 0, 1, made.below.certificate)], chain, True)
    chain = made.chained("ta-other", leaf("ta-other"), made.root.certificate)
    host("ta-other", [record(2, 0, 1, made.other.certificate)], chain, False)
    # One that is sent and vouches for nobody in the chain.
    chain = made.chained("ta-beside", leaf("ta-beside"), made.other.certificate)
    host("ta-beside", [record(2, 0, 1, made.other.certificate)], chain, False)
    stranger = made.root.issue("stranger.example.edu")
    chain = made.chained("ta-name", stranger, made.root.certificate)
    host("ta-name", [record(2, 1, 1, made.root.certificate)], chain, False)
    # The recipient's domain will do as well.
    domain = made.root.issue(f"ta-domain.{ZONE}")
    chain = made.chained("ta-domain", domain, made.root.certificate)
    host("ta-domain", [record(2, 1, 1, made.root.certificate)], chain, True,
         "s_client is not told the domain")
    wildcard = made.root._sign("wildcard", f"subjectAltName=DNS:*.{ZONE}\n", 2)
    chain = made.chained("ta-wildcard", wildcard, made.root.certificate)
    host("ta-wildcard", [record(2, 1, 1, made.root.certificate)], chain, True)
    # An authority's record that the host's own certificate has is no authority's.
    host("ta-self", [record(2, 0, 1, plain[0])], plain, False,
         "s_client takes a self-signed certificate for its own authority; the name differs")
    # Unusable ones: TLS, and no certificate (RFC 7672 §2.2).
    for name, one in (("pkix-ee", record(1, 1, 1, plain[0])), ("pkix-ta", f"0 0 1 {WRONG[1]}"),
                      ("usage-255", f"255 1 1 {WRONG[1]}"), ("selector-2", f"3 2 1 {WRONG[1]}"),
                      ("matching-3", f"3 1 3 {WRONG[1]}"), ("short-digest", "3 1 1 0011"),
                      ("long-digest", f"3 1 1 {WRONG[2]}")):
        host(f"un-{name}", [one], plain, True, "unusable: nobody authenticates")
    host("un-beside-right", ["3 1 9 0011", right], plain, True)
    host("un-beside-wrong", ["3 1 9 0011", f"3 1 1 {WRONG[1]}"], plain, False)
    return rows


def signed_zone(world, rows):
    lines = ["$TTL 60", "@ IN SOA ns hostmaster 1 3600 600 86400 60", "@ IN NS ns",
             "ns IN A 127.0.0.53", "forged IN A 192.0.2.1"]
    for place, (name, (records, *_)) in enumerate(rows.items(), 1):
        lines += [f"{name} IN MX 10 mx-{name}", f"mx-{name} IN A 127.0.5.{place}"]
        for one in records:
            # What a zone's tools refuse to write they take as octets (RFC 3597).
            usage, selector, matching, data = one.split()
            octets = bytes([int(usage), int(selector), int(matching)]) + bytes.fromhex(data)
            lines.append(f"_25._tcp.mx-{name} IN TYPE52 \\# {len(octets)} {octets.hex()}")
    folder = world.folder / "signed"
    folder.mkdir()
    (folder / "zone").write_text("\n".join(lines) + "\n")
    for kind in (["-f", "KSK"], []):
        run("dnssec-keygen", "-q", "-a", "ECDSAP256SHA256", *kind, ZONE, cwd=folder)
    run("dnssec-signzone", "-S", "-O", "full", "-o", ZONE, "zone", cwd=folder)
    return folder / "zone.signed", folder / f"dsset-{ZONE}."


def openssl_takes(name, place, records):
    """Whether s_client verifies the host by its records."""
    arguments = [part for one in records for part in ("-dane_tlsa_rrdata", one)]
    done = subprocess.run(
        ["openssl", "s_client", "-starttls", "smtp", "-connect", f"127.0.5.{place}:25",
         "-dane_tlsa_domain", f"mx-{name}.{ZONE}", *arguments, "-dane_ee_no_namechecks",
         "-verify_return_error", "-brief"],
        input=b"QUIT\r\n", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20)
    said = done.stdout.decode(errors="replace")
    return "Verification: OK" in said, said


def postfix_takes(world, name):
    """Whether posttls-finger does. It asks whom resolv.conf names."""
    resolv = world.folder / "resolv.conf"
    resolv.write_text(f"nameserver {DNS_ADDRESS}\noptions trust-ad\n")
    asked = f"posttls-finger -l dane -c {name}.{ZONE}"
    done = run("unshare", "--mount", "--propagation", "private", "sh", "-c",
               f"mount --bind {resolv} /etc/resolv.conf && {asked}", check=False)
    said = (done.stdout + done.stderr).decode(errors="replace")
    return "Verified TLS connection" in said, said


def test_openssl_and_postfix_agree_with_us_on_forty_hosts(world):
    rows = hosts(Made(world))
    assert len(rows) >= 40, len(rows)
    zone, anchor = signed_zone(world, rows)
    Unbound(world, RECORDS, zones={ZONE: zone}, anchors=[anchor])
    sinks = {name: sink(world, f"127.0.5.{place}", chain)
             for place, (name, (_, chain, *_)) in enumerate(rows.items(), 1)}
    puerto = Puerto(world, start=False)
    text = puerto.configuration.read_text()
    puerto.configuration.write_text(text.replace(
        "[dns]\n", f'[dns]\nsigned_name = "{ZONE}"\nbogus_name = ""\n'))
    puerto.start()
    puerto.says("DANE: active")
    for name in rows:
        send(puerto, f"{name}.{ZONE}")

    def ended():
        found = re.findall(rf"to=<user@([a-z0-9-]+)\.{re.escape(ZONE)}>.*status=(\w+)",
                           puerto.log())
        return len(dict(found)) == len(rows) and dict(found)
    ours = wait_for("all mail", ended, 60)
    wrong = [f"{name}: {ours[name]}, mail must {'go' if goes else 'wait'}"
             for name, (_, _, goes, _) in rows.items()
             if (ours[name] == "sent") != goes or bool(sinks[name].mail) != goes]
    for name in rows:
        assert all(sinks[name].mail), f"{name}: in plain text"
    others = {name: goes for name, (_, _, goes, why) in rows.items() if why == "all"}
    places = {name: place for place, name in enumerate(rows, 1)}
    with ThreadPoolExecutor(4) as pool:
        asked = {name: pool.submit(openssl_takes, name, places[name], rows[name][0])
                 for name in others}
        for name, answer in asked.items():
            takes, said = answer.result()
            if takes != others[name]:
                wrong.append(f"{name}: s_client says {takes}: {said}")
    agreed = 0
    if shutil.which("posttls-finger"):
        for name, (_, _, goes, why) in rows.items():
            if why.startswith("unusable"):
                continue
            takes, said = postfix_takes(world, name)
            if takes != goes:
                wrong.append(f"{name}: posttls-finger says {takes}: {said}")
            agreed += 1
    assert not wrong, "\n".join(wrong)
    return f"{len(rows)} hosts, {len(others)} by OpenSSL, {agreed} by Postfix"
