"""Programs that hand mail to puerto, as an unprivileged user of the machine."""

import json
import pathlib
import smtplib

from peers import (RECORDS, SENDER_ADDRESS, Puerto, Unbound, as_user, final_postfix, run, wait_for)


def body_of(message):
    return message.get_content()


def test_the_sendmail_command(world):
    Unbound(world, RECORDS)
    final = final_postfix(world)
    puerto = Puerto(world)
    as_user(puerto.sendmail, "-f", "me@example.com", "you@example.net", input=b"hi\n")
    as_user(puerto.sendmail, "-t", "-i", input=(
        "From: Ana <ana@example.com>\nTo: A <a@example.net>,\n B <b@example.net>\n"
        "Bcc: hidden@example.net\nSubject: Ábaco\n\nOne\n.\nTwo ñandú\n").encode())
    messages = final.wait(4)
    first = next(m for m in messages if m["To"] is None)
    assert first["From"] and first["Date"] and first["Message-ID"], "what lacked was added"
    assert body_of(first) == "hi\n"
    others = [m for m in messages if m["To"] is not None]
    assert {m["X-Original-To"] or m["Delivered-To"] for m in others} == {
        "a@example.net", "b@example.net", "hidden@example.net"}
    assert all(m["Bcc"] is None and m["Subject"] == "Ábaco" for m in others)
    assert all("\n.\nTwo ñandú" in body_of(m) for m in others)


def test_sendmail_says_75_when_the_daemon_is_down(world):
    Unbound(world, RECORDS)
    puerto = Puerto(world, start=False)
    done = run(puerto.sendmail, "-f", "me@example.com", "you@example.net",
               input=b"hi\n", check=False)
    assert done.returncode == 75 and done.stderr, done


def test_swaks(world):
    Unbound(world, RECORDS)
    final = final_postfix(world)
    certificate, key = world.authority.issue("mail.example.com")
    puerto = Puerto(world, sections=f'[tls]\ncertificate = "{certificate}"\nkey = "{key}"\n')
    as_user("swaks", "--server", SENDER_ADDRESS, "--ehlo", "client.example.com", "--tls",
            "--from", "me@example.com", "--to", "you@example.net", "--body", "by swaks")
    message = final.wait(1)[0]
    assert "by swaks" in body_of(message)
    assert any("TLSv1.3" in r and "ESMTPS" in r for r in message.get_all("Received"))
    puerto.says("status=sent")


def test_swaks_finds_no_open_relay(world):
    Unbound(world, RECORDS)
    puerto = Puerto(world, 'trusted_networks = ["127.0.0.1/32"]\n')
    for recipient in ("you@example.net", "you%example.net@example.com", '"you@example.net"',
                      "example.net!you@example.com", "you@[127.0.0.30]"):
        done = as_user("swaks", "--server", SENDER_ADDRESS, "--local-interface", "127.0.0.77",
                       "--from", "me@example.com", "--to", recipient, check=False)
        assert done.returncode != 0, recipient
    assert puerto.queue_length() == 0
    puerto.says("NOQUEUE: reject: RCPT from")


def test_msmtp(world):
    Unbound(world, RECORDS)
    final = final_postfix(world)
    Puerto(world)
    as_user("msmtp", "--host", SENDER_ADDRESS, "--from", "me@example.com", "--domain",
            "client.example.com", "--tls=off", "--auth=off", "you@example.net",
            input=b"From: me@example.com\nSubject: by msmtp\n\nbody\n")
    assert final.wait(1)[0]["Subject"] == "by msmtp"


def test_mail(world):
    Unbound(world, RECORDS)
    final = final_postfix(world)
    puerto = Puerto(world)
    settings = world.folder / "mailrc"
    settings.write_text(f"set sendmail={puerto.sendmail}\n")
    as_user("mail", "-s", "by mail", "you@example.net", input=b"body\n",
            env={"HOME": "/nonexistent", "PATH": "/usr/bin:/bin", "MAILRC": str(settings)})
    message = final.wait(1)[0]
    assert message["Subject"] == "by mail" and body_of(message) == "body\n"


def test_smtplib(world):
    Unbound(world, RECORDS)
    final = final_postfix(world)
    Puerto(world)
    with smtplib.SMTP(SENDER_ADDRESS, 25, "client.example.com", timeout=30) as client:
        for number in range(10):
            client.sendmail("me@example.com", ["a@example.net", "b@example.net"], (
                f"From: me@example.com\r\nSubject: n{number}\r\n\r\n.leading dot\r\n..two\r\n"
            ).encode(), ["BODY=8BITMIME"])
    messages = final.wait(20)
    assert all(body_of(m) == ".leading dot\n..two\n" for m in messages)


def test_mail_to_a_local_user_and_its_bounce(world):
    Unbound(world, RECORDS)
    puerto = Puerto(world, sections='[local]\nmailbox = "maildir"\n')
    home = run("sh", "-c", "rm -rf ~bosun/Maildir; echo ~bosun").stdout.decode().strip()
    run("setpriv", "--reuid=bosun", "--regid=bosun", "--clear-groups", puerto.sendmail,
        "bosun@localhost", "someone@nowhere.example.org", input=b"Subject: both\n\nbody\n")
    inbox = f"{home}/Maildir/new"

    def texts():
        listing = run("sh", "-c", f"cat {inbox}/* 2>/dev/null", check=False)
        return listing.stdout.decode(errors="replace")

    wait_for("the local message and the bounce",
             lambda: "Subject: both" in texts() and "multipart/report" in texts())
    assert "5.1.2" in texts()
    puerto.wait_empty()
    owner = run("sh", "-c", f"stat -c %U {inbox}/*").stdout.decode().split()
    assert set(owner) == {"bosun"}


def test_mail_to_root_reaches_the_mbox_of_whoever_reads_it(world):
    Unbound(world, RECORDS)
    final = final_postfix(world)
    aliases = world.folder / "aliases"
    aliases.write_text("root: bosun\nshop: someone@example.net\n")
    aliases.chmod(0o644)
    puerto = Puerto(world, sections=f'[local]\naliases = "{aliases}"\n')
    mailbox = pathlib.Path("/var/mail/bosun")
    mailbox.unlink(missing_ok=True)
    for recipient in ("root@localhost", "root", "shop@example.com"):
        as_user(puerto.sendmail, recipient,
                input=b"Subject: to whoever\n\nFrom here on\n>From there\n")
    final.wait(1)
    wait_for("two messages", lambda: mailbox.exists() and
             mailbox.read_bytes().count(b"\nSubject: to whoever") == 2)
    text = mailbox.read_bytes()
    assert text.count(b"\n>From here on\n>>From there\n") == 2 and b"\r" not in text
    assert text.startswith(b"From nobody@example.com ") and text.endswith(b"\n\n")
    assert mailbox.owner() == "bosun" and mailbox.stat().st_mode & 0o7 == 0
    puerto.wait_empty()


def test_what_waits_is_shown_with_its_reason(world):
    Unbound(world, RECORDS)  # and nobody listens at the MX of example.net
    puerto = Puerto(world)
    as_user(puerto.sendmail, "-f", "me@example.com", "you@example.net", input=b"hi\n")
    wait_for("a deferral", lambda: "status=deferred" in puerto.log())
    entry = json.loads(puerto.command("queue", "list", "--json").stdout)
    assert "Connection refused" in entry["recipients"][0]["last"]["text"], entry
    shown = puerto.command("queue", "show", entry["id"]).stdout.decode()
    assert "you@example.net" in shown and "Connection refused" in shown, shown
    listing = as_user(puerto.sendmail, "-bp").stdout.decode()
    assert entry["id"] in listing and "-- 0 Kbytes in 1 Request." in listing, listing
    # The daemon itself runs as the usual unprivileged user here, so this is another.
    refused = run("setpriv", "--reuid=daemon", "--regid=daemon", "--clear-groups", puerto.binary,
                  "queue", "remove", "--all", "--yes", "--config", puerto.configuration,
                  check=False)
    assert refused.returncode == 77, "an unprivileged user changes nothing"
    puerto.command("queue", "remove", entry["id"], "--yes")
    assert puerto.queue_length() == 0
