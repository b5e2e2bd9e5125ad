"""What real programs hand over: each to Postfix and to us, whose next hops keep what came.
What Postfix takes, we take; every recipient has it once; the text is the same; and what
we send is what RFC 5322 wants. Faults B1 to B8, B12, B14, B15 and B17 to B19."""

import collections
import email
import email.policy
import re
import smtplib
import subprocess

import dkim

from compare import OTHER_HOST, SIGNER, Comparison, crlf, faults, smtp
from odd_messages import all_messages
from peers import RELAY_ADDRESS, SENDER_ADDRESS, run, wait_for

MAILX = "/usr/bin/bsd-mailx"


class Programs:
    """Runs programs once for Postfix and once for us, and compares what came of it."""

    def __init__(self, world):
        self.world, self.comparison = world, Comparison(world, {})
        self.expected = []
        self.environment = {
            "MAIL_CONFIG": str(self.comparison.postfix.folder), "HOME": str(world.folder),
            "PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}

    def give(self, name, recipients, program):
        """`program(sendmail, server)` hands over; it raises if it is refused."""
        refusals = []
        for sendmail, server in (("/usr/sbin/sendmail", RELAY_ADDRESS),
                                 (str(self.comparison.puerto.sendmail), SENDER_ADDRESS)):
            try:
                program(sendmail, server)
                refusals.append(None)
            except (AssertionError, smtplib.SMTPException, OSError) as error:
                refusals.append(str(error))
        assert refusals[0] or not refusals[1], f"{name}: {refusals[1]}"
        if not refusals[0]:
            self.expected.append((name, recipients))

    def compare(self):
        wanted = {recipient for _, recipients in self.expected for recipient in recipients}

        def came(hop):
            return collections.Counter(r for a in hop.arrivals for r in a.recipients)
        hops = self.comparison.hops
        for hop in hops:
            wait_for(f"{wanted - came(hop).keys()}", lambda: wanted <= came(hop).keys(), 60)
        assert set(came(hops[1]).values()) == {1}, came(hops[1]).most_common(3)
        assert came(hops[1]).keys() == wanted, came(hops[1]).keys() ^ wanted
        for name, recipients in self.expected:
            theirs, ours = (next(a.octets for a in hop.arrivals if recipients[0] in a.recipients)
                            for hop in hops)
            assert not list(faults(ours)), f"{name}: {list(faults(ours))} {ours}"
            assert unfolded(text_of(ours)) == unfolded(text_of(theirs)), f"{name}: {ours} {theirs}"
        return f"{len(self.expected)} messages"


def text_of(octets):
    """The content of all parts, decoded; line ends apart."""
    message = email.message_from_bytes(octets, policy=email.policy.default)
    parts = [part.get_payload(decode=True) or b"" for part in message.walk()
             if not part.is_multipart()]
    return [re.sub(rb"\r*\n|\r", b"\n", part).rstrip(b"\n") for part in parts]


def unfolded(texts):
    """Postfix folds lines that are too long for SMTP, and we encode them."""
    return [re.sub(rb"\s+", b"", text) for text in texts]


def test_programs_by_sendmail_and_by_smtp(world):
    programs = Programs(world)
    shell = lambda *command, **options: run(*command, env=programs.environment, **options)

    def mailx(sendmail, _):
        settings = world.folder / "mailrc"
        settings.write_text(f"set sendmail={sendmail}\nset from=shop@example.com\n")
        run(MAILX, "-s", "Año", "-a", b"From: Jos\xe9 <shop@example.com>", "-c", "m2@sink.example",
            "-b", "m3@sink.example", "m1@sink.example", input=b".\nFrom a\n\xe9\n",
            env=programs.environment | {"MAILRC": str(settings)})
    programs.give("mailx", ["m1@sink.example", "m2@sink.example", "m3@sink.example"], mailx)

    def mutt(sendmail, _):
        attached = world.folder / "año.txt"
        attached.write_bytes(b"x" * 3000 + b"\n\0\xff\n")
        shell("mutt", "-n", "-F", "/dev/null", "-e", f'set sendmail="{sendmail} -oem -oi"',
              "-e", 'set from="José <shop@example.com>" use_from=yes use_envelope_from=yes copy=no',
              "-s", "ñ" * 90, "-a", attached, "--", "t1@sink.example", "t2@sink.example",
              input="Año\n.\n".encode())
    programs.give("mutt", ["t1@sink.example", "t2@sink.example"], mutt)

    def php(code):
        def program(sendmail, _):
            done = shell("php", "-d", f"sendmail_path={sendmail} -t -i", "-r",
                         code + ' or exit(1);', check=False)
            assert done.returncode == 0, done
        return program
    for number, (to, headers, parameters) in enumerate([
            ("Kock, Arne <p0@sink.example>", "From: Jos\\xe9 <shop@example.com>\\r\\nCc: \\r\\nX-A: b", ""),
            ("p1@sink.example; q1@sink.example", "From: shop@example.com", "-fshop@example.com"),
            ("p2@sink.example", "From: [Shop] Orders <shop@example.com>\\nContent-type: text/html", "-oi"),
            ("p3@sink.example", "From: shop@example.com\\r\\nTo: p3@sink.example\\r\\nMessage-ID: 94f4", ""),
            ("p4@sink.example", "Reply-To: a@x.example\\r\\nReply-To: b@x.example\\r\\nDate: 2026-11-28", ""),
            ("\\xc3\\x91u <p5@sink.example>", "Content-Transfer-Encoding: 8bit\\r\\nMIME-Version: 1.0", "-F 'Name, Inc'")]):
        recipients = re.findall(r"[pq]\d@sink.example", to)
        programs.give(f"php {number}", recipients, php(
            f'mail("{to}", "Año {number}", "uno\\r\\n.\\ndos ñ\\n", "{headers}", "{parameters}")'))

    def perl(way):
        def program(sendmail, server):
            send = (f'"sendmail", "{sendmail} -t -oi -oem"' if way == "s" else
                    f'"smtp", "{server}", Hello => "client.example.com"')
            shell("perl", "-MMIME::Lite", "-e", (
                'my $m = MIME::Lite->new(From => "Jos\\xe9 <shop@example.com>", '
                f'To => "l{way}@sink.example, k{way}\\@sink.example", '
                'Subject => "A\\xf1o", Type => "multipart/mixed");'
                '$m->attach(Type => "TEXT", Data => "a\\xf1o\\n.\\n", Encoding => "8bit");'
                '$m->attach(Type => "application/x", Data => "\\0\\1\\xff" x 900, Encoding => "base64");'
                f'$m->send({send}) or exit 1;').replace("@sink", "\\@sink").replace("\\\\@", "\\@")
                .replace("shop@", "shop\\@"))
        return program
    for way in "st":
        programs.give(f"MIME::Lite {way}", [f"l{way}@sink.example", f"k{way}@sink.example"], perl(way))

    def msmtp(_, server):
        shell("msmtp", "--host", server, "--from", "shop@example.com", "--tls=off", "--auth=off",
              "-t", input=b"To: h1@sink.example; h2@sink.example\nSubject: A\xf1o\nFrom: Shop: Orders "
                          b"<shop@example.com>\n\n" + b"y" * 2000 + b"\n..\n")
    programs.give("msmtp", ["h1@sink.example", "h2@sink.example"], msmtp)

    def swaks(data, number):
        return lambda _, server: shell(
            "swaks", "--server", server, "--from", "shop@example.com", "--to", f"w{number}@sink.example",
            "--ehlo", "client.example.com", "--data", data)
    for number, data in enumerate([
            "From: MAILER-DAEMON <>\nSubject: x\n\nbody\n", "no header\n\nbody\n", "\nbody\n",
            "To: x..y@sink.example\nTo:\nSubject: =?utf-8?Q?" + "=C3=B1" * 200 + "?=\n\nbody\n"]):
        programs.give(f"swaks {number}", [f"w{number}@sink.example"], swaks(data, number))

    def python(number, octets):
        def program(_, server):
            with smtplib.SMTP(server, 25, "client.example.com", timeout=30) as client:
                client.sendmail("shop@example.com", [f"y{number}@sink.example"], octets, ["BODY=8BITMIME"])
        return program
    for number, octets in enumerate([
            b"Subject: a\nFrom: Jos\xe9 <shop@example.com>\n\n\xe9\0b\n", b"Subject: " + b"w " * 900 + b"\n\n\n",
            b"Resent-From: a@example.com\nResent-To: b@sink.example\nFrom: c@example.com\n\nbody\n",
            b"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\nSubject: x\n\n"
            + b"z" * 1500 + b"\n--b--\n"]):
        programs.give(f"smtplib {number}", [f"y{number}@sink.example"], python(number, octets))
    return programs.compare()


def test_odd_messages_as_postfix_takes_them(world):
    comparison = Comparison(world, {})
    number = 0
    for number, (kind, name, octets) in enumerate(all_messages()):
        comparison.submit(number, f"{kind}/{name}", octets)
    assert not comparison.report(), "what differs is listed above"
    return f"{number + 1} files, {len(comparison.taken)} submissions"


# What a program writes to `sendmail -bs`, its exit code, and the texts that are sent.
START = b"HELO x\nMAIL FROM:<me@example.com>\nRCPT TO:<you@sink.example>\nDATA\n"
SESSIONS = [
    ("lf", START + b"Subject: x\n\none\n.\nQUIT\n", 0, [b"one\n"]),
    ("crlf", (START + b"\none\n.\nQUIT\n").replace(b"\n", b"\r\n"), 0, [b"one\n"]),
    ("commands in crlf, content in lf", START.replace(b"\n", b"\r\n") + b"\none\n.\n\r\n.\r\n", 0, [b"one\n.\n\n"]),
    ("commands in lf, content in crlf", START + b"\r\none\r\n.\r\nQUIT\n", 0, [b"one\n"]),
    ("crcrlf", (START + b"\none\n.\nQUIT\n").replace(b"\n", b"\r\r\n"), 0, [b"one\n"]),
    ("crcrlf in content", START.replace(b"\n", b"\r\n") + b"\r\none\r\r\n.\r\nQUIT\r\n", 0, [b"one\n"]),
    ("bare cr", START + b"\none\rtwo\r\n.\nQUIT\n", 0, [b"one two\n"]),
    ("no quit", START + b"\none\n.\n", 0, [b"one\n"]),
    ("end within the message", START + b"\none\n", 65, []),
    ("end in the dot", START + b"\none\n.", 65, []),
    ("end after data", START, 65, []),
    ("dots", START + b"\n..\n...a\n..b\n.\nQUIT\n", 0, [b".\n..a\n.b\n"]),
    ("unstuffed dot", START + b"\n.a\n.\nQUIT\n", 0, [b"a\n"]),
    ("two messages", START + b"\none\n.\n" + START[7:] + b"\ntwo\n.\nQUIT\n", 0, [b"one\n", b"two\n"]),
    ("second cut", START + b"\none\n.\n" + START[7:] + b"\ntwo\n", 65, [b"one\n"]),
    ("no brackets, blanks", b"HELO x\nMAIL FROM: me@example.com\nRCPT TO: <you@sink.example>\nDATA\n\none\n.\n", 0, [b"one\n"]),
    ("no greeting", START[7:] + b"\none\n.\nQUIT\n", 0, [b"one\n"]),
    ("nul", START + b"\na\0b\n.\nQUIT\n", 0, [b"a\0b\n"]),
    ("nothing", b"", 0, []),
    ("quit", b"QUIT\n", 0, []),
    ("empty message", START + b".\nQUIT\n", 0, [b""]),
    ("reset", START[:-5] + b"RSET\nQUIT\n", 0, []),
]


def test_smtp_on_standard_input(world):
    comparison = Comparison(world, {})
    puerto, hop = comparison.puerto, comparison.hops[1]
    for name, octets, code, texts in SESSIONS:
        for pieces in ([octets], [octets[:len(octets) // 2], octets[len(octets) // 2:]]):
            hop.arrivals.clear()
            process = subprocess.Popen([puerto.sendmail, "-bs"], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            for piece in pieces:
                process.stdin.write(piece)
                process.stdin.flush()
            output, words = process.communicate(timeout=60)
            assert process.returncode == code, (name, process.returncode, output, words)
            puerto.wait_empty()
            seen = [text_of(arrival.octets)[0].rstrip(b"\n") for arrival in hop.arrivals]
            assert sorted(seen) == sorted(text.rstrip(b"\n") for text in texts), (name, seen)
    return f"{len(SESSIONS)} sessions"


def signed_in_each_form(octets, key, number):
    """One message as another domain signs it; the forms take turns."""
    form = (b"simple", b"relaxed")
    options = {"canonicalize": (form[number % 2], form[number // 2 % 2]), "length": number % 5 == 0}
    if number % 3 == 0:
        names = {name.lower() for name in re.findall(rb"(?m)^([!-9;-~]+)[ \t]*:", octets.split(b"\r\n\r\n")[0])}
        options["include_headers"] = [*names, b"from", b"subject", b"cc", b"reply-to", b"sender", b"date"]
    octets = dkim.sign(octets, b"s", SIGNER.encode(), key, **options) + octets
    if number % 7 == 0:
        found = b"Authentication-Results: mx.signer.example; dkim=pass header.d=signer.example\r\n"
        octets = found + octets
        octets = b"".join(dkim.arc_sign(octets, b"s", SIGNER.encode(), key, b"mx.signer.example")) + octets
    return octets


def test_what_another_host_has_signed_goes_on_as_it_came(world):
    comparison = Comparison(world, {})
    key, hop = comparison.key.read_bytes(), comparison.hops[1]

    def record(name, timeout=5):
        return comparison.keys[name.decode().rstrip(".")].encode()

    def verdict(octets):
        try:
            seals = dkim.ARC(octets).verify(dnsfunc=record)[0] if b"ARC-Seal" in octets else None
            return dkim.DKIM(octets).verify(dnsfunc=record), seals
        except dkim.DKIMException:
            return False, None

    sent = {}
    for number, (kind, name, octets) in enumerate(all_messages()):
        octets = crlf(octets)
        header = octets.split(b"\r\n\r\n")[0]
        if b"\0" in octets or re.search(rb"\r(?!\n)", octets) or re.search(rb"(?m)^>?From ", header):
            continue  # no host can pass these on as they are
        try:
            octets = signed_in_each_form(octets, key, number)
        except (dkim.DKIMException, IndexError):
            continue  # nor can everything be signed
        before = verdict(octets)
        if before[0]:
            sender = f"s{number}@signer.example"
            assert smtp(SENDER_ADDRESS, OTHER_HOST, sender, "you@sink.example", octets) is None
            sent[sender] = (f"{kind}/{name}", before)
    wait_for("all messages", lambda: len(hop.arrivals) == len(sent))
    broken = [sent[a.sender][0] for a in hop.arrivals if verdict(a.octets) != sent[a.sender][1]]
    assert not broken, broken
    assert len(sent) > 400 and sum(seals is not None for _, (_, seals) in sent.values()) > 50
    return f"{len(sent)} messages"


# Options that programs give, and who is to have the message, whose header names `to@`.
TO, ARGUED = "to@sink.example", "argued@sink.example"
OPTIONS = [
    (["-oi", "-oem", "-odb", "-f", "", ARGUED], [ARGUED]),
    (["-i", "-f", "<>", ARGUED], [ARGUED]),
    (["-r", "shop@example.com", "-i", ARGUED], [ARGUED]),
    (["-F", "Name, Inc", ARGUED], [ARGUED]),
    (["-FCronDaemon", "-i", "-B8BITMIME", "-oem", ARGUED], [ARGUED]),
    (["-B8BITMIME", "-N", "failure,delay", "-R", "hdrs", "-V", "id1", "-bm", ARGUED], [ARGUED]),
    (["-t", "-i"], [TO]),
    (["-t", "-i", ARGUED], [TO, ARGUED]),
    (["-tif", "shop@example.com"], [TO]),
    (["-tifshop@example.com"], [TO]),
    (["-i", "--", ARGUED], [ARGUED]),
    (["-Am", "-i", ARGUED], [ARGUED]),
    (["-O", "DeliveryMode=b", "-i", ARGUED], [ARGUED]),
    (["-oMrx", "-i", ARGUED], [ARGUED]),
    (["-X", "/nonexistent", "-h", "5", "-L", "tag", "-p", "SMTP", "-i", ARGUED], [ARGUED]),
    (["-G", "-U", "-n", "-i", ARGUED], [ARGUED]),
    (["-i", f"Ana <{ARGUED}>"], [ARGUED]),
    (["-i", f"{ARGUED},{TO}"], [ARGUED, TO]),
    (["-i", ARGUED, ARGUED.upper()], [ARGUED]),
]
# How a shell may start it, with what is odd around it.
AROUND = [
    "{} -i {}", "LOGNAME='a\nb' USER='' NAME='$(printf '\\351')' {} -i {}", "env -i {} -i {}",
    "exec >&-; {} -i {}", "exec 2>&-; {} -i {}", "exec >&- 2>&-; {} -i {}",
    "mkdir -p /tmp/gone && cd /tmp/gone && rmdir /tmp/gone && {} -i {}",
    "TMPDIR=/nonexistent {} -i {}", "{} -i {} >/dev/full", "ulimit -n 12; {} -i {}",
    "trap '' PIPE; {} -i {}", "LANG=xx LC_ALL=nowhere {} -i {}",
]


def test_what_sendmail_is_started_with(world):
    comparison = Comparison(world, {})
    sendmail, hop = comparison.puerto.sendmail, comparison.hops[1]
    message = f"To: {TO}\nSubject: x\n\nbody\n".encode()

    def reached(recipients):
        wait_for(recipients, lambda: sum(len(a.recipients) for a in hop.arrivals) >= len(recipients))
        comparison.puerto.wait_empty()
        seen = sorted(r.lower() for a in hop.arrivals for r in a.recipients)
        hop.arrivals.clear()
        assert seen == sorted(recipients), set(seen) ^ set(recipients)

    for arguments, recipients in OPTIONS:
        theirs = run("/usr/sbin/sendmail", *arguments, input=message, check=False,
                     env={"MAIL_CONFIG": str(comparison.postfix.folder), "PATH": "/usr/sbin:/usr/bin"})
        done = run(sendmail, *arguments, input=message, check=False)
        assert theirs.returncode or not done.returncode, (arguments, done.stderr)
        reached(recipients)
    for number, form in enumerate(AROUND):
        for octets in (message, message + b"long " * 30000 + b"\n"):
            recipient = f"around{number}@sink.example"
            run("sh", "-c", form.format(sendmail, recipient), input=octets)
            reached([recipient])
    # Nothing to read, and an input that is closed: an empty message, as cron would send it.
    run("sh", "-c", f"{sendmail} -i {TO} </dev/null")
    reached([TO])
    closed = run("sh", "-c", f"{sendmail} -i {TO} <&-", check=False)
    assert closed.returncode in (0, 74), closed
    reached([TO] if closed.returncode == 0 else [])
    many = [f"many{number}@sink.example" for number in range(10_000)]
    run(sendmail, "-i", *many, input=message)
    reached(many)
    return f"{len(OPTIONS)} command lines, {len(AROUND)} surroundings"


def test_what_is_refused_leaves_nothing(world):
    comparison = Comparison(world, {})
    puerto = comparison.puerto
    limit = 52_428_800
    for arguments, octets, code in [
            (["-i", TO], b"x" * 70 + b"\n" + b"y\n" * limit, 69),
            (["-t"], b"Subject: x\n\nbody\n", 64), (["-t"], b"To: a b c\n\nbody\n", 65),
            (["-i", "-f", "not an address", TO], b"\n", 64), (["-i", TO, "-x@"], b"\n", 64)]:
        done = run(puerto.sendmail, *arguments, input=octets, check=False)
        assert done.returncode == code and done.stderr, (arguments, done)
    # Whoever writes into a pipe and dies has sent nothing that ends in the middle of a line.
    assert puerto.queue_length() == 0 and not comparison.hops[1].arrivals


def test_what_cron_mails(world):
    """Cron itself, which is told nothing but where `sendmail` is."""
    comparison = Comparison(world, {})
    hop, folder = comparison.hops[1], world.folder / "cron"
    folder.mkdir()
    table = folder / "root"
    table.write_text("MAILTO=cron@sink.example\n"
                     "* * * * * printf 'A\\0B \\351\\n.\\nFrom x\\n'; head -c 3000 /dev/zero | tr '\\0' x\n")
    table.chmod(0o600)
    script = (f"mount --bind {comparison.puerto.sendmail} /usr/sbin/sendmail && "
              f"mount --bind {folder} /var/spool/cron/crontabs && mount -t tmpfs none /run && exec cron -f")
    daemon = subprocess.Popen(["unshare", "--mount", "sh", "-c", script], stdin=subprocess.DEVNULL)
    try:
        wait_for("what cron mails", lambda: hop.arrivals, 130)
    finally:
        daemon.terminate()
        daemon.wait(20)
    arrival = hop.arrivals[0]
    assert arrival.recipients == ["cron@sink.example"] and not list(faults(arrival.octets)), arrival
    text = text_of(arrival.octets)[0]
    assert text.startswith(b"A\0B \xe9\n.\nFrom x\n" + b"x" * 3000), text
    shown = email.message_from_bytes(arrival.octets, policy=email.policy.default)
    assert shown["Subject"].startswith("Cron <root@"), arrival
    assert "Cron Daemon" in str(shown["From"]), arrival
