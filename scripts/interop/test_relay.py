"""`puerto relay test` with real Postfix relays: what the name means, TLS and certificates,
logins, addresses, and that no message leaves unless one is asked for."""

import json
import os

from peers import Unbound, final_postfix, run
from relays import PASSWORD, Asker, Relays, records


class Scene(Asker):
    """The relays, the DNS that names them, and whoever asks."""

    def __init__(self, world):
        super().__init__(world)
        Unbound(world, records())
        self.relays = Relays(world)

    def log(self):
        return self.relays.postfix.log()


def problems(document):
    """The problems' names; that the tests' certificates are short-lived is none here."""
    return [p["id"] for p in document["problems"] if p["id"] != "relay.certificate-ends"]


def test_what_the_name_means(world):
    scene = Scene(world)
    for hop, kind, address, port, found in [
        ("[open.example.org]", "host", "127.0.0.41", 25, []),
        ("[open.example.org]:587", "host", "127.0.0.41", 587, []),
        ("[open.example.org]:submission", "host", "127.0.0.41", 587, []),
        ("open.example.org", "mx", "127.0.0.41", 25, []),
        ("open.example.org:587", "mx", "127.0.0.41", 587, []),
        ("smtps://[open.example.org]", "host", "127.0.0.41", 465, []),
        ("smtps://open.example.org", "mx", "127.0.0.41", 465, []),
        ("[127.0.0.41]", "address", "127.0.0.41", 25, ["relay.certificate"]),
        # The MX is elsewhere than the name; and where it is not.
        ("bare.example.org", "mx", "127.0.0.41", 25, ["relay.mx-differs"]),
        ("same.example.org", "mx", "127.0.0.41", 25, []),
        ("[ñandú.example.org]", "host", "127.0.0.59", 25, []),
        ("[xn--and-6ma2c.example.org]", "host", "127.0.0.59", 25, []),
        ("[ipv6:::1]", "address", "::1", 25, ["relay.unreachable"]),
        ("[::1]:587", "address", "::1", 587, ["relay.unreachable"]),
    ]:
        done, document = scene.ask(hop)
        where = [(h["address"], h["port"]) for h in document["hosts"]]
        assert (document["kind"], where, problems(document)) == (kind, [(address, port)], found), \
            (hop, document)
        assert document["implicit_tls"] == hop.startswith("smtps")
        assert done.returncode == (1 if "relay.unreachable" in found else 0), hop
    done, _ = scene.ask("bare.example.org", json_wanted=False)
    assert "write [bare.example.org]" in done.stdout.decode()
    # Of two addresses one is dead: mail gets through all the same.
    done, document = scene.ask("two.example.org")
    assert done.returncode == 0 and "relay.unreachable" in problems(document)
    assert {p["severity"] for p in document["problems"]} == {"warning"}


def test_a_name_that_leads_nowhere(world):
    scene = Asker(world)
    Unbound(world, records())
    for hop, code, words in [
        ("[nowhere.example.org]", 1, "does not exist in the DNS"),
        ("nowhere.example.org", 1, "does not exist in the DNS"),
        ("[only-text.example.org]", 1, "has no address there"),
        ("null.example.org", 1, "null MX"),
        ("dangling.example.org", 1, "has no address"),
        # SERVFAIL says nothing about the relay.
        ("[broken.example.edu]", 2, "the DNS does not say"),
        ("broken.example.edu", 2, "the DNS does not say"),
    ]:
        done, document = scene.ask(hop)
        assert done.returncode == code, (hop, document)
        assert words in document["problems"][0]["seen"], document
        assert document["problems"][0]["id"] == "relay.route" and document["hosts"] == []


def test_what_is_no_relayhost_is_a_wrong_use(world):
    scene = Asker(world)
    for arguments in ([""], ["["], ["[]"], ["a b"], ["[a.example"], ["a.example:"],
                      ["a.example:99999"], ["[a.example]:0"], ["127.0.0.1"], ["::1"],
                      ["http://a.example"], ["[a.example]x"], ["[a.example]", "--from", "x"],
                      ["[a.example]", "--send", "x"], ["[a.example]", "--to", ""], []):
        for language in ("en", "es"):
            done, _ = scene.ask(*arguments, json_wanted=False, language=language)
            assert done.returncode == 2, (arguments, done)
            assert done.stdout == b"" and done.stderr, arguments
    scene.configure('relayhost = "[bad"')
    assert scene.ask(json_wanted=False)[0].returncode == 78


def test_tls_and_certificates(world):
    scene = Scene(world)
    faults = {"open": None, "complete": None, "selfsigned": "self-signed", "expired": "expired",
              "othername": "other-name", "incomplete": "untrusted-issuer"}
    for level in ("opportunistic", "required"):
        scene.configure("", f'tls = "{level}"')
        for name, fault in faults.items():
            done, document = scene.ask(f"[{name}.example.org]")
            [host] = document["hosts"]
            assert host["starttls"] and host["tls"].startswith("TLSv1.3"), document
            assert host["certificate"]["problem"] == fault, (name, document)
            assert problems(document) == (["relay.certificate"] if fault else []), (name, document)
            wrong = fault is not None and level == "required"
            assert done.returncode == int(wrong), (name, level, document)
        done, document = scene.ask("[plain.example.org]")
        assert problems(document) == ["relay.no-tls"]
        assert done.returncode == int(level == "required")
    # Nothing of the library's own language is shown.
    for language in ("en", "es"):
        for name in faults:
            done, _ = scene.ask(f"[{name}.example.org]", json_wanted=False, language=language)
            text = done.stdout.decode()
            assert not any(w in text for w in ("Issuer(", "OtherError", "DnsName", "{")), text
    for hop in ("[open.example.org]:465", "smtps://[open.example.org]:587"):
        done, document = scene.ask(hop)
        assert problems(document) == ["relay.port"] and done.returncode == 1, document


def test_logins(world):
    scene = Scene(world)

    def log_in(name, user="puerto@example.org", password=PASSWORD, *arguments):
        file = world.folder / "password"
        file.write_text(password + "\n")
        file.chmod(0o600)
        scene.configure(f'relayhost = "[{name}.example.org]"\nrelayhost_user = "{user}"\n'
                        f'relayhost_password_file = "{file}"\n')
        done, document = scene.ask(*arguments)
        assert PASSWORD not in done.stdout.decode() + done.stderr.decode()
        return done.returncode, document["hosts"][0], problems(document), document

    code, host, found, _ = log_in("relay")
    assert (code, host["auth"], host["login"]["accepted"]) == (0, ["PLAIN", "LOGIN"], True)
    code, host, found, _ = log_in("login")
    assert (code, host["auth"], host["login"]["accepted"], found) == (0, ["LOGIN"], True, [])
    code, host, found, document = log_in("relay", password="wrong")
    assert (code, host["login"]["accepted"], found) == (1, False, ["relay.login"])
    assert document["problems"][0]["class"] == "login-refused"
    # A login that may not use our address, and then one of its own.
    code, host, found, document = log_in("senders")
    assert (code, host["login"]["accepted"], found) == (1, True, ["relay.sender"])
    assert "puerto@example.org" in document["problems"][0]["remedy"]
    code, _, found, _ = log_in("senders", "puerto@example.org", PASSWORD,
                               "--from", "own@example.com")
    assert (code, found) == (0, [])
    # No TLS: the password is not said.
    before = scene.log().count("AUTH")
    code, host, found, _ = log_in("clear")
    assert (code, host["login"]["accepted"], found) == (1, False, ["relay.no-tls"])
    assert scene.log().count("AUTH") == before
    # No AUTH at all, though there is TLS.
    code, _, found, document = log_in("noauth")
    assert (code, found) == (1, ["relay.login"]) and "587" in document["problems"][0]["remedy"]
    # The login of one relay is not another's.
    done, document = scene.ask("[relay.example.org]")
    assert problems(document) == ["relay.sender"] and done.returncode == 1
    assert document["hosts"][0]["login"]["accepted"] is None
    assert "relayhost_user" in document["problems"][0]["remedy"]


def test_check_has_the_relay_tried_with_its_login_and_sends_nothing(world):
    scene = Scene(world)
    file = world.folder / "password"
    for password, name, section, status, words in [
        (PASSWORD, "relay", "", "pass", "takes our mail, and the login"),
        ("wrong", "relay", "", "finding", "535"),
        # A login that may not use our address.
        (PASSWORD, "senders", "", "finding", "root@example.com"),
        (PASSWORD, "senders", '[sender]\nalways = "own@example.com"\n', "pass", "takes our mail"),
    ]:
        file.write_text(password + "\n")
        file.chmod(0o600)
        scene.configure(f'relayhost = "[{name}.example.org]"\n'
                        'relayhost_user = "puerto@example.org"\n'
                        f'relayhost_password_file = "{file}"\n', section)
        [check] = checked(scene)
        assert check["status"] == status and words in check["seen"], check
    # Whoever may not read the password is told so, and no login fails for it.
    before = scene.log().count("AUTH")
    [check] = checked(scene, "setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
    assert check["status"] == "unknown" and "run it as root" in check["seen"], check
    assert check["remedy"] == "puerto relay test" and scene.log().count("AUTH") == before
    assert "data=" not in scene.log()


def checked(scene, *prefix):
    done = run(*prefix, scene.binary, "check", "--config", scene.file, "--only", "net.relay",
               "--json", check=False, env=os.environ | {"SSL_CERT_FILE": str(scene.authority)})
    wanted = [c for c in json.loads(done.stdout)["checks"] if "certificate" not in c["seen"]]
    return wanted


def test_addresses_and_size(world):
    scene = Scene(world)
    for name, found, weight in [
        ("refuses", ["relay.sender"], "error"),
        ("nonull", ["relay.null-sender"], "warning"),
        ("tight", ["relay.size"], "warning"),
    ]:
        done, document = scene.ask(f"[{name}.example.org]")
        assert problems(document) == found, document
        assert document["problems"][0]["severity"] == weight
        assert done.returncode == int(weight == "error")
    assert document["hosts"][0]["size"] == 1_000_000
    done, document = scene.ask("[refuses.example.org]", "--from", "me@example.net")
    assert (done.returncode, problems(document)) == (0, [])
    done, document = scene.ask("[relay.example.org]", "--to", "you@example.net")
    assert document["hosts"][0]["probes"][0]["to"] == "you@example.net"
    assert document["problems"][0]["class"] == "relay-denied" and done.returncode == 1


def test_a_message_leaves_only_when_it_is_asked_for(world):
    scene = Scene(world)
    final = final_postfix(world)
    for name in ("open", "plain", "selfsigned"):
        scene.ask(f"[{name}.example.org]")
    # Postfix counts the commands of each session.
    log = scene.log()
    assert "rcpt=2" in log and "data=" not in log and "bdat=" not in log, log
    done, document = scene.ask("[open.example.org]", "--send", "you@example.net")
    assert done.returncode == 0 and document["sent"]["accepted"] is True, document
    [message] = final.wait(1)
    assert str(message["To"]) == "you@example.net" and message["Date"] and message["Message-ID"]
    done, _ = scene.ask("[open.example.org]", "--send", "you@example.net", json_wanted=False,
                        language="es")
    assert "se envió un mensaje a you@example.net: 250" in done.stdout.decode()
    assert len(final.wait(2)) == 2
    # What would be refused is kept back.
    scene.configure("", 'tls = "required"')
    done, document = scene.ask("[selfsigned.example.org]", "--send", "you@example.net")
    assert done.returncode == 1 and document["sent"]["accepted"] is False
    assert final.count() == 2
