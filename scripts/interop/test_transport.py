"""DANE and MTA-STS towards real hosts: zones that BIND's tools have signed, Unbound that
validates them, certificates of OpenSSL's, and Postfix's own judgement beside ours."""

import base64
import hashlib
import json
import shutil
import smtplib
import ssl

from peers import (DNS_ADDRESS, RECORDS, WEB_ADDRESS, Authority, MailSink, Puerto, Unbound, page,
                   run, server_context, wait_for, web)

PATH = "/.well-known/mta-sts.txt"


def sink(world, address, certificate=None, behind=()):
    return MailSink(world, address, certificate and server_context(certificate), behind)


def key_digest(certificate):
    """What a record `3 1 1` says of a certificate."""
    pem = run("openssl", "x509", "-in", certificate, "-noout", "-pubkey").stdout.decode()
    lines = [line for line in pem.strip().splitlines() if not line.startswith("-")]
    return hashlib.sha256(base64.b64decode("".join(lines))).hexdigest()


# Name → the records of its host by the right digest, whether it has TLS, what becomes of
# mail, and why.
WRONG = "0" * 64
HOSTS = {
    "right": (["3 1 1 {right}"], True, "sent", "DANE: 3 1 1 matched"),
    "rolled": (["3 1 1 " + WRONG, "3 1 1 {right}"], True, "sent", "DANE: 3 1 1 matched"),
    "wrong": (["3 1 1 " + WRONG], True, "deferred", "DANE: 3 1 1 published"),
    "plain": (["3 1 1 {right}"], False, "deferred", "DANE: 3 1 1 published"),
    "unusable": (["1 1 1 {right}"], True, "sent", "DANE: no usable TLSA record"),
    "unusable-plain": (["3 1 9 {right}"], False, "deferred", "DANE: no usable TLSA record"),
    "without": ([], True, "sent", ""),
}


def sign(folder, lines):
    """The zone example.org of these lines, signed, and its anchor."""
    folder.mkdir()
    head = ["$TTL 60", "@ IN SOA ns hostmaster 1 3600 600 86400 60", "@ IN NS ns",
            "ns IN A 127.0.0.53"]
    (folder / "zone").write_text("\n".join(head + lines) + "\n")
    for kind in (["-f", "KSK"], []):
        run("dnssec-keygen", "-q", "-a", "ECDSAP256SHA256", *kind, "example.org", cwd=folder)
    run("dnssec-signzone", "-S", "-O", "full", "-o", "example.org", "zone", cwd=folder)
    return folder / "zone.signed", folder / "dsset-example.org."


def signed_zone(world, digest):
    """That zone with all hosts, some of it altered afterwards."""
    lines = ["insecure IN MX 10 host.example.edu.",
             "bogus IN MX 10 mx-without", "forged IN A 192.0.2.1",
             "relay IN A 127.0.2.99", f"_25._tcp.relay IN TLSA 3 1 1 {digest}"]
    for place, (name, (records, *_)) in enumerate(HOSTS.items(), 1):
        lines += [f"{name} IN MX 10 mx-{name}", f"mx-{name} IN A 127.0.2.{place}"]
        lines += [f"_25._tcp.mx-{name} IN TLSA {record.format(right=digest)}"
                  for record in records]
    signed, anchor = sign(world.folder / "signed", lines)
    text = signed.read_text()
    altered = "\n".join(
        line.replace("10 mx-without", "11 mx-without") if line.startswith("bogus.") else line
        for line in text.replace("192.0.2.1", "192.0.2.2").splitlines()) + "\n"
    assert altered.count("11 mx-without") == 1 and "192.0.2.2" in altered
    signed.write_text(altered)
    return signed, anchor


def send(puerto, domain):
    run(puerto.sendmail, "-f", "me@example.com", f"user@{domain}", input=b"Subject: x\n\nhi\n")


def line_about(puerto, domain):
    def find():
        lines = [line for line in puerto.log().splitlines()
                 if f"to=<user@{domain}>" in line and "status=" in line]
        return lines[-1:] and lines[-1]
    return wait_for(f"mail for {domain}", find)


def secured(world, sections=""):
    """Everything that DANE needs."""
    certificate = Authority(world.folder / "stranger").issue("nobody.example.org")
    zone, anchor = signed_zone(world, key_digest(certificate[0]))
    records = RECORDS + ["host.example.edu. IN A 127.0.2.50"]
    Unbound(world, records, zones={"example.org": zone}, anchors=[anchor])
    sinks = {name: sink(world, f"127.0.2.{place}", certificate if tls else None)
             for place, (name, (_, tls, *_)) in enumerate(HOSTS.items(), 1)}
    sinks["insecure"] = sink(world, "127.0.2.50", certificate)
    puerto = Puerto(world, start=False, sections=sections)
    text = puerto.configuration.read_text()
    puerto.configuration.write_text(text.replace(
        "[dns]\n", '[dns]\nsigned_name = "example.org"\nbogus_name = "forged.example.org"\n'))
    return puerto, sinks, certificate


def test_dane_decides_by_the_records_of_each_host(world):
    puerto, sinks, _ = secured(world)
    puerto.start()
    puerto.says("DANE: active")
    for name in [*HOSTS, "insecure", "bogus"]:
        send(puerto, f"{name}.example.org")
    for name, (_, tls, status, reason) in HOSTS.items():
        line = line_about(puerto, f"{name}.example.org")
        assert f"status={status}" in line and reason in line, line
        assert len(sinks[name].mail) == (status == "sent"), line
        assert tls or not sinks[name].mail, "in plain text"
    line = line_about(puerto, "wrong.example.org")
    assert "no TLSA record of mx-wrong.example.org matches the certificate" in line, line
    # Whoever asked for this host's records would get SERVFAIL, and mail would never go.
    assert "status=sent" in line_about(puerto, "insecure.example.org")
    line = line_about(puerto, "bogus.example.org")
    assert "status=deferred" in line and "MX of bogus.example.org" in line, line
    done = puerto.command("why", "user@right.example.org", check=False)
    assert b"DANE: 3 1 1 matched" in done.stdout, done.stdout
    postfix_agrees(world)


def postfix_agrees(world):
    """posttls-finger, where it is, verifies the same hosts. It asks whom resolv.conf names."""
    if not shutil.which("posttls-finger"):
        return
    resolv = world.folder / "resolv.conf"
    resolv.write_text(f"nameserver {DNS_ADDRESS}\noptions trust-ad\n")
    for name, (records, tls, status, _) in HOSTS.items():
        if not records or not tls or name == "unusable":
            continue
        asked = f"posttls-finger -l dane -c {name}.example.org"
        done = run("unshare", "--mount", "--propagation", "private", "sh", "-c",
                   f"mount --bind {resolv} /etc/resolv.conf && {asked}", check=False)
        said = (done.stdout + done.stderr).decode(errors="replace")
        assert "TLS connection established" in said, said
        assert ("Verified TLS connection" in said) == (status == "sent"), f"{name}: {said}"


def test_a_resolver_that_validates_is_told_from_one_that_does_not(world):
    puerto, _, _ = secured(world)
    world.running.remove(puerto)

    def check():
        done = puerto.command("check", "example.com", "--only", "net.resolver-dnssec", "--json",
                              "--lang", "en", check=False, env=puerto.environment)
        [found] = json.loads(done.stdout)["checks"]
        return found["status"], found["seen"]

    status, seen = check()
    assert status == "pass" and "DANE: active" in seen, seen
    text = puerto.configuration.read_text()
    # Nobody has signed it.
    puerto.configuration.write_text(text.replace('"example.org"', '"example.net"'))
    status, seen = check()
    assert status == "finding" and "does not validate" in seen, seen
    puerto.configuration.write_text(text.replace("forged.example.org", "relay.example.org"))
    status, seen = check()
    assert status == "finding" and "whose signatures are wrong" in seen, seen


def publishing(policies):
    """Serves the policies of these domains."""
    def answer(request):
        policy = policies.get(request.headers["Host"].removeprefix("mta-sts."))
        found = policy is not None and request.path == PATH
        page(request, (policy or "").encode(), 200 if found else 404)
    return answer


def policy(mode, host):
    return f"version: STSv1\r\nmode: {mode}\r\nmx: {host}\r\nmax_age: 604800\r\n"


# Domain → its policy, whether its host has the right certificate, what becomes of mail, and why.
POLICIES = {
    "good": (policy("enforce", "*.good.example.net"), True, "sent",
             "MTA-STS enforce: mx pattern *.good.example.net"),
    "stranger": (policy("enforce", "mx.stranger.example.net"), False, "deferred",
                 "MTA-STS enforce: mx pattern mx.stranger.example.net"),
    "elsewhere": (policy("enforce", "mx.other.example.net"), True, "deferred",
                  "does not name its MX host"),
    "testing": (policy("testing", "mx.other.example.net"), False, "sent", "MTA-STS testing"),
    "missing": (None, False, "sent", ""),
}


def test_policies_are_obeyed_and_outlive_the_host_that_publishes_them(world):
    records = list(RECORDS)
    for place, name in enumerate(POLICIES, 1):
        domain = f"{name}.example.net"
        records += [f"{domain}. IN MX 10 mx.{domain}.", f"mx.{domain}. IN A 127.0.3.{place}",
                    f'_mta-sts.{domain}. IN TXT "v=STSv1; id=1;"',
                    f"mta-sts.{domain}. IN A {WEB_ADDRESS}"]
    Unbound(world, records)
    stranger = Authority(world.folder / "stranger").issue("nobody.example.org")
    sinks = {}
    for place, (name, (_, right, *_)) in enumerate(POLICIES.items(), 1):
        certificate = world.authority.issue(f"mx.{name}.example.net") if right else stranger
        sinks[name] = sink(world, f"127.0.3.{place}", certificate)
    names = ",".join(f"DNS:mta-sts.{name}.example.net" for name in POLICIES)
    publisher = world.authority._sign("publisher", f"subjectAltName={names}\n", 2)
    puerto = Puerto(world)
    texts = {f"{name}.example.net": text for name, (text, *_) in POLICIES.items()}
    with web(publisher, publishing(texts)):
        for name in POLICIES:
            send(puerto, f"{name}.example.net")
        for name, (_, _, status, reason) in POLICIES.items():
            line = line_about(puerto, f"{name}.example.net")
            assert f"status={status}" in line and reason in line, line
            assert len(sinks[name].mail) == (status == "sent"), line
    kept = puerto.state / "mta-sts"
    wait_for("the policies to be kept", lambda: kept.exists() and
             len(kept.read_text().splitlines()) == len(POLICIES) - 1)
    assert kept.stat().st_mode & 0o777 == 0o640
    # Nobody publishes them any more, and they hold.
    puerto.stop()
    puerto.mail_log.unlink()
    puerto.start()
    send(puerto, "stranger.example.net")
    line = line_about(puerto, "stranger.example.net")
    assert "status=deferred" in line and "MTA-STS enforce" in line, line
    assert not sinks["stranger"].mail


# Domain → whether its host has a certificate of its own name, what it offers under TLS, what
# becomes of mail that requires TLS, and why.
REQUIRING = {
    "dane.example.org": (False, True, "sent", "DANE: 3 1 1 matched"),
    "certified.example.org": (True, True, "sent", "nobody could have forged the host's name"),
    "stranger.example.org": (False, True, "bounced", "dsn=5.7.10"),
    "lacks.example.org": (True, False, "bounced", "dsn=5.7.30"),
    "policy.example.net": (True, True, "sent", "MTA-STS enforce"),
    "unsigned.example.net": (True, True, "bounced", "dsn=5.7.30"),
    # Its own host, which needs no MX record.
    "alone.example.net": (True, True, "sent", "nobody could have forged the host's name"),
}


def test_mail_that_requires_tls_goes_to_hosts_that_prove_who_they_are(world):
    """RFC 8689 towards hosts of these tests: Postfix speaks it from 3.11 on, which Debian does not
    have, and Exim's experiment was taken out again. The client is Python's, and the proofs are
    BIND's signatures, Unbound's word and OpenSSL's certificates."""
    stranger = Authority(world.folder / "stranger").issue("nobody.example.org")
    lines, records = [], [*RECORDS, f"mta-sts.policy.example.net. IN A {WEB_ADDRESS}",
                          '_mta-sts.policy.example.net. IN TXT "v=STSv1; id=1;"']
    sinks = {}
    for place, (domain, (right, offers, *_)) in enumerate(REQUIRING.items(), 1):
        host = domain if domain.startswith("alone") else f"mx.{domain}"
        written = [f"{host}. IN A 127.0.6.{place}"]
        written += [f"{domain}. IN MX 10 {host}."] if host != domain else []
        (lines if domain.endswith(".org") else records).extend(written)
        certificate = world.authority.issue(host) if right else stranger
        sinks[domain] = sink(world, f"127.0.6.{place}", certificate,
                             ["REQUIRETLS"] if offers else ["SIZE"])
    lines.append(f"_25._tcp.mx.dane IN TLSA 3 1 1 {key_digest(stranger[0])}")
    zone, anchor = sign(world.folder / "signed", lines)
    Unbound(world, records, zones={"example.org": zone}, anchors=[anchor])
    certificate, key = world.authority.issue("mail.example.com")
    puerto = Puerto(world, start=False,
                    sections=f'[tls]\ncertificate = "{certificate}"\nkey = "{key}"\n')
    text = puerto.configuration.read_text()
    puerto.configuration.write_text(text.replace(
        "[dns]\n", '[dns]\nsigned_name = "example.org"\nbogus_name = ""\n'))
    puerto.start()
    publisher = world.authority.issue("mta-sts.policy.example.net")
    policies = {"policy.example.net": policy("enforce", "mx.policy.example.net")}
    context = ssl.create_default_context(cafile=world.authority.certificate)
    with web(publisher, publishing(policies)), smtplib.SMTP("127.0.0.20", 25) as client:
        client.ehlo()
        assert not client.has_extn("requiretls"), "nobody could keep that in plain text"
        client._host = "mail.example.com"
        client.starttls(context=context)
        client.ehlo()
        assert client.has_extn("requiretls")
        for domain in REQUIRING:
            client.sendmail("me@example.com", [f"user@{domain}"], b"Subject: x\r\n\r\nhi\r\n",
                            ["REQUIRETLS"])
        for domain, (_, _, status, reason) in REQUIRING.items():
            line = line_about(puerto, domain)
            assert f"status={status}" in line and reason in line, line
    for domain, (_, _, status, _) in REQUIRING.items():
        asked = [line for line in sinks[domain].senders if "REQUIRETLS" in line]
        assert len(asked) == len(sinks[domain].mail) == (status == "sent"), (domain, asked)
        assert None not in sinks[domain].mail, domain


def test_what_a_message_wants_of_tls_is_shown_while_it_waits(world):
    Unbound(world, [*RECORDS, "away.example.net. IN A 127.0.6.99"])
    puerto = Puerto(world)
    run(puerto.sendmail, "-f", "me@example.com", "user@away.example.net",
        input=b"Subject: x\nTLS-Required: No\n\nhi\n")
    assert "status=deferred" in line_about(puerto, "away.example.net")
    [message] = [json.loads(line) for line in
                 puerto.command("queue", "list", "--json").stdout.splitlines()]
    assert message["tls_wish"] == "optional", message
    shown = puerto.command("--lang", "es", "queue", "show", message["id"]).stdout.decode()
    assert "TLS-Required: No: va también donde falle TLS" in shown, shown
