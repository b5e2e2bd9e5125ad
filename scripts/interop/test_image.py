"""The container image: that its layout is what the OCI demands, and that what is in it runs as
its configuration says, in namespaces instead of an engine, and brings mail to a Postfix."""

import contextlib
import gzip
import hashlib
import json
import os
import pathlib
import socket
import subprocess
import tarfile

from peers import FINAL_ADDRESS, final_postfix, run, wait_for

SCRIPT = pathlib.Path(__file__).parents[1] / "package-image"
USER = 65532
CONTAINER = """
set -e
mount --bind "$1" "$1"
cd "$1"
mkdir -p proc dev
mount -t proc proc proc
mount --rbind /dev dev
mount --bind "$2" etc/puerto/puerto.toml
mount --bind "$3" var/lib/puerto
mount -o remount,bind,ro .
mount -t tmpfs -o uid=65532,gid=65532 tmpfs run/puerto
hostname mail.example.com
exec env -i PATH=/usr/bin:/usr/sbin chroot --userspec=65532:65532 --groups= . /usr/bin/puerto serve
"""


class Image:
    """What the script makes of the program under test, read as an engine reads it."""

    def __init__(self, folder):
        made = run(SCRIPT, "--into", folder, os.environ["PUERTO_BINARY"],
                   env=os.environ | {"SOURCE_DATE_EPOCH": "1790000000"})
        self.archive = pathlib.Path(made.stdout.decode().split()[-1])
        self.folder = self.archive.with_suffix("")
        self.index = json.loads((self.folder / "index.json").read_text())
        self.manifest = json.loads(self.blob(self.index["manifests"][0]))
        self.config = json.loads(self.blob(self.manifest["config"]))

    def blob(self, descriptor):
        digest = descriptor["digest"].removeprefix("sha256:")
        octets = (self.folder / "blobs/sha256" / digest).read_bytes()
        assert hashlib.sha256(octets).hexdigest() == digest and len(octets) == descriptor["size"], descriptor
        return octets

    def unpack(self, place):
        for layer in self.manifest["layers"]:
            packed = place.parent / "layer"
            packed.write_bytes(gzip.decompress(self.blob(layer)))
            run("tar", "-xpf", packed, "-C", place, "--numeric-owner")


def test_the_layout_is_what_the_oci_demands(world):
    image = Image(world.folder)
    assert json.loads((image.folder / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    kind = "application/vnd.oci.image."
    assert image.index["schemaVersion"] == image.manifest["schemaVersion"] == 2
    assert image.index["mediaType"] == kind + "index.v1+json"
    assert image.index["manifests"][0]["mediaType"] == image.manifest["mediaType"] == kind + "manifest.v1+json"
    assert image.manifest["config"]["mediaType"] == kind + "config.v1+json"
    plain = [gzip.decompress(image.blob(layer)) for layer in image.manifest["layers"]]
    assert all(layer["mediaType"] == kind + "layer.v1.tar+gzip" for layer in image.manifest["layers"])
    assert image.config["rootfs"] == {
        "type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(one).hexdigest() for one in plain]}
    assert len(image.config["history"]) == len(plain)
    asked = image.config["config"]
    assert asked["User"] == "65532:65532" and asked["Volumes"] == {"/var/lib/puerto": {}}
    known = {descriptor["digest"][7:] for descriptor in
             (*image.index["manifests"], image.manifest["config"], *image.manifest["layers"])}
    assert {path.name for path in (image.folder / "blobs/sha256").iterdir()} == known
    with tarfile.open(image.archive) as archive:
        assert {"oci-layout", "index.json"} <= set(archive.getnames())
    (world.folder / "again").mkdir()
    again = Image(world.folder / "again")
    assert again.archive.read_bytes() == image.archive.read_bytes(), "the same octets"


class Container:
    """What is in the image, as its configuration says: its user, its command, a volume, a
    configuration mounted over its own, and all else read-only."""

    def __init__(self, world, configuration):
        self.image = Image(world.folder)
        self.root, self.volume = world.folder / "rootfs", world.folder / "volume"
        self.root.mkdir()
        self.image.unpack(self.root)
        self.volume.mkdir(mode=0o700)
        os.chown(self.volume, USER, USER)
        self.file = world.folder / "mounted.toml"
        self.file.write_text((self.root / "etc/puerto/puerto.toml").read_text() + configuration)
        self.output = open(world.folder / "container.log", "wb+")
        self.process = subprocess.Popen(
            ["unshare", "-m", "-p", "-u", "-f", "--kill-child", "--propagation", "private", "sh", "-c", CONTAINER,
             "container", self.root, self.file, self.volume], stdout=self.output, stderr=self.output)
        world.add(self)

    def log(self):
        return pathlib.Path(self.output.name).read_text(errors="replace")

    def pid(self):
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return children[0]

    def run(self, *command, **options):
        """A command in it, as its user, as a health check or `exec` runs one."""
        return run("nsenter", "-t", self.pid(), "-m", "-p", "-u", "--root", "--wd", "-S", str(USER), "-G", str(USER),
                   *command, **options)

    def stop(self):
        self.process.kill()
        self.process.wait()


def takes_mail():
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", 2525), 1) as client:
        return client.recv(100).startswith(b"220")
    return False


def test_it_runs_as_its_own_user_and_brings_mail_to_a_postfix(world):
    postfix = final_postfix(world)
    # Behind the tables of the image's own file: keys of the top stand in front of them.
    container = Container(world, f'\n[[route]]\nto = "example.net"\nvia = "[{FINAL_ADDRESS}]:25"\n')
    wait_for("the container", takes_mail)
    status = pathlib.Path(f"/proc/{container.pid()}/status").read_text()
    assert f"Uid:\t{USER}\t{USER}\t{USER}\t{USER}" in status, status
    assert "CapEff:\t0000000000000000" in status, status
    health = container.image.config["config"]["Healthcheck"]["Test"]
    assert health[0] == "CMD" and container.run(*health[1:]).returncode == 0
    with socket.create_connection(("127.0.0.1", 2525)) as client, client.makefile("rwb") as talk:
        for line in (b"", b"EHLO app.example.com", b"MAIL FROM:<app@example.com>", b"RCPT TO:<ana@example.net>",
                     b"DATA", b"Subject: by SMTP\r\n\r\nhello\r\n.", b"QUIT"):
            if line:
                talk.write(line + b"\r\n")
                talk.flush()
            while (reply := talk.readline())[3:4] == b"-":
                pass
            assert reply[:1] in b"23", (line, reply, container.log())
    container.run("/usr/sbin/sendmail", "-i", "eva@example.net", input=b"Subject: from inside\n\nhello\n")
    postfix.wait(2)
    # What waits and what was is in the volume, and nowhere else.
    assert (container.volume / "spool").is_dir()
    assert oct((container.volume).stat().st_mode & 0o777) == "0o700"
    os.kill(int(container.pid()), 15)
    assert container.process.wait(30) == 0, container.log()
