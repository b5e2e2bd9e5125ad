"""Runs the interoperability tests: `run.py [--jobs N] [NAME…]`.

Each test is a function `test_…` of a module `test_*.py` beside this file. It gets
a `World`, whose peers are stopped and whose folder is removed when it ends; after
a failure the folder is kept and named. Must run as root. Modules run side by side,
each in a network namespace of its own that has nothing but loopback: no test can
reach further; and with process ids of its own: no test meets another's processes, and
none outlives its module. The tests of one module run one after the other. One that
does not end in `LONGEST` seconds says where it stands, and has failed.
"""

import argparse
import faulthandler
import importlib
import pathlib
import resource
import subprocess
import sys
import threading
import time
import traceback

from peers import Skipped, World

HERE = pathlib.Path(__file__).parent
LONGEST = 600
BEGUN = "  begun: "
CLOSING = "passed and failed:"
FAILED = "  failed: "


def discover(wanted):
    """The tests by module, those of the largest first: they take longest."""
    found = {}
    for path in sorted(HERE.glob("test_*.py"), key=lambda path: -path.stat().st_size):
        for name, function in vars(importlib.import_module(path.stem)).items():
            chosen = not wanted or any(word in f"{path.stem}.{name}" for word in wanted)
            if name.startswith("test_") and callable(function) and chosen:
                found.setdefault(path.stem, []).append((f"{path.stem}.{name}", function))
    return found


def run_here(tests):
    """Runs tests in this namespace; a line for each, and what to count at the end."""
    passed, failed = 0, []
    for name, function in tests:
        title = name.removeprefix("test_").replace(".test_", ": ").replace("_", " ")
        started = time.monotonic()
        print(f"{BEGUN}{name}", flush=True)
        faulthandler.dump_traceback_later(LONGEST, exit=True)
        world = World()
        try:
            figures = function(world)
            seconds = f"{time.monotonic() - started:.1f} s"
            print(f"  {title} … ok ({seconds}{', ' + figures if figures else ''})", flush=True)
            passed += 1
            world.close()
        except Skipped as why:
            print(f"  {title} … skipped: {why}", flush=True)
            world.close()
        except KeyboardInterrupt:
            world.close()
            print(f"  {title} … broken off", flush=True)
            sys.exit(130)
        except Exception:  # a test may fail in any way; the others still run
            world.close(keep=True)
            print(f"  {title} … FAILED\n{traceback.format_exc()}"
                  f"    what it left: {world.folder}", flush=True)
            failed.append(name)
    faulthandler.cancel_dump_traceback_later()
    print(f"{CLOSING} {passed} {len(failed)}", flush=True)
    for name in failed:
        print(f"{FAILED}{name}", flush=True)


class Workers:
    """Modules that run side by side."""

    def __init__(self, modules, wanted):
        self.modules, self.wanted = list(modules), wanted
        self.passed, self.failed, self.names = 0, 0, []
        self.lock = threading.Lock()

    def work(self):
        while True:
            with self.lock:
                if not self.modules:
                    return
                module = self.modules.pop(0)
            self.run_module(module)

    def run_module(self, module):
        # The shell is their first process: it sees to those whose parents have ended.
        process = subprocess.Popen(
            ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc",
             "sh", "-c", 'ip link set lo up; "$@"; exit $?', "sh", sys.executable, __file__, "--module", module, *self.wanted],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace")
        is_counted, begun = False, module
        for line in process.stdout:
            with self.lock:
                if line.startswith(CLOSING):
                    passed, failed = line[len(CLOSING):].split()
                    self.passed, self.failed = self.passed + int(passed), self.failed + int(failed)
                    is_counted = True
                elif line.startswith(BEGUN):
                    begun = line.removeprefix(BEGUN).strip()
                elif line.startswith(FAILED):
                    self.names.append(line.removeprefix(FAILED).strip())
                else:
                    print(line, end="", flush=True)
        if process.wait() != 0 or not is_counted:
            with self.lock:
                print(f"  {begun} ended its whole module", flush=True)
                self.failed += 1
                self.names.append(module)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--jobs", type=int, default=1)
    arguments.add_argument("--module")
    arguments.add_argument("wanted", nargs="*")
    given = arguments.parse_args()
    # Some tests are peers with a thousand connections, and a login's limit is as low.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    found = discover(given.wanted)
    if given.module:
        run_here(found.get(given.module, []))
        return 0
    workers = Workers(found, given.wanted)
    threads = [threading.Thread(target=workers.work) for _ in range(max(1, given.jobs))]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except KeyboardInterrupt:
        # The modules have heard it too, and stop what they started.
        workers.modules.clear()
        for thread in threads:
            thread.join()
        return 130
    passed, failed = workers.passed, list(workers.names)
    if failed and given.jobs > 1:
        # Another test may have been in its way: what fails alone as well has failed.
        print(f"again, alone: {', '.join(failed)}", flush=True)
        alone = Workers([], [])
        for name in failed:
            alone.wanted = [name]
            alone.run_module(name.split(".")[0])
        passed, failed = passed + alone.passed, alone.names
    for name in failed:
        print(f"{FAILED}{name}")
    print(f"{passed} passed, {len(failed)} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
