"""Certificates that the server gets by itself, from Pebble: a real authority for tests, which
sees by each of the three challenges that the name is ours."""

import contextlib
import hashlib
import json
import os
import pwd
import shutil
import signal
import smtplib
import socket
import ssl
import stat

from peers import (DNS_ADDRESS, SENDER_ADDRESS, UNPRIVILEGED, Process, Puerto, Skipped, Unbound,
                   listens, page, run, wait_for, web)
from test_dns import Bind

ACME_ADDRESS = "127.0.0.70"
RESOLVER_ADDRESS = "127.0.0.71"
RECORDS = (f"acme IN A {ACME_ADDRESS}\nmail IN A {SENDER_ADDRESS}\n"
           f"mta-sts IN A {SENDER_ADDRESS}\nelsewhere IN A 127.0.0.99\n")


class Pebble(Process):
    """An authority at acme.example.com."""

    def __init__(self, world, environment=None, port=80):
        if not shutil.which("pebble"):
            raise Skipped("there is no pebble")
        self.folder = world.folder / "pebble"
        self.folder.mkdir(exist_ok=True)
        certificate, key = world.authority.issue("acme.example.com")
        (self.folder / "config.json").write_text(json.dumps({"pebble": {
            "listenAddress": f"{ACME_ADDRESS}:14000",
            "managementListenAddress": f"{ACME_ADDRESS}:15000",
            "certificate": str(certificate), "privateKey": str(key),
            "httpPort": port, "tlsPort": 443, "ocspResponderURL": "",
            "externalAccountBindingRequired": False}}))
        self.environment = os.environ | {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_AUTHZREUSE": "0"} | (environment or {})
        self.start()
        world.add(self)

    def start(self):
        self.start_process(["pebble", "-config", self.folder / "config.json", "-strict",
                            "-dnsserver", f"{DNS_ADDRESS}:53"],
                           self.folder / "log", env=self.environment)
        wait_for("Pebble", lambda: listens(ACME_ADDRESS, 14000))


def acme(challenge, more=""):
    port = {"http-01": 80, "tls-alpn-01": 443}.get(challenge)
    listen = f'listen = ["{SENDER_ADDRESS}:{port}"]\n' if port else ""
    return ('[acme]\ndirectory = "https://acme.example.com:14000/dir"\naccept_terms = true\n'
            f'contact = "postmaster@example.com"\nchallenge = "{challenge}"\n{listen}{more}')


def shown(address=SENDER_ADDRESS, port=25):
    """The certificate that STARTTLS shows, as openssl tells it, and its key."""
    done = run("openssl", "s_client", "-connect", f"{address}:{port}", "-starttls", "smtp",
               "-servername", "mail.example.com", input=b"", check=False)
    text = run("openssl", "x509", "-noout", "-serial", "-issuer", "-ext", "subjectAltName",
               "-pubkey", input=done.stdout).stdout.decode()
    return text.split("\n", 1)[0], text[text.index("-----BEGIN PUBLIC"):], text


def report(puerto, *arguments, code=0):
    done = puerto.command("--lang", "en", "certificate", "--json", *arguments, check=False)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return json.loads(done.stdout)


def shown_at(path, address=SENDER_ADDRESS):
    with socket.create_connection((address, 80), timeout=5) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: mail.example.com\r\n\r\n".encode())
        return b"".join(iter(lambda: connection.recv(4096), b"")).decode()


def test_a_certificate_is_got_by_a_page_and_renewed_with_its_key(world):
    Bind(world, RECORDS)
    pebble = Pebble(world, {"PEBBLE_WFE_NONCEREJECT": "10"})
    puerto = Puerto(world, sections=acme(
        "http-01", 'names = ["mail.example.com", "mta-sts.example.com"]\n'))
    puerto.says("a new certificate for mail.example.com, mta-sts.example.com is in use")
    serial, key, text = shown()
    assert "Pebble" in text and "DNS:mta-sts.example.com" in text, text
    seen = report(puerto)
    assert seen["well"] and seen["names"] == ["mail.example.com", "mta-sts.example.com"], seen
    assert seen["not_before"] < seen["renewal"] < seen["not_after"], seen

    # What is kept is the service's alone.
    folder = puerto.state / "acme"
    for file in [folder, *folder.iterdir()]:
        status = file.stat()
        assert stat.S_IMODE(status.st_mode) & 0o077 == 0, file
        assert status.st_uid == pwd.getpwnam(UNPRIVILEGED).pw_uid, file
    assert shown_at("/").startswith("HTTP/1.1 404"), shown_at("/")
    assert shown_at("/.well-known/acme-challenge/x").startswith("HTTP/1.1 404")

    # A session that is under way outlives the renewal.
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with smtplib.SMTP(SENDER_ADDRESS, 25) as session:
        session.starttls(context=context)
        session.ehlo()
        assert report(puerto, "--renew")["well"]
        assert session.noop()[0] == 250
    renewed, same_key, _ = shown()
    assert renewed != serial and same_key == key, "a renewal keeps the key"

    # One that has forgotten everything, as test servers do, gets a new account.
    pebble.stop()
    pebble.start()
    again = report(puerto, "--renew")
    assert again["well"], again
    assert shown()[0] != renewed

    # After a restart there is nothing to ask for.
    asked = puerto.log().count("asking for a certificate")
    puerto.stop()
    puerto.start()
    wait_for("the certificate", lambda: "BEGIN PUBLIC" in shown()[2])
    assert puerto.log().count("asking for a certificate") == asked
    # Another name in the configuration is.
    text = puerto.configuration.read_text()
    puerto.configuration.write_text(text.replace(', "mta-sts.example.com"', ""))
    puerto.stop()
    puerto.start()
    wait_for("the same certificate", lambda: "mta-sts" in shown()[2])


def test_a_certificate_is_got_by_a_certificate(world):
    Bind(world, RECORDS)
    Pebble(world)
    puerto = Puerto(world, sections=acme("tls-alpn-01"))
    puerto.says("a new certificate for mail.example.com is in use")
    assert report(puerto)["well"]
    # Nobody else gets a word out of that port.
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((SENDER_ADDRESS, 443), timeout=5) as connection:
        with contextlib.suppress(ssl.SSLError, OSError):
            context.wrap_socket(connection, server_hostname="mail.example.com")
            raise AssertionError("a handshake without a challenge")


def test_a_certificate_is_got_by_a_record(world):
    bind = Bind(world, RECORDS)
    shutil.chown(bind.key, UNPRIVILEGED)
    bind.key.chmod(0o600)
    bind.key.parent.chmod(0o755)
    Pebble(world)
    puerto = Puerto(world, sections=acme(
        "dns-01", f'dns_server = "{DNS_ADDRESS}"\ndns_key = "{bind.key}"\n'
                  'names = ["mail.example.com", "mta-sts.example.com"]\n'))
    puerto.says("a new certificate for mail.example.com, mta-sts.example.com is in use")
    assert report(puerto)["well"]
    for name in ("mail", "mta-sts"):
        assert bind.texts(f"_acme-challenge.{name}.example.com") == [], "it is taken away again"
    # A key that the server does not know is told, with what to do.
    bind.key.write_text(bind.key.read_text().replace("update.example.com", "other.example.com"))
    seen = report(puerto, "--renew", code=1)
    assert seen["trouble"]["id"] == "acme.not-written", seen
    assert "dns_key" in seen["trouble"]["remedy"], seen
    assert shown()[0], "the old one stays in use"


def test_what_the_authority_refuses_is_explained_and_not_asked_for_again_and_again(world):
    Bind(world, RECORDS)
    Pebble(world)
    puerto = Puerto(world, sections=acme("http-01", 'names = ["elsewhere.example.com"]\n'))
    puerto.says("no certificate was got")
    seen = report(puerto, code=1)
    assert seen["trouble"]["id"] == "acme.unconnected", seen
    assert "dns-01" in seen["trouble"]["remedy"], seen
    spanish = puerto.command("--lang", "es", "certificate", check=False).stdout.decode()
    assert "la autoridad no ha podido conectar con elsewhere.example.com" in spanish, spanish
    asked = puerto.log().count("asking for a certificate")
    for _ in range(3):
        puerto.stop()
        puerto.start()
    seen = report(puerto, code=1)
    assert puerto.log().count("asking for a certificate") == asked, "a crash loop asks for nothing"
    # A name that does not exist, and an authority that is not there.
    text = puerto.configuration.read_text()
    puerto.configuration.write_text(text.replace("elsewhere.example", "nowhere.example"))
    puerto.command("config", "check", check=False)
    puerto.stop()
    puerto.start()
    seen = report(puerto, "--renew", code=1)
    # Let's Encrypt calls it `dns`, Pebble `connection`.
    assert "nowhere.example.com" in seen["trouble"]["said"], seen
    puerto.configuration.write_text(text.replace(":14000", ":14001"))
    puerto.stop()
    puerto.start()
    seen = report(puerto, "--renew", code=1)
    assert seen["trouble"]["id"] == "acme.unreachable", seen


def refusing(at, kind, detail, status=403, **fields):
    """An authority of the tests' own, which refuses what it is asked at one step, as Pebble cannot:
    it keeps to no limits and looks at no CAA records. It checks no signatures."""
    base, problem = "https://acme.example.com", {
        "type": f"urn:ietf:params:acme:error:{kind}", "detail": detail}
    challenge = {"type": "http-01", "url": f"{base}/challenge", "token": "abcdefghijklmnopqrstuv",
                 "status": "pending"}
    name = {"type": "dns", "value": "mail.example.com"}
    asked = []

    def answer(request):
        request.rfile.read(int(request.headers["Content-Length"] or 0))
        path = request.path.strip("/")
        asked.append(path)
        if path == "challenge" and at == "challenge":
            challenge.update(status="invalid", error=problem)
        failed = challenge["status"] == "invalid"
        documents = {
            "dir": {"newNonce": f"{base}/nonce", "newAccount": f"{base}/account",
                    "newOrder": f"{base}/order"},
            "nonce": {}, "account": {"status": "valid"}, "challenge": challenge,
            "order": {"status": "invalid" if failed else "pending", "identifiers": [name],
                      "authorizations": [f"{base}/authorization"], "finalize": f"{base}/finalize"},
            "authorization": {"status": "invalid" if failed else "pending", "identifier": name,
                              "challenges": [challenge]},
        }
        is_refused = path == at and path != "challenge"
        code = status if is_refused else 201 if path in ("account", "order") else 200
        page(request, json.dumps(problem if is_refused else documents[path]).encode(), code,
             "application/problem+json" if is_refused else "application/json",
             **{"Replay-Nonce": f"nonce{len(asked)}", "Location": f"{base}/{path}"},
             **(fields if is_refused else {}))
    return answer, asked


def test_an_authority_that_gives_no_more_is_left_alone_as_long_as_it_asks(world):
    Bind(world, RECORDS)
    answer, asked = refusing(
        "order", "rateLimited", "too many certificates (5) already issued for this exact set of "
        "identifiers in the last 168h0m0s", 429, **{"Retry-After": "90000"})
    with web(world.authority.issue("acme.example.com"), answer, ACME_ADDRESS):
        puerto = Puerto(world, sections=acme("http-01").replace(":14000/dir", "/dir"))
        puerto.says("it is tried again in 1500 minutes")
        seen = report(puerto, code=1)
        assert seen["trouble"]["id"] == "acme.rate-limited", seen
        assert "this exact set" in seen["trouble"]["said"], seen
        assert seen["trouble"]["remedy"], seen
        spanish = puerto.command("--lang", "es", "certificate", check=False).stdout.decode()
        assert "por ahora la autoridad no da más certificados" in spanish, spanish
        orders = asked.count("order")
        puerto.stop()
        puerto.start()
        report(puerto, code=1)
        assert asked.count("order") == orders == 1, asked


def test_a_record_that_forbids_the_authority_is_told_as_that(world):
    Bind(world, RECORDS)
    answer, _ = refusing("challenge", "caa",
                         "CAA record for mail.example.com prevents issuance")
    with web(world.authority.issue("acme.example.com"), answer, ACME_ADDRESS):
        puerto = Puerto(world, sections=acme("http-01").replace(":14000/dir", "/dir"))
        puerto.says("a CAA record forbids this authority to give certificates for mail.example.com")
        seen = report(puerto, code=1)
        assert seen["trouble"]["id"] == "acme.forbidden", seen
        assert "CAA" in seen["trouble"]["remedy"], seen
        spanish = puerto.command("--lang", "es", "certificate", check=False).stdout.decode()
        assert "un registro CAA prohíbe a esta autoridad dar certificados" in spanish, spanish
    explained = puerto.command("--lang", "es", "explain",
                               "urn:ietf:params:acme:error:caa: forbidden").stdout.decode()
    assert "CAA" in explained, explained


def test_our_policy_is_served_with_the_certificate_that_is_got_for_it(world):
    Bind(world, RECORDS + "@ IN MX 10 mail\n")
    Pebble(world)
    puerto = Puerto(world, sections=acme("tls-alpn-01") + (
        f'[mta_sts]\nmode = "enforce"\nlisten = ["{SENDER_ADDRESS}:443"]\n'))
    puerto.says("a new certificate for mail.example.com, mta-sts.example.com is in use")
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((ACME_ADDRESS, 15000)) as raw:
        with trusting.wrap_socket(raw) as connection:
            connection.sendall(b"GET /roots/0 HTTP/1.0\r\n\r\n")
            answer = b"".join(iter(lambda: connection.recv(4096), b""))
    root = answer[answer.index(b"-----BEGIN"):].decode()

    def fetch(name, path="/.well-known/mta-sts.txt"):
        context = ssl.create_default_context(cadata=root)
        with socket.create_connection((SENDER_ADDRESS, 443), timeout=5) as raw:
            with context.wrap_socket(raw, server_hostname=name) as connection:
                connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
                return b"".join(iter(lambda: connection.recv(4096), b"")).decode()

    head, _, body = fetch("mta-sts.example.com").partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 200") and "Content-Type: text/plain" in head, head
    assert body == ("version: STSv1\nmode: enforce\nmx: mail.example.com\n"
                    "max_age: 604800\n"), body
    assert fetch("mail.example.com").startswith("HTTP/1.1 404")
    assert fetch("mta-sts.example.com", "/").startswith("HTTP/1.1 404")
    def planned():
        return json.loads(puerto.command("dns", "--json", "--egress", SENDER_ADDRESS).stdout)

    # Pebble's root is none of this machine's: senders who fetch the policy would not believe it.
    later = [one["name"] for one in planned()["later"]]
    assert "_mta-sts.example.com" in later, later
    roots = world.folder / "root.pem"
    roots.write_text(root)
    os.environ["SSL_CERT_FILE"] = str(roots)
    try:
        plan, again = planned(), planned()
    finally:
        del os.environ["SSL_CERT_FILE"]
    records = {(one["name"], one["type"]): one for one in plan["records"]}
    assert records["_mta-sts.example.com", "TXT"]["state"] == "new", plan
    assert records["mta-sts.example.com", "A"]["state"] == "keep", records
    assert records["_smtp._tls.example.com", "TXT"]["state"] == "new", records
    assert again == plan, "the same policy has the same id"


def test_a_reload_takes_other_settings_over_and_says_what_needs_a_restart(world):
    Bind(world, RECORDS)
    Pebble(world, port=5002)
    puerto = Puerto(world)
    before = puerto.configuration.read_text()

    def reload(sections):
        puerto.configuration.write_text(before + sections)
        puerto.process.send_signal(signal.SIGHUP)

    # Whom root's rights are gone from opens no port below 1024.
    reload(acme("http-01").replace(f"{SENDER_ADDRESS}:80", f"{SENDER_ADDRESS}:81"))
    puerto.says("the configuration was read again, but cannot listen on 127.0.0.20:81 (acme.listen)")
    puerto.says("so this needs a restart (systemctl restart puerto)")
    assert not listens(SENDER_ADDRESS, 81)

    with smtplib.SMTP(SENDER_ADDRESS, 25) as session:
        session.ehlo()
        assert not session.has_extn("starttls")
        wanted = acme("http-01").replace(f"{SENDER_ADDRESS}:80", f"{SENDER_ADDRESS}:5002")
        reload(wanted)
        puerto.says("a new certificate for mail.example.com is in use")
        assert session.noop()[0] == 250, "a session outlives it"
    assert "Pebble" in shown()[2]

    # A policy, on a port that a web server might pass on to; its name is asked for as well.
    policy = f'[mta_sts]\nmode = "testing"\nlisten = ["{SENDER_ADDRESS}:8443"]\n'
    reload(wanted + policy)
    puerto.says("a new certificate for mail.example.com, mta-sts.example.com is in use")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def fetched():
        with socket.create_connection((SENDER_ADDRESS, 8443), timeout=5) as raw:
            with context.wrap_socket(raw, server_hostname="mta-sts.example.com") as connection:
                connection.sendall(b"GET /.well-known/mta-sts.txt HTTP/1.1\r\n"
                                   b"Host: mta-sts.example.com\r\n\r\n")
                return b"".join(iter(lambda: connection.recv(4096), b"")).decode()

    assert "mode: testing" in fetched(), fetched()
    reload(wanted + policy.replace("testing", "enforce"))
    wait_for("the other policy", lambda: "mode: enforce" in fetched())
    reload("")
    wait_for("the ports to be closed", lambda: not listens(SENDER_ADDRESS, 8443)
             and not listens(SENDER_ADDRESS, 5002))


def tlsa(key):
    """What a TLSA record 3 1 1 says of a key."""
    public = run("openssl", "pkey", "-in", key, "-pubout", "-outform", "DER").stdout
    return hashlib.sha256(public).hexdigest()


def test_a_new_key_waits_for_its_tlsa_record(world):
    bind = Bind(world, RECORDS + "@ IN MX 10 mail\n")
    Pebble(world)
    puerto = Puerto(world, sections=acme("http-01"))
    puerto.says("a new certificate for mail.example.com is in use")
    folder = puerto.state / "acme"
    first = tlsa(folder / "key.pem")

    # Nobody demands a key: another is taken at once.
    assert report(puerto, "--new-key")["new_key"] is None
    second = tlsa(folder / "key.pem")
    assert second != first and not (folder / "next-key.pem").exists()

    def publish(digest):
        update = (f"server {DNS_ADDRESS}\nzone example.com\nupdate add "
                  f"_25._tcp.mail.example.com 1 TLSA 3 1 1 {digest}\nsend\n")
        run("nsupdate", "-k", bind.key, input=update.encode())

    publish(second)
    # The resolver knows for some time that there was none.
    puerto.stop()
    puerto.start()
    seen = report(puerto, "--new-key")
    assert seen["new_key"] == {"published": None, "in_use": None}, seen
    assert tlsa(folder / "key.pem") == second
    # A renewal meanwhile keeps the key that the record is about.
    assert report(puerto, "--renew")["well"]
    assert tlsa(folder / "key.pem") == second
    third = tlsa(folder / "next-key.pem")
    publish(third)
    puerto.stop()
    puerto.start()
    puerto.says("the TLSA record of the new key is there")
    seen = report(puerto)
    assert seen["new_key"]["published"] < seen["new_key"]["in_use"], seen
    assert tlsa(folder / "key.pem") == second
    # Two TTLs later.
    puerto.stop()
    standing = json.loads((folder / "standing.json").read_text())
    standing["roll"]["seen"] -= 3600
    (folder / "standing.json").write_text(json.dumps(standing))
    puerto.start()
    wait_for("the new key", lambda: tlsa(folder / "key.pem") == third)
    assert hashlib.sha256(run("openssl", "pkey", "-pubin", "-outform", "DER",
                              input=shown()[1].encode()).stdout).hexdigest() == third


def test_tlsa_records_are_offered_where_the_zone_is_signed(world):
    certificate, key = world.authority.issue("mail.example.com")
    folder = world.folder / "signed"
    folder.mkdir()
    (folder / "zone").write_text(
        "$TTL 60\n@ IN SOA ns hostmaster 1 3600 600 86400 60\n@ IN NS ns\nns IN A 127.0.0.53\n"
        f"@ IN MX 10 mail\nmail IN A {SENDER_ADDRESS}\n")
    for kind in (["-f", "KSK"], []):
        run("dnssec-keygen", "-q", "-a", "ECDSAP256SHA256", *kind, "example.com", cwd=folder)
    run("dnssec-signzone", "-S", "-o", "example.com", "zone", cwd=folder)
    Unbound(world, [], zones={"example.com": folder / "zone.signed"},
            anchors=[folder / "dsset-example.com."], address=RESOLVER_ADDRESS)
    puerto = Puerto(world, start=False,
                    sections=f'[tls]\ncertificate = "{certificate}"\nkey = "{key}"\n')
    world.running.remove(puerto)
    # At 127.0.0.53 stands systemd-resolved, which answers for its own machine's name.
    text = puerto.configuration.read_text()
    puerto.configuration.write_text(text.replace(f'"{DNS_ADDRESS}:53"', f'"{RESOLVER_ADDRESS}"'))

    def offered():
        plan = json.loads(puerto.command("dns", "--json", "--egress", SENDER_ADDRESS).stdout)
        return [one["value"] for one in plan["records"] if one["type"] == "TLSA"]

    assert offered() == [f"3 1 1 {tlsa(key)}"]
    zone = puerto.command("dns", "--format", "zone", "--egress", SENDER_ADDRESS).stdout.decode()
    assert f"_25._tcp.mail.example.com. 3600 IN TLSA 3 1 1 {tlsa(key)}" in zone, zone
