"""What comes of headers on the way: our own signature over what was made right, and the
signatures of others over what was not touched, both as dkimpy verifies them."""

import base64
import json
import smtplib

import dkim

from capture import Capture
from peers import SENDER_ADDRESS, Puerto, Unbound, run, wait_for

NEXT_HOP, OTHER_HOST = "127.0.0.60", "10.99.0.2"

# Faults B1, B5 to B8, B14 to B16 and B19: what a program of this machine writes.
BROKEN = [
    b"From: Kock, Arne <arne@example.com>\nTo: a@example.net\nTo: b@example.net\n",
    b"From: [Shop] Orders <o@example.com>\nSubject: x\nSubject: y\nCc:\n",
    b"From: Jos\xe9 <o@example.com>\nMessage-ID: 94f4\nDate: 2026-11-28 10:00\n",
    "From: José <o@example.com>\nSubject: =?utf-8?B?w7E=?= año\n".encode(),
    b"From: root\nReferences: " + b"<0123456789@example.net>" * 80 + b"\n",
    b"From: root\nSubject: =?utf-8?Q?" + b"=C3=B1" * 190 + b"?=\nX: " + b"y" * 3000 + b"\n",
    b"From: MAILER-DAEMON <>\nTo: " + b"x" * 70 + b"@example.net, x..y@example.net, root\n",
    b"From: <>\nReply-To: a@example.net\nReply-To: b@example.net\n",
    b"From: a@example.com, b@example.com\nSubject : gap\n folded\n",
    b"Resent-From: a@example.com\nResent-To: b@example.net\nFrom: <mailto:c@example.com>\n",
    b"From: Friends: a@example.com;\nTo: Friends: root, a@example.net;\n",
    b"From: a b c\nList-Unsubscribe: <https://example.net/?" + b"a=b&" * 300 + b">\n",
]

# Fault B17: what another domain has signed, each with something that tempts.
SIGNED = [
    b"From: root@other.example\r\nTo: root, \"J\xc3\xb3\" <j@example.net>\r\nCc:\r\nSubject: a\xc3\xb1o\r\n",
    b"From: Kock, Arne <a@other.example>\r\nTo: a@example.net\r\nTo: b@example.net\r\n",
    b"From: a@other.example\r\nSubject:gap  \r\n\tand tab\r\nMessage-ID: 94f4\r\nDate: now\r\n",
    b"From: a@other.example\r\nSubject: " + b"word " * 300 + b"\r\nBcc: b@example.net\r\n",
    b"From: a@other.example\r\nX-Long: " + b"y" * 1500 + b"\r\nContent-Type: text/plain\r\n",
    b"From: =?koi8-r?Q?=C1?= J\xf3 <a@other.example>\r\nReply-To:\r\nContent-Length: 5\r\n",
]


def world_with_hop(world):
    hop = Capture(world, NEXT_HOP)
    Unbound(world, [])
    run("ip", "address", "add", f"{OTHER_HOST}/32", "dev", "lo", check=False)
    puerto = Puerto(world, f'relayhost = "[{NEXT_HOP}]"\n'
                    f'trusted_networks = ["127.0.0.0/8", "{OTHER_HOST}/32"]\n', start=False)
    return hop, puerto


def verifies(octets, index, keys):
    return dkim.DKIM(octets).verify(
        idx=index, dnsfunc=lambda name, timeout=5: keys[name.decode().rstrip(".")].encode())


def test_our_signature_holds_after_each_header_that_was_made_right(world):
    hop, puerto = world_with_hop(world)
    puerto.command("dkim", "new", "example.com", "--selector", "r", "--type", "rsa")
    listed = json.loads(puerto.command("dkim", "list", "--json").stdout)["keys"]
    keys = {f"{k['selector']}._domainkey.{k['domain']}": k["record"] for k in listed}
    puerto.start()
    for header in BROKEN:
        run(puerto.sendmail, "-i", "-f", "me@example.com", "you@example.net",
            input=header + b"\nbody\n")
        with smtplib.SMTP(SENDER_ADDRESS, 25, "client.example.com") as client:
            client.sendmail("me@example.com", ["you@example.net"],
                            header.replace(b"\n", b"\r\n") + b"\r\nbody\r\n")
    wait_for("all messages", lambda: len(hop.arrivals) == 2 * len(BROKEN))
    for arrival in hop.arrivals:
        assert verifies(arrival.octets, 0, keys), arrival.octets.decode(errors="replace")
        header = arrival.octets.split(b"\r\n\r\n")[0]
        assert max(map(len, header.split(b"\r\n"))) <= 998, header
    return f"{len(hop.arrivals)} messages"


def test_signatures_of_other_domains_hold_when_we_relay(world):
    hop, puerto = world_with_hop(world)
    puerto.command("dkim", "new", "example.com", "--selector", "r", "--type", "rsa")
    puerto.start()
    key = world.folder / "other.key"
    run("openssl", "genrsa", "-traditional", "-out", key, "2048")
    public = run("openssl", "rsa", "-in", key, "-pubout", "-outform", "DER").stdout
    keys = {"s._domainkey.other.example": "v=DKIM1; p=" + base64.b64encode(public).decode()}
    body = b"\r\nbody \xf1\r\n" + b"x" * 1200 + b"\r\n\r\n"
    sent = []
    for header in SIGNED:
        for form in (b"relaxed", b"simple"):
            message = header + body
            sent.append(dkim.sign(message, b"s", b"other.example", key.read_bytes(),
                                  canonicalize=(form, form)) + message)
    for source in (OTHER_HOST, "127.0.0.1"):
        for message in sent:
            with smtplib.SMTP(SENDER_ADDRESS, 25, "other.example",
                              source_address=(source, 0)) as client:
                client.sendmail("a@other.example", ["you@example.net"], message)
    wait_for("all messages", lambda: len(hop.arrivals) == 2 * len(sent))
    for arrival in hop.arrivals:
        assert verifies(arrival.octets, 0, keys), arrival.octets.decode(errors="replace")
    return f"{len(hop.arrivals)} messages"
