"""Whose mail is whose: tables, domains behind us, mailboxes that Dovecot has."""

import smtplib

from peers import (DNS_ADDRESS, FINAL_ADDRESS, RECORDS, SENDER_ADDRESS, Postfix, Process, Puerto,
                   Unbound, run, wait_for)
from scripted import Sink
from test_local import House

STRANGER = "127.0.0.77"
FROM_HERE = 'trusted_networks = ["127.0.0.1/32"]\n'


def rcpt(*recipients, source=STRANGER):
    """What the daemon answers a client at this address to each recipient."""
    with smtplib.SMTP(SENDER_ADDRESS, 25, source_address=(source, 0)) as client:
        client.ehlo("stranger.example")
        assert client.mail("me@example.net")[0] == 250
        # As it is written: the library would put some of them right.
        return [client.docmd(f"RCPT TO:<{recipient}>")[0] for recipient in recipients]


def send(*recipients, source=STRANGER, sender="me@example.net", text="hi"):
    with smtplib.SMTP(SENDER_ADDRESS, 25, source_address=(source, 0)) as client:
        client.sendmail(sender, recipients, f"From: {sender}\r\nSubject: {text}\r\n\r\n{text}\r\n")


class Dovecot(Process):
    """Mailboxes of ana and bea of two domains, by LMTP."""

    def __init__(self, world):
        self.folder = world.folder / "dovecot"
        self.folder.mkdir(mode=0o755)
        self.mail = self.folder / "mail"
        self.mail.mkdir(mode=0o777)
        self.mail.chmod(0o777)
        users = ["ana@example.com", "bea@example.org"]
        (self.folder / "users").write_text("".join(f"{user}:{{PLAIN}}x::::::\n" for user in users))
        (self.folder / "users").chmod(0o644)
        (self.folder / "dovecot.conf").write_text(
            f"base_dir = {self.folder}/run\nstate_dir = {self.folder}/state\n"
            f"log_path = {self.folder}/log\nprotocols = lmtp\nssl = no\n"
            "postmaster_address = postmaster@example.com\nrecipient_delimiter = +\n"
            f"mail_location = maildir:{self.mail}/%u\nmail_uid = 65534\nmail_gid = 65534\n"
            f"first_valid_uid = 1\n"
            f"passdb {{\n  driver = passwd-file\n  args = {self.folder}/users\n}}\n"
            f"userdb {{\n  driver = passwd-file\n  args = {self.folder}/users\n"
            f"  default_fields = uid=65534 gid=65534 home={self.mail}/%u/home\n}}\n"
            "service lmtp {\n"
            f"  unix_listener {self.folder}/lmtp {{\n    mode = 0666\n  }}\n}}\n")
        self.socket = self.folder / "lmtp"
        self.start()
        world.add(self)

    def start(self):
        self.start_process(["dovecot", "-F", "-c", self.folder / "dovecot.conf"],
                           self.folder / "output")
        wait_for("Dovecot", self.socket.exists)

    def stop(self):
        super().stop()
        self.socket.unlink(missing_ok=True)

    def inbox(self, user):
        folder = self.mail / user / "new"
        return [file.read_text(errors="replace") for file in folder.iterdir()] if folder.is_dir() else []


def test_the_lmtp_server_says_who_exists(world):
    Unbound(world, RECORDS)
    dovecot = Dovecot(world)
    (world.folder / "aliases").write_text("team: ana, bea@example.org\nroot: ana\n")
    puerto = Puerto(
        world, FROM_HERE.replace("\n", "\n"),
        f'[local]\nmailbox = "lmtp:{dovecot.socket}"\naliases = "{world.folder}/aliases"\n'
        '[queue]\nretry = ["1s"]\n[virtual]\ndomains = ["example.net"]\n[virtual.map]\n'
        '"@example.net" = "@example.com"\n')
    text = puerto.configuration.read_text()
    puerto.stop()
    puerto.configuration.write_text(text.replace('["example.com"]', '["example.com", "example.org"]'))
    puerto.start()
    asked = ["ana@example.com", "ana+x@example.com", "bea@example.org", "team@example.com",
             "postmaster@example.org", "ana@example.net"]
    unknown = ["bea@example.com", "ana@example.org", "daemon@example.com", "x@example.net"]
    assert rcpt(*asked) == [250] * 6
    assert rcpt(*unknown) == [550] * 4
    send("ana+x@example.com", "bea@example.org", text="directly")
    send("team@example.com", text="by-alias")
    send("ana@example.net", text="moved")
    wait_for("ana's mail", lambda: len(dovecot.inbox("ana@example.com")) == 3)
    wait_for("bea's mail", lambda: len(dovecot.inbox("bea@example.org")) == 2)
    puerto.wait_empty()
    # A program of this machine names somebody who is not there: one notice, and no loop.
    run(puerto.sendmail, "-f", "ana@example.com", "nobody-here@example.com",
        input=b"Subject: lost\n\nhi\n")
    wait_for("the notice", lambda: any("nobody-here" in mail and "MAILER-DAEMON" in mail
                                       for mail in dovecot.inbox("ana@example.com")))
    puerto.wait_empty()
    # While it is away, those who were known are, and of others nothing is said.
    dovecot.stop()
    assert rcpt("ana@example.com", "bea@example.com", "new@example.com", "other@example.org") == [
        250, 550, 450, 450]
    assert rcpt("new@example.com", source="127.0.0.1") == [250], "ours need not wait"
    send("ana@example.com", text="later")
    dovecot.start()
    wait_for("what waited", lambda: any("later" in mail for mail in dovecot.inbox("ana@example.com")), 60)


def test_domains_behind_us_take_mail_for_those_who_exist(world):
    Unbound(world, RECORDS + [
        "clase.example.org. IN MX 10 mx.example.net.",
        "clase.example.org. IN MX 20 mail.example.com.",
        "down.example.org. IN A 127.0.0.99",
    ])
    (world.folder / "relay_recipients").write_text("ana@example.net OK\n")
    final = Postfix(world, "final", FINAL_ADDRESS, {
        "mydestination": "example.net, clase.example.org", "alias_maps": "",
        "local_recipient_maps": "inline:{ana=x,luis=x}", "local_transport": "discard:",
        "recipient_delimiter": "+"})
    puerto = Puerto(world, FROM_HERE + 'relay_domains = ["example.net", "*.example.org"]\n')
    assert rcpt("ana@example.net", "luis@clase.example.org") == [250, 250]
    assert rcpt("nobody@example.net", "nobody@clase.example.org") == [550, 550]
    assert rcpt("ana@down.example.org", "ana@nowhere.example.org") == [450, 450]
    assert rcpt("ana@elsewhere.example", "ana%elsewhere.example@example.net",
                "elsewhere.example!ana@example.net", '"ana@elsewhere.example"@example.net',
                "@example.net:ana@elsewhere.example") == [554] * 5
    assert rcpt("nobody@example.net", source="127.0.0.1") == [250], "ours hear of it by a notice"
    send("ana@example.net", text="relayed")
    wait_for("the mail at its domain's server", lambda: "status=sent" in final.log())
    # The list says all there is.
    puerto.stop()
    text = puerto.configuration.read_text()
    puerto.configuration.write_text(f'relay_recipients = ["{world.folder}/relay_recipients"]\n' + text)
    puerto.start()
    final.stop()
    assert rcpt("ana@example.net", "ana+x@example.net", "luis@example.net", "luis@clase.example.org") == [
        250, 250, 550, 550]


def test_virtual_domains(world):
    Unbound(world, RECORDS)
    sink = Sink(world, FINAL_ADDRESS)
    house = House(world, aliases="office: luis\n", sections='[queue]\nretry = ["1s"]\n'
                  f'[virtual]\ndomains = ["example.org"]\nfile = "{world.folder}/virtual"\n'
                  '[virtual.map]\n"info@example.org" = ["ana", "office", "you@example.net"]\n')
    table = world.folder / "virtual"
    # The file that is named is not there yet: nobody is refused for good.
    assert rcpt("info@example.org", "nobody@example.org") == [250, 250]
    table.write_text("example.org this-is-a-domain\nsales@example.org ana+sales\n@example.org catch@example.net\n")
    send("info@example.org", text="for-three")
    send("sales+x@example.org", "nobody@example.org", text="two")
    wait_for("ana's mail", lambda: "for-three" in house.mbox("ana") and "two" in house.mbox("ana"))
    wait_for("luis's mail", lambda: "for-three" in house.mbox("luis"))
    wait_for("what goes on", lambda: len(sink.messages) == 2)
    house.puerto.wait_empty()
    table.write_text("sales@example.org ana\n")
    wait_for("the new table", lambda: rcpt("sales@example.org", "nobody@example.org") == [250, 550])
    table.unlink()
    assert rcpt("sales@example.org", "nobody@example.org") == [250, 550], "what was read holds"
