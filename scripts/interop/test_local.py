"""Mailboxes of real users, who do what they like with what is theirs. The users are in a
passwd file that only the daemon's own mount namespace has."""

import contextlib
import fcntl
import itertools
import os
import pathlib
import signal
import socket
import subprocess
import time

from peers import FINAL_ADDRESS, RECORDS, Puerto, Unbound, again_and_again, run, wait_for
from scripted import Client, Sink

USERS = {"ana": 54321, "luis": 54322}
AT_ONCE = '[queue]\nretry = ["1s"]\n'


class House:
    """A daemon in whose world there are ana and luis."""

    def __init__(self, world, mailbox="mbox", sections=AT_ONCE, aliases="", local="", environment=None,
                 mounts=""):
        self.folder = world.folder / "house"
        self.mail = self.folder / "mail"
        self.mail.mkdir(parents=True)
        os.chown(self.mail, 0, 8)
        self.mail.chmod(0o2775)
        passwd = pathlib.Path("/etc/passwd").read_text()
        for name, uid in USERS.items():
            home = self.folder / "home" / name
            home.mkdir(parents=True)
            os.chown(home, uid, uid)
            passwd += f"{name}:x:{uid}:{uid}::{home}:/bin/sh\n"
        (self.folder / "passwd").write_text(passwd)
        (self.folder / "aliases").write_text(aliases)
        mounts = (f"mount --bind {self.folder}/passwd /etc/passwd && "
                  f"mount --bind {self.mail} /var/mail && {mounts.format(self.folder)} "
                  "exec \"$@\"")
        self.puerto = Puerto(
            world, "", f'[local]\nmailbox = "{mailbox}"\naliases = "{self.folder}/aliases"\n'
            f'{local}{sections}', environment=environment,
            prefix=["unshare", "-m", "--propagation", "private", "sh", "-c", mounts, "sh"])

    def home(self, user):
        return self.folder / "home" / user

    def mbox(self, user):
        path = self.mail / user
        return path.read_text(errors="replace") if path.exists() else ""

    def maildir(self, user):
        folder = self.home(user) / "Maildir" / "new"
        return list(folder.iterdir()) if folder.is_dir() else []

    def send(self, *recipients, subject="x", sender="me@example.net"):
        run(self.puerto.sendmail, "-f", sender, *recipients,
            input=f"Subject: {subject}\n\nhi\n".encode())

    def forward(self, user, text):
        path = self.home(user) / ".forward"
        path.write_text(text)
        os.chown(path, USERS[user], USERS[user])

    def processes(self, role):
        """The pids of the agent's processes in one role."""
        found = []
        for folder in pathlib.Path("/proc").iterdir():
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
                same = os.readlink(folder / "ns/mnt") == os.readlink(
                    f"/proc/{self.puerto.process.pid}/ns/mnt")
            except OSError:
                continue
            if same and words[1:3] == [b"local-agent", role.encode()]:
                found.append(int(folder.name))
        return found


def test_a_user_who_locks_the_own_mailbox_keeps_nobody_else_waiting(world):
    Unbound(world, RECORDS)
    house = House(world, sections="")
    house.send("ana@example.com", "luis@example.com", subject="first")
    wait_for("the mailboxes", lambda: "first" in house.mbox("ana") and house.mbox("luis"))
    lock = open(house.mail / "ana", "r+b")
    fcntl.lockf(lock, fcntl.LOCK_EX)
    with Client() as client:
        for number in range(300):
            content = f"Subject: {number}\r\nFrom: me@example.net\r\n\r\nhi\r\n".encode()
            assert client.send(content, f"ana+{number}@example.com").startswith("250")
    begun = time.monotonic()
    house.send("luis@example.com", subject="healthy")
    wait_for("luis's mail", lambda: "healthy" in house.mbox("luis"), 10)
    seconds = time.monotonic() - begun
    wait_for("ana's mail to be put off", lambda: "keeps the mailbox locked" in house.puerto.log())
    assert house.mbox("ana").count("\nSubject: ") == 1
    lock.close()
    wait_for("ana's mail", lambda: house.mbox("ana").count("\nSubject: ") == 301, 60)
    assert "status=bounced" not in house.puerto.log()
    return f"luis waited {seconds:.2f} s"


def test_a_maildir_that_changes_under_a_delivery_harms_its_owner_alone(world):
    Unbound(world, RECORDS)
    house = House(world, "maildir")
    house.send("ana@example.com", "luis@example.com")
    wait_for("the mailboxes", lambda: house.maildir("ana") and house.maildir("luis"))
    folder = house.home("ana") / "Maildir"
    # What a user's own program may do, again and again.
    makers = itertools.cycle([
        lambda path: os.mkfifo(path), lambda path: path.symlink_to("/etc"),
        lambda path: path.write_text(""), lambda path: path.symlink_to("/dev/zero")])

    def exchange():
        (folder / "new").rename(folder / "aside")
        # A delivery may make the folder anew in between, and put mail into it.
        with contextlib.suppress(OSError):
            next(makers)(folder / "new")
            time.sleep(0.02)
            (folder / "new").unlink()
        try:
            (folder / "aside").rename(folder / "new")
        except OSError:
            # One that is under way has the old folder open, and may still put mail there.
            while (folder / "aside").exists():
                for mail in (folder / "aside").iterdir():
                    mail.rename(folder / "new" / mail.name)
                with contextlib.suppress(OSError):
                    (folder / "aside").rmdir()
        time.sleep(0.01)

    with again_and_again(exchange):
        for number in range(100):
            house.send(f"ana+{number}@example.com", "luis@example.com")
        wait_for("luis's mail", lambda: len(house.maildir("luis")) == 101, 30)
    house.puerto.wait_empty(60)
    assert len(house.maildir("ana")) == 101, "what failed was tried again"
    os.rename(folder / "new", folder / "old")
    os.mkfifo(folder / "new")
    house.send("ana@example.com")
    wait_for("a deferral", lambda: "Maildir: Not a directory" in house.puerto.log())
    begun = time.monotonic()
    house.puerto.stop()
    assert time.monotonic() - begun < 10


def test_an_agent_that_is_killed_comes_back(world):
    Unbound(world, RECORDS)
    house = House(world)
    count = 0

    def both():
        pids = sorted(house.processes("agent") + house.processes("overseer"))
        return pids if len(pids) == 2 else []

    # Whichever of the two dies, the other one mends it.
    for which in [1, 0, 1, 0, 0, 1]:
        os.kill(wait_for("both of them", both, 10)[which], signal.SIGKILL)
        house.send("ana@example.com")
        count += 1
        wait_for("ana's mail", lambda: house.mbox("ana").count("\nSubject: ") == count, 20)
    kept = (1 << 5) | (1 << 6) | (1 << 7)  # CAP_KILL, CAP_SETGID, CAP_SETUID
    for pid in wait_for("both of them", both, 10):
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        assert f"CapPrm:\t{kept:016x}" in status and "NoNewPrivs:\t1" in status, status
    house.puerto.stop()
    wait_for("all of them to end",
             lambda: not house.processes("agent") + house.processes("overseer"), 10)


def test_without_agent_and_overseer_a_supervised_daemon_ends_to_be_started_again(world):
    Unbound(world, RECORDS)
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(world.folder / "manager"))
    (world.folder / "manager").chmod(0o666)
    house = House(world, environment={"NOTIFY_SOCKET": str(world.folder / "manager")})
    house.send("ana@example.com")
    wait_for("ana's mail", lambda: house.mbox("ana").count("\nSubject: ") == 1)
    processes = house.processes("agent") + house.processes("overseer")
    assert len(processes) == 2
    for pid in processes:
        os.kill(pid, signal.SIGSTOP)
    for pid in processes:
        os.kill(pid, signal.SIGKILL)
    house.send("ana@example.com")
    assert house.puerto.process.wait(10) == 71
    assert "the mailbox agent and its overseer have ended" in house.puerto.text()
    house.puerto.start()
    wait_for("ana's mail", lambda: house.mbox("ana").count("\nSubject: ") == 2, 30)


def test_a_full_disk_of_one_user_makes_that_users_mail_wait(world):
    Unbound(world, RECORDS)
    house = House(world, mailbox="maildir", mounts=(
        "mount -t tmpfs -o size=512k,mode=0755,uid=54321,gid=54321 tmpfs {0}/home/ana &&"))
    large = "x" * 70 + "\n"
    run(house.puerto.sendmail, "-f", "me@example.net", "ana@example.com", "luis@example.com",
        input=("Subject: large\n\n" + large * 15_000).encode())
    wait_for("luis's mail", lambda: len(house.maildir("luis")) == 1)
    wait_for("the reason", lambda: "No space left on device" in house.puerto.log())
    [line] = [line for line in house.puerto.log().splitlines() if "No space" in line][:1]
    assert "dsn=4.2.2" in line and "status=deferred" in line and "<ana@" in line, line
    run("nsenter", "-t", str(house.puerto.process.pid), "-m", "sh", "-c",
        f"test -z \"$(ls {house.home('ana')}/Maildir/tmp)\" && "
        f"mount -o remount,size=4m {house.home('ana')}")
    house.puerto.wait_empty()
    run("nsenter", "-t", str(house.puerto.process.pid), "-m", "sh", "-c",
        f"test $(ls {house.home('ana')}/Maildir/new | wc -l) = 1")
    assert "status=bounced" not in house.puerto.log()


def test_a_user_who_stops_the_own_deliveries_keeps_nobody_else_waiting(world):
    Unbound(world, RECORDS)
    house = House(world, sections="")
    # A home that cannot be entered stands for one whose disk does not answer: what is
    # stopped here cannot go on, nor be ended by its own clock.
    stopped = set()

    def stop():
        for pid in house.processes("mailbox"):
            with contextlib.suppress(OSError):
                if os.stat(f"/proc/{pid}").st_uid == 0:
                    os.kill(pid, signal.SIGSTOP)
                    stopped.add(pid)

    with again_and_again(stop):
        deadline = time.monotonic() + 20
        while not stopped and time.monotonic() < deadline:
            house.send("ana@example.com")
    assert stopped, "no process was met"
    house.send("luis@example.com", subject="healthy")
    wait_for("luis's mail", lambda: "healthy" in house.mbox("luis"), 10)
    for number in range(20):
        house.send(f"ana+{number}@example.com")
    wait_for("word of it", lambda: "does not answer" in house.puerto.log(), 30)
    assert len(house.processes("mailbox")) <= len(stopped), "no process joins a stuck one"
    wait_for("their end", lambda: not house.processes("mailbox"), 45)
    wait_for("ana's mail", lambda: house.mbox("ana").count("\nSubject: ") >= 21, 90)


def test_aliases_and_forward_files_lead_where_they_say(world):
    Unbound(world, RECORDS)
    sink = Sink(world, FINAL_ADDRESS)
    house = House(world, aliases=(
        "ana: ana@EXAMPLE.com, copy@example.net\nnull: /dev/null\nboth: ana luis # note\n"
        "list: luis, a@example.net\nowner-list: ana\n"))
    house.send("ana@example.com", subject="itself")
    wait_for("both copies", lambda: "itself" in house.mbox("ana") and sink.copies_for(
        "copy@example.net") == 1)
    house.send("null@example.com")
    wait_for("the log", lambda: "thrown away, as the alias `null` says" in house.puerto.log())
    house.send("both@example.com", subject="blanks")
    wait_for("both", lambda: all("blanks" in house.mbox(user) for user in USERS))
    assert "line 3: `both`: `ana luis`: commas separate targets" in house.puerto.log()
    house.send("list@example.com", subject="list")
    wait_for("the list's copy", lambda: sink.copies_for("a@example.net") == 1)
    assert "from=<owner-list@example.com>" in house.puerto.log()
    house.forward("luis", '\\luis, out@example.net, "|/usr/bin/vacation luis"\n')
    house.send("luis@example.com", subject="forwarded")
    wait_for("both", lambda: "forwarded" in house.mbox("luis")
             and sink.copies_for("out@example.net") == 1)
    assert "in the .forward of luis" in house.puerto.log()
    house.forward("luis", "ana\n")
    house.send("luis@example.com", subject="onward")
    wait_for("ana's copy", lambda: "onward" in house.mbox("ana"))
    house.puerto.wait_empty()
    assert "onward" not in house.mbox("luis")
    (house.home("luis") / ".forward").chmod(0o666)
    house.send("luis@example.com", subject="writable")
    wait_for("luis's own copy", lambda: "writable" in house.mbox("luis"))
    house.puerto.says("the .forward of luis is not heeded: everybody may write it")
    addresses = [f"luis+{number}@example.com" for number in range(200)]
    house.send(*addresses, subject="two hundred")
    wait_for("one copy", lambda: "two hundred" in house.mbox("luis"))
    house.puerto.wait_empty()
    assert house.mbox("luis").count("two hundred") == 1
    assert house.mbox("luis").count("Delivered-To: luis+") == 200
    assert "status=bounced" not in house.puerto.log()


def test_a_mailbox_has_a_size(world):
    Unbound(world, RECORDS)
    for mailbox in ["mbox", "maildir"]:
        house = House(world, mailbox, local='mailbox_size = "20KiB"\n')
        for _ in range(3):
            run(house.puerto.sendmail, "-f", "me@example.net", "ana@example.com",
                input=b"Subject: x\n\n" + b"hello world\n" * 700)
        wait_for("a deferral", lambda: "the mailbox is full" in house.puerto.log())
        assert "dsn=4.2.2" in house.puerto.log()
        house.puerto.stop()
        subprocess.run(["rm", "-rf", house.folder, house.puerto.folder], check=True)


def test_what_a_delivery_costs(world):
    Unbound(world, RECORDS)
    figures = []
    for mailbox in ["mbox", "maildir"]:
        house = House(world, mailbox, sections="")
        arrived = {"mbox": lambda: house.mbox("ana").count("\nSubject: "),
                   "maildir": lambda: len(house.maildir("ana"))}[mailbox]
        number = 300
        begun = time.monotonic()
        with Client() as client:
            for _ in range(number):
                content = b"Subject: x\r\nFrom: me@example.net\r\n\r\n" + b"hello\r\n" * 600
                assert client.send(content, "ana@example.com").startswith("250")
        wait_for("all", lambda: arrived() == number, 120)
        figures.append(f"{mailbox}: {(time.monotonic() - begun) / number * 1000:.1f} ms each")
        house.puerto.stop()
        subprocess.run(["rm", "-rf", house.folder, house.puerto.folder], check=True)
    return ", ".join(figures)
