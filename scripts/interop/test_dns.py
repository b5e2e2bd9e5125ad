"""What `puerto dns` proposes, judged and taken over by BIND."""

import hashlib
import json
import os
import pty
import re
import shutil
import subprocess

from peers import (DNS_ADDRESS, SENDER_ADDRESS, Process, Puerto, Skipped, Unbound, listens, run,
                   wait_for)

SIGNED_ADDRESS, RESOLVER_ADDRESS = "127.0.0.72", "127.0.0.71"

ZONE = """$ORIGIN example.com.
$TTL 3600
@ IN SOA ns.example.com. hostmaster.example.com. 1 7200 900 1209600 300
@ IN NS ns.example.com.
ns IN A 127.0.0.53
"""


class Bind(Process):
    """The server of example.com, which takes updates that the key signs."""

    def __init__(self, world, records="", algorithm="hmac-sha256", address=DNS_ADDRESS,
                 closed=(), signed=False):
        """`closed` are zones more, which take no updates; `signed`: BIND signs example.com."""
        policy = "  dnssec-policy default; inline-signing yes;\n" if signed else ""
        folder = world.folder / "bind"
        folder.mkdir()
        self.key = folder / "update.key"
        self.key.write_bytes(run("tsig-keygen", "-a", algorithm, "update.example.com").stdout)
        self.zone = folder / "example.com.zone"
        self.zone.write_text(ZONE.replace(DNS_ADDRESS, address) + records)
        (folder / "named.conf").write_text(
            f'options {{ directory "{folder}"; pid-file "{folder}/pid"; recursion no;\n'
            f'  listen-on port 53 {{ {address}; }}; listen-on-v6 {{ none; }};\n'
            f'  session-keyfile "{folder}/session.key"; dnssec-validation no; notify no; }};\n'
            f'controls {{ }};\ninclude "{self.key}";\n'
            f'zone "example.com" {{ type primary; file "{self.zone}"; \n{policy}'
            '  allow-update { key "update.example.com"; }; };\n'
            f'zone "192.in-addr.arpa" {{ type primary; file "{folder}/reverse";\n'
            '  allow-update { key "update.example.com"; }; };\n'
            + "".join(f'zone "{zone}" {{ type primary; file "{folder}/closed"; }};\n'
                      for zone in closed))
        for file in ("reverse", "closed"):
            self.empty_zone(folder / file)
        self.serve(world, folder, address)

    @staticmethod
    def empty_zone(file):
        file.write_text(
            "$TTL 60\n@ IN SOA ns.example.com. hostmaster.example.com. 1 7200 900 1209600 60\n"
            "@ IN NS ns.example.com.\n")

    def serve(self, world, folder, address):
        # BIND listens only at addresses that an interface is seen to have.
        run("ip", "address", "add", f"{address}/8", "dev", "lo", check=False)
        self.start_process(["named", "-g", "-c", folder / "named.conf"], folder / "log")
        world.add(self)
        wait_for("BIND", lambda: self.process.poll() is None and listens(address, 53))

    def texts(self, name):
        """The TXT records of a name, each as one string."""
        lines = run("dig", "+short", "+tcp", f"@{DNS_ADDRESS}", name, "TXT").stdout.decode()
        return ["".join(re.findall(r'"((?:[^"\\]|\\.)*)"', line)) for line in lines.splitlines()]


def test_a_tlsa_record_is_published_by_update_and_an_old_one_goes_when_the_new_is_there(world):
    bind = Bind(world, f"@ IN MX 10 mail\nmail IN A {SENDER_ADDRESS}\n", address=SIGNED_ADDRESS,
                signed=True)

    def dig(name, kind):
        return run("dig", "+noall", "+answer", "+tcp", f"@{SIGNED_ADDRESS}", name,
                   kind).stdout.decode()

    anchor = world.folder / "anchor"
    anchor.write_text(wait_for("the keys of the zone", lambda: dig("example.com", "DNSKEY")))
    wait_for("signatures", lambda: "RRSIG" in run(
        "dig", "+dnssec", "+noall", "+answer", f"@{SIGNED_ADDRESS}", "mail.example.com",
        "A").stdout.decode())
    unbound = Unbound(world, [], stubs={"example.com": SIGNED_ADDRESS}, anchors=[anchor],
                      address=RESOLVER_ADDRESS)
    certificate, key = world.authority.issue("mail.example.com")
    puerto = Puerto(world, start=False,
                    sections=f'[tls]\ncertificate = "{certificate}"\nkey = "{key}"\n')
    world.running.remove(puerto)
    text = puerto.configuration.read_text()
    puerto.configuration.write_text(text.replace(f'"{DNS_ADDRESS}:53"', f'"{RESOLVER_ADDRESS}"'))

    def publish():
        puerto.command("--lang", "en", "dns", "example.com", "--egress", SENDER_ADDRESS,
                       "--update", SIGNED_ADDRESS, "--key", bind.key, "--yes")
        # What was published before is in its cache.
        unbound.stop()
        unbound.start()
        lines = dig("_25._tcp.mail.example.com", "TLSA").splitlines()
        return {line.split(maxsplit=7)[7].replace(" ", "").lower() for line in lines}

    def digest():
        public = run("openssl", "pkey", "-in", key, "-pubout", "-outform", "DER").stdout
        return hashlib.sha256(public).hexdigest()

    old = digest()
    assert publish() == {old}
    world.authority.issue("mail.example.com")
    assert digest() != old
    assert publish() == {old, digest()}, "senders may still have the old one"
    assert publish() == {digest()}


def with_keys(world):
    puerto = Puerto(world, start=False)
    world.running.remove(puerto)  # the daemon itself is never started
    for kind in ("rsa", "ed25519"):
        puerto.command("dkim", "new", "example.com", "--selector", kind, "--type", kind)
    return puerto


def dns(puerto, *arguments, **options):
    return puerto.command("--lang", "en", "dns", "example.com", *arguments,
                          "--egress", "192.0.2.25", **options)


def plan(puerto):
    return json.loads(dns(puerto, "--format", "json").stdout)


def to_do(puerto):
    return [(r["name"], r["type"], r["state"]) for r in plan(puerto)["records"]
            if r["state"] != "keep"]


def test_named_checkzone_accepts_the_zone_format(world):
    Bind(world, "ns2 IN A 127.0.0.54\n@ IN NS ns2\n@ IN NS ns.elsewhere.invalid.\n")
    puerto = with_keys(world)
    lines = dns(puerto, "--format", "zone").stdout.decode()
    assert lines.count("_domainkey.example.com. 3600 IN TXT") == 2, lines
    # As it is printed; behind the zone that exists; and included in it.
    printed = world.folder / "printed.zone"
    printed.write_text(lines)
    behind = world.folder / "behind.zone"
    behind.write_text(ZONE + lines)
    including = world.folder / "including.zone"
    including.write_text(ZONE + f'$INCLUDE "{printed}"\n')
    for file in (printed, behind, including):
        run("named-checkzone", "-k", "fail", "example.com", file)
    spanish = puerto.command("--lang", "es", "dns", "example.com", "--egress", "192.0.2.25",
                             "--format", "zone").stdout
    printed.write_bytes(spanish)
    run("named-checkzone", "example.com", printed)


def test_a_zone_that_is_not_published_yet_is_a_zone_file_too(world):
    bind = Bind(world)
    puerto = with_keys(world)
    done = puerto.command("--lang", "en", "dns", "new.example.com", "--egress", "192.0.2.25",
                          "--format", "zone")
    printed = world.folder / "printed.zone"
    printed.write_bytes(done.stdout)
    run("named-checkzone", "example.com", printed)
    bind.stop()


def test_a_domain_is_published_from_nothing_and_then_nothing_is_to_do(world):
    bind = Bind(world, algorithm="hmac-sha512")
    puerto = with_keys(world)
    assert len(to_do(puerto)) == 7, to_do(puerto)
    update = ("--update", DNS_ADDRESS, "--key", bind.key)
    refused = dns(puerto, *update, check=False)
    assert refused.returncode == 2 and b"--yes" in refused.stderr, refused
    assert len(to_do(puerto)) == 7
    dns(puerto, *update, "--yes")
    assert to_do(puerto) == []
    assert bind.texts("example.com") == ["v=spf1 ip4:192.0.2.25 ~all"]
    keys = json.loads(puerto.command("dkim", "list", "--json").stdout)["keys"]
    assert len(keys) == 2
    for key in keys:
        assert bind.texts(key["name"]) == [key["record"]]
    again = dns(puerto, *update, "--yes")
    assert again.stderr == b"" and b"Nothing to do" in again.stdout, again


def test_records_that_exist_are_merged_and_others_stay(world):
    bind = Bind(world, (
        '@ IN TXT "v=spf1 include:_spf.example.com -all"\n'
        '@ IN TXT "v=spf1 ip4:198.51.100.1 -all"\n'
        '@ IN TXT "site-verification=1"\n'
        '_spf IN TXT "v=spf1 mx a:ns.example.com ~all"\n'
        '@ IN MX 5 ns.example.com.\n'
        '_dmarc IN TXT "v=DMARC1; p=reject"\n'))
    puerto = with_keys(world)
    found = plan(puerto)
    spf = [r for r in found["records"] if r["name"] == "example.com" and r["type"] == "TXT"]
    assert [r["state"] for r in spf] == ["change", "delete"], spf
    assert found["lookups"] == {"before": None, "after": 3}, found["lookups"]
    dns(puerto, "--update", f"{DNS_ADDRESS}:53", "--key", bind.key, "--yes")
    assert sorted(bind.texts("example.com")) == [
        "site-verification=1",
        "v=spf1 include:_spf.example.com ip4:198.51.100.1 ip4:192.0.2.25 -all"]
    assert bind.texts("_dmarc.example.com") == [
        "v=DMARC1; p=reject; rua=mailto:postmaster@example.com"]
    assert to_do(puerto) == []


def test_a_wrong_key_and_a_dead_server_change_nothing(world):
    bind = Bind(world)
    puerto = with_keys(world)
    wrong = world.folder / "wrong.key"
    wrong.write_bytes(run("tsig-keygen", "-a", "hmac-sha256", "update.example.com").stdout)
    done = dns(puerto, "--update", DNS_ADDRESS, "--key", wrong, "--yes", check=False)
    assert done.returncode == 69 and bind.texts("example.com") == [], done
    assert b"BADSIG" in done.stderr, done
    unknown = world.folder / "unknown.key"
    unknown.write_bytes(run("tsig-keygen", "other.example.com").stdout)
    done = dns(puerto, "--update", DNS_ADDRESS, "--key", unknown, "--yes", check=False)
    assert done.returncode == 69 and b"BADKEY" in done.stderr, done
    bind.stop()
    done = dns(puerto, "--update", DNS_ADDRESS, "--key", bind.key, "--yes", check=False)
    assert done.returncode == 2, done
    done = dns(puerto, "--format", "json", check=False)
    assert done.returncode == 2 and done.stdout == b"", done


def test_what_was_changed_meanwhile_is_not_overwritten(world):
    bind = Bind(world, '@ IN TXT "v=spf1 ip4:198.51.100.1 -all"\n')
    puerto = with_keys(world)
    ours, theirs = pty.openpty()
    command = [puerto.binary, "--config", puerto.configuration, "--lang", "en", "dns", "example.com",
               "--egress", "192.0.2.25", "--update", DNS_ADDRESS, "--key", bind.key]
    with subprocess.Popen([str(word) for word in command], stdin=theirs,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as asked:
        question = b""
        while b"[y/N]" not in question:
            letter = asked.stderr.read(1)
            assert letter, question
            question += letter
        change = f"""server {DNS_ADDRESS}
update delete example.com. TXT
update add example.com. 60 TXT "v=spf1 ip4:198.51.100.2 -all"
send
"""
        run("nsupdate", "-k", bind.key, input=change.encode())
        os.write(ours, b"y\n")
        out, err = asked.communicate(timeout=30)
    assert asked.returncode == 75, (asked.returncode, out, err)
    assert b"changed in the meantime" in err, err
    assert bind.texts("example.com") == ["v=spf1 ip4:198.51.100.2 -all"]
    assert bind.texts("_dmarc.example.com") == []


def test_a_wildcard_is_no_record_of_a_name(world):
    bind = Bind(world, '* IN TXT "v=spf1 -all"\n')
    puerto = with_keys(world)
    dns(puerto, "--update", DNS_ADDRESS, "--key", bind.key, "--yes")
    assert bind.texts("anything.example.com") == ["v=spf1 -all"]
    assert len(bind.texts("rsa._domainkey.example.com")) == 1
    assert to_do(puerto) == []


def test_of_two_zones_it_says_which_was_changed(world):
    bind = Bind(world, closed=["example.net"])
    puerto = with_keys(world)
    text = puerto.configuration.read_text()
    puerto.configuration.write_text(text.replace("mail.example.com", "mail.example.net"))
    update = ("--update", DNS_ADDRESS, "--key", bind.key, "--yes")
    done = dns(puerto, *update, check=False)
    assert done.returncode == 69, done
    for words in (b"refuses to update example.net", b"Changed before that: example.com.",
                  b"Not changed: example.net."):
        assert words in done.stderr, done
    # Now nothing is left to do in the first zone, and nothing was changed.
    done = dns(puerto, *update, check=False)
    assert done.returncode == 69 and b"example.com" not in done.stderr, done
    assert bind.texts("example.com") == ["v=spf1 ip4:192.0.2.25 ~all"]


def test_who_may_not_read_the_keys_is_told_so(world):
    bind = Bind(world)
    puerto = with_keys(world)
    world.folder.chmod(0o755)
    for folder in (puerto.keys, *puerto.keys.rglob("*")):
        folder.chmod(0o700 if folder.is_dir() else 0o600)
    for form in ("fields", "zone", "json"):
        done = run("setpriv", "--reuid=daemon", "--regid=daemon", "--clear-groups", puerto.binary,
                   "--lang", "en", "--config", puerto.configuration, "dns", "example.com",
                   "--egress", "192.0.2.25", "--format", form, check=False)
        assert (done.returncode, done.stdout) == (77, b""), done
        assert b"may not read the keys" in done.stderr and b"no key" not in done.stderr, done
    bind.stop()


def test_clocks_that_differ_are_told_as_that(world):
    if not shutil.which("faketime"):
        raise Skipped("faketime is not installed")
    bind = Bind(world)
    puerto = with_keys(world)
    for skew in ("+20m", "-20m"):
        done = run("faketime", "-f", skew, puerto.binary, "--lang", "en", "dns", "example.com",
                   "--egress", "192.0.2.25", "--update", DNS_ADDRESS, "--key", bind.key, "--yes",
                   "--config", puerto.configuration, check=False)
        assert done.returncode == 69 and b"BADTIME" in done.stderr, done
        assert bind.texts("example.com") == []


class Knot(Process):
    """Another server of example.com that takes updates."""

    def __init__(self, world):
        folder = world.folder / "knot"
        folder.mkdir()
        (folder / "example.com.zone").write_text(ZONE)
        self.key = folder / "update.key"
        lines = run("keymgr", "-t", "update.example.com", "hmac-sha256").stdout.decode()
        self.key.write_text(lines)
        (folder / "knot.conf").write_text(
            f"server:\n  listen: {DNS_ADDRESS}@53\n  rundir: {folder}\n"
            f"database:\n  storage: {folder}\n{lines}"
            "acl:\n  - id: update\n    key: update.example.com\n    action: update\n"
            f"zone:\n  - domain: example.com\n    storage: {folder}\n"
            "    file: example.com.zone\n    acl: update\n")
        run("ip", "address", "add", f"{DNS_ADDRESS}/8", "dev", "lo", check=False)
        self.start_process(["knotd", "-c", folder / "knot.conf"], folder / "log")
        world.add(self)
        wait_for("Knot", lambda: self.process.poll() is None and listens(DNS_ADDRESS, 53))


def test_knot_takes_the_updates_too(world):
    if not shutil.which("knotd"):
        raise Skipped("Knot is not installed")
    knot = Knot(world)
    puerto = with_keys(world)
    dns(puerto, "--update", DNS_ADDRESS, "--key", knot.key, "--yes")
    assert to_do(puerto) == []
    assert Bind.texts(knot, "example.com") == ["v=spf1 ip4:192.0.2.25 ~all"]
    wrong = knot.key.with_name("wrong.key")
    wrong.write_text(run("keymgr", "-t", "update.example.com", "hmac-sha256").stdout.decode())
    run("nsupdate", "-y", nsupdate_key(knot.key), input=f"""server {DNS_ADDRESS}
update delete _dmarc.example.com. TXT
send
""".encode())
    done = dns(puerto, "--update", DNS_ADDRESS, "--key", wrong, "--yes", check=False)
    assert done.returncode == 69 and b"BADSIG" in done.stderr, done
    dns(puerto, "--update", DNS_ADDRESS, "--key", knot.key, "--yes")
    assert to_do(puerto) == []


def nsupdate_key(file):
    """The key of a Knot file as nsupdate takes it."""
    fields = dict(re.findall(r"(id|algorithm|secret): (\S+)", file.read_text()))
    return f"{fields['algorithm']}:{fields['id']}:{fields['secret']}"
