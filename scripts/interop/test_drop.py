"""What programs leave while the daemon is down, as users of the machine, and what one of them
can do to the others with it."""

import contextlib
import ctypes
import os
import pathlib
import pwd
import subprocess

from peers import RECORDS, Puerto, Skipped, Unbound, final_postfix, run, wait_for

MAILX = "/usr/bin/bsd-mailx"
SHOP, OTHER = "www-data", "games"


def by(user, *command, **options):
    return run("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *command, **options)


def folder_of(puerto, user):
    return pathlib.Path(f"{puerto.state}-drop") / str(pwd.getpwnam(user).pw_uid)


def waiting(puerto, user):
    return sorted(path.name for path in folder_of(puerto, user).iterdir() if path.name != "refused")


def stopped(world):
    """A daemon that has run once and is down."""
    Unbound(world, RECORDS)
    puerto = Puerto(world)
    puerto.says("ready as")
    for user in (SHOP, OTHER, "daemon"):
        wait_for("the folders", lambda: folder_of(puerto, user).is_dir())
        wait_for("their owners", lambda: folder_of(puerto, user).owner() == user)
    puerto.stop()
    return puerto


def test_cron_php_and_mailx_while_the_daemon_is_down(world):
    final = final_postfix(world)
    puerto = stopped(world)
    script = world.folder / "mail.php"
    script.write_text('<?php exit(mail("php@example.net", "of php", "text") ? 0 : 1);\n')
    script.chmod(0o644)
    by(SHOP, "php", "-d", f"sendmail_path={puerto.sendmail} -t -i", script)
    settings = world.folder / "mailrc"
    settings.write_text(f"set sendmail={puerto.sendmail}\n")
    by(OTHER, MAILX, "-s", "of mailx", "mailx@example.net", input=b"text\n",
       env=os.environ | {"MAILRC": str(settings)})
    table = world.folder / "cron" / "daemon"
    table.parent.mkdir()
    table.write_text("MAILTO=cron@example.net\n* * * * * echo text\n")
    table.chmod(0o600)
    mounts = (f"mount --bind {puerto.sendmail} /usr/sbin/sendmail && mount -t tmpfs none /run && "
              f"mount --bind {table.parent} /var/spool/cron/crontabs && exec cron -f")
    cron = subprocess.Popen(["unshare", "--mount", "sh", "-c", mounts], stdin=subprocess.DEVNULL)
    try:
        wait_for("what cron mails", lambda: waiting(puerto, "daemon"), 130)
    finally:
        cron.terminate()
        cron.wait(20)
    for user in (SHOP, OTHER, "daemon"):
        folder = folder_of(puerto, user)
        assert waiting(puerto, user), list(folder.iterdir())
        assert (folder.stat().st_mode & 0o7777, folder.owner()) == (0o700, user)
    told = by(SHOP, puerto.binary, "mailq", env=os.environ | {
        "PUERTO_CONFIG": str(puerto.configuration)}, check=False)
    assert told.returncode == 75 and b": 1; it takes them" in told.stderr, told
    assert b"; it takes them" in puerto.command("queue", "list", check=False).stderr
    puerto.start()
    subjects = sorted(str(message["Subject"]) for message in final.wait(3))
    assert subjects[0].startswith("Cron <daemon@") and subjects[1:] == ["of mailx", "of php"], subjects
    wait_for("the folders to be empty", lambda: not any(
        waiting(puerto, user) for user in (SHOP, OTHER, "daemon")))
    uid = pwd.getpwnam(SHOP).pw_uid
    puerto.says(f"uid={uid} from=<{SHOP}@example.com>")
    line = next(line for line in puerto.log().splitlines() if f"uid={uid} from=" in line)
    for part in (f"claimed_script={script}", "claimed_dropped=", "claimed_executable=/usr/bin/php"):
        assert part in line, line


def test_where_mail_comes_from_while_the_daemon_runs(world):
    Unbound(world, RECORDS)
    final_postfix(world)
    puerto = Puerto(world)
    script = world.folder / "mail.php"
    script.write_text('<?php exit(mail("php@example.net", "of php", "text") ? 0 : 1);\n')
    by(SHOP, "php", "-d", f"sendmail_path={puerto.sendmail} -t -i", script)
    uid = pwd.getpwnam(SHOP).pw_uid
    puerto.says(f"uid={uid} from=")
    line = next(line for line in puerto.log().splitlines() if f"uid={uid} from=" in line)
    for part in (", pid=", ", parents=", "php", f"claimed_script={script}"):
        assert part in line, line


def test_another_user_reaches_nothing_and_nothing_is_read_as_root(world):
    final = final_postfix(world)
    puerto = stopped(world)
    by(SHOP, puerto.sendmail, "-f", "shop@example.com", "you@example.net", input=b"Subject: own\n\nx\n")
    theirs, mine = folder_of(puerto, SHOP), folder_of(puerto, OTHER)
    [letter] = waiting(puerto, SHOP)
    above = mine.parent
    for attack in (f"cat {theirs / letter}", f"ls {theirs}", f"touch {theirs}/x", f"rm -rf {theirs}",
                   f"mv {theirs} {above}/moved", f"mkdir {above}/12345", f"ln -s /etc {above}/12345",
                   f"mv {mine} {above}/moved", f"rmdir {mine}"):
        done = by(OTHER, "sh", "-c", attack, check=False)
        assert done.returncode != 0, (attack, done)
    # What root may read, and a letter of somebody else's that could be linked to.
    secret = world.folder / "secret"
    secret.write_bytes((theirs / letter).read_bytes().replace(b"Subject: own", b"Subject: secret"))
    secret.chmod(0o600)
    by(OTHER, "ln", "-s", secret, mine / "a0link")
    os.link(secret, mine / "a0hard")
    (mine / "a0foreign").write_bytes(secret.read_bytes())
    os.chown(mine / "a0foreign", 0, 0)
    os.chmod(mine / "a0foreign", 0o644)
    os.mknod(mine / "a0device", 0o20666, os.makedev(1, 5))
    by(OTHER, "mkfifo", mine / "a0pipe")
    by(OTHER, "sh", "-c", f"cd {mine} && i=0; while [ $i -lt 3000 ]; do : > b$i; i=$((i+1)); done;"
                          f" touch -d '2 days ago' b*")
    # The folder itself is the user's to exchange for none: it lies in root's.
    by(OTHER, "ln", "-s", "/etc", mine / "refused")
    puerto.start()
    [message] = final.wait(1)
    assert message["Subject"] == "own"
    for name, why in (("a0link", "symbolic link"), ("a0device", "no regular file"),
                      ("a0pipe", "no regular file"), ("a0hard", "it"), ("a0foreign", "another user")):
        wait_for(f"a word on {name}", lambda: any(
            f'"{name}"' in line and why in line for line in puerto.log().splitlines()))
    # With nowhere to put them they stay, and the daemon goes on.
    assert (mine / "a0link").is_symlink() and not pathlib.Path("/etc/a0link").exists()
    (mine / "refused").unlink()
    wait_for("all of them to be out of the way", lambda: not waiting(puerto, OTHER), 120)
    assert final.count() == 1 and "b2999" not in puerto.log()
    by(OTHER, puerto.sendmail, "-f", "me@example.com", "you@example.net", input=b"Subject: later\n\nx\n")
    assert sorted(str(message["Subject"]) for message in final.wait(2)) == ["later", "own"]


def test_a_user_without_a_folder_is_told_what_helps(world):
    final = final_postfix(world)
    puerto = stopped(world)
    number = "54321"
    sendmail = ("setpriv", f"--reuid={number}", f"--regid={number}", "--clear-groups", puerto.sendmail,
                "-f", "me@example.com", "you@example.net")
    for user in (sendmail, ("setpriv", "--reuid=nobody", "--regid=nogroup", *sendmail[3:])):
        refused = run(*user, input=b"x\n", check=False)
        assert refused.returncode == 75 and b"install -d -m 700" in refused.stderr, refused
    refused = run(*sendmail, input=b"x\n", check=False)
    advice = refused.stderr.decode().split("now: ")[1].strip()
    run(*advice.split())
    run(*sendmail, input=b"x\n")
    puerto.start()
    final.wait(1)
    wait_for("the folder to be empty", lambda: not os.listdir(f"{puerto.state}-drop/{number}"))


def test_a_full_disk_is_said_and_leaves_nothing_behind(world):
    final = final_postfix(world)
    puerto = stopped(world)
    mine = folder_of(puerto, SHOP)
    uid = pwd.getpwnam(SHOP).pw_uid
    run("mount", "-t", "tmpfs", "-o", f"size=64k,uid={uid},mode=700", "none", mine)
    try:
        to = (puerto.sendmail, "-f", "shop@example.com", "you@example.net")
        large = by(SHOP, *to, input=b"Subject: large\n\n" + b"x" * 70 * 1024, check=False)
        assert large.returncode == 75 and b"left for later either" in large.stderr, large
        assert not os.listdir(mine)
        by(SHOP, *to, input=b"Subject: small\n\nx\n")
        puerto.start()
        [message] = final.wait(1)
        assert message["Subject"] == "small"
        wait_for("the folder to be empty", lambda: not os.listdir(mine))
    finally:
        run("umount", "--lazy", mine)


@contextlib.contextmanager
def silent_file_systems(folders):
    """Mounts on each folder a file system that is a program, which never answers: whoever looks into
    one waits until it is gone, and cannot be killed."""
    libc, programs = ctypes.CDLL(None, use_errno=True), []
    try:
        for folder in folders:
            owner = folder.stat().st_uid
            programs.append(os.open("/dev/fuse", os.O_RDWR))
            options = (f"fd={programs[-1]},rootmode=40000,user_id={owner},group_id={owner},"
                       "allow_other")
            if libc.mount(b"none", bytes(folder), b"fuse", 0, options.encode()):
                raise OSError(ctypes.get_errno(), "mount")
        yield
    finally:
        for program in programs:
            os.close(program)
        for folder in folders:
            run("umount", "--lazy", folder, check=False)


def test_file_systems_that_never_answer_hold_nobody_up(world):
    if not os.path.exists("/dev/fuse"):
        raise Skipped("/dev/fuse")
    final = final_postfix(world)
    puerto = stopped(world)
    with silent_file_systems([folder_of(puerto, user) for user in (OTHER, "daemon")]):
        by(SHOP, puerto.sendmail, "-f", "shop@example.com", "you@example.net", input=b"x\n")
        told = puerto.command("mailq", check=False, timeout=20)
        assert told.returncode == 75 and b": 1;" in told.stderr, told
        puerto.start()
        final.wait(1)
        for user in (OTHER, "daemon"):
            puerto.says(f"drop folder of uid {pwd.getpwnam(user).pw_uid}: it is a file system")
        puerto.stop()


def test_users_newer_than_the_daemon_have_a_folder_when_it_is_down(world):
    final = final_postfix(world)
    puerto = stopped(world)
    puerto.start()
    senders = ("late", "later")
    for user in senders:
        run("useradd", "--no-create-home", user)
    to = (puerto.sendmail, "-f", "late@example.com", "you@example.net")
    by("late", *to, input=b"x\n")
    wait_for("the folder of who has sent", lambda: folder_of(puerto, "late").is_dir())
    assert not folder_of(puerto, "later").exists()
    puerto.stop()
    wait_for("the folder of who has not", lambda: folder_of(puerto, "later").is_dir())
    for user in senders:
        by(user, *to, input=b"x\n")
        assert len(waiting(puerto, user)) == 1
    puerto.start()
    final.wait(3)
