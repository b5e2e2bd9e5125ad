"""Relays of every kind for `puerto relay test`: one Postfix that stands at many addresses,
each with a certificate and rules of its own, and servers that do not speak SMTP."""

import json
import os
import socket
import threading

from peers import (DNS_ADDRESS, FINAL_ADDRESS, RECORDS, RELAY_ADDRESS, SENDER_ADDRESS, Postfix,
                   run)

PASSWORD = "secret of the relay"
SASL = {"smtpd_sasl_auth_enable": "yes", "smtpd_tls_auth_only": "yes"}
OURS = {"smtpd_relay_restrictions":
        f"check_client_access,inline:{{{{{SENDER_ADDRESS}=OK}}}},reject"}

# Name in example.org → address, certificate, and what Postfix does there.
KINDS = {
    "open": ("127.0.0.41", "open", OURS),
    "plain": ("127.0.0.42", None, OURS),
    "selfsigned": ("127.0.0.43", "selfsigned", OURS),
    "expired": ("127.0.0.44", "expired", OURS),
    "othername": ("127.0.0.45", "open", OURS),
    "incomplete": ("127.0.0.46", "incomplete", OURS),
    "complete": ("127.0.0.47", "complete", OURS),
    "senders": ("127.0.0.48", "senders", SASL | {
        "smtpd_sender_login_maps": "inline:{{own@example.com=puerto@example.org},"
                                   "{root@example.com=somebody-else}}",
        "smtpd_sender_restrictions": "reject_sender_login_mismatch"}),
    # AUTH LOGIN alone, before TLS too.
    "login": ("127.0.0.49", "login", SASL | {
        "smtpd_tls_auth_only": "no", "smtpd_sasl_path": "login"}),
    "noauth": ("127.0.0.54", "noauth", OURS | {"smtpd_sasl_auth_enable": "no"}),
    "clear": ("127.0.0.50", None, SASL | {"smtpd_tls_auth_only": "no"}),
    "refuses": ("127.0.0.56", "refuses", OURS | {
        "smtpd_sender_restrictions": "check_sender_access,inline:{{example.com=REJECT}}"}),
    "nonull": ("127.0.0.57", "nonull", OURS | {
        "smtpd_null_access_lookup_key": "none.invalid",
        "smtpd_sender_restrictions": "check_sender_access,inline:{{none.invalid=REJECT}}"}),
    "tight": ("127.0.0.58", "tight", OURS | {"message_size_limit": "1000000"}),
    "ñandú": ("127.0.0.59", "xn--and-6ma2c", OURS),
}


def records():
    """What the DNS says of them."""
    named = [f"{ascii_name(name)}.example.org. IN A {kind[0]}" for name, kind in KINDS.items()]
    return RECORDS + named + [
        "two.example.org. IN A 127.0.0.51", f"two.example.org. IN A {KINDS['open'][0]}",
        "only-text.example.org. IN TXT \"no address\"",
        "bare.example.org. IN MX 10 open.example.org.", "bare.example.org. IN A 127.0.0.51",
        "same.example.org. IN MX 10 open.example.org.",
        f"same.example.org. IN A {KINDS['open'][0]}",
        "null.example.org. IN MX 0 .",
        "dangling.example.org. IN MX 10 nowhere.example.org.",
    ]


def ascii_name(name):
    return name.encode("idna").decode()


class Asker:
    """Whoever runs `puerto relay test` with a configuration."""

    def __init__(self, world):
        self.world, self.binary = world, os.environ["PUERTO_BINARY"]
        self.authority = world.authority.certificate
        self.file = world.folder / "relay-test.toml"
        self.configure()

    def configure(self, keys="", delivery=""):
        self.file.write_text(
            'hostname = "mail.example.com"\ndomains = ["example.com"]\nuser = ""\n'
            f'state_dir = "{self.world.folder}/state"\nrun_dir = "{self.world.folder}/run"\n'
            # The relays are on this machine, and none of them is this server.
            f'{keys}\n[listen]\nsmtp = []\n[dns]\nservers = ["{DNS_ADDRESS}:53"]\n'
            f'[dkim]\ndirectory = "{self.world.folder}/dkim"\n'
            f'[delivery]\nbind_ipv4 = "{SENDER_ADDRESS}"\n{delivery}\n')

    def ask(self, *arguments, json_wanted=True, language="en"):
        """What the command did, and its JSON."""
        done = run(self.binary, "--lang", language, "relay", "test", "--config", self.file,
                   *arguments, *(["--json"] if json_wanted else []), check=False,
                   env=os.environ | {"SSL_CERT_FILE": str(self.authority)})
        return done, json.loads(done.stdout) if json_wanted and done.stdout else None


class Relays:
    """The Postfix at all these addresses, port 25 and 587, and 465 with TLS at once."""

    def __init__(self, world):
        self.world = world
        certificates = Certificates(world)
        services = ""
        for name, (address, certificate, settings) in KINDS.items():
            settings = {"smtpd_tls_security_level": "none"} | settings
            if certificate:
                chain, key = certificates.named(certificate)
                settings |= {"smtpd_tls_security_level": "may", "smtpd_tls_cert_file": chain,
                             "smtpd_tls_key_file": key}
            for port in (25, 587, 465):
                more = settings
                if port == 465 and certificate:
                    more = settings | {"smtpd_tls_wrappermode": "yes"}
                services += f"{address}:{port} inet n - n - - smtpd\n"
                services += "".join(f"  -o {k}={v}\n" for k, v in more.items())
        certificate, key = certificates.named("relay")
        self.postfix = Postfix(world, "relay", RELAY_ADDRESS, SASL | {
            "mynetworks": "192.0.2.0/24",
            "smtpd_tls_security_level": "may",
            "smtpd_tls_cert_file": certificate,
            "smtpd_tls_key_file": key,
            "smtpd_relay_restrictions": "permit_sasl_authenticated reject_unauth_destination",
            "smtp_bind_address": RELAY_ADDRESS,
            "relayhost": f"[{FINAL_ADDRESS}]",
        }, services, PASSWORD, (("smtpd", "PLAIN LOGIN"), ("login", "LOGIN")))


class Certificates:
    """Certificates, good ones and such as a careless administrator has."""

    def __init__(self, world):
        self.authority, self.folder = world.authority, world.authority.folder

    def named(self, name):
        """The chain's file and the key's, for NAME.example.org."""
        if name in ("complete", "incomplete"):
            return self.below_an_intermediate(name)
        if name == "selfsigned":
            return self.self_signed()
        if name == "expired":
            return self.authority.issue("expired.example.org", days=-1)
        return self.authority.issue(f"{name}.example.org")

    def self_signed(self):
        chain, key = self.folder / "selfsigned.pem", self.folder / "selfsigned.key"
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
            "/CN=selfsigned.example.org", "-addext", "subjectAltName=DNS:selfsigned.example.org",
            "-keyout", key, "-out", chain)
        return chain, key

    def below_an_intermediate(self, name):
        middle = self.authority.authority_below("middle")
        leaf, key = middle.issue(f"{name}.example.org")
        if name == "incomplete":
            return leaf, key
        chain = self.folder / f"{name}-chain.pem"
        chain.write_text(leaf.read_text() + middle.certificate.read_text())
        return chain, key


class Speaker:
    """Says something to whoever connects, and then is silent until the other hangs up."""

    def __init__(self, world, address, port, words=b""):
        self.words, self.heard = words, []
        self._open = []
        self._listener = socket.create_server((address, port), family=(
            socket.AF_INET6 if ":" in address else socket.AF_INET))
        threading.Thread(target=self._accept, daemon=True).start()
        world.add(self)

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection):
        try:
            connection.sendall(self.words)
            while octets := connection.recv(4096):
                self.heard.append(octets)
        except OSError:
            pass
        finally:
            connection.close()

    def stop(self):
        for one in [self._listener, *self._open]:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            one.close()


class Full:
    """A port whose queue of connections is full, so that the kernel drops what comes, as a
    firewall does."""

    def __init__(self, world, address, port):
        self._listener = socket.create_server((address, port), backlog=0)
        self._clients = []
        while True:
            client = socket.socket()
            client.settimeout(0.5)
            self._clients.append(client)
            try:
                client.connect((address, port))
            except TimeoutError:
                break
        world.add(self)

    def stop(self):
        for one in [self._listener, *self._clients]:
            one.close()
