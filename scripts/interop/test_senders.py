"""Under which addresses a machine sends, with real Postfix next hops that insist on some;
and whether what is taken over from a Postfix does to senders what that Postfix did."""

import email.utils
import json
import os
import smtplib
import tomllib

from peers import (FINAL_ADDRESS, RECORDS, RELAY_ADDRESS, SENDER_ADDRESS, Postfix, Puerto, Unbound,
                   final_postfix, run, wait_for)

OURS = ["shop@example.com", "root@example.com"]
OTHER_WORDS = "553 5.7.1 Sender address rejected: not owned by user puerto"


def insisting(world):
    """A relay that takes mail from few addresses, as providers of mailboxes do, and knows
    no SMTPUTF8."""
    table = ", ".join(f"{{{address}=OK}}" for address in OURS)
    return Postfix(world, "relay", RELAY_ADDRESS, {
        "smtputf8_enable": "no",
        "smtpd_sender_restrictions":
            f"check_sender_access inline:{{{table}}}, check_sender_access static:{{{OTHER_WORDS}}}",
        "smtpd_relay_restrictions": "permit_mynetworks, reject",
        "smtp_bind_address": RELAY_ADDRESS,
        "relayhost": f"[{FINAL_ADDRESS}]",
    })


def configured(puerto, original, keys="", section=""):
    """The daemon with this configuration."""
    if getattr(puerto, "process", None) and puerto.process.poll() is None:
        puerto.stop()
    # Keys outside sections come first.
    puerto.configuration.write_text(f"{keys}\n{original}{section}\n")
    puerto.start()


def seen(message):
    """Envelope and header of a message that arrived."""
    author = email.utils.parseaddr(str(message["From"]))[1]
    return message["Return-Path"].strip("<>"), author


def test_a_relay_that_insists_on_addresses_takes_what_origin_and_sender_make(world):
    Unbound(world, RECORDS)
    final = final_postfix(world, smtputf8_enable="no")
    insisting(world)
    puerto = Puerto(world, f'relayhost = "[{RELAY_ADDRESS}]"\n', start=False)
    original = puerto.configuration.read_text().replace(
        'domains = ["example.com"]', 'domains = ["mail.example.com"]')
    configured(puerto, original)
    run(puerto.sendmail, "you@example.net", input=b"Subject: x\n\nx\n")
    wait_for("the refusal", lambda: "not owned by user puerto" in puerto.log())
    puerto.says("status=bounced")
    cases = [
        ('origin = "example.com"', "", "", "root@example.com"),
        ("", '[sender]\nalways = "shop@example.com"', "Web <www-data@mail.example.com>",
         "shop@example.com"),
        ("", '[sender.map]\nroot = "shop@example.com"', "Cron <root@mail.example.com>",
         "shop@example.com"),
        ("", '[sender.map]\n"@mail.example.com" = "@example.com"', "", "root@example.com"),
        ("", '[sender]\nmasquerade = ["example.com"]', "root@mail.example.com",
         "root@example.com"),
    ]
    for number, (keys, section, author, expected) in enumerate(cases, 1):
        configured(puerto, original, keys, section)
        head = f"From: {author}\n" if author else ""
        run(puerto.sendmail, "you@example.net", input=f"{head}Subject: {number}\n\nx\n".encode())
        message = next(m for m in final.wait(number) if m["Subject"] == str(number))
        assert seen(message) == (expected, expected), (section, seen(message))
        if "always" in section:
            assert "www-data@mail.example.com" in str(message["Reply-To"]), message["Reply-To"]
        done = puerto.command("relay", "test", "--json", check=False)
        document = json.loads(done.stdout)
        wrong = [p["id"] for p in document["problems"] if p["id"] == "relay.sender"]
        assert not wrong, "the test asks with the sender that real mail has"


def test_a_next_hop_without_smtputf8_gets_all_that_can_be_written_without(world):
    Unbound(world, RECORDS + ["xn--maana-pta.example. IN MX 10 mx.example.net."])
    final = final_postfix(world, smtputf8_enable="no",
                          virtual_mailbox_domains="example.net xn--maana-pta.example")
    puerto = Puerto(world)
    run(puerto.sendmail, "-f", "me@example.com", "jose@mañana.example",
        input=b"Subject: one\n\nx\n")
    [message] = final.wait(1)
    assert message["X-Original-To"] == "jose@xn--maana-pta.example", message["X-Original-To"]
    with smtplib.SMTP(SENDER_ADDRESS) as client:
        client.sendmail("me@example.com", ["you@example.net"],
                        "From: José <me@example.com>\r\nTo: you@example.net\r\n"
                        "Subject: mañana\r\n\r\nx\r\n".encode(), mail_options=["SMTPUTF8"])
    final.wait(2)
    raw = next(m for m in final.messages() if b"jose@xn" not in m)
    head = raw.partition(b"\n\n")[0]
    assert head.isascii() and b"=?utf-8?" in head.lower(), head
    assert "mañana" in [m["Subject"] for m in final.wait(2)]
    run(puerto.sendmail, "-f", "me@example.com", "josé@mañana.example",
        input=b"Subject: three\n\nx\n")
    wait_for("the bounce", lambda: "status=bounced" in puerto.log())
    line = next(l for l in puerto.log().splitlines() if "status=bounced" in l)
    assert "SMTPUTF8" in line and final.count() == 2, line


# What a main.cf says of senders.
TAKEN = [
    "myorigin = example.com",
    "myorigin = $mydomain",
    "masquerade_domains = !lists.example.com dept.example.com $mydomain\n"
    "masquerade_exceptions = root",
    "sender_canonical_maps = inline:{ {root = admin@example.net}, {ana@web.example.com = "
    "ana.b@example.org}, {@dept.example.com = @example.edu} }",
    "sender_canonical_maps = inline:{ {bob = robert}, {ana@web.example.com = @example.org} }\n"
    "myorigin = example.com",
    "smtp_generic_maps = inline:{ {root@web.example.com = admin@example.net}, "
    "{@web.example.com = @example.com} }",
    "sender_canonical_maps = static:shop@example.net",
    "sender_canonical_maps = regexp:/etc/postfix/all",
    "canonical_maps = inline:{ {root = admin@host.example.com} }\n"
    "smtp_generic_maps = inline:{ {admin@host.example.com = x@example.org} }",
    "canonical_maps = inline:{ {root = admin@host.example.com} }\n"
    "masquerade_domains = example.com",
]
SENDERS = ["root@web.example.com", "ana@web.example.com", "bob@web.example.com",
           "eve@dept.example.com", "eve@x.dept.example.com", "eve@one.lists.example.com",
           "eve@example.com", "eve@elsewhere.example"]


def send_all(sendmail, final, mark):
    """One message from each, and one from nobody named; what arrived, by sender."""
    run(*sendmail, "you@example.net", input=f"Subject: {mark} bare\n\nx\n".encode())
    for sender in SENDERS:
        run(*sendmail, "-f", sender, "you@example.net",
            input=f"From: Name <{sender}>\nSubject: {mark} {sender}\n\nx\n".encode())
    send_all.sent += 1 + len(SENDERS)
    found = [m for m in final.wait(send_all.sent) if str(m["Subject"]).startswith(f"{mark} ")]
    return {str(m["Subject"]).split()[-1]: seen(m) for m in found}


send_all.sent = 0


def test_what_is_taken_over_does_to_senders_what_postfix_did(world):
    Unbound(world, RECORDS)
    final = final_postfix(world)
    base = {"myhostname": "web.example.com", "mydestination": "web.example.com, localhost",
            "relayhost": f"[{FINAL_ADDRESS}]", "smtp_bind_address": RELAY_ADDRESS}
    postfix = Postfix(world, "taken", RELAY_ADDRESS, base)
    plain = (postfix.folder / "main.cf").read_text()
    puerto = Puerto(world, f'relayhost = "[{FINAL_ADDRESS}]"\n', start=False)
    original = puerto.configuration.read_text().replace(
        'domains = ["example.com"]', 'domains = ["web.example.com"]').replace(
        'hostname = "mail.example.com"', 'hostname = "web.example.com"')
    table = world.folder / "all"
    table.write_text("# everybody\n/.+/  shop@example.net\n")
    for number, settings in enumerate(TAKEN):
        machine = world.folder / f"machine{number}"
        (machine / "etc/postfix").mkdir(parents=True)
        (machine / "etc/postfix/all").write_text(table.read_text())
        lines = "".join(f"{key} = {value}\n" for key, value in base.items())
        (machine / "etc/postfix/main.cf").write_text(f"{lines}{settings}\n")
        (postfix.folder / "main.cf").write_text(
            plain + settings.replace("/etc/postfix/all", str(table)) + "\n")
        run("postfix", "-c", postfix.folder, "reload")
        # Its `sendmail` is nobody's when ours was put in its place.
        expected = send_all(["/usr/sbin/sendmail", "-C", postfix.folder], final, f"postfix{number}")
        run(os.environ["PUERTO_BINARY"], "setup", "web.example.com", "--yes", "--root", machine,
            "--hostname", "web.example.com", check=False)
        written = tomllib.loads((machine / "etc/puerto/puerto.toml").read_text())
        origin = f'origin = "{written["origin"]}"' if "origin" in written else ""
        # Postfix asks nobody whose address it is.
        section = '[sender]\nforeign = ["*"]\n' + "".join(
            f"{key} = {inline(value)}\n" for key, value in written.get("sender", {}).items())
        configured(puerto, original, origin, section)
        found = send_all([puerto.sendmail], final, f"puerto{number}")
        assert len(found) == 1 + len(SENDERS) and found == expected, (settings, section)


def inline(value):
    """As TOML writes it in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {json.dumps(v)}" for k, v in value.items()) + "}"
    return json.dumps(value)
