"""DANE and MTA-STS towards real hosts: zones that BIND's tools have signed, Unbound that
validates them, certificates of OpenSSL's, and Postfix's own judgement beside ours."""

import base64
import contextlib
import hashlib
import http.server
import json
import shutil
import socket
import ssl
import threading

from peers import DNS_ADDRESS, RECORDS, Authority, Puerto, Unbound, run, wait_for

WEB_ADDRESS = "127.0.0.60"
PATH = "/.well-known/mta-sts.txt"


class Sink:
    """Takes mail, over STARTTLS if it has a certificate."""

    def __init__(self, world, address, certificate=None):
        self.context = None
        if certificate:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*certificate)
        self.mail = []
        self._listener = socket.create_server((address, 25))
        threading.Thread(target=self._accept, daemon=True).start()
        world.add(self)

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection):
        with contextlib.suppress(OSError, EOFError), connection:
            self._talk(connection)

    def _talk(self, connection):
        stream, version = connection.makefile("rwb"), None

        def say(text):
            stream.write(text.encode() + b"\r\n")
            stream.flush()

        say("220 sink ESMTP")
        while line := stream.readline().upper():
            if line.startswith(b"EHLO"):
                say("250-sink\r\n250 STARTTLS" if self.context and not version else "250 sink")
            elif line.startswith(b"STARTTLS"):
                say("220 go")
                connection = self.context.wrap_socket(connection, server_side=True)
                stream, version = connection.makefile("rwb"), connection.version()
            elif line.startswith(b"DATA"):
                say("354 go on")
                while stream.readline() not in (b".\r\n", b""):
                    pass
                self.mail.append(version)
                say("250 2.0.0 taken")
            elif line.startswith(b"QUIT"):
                say("221 bye")
                return
            else:
                say("250 2.0.0 ok")

    def stop(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


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


def signed_zone(world, digest):
    """The zone example.org, signed, some of it altered afterwards, and its anchor."""
    lines = ["$TTL 60", "@ IN SOA ns hostmaster 1 3600 600 86400 60", "@ IN NS ns",
             "ns IN A 127.0.0.53", "insecure IN MX 10 host.example.edu.",
             "bogus IN MX 10 mx-without", "forged IN A 192.0.2.1",
             "relay IN A 127.0.2.99", f"_25._tcp.relay IN TLSA 3 1 1 {digest}"]
    for place, (name, (records, *_)) in enumerate(HOSTS.items(), 1):
        lines += [f"{name} IN MX 10 mx-{name}", f"mx-{name} IN A 127.0.2.{place}"]
        lines += [f"_25._tcp.mx-{name} IN TLSA {record.format(right=digest)}"
                  for record in records]
    folder = world.folder / "signed"
    folder.mkdir()
    (folder / "zone").write_text("\n".join(lines) + "\n")
    for kind in (["-f", "KSK"], []):
        run("dnssec-keygen", "-q", "-a", "ECDSAP256SHA256", *kind, "example.org", cwd=folder)
    run("dnssec-signzone", "-S", "-O", "full", "-o", "example.org", "zone", cwd=folder)
    text = (folder / "zone.signed").read_text()
    altered = "\n".join(
        line.replace("10 mx-without", "11 mx-without") if line.startswith("bogus.") else line
        for line in text.replace("192.0.2.1", "192.0.2.2").splitlines()) + "\n"
    assert altered.count("11 mx-without") == 1 and "192.0.2.2" in altered
    (folder / "zone.altered").write_text(altered)
    return folder / "zone.altered", folder / "dsset-example.org."


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
    sinks = {name: Sink(world, f"127.0.2.{place}", certificate if tls else None)
             for place, (name, (_, tls, *_)) in enumerate(HOSTS.items(), 1)}
    sinks["insecure"] = Sink(world, "127.0.2.50", certificate)
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


@contextlib.contextmanager
def web(certificate, policies):
    """Serves the policies of these domains."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            policy = policies.get(self.headers["Host"].removeprefix("mta-sts."))
            found = policy is not None and self.path == PATH
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "text/plain")
            self.end_headers()
            self.wfile.write((policy or "").encode())

        def log_message(self, *_):
            pass
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server = http.server.ThreadingHTTPServer((WEB_ADDRESS, 443), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


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
        sinks[name] = Sink(world, f"127.0.3.{place}", certificate)
    names = ",".join(f"DNS:mta-sts.{name}.example.net" for name in POLICIES)
    publisher = world.authority._sign("publisher", f"subjectAltName={names}\n", 2)
    puerto = Puerto(world)
    texts = {f"{name}.example.net": text for name, (text, *_) in POLICIES.items()}
    with web(publisher, texts):
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
