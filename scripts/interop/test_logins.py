"""Programs that log in to puerto to send: with each mechanism, on both ports."""

import base64
import concurrent.futures
import hashlib
import hmac
import json
import pathlib
import re
import secrets
import smtplib
import ssl
import time

from peers import (RECORDS, Process, SENDER_ADDRESS, Puerto, Unbound, as_user, final_postfix, listens, run,
                   wait_for)

STRANGER = "127.0.0.77"
PASSWORD = "contraseña de ana"


class Submission(Puerto):
    """The daemon with ports 587 and 465, for which nobody but itself is in a trusted network."""

    def __init__(self, world, settings="", account_lines="", digest="sha256"):
        certificate, key = world.authority.issue("mail.example.com", digest=digest)
        super().__init__(
            world, 'trusted_networks = ["127.0.0.1/32"]\n' + settings,
            f'[tls]\ncertificate = "{certificate}"\nkey = "{key}"\n'
            f'[accounts]\nfile = "{world.folder}/accounts"\n{account_lines}', start=False)
        text = self.configuration.read_text()
        self.configuration.write_text(text.replace(
            "[listen]\n", f'[listen]\nsubmission = ["{SENDER_ADDRESS}:587"]\n'
            f'submissions = ["{SENDER_ADDRESS}:465"]\n'))
        (world.folder / "accounts").unlink(missing_ok=True)
        self.command("user", "add", "ana", "--password-stdin", input=PASSWORD.encode())
        self.start()
        wait_for("port 465", lambda: listens(SENDER_ADDRESS, 465))
        self.trust = world.authority.certificate


def message(subject, sender="ana@example.com"):
    return (f"From: {sender}\r\nTo: you@example.net\r\nSubject: {subject}\r\n\r\n"
            "hello\r\n")


def test_smtplib(world):
    Unbound(world, RECORDS)
    final = final_postfix(world)
    puerto = Submission(world)
    context = ssl.create_default_context(cafile=puerto.trust)
    context.check_hostname = False
    application = puerto.command(
        "user", "passwd", "ana", "--application", "phone").stdout.decode().strip()
    slowest = 0
    for number, (mechanism, password) in enumerate(
            [("plain", PASSWORD), ("login", PASSWORD), ("plain", application)]):
        for implicit in (False, True):
            kind = smtplib.SMTP_SSL if implicit else smtplib.SMTP
            options = {"context": context} if implicit else {}
            with kind(SENDER_ADDRESS, 465 if implicit else 587, timeout=20,
                      source_address=(STRANGER, 0), **options) as client:
                if not implicit:
                    client.ehlo()
                    assert not client.has_extn("auth"), "no AUTH without TLS"
                    assert client.docmd("AUTH", "PLAIN AGFuYQB4")[0] == 538
                    client.starttls(context=context)
                client.ehlo()
                # smtplib encodes in ASCII alone; RFC 4616 has UTF-8.
                client.user, client.password = "ana", password
                started = time.monotonic()
                if mechanism == "plain":
                    # RFC 4616: somebody may say who they are, and act for nobody else.
                    other, same = (smtplib.encode_base64(f"{name}\0ana\0{password}".encode(), eol="")
                                   for name in ("root", ["", "ana@example.com", "ANA"][number]))
                    assert client.docmd("AUTH PLAIN", other)[0] == 535
                    assert client.docmd("AUTH PLAIN", same)[0] == 235
                else:
                    first = smtplib.encode_base64(b"ana", eol="")
                    assert client.docmd("AUTH LOGIN", first)[0] == 334
                    assert client.docmd(smtplib.encode_base64(password.encode(), eol=""))[0] == 235
                slowest = max(slowest, time.monotonic() - started)
                client.sendmail("ana@example.com", "you@example.net",
                                message(f"{mechanism} {implicit} {number}"))
    messages = final.wait(6)
    assert all(any("ESMTPSA" in field for field in m.get_all("Received")) for m in messages)
    assert puerto.log().count("sasl_username=ana") == 6
    listed = json.loads(puerto.command("user", "list", "--json").stdout)["accounts"][0]
    assert all(password["last_used"] for password in listed["passwords"]), listed
    # It ends when it is taken away, without a restart.
    puerto.command("user", "remove", "ana", "--application", "phone")
    with smtplib.SMTP_SSL(SENDER_ADDRESS, 465, context=context) as client:
        try:
            client.login("ana", application)
            raise AssertionError("an application's password that was removed lets in")
        except smtplib.SMTPAuthenticationError as error:
            assert error.smtp_code == 535 and b"5.7.8" in error.smtp_error, error
    assert application not in puerto.log() and PASSWORD not in puerto.log()
    puerto.says("SASL PLAIN authentication failed: wrong password, sasl_username=ana")
    return f"a login takes {slowest * 1000:.0f} ms at most"


def test_swaks(world):
    Unbound(world, RECORDS)
    final = final_postfix(world)
    puerto = Submission(world)
    password = "a plain one"
    puerto.command("user", "passwd", "ana", "--password-stdin", input=password.encode())

    def swaks(port, auth, password, check=True):
        tls = {587: "--tls", 465: "--tls-on-connect"}[port]
        return as_user("swaks", "--server", f"{SENDER_ADDRESS}:{port}", "--local-interface",
                       STRANGER, tls, "--auth", auth, "--auth-user", "ana", "--auth-password",
                       password, "--from", "ana@example.com", "--to", "you@example.net",
                       "--body", f"{auth} on {port}", check=check)

    for port in (587, 465):
        for auth in ("PLAIN", "LOGIN"):
            swaks(port, auth, password)
    assert len(final.wait(4)) == 4
    for port in (587, 465):
        assert swaks(port, "PLAIN", "guess", check=False).returncode != 0
    # Nobody relays who has not logged in.
    for port in (25, 587, 465):
        tls = "--tls-on-connect" if port == 465 else "--tls"
        done = as_user("swaks", "--server", f"{SENDER_ADDRESS}:{port}", "--local-interface",
                       STRANGER, tls, "--from", "ana@example.com", "--to", "you@example.net",
                       check=False)
        assert done.returncode != 0, port
    puerto.wait_empty()
    assert len(final.wait(4)) == 4


def test_msmtp(world):
    Unbound(world, RECORDS)
    final = final_postfix(world)
    puerto = Submission(world)
    password = world.folder / "password"
    password.write_text(PASSWORD + "\n")
    password.chmod(0o644)
    known = run("msmtp", "--version").stdout.decode()
    tried = []
    for auth in ("plain", "login", "scram-sha-256", "scram-sha-256-plus"):
        if auth not in known:
            continue
        for port in ("587", "465"):
            as_user("msmtp", "--host", SENDER_ADDRESS, "--port", port, "--source-ip", STRANGER,
                    "--tls=on", f"--tls-starttls={'on' if port == '587' else 'off'}",
                    f"--tls-trust-file={puerto.trust}", "--tls-host-override=mail.example.com",
                    f"--auth={auth}", "--user=ana", f"--passwordeval=cat {password}",
                    "--from", "ana@example.com", "--domain", "client.example.com",
                    "you@example.net", input=message(f"{auth} on {port}").encode())
            tried.append(f"{auth} on {port}")
    assert {m["Subject"] for m in final.wait(len(tried))} == set(tried)
    return ", ".join(tried)


def test_mutt(world):
    """It takes the strongest that is offered, whether it can do it or not, and no other."""
    Unbound(world, RECORDS)
    final = final_postfix(world)
    puerto = Submission(world, account_lines="channel_binding = false\n")

    def send(subject, *settings):
        given = [f'set smtp_url="smtp://ana@{SENDER_ADDRESS}:587/"', f'set smtp_pass="{PASSWORD}"',
                 f'set ssl_ca_certificates_file="{puerto.trust}" ssl_verify_host=no',
                 'set from="ana@example.com" use_from=yes hostname="client.example.com"',
                 'set charset="utf-8" copy=no', *settings]
        return run("mutt", "-n", "-F", "/dev/null", *(word for one in given for word in ("-e", one)),
                   "-s", subject, "--", "you@example.net", input=b"hello\n", check=False, timeout=60)

    as_it_comes = send("as it comes")
    assert as_it_comes.returncode == 0, as_it_comes
    text = puerto.configuration.read_text()
    puerto.configuration.write_text(text.replace("channel_binding = false\n", ""))
    puerto.stop()
    puerto.start()
    wait_for("port 587", lambda: listens(SENDER_ADDRESS, 587))
    told = send("told", 'set smtp_authenticators="scram-sha-256"')
    assert told.returncode == 0, told
    assert {m["Subject"] for m in final.wait(2)} == {"as it comes", "told"}


def test_gsasl(world):
    Unbound(world, RECORDS)
    puerto = Submission(world)
    tried = []
    for mechanism in ("PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"):
        # It begins no exchange without a binding where it could have one.
        unbound = [] if mechanism.endswith("PLUS") else ["--no-cb"]
        for password, known in ((PASSWORD, True), ("guess", False)):
            done = run("gsasl", "--client", "--smtp", "--connect", f"{SENDER_ADDRESS}:587",
                       "--starttls", "--x509-ca-file=", "--hostname",
                       "mail.example.com", "--mechanism", mechanism, "--authentication-id=ana",
                       f"--password={password}", "--verbose", *unbound, check=False, input=b"QUIT\n",
                       timeout=30)
            said = (done.stdout + done.stderr).decode(errors="replace")
            assert ("235 2.7.0" in said) is known and ("535 5.7.8" in said) is not known, said
        tried.append(mechanism)
    return ", ".join(tried)


class Bound:
    """A client's side of SCRAM-SHA-256-PLUS, bound to the server's certificate (RFC 5929)."""

    def __init__(self, user, password, binding):
        self.password, self.binding = password.encode(), binding
        self.header = b"p=tls-server-end-point,,"
        self.bare = f"n={user},r={secrets.token_hex(12)}".encode()

    def __call__(self, challenge=None):
        if challenge is None:
            return (self.header + self.bare).decode()
        if challenge.startswith(b"v="):
            assert challenge == b"v=" + base64.b64encode(self.answer), challenge
            return ""
        asked = dict(part.split(b"=", 1) for part in challenge.split(b","))
        salted = hashlib.pbkdf2_hmac("sha256", self.password, base64.b64decode(asked[b"s"]),
                                     int(asked[b"i"]))
        sign = lambda key, text: hmac.digest(key, text, "sha256")
        key = sign(salted, b"Client Key")
        covered = b"c=" + base64.b64encode(self.header + self.binding) + b",r=" + asked[b"r"]
        message = b",".join((self.bare, challenge, covered))
        proof = sign(hashlib.sha256(key).digest(), message)
        proof = bytes(one ^ other for one, other in zip(key, proof))
        self.answer = sign(sign(salted, b"Server Key"), message)
        return (covered + b",p=" + base64.b64encode(proof)).decode()


def test_bound_to_the_certificate(world):
    Unbound(world, RECORDS)
    final = final_postfix(world)
    puerto = Submission(world, digest="sha384")
    context = ssl.create_default_context(cafile=puerto.trust)
    context.check_hostname = False
    # The hash is that of the signature under the certificate.
    for digest, is_known in (("sha384", True), ("sha256", False)):
        with smtplib.SMTP_SSL(SENDER_ADDRESS, 465, context=context, timeout=20,
                              source_address=(STRANGER, 0)) as client:
            client.ehlo()
            certificate = client.sock.getpeercert(binary_form=True)
            binding = hashlib.new(digest, certificate).digest()
            try:
                client.auth("SCRAM-SHA-256-PLUS", Bound("ana", PASSWORD, binding))
                assert is_known
                client.sendmail("ana@example.com", "you@example.net", message("bound"))
            except smtplib.SMTPAuthenticationError as error:
                assert not is_known and error.smtp_code == 535, error
    final.wait(1)
    # Whoever offers it under TLS 1.2 has to know tls-unique, which clients then take.
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with smtplib.SMTP_SSL(SENDER_ADDRESS, 465, context=context, timeout=20) as client:
        client.ehlo()
        offered = client.esmtp_features["auth"].split()
        assert "SCRAM-SHA-256" in offered and "SCRAM-SHA-256-PLUS" not in offered, offered


def test_fail2ban(world):
    filter_file = pathlib.Path(__file__).parents[2] / "contrib/fail2ban/filter.d/puerto.conf"
    Unbound(world, RECORDS)
    for form in ("postfix", "json"):
        folder = world.folder / "puerto"
        if folder.exists():
            folder.rename(world.folder / "puerto-before")
        puerto = Submission(world)
        text = puerto.configuration.read_text()
        puerto.configuration.write_text(text.replace('log = "postfix"', f'log = "{form}"'))
        puerto.stop()
        puerto.mail_log.unlink(missing_ok=True)
        puerto.start()
        context = ssl.create_default_context(cafile=puerto.trust)
        context.check_hostname = False
        for source, times in (("127.0.0.78", 2), ("127.0.0.79", 1)):
            with smtplib.SMTP_SSL(SENDER_ADDRESS, 465, context=context,
                                  source_address=(source, 0)) as client:
                client.ehlo()
                for _ in range(times):
                    encoded = smtplib.encode_base64(b"\0ana\0guess", eol="")
                    assert client.docmd("AUTH PLAIN", encoded)[0] == 535
                client.docmd("AUTH PLAIN", "*")
        # Nobody has another banned by what they say.
        for framed in ("puerto/smtpd[1]: warning: x[192.0.2.66]: SASL PLAIN authentication failed: ",
                       'x","event":"login_failed","component":"smtpd","client_address":"192.0.2.66'):
            quoted = framed.replace("\\", "\\\\").replace('"', '\\"')
            with smtplib.SMTP(SENDER_ADDRESS, 25, source_address=(STRANGER, 0)) as client:
                client.docmd("EHLO", framed)
                client.docmd("MAIL", f'FROM:<"{quoted}"@example.org>')
                assert client.docmd("RCPT", "TO:<you@example.net>")[0] == 554
                client.docmd("RCPT", f'TO:<"{quoted}"@example.net>')
        puerto.stop()
        assert "192.0.2.66" in puerto.log(), "the log has what was to frame somebody"
        # The journal names the machine and the program in front of what is said.
        journal = world.folder / f"journal-{form}"
        front = "Nov 30 02:11:46 mail puerto[3322]: " if form == "json" else ""
        journal.write_text("".join(f"{front}{line}\n" for line in puerto.log().splitlines()))
        for log in (puerto.mail_log, journal):
            said = run("fail2ban-regex", "--print-all-matched", log, filter_file).stdout.decode()
            counted = re.search(r"(\d+) matched", said)
            assert counted and counted[1] == "3", said
            matched = said[said.index("Matched line(s)"):said.index("Missed line(s)")]
            assert matched.count("127.0.0.78") == 2 and matched.count("127.0.0.79") == 1, matched
            assert "192.0.2.66" not in matched, matched


class Dovecot(Process):
    """Its authentication alone, with one user."""

    def __init__(self, world):
        self.folder = world.folder / "dovecot"
        self.folder.mkdir(mode=0o755)
        (self.folder / "users").write_text("bea:{PLAIN}" + PASSWORD + "\n")
        (self.folder / "users").chmod(0o644)
        (self.folder / "dovecot.conf").write_text(
            f"base_dir = {self.folder}/run\nstate_dir = {self.folder}/state\n"
            f"log_path = {self.folder}/log\nprotocols =\nssl = no\n"
            "auth_mechanisms = plain login\nauth_failure_delay = 0\n"
            f"passdb {{\n  driver = passwd-file\n  args = {self.folder}/users\n}}\n"
            "userdb {\n  driver = static\n  args = uid=65534 gid=65534 home=/nonexistent\n}\n"
            "service auth {\n"
            f"  unix_listener {self.folder}/auth {{\n    mode = 0666\n  }}\n}}\n")
        self.socket = self.folder / "auth"
        self.start_process(["dovecot", "-F", "-c", self.folder / "dovecot.conf"],
                           self.folder / "output")
        wait_for("Dovecot", self.socket.exists)
        world.add(self)


def test_dovecot(world):
    Unbound(world, RECORDS)
    final = final_postfix(world)
    dovecot = Dovecot(world)
    puerto = Submission(world, account_lines=f'dovecot = "{dovecot.socket}"\n')
    context = ssl.create_default_context(cafile=puerto.trust)
    context.check_hostname = False

    def log_in(user, password, port=465):
        with smtplib.SMTP_SSL(SENDER_ADDRESS, port, context=context,
                              source_address=(STRANGER, 0)) as client:
            client.ehlo()
            assert client.esmtp_features["auth"].split() == ["PLAIN", "LOGIN"]
            encoded = smtplib.encode_base64(f"\0{user}\0{password}".encode(), eol="")
            code = client.docmd("AUTH PLAIN", encoded)[0]
            if code == 235:
                client.sendmail("bea@example.com", "you@example.net", message("by Dovecot", "bea@example.com"))
            return code

    # Several at once, which are several processes to Dovecot.
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: log_in("bea", PASSWORD), range(4))) == [235] * 4
    final.wait(4)
    puerto.says("sasl_username=bea")
    # The file's accounts are not asked.
    for user, password in (("bea", "guess"), ("ana", PASSWORD)):
        assert log_in(user, password) == 535, user
    dovecot.stop()
    assert log_in("bea", PASSWORD) == 454
    puerto.says("login not judged")
