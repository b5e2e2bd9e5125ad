"""Whole machines: each an overlay over this one's files, in namespaces of its own, whose
programs really run and whose changes end with the test. Alone, or on one cable with others."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess

from peers import Process, Skipped, listens, run, wait_for

EGRESS, MX = "203.0.113.5", "198.51.100.9"
# An Internet of its own.
ALONE = (f"ip address add {EGRESS}/32 dev lo; ip address add {MX}/32 dev lo; "
         f"ip route add default dev lo src {EGRESS}")

BOOT = """
set -e
ip link set lo up
eval "$3"
cd "$1"
mount -t tmpfs tmpfs over
mkdir over/upper over/work over/root
mount -t overlay overlay -o lowerdir=/,upperdir=over/upper,workdir=over/work over/root
# What is itself an overlay here has one of its own over it.
for tree in etc usr var; do
    mountpoint -q /$tree || continue
    mkdir over/$tree over/$tree.work
    mount -t overlay overlay -o lowerdir=/$tree,upperdir=over/$tree,workdir=over/$tree.work over/root/$tree
done
mkdir -p over/root/usr/local/bin
touch over/root/usr/local/bin/puerto
mount --bind "$2" over/root/usr/local/bin/puerto
cd over/root
mount -t proc proc proc
mount --rbind /dev dev
mount --rbind /sys sys
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
chmod 1777 tmp
mkdir -p run/systemd/system run/opendkim run/lock
exec chroot . sleep infinity
"""

# What systemd does at these words, as far as setup depends on it.
SYSTEMCTL = """#!/bin/sh
verb=$1; shift
now=; [ "$1" = --now ] && now=yes && shift
unit=${1%.service}
wants=/etc/systemd/system/multi-user.target.wants
start() {
    case $unit in
    postfix) postfix start ;;
    puerto)
        file=/etc/systemd/system/puerto.service
        [ -e $file ] || file=/usr/lib/systemd/system/puerto.service
        command=$(sed -n 's/^ExecStart=//p' $file)
        # With the rights that the unit leaves it, and no others.
        rights=$(sed -n 's/^CapabilityBoundingSet=//p' $file | tr A-Z a-z | sed 's/cap_/+/g; s/ /,/g')
        setpriv --no-new-privs --bounding-set="-all,$rights" setsid $command \\
            </dev/null >>/run/puerto.log 2>&1 &
        echo $! >/run/puerto.pid
        until [ -S /run/puerto/control ]; do sleep 0.1; done ;;
    esac
}
stop() {
    case $unit in
    postfix) postfix stop ;;
    opendkim) kill -KILL $(pidof opendkim) ;;
    puerto)
        kill $(cat /run/puerto.pid)
        # The first process of the machine does not ask what became of others.
        while readlink -q /proc/$(cat /run/puerto.pid)/exe; do sleep 0.1; done >/dev/null
        rm -f /run/puerto/control ;;
    esac
}
case $verb in
enable) ln -sf /etc/systemd/system/$unit.service $wants/; [ -z "$now" ] || start ;;
disable) rm -f $wants/$unit.service; [ -z "$now" ] || stop ;;
restart) stop; start ;;
reload) kill -HUP $(cat /run/puerto.pid) ;;
esac
"""

# What the machine's own resolver knows if nobody else is asked.
ZONES = f"""
    local-data: "example.com. IN SOA ns.example.com. x.example.com. 1 2 3 4 5"
    local-data: "gmail.com. IN MX 10 mx.gmail.com."
    local-data: "mx.gmail.com. IN A {MX}"
    local-data: "5.113.0.203.in-addr.arpa. IN PTR vps5.host.example."
"""


def unbound_settings(address, folder, data):
    """A resolver for which there is nothing in the world but this."""
    return (f"server:\n    interface: {address}\n    access-control: 0.0.0.0/0 allow\n"
            f"    use-syslog: no\n    username: \"\"\n    chroot: \"\"\n    directory: \"{folder}\"\n"
            f"    pidfile: \"{folder}/unbound.pid\"\n    module-config: \"iterator\"\n"
            f"    local-zone: \".\" static\n{data}")


class Cable:
    """One wire with all machines of an Internet on it, and at its end a resolver. Here, too,
    are addresses on it."""

    def __init__(self, world, resolver, addresses, records):
        self.world, self.resolver, self.records = world, resolver, list(records)
        self.hosts, self.machines = {}, []
        # Without an address of its own it takes that of one of its legs, another with each
        # leg, and the others go on sending to the one that they know.
        run("ip", "link", "add", "cable", "address", "02:00:00:00:00:01", "type", "bridge")
        world.add(self)
        run("ip", "link", "set", "cable", "up")
        for address in [resolver, *addresses]:
            run("ip", "address", "add", f"{address}/32", "dev", "cable")
        run("ip", "route", "add", "default", "dev", "cable", "src", resolver)
        self.server = Resolver(world, resolver, self.records)

    def plug(self, machine, address):
        """The machine's leg on it; everybody is met without a router."""
        number = len(self.hosts)
        self.machines.append(machine)
        self.hosts[address] = f"leg{number}"
        run("ip", "link", "add", f"leg{number}", "type", "veth", "peer", "name", "net", "netns",
            str(machine.pid))
        run("ip", "link", "set", f"leg{number}", "master", "cable", "up")
        for words in (f"address add {address}/32 dev net", "link set net up",
                      f"route add default dev net src {address}"):
            machine.run("ip", *words.split())

    def logs(self):
        """What the mail servers on it said last."""
        return "\n".join(f"-- {machine.folder.name}\n{machine.log()[-4000:]}" for machine in self.machines)

    def publish(self, records):
        """From now on the DNS says this, too."""
        self.records += records
        self.server.stop()
        self.server.configure(self.records)
        self.server.start()

    def stop(self):
        # With the namespaces they would go only some time later.
        for leg in self.hosts.values():
            run("ip", "link", "delete", leg, check=False)
        run("ip", "link", "delete", "cable", check=False)


class Resolver(Process):
    """Unbound, which knows these records alone."""

    def __init__(self, world, address, records):
        self.address, self.folder = address, world.folder / "resolver"
        self.folder.mkdir()
        self.configure(records)
        self.start()
        world.add(self)

    def configure(self, records):
        data = "".join(f"    local-data: '{record}'\n" for record in records)
        (self.folder / "unbound.conf").write_text(unbound_settings(self.address, self.folder, data))

    def start(self):
        self.start_process(["unbound", "-d", "-c", self.folder / "unbound.conf"], self.folder / "log")
        wait_for("the resolver", lambda: listens(self.address, 53))


class Machine:
    """A throw-away machine with this one's programs: with an Internet of its own, or at an
    address on a cable."""

    def __init__(self, world, name="machine", cable=None, address=None, hostname="vps5"):
        self.folder = world.folder / name
        (self.folder / "over").mkdir(parents=True)
        binary = world.folder / "puerto-as-installed"
        if not binary.exists():
            shutil.copyfile(os.environ["PUERTO_BINARY"], binary)
            binary.chmod(0o755)
        naming = ["-u"] if cable else []
        self.process = subprocess.Popen(
            ["unshare", "-m", "-n", "-p", "-f", *naming, "--kill-child", "--propagation", "private",
             "sh", "-c", BOOT, "boot", self.folder, binary,
             f"hostname {hostname}" if cable else ALONE], stderr=subprocess.PIPE)
        self.pid = wait_for("the machine", self.first_process)
        world.add(self)
        # What the tests' own machine may have of an earlier life.
        self.run("sh", "-c", "rm -rf /etc/puerto /var/lib/puerto /var/mail/* "
                 "/etc/systemd/system/multi-user.target.wants/puerto.service")
        self.run("umount", "/etc/resolv.conf", check=False)
        self.write("/etc/hostname", f"{hostname}\n".encode())
        self.write("/etc/aliases", b"postmaster: root\n")
        self.write("/usr/bin/systemctl", SYSTEMCTL.encode(), 0o755)
        resolver = cable.resolver if cable else "127.0.0.53"
        self.write("/etc/resolv.conf", f"nameserver {resolver}\n".encode())
        # What is newer than this was written in the test.
        self.write("/run/unbound.conf", unbound_settings(resolver, "/run", ZONES).encode())
        if cable:
            short = hostname.split(".")[0]
            self.write("/etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {hostname} {short}\n".encode())
            self.write("/etc/mailname", f"{hostname}\n".encode())
            cable.plug(self, address)
        else:
            self.run("unbound", "-c", "/run/unbound.conf")

    def first_process(self):
        if self.process.poll() is not None:
            raise Skipped(f"no throw-away machine here: {self.process.stderr.read().decode()}")
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        for pid in children.read_text().split():
            with contextlib.suppress(OSError):
                if pathlib.Path(f"/proc/{pid}/comm").read_text() == "sleep\n":
                    return int(pid)
        return None

    def inside(self, *command):
        return ["nsenter", "-t", str(self.pid), "-m", "-u", "-n", "-p", "--root", "--wd", *map(str, command)]

    def run(self, *command, **options):
        return run(*self.inside(*command), **options)

    def as_user(self, user, *command, **options):
        return self.run("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *command,
                        **options)

    def at(self, path):
        return pathlib.Path(f"/proc/{self.pid}/root{path}")

    def read(self, path):
        file = self.at(path)
        return file.read_text(errors="replace") if file.exists() else ""

    def log(self):
        return self.read("/run/puerto.log") + self.read("/var/log/postfix.log")

    def write(self, path, content, mode=0o644):
        """Anew, so that links of this machine are not followed to the real one."""
        place = self.at(path)
        self.run("rm", "-f", path)
        self.run("mkdir", "-p", str(pathlib.Path(path).parent))
        self.run("tee", path, input=content)
        self.run("chmod", f"{mode:o}", path)
        return place

    def setup(self, *arguments, domain="example.com", check=True):
        done = self.run("puerto", "setup", domain, "--json", "--lang", "en", *arguments,
                        check=check, stdin=subprocess.DEVNULL)
        return json.loads(done.stdout)

    def configure(self, values):
        """Takes the `#` from keys of the file that setup wrote, and gives them other values:
        `key` or `section.key`."""
        section, lines = "", []
        values = dict(values)
        for line in self.read("/etc/puerto/puerto.toml").splitlines():
            if heading := re.fullmatch(r"\[(.*)\]", line):
                section = f"{heading[1]}."
            if (key := re.match(r"#?(\w+) = ", line)) and section + key[1] in values:
                line = f"{key[1]} = {values.pop(section + key[1])}"
            lines.append(line)
        assert not values, f"what setup wrote has no {values}"
        self.write("/etc/puerto/puerto.toml", "\n".join(lines).encode() + b"\n")

    def stop(self):
        # The first process of the namespace takes all others with it.
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.process.wait(20)

    def files(self, *folders):
        found = self.run("find", *folders, "-newer", "/run/unbound.conf", check=False)
        return sorted(found.stdout.decode().split())
