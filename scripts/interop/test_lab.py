"""`puerto lab --nodes`: several nodes and a database of their own on this machine, of which
nothing stays, whatever happens to it."""

import json
import os
import pathlib
import pwd
import signal
import subprocess
import time

from cluster import server_programs
from peers import UNPRIVILEGED, run, wait_for

AS_USER = ["setpriv", f"--reuid={UNPRIVILEGED}", "--regid=nogroup", "--clear-groups"]


class Lab:
    """A lab that runs in a folder for temporary things of its own."""

    def __init__(self, world, *arguments, prefix=()):
        server_programs()
        self.folder = world.folder / "temporary"
        self.folder.mkdir(exist_ok=True)
        self.folder.chmod(0o1777)
        self.process = subprocess.Popen(
            [*prefix, os.environ["PUERTO_BINARY"], "lab", "--nodes", "3", *arguments],
            env=os.environ | {"TMPDIR": str(self.folder)}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
        world.add(self)

    def processes(self):
        """What runs in its folder, or was told of it."""
        found = {}
        for entry in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                command = (entry / "cmdline").read_bytes()
                where = os.readlink(entry / "cwd")
            except OSError:
                continue
            if str(self.folder) in where or str(self.folder).encode() in command:
                found[int(entry.name)] = command.replace(b"\0", b" ").decode(errors="replace")
        return found

    def is_gone(self):
        return not self.processes() and not list(self.folder.iterdir())

    def wait_gone(self):
        wait_for("nothing to be left", self.is_gone, 30)

    def has(self, word):
        return any(word in command for command in self.processes().values())

    def end(self, seconds=180):
        output, errors = self.process.communicate(timeout=seconds)
        assert self.is_gone(), (self.processes(), list(self.folder.rglob("*")))
        return self.process.returncode, output, errors

    def inner(self):
        """The lab's own process below the one that was started."""
        return [pid for pid, command in self.processes().items() if "--kept" in command]

    def only_inner(self):
        """The same, once there is but one of that name: one that it starts has it, too, at first."""
        pids = self.inner()
        return pids[0] if len(pids) == 1 else None

    def stop(self):
        for pid in [self.process.pid, *self.processes()]:
            run("kill", "-9", str(pid), check=False)


def judge(lab):
    code, output, errors = lab.end()
    assert code == 0, (code, errors, output)
    told = json.loads(output)
    assert told["ok"] and told["lost"] == 0, told
    assert told["acknowledged"] == told["arrived"] > 300, told
    assert told["second_copies"] <= told["excused"], told
    steps = {step["step"]: step for step in told["steps"]}
    assert len(steps["delivered"]["tried"]) == 3, steps["delivered"]
    assert "node2" not in steps["taken-over"]["by"], steps["taken-over"]
    assert steps["taken-over"]["seconds"] < 30
    assert steps["client"]["reply"].startswith("451 ")
    assert steps["sendmail"]["exit"] == 75
    return f"{told['second_copies']} second copies"


def test_nothing_is_lost_and_nothing_stays(world):
    return judge(Lab(world, "--json"))


def test_any_user_may_run_it(world):
    pwd.getpwnam(UNPRIVILEGED)
    return judge(Lab(world, "--json", prefix=AS_USER))


def test_two_at_once_and_people_are_told_in_spanish(world):
    labs = [Lab(world, "--lang", "es"), Lab(world)]
    said = [lab.process.communicate(timeout=240)[0] for lab in labs]
    assert [lab.process.returncode for lab in labs] == [0, 0], said
    assert "perdidas 0, segundas copias" in said[0] and "lost 0, second copies" in said[1], said
    labs[0].wait_gone()


def test_whoever_is_killed_nothing_stays(world):
    for prefix in ((), AS_USER):
        for phase in ("initdb", " serve "):
            for how in ("interrupt", "keeper", "lab", "group"):
                lab = Lab(world, "--json", prefix=prefix)
                wait_for(phase, lambda: lab.has(phase))
                inner = wait_for("one process of the lab itself", lab.only_inner)
                if how == "interrupt":
                    lab.process.send_signal(signal.SIGINT)
                elif how == "keeper":
                    lab.process.kill()
                elif how == "lab":
                    os.kill(inner, signal.SIGKILL)
                else:
                    os.killpg(lab.process.pid, signal.SIGKILL)
                output, errors = lab.process.communicate(timeout=30)
                lab.wait_gone()
                if how == "interrupt":
                    assert lab.process.returncode == 1 and not json.loads(output)["ok"], output
                if how == "lab":
                    assert lab.process.returncode == 69 and "killed" in errors, errors


def test_without_postgresql_it_says_what_to_install(world):
    hidden = ["unshare", "--mount", "sh", "-c",
              'for d in /usr/lib/postgresql /usr/libexec; do [ ! -d $d ] || mount -t tmpfs none $d; done\n'
              'PATH=/usr/sbin exec "$@"', "sh"]
    code, output, errors = Lab(world, prefix=hidden).end(20)
    assert (code, output) == (69, ""), (code, output, errors)
    for word in ("apt install postgresql", "dnf install postgresql-server", "apk add postgresql"):
        assert word in errors, errors


def test_without_room_it_says_so_and_nothing_stays(world):
    small = ["unshare", "--mount", "sh", "-c",
             'mount -t tmpfs -o size=20m,mode=1777 none "$TMPDIR"; "$@"; code=$?\n'
             '[ -z "$(ls -A "$TMPDIR")" ] || exit 99; exit $code', "sh"]
    code, output, errors = Lab(world, prefix=small).end(60)
    # Whether a write fails or is cut short, PostgreSQL gives this advice.
    assert code == 69 and "Check free disk space" in errors, (code, output, errors)


def test_a_narrow_terminal_holds_it(world):
    lab = Lab(world, prefix=["env", "COLUMNS=60", "NO_COLOR=1"])
    code, output, _ = lab.end()
    wide = [line for line in output.splitlines() if len(line) > 60]
    assert code == 0 and not wide and "\x1b" not in output, (code, wide)
