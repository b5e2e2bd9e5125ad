"""What a broken-into service user tries in order to become root, and what is left to the
small processes that outlive the drop of privileges."""

import contextlib
import json
import os
import pathlib
import pwd
import shutil
import signal

from peers import RECORDS, SENDER_ADDRESS, UNPRIVILEGED, Puerto, Unbound, again_and_again, run, wait_for

CAPABILITIES = {"CAP_DAC_READ_SEARCH": 1 << 2}


def secret(world):
    """A file of root's that nobody else may get at."""
    file = world.folder / "secret"
    file.write_text("mine\n")
    file.chmod(0o600)
    return file


def untouched(file):
    status = file.stat()
    assert file.read_text() == "mine\n", file.read_text()
    assert (status.st_uid, status.st_mode & 0o777) == (0, 0o600), status


def theirs(folder):
    folder.mkdir(exist_ok=True)
    shutil.chown(folder, UNPRIVILEGED)
    return folder


def test_check_watch_by_root_follows_no_link_in_the_state_directory(world):
    Unbound(world, RECORDS)
    puerto = Puerto(world)
    mine = secret(world)
    for name in ("check-example.com.json", "check-example.com.new", "check-example.com.json.new"):
        (puerto.state / name).symlink_to(mine)
    puerto.command("check", "--watch", "--only", "spf", check=False)
    untouched(mine)
    kept = pathlib.Path(f"{puerto.state}-root")
    assert kept.stat().st_uid == 0 and [*kept.iterdir()], kept
    # Named by hand, a folder of somebody else's is refused with the reason.
    done = puerto.command("check", "--watch", "--only", "spf", "--memory",
                          puerto.state / "x.json", check=False)
    assert f"belongs to {UNPRIVILEGED}".encode() in done.stderr, done.stderr
    assert not (puerto.state / "x.json").exists()


def test_a_log_file_that_is_a_link_gives_nothing_away(world):
    Unbound(world, RECORDS)
    mine = secret(world)
    puerto = Puerto(world, start=False)
    logs = theirs(world.folder / "logs")
    text = puerto.configuration.read_text()
    puerto.configuration.write_text(text.replace(str(puerto.mail_log), str(logs / "mail.log")))
    (logs / "mail.log").symlink_to(mine)
    done = run(puerto.binary, "serve", "--config", puerto.configuration, check=False)
    assert done.returncode == 73, done
    untouched(mine)
    # A link of a folder: the file would be made, and given away, wherever it leads.
    (logs / "mail.log").unlink()
    (logs / "sub").symlink_to(world.folder)
    text = puerto.configuration.read_text()
    puerto.configuration.write_text(text.replace("logs/mail.log", "logs/sub/new.log"))
    done = run(puerto.binary, "serve", "--config", puerto.configuration, check=False)
    assert done.returncode == 73 and b"belongs to" in done.stderr, done
    assert not (world.folder / "new.log").exists()
    untouched(mine)


def test_a_socket_that_is_exchanged_while_it_is_bound_changes_no_mode(world):
    Unbound(world, RECORDS)
    mine = secret(world)
    puerto = Puerto(world, start=False)
    run_dir = theirs(puerto.folder / "run")

    def exchange():
        for name in ("control", "submit"):
            with contextlib.suppress(OSError):
                os.symlink(mine, run_dir / ".trap")
                os.rename(run_dir / ".trap", run_dir / name)

    with again_and_again(exchange):
        for _ in range(10):
            with contextlib.suppress(Exception):
                run(puerto.binary, "serve", "--config", puerto.configuration, check=False, timeout=1)
            untouched(mine)
    # A state directory that is a link in such a folder is not given away either.
    shutil.rmtree(run_dir)
    above = theirs(world.folder / "above")
    target = world.folder / "target"
    target.mkdir(mode=0o700)
    (above / "state").symlink_to(target)
    text = puerto.configuration.read_text()
    puerto.configuration.write_text(text.replace(str(puerto.state), str(above / "state")))
    done = run(puerto.binary, "serve", "--config", puerto.configuration, check=False)
    assert done.returncode != 0 and b"belongs to" in done.stderr, done
    assert target.stat().st_uid == 0


def planted(folder, mine):
    """A folder of the service's user with all that could lead root elsewhere."""
    theirs(folder)
    (folder / "link.pem").symlink_to(mine)
    os.link(mine, folder / "second-name.pem")
    os.mkfifo(folder / "pipe.pem")
    (folder / "folder.pem").mkdir()
    (folder / "device.pem").symlink_to("/dev/zero")
    for path in folder.iterdir():
        if not path.is_symlink() and path.name != "second-name.pem":
            shutil.chown(path, UNPRIVILEGED)


def test_root_reads_no_key_that_only_names_of_the_services_user_lead_to(world):
    Unbound(world, RECORDS)
    puerto = Puerto(world, start=False)
    mine = world.folder / "secret"
    run(puerto.binary, "dkim", "new", "--selector", "mine", "--type", "ed25519",
        "--config", puerto.configuration)
    shutil.move(puerto.keys / "example.com" / "mine.pem", mine)
    os.chown(mine, 0, 0)
    before = (mine.stat().st_uid, mine.stat().st_gid, mine.stat().st_mode)
    (puerto.keys / "example.com").rmdir()
    theirs(puerto.keys)
    planted(puerto.keys / "example.com", mine)
    elsewhere = world.folder / "elsewhere"
    elsewhere.mkdir(mode=0o755)
    shutil.copy(mine, elsewhere / "other.pem")
    (puerto.keys / "example.net").symlink_to(elsewhere)
    listed = puerto.command("dkim", "list", "--json", check=False, timeout=20)
    shown = json.loads(listed.stdout)
    assert shown["keys"] == [], shown
    assert "belongs to nobody" in listed.stdout.decode(), shown
    # A new key is made as who owns the folder, or not at all.
    done = puerto.command("dkim", "new", "example.net", "--type", "ed25519", check=False)
    assert done.returncode in (73, 77), done
    assert [path.name for path in elsewhere.iterdir()] == ["other.pem"]
    puerto.command("dkim", "new", "example.org", "--type", "ed25519")
    [made] = (puerto.keys / "example.org").iterdir()
    assert made.owner() == UNPRIVILEGED and made.stat().st_mode & 0o777 == 0o600, made.stat()
    # What root has left in a folder of the user's is read, and the daemon starts.
    left = puerto.keys / "example.com" / "left.pem"
    shutil.copy(mine, left)
    assert left.stat().st_uid == 0
    puerto.start()
    for name in ("pipe.pem", "link.pem", "second-name.pem"):
        wait_for(name, lambda name=name: name in puerto.log())
    shown = json.loads(puerto.command("dkim", "list", "--json", check=False).stdout)
    assert sorted(key["selector"] for key in shown["keys"]) == [made.stem, "left"]
    assert (mine.stat().st_uid, mine.stat().st_gid, mine.stat().st_mode) == before


def test_root_waits_for_nothing_and_hands_nothing_over_in_the_state_directory(world):
    Unbound(world, RECORDS)
    mine = secret(world)
    puerto = Puerto(world, f'relayhost = "[{SENDER_ADDRESS}]:26"\n'
                           'relayhost_user = "u"\n'
                           f'relayhost_password_file = "{world.folder}/puerto/state/password"\n',
                    start=False)
    theirs(puerto.state)
    (puerto.state / "password").symlink_to(mine)
    for plant in (lambda path: os.mkfifo(path), lambda path: path.symlink_to(mine),
                  lambda path: path.mkdir(), lambda path: os.link(mine, path)):
        path = puerto.state / "relay-keys"
        plant(path)
        done = puerto.command("relay", "test", check=False, timeout=30)
        assert done.returncode in (1, 2), done
        assert b"mine" not in done.stdout + done.stderr, done
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        untouched(mine)
    done = puerto.command("config", "check", check=False, timeout=30)
    assert f"belongs to {UNPRIVILEGED}" in (done.stdout + done.stderr).decode(), done
    # Root that stays root does not keep a queue where their links lead.
    elsewhere = world.folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "00000001.segment").write_text("mine\n")
    (puerto.state / "spool").mkdir()
    (puerto.state / "spool" / "segments").symlink_to(elsewhere)
    text = puerto.configuration.read_text()
    puerto.configuration.write_text(text.replace(f'user = "{UNPRIVILEGED}"', 'user = ""'))
    done = run(puerto.binary, "serve", "--config", puerto.configuration, check=False, timeout=20)
    assert done.returncode == 71 and f"belongs to {UNPRIVILEGED}".encode() in done.stderr, done
    assert [path.name for path in elsewhere.iterdir()] == ["00000001.segment"]
    puerto.configuration.write_text(text)
    # The folder above is theirs: what a name in it stands for when root looks is theirs to say.
    above = theirs(world.folder / "above")
    target = world.folder / "target"
    for folder in (target, target / "spool", target / "spool" / "segments"):
        folder.mkdir()
    (target / "spool" / "mine").write_text("mine\n")
    text = puerto.configuration.read_text()
    puerto.configuration.write_text(text.replace(str(puerto.state), str(above / "state")))

    def exchange():
        for goal in (above / "real", target):
            os.symlink(goal, above / ".trap")
            os.rename(above / ".trap", above / "state")

    (above / "state").symlink_to(theirs(above / "real"))
    with again_and_again(exchange):
        for _ in range(10):
            with contextlib.suppress(Exception):
                run(puerto.binary, "serve", "--config", puerto.configuration, check=False,
                    timeout=0.5)
            for path in (target, *target.rglob("*")):
                assert path.stat().st_uid == 0, path


def test_the_helpers_keep_only_the_rights_that_they_need(world):
    Unbound(world, RECORDS)
    certificate, key = world.authority.issue("mail.example.com")
    puerto = Puerto(world, "", f'[tls]\ncertificate = "{certificate}"\nkey = "{key}"\n')
    def helpers():
        children = run("pgrep", "-P", str(puerto.process.pid), check=False)
        return children.stdout.decode().split()

    def role(child):
        return pathlib.Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")[1]

    def keeper_at_work():
        # It gives rights up after it has been started.
        for child in helpers():
            if role(child) == b"certificate-keeper":
                status = pathlib.Path(f"/proc/{child}/status").read_text()
                fields = dict(line.split(":", 1) for line in status.splitlines())
                return fields if fields["NoNewPrivs"].strip() == "1" else None

    keeper = wait_for("the keeper", keeper_at_work)
    user = pwd.getpwnam(UNPRIVILEGED)
    assert keeper["Uid"].split() == [str(user.pw_uid)] * 4, keeper["Uid"]
    for field in ("CapPrm", "CapEff", "CapBnd"):
        assert int(keeper[field], 16) == CAPABILITIES["CAP_DAC_READ_SEARCH"], (field, keeper[field])
    wait_for("mail", lambda: puerto.alive())
    assert SENDER_ADDRESS


def test_a_reload_goes_on_past_a_key_that_the_services_user_may_not_read(world):
    Unbound(world, RECORDS)
    puerto = Puerto(world, start=False)
    folder = theirs(theirs(puerto.keys) / "example.com")
    for name in ("first", "second"):
        run("openssl", "genpkey", "-algorithm", "ed25519", "-out", folder / f"{name}.pem")
    shutil.chown(folder / "first.pem", UNPRIVILEGED)
    (folder / "second.pem").chmod(0o640)
    hidden = folder / "second.pem"
    hidden.rename(world.folder / "second.pem")
    puerto.start()
    # As a copy that root has made.
    (world.folder / "second.pem").rename(hidden)
    puerto.process.send_signal(signal.SIGHUP)
    puerto.says("second.pem: cannot read it")
    assert puerto.alive() and puerto.answers()
    run(puerto.sendmail, "-f", "me@example.com", "you@example.com", input=b"Subject: x\n\nhi\n")
    puerto.says("you@example.com")
