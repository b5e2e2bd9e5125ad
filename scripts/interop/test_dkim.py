"""What OpenDKIM and dkimpy make of our signatures, on bodies that are hard to
canonicalize."""

import json
import smtplib

import dkim
from peers import (RECORDS, SENDER_ADDRESS, Process, Puerto, Unbound, final_postfix, listens,
                   run, wait_for)

HEADER = (b"From: Me <me@example.com>\r\nTo: you@example.net\r\nSubject:  folded\r\n"
          b"\tand  spaced \r\nDate: Tue, 24 Nov 2026 10:00:00 +0000\r\n"
          b"Message-ID: <%d@example.com>\r\nX-Empty:\r\n\r\n")

BODIES = [
    b"plain\r\n",
    b"",
    b"\r\n\r\n\r\n",
    b"no final line end",
    b"trailing white space \t \r\nand lines of it\r\n \t\r\n\t\r\n  \r\n",
    b"inner   white \t space\r\n\r\n\r\nand a gap\r\n\r\n",
    b"." + b"\r\n..\r\n.dots\r\n",
    b"long " + b"x" * 990 + b"\r\n",
    "áéíóú ñ — 8-bit ✓\r\n".encode(),
    b"only white space \r\n \r\n",
    (b"y" * 76 + b"\r\n") * 20_000,
]


class OpenDkim(Process):
    """OpenDKIM as a verifying milter of the final Postfix."""

    def __init__(self, world):
        folder = world.folder / "opendkim"
        folder.mkdir()
        (folder / "conf").write_text(
            "Mode v\nSyslog no\nSocket inet:8891@127.0.0.1\nUserID root\nAlwaysAddARHeader yes\n"
            "AuthservID final.example.org\nNameservers 127.0.0.53\nMinimumKeyBits 1024\n"
            "PeerList /dev/null\nInternalHosts 192.0.2.1\nBackground no\n")
        self.start_process(["opendkim", "-f", "-x", folder / "conf"], folder / "log")
        wait_for("OpenDKIM", lambda: listens("127.0.0.1", 8891))
        world.add(self)


def key_records(puerto):
    """What `puerto dkim list` says is to be published."""
    keys = json.loads(puerto.command("dkim", "list", "--json").stdout)["keys"]
    return {f"{k['selector']}._domainkey.{k['domain']}": k["record"] for k in keys}


def as_txt(name, value):
    pieces = " ".join(f'"{value[i:i + 255]}"' for i in range(0, len(value), 255))
    return f"{name}. IN TXT {pieces}"


def test_opendkim_and_dkimpy_say_pass_for_rsa_and_ed25519(world):
    puerto = Puerto(world, start=False)
    puerto.command("dkim", "new", "example.com", "--selector", "r", "--type", "rsa")
    puerto.command("dkim", "new", "example.com", "--selector", "e", "--type", "ed25519")
    short = puerto.keys / "example.com" / "s.pem"
    run("openssl", "genrsa", "-out", short, "1024")
    short.chmod(0o600)
    records = key_records(puerto)
    assert len(records) == 3, records
    Unbound(world, RECORDS + [as_txt(name, value) for name, value in records.items()])
    OpenDkim(world)
    final = final_postfix(world, smtpd_milters="inet:127.0.0.1:8891",
                          milter_default_action="tempfail")
    puerto.start()
    with smtplib.SMTP(SENDER_ADDRESS, 25, "client.example.com", timeout=30) as client:
        client.ehlo()
        for number, body in enumerate(BODIES):
            client.mail("me@example.com", ["BODY=8BITMIME"])
            client.rcpt("you@example.net")
            code, text = client.docmd("DATA")
            assert code == 354, text
            content = HEADER % number + body
            stuffed = b"\r\n".join(
                b"." + line if line.startswith(b".") else line for line in content.split(b"\r\n"))
            client.send(stuffed + (b".\r\n" if content.endswith(b"\r\n") else b"\r\n.\r\n"))
            code, text = client.getreply()
            assert code == 250, text
    final.wait(len(BODIES))
    for raw in final.messages():
        check(raw, records)


def check(raw, records):
    message_id = next(l for l in raw.split(b"\n") if l.startswith(b"Message-ID"))
    results = raw.split(b"\nReceived:")[0].split(b"Authentication-Results:", 1)
    assert len(results) == 2, raw[:2000]
    said = results[1]
    assert said.count(b"dkim=pass") == 3 and b"dkim=fail" not in said, (message_id, said)

    def txt(name, timeout=5):
        return records[name.decode().rstrip(".")].encode()

    wire = raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    verifier = dkim.DKIM(wire)
    signatures = wire.split(b"\r\n\r\n")[0].lower().count(b"\r\ndkim-signature:")
    assert signatures == 3, wire[:1500]
    for index in range(signatures):
        assert verifier.verify(idx=index, dnsfunc=txt), (message_id, index)
