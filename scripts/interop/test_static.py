"""The static program: in a folder that holds nothing else, as the root of all, it runs. And the
tarball that is made of it is what it says.

`PUERTO_STATIC` names it, or `scripts/package-static` has made it; else the tests are skipped."""

import os
import pathlib
import shutil
import subprocess
import tarfile

from peers import Skipped, run

ROOT = pathlib.Path(__file__).parents[2]
BUILT = [ROOT / "target/x86_64-unknown-linux-musl" / profile / "puerto" for profile in ("dist", "release")]


def program():
    named = [pathlib.Path(os.environ["PUERTO_STATIC"])] if "PUERTO_STATIC" in os.environ else BUILT
    found = next((path for path in named if path.is_file()), None)
    if not found:
        raise Skipped("no static program: scripts/package-static makes one")
    return found


def tarball(world):
    made = run(ROOT / "scripts/package-static", "--into", world.folder,
               env=os.environ | {"PUERTO_BINARY": str(program()), "SOURCE_DATE_EPOCH": "1790000000"})
    return pathlib.Path(made.stdout.decode().split()[-1])


def test_it_runs_where_there_is_nothing_else(world):
    empty = world.folder / "empty"
    (empty / "tmp").mkdir(parents=True)
    shutil.copy(program(), empty / "puerto")
    def inside(*arguments):
        done = subprocess.run([shutil.which("chroot"), empty, "/puerto", "--lang", "en", *arguments], capture_output=True, env={})
        assert done.returncode == 0, (arguments, done)
        return done.stdout.decode()

    assert inside("--version").startswith("puerto ")
    assert "[listen]" in inside("config", "sample")
    # A whole Internet, with names, TLS and threads, and without libraries, users or /etc.
    story = inside("lab", "--once")
    assert "mail.lab.example" in story, story


def test_the_tarball_holds_what_its_instructions_name(world):
    archive = tarball(world)
    with tarfile.open(archive) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
        owners = {(one.uid, one.gid) for one in tar.getmembers()}
    assert owners == {(0, 0)}, owners
    for name in ("bin/puerto", "INSTALL.txt", "LEEME-INSTALL.txt", "LICENSE-MIT", "LICENSE-APACHE", "puerto.en.toml",
                 "puerto.es.toml", "share/man/man1/puerto.1", "share/man/es/man1/puerto.1",
                 "share/bash-completion/completions/puerto", "service/usr/lib/systemd/system/puerto.service",
                 "service/usr/lib/systemd/system/puerto.socket"):
        assert name in names, (name, sorted(names))
    place = world.folder / "unpacked"
    place.mkdir()
    run("tar", "-xzf", archive, "-C", place)
    folder = next(place.iterdir())
    assert run(folder / "bin/puerto", "--version").stdout.startswith(b"puerto ")
    first = archive.read_bytes()
    assert tarball(world).read_bytes() == first, "the same octets"
