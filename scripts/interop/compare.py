"""Gives every message file of a folder to Postfix and to puerto and reports what
differs: `compare.py FOLDER [KEYS.json]`. Runs where the interoperability tests run.

KEYS.json holds the TXT records of the domains whose signatures are in the files, by
name. Besides, every message is signed here for a domain of another host.
"""

import base64
import collections
import datetime
import email.errors
import email.header
import email.policy
import email.utils
import json
import pathlib
import re
import socket
import sys

import dkim

from capture import Capture
from peers import RELAY_ADDRESS, SENDER_ADDRESS, Postfix, Puerto, Unbound, World, run, wait_for

REFERENCE_HOP, OUR_HOP = "127.0.0.60", "127.0.0.61"
HERE, OTHER_HOST = "127.0.0.1", "10.99.0.2"
SIGNER = "signer.example"
# Fields that a server on the way writes or removes.
TRACE = {b"received", b"bcc", b"resent-bcc", b"return-path", b"content-length", b"x-mailbox-line"}
# What is added where it is missing.
ADDED = {b"from", b"date", b"message-id", b"mime-version", b"content-type", b"reply-to",
         b"content-transfer-encoding", b"resent-date", b"resent-message-id", b"dkim-signature",
         b"x-original-from", b"to"}
ADDRESSES = {b"from", b"sender", b"reply-to", b"to", b"cc", b"resent-from", b"resent-to",
             b"resent-cc", b"x-original-from", b"errors-to", b"disposition-notification-to",
             b"return-receipt-to"}
ONCE = [b"from", b"sender", b"reply-to", b"to", b"cc", b"message-id", b"in-reply-to", b"references",
        b"subject", b"date", b"mime-version", b"content-type", b"content-transfer-encoding"]
UTF8_LETTER = re.compile(rb"[\xc3-\xf4][\x80-\xbf]")
ADDRESS = re.compile(rb"[^\s<>,;:\"'()]+@[a-z0-9.-]+")
MADE_HERE = {"sendmail", "sendmail -t", "smtp"}
MODES = ["sendmail", "sendmail -t", "smtp", "relay", "bounce", "signed"]


def crlf(octets):
    octets = re.sub(rb"\r*\n", b"\r\n", octets)
    return octets if octets.endswith(b"\r\n") or not octets else octets + b"\r\n"


def on_the_wire(octets):
    """As a client of ours sends a file: line ends of files become those of SMTP, and what
    else stands there stays."""
    octets = re.sub(rb"(?<!\r)\n", b"\r\n", octets)
    return octets if octets.endswith(b"\r\n") or not octets else octets + b"\r\n"


def split(octets):
    """Fields as (name in lower case, raw value), and the body."""
    if octets.startswith((b"From ", b">From ")):
        octets = octets.split(b"\r\n", 1)[-1]
    fields, rest = [], octets
    while rest and not rest.startswith(b"\r\n"):
        match = re.match(rb"([!-9;-~]+)[ \t]*:((?:.*?\r\n)(?:[ \t].*?\r\n)*)", rest)
        if not match:
            return fields, rest
        fields.append((match[1].lower(), match[2].replace(b"\r\n", b"").strip()))
        rest = rest[match.end():]
    return fields, rest[2:]


def text(value):
    """A value as a reader shows it, blanks and quotes apart."""
    def decoded(part, charset):
        if isinstance(part, str):
            part = part.encode("ascii", "surrogateescape")
        if charset and charset != "unknown-8bit":
            return part.decode(charset, "replace")
        try:
            return part.decode("iso2022_jp" if b"\x1b$" in part else "utf-8")
        except UnicodeDecodeError:
            # The same octets look the same on both sides, whatever they are.
            return part.decode("utf-8" if UTF8_LETTER.search(part) else "windows-1252", "replace")
    try:
        parts = email.header.decode_header(value.decode("ascii", "surrogateescape"))
        shown = "".join(decoded(*part) for part in parts)
    except (LookupError, UnicodeError, ValueError, email.errors.HeaderParseError):
        shown = repr(value)
    shown = shown.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return re.sub(r"[\s\"\\]+", "", shown).lower()


def in_a_labels(octets):
    """With the domains of its addresses as SMTP has them."""
    def host(match):
        try:
            return match[0].decode().encode("idna")
        except UnicodeError:
            return match[0]
    return re.sub(rb"(?<=@)[^\s<>,;:\"'()@]*[\x80-\xff][^\s<>,;:\"'()@]*", host, octets).lower()


def smtp(server, client, sender, recipient, octets):
    """Submits by SMTP; nothing if it was taken, or the refusal."""
    with socket.create_connection((server, 25), 20, (client, 0)) as connection:
        stream = connection.makefile("rwb")

        def reply():
            while True:
                line = stream.readline().decode(errors="replace")
                if line[3:4] != "-":
                    return line.strip()

        def ask(line, expected):
            stream.write(line + b"\r\n")
            stream.flush()
            answer = reply()
            return None if answer.startswith(expected) else answer or "closed"

        reply()
        refusal = (ask(b"EHLO client.example", "2")
                   or ask(b"MAIL FROM:<" + sender.encode() + b"> BODY=8BITMIME", "2")
                   or ask(b"RCPT TO:<" + recipient.encode() + b">", "2") or ask(b"DATA", "3"))
        if refusal:
            return refusal
        stream.write(re.sub(rb"(?m)^\.", b"..", on_the_wire(octets)))
        return ask(b".", "2")


def sendmail(command, arguments, octets, **options):
    done = run(command, *arguments, input=octets, check=False, **options)
    return None if done.returncode == 0 else f"exit {done.returncode} {done.stderr.decode()}".strip()


def moment(value):
    """The date of a field, if it is one."""
    try:
        date = email.utils.parsedate_to_datetime(value.decode("latin-1"))
    except ValueError:
        return None
    return date.replace(tzinfo=date.tzinfo or datetime.timezone.utc)


def mends(field, before, ours):
    """Whether a field that is written otherwise was no good, and what it said is kept."""
    values = [value for name, value in before if name == field]
    if all(value in (b"", b"<>") for value in values) or any(b"\0" in value for value in values):
        return True
    if len(values) > 1 and (field not in ADDRESSES or field == b"sender"):
        return field in ONCE
    if field == b"subject":
        # What stands beside an encoded word is not read by Python.
        return b"=?" in values[0] and not values[0].isascii()
    if field in (b"references", b"in-reply-to", b"list-unsubscribe", b"content-type"):
        return not values[0].isascii() or b"\x1b" in values[0]
    if field == b"message-id":
        return len(values[0]) > 900 or not re.fullmatch(rb"<[!-;=?-~]+@[!-;=?-~]+>", values[0])
    if field in (b"date", b"resent-date"):
        is_good = re.fullmatch(rb"(\w{3},\s*)?\d+ \w{3} \d{2,4} [\d:]+ ([+-]\d{4}|[A-Z]+)( \(.*\))?", values[0])
        return not is_good or moment(values[0]) in (moment(v) for name, v in ours if name == field)
    if field in ADDRESSES:
        # Completed, quoted or joined: every address is still there.
        there = b" ".join(value for name, value in ours if name in ADDRESSES)
        there = re.sub(rb"[\[\]]", b"", in_a_labels(there))
        addresses = [a for value in values for a in ADDRESS.findall(in_a_labels(value))]
        return all(address.rstrip(b".") in there for address in addresses)
    return False


def faults(octets, before=b"", parameters=b""):
    """What is wrong, by RFC 5321 and RFC 5322, with a message that a program of this machine
    had us send; not what only its author can know, such as what its encoded words mean."""
    words = {name for name, value in split(before)[0] if b"=?" in value}
    fields, body = split(octets)
    header = octets[:len(octets) - len(body)]
    is_signed = any(name in (b"dkim-signature", b"content-type") and (
        name == b"dkim-signature" or b"multipart/signed" in value) for name, value in split(before)[0])
    if max(map(len, octets.split(b"\r\n"))) > 998 and not is_signed:
        yield "a line of more than 998 octets"
    if b"\0" in octets or re.search(rb"\r(?!\n)|(?<!\r)\n", octets):
        yield "a NUL, CR or LF alone"
    if not header.isascii() and b"SMTPUTF8" not in parameters:
        yield "a header that is not ASCII"
    counts = collections.Counter(name for name, _ in fields)
    for name in ONCE:
        if counts[name] > 1:
            yield f"{name.decode()} twice"
    for name in (b"from", b"date", b"message-id"):
        if counts[name] != 1:
            yield f"{counts[name]} {name.decode()} fields"
    for name, value in fields:
        if name in ADDRESSES | {b"message-id", b"date"} and header.isascii() and name not in words:
            try:
                parsed = email.policy.default.header_factory(name.decode(), value.decode())
            except ValueError as error:  # such as a line end in an encoded word
                yield f"{name.decode()}: {error}"
                continue
            # Ids with two signs `@` are real, and dots in names are read by everybody.
            defects = [d for d in map(str, parsed.defects) if name != b"message-id" and not re.search(
                "period in|Non-ASCII characters|not decodable", d)]
            if defects:
                yield f"{name.decode()}: {defects[0]}"
            if name == b"from" and [a.addr_spec for a in parsed.addresses].count("") > 0:
                yield "From without an address"


class Comparison:
    """Both servers, their next hops, and what is known of each message."""

    def __init__(self, world, keys):
        self.keys = keys
        self.key = world.folder / "signer.key"
        run("openssl", "genrsa", "-traditional", "-out", self.key, "2048")
        public = run("openssl", "rsa", "-in", self.key, "-pubout", "-outform", "DER").stdout
        self.keys[f"s._domainkey.{SIGNER}"] = "v=DKIM1; p=" + base64.b64encode(public).decode()
        run("ip", "address", "add", f"{OTHER_HOST}/32", "dev", "lo", check=False)
        Unbound(world, [])
        self.hops = [Capture(world, REFERENCE_HOP), Capture(world, OUR_HOP)]
        networks = f"127.0.0.0/8 {OTHER_HOST}/32"
        self.postfix = Postfix(world, "reference", RELAY_ADDRESS, {
            "relayhost": f"[{REFERENCE_HOP}]", "mynetworks": networks, "myorigin": "example.com",
            "message_size_limit": "0", "mailbox_size_limit": "0", "default_process_limit": "20",
            "smtpd_client_connection_count_limit": "0", "smtpd_recipient_limit": "10000"})
        quoted = ", ".join(f'"{network}"' for network in networks.split())
        # Postfix asks nobody whose address it is.
        self.puerto = Puerto(world, f'relayhost = "[{OUR_HOP}]"\ntrusted_networks = [{quoted}]\n',
                             '[sender]\nforeign = ["*"]\n')
        self.refused, self.taken = [], {}

    def submit(self, number, name, octets):
        for mode in MODES:
            sender = f"c{number}.{MODES.index(mode)}@example.com"
            recipient = f"r{number}.{MODES.index(mode)}@sink.example"
            content = octets
            if mode == "signed" and not (content := self.sign(octets)):
                continue
            if mode == "sendmail -t" and not re.search(rb"(?im)^(to|cc|bcc)[ \t]*:.*@", octets):
                continue
            refusals = []
            for which in range(2):
                if mode.startswith("sendmail"):
                    last = ["-t"] if mode.endswith("-t") else [recipient]
                    command = [self.puerto.sendmail, "/usr/sbin/sendmail"][1 - which]
                    environment = {"MAIL_CONFIG": str(self.postfix.folder), "PATH": "/usr/sbin:/usr/bin"}
                    refusals.append(sendmail(command, ["-i", "-f", sender, *last], content,
                                             env=environment))
                else:
                    server = [RELAY_ADDRESS, SENDER_ADDRESS][which]
                    client = HERE if mode == "smtp" else OTHER_HOST
                    path = "" if mode == "bounce" else sender
                    try:
                        refusals.append(smtp(server, client, path, recipient, content))
                    except OSError as error:
                        refusals.append(f"{error}")
            if refusals[0] is None and refusals[1] is not None:
                self.refused.append(f"{name} ({mode}): {refusals[1]}")
            if refusals == [None, None]:
                key = recipient if mode == "bounce" else sender
                self.taken[key] = (name, mode, crlf(content))

    def sign(self, octets):
        try:
            octets = crlf(octets)
            return dkim.sign(octets, b"s", SIGNER.encode(), self.key.read_bytes(),
                             canonicalize=(b"relaxed", b"relaxed")) + octets
        except Exception:  # what cannot be signed by anybody
            return None

    def verifies(self, octets, index):
        def record(name, timeout=5):
            return self.keys.get(name.decode().rstrip("."), "").encode() or None
        try:
            return dkim.DKIM(octets).verify(idx=index, dnsfunc=record)
        except Exception:  # dkimpy has many ways to say no
            return False

    def signatures(self, octets, own):
        """The signatures that verify, by their value."""
        values = [value for name, value in split(octets)[0] if name == b"dkim-signature"]
        found = set()
        for index, value in enumerate(values):
            if (b"d=" + SIGNER.encode() in value) == own and self.verifies(octets, index):
                found.add(re.sub(rb"\s", b"", value))
        return found

    def wait(self):
        def senders(hop):
            return {key for arrival in hop.arrivals for key in (arrival.sender, *arrival.recipients)}
        def are_there():
            return all(self.taken.keys() <= senders(hop) for hop in self.hops)
        try:
            wait_for("all messages", are_there, 120)
        except AssertionError:
            pass
        return [senders(hop) for hop in self.hops]

    def report(self):
        there = self.wait()
        lost, bodies, headers, signatures, recipients = [], [], collections.Counter(), [], []
        invalid = []
        examples = {}
        arrived = [collections.defaultdict(list) for _ in self.hops]
        for which, hop in enumerate(self.hops):
            for arrival in hop.arrivals:
                key = arrival.sender or arrival.recipients[0]
                arrived[which][key].append(arrival)
        for key, (name, mode, content) in self.taken.items():
            if key not in there[0] or key not in there[1]:
                reached = {r for arrival in arrived[0][key] for r in arrival.recipients}
                if any(not r.endswith("@example.com") for r in reached):
                    lost.append(f"{name} ({mode})")
                continue
            before = split(content)
            theirs, ours = (arrived[which][key] for which in range(2))
            # Those at our own domain are delivered here, and not by Postfix.
            to = [{r.lower() for a in each for r in a.recipients if not r.endswith("@example.com")}
                  for each in (theirs, ours)]
            to = [{in_a_labels(r.encode()) for r in each} for each in to]
            stands = in_a_labels(content)
            # Of an unclosed bracket and the like Postfix makes addresses that nobody wrote.
            lacking = sorted(r for r in to[0] - to[1] if r in stands)
            recipients += [f"{name} ({mode}): {r}" for r in lacking[:3]]
            parameters = ours[0].parameters
            theirs, ours = theirs[0].octets, ours[0].octets
            if mode in MADE_HERE:
                invalid += [f"{name} ({mode}): {fault}"
                            for fault in faults(ours, content, parameters)]
            bodies += self.bodies(name, mode, before[1], split(theirs)[1], split(ours)[1])
            for what in self.headers(mode, before, split(theirs)[0], split(ours)[0]):
                headers[what] += 1
                examples.setdefault(what, name)
            if b"dkim-signature" in {field for field, _ in before[0]}:
                for own in (True, False):
                    kept = self.signatures(content, own) & self.signatures(theirs, own)
                    broken = kept - self.signatures(ours, own)
                    signatures += [f"{name} ({mode})"] * len(broken)
        show("refused by ours though taken by Postfix", self.refused)
        show("taken by both, and not sent on by ours", lost)
        show("recipients that only Postfix found", recipients)
        show("bodies that differ", bodies)
        show("signatures that held after Postfix and not after ours", signatures)
        show("not as RFC 5322 wants it", invalid)
        show("headers that differ beyond what is meant", [
            f"{count} × {what}, as in {examples[what]}" for what, count in headers.most_common()])
        print(f"{len(self.taken)} submissions taken by both")
        return bool(self.refused or lost or recipients or bodies or signatures or invalid)

    @staticmethod
    def bodies(name, mode, before, theirs, ours):
        is_trimmed = lambda body: body.rstrip(b"\r\n")
        if is_trimmed(ours) in (is_trimmed(before), is_trimmed(theirs)):
            return []
        # Postfix cuts what is too long for a line, and sends NULs.
        # A CR alone ends a line here, and goes on as it is there.
        has_cr = re.search(rb"\r(?!\n)", before)
        is_hard = any(len(line) > 998 for line in before.split(b"\r\n")) or b"\0" in before
        if has_cr or is_hard and mode != "signed":
            return []
        return [f"{name} ({mode})"]

    @staticmethod
    def headers(mode, before, theirs, ours):
        before, body = before
        relayed = mode in ("relay", "bounce", "signed")
        mine = collections.Counter((field, text(value)) for field, value in ours)
        reference = collections.Counter((field, text(value)) for field, value in theirs)
        had = collections.Counter((field, text(value)) for field, value in before)
        names = {field for field, _ in before}
        is_hard = b"\0" in body or any(len(line) > 998 for line in body.split(b"\r\n"))

        def is_mended(field):
            if field == b"content-transfer-encoding" and is_hard or (
                    any(b"\0" in value for name, value in before if name == field)):
                return True
            return mode != "signed" and mends(field, before, ours)

        for field, value in (had - mine):
            if field in TRACE or not value and not relayed or (field, value) not in reference:
                continue
            if not is_mended(field):
                yield f"{mode}: {field.decode()} changed"
        for field, value in mine - had - reference:
            if field in TRACE or field in ADDED and (field not in names or field == b"dkim-signature"):
                continue
            if is_mended(field):
                continue
            yield f"{mode}: {field.decode()} written anew"


def show(title, lines, most=400):
    print(f"\n{title}: {len(lines)}")
    for line in lines[:most]:
        print(f"  {line}")
    if len(lines) > most:
        print(f"  … and {len(lines) - most} more")


def main():
    folder = pathlib.Path(sys.argv[1])
    keys = json.loads(pathlib.Path(sys.argv[2]).read_text()) if len(sys.argv) > 2 else {}
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    world = World()
    differs = True
    try:
        comparison = Comparison(world, keys)
        for number, path in enumerate(files):
            comparison.submit(number, str(path.relative_to(folder)), path.read_bytes())
            if number % 100 == 99:
                print(f"{number + 1} of {len(files)} files", flush=True)
        differs = comparison.report()
    finally:
        world.close(keep=differs)
        if differs:
            print(f"what it left: {world.folder}")
    return 1 if differs else 0


if __name__ == "__main__":
    sys.exit(main())
