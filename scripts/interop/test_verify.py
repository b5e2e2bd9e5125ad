"""`puerto verify` against dkimpy and pyspf, on the same messages and records."""

import base64
import json

import dkim
import spf
from peers import RECORDS, SENDER_ADDRESS, Puerto, Unbound, run

MESSAGE = (b"From: Me <me@signed.example>\r\nTo: you@example.net\r\nSubject:  folded\r\n"
           b"\tand  spaced \r\nDate: Tue, 24 Nov 2026 10:00:00 +0000\r\n"
           b"Message-ID: <1@signed.example>\r\n\r\nHello  there \r\n\r\n\r\n")
FORMS = [(header, body) for header in (b"relaxed", b"simple") for body in (b"relaxed", b"simple")]
# What is done to a signed message on its way.
CHANGES = {
    "nothing": lambda m: m,
    "spaces in the header": lambda m: m.replace(b"and  spaced", b"and spaced"),
    "spaces in the body": lambda m: m.replace(b"Hello  there ", b"Hello there"),
    "empty lines at the end": lambda m: m + b"\r\n\r\n",
    "the subject": lambda m: m.replace(b"folded", b"bolded"),
    "the body": lambda m: m.replace(b"Hello", b"Hallo"),
    "another From": lambda m: b"From: eve@example.net\r\n" + m,
    "the signature": lambda m: m.replace(b"bh=", b"bh=A"),
}

SPF = {
    "own.example.net": "v=spf1 ip4:192.0.2.0/28 -all",
    "soft.example.net": "v=spf1 a:host.example.net mx:mx.example.net ~all",
    "inc.example.net": "v=spf1 include:own.example.net include:soft.example.net -all",
    "red.example.net": "v=spf1 redirect=own.example.net",
    "mac.example.net": "v=spf1 exists:%{ir}.%{l}.list.example.net ?all",
    "bad.example.net": "v=spf1 ip4:192.0.2 -all",
    "gap.example.net": "v=spf1 include:none.example.net -all",
    "loop.example.net": "v=spf1 include:loop.example.net -all",
    "six.example.net": "v=spf1 ip6:2001:db8::/32 -all",
    "all.example.net": "v=spf1 +all",
}
HOSTS = {"host.example.net": "198.51.100.7", "1.2.0.192.me.list.example.net": "127.0.0.2"}
CLIENTS = ["192.0.2.1", "192.0.2.77", "198.51.100.7", "2001:db8::1"]


def as_txt(name, value):
    pieces = " ".join(f'"{value[i:i + 255]}"' for i in range(0, len(value), 255))
    return f"{name}. IN TXT {pieces}"


def look_up(name, kind, strict=True, timeout=None, level=0):
    """The records for pyspf, from the same tables."""
    name = str(name).rstrip(".").lower()
    if kind == "TXT" and name in SPF:
        return [((name, kind), (SPF[name].encode(),))]
    if kind == "A" and name in HOSTS:
        return [((name, kind), HOSTS[name])]
    return []


def rsa_key(folder):
    file = folder / "rsa.pem"
    run("openssl", "genrsa", "-traditional", "-out", file, "2048")
    der = run("openssl", "rsa", "-in", file, "-pubout", "-outform", "DER", text=False).stdout
    return file.read_bytes(), base64.b64encode(der).decode()


def verify(puerto, message, *options):
    file = puerto.folder / "message"
    file.write_bytes(message)
    done = run(puerto.binary, "verify", file, "--json", *options, "--config",
               puerto.configuration, check=False)
    assert done.returncode in (0, 1, 2), done
    return json.loads(done.stdout)


def test_dkimpy_and_puerto_verify_agree(world):
    puerto = Puerto(world, start=False)
    private, public = rsa_key(world.folder)
    record = f"v=DKIM1; k=rsa; p={public}"
    Unbound(world, RECORDS + [as_txt("r._domainkey.signed.example", record)])
    compared = 0
    for form in FORMS:
        field = dkim.sign(MESSAGE, b"r", b"signed.example", private, canonicalize=form)
        for name, change in CHANGES.items():
            message = change(field + MESSAGE)
            theirs = dkim.verify(message, dnsfunc=lambda *_, **__: record.encode())
            ours = verify(puerto, message)["dkim"][0]
            assert (ours["result"] == "pass") == theirs, (form, name, ours)
            compared += 1
    return f"{compared} messages"


def test_pyspf_and_puerto_verify_agree(world):
    puerto = Puerto(world, start=False)
    records = [as_txt(name, value) for name, value in SPF.items()]
    records += [f"{name}. IN A {address}" for name, address in HOSTS.items()]
    Unbound(world, RECORDS + records)
    spf.DNSLookup = look_up
    compared = 0
    for domain in [*SPF, "none.example.net"]:
        for client in CLIENTS:
            sender = f"me@{domain}"
            theirs, _ = spf.check2(i=client, s=sender, h="host.example.net")
            ours = verify(puerto, MESSAGE, "--ip", client, "--helo", "host.example.net",
                          "--from", sender)["spf"]
            assert ours["result"] == theirs, (domain, client, theirs, ours)
            compared += 1
    return f"{compared} questions"
