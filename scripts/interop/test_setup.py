"""`puerto setup` on a whole machine, whose Postfix and OpenDKIM really run."""

import contextlib
import fcntl
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import termios
import time

from machines import Machine
from peers import Skipped, run, wait_for

RELAY = "[smtp.example.net]:587"


def talk(command, answers, columns=80):
    """Runs a command at a terminal; each answer is what to wait for and what to type,
    `None` to hang up. Returns the exit code, what was shown and whether it echoes."""
    answers, shown, seen = list(answers), b"", 0
    pid, terminal = pty.fork()
    if pid == 0:
        # Who runs the tests in the background has it ignored.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.execvp(command[0], command)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    deadline = time.monotonic() + 60
    echoes = True
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                data = os.read(terminal, 4096)
            except OSError:
                break
            if not data:
                break
            shown += data
        if answers and answers[0][0].encode() in shown[seen:]:
            seen = len(shown)
            typed = answers.pop(0)[1]
            if typed is None:
                os.close(terminal)
                terminal = None
                break
            os.write(terminal, typed)
        with contextlib.suppress(termios.error):
            echoes = bool(termios.tcgetattr(terminal)[3] & termios.ECHO)
    else:
        os.kill(pid, signal.SIGKILL)
        raise AssertionError(f"it never ended, and did not ask for {answers}:\n"
                             f"{shown.decode(errors='replace')}")
    status = os.waitpid(pid, 0)[1]
    if terminal is not None:
        os.close(terminal)
    text = shown.decode(errors="replace").replace("\r\n", "\n")
    assert not answers, f"never asked for {answers}:\n{text}"
    return os.waitstatus_to_exitcode(status), text, echoes


def with_postfix(machine):
    """Postfix and OpenDKIM, configured and running, with a message that waits."""
    if not shutil.which("postfix") or not shutil.which("opendkim"):
        raise Skipped("Postfix and OpenDKIM are needed")
    machine.write("/etc/postfix/sasl_passwd", f"{RELAY} ana@example.net:s3cret\n".encode(), 0o600)
    machine.run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                "/CN=first.example", "-keyout", "/etc/ssl/private/mail.key", "-out", "/etc/ssl/mail.pem")
    machine.run("chmod", "600", "/etc/ssl/private/mail.key")
    machine.run(
        "postconf", "-e", "myhostname=mail.example.com", f"relayhost={RELAY}",
        "mydestination=$myhostname, example.com, localhost",
        "mynetworks=127.0.0.0/8 [::1]/128 192.0.2.0/24", "alias_maps=hash:/etc/aliases",
        "smtp_sasl_auth_enable=yes", "smtp_sasl_password_maps=texthash:/etc/postfix/sasl_passwd",
        "smtpd_tls_cert_file=/etc/ssl/mail.pem", "smtpd_tls_key_file=/etc/ssl/private/mail.key",
        "maillog_file=/var/log/postfix.log", "inet_interfaces=all")
    machine.run("mkdir", "-p", "/etc/dkimkeys", "/run/opendkim")
    machine.run("openssl", "genrsa", "-out", "/etc/dkimkeys/jan.private", "2048")
    machine.run("chown", "opendkim", "/etc/dkimkeys/jan.private", "/run/opendkim")
    machine.run("chmod", "600", "/etc/dkimkeys/jan.private")
    machine.write("/etc/opendkim.keys", b"k1 example.com:jan:/etc/dkimkeys/jan.private\n")
    machine.write("/etc/opendkim.signing", b"*@example.com k1\n")
    machine.write("/etc/opendkim.conf", (
        b"KeyTable refile:/etc/opendkim.keys\nSigningTable refile:/etc/opendkim.signing\n"
        b"Socket inet:8891@127.0.0.1\nUserID opendkim\nPidFile /run/opendkim/opendkim.pid\n"))
    machine.run("opendkim", "-x", "/etc/opendkim.conf")
    machine.run("postfix", "start")
    wait_for("Postfix", lambda: machine.run("ss", "-Hltn", "sport = :25").stdout)
    machine.run("sendmail", "-f", "ana@example.com", "x@example.net", input=b"before\n")
    wait_for("the queue", lambda: b"x@example.net" in machine.run("mailq").stdout)


def subject(machine):
    """Of the certificate that the server shows."""
    done = machine.run("openssl", "s_client", "-starttls", "smtp", "-connect", "127.0.0.1:25",
                       input=b"QUIT\r\n", check=False)
    return next((l for l in done.stdout.decode().splitlines() if l.startswith("subject")), "")


def test_it_takes_the_place_of_a_postfix_that_runs(world):
    machine = Machine(world)
    with_postfix(machine)
    # By itself it stops nobody, and does not start beside who holds the port.
    report = machine.setup("--yes")
    assert [f["taken"] for f in report["found"]] == [True, True], report["found"]
    assert "systemctl enable --now puerto" not in report["done"], report["done"]
    commands = [command for step in report["next"] for command in step["commands"]]
    assert "systemctl disable --now postfix" in commands and "postqueue -f" in commands, commands
    told = machine.at("/etc/puerto/puerto.toml").read_text()
    for line in ('hostname = "mail.example.com"', 'domains = ["mail.example.com", "example.com"]',
                 f'relayhost = "{RELAY}"', 'relayhost_user = "ana@example.net"',
                 'trusted_networks = ["127.0.0.0/8", "::1/128", "192.0.2.0/24"]',
                 'certificate = "/etc/ssl/mail.pem"'):
        assert f"\n{line}\n" in told, (line, told)
    modes = machine.run("stat", "-c", "%a %U:%G %n", "/etc/puerto/relayhost.password",
                        "/etc/puerto/dkim", "/etc/puerto/dkim/example.com/jan.pem")
    assert modes.stdout.decode().split("\n")[:3] == [
        "640 root:puerto /etc/puerto/relayhost.password", "750 root:puerto /etc/puerto/dkim",
        "640 root:puerto /etc/puerto/dkim/example.com/jan.pem"], modes.stdout

    code, shown, _ = talk(machine.inside("puerto", "setup", "example.com", "--lang", "en"), [
        ("Stop Postfix now? Messages that wait in its queue stay there: 1", b"y\n"),
        ("Stop OpenDKIM", b"y\n"), ("Let `sendmail` lead", b"y\n"), ("Start the service", b"\n")])
    assert code == 0, shown
    assert b"puerto" in machine.run("ss", "-Hltnp", "sport = :25").stdout
    machine.run("sendmail", "-f", "ana@example.com", "y@example.net", input=b"after\n")
    assert b"y@example.net" in machine.run("mailq").stdout

    before = machine.run("find", "/etc", "/usr/sbin", "/usr/bin", "-newer", "/run/unbound.conf",
                         "-printf", "%p %T@ %m\n").stdout
    report = machine.setup("--yes")
    assert not report["changed"] and not report["done"] and not report["problems"], report
    left = [step["commands"] for step in report["next"]]
    assert left == [["postqueue -p", "postqueue -f"], ["puerto dns example.com"],
                    ["puerto check example.com"]], left
    after = machine.run("find", "/etc", "/usr/sbin", "/usr/bin", "-newer", "/run/unbound.conf",
                        "-printf", "%p %T@ %m\n").stdout
    assert before == after

    # Another package comes, and brings a mail server along: its names are put beside ours.
    for path in ("/usr/sbin/sendmail", "/usr/lib/sendmail", "/usr/bin/mailq", "/usr/bin/newaliases"):
        assert machine.run("dpkg-divert", "--truename", path).stdout.decode().strip() == f"{path}.other"
    assert machine.run("sendmail", "--version").stdout.startswith(b"Buen Puerto")

    # The certificate is renewed, and its key still for root alone.
    assert "first.example" in subject(machine)
    machine.run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                "/CN=second.example", "-keyout", "/etc/ssl/private/mail.key", "-out", "/etc/ssl/mail.pem")
    machine.run("systemctl", "reload", "puerto")
    wait_for("the renewed certificate", lambda: "second.example" in subject(machine))

    # And all of it is undone, but for configuration, keys and mail.
    undone = json.loads(machine.run("puerto", "setup", "--undo", "--yes", "--json").stdout)
    assert not undone["problems"], undone
    assert not machine.files("/etc/systemd/system/puerto.service", "/etc/systemd/system/puerto.socket",
                             "/etc/sysusers.d/puerto.conf", "/etc/tmpfiles.d/puerto.conf",
                             "/usr/local/share/man/man1/puerto.1"), undone
    assert not machine.run("sendmail", "--version", check=False).stdout.startswith(b"Buen Puerto")
    assert b"/usr/sbin" not in machine.run("dpkg-divert", "--list", "/usr/sbin/sendmail").stdout
    assert machine.at("/etc/puerto/puerto.toml").is_file()
    assert machine.files("/var/lib/puerto")


def without_postfix(machine):
    """As a fresh VPS, with the configuration of a package that was removed."""
    machine.run("rm", "-f", "/usr/sbin/postfix", "/usr/sbin/sendmail", "/usr/lib/sendmail",
                "/usr/bin/mailq", "/usr/bin/newaliases", "/etc/opendkim.conf")


def test_what_a_removed_package_left_does_not_keep_the_service_from_starting(world):
    machine = Machine(world)
    machine.run("postconf", "-e", "myhostname=mail.example.com")
    without_postfix(machine)
    report = machine.setup("--yes", "--relayhost", RELAY)
    assert "systemctl enable --now puerto" in report["done"], report
    assert machine.run("sendmail", "--version").stdout.startswith(b"Buen Puerto")


def test_a_stranger_on_the_port_is_named_and_the_service_not_started(world):
    machine = Machine(world)
    without_postfix(machine)
    machine.run("rm", "-rf", "/etc/postfix")
    # At one address of several it keeps us from all as well.
    for address in ("0.0.0.0", "127.0.0.1"):
        listener = subprocess.Popen(
            machine.inside("openssl", "s_server", "-nocert", "-accept", f"{address}:25"),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for("the stranger", lambda: machine.run("ss", "-Hltn", "sport = :25").stdout)
            report = machine.setup("--yes", "--relayhost", RELAY)
            assert "systemctl enable --now puerto" not in report["done"], report["done"]
            held = [step["what"] for step in report["next"] if "port 25" in step["what"]]
            assert len(held) == 1 and "/openssl" in held[0], report["next"]
        finally:
            listener.kill()
            listener.wait()


def test_questions_take_bad_answers_and_an_end_at_any_time(world):
    machine = Machine(world)
    without_postfix(machine)
    machine.run("rm", "-rf", "/etc/postfix")
    command = machine.inside("puerto", "setup", "example.com", "--lang", "en")
    name, here, hop = ("full name", b"\n"), ("mailboxes", b"\n"), ("Port 25 is closed", f"{RELAY}\n".encode())
    user, password = ("user name", b"ana\n"), ("password of ana", b"s3cret\n")
    reader, consent = ("reads root's mail", b"\n"), ("Let's Encrypt", b"\n")

    def written():
        return machine.files("/etc/puerto", "/etc/systemd", "/usr/sbin", "/usr/lib/sendmail")

    nothing = written()
    for title, answers in {
        "interrupt": [("full name", b"\x03")],
        "end of input": [name, ("mailboxes", b"\x04")],
        "hang-up": [name, here, ("Port 25", None)],
        "interrupt at the password": [name, here, hop, user, ("password of ana", b"s3\x03")],
        "end of input before writing": [name, here, hop, user, password, consent, reader, ("Write them", b"\x04")],
        "no": [name, here, hop, user, password, consent, reader, ("Write them", b"n\n")],
    }.items():
        code, shown, echoes = talk(command, answers)
        assert code != 0 and echoes, (title, code, shown)
        assert written() == nothing, (title, written())
    code, shown, _ = talk(command, [
        ("full name", b"mail\n"), ("mail is not a full host name", b"\xff\x1b[A\n"),
        ("not a full host name", b"192.0.2.1\n"), ("192.0.2.1 is not", b"mail.example.com\n"),
        ("mailboxes", b"perhaps\n"), ("Answer yes or no", b"y\n"),
        ("Port 25 is closed", b"[x\n"), ("bracket", b"192.0.2.1\n"), ("in brackets", f"{RELAY}\n".encode()),
        user, password, ("Let's Encrypt", b"no\n"), ("reads root's mail", b"a b\n"), ("neither an address", b"\n"),
        ("Write them", b"\n"), ("Make the user", b"\x04")], columns=40)
    assert code == 0 and "s3cret" not in shown, shown
    assert "What comes next" in shown and "systemd-sysusers" in shown, shown
    assert machine.at("/etc/puerto/relayhost.password").read_bytes() == b"s3cret\n"


def test_a_disk_that_fills_up_leaves_nothing_behind(world):
    binary, disk = os.environ["PUERTO_BINARY"], world.folder / "disk"
    disk.mkdir()
    setup = [binary, "--lang", "en", "setup", "example.com", "--yes", "--root", disk]
    for size in (4, 8, 12, 16, 24):
        run("mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", disk)
        try:
            done = run(*setup, check=False)
            assert done.returncode == 73 and b"No space left" in done.stderr, (size, done)
            assert list(disk.iterdir()) == [], (size, list(disk.rglob("*")))
            run("mount", "-o", "remount,size=1m", disk)
            run(*setup)
        finally:
            run("umount", disk)


def test_the_page_for_those_who_come_from_postfix_has_each_parameter_of_debian(world):
    """docs/from-postfix.md, against what Debian's package writes and ships."""
    page = (pathlib.Path(__file__).parents[2] / "docs/from-postfix.md").read_text()
    left = " ".join(line.split(" | ")[0] for line in page.splitlines() if line.startswith("| "))
    parameters = set()
    for name in ("/etc/postfix/main.cf", "/usr/share/postfix/main.cf.debian",
                 "/usr/share/postfix/main.cf.tls"):
        parameters |= set(re.findall(r"(?m)^([a-zA-Z0-9_]+)\s*=", pathlib.Path(name).read_text()))
    assert len(parameters) > 15, parameters
    missing = sorted(name for name in parameters if f"`{name}" not in left)
    assert not missing, missing
