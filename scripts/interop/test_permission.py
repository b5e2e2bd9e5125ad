"""Who may send as whom, with real programs: a login, a shop's mail(), cron's, a person's, and
another server's that relays through us."""

import smtplib
import ssl

from peers import RECORDS, SENDER_ADDRESS, Puerto, Unbound, as_user, final_postfix, run
from test_logins import PASSWORD, STRANGER, Submission


def by_login(puerto, from_path, from_header):
    context = ssl.create_default_context(cafile=puerto.trust)
    context.check_hostname = False
    with smtplib.SMTP_SSL(SENDER_ADDRESS, 465, context=context, source_address=(STRANGER, 0)) as client:
        client.ehlo()
        encoded = smtplib.encode_base64(f"\0ana\0{PASSWORD}".encode(), eol="")
        assert client.docmd("AUTH PLAIN", encoded)[0] == 235
        client.sendmail(from_path, "you@example.net",
                        f"From: {from_header}\r\nSubject: login\r\n\r\nhi\r\n")


def refusal(send, *arguments):
    try:
        send(*arguments)
    except smtplib.SMTPSenderRefused as error:
        return error.smtp_code, error.smtp_error.decode()
    except smtplib.SMTPDataError as error:
        return error.smtp_code, error.smtp_error.decode()
    raise AssertionError(f"{arguments} was taken")


def test_logins(world):
    Unbound(world, RECORDS)
    final = final_postfix(world)
    puerto = Submission(world)
    by_login(puerto, "ana@example.com", "Ana <ana@example.com>")
    code, said = refusal(by_login, puerto, "boss@example.com", "ana@example.com")
    assert code == 553 and "not owned by user ana" in said and "ana@example.com" in said, said
    code, said = refusal(by_login, puerto, "ana@example.com", "Boss <boss@example.com>")
    assert code == 550 and "From address <boss@example.com>" in said, said
    code, said = refusal(by_login, puerto, "ana@example.com", "ceo@bank.example")
    assert code == 550 and "DMARC" in said, said
    done = as_user("swaks", "--server", f"{SENDER_ADDRESS}:587", "--local-interface", STRANGER, "--tls",
                   "--auth", "PLAIN", "--auth-user", "ana", "--auth-password", PASSWORD, "--from",
                   "boss@example.com", "--to", "you@example.net", check=False)
    assert done.returncode != 0 and b"553 5.7.1" in done.stdout, done.stdout
    # What the reply says to do is enough, at the next login.
    puerto.command("user", "addresses", "ana", "--add", "boss@example.com")
    by_login(puerto, "boss@example.com", "Boss <boss@example.com>")
    assert puerto.command("user", "addresses", "ana").stdout == b"boss@example.com\n"
    puerto.command("user", "addresses", "ana", "--remove", "boss@example.com")
    assert refusal(by_login, puerto, "boss@example.com", "boss@example.com")[0] == 553
    assert len(final.wait(2)) == 2


def as_service(*command, **options):
    return run("setpriv", "--reuid=www-data", "--regid=www-data", "--clear-groups", *command, **options)


def test_programs_of_this_machine(world):
    Unbound(world, RECORDS)
    final = final_postfix(world)
    puerto = Puerto(world)

    def came(count, subject):
        [found] = [m for m in final.wait(count) if m["Subject"] == subject]
        return found

    # A shop: WordPress's own address, then its visitor's in a contact form.
    mail = ("mail('you@example.net', 'order', 'hi', 'From: Shop <wordpress@example.com>', "
            "'-fwordpress@example.com');")
    as_service("php", "-d", f"sendmail_path={puerto.sendmail} -t -i", "-r", mail)
    assert came(1, "order")["From"] == "Shop <wordpress@example.com>"
    mail = "exit(mail('you@example.net', 'form', 'hi', 'From: Visitor <v@mailbox.example>') ? 0 : 1);"
    as_service("php", "-d", f"sendmail_path={puerto.sendmail} -t -i", "-r", mail)
    form = came(2, "form")
    assert form["From"] == "Visitor <www-data@example.com>", form["From"]
    assert form["X-Original-From"] == form["Reply-To"] == "Visitor <v@mailbox.example>", form.items()
    # Cron writes as root for everybody, and monitoring in the host's name.
    run(puerto.sendmail, "-FCronDaemon", "-i", "-B8BITMIME", "-oem", "you@example.net",
        input=b"From: root (Cron Daemon)\nTo: ana\nSubject: Cron <ana@mail> true\n\nout\n")
    cron = came(3, "Cron <ana@mail> true")
    assert "root@example.com" in cron["From"], cron["From"]
    run(puerto.sendmail, "-t", input=b"From: nagios@localhost\nTo: you@example.net\nSubject: down\n\ndown\n")
    assert came(4, "down")["From"] == "nagios@localhost"
    # With reject the program is told, and the mail is not sent.
    text = puerto.configuration.read_text()
    puerto.configuration.write_text(text + '[sender]\notherwise = "reject"\n')
    puerto.stop()
    puerto.start()
    done = as_service(puerto.sendmail, "-t", check=False,
                      input=b"From: v@mailbox.example\nTo: you@example.net\n\nhi\n")
    assert done.returncode == 77, done.returncode
    assert b"DMARC" in done.stderr and b"sender.foreign" in done.stderr, done.stderr
    as_service(puerto.sendmail, "-t", input=b"From: shop@example.com\nTo: you@example.net\nSubject: shop\n\nhi\n")
    assert came(5, "shop")["From"] == "shop@example.com"
    puerto.wait_empty()
    assert len(final.wait(5)) == 5


def test_another_server_relays_through_us(world):
    """The classroom: a student's server has users of its own, whatever ours are."""
    Unbound(world, RECORDS)
    final = final_postfix(world)
    Puerto(world, f'trusted_networks = ["127.0.0.1/32", "{STRANGER}/32"]\n',
           f'[sender]\notherwise = "reject"\nnetworks = {{ "{STRANGER}" = ["@student.example"] }}\n')

    def relay(source, sender):
        with smtplib.SMTP(SENDER_ADDRESS, 25, source_address=(source, 0)) as client:
            client.sendmail(sender, "you@example.net", f"From: {sender}\r\nSubject: x\r\n\r\nhi\r\n")

    relay(STRANGER, "ana@student.example")
    code, said = refusal(relay, STRANGER, "ana@other.example")
    assert code == 550 and "@student.example" in said, said
    assert final.wait(1)[0]["From"] == "ana@student.example"


def test_a_cap_holds_and_the_letter_says_what_releases(world):
    Unbound(world, RECORDS)
    final = final_postfix(world)
    puerto = Submission(
        world, 'postmaster = "boss@example.net"\n',
        '[caps]\naccounts = { "*" = ["2 messages/hour"] }\n')
    for _ in range(4):
        by_login(puerto, "ana@example.com", "ana@example.com")
    # Two of them, and the letter.
    came = final.wait(3)
    [letter] = [m for m in came if m["To"] == "boss@example.net"]
    text = letter.get_content()
    assert "ana has sent more messages in an hour than allowed (2)" in text, text
    listed = puerto.command("queue", "list", "--json").stdout.decode()
    assert listed.count('"caps.messages-hour"') == 2, listed
    [command] = [line.split() for line in text.splitlines() if "queue release" in line]
    assert command == ["puerto", "queue", "release", "--held", "--account", "ana"], command
    puerto.command(*command[1:], "--yes")
    puerto.wait_empty()
    assert len(final.wait(5)) == 5
    puerto.says("held: ana has sent more messages in an hour than allowed (2)")
