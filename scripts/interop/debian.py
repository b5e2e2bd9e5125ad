"""A machine with nothing but Debian on it: an overlay over one of the roots that
`scripts/debian-roots` makes, with systemd running in it or without."""

import contextlib
import os
import pathlib
import subprocess

from peers import Skipped, run, wait_for

ROOTS = pathlib.Path(__file__).parents[2] / "target/tools/roots"

BOOT = """
set -e
cd "$1"
mount -t tmpfs tmpfs over
mkdir over/upper over/work over/root
mount -t overlay overlay -o lowerdir="$2",upperdir=over/upper,workdir=over/work over/root
cd over/root
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
for node in null zero full random urandom tty; do
    touch dev/$node
    mount --bind /dev/$node dev/$node
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
hostname vps5
if [ "$3" = booted ]; then
    mount -t cgroup2 cgroup2 sys/fs/cgroup
    # What a machine without terminals and disks has no use for.
    for unit in console-getty.service systemd-modules-load.service getty.target apt-daily.timer \\
        apt-daily-upgrade.timer e2scrub_reap.service; do
        ln -sf /dev/null etc/systemd/system/$unit
    done
    exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=test chroot . /sbin/init </dev/null
fi
exec chroot . sleep infinity
"""


class Debian:
    """A throw-away machine; it shares the network of the test."""

    def __init__(self, world, release, booted):
        self.root = ROOTS / release
        if not self.root.is_dir():
            why = ROOTS / f"{release}.why"
            raise Skipped(why.read_text().strip() if why.exists() else "scripts/debian-roots has not been run")
        self.folder = world.folder / release
        (self.folder / "over").mkdir(parents=True)
        self.cgroups = self.folder / "cgroups"
        self.group = self.cgroups / f"puerto-test-{world.folder.name}"
        self.process = None
        world.add(self)
        enter = None
        if booted:
            self.make_group()
            # The first process of the machine sees its own group as the whole tree.
            enter = lambda: (self.group / "cgroup.procs").write_text(str(os.getpid()))
        with open(self.folder / "console", "w") as console:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "--uts", "--ipc", "--pid", *["--cgroup"] * booted, "--fork",
                 "--kill-child", "--propagation", "private", "sh", "-c", BOOT, "boot",
                 self.folder, self.root, "booted" if booted else "bare"],
                preexec_fn=enter, stdin=subprocess.DEVNULL, stdout=console, stderr=console)
        name = "systemd" if booted else "sleep"
        try:
            self.pid = wait_for("the first process", lambda: self.first_process(name))
            if booted:
                wait_for("systemd", self.is_booted, 60)
        except AssertionError as error:
            raise Skipped(f"no throw-away machine here: {error}\n{self.console()}") from error

    def make_group(self):
        self.cgroups.mkdir()
        try:
            run("mount", "-t", "cgroup2", "cgroup2", self.cgroups)
            self.group.mkdir()
        except (AssertionError, OSError) as error:
            raise Skipped(f"systemd needs a control group of its own: {error}") from error

    def is_booted(self):
        done = self.run("systemctl", "is-system-running", check=False)
        return done.stdout.strip() in (b"running", b"degraded")

    def console(self):
        return (self.folder / "console").read_text(errors="replace").strip()

    def first_process(self, name):
        if self.process.poll() is not None:
            raise Skipped(f"no throw-away machine here: {self.console()}")
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        for pid in children.read_text().split():
            with contextlib.suppress(OSError):
                if pathlib.Path(f"/proc/{pid}/comm").read_text() == f"{name}\n":
                    return int(pid)
        return None

    def inside(self, *command):
        return ["nsenter", "-t", str(self.pid), "-m", "-u", "-i", "-p", "-C", "--root", "--wd",
                "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8",
                *map(str, command)]

    def run(self, *command, **options):
        options.setdefault("stdin", subprocess.DEVNULL)
        if "input" in options:
            del options["stdin"]
        return run(*self.inside(*command), **options)

    def shell(self, text, **options):
        """What a shell says of a line, on both ways."""
        done = self.run("sh", "-c", text, **options)
        return (done.stdout + done.stderr).decode()

    def at(self, path):
        return pathlib.Path(f"/proc/{self.pid}/root{path}")

    def apt(self, *words, **options):
        return self.shell("DEBIAN_FRONTEND=noninteractive apt-get --yes "
                          + "--no-install-recommends " + " ".join(map(str, words)), **options)

    def bring(self, package):
        """Copies a package into the machine, under the name that apt takes for a file."""
        place = f"/root/{package.name}"
        self.run("tee", place, input=package.read_bytes())
        return place

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait(20)
        if self.cgroups.exists():
            for folder in sorted(self.group.rglob("*/"), reverse=True):
                with contextlib.suppress(OSError):
                    folder.rmdir()
            with contextlib.suppress(OSError):
                self.group.rmdir()
            run("umount", self.cgroups, check=False)
            self.cgroups.rmdir()
