"""Runs the interoperability tests: `run.py [NAME…]`.

Each test is a function `test_…` of a module `test_*.py` beside this file. It gets
a `World`, whose peers are stopped and whose folder is removed when it ends; after
a failure the folder is kept and named. Must run as root, inside a network
namespace that has nothing but loopback.
"""

import importlib
import pathlib
import sys
import time
import traceback

from peers import Skipped, World

HERE = pathlib.Path(__file__).parent


def discover(wanted):
    for path in sorted(HERE.glob("test_*.py")):
        module = importlib.import_module(path.stem)
        for name, function in vars(module).items():
            chosen = not wanted or any(word in f"{path.stem}.{name}" for word in wanted)
            if name.startswith("test_") and callable(function) and chosen:
                yield f"{path.stem[5:]}: {name[5:].replace('_', ' ')}", function


def main():
    passed, failed = 0, []
    for title, function in discover(sys.argv[1:]):
        print(f"  {title} … ", end="", flush=True)
        started = time.monotonic()
        world = World()
        try:
            figures = function(world)
            print(f"ok ({time.monotonic() - started:.1f} s{', ' + figures if figures else ''})")
            passed += 1
            world.close()
        except Skipped as why:
            print(f"skipped: {why}")
            world.close()
        except Exception:  # a test may fail in any way; the others still run
            print("FAILED")
            traceback.print_exc()
            world.close(keep=True)
            print(f"    what it left: {world.folder}")
            failed.append(title)
    for title in failed:
        print(f"  failed: {title}")
    print(f"{passed} passed, {len(failed)} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
