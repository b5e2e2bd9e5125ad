"""The rescue route with real relays: what a receiver refuses for our address goes by Postfix with
a login, what it refuses for anything else does not, and nothing goes round."""

import json

from peers import (FINAL_ADDRESS, RELAY_ADDRESS, SENDER_ADDRESS, UNPRIVILEGED, Postfix, Puerto,
                   Unbound, final_postfix, run, wait_for)
from relays import PASSWORD
from scripted import Client, Sink

LISTED, RANGE, UNKNOWN, LIAR = (f"127.0.0.{n}" for n in range(61, 65))
RECORDS = [record for name, address in [("listed", LISTED), ("range", RANGE), ("unknown", UNKNOWN),
                                        ("liar", LIAR)]
           for record in (f"{name}.example.net. MX 10 mx.{name}.example.net.",
                          f"mx.{name}.example.net. A {address}")]
RECORDS += [f"relay.example.org. A {RELAY_ADDRESS}"]
REFUSALS = {
    LISTED: "554 5.7.1 Service unavailable; Client host [127.0.0.20] blocked using "
            "zen.spamhaus.org; https://www.spamhaus.org/query/ip/127.0.0.20",
    RANGE: "550 DY-001 (COL004) Unfortunately, messages from 127.0.0.20 weren't sent. We generally "
           "do not accept email from dynamic IP's",
    UNKNOWN: "550 5.1.1 <user@unknown.example.net>: Recipient address rejected: User unknown",
    LIAR: "550 5.7.1 User unknown, and your host is blocked using zen.spamhaus.org",
}


def scene(world, **relay):
    """Receivers that refuse us, each in its way, and Postfix as the relay."""
    Unbound(world, RECORDS)
    certificate, key = world.authority.issue("relay.example.org")
    refusing = {}
    for address, reply in REFUSALS.items():
        refusing[address] = Sink(world, address)
        refusing[address].misbehave("rcpt", reply)
    postfix = Postfix(world, "relay", RELAY_ADDRESS, {
        "smtpd_sasl_auth_enable": "yes",
        "smtpd_tls_security_level": "encrypt",
        "smtpd_tls_auth_only": "yes",
        "smtpd_tls_cert_file": certificate,
        "smtpd_tls_key_file": key,
        "mynetworks": "127.0.0.99/32",
        "smtpd_relay_restrictions": "permit_sasl_authenticated,reject_unauth_destination",
        "default_transport": "virtual",
        "virtual_mailbox_base": world.folder / "relay" / "mail",
        "virtual_mailbox_maps": "static:all/",
        "virtual_uid_maps": "static:65534",
        "virtual_gid_maps": "static:65534",
        "virtual_minimum_uid": "1",
        "virtual_mailbox_limit": "0",
    } | relay, password=PASSWORD)
    secret = world.folder / "secret"
    secret.write_text(PASSWORD)
    secret.chmod(0o600)
    run("chown", UNPRIVILEGED, secret)
    puerto = Puerto(world, sections=(
        f'[delivery]\nallow_private = true\nbind_ipv4 = "{SENDER_ADDRESS}"\n'
        '[rescue]\nvia = "[relay.example.org]:25"\nuser = "puerto@example.org"\n'
        f'password_file = "{secret}"\n'))
    return refusing, postfix, puerto


def send(to):
    with Client() as client:
        client.send(b"Subject: rescue\r\n\r\nhello\r\n", to)


def test_what_is_refused_for_our_address_goes_by_the_relay(world):
    refusing, postfix, puerto = scene(world)
    for name in ("listed", "range"):
        send(f"user@{name}.example.net")
    postfix.wait(2)
    puerto.wait_empty()
    log = puerto.log()
    assert "status=bounced" not in log, log
    deferred = [line for line in log.splitlines() if "status=deferred" in line]
    assert len(deferred) == 2, log
    assert all("the rescue route [relay.example.org]:25 is tried" in line for line in deferred)
    assert log.count("relay=relay.example.org[127.0.0.40]:25") == 2, log
    assert sum("sasl_username=puerto" in line for line in postfix.log().splitlines()) == 2
    story = puerto.command("why", "user@listed.example.net").stdout.decode()
    assert "rescue route" in story and "zen.spamhaus.org" in story, story


def test_what_is_refused_for_the_recipient_does_not(world):
    refusing, postfix, puerto = scene(world)
    for name in ("unknown", "liar"):
        send(f"user@{name}.example.net")
    wait_for("both refusals", lambda: puerto.log().count("status=bounced") >= 2)
    assert "rescue route" not in puerto.log()
    assert postfix.count() == 0


def test_what_the_relay_refuses_is_returned_with_both_reasons(world):
    refusing, postfix, puerto = scene(world, smtpd_recipient_restrictions="reject")
    send("user@listed.example.net")
    puerto.says("status=bounced")
    [bounced] = [line for line in puerto.log().splitlines() if "status=bounced" in line
                 and "user@listed.example.net" in line]
    assert "Access denied" in bounced and "zen.spamhaus.org" in bounced, bounced
    assert len(refusing[LISTED].attempts) < 20, "nothing goes round"


def test_a_relay_that_is_down_is_waited_for(world):
    refusing, postfix, puerto = scene(world)
    postfix.stop()
    send("user@listed.example.net")
    puerto.says("Connection refused; this was the rescue route")
    shown = puerto.command("queue", "list").stdout.decode()
    assert "rescue route" in shown, shown
    assert "status=bounced" not in puerto.log()


def test_each_sender_has_its_address_and_its_name(world):
    Unbound(world, RECORDS + [
        "example.net. MX 10 mx.example.net.", f"mx.example.net. A {FINAL_ADDRESS}"])
    final = final_postfix(world)
    puerto = Puerto(world, sections=(
        f'[delivery]\nallow_private = true\nbind_ipv4 = "{SENDER_ADDRESS}"\n'
        '[[source]]\nname = "news"\nipv4 = "127.0.0.21"\nhelo = "news.example.com"\n'
        'from = ["@news.example.com"]\n'
        '[[source]]\nname = "new"\nipv4 = "127.0.0.22"\nhelo = "new.example.com"\n'
        'from = ["new@example.com"]\nbegins = "2020-01-01"\n'
        '[[source]]\nname = "later"\nipv4 = "127.0.0.23"\nfrom = ["later@example.com"]\n'
        'begins = "2999-01-01"\n'))
    with Client() as client:
        for sender in ("me@example.com", "x@news.example.com", "new@example.com",
                       "later@example.com"):
            client.send(b"Subject: sources\r\n\r\nhello\r\n", sender=sender)
    came = {message["Return-Path"].strip("<>"): message["Received"] for message in final.wait(3)}
    for sender, name, address in [("me@example.com", "mail.example.com", SENDER_ADDRESS),
                                  ("x@news.example.com", "news.example.com", "127.0.0.21"),
                                  ("new@example.com", "new.example.com", "127.0.0.22")]:
        assert came[sender].startswith(f"from {name} ") and f"[{address}]" in came[sender], came
    puerto.says("the new address later begins to send on 2999-01-01")
    shown = json.loads(puerto.command("top", "--json").stdout)["warm_up"]
    assert shown == [{"source": "later", "day": 0, "limit": 0, "sent": 0}], shown
    waits = puerto.command("why", "later@example.com").stdout.decode()
    assert "the new address later" in waits, waits
