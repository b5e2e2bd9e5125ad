"""A classroom: servers of students with `relayhost = mail.…`, each made as its owner would make
it, behind a relay of ours that trusts the room's network and knows logins. And a rented server
that sends directly, to a receiver that asks for everything. Each host is a machine of its own."""

import email
import email.policy
import json
import pathlib
import re
import smtplib
import ssl

import dkim

from machines import Cable, Machine
from peers import Skipped, run, wait_for

RESOLVER, STRANGER = "203.0.113.53", "198.51.100.77"
MX, VPS, RELAY = "203.0.113.30", "203.0.113.25", "192.0.2.10"
ROOM, HOME = "192.0.2.0/24", "198.51.100.22"
PASSWORD = "contraseña de casa"
ARCHIVES = pathlib.Path(__file__).parents[2] / "target/tools/archives"


def pointer(address, name):
    return f"{'.'.join(reversed(address.split('.')))}.in-addr.arpa. IN PTR {name}."


RECORDS = [
    "example.net. IN MX 10 mx.example.net.", f"mx.example.net. IN A {MX}",
    # Whom setup asks whether port 25 is open.
    "gmail.com. IN MX 10 mx.example.net.",
    f"mail.example.org. IN A {RELAY}", pointer(RELAY, "mail.example.org"),
    # Of a server behind a relay `puerto dns` does not know the address that mail comes to.
    "uno.example.org. IN A 192.0.2.21",
    *(f"{domain}. IN SOA ns.{domain}. x.{domain}. 1 2 3 4 5" for domain in ("example.com", "example.org")),
]


class Internet(Cable):
    """A receiver of all mail for example.net but `gone@`, which takes it from hosts alone whose
    address and name lead to each other, and a resolver."""

    def __init__(self, world):
        super().__init__(world, RESOLVER, [STRANGER], RECORDS)
        self.mx = Machine(world, "mx", self, MX, "mx.example.net")
        start_postfix(self.mx, {
            "myhostname": "mx.example.net", "mydestination": "", "virtual_mailbox_domains": "example.net",
            "virtual_mailbox_base": "/var/inbox", "virtual_mailbox_maps": "static:all/",
            "virtual_uid_maps": "static:65534", "virtual_gid_maps": "static:65534",
            "virtual_minimum_uid": "1", "smtpd_client_restrictions": "reject_unknown_client_hostname",
            "unknown_client_reject_code": "550",
            "smtpd_recipient_restrictions":
                "check_recipient_access inline:{{gone@example.net=REJECT no such user here}}"})

    def arrived(self, subject):
        """The messages with this subject, as they came."""
        files = self.mx.run("sh", "-c", "cat /var/inbox/all/new/* 2>/dev/null || true").stdout
        # Postfix writes this field first into each file.
        messages = re.split(rb"(?m)^(?=Return-Path: )", files)
        return [m for m in messages if f"\nSubject: {subject}\n".encode() in m]

    def wait(self, subject):
        [octets] = self.until(f"“{subject}”", lambda: self.arrived(subject))
        return octets, email.message_from_bytes(octets, policy=email.policy.default)

    def until(self, what, condition):
        try:
            return wait_for(what, condition)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.logs()}") from error

    def publish_for(self, machine, domain):
        """What `puerto dns` says there."""
        plan = json.loads(machine.run("puerto", "dns", domain, "--json").stdout)
        self.publish([record(r) for r in plan["records"] if r["state"] == "new"]
                     + [pointer(r["address"], r["value"].rstrip(".")) for r in plan["ptr"]])
        return plan

    def signers(self, octets):
        """The domains whose signatures hold, by dkimpy."""
        octets = octets.replace(b"\n", b"\r\n")
        found = set()
        for number in range(octets.count(b"\r\nDKIM-Signature:")):
            message = dkim.DKIM(octets)
            if message.verify(number, dnsfunc=self.text):
                found.add(message.domain.decode())
        return found

    def text(self, name, timeout=5):
        name = name.decode() if isinstance(name, bytes) else name
        lines = run("dig", "+short", "+tcp", f"@{RESOLVER}", name, "TXT").stdout.decode()
        return "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', lines)).encode()


def record(planned):
    value = planned["value"]
    if planned["type"] == "TXT":
        value = " ".join(f'"{piece}"' for piece in planned["pieces"])
    return f"{planned['name']}. IN {planned['type']} {value}"


def start_postfix(machine, settings):
    """Debian's, as its package starts it."""
    machine.run("postconf", "-e", "maillog_file=/var/log/postfix.log",
                *(f"{key}={value}" for key, value in settings.items()))
    machine.run("mkdir", "-p", "/var/inbox")
    machine.run("chown", "nobody", "/var/inbox")
    machine.run("/usr/lib/postfix/configure-instance.sh", "-")
    machine.run("postfix", "start")
    wait_for("Postfix", lambda: machine.run("ss", "-Hltn", "sport = :25").stdout)


def write(machine, subject, to="ana@example.net", **options):
    """A person at this machine sends a message."""
    machine.as_user("bosun", "/usr/sbin/sendmail", "-i", to,
                    input=f"To: {to}\nSubject: {subject}\n\nhola\n".encode(), **options)


def bare(world, name, cable, address, hostname):
    """Without any mail server, as those are who have just been installed."""
    machine = Machine(world, name, cable, address, hostname)
    machine.run("rm", "-rf", "/etc/postfix", "/usr/sbin/postfix", "/usr/sbin/sendmail",
                "/usr/lib/sendmail", "/usr/bin/mailq", "/usr/bin/newaliases", "/etc/opendkim.conf")
    with open(world.authority.certificate, "rb") as authority:
        machine.run("tee", "-a", "/etc/ssl/certs/ca-certificates.crt", input=authority.read())
    return machine


def the_relay(world, internet):
    """`puerto setup`, and what the pages say of trusted networks and logins."""
    relay = bare(world, "relay", internet, RELAY, "mail.example.org")
    report = relay.setup("--yes", domain="example.org")
    assert "systemctl enable --now puerto" in report["done"] and not report["problems"], report
    internet.publish_for(relay, "example.org")
    certificate, key = world.authority.issue("mail.example.org")
    relay.write("/etc/ssl/mail.pem", certificate.read_bytes())
    relay.write("/etc/ssl/private/mail.key", key.read_bytes(), 0o600)
    relay.configure({
        "trusted_networks": f'["127.0.0.0/8", "::1/128", "{ROOM}"]',
        "listen.submission": '["0.0.0.0:587"]', "tls.certificate": '"/etc/ssl/mail.pem"',
        "tls.key": '"/etc/ssl/private/mail.key"'})
    relay.run("puerto", "config", "check")
    relay.run("systemctl", "restart", "puerto")
    relay.run("puerto", "user", "add", "casa", "--password-stdin", input=PASSWORD.encode())
    return relay


def test_servers_of_students_send_through_the_relay(world):
    internet = Internet(world)
    relay = the_relay(world, internet)

    room = bare(world, "room", internet, "192.0.2.21", "uno.example.org")
    report = room.setup("--yes", "--relayhost", "mail.example.org", domain="uno.example.org")
    assert "systemctl enable --now puerto" in report["done"] and not report["problems"], report
    internet.publish_for(room, "uno.example.org")

    home = bare(world, "home", internet, HOME, "casa.example.com")
    home.write("/root/password", PASSWORD.encode(), 0o600)
    report = home.setup("--yes", "--relayhost", "[mail.example.org]:587", "--relayhost-user", "casa",
                        "--relayhost-password-file", "/root/password", domain="casa.example.com")
    assert "systemctl enable --now puerto" in report["done"] and not report["problems"], report
    internet.publish_for(home, "casa.example.com")

    # An account has its own address alone, until somebody does what the refusal says.
    write(home, "too early")
    notice = internet.until("the notice", lambda: home.read("/var/mail/bosun"))
    notice = " ".join(notice.split())
    for words in ("553 5.7.1", "allows more by `puerto user addresses`", "takes only the login's own address"):
        assert words in notice, notice
    relay.run("puerto", "user", "addresses", "casa", "--add", "@casa.example.com")

    debian = Machine(world, "debian", internet, "192.0.2.23", "tres.example.org")
    start_postfix(debian, {"relayhost": "mail.example.org", "myhostname": "tres.example.org"})

    for machine, name in ((room, "uno.example.org"), (home, "casa.example.com"), (debian, "tres.example.org")):
        write(machine, f"from {name}")
    for name, sender, protocol, signers in (
            ("uno.example.org", "uno.example.org", "ESMTPS", {"uno.example.org", "example.org"}),
            ("casa.example.com", "casa.example.com", "ESMTPSA", {"casa.example.com"}),
            ("tres.example.org", "tres.example.org", "ESMTPS", {"example.org"})):
        octets, message = internet.wait(f"from {name}")
        assert f"bosun@{sender}" in message["From"], message["From"]
        by_relay = next(f for f in message.get_all("Received") if "by mail.example.org" in f)
        assert f"from {name}" in by_relay and f"with {protocol} " in by_relay, by_relay
        found = internet.signers(octets)
        assert found == signers, (found, octets)
    # The server says what each was, and who asked.
    told = json.loads(relay.run("puerto", "why", "bosun@casa.example.com", "--json").stdout)
    assert told["state"] == "sent" and "casa" in json.dumps(told["origin"]), told

    # What the Internet refuses is told to the person who wrote it, by the server that heard it.
    write(room, "for nobody", "gone@example.net")
    internet.until("the notice", lambda: "no such user here" in room.read("/var/mail/bosun"))
    assert "mail.example.org" in room.read("/var/mail/bosun")

    with smtplib.SMTP(RELAY, 25, "stranger.example", source_address=(STRANGER, 0)) as stranger:
        stranger.ehlo()
        assert not stranger.has_extn("auth")
        for sender in ("me@example.org", "bosun@uno.example.org", "ana@example.net", ""):
            assert stranger.docmd(f"MAIL FROM:<{sender}>")[0] in (250, 550, 553), sender
            for recipient in ("ana@example.net", "ana%example.net@example.org", "@example.org:ana@example.net"):
                assert stranger.docmd(f"RCPT TO:<{recipient}>")[0] in (503, 550, 554), (sender, recipient)
            stranger.rset()
        assert stranger.docmd("MAIL FROM:<ana@example.net>")[0] == 250
        assert stranger.docmd("RCPT TO:<bosun@example.org>")[0] == 250, "our own mail is taken"
    with smtplib.SMTP(RELAY, 587, "stranger.example", source_address=(STRANGER, 0)) as stranger:
        stranger.ehlo()
        assert not stranger.has_extn("auth"), "no password without TLS"
        assert stranger.docmd("MAIL FROM:<ana@casa.example.com>")[0] == 530
        stranger.starttls(context=context(world))
        stranger.ehlo()
        encoded = smtplib.encode_base64(f"\0casa\0{PASSWORD}".encode(), eol="")
        assert stranger.docmd("AUTH PLAIN", encoded)[0] == 235
        stranger.sendmail("ana@casa.example.com", "ana@example.net",
                          "From: ana@casa.example.com\r\nSubject: from afar\r\n\r\nhola\r\n")
    internet.wait("from afar")


def context(world):
    made = ssl.create_default_context(cafile=world.authority.certificate)
    made.check_hostname = False
    return made


def test_nullmailer_hands_over_with_and_without_a_login(world):
    archives = list(ARCHIVES.glob("nullmailer_*.deb"))
    if not archives:
        raise Skipped("nullmailer's package is not here")
    internet = Internet(world)
    relay = the_relay(world, internet)
    relay.run("puerto", "user", "addresses", "casa", "--add", "@casa.example.com")
    for name, address, domain, remote in (
            ("room", "192.0.2.24", "cuatro.example.org", "mail.example.org"),
            ("home", HOME, "casa.example.com",
             f"mail.example.org smtp --port=587 --starttls --user=casa --pass='{PASSWORD}'")):
        machine = bare(world, name, internet, address, domain)
        machine.write("/tmp/nullmailer.deb", archives[0].read_bytes())
        # A folder of the package's may be a link here.
        machine.run("sh", "-c", "dpkg --fsys-tarfile /tmp/nullmailer.deb | "
                    "tar -x --keep-directory-symlink -C /")
        for file, text in (("me", domain), ("defaultdomain", domain), ("remotes", remote)):
            machine.write(f"/etc/nullmailer/{file}", f"{text}\n".encode())
        # As its package's script leaves them.
        machine.run("sh", "-c", "chown -R mail:mail /var/spool/nullmailer && "
                    "chown mail /usr/sbin/nullmailer-queue && chmod 4755 /usr/sbin/nullmailer-queue && "
                    "mkfifo -m 600 /var/spool/nullmailer/trigger && "
                    "chown mail:mail /var/spool/nullmailer/trigger")
        write(machine, f"by nullmailer at {domain}")
        machine.run("sh", "-c", "setsid setpriv --reuid=mail --regid=mail --clear-groups nullmailer-send "
                    "</dev/null >/var/log/nullmailer 2>&1 &")
        _, message = internet.wait(f"by nullmailer at {domain}")
        assert f"bosun@{domain}" in message["From"], message["From"]


def test_a_rented_server_sends_directly(world):
    internet = Internet(world)
    vps = bare(world, "vps", internet, VPS, "mail.example.com")
    report = vps.setup("--yes")
    assert "systemctl enable --now puerto" in report["done"], report
    # Before anything is published: the receiver does not know who is there.
    write(vps, "too early")
    notice = internet.until("the notice", lambda: vps.read("/var/mail/bosun"))
    assert "In short: reverse DNS missing" in notice, notice
    told = json.loads(vps.run("puerto", "--lang", "en", "why", "ana@example.net", "--json").stdout)
    assert told["state"] == "failed" and any("PTR" in advice for advice in told["advice"]), told
    checked = vps.run("puerto", "--lang", "en", "check", check=False)
    assert checked.returncode == 1 and b"PTR" in checked.stdout, checked
    internet.publish_for(vps, "example.com")
    write(vps, "published")
    octets, message = internet.wait("published")
    assert internet.signers(octets) == {"example.com"}, message.items()
    assert "mail.example.com (mail.example.com [203.0.113.25])" in message.get_all("Received")[0]
    checked = vps.run("puerto", "--lang", "en", "check", "--json", check=False)
    errors = [c for c in json.loads(checked.stdout)["checks"]
              if c["status"] == "finding" and c["severity"] == "error"]
    assert not errors, errors
