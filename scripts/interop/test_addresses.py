"""Whose mail is whose: tables, domains behind us, mailboxes that Dovecot has."""

import json
import os
import signal
import smtplib

from peers import (DNS_ADDRESS, FINAL_ADDRESS, RECORDS, SENDER_ADDRESS, Postfix, Process, Puerto,
                   Unbound, run, wait_for)
from scripted import Sink
from test_local import House

STRANGER = "127.0.0.77"
FROM_HERE = 'trusted_networks = ["127.0.0.1/32"]\n'


def rcpt(*recipients, source=STRANGER):
    """What the daemon answers a client at this address to each recipient."""
    with smtplib.SMTP(SENDER_ADDRESS, 25, source_address=(source, 0)) as client:
        client.ehlo("stranger.example")
        assert client.mail("me@example.net")[0] == 250
        # As it is written: the library would put some of them right.
        return [client.docmd(f"RCPT TO:<{recipient}>")[0] for recipient in recipients]


def send(*recipients, source=STRANGER, sender="me@example.net", text="hi"):
    with smtplib.SMTP(SENDER_ADDRESS, 25, source_address=(source, 0)) as client:
        client.sendmail(sender, recipients, f"From: {sender}\r\nSubject: {text}\r\n\r\n{text}\r\n")


class Dovecot(Process):
    """Mailboxes of ana and bea of two domains, by LMTP."""

    def __init__(self, world):
        self.folder = world.folder / "dovecot"
        self.folder.mkdir(mode=0o755)
        self.mail = self.folder / "mail"
        self.mail.mkdir(mode=0o777)
        self.mail.chmod(0o777)
        users = ["ana@example.com", "bea@example.org"]
        (self.folder / "users").write_text("".join(f"{user}:{{PLAIN}}x::::::\n" for user in users))
        (self.folder / "users").chmod(0o644)
        (self.folder / "dovecot.conf").write_text(
            f"base_dir = {self.folder}/run\nstate_dir = {self.folder}/state\n"
            f"log_path = {self.folder}/log\nprotocols = lmtp\nssl = no\n"
            "postmaster_address = postmaster@example.com\nrecipient_delimiter = +\n"
            f"mail_location = maildir:{self.mail}/%u\nmail_uid = 65534\nmail_gid = 65534\n"
            f"first_valid_uid = 1\n"
            f"passdb {{\n  driver = passwd-file\n  args = {self.folder}/users\n}}\n"
            f"userdb {{\n  driver = passwd-file\n  args = {self.folder}/users\n"
            f"  default_fields = uid=65534 gid=65534 home={self.mail}/%u/home\n}}\n"
            "service lmtp {\n"
            f"  unix_listener {self.folder}/lmtp {{\n    mode = 0666\n  }}\n}}\n")
        self.socket = self.folder / "lmtp"
        self.start()
        world.add(self)

    def start(self):
        self.start_process(["dovecot", "-F", "-c", self.folder / "dovecot.conf"],
                           self.folder / "output")
        wait_for("Dovecot", self.socket.exists)

    def stop(self):
        super().stop()
        self.socket.unlink(missing_ok=True)

    def inbox(self, user):
        folder = self.mail / user / "new"
        return [file.read_text(errors="replace") for file in folder.iterdir()] if folder.is_dir() else []


def test_the_lmtp_server_says_who_exists(world):
    Unbound(world, RECORDS)
    dovecot = Dovecot(world)
    (world.folder / "aliases").write_text("team: ana, bea@example.org\nroot: ana\n")
    puerto = Puerto(
        world, FROM_HERE.replace("\n", "\n"),
        f'[local]\nmailbox = "lmtp:{dovecot.socket}"\naliases = "{world.folder}/aliases"\n'
        '[queue]\nretry = ["1s"]\n[virtual]\ndomains = ["example.net"]\n[virtual.map]\n'
        '"@example.net" = "@example.com"\n')
    text = puerto.configuration.read_text()
    puerto.stop()
    puerto.configuration.write_text(text.replace('["example.com"]', '["example.com", "example.org"]'))
    puerto.start()
    asked = ["ana@example.com", "ana+x@example.com", "bea@example.org", "team@example.com",
             "postmaster@example.org", "ana@example.net"]
    unknown = ["bea@example.com", "ana@example.org", "daemon@example.com", "x@example.net"]
    assert rcpt(*asked) == [250] * 6
    assert rcpt(*unknown) == [550] * 4
    send("ana+x@example.com", "bea@example.org", text="directly")
    send("team@example.com", text="by-alias")
    send("ana@example.net", text="moved")
    wait_for("ana's mail", lambda: len(dovecot.inbox("ana@example.com")) == 3)
    wait_for("bea's mail", lambda: len(dovecot.inbox("bea@example.org")) == 2)
    puerto.wait_empty()
    # A program of this machine names somebody who is not there: one notice, and no loop.
    run(puerto.sendmail, "-f", "ana@example.com", "nobody-here@example.com",
        input=b"Subject: lost\n\nhi\n")
    wait_for("the notice", lambda: any("nobody-here" in mail and "MAILER-DAEMON" in mail
                                       for mail in dovecot.inbox("ana@example.com")))
    puerto.wait_empty()
    # While it is away, those who were known are, and of others nothing is said.
    dovecot.stop()
    assert rcpt("ana@example.com", "bea@example.com", "new@example.com", "other@example.org") == [
        250, 550, 450, 450]
    assert rcpt("new@example.com", source="127.0.0.1") == [250], "ours need not wait"
    send("ana@example.com", text="later")
    dovecot.start()
    wait_for("what waited", lambda: any("later" in mail for mail in dovecot.inbox("ana@example.com")), 60)


def test_domains_behind_us_take_mail_for_those_who_exist(world):
    Unbound(world, RECORDS + [
        "clase.example.org. IN MX 10 mx.example.net.",
        "clase.example.org. IN MX 20 mail.example.com.",
        "down.example.org. IN A 127.0.0.99",
    ])
    (world.folder / "relay_recipients").write_text("ana@example.net OK\n")
    final = Postfix(world, "final", FINAL_ADDRESS, {
        "mydestination": "example.net, clase.example.org", "alias_maps": "",
        "local_recipient_maps": "inline:{ana=x,luis=x}", "local_transport": "discard:",
        "recipient_delimiter": "+"})
    puerto = Puerto(world, FROM_HERE + 'relay_domains = ["example.net", "*.example.org"]\n')
    assert rcpt("ana@example.net", "luis@clase.example.org") == [250, 250]
    assert rcpt("nobody@example.net", "nobody@clase.example.org") == [550, 550]
    assert rcpt("ana@down.example.org", "ana@nowhere.example.org") == [450, 450]
    assert rcpt("ana@elsewhere.example", "ana%elsewhere.example@example.net",
                "elsewhere.example!ana@example.net", '"ana@elsewhere.example"@example.net',
                "@example.net:ana@elsewhere.example") == [554] * 5
    assert rcpt("nobody@example.net", source="127.0.0.1") == [250], "ours hear of it by a notice"
    send("ana@example.net", text="relayed")
    wait_for("the mail at its domain's server", lambda: "status=sent" in final.log())
    # The list says all there is.
    puerto.stop()
    text = puerto.configuration.read_text()
    puerto.configuration.write_text(f'relay_recipients = ["{world.folder}/relay_recipients"]\n' + text)
    puerto.start()
    final.stop()
    assert rcpt("ana@example.net", "ana+x@example.net", "luis@example.net", "luis@clase.example.org") == [
        250, 250, 550, 550]


def test_commands_and_files(world):
    Unbound(world, RECORDS)
    out = world.folder / "out"
    out.mkdir()
    out.chmod(0o1777)
    folder = world.folder / "house"
    scripts = world.folder / "scripts"
    scripts.mkdir()
    house = House(
        world, aliases=f"pipe: \"|(id -un; env; cat) > {out}/pipe\"\nfile: {out}/file\nfolder: {out}/folder/\n"
        f"full: \"|echo no room for $RECIPIENT; exit 69\"\nwait: \"|test -e {out}/go && cat > {out}/went || exit 75\"\n"
        f"list: :include:{world.folder}/list\n",
        local='allow_commands = ["alias", "include", "forward"]\nallow_files = ["alias", "forward"]\n'
              'default_user = "daemon"\n')
    listed = world.folder / "list"
    listed.write_text(f"\"|id -un > {out}/listed\"\n{out}/not-allowed\n")
    os.chown(listed, 54321, 54321)
    house.send("pipe+a$b@example.com", "file@example.com", "folder@example.com")
    wait_for("the command", lambda: (out / "pipe").exists() and "\nhi\n" in (out / "pipe").read_text())
    said = (out / "pipe").read_text()
    for part in ("daemon\n", "SENDER=me@example.net\n", "RECIPIENT=pipe+a_b@example.com\n", "LOCAL=pipe+a_b\n",
                 "EXTENSION=a_b\n", "DOMAIN=example.com\n", "USER=daemon\n", "\nFrom me@example.net ",
                 "\nDelivered-To: pipe+a$b@example.com\n", "PATH=/usr/local/bin:/usr/bin:/bin\n"):
        assert part in said, (part, said)
    assert "PUERTO" not in said, said
    wait_for("the file", lambda: (out / "file").exists() and "\nhi\n" in (out / "file").read_text())
    wait_for("the folder", lambda: len(list((out / "folder" / "new").glob("*"))) == 1)
    assert (out / "file").stat().st_uid == (out / "folder").stat().st_uid == 1, "daemon's"
    house.puerto.says("delivered to command: (id -un; env; cat)")
    # What a list's owner names is the owner's to do; the rest of it is told.
    house.send("list@example.com", sender="ana@example.com")
    wait_for("the list's command", lambda: (out / "listed").exists() and (out / "listed").read_text() == "ana\n")
    wait_for("a notice", lambda: "local.allow_files" in house.mbox("ana"))
    # A refusal is quoted to the sender; what is to wait waits, and nothing is done twice.
    house.send("full@example.com", sender="luis@example.com")
    wait_for("the notice", lambda: "no room for full@example.com" in house.mbox("luis"))
    assert "have it" not in house.mbox("luis"), house.mbox("luis")
    house.send("wait@example.com")
    house.puerto.says("ended with exit code 75")
    (out / "go").write_text("")
    wait_for("the later attempt", lambda: (out / "went").exists())
    # A user's own.
    home = house.home("ana")
    house.forward("ana", f"\\ana, \"|id -un > {out}/forward\"\n:include:{home}/friends\n")
    (home / "friends").write_text("luis\n")
    os.chown(home / "friends", 54321, 54321)
    house.send("ana@example.com", subject="to-ana")
    wait_for("ana's command", lambda: (out / "forward").exists() and (out / "forward").read_text() == "ana\n")
    wait_for("both mailboxes", lambda: "to-ana" in house.mbox("ana") and "to-ana" in house.mbox("luis"))
    (home / ".forward+shop").write_text(f"\"|printf %s $EXTENSION > {out}/shop\"\n")
    os.chown(home / ".forward+shop", 54321, 54321)
    house.send("ana+shop@example.com", "ana+other@example.com", subject="shopping")
    wait_for("the command of the extension", lambda: (out / "shop").exists() and (out / "shop").read_text() == "shop")
    wait_for("the other copy", lambda: house.mbox("luis").count("shopping") == 1)
    house.puerto.wait_empty()
    # procmail and vacation-like programs, as people write them.
    (home / ".procmailrc").write_text(f"MAILDIR={home}\nDEFAULT={home}/by-procmail\nLOGFILE={home}/log\n")
    os.chown(home / ".procmailrc", 54321, 54321)
    house.forward("ana", "\"|IFS=' ' && exec /usr/bin/procmail -f- || exit 75 #ana\"\n")
    house.send("ana@example.com", subject="sorted")
    wait_for("procmail", lambda: (home / "by-procmail").exists() and "sorted" in (home / "by-procmail").read_text())
    # A command that never ends is ended, and nobody else waits for it.
    house.puerto.configuration.write_text(house.puerto.configuration.read_text().replace(
        "allow_commands", 'command_timeout = "2s"\nallow_commands'))
    os.kill(house.puerto.process.pid, signal.SIGHUP)
    house.puerto.says("was read again")
    house.forward("ana", "\"|sleep 1000\"\n")
    house.send("ana@example.com", subject="never")
    house.send("luis@example.com", subject="at-once")
    wait_for("luis's mail", lambda: "at-once" in house.mbox("luis"))
    house.puerto.says("was ended, since it took more than 2 seconds")


def test_what_is_sent_on_leaves_with_a_sender_of_ours(world):
    Unbound(world, RECORDS)
    sink = Sink(world, FINAL_ADDRESS)
    house = House(world, aliases="team: you@example.net\n", sections='[queue]\nretry = ["1s"]\n'
                  '[srs]\ndomain = "example.com"\n')
    send("team@example.com", sender="ana@example.org")
    wait_for("the copy", lambda: len(sink.messages) == 1)
    sender = sink.messages[0].sender
    assert sender.startswith("SRS0=") and sender.endswith("=example.org=ana@example.com"), sender
    assert (house.puerto.state / "srs.secret").stat().st_mode & 0o777 == 0o600
    forged = sender.replace("=ana@", "=bea@")
    assert rcpt(sender, forged, "SRS0=AAAAAA=AA=example.net=you@example.com") == [250, 550, 550]
    # A restart reads the same secret.
    house.puerto.stop()
    house.puerto.start()
    assert rcpt(sender, forged) == [250, 550]


def test_a_refused_copy_is_told_as_one_with_what_would_have_helped(world):
    Unbound(world, RECORDS)
    sink = Sink(world, FINAL_ADDRESS)
    sink.misbehave("rcpt", "550 5.7.23 SPF validation failed")
    house = House(world, aliases="team: you@example.net\n")
    send("team@example.com", sender="ana@example.org")
    house.puerto.says("550 5.7.23")
    house.puerto.wait_empty()
    told = json.loads(house.puerto.command("why", "you@example.net", "--json").stdout)
    assert any("[srs]" in advice for advice in told["advice"]), told["advice"]
    page = house.puerto.command("--lang", "en", "why", "you@example.net").stdout.decode()
    assert "sends on" in page, page


def test_strangers_are_told_at_once_that_an_alias_leads_to_nobody(world):
    Unbound(world, RECORDS)
    house = House(world, aliases="gone: no-such-user\nround: square\nsquare: round\nhalf: ana, no-such-user\n")
    assert rcpt("gone@example.com", "round@example.com", "half@example.com") == [550, 550, 250]
    # Those of this machine hear of it by a notice; whoever keeps the file, by `newaliases`.
    house.send("gone@example.com", sender="ana@example.com")
    wait_for("the notice", lambda: "no-such-user" in house.mbox("ana"))
    told = run(house.puerto.sendmail, "-bi", env=os.environ | {"LC_ALL": "C"}).stderr.decode()
    for line in ("line 1: `gone`: there is neither", "line 2: `round` leads in a circle",
                 "line 4: `half`: there is neither"):
        assert line in told, told


def test_mail_through_a_broken_alias_waits_and_strangers_come_again(world):
    Unbound(world, RECORDS)
    sink = Sink(world, FINAL_ADDRESS)
    aliases = world.folder / "aliases"
    aliases.write_text('list: :include:lista.txt\nopen: "|echo\nroot: you@example.net\n')
    puerto = Puerto(world, FROM_HERE, f'[local]\naliases = "{aliases}"\n[queue]\nretry = ["1s"]\n')
    names = [f"{name}@example.com" for name in ("list", "open", "root", "nobody-here")]
    assert rcpt(*names) == [450, 450, 250, 550]
    assert "lista" not in puerto.log(), "what is in the file is no stranger's affair"
    for name in ("list", "open"):
        run(puerto.sendmail, "-f", "ana@example.com", f"{name}@example.com", input=b"Subject: x\n\nhi\n")
    puerto.says("status=deferred (in the aliases file: `:include:lista.txt`: write")
    checked = puerto.command("config", "check", check=False, env=puerto.environment | {"LC_ALL": "C"})
    told = (checked.stdout + checked.stderr).decode()
    assert checked.returncode == 1 and f"{aliases}:1: `list`: `:include:lista.txt`" in told, told
    aliases.write_text("list: you@example.net\nopen: you@example.net\n")
    wait_for("both", lambda: len(sink.messages) == 2)
    puerto.wait_empty()
    assert "status=bounced" not in puerto.log()


def test_virtual_domains(world):
    Unbound(world, RECORDS)
    sink = Sink(world, FINAL_ADDRESS)
    house = House(world, aliases="office: luis\n", sections='[queue]\nretry = ["1s"]\n'
                  f'[virtual]\ndomains = ["example.org"]\nfile = "{world.folder}/virtual"\n'
                  '[virtual.map]\n"info@example.org" = ["ana", "office", "you@example.net"]\n')
    table = world.folder / "virtual"
    # The file that is named is not there yet: nobody is refused for good.
    assert rcpt("info@example.org", "nobody@example.org") == [250, 250]
    table.write_text("example.org this-is-a-domain\nsales@example.org ana+sales\n@example.org catch@example.net\n")
    send("info@example.org", text="for-three")
    send("sales+x@example.org", "nobody@example.org", text="two")
    wait_for("ana's mail", lambda: "for-three" in house.mbox("ana") and "two" in house.mbox("ana"))
    wait_for("luis's mail", lambda: "for-three" in house.mbox("luis"))
    wait_for("what goes on", lambda: len(sink.messages) == 2)
    house.puerto.wait_empty()
    table.write_text("sales@example.org ana\n")
    wait_for("the new table", lambda: rcpt("sales@example.org", "nobody@example.org") == [250, 550])
    table.unlink()
    assert rcpt("sales@example.org", "nobody@example.org") == [250, 550], "what was read holds"
