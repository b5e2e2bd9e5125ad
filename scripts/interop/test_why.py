"""The story of a message: while it waits, when it is gone, after a restart, by whom it is asked."""

import json

from peers import FINAL_ADDRESS, opening, run, wait_for
from scripted import Sink

MESSAGE = b"Subject: x\nMessage-ID: <story-1@example.com>\n\nhi\n"


def with_a_message_that_waits(world, reply="450 4.7.1 later", **settings):
    sink, puerto = opening(world, lambda world: Sink(world, FINAL_ADDRESS), **settings)
    sink.misbehave("rcpt", reply)
    run(puerto.sendmail, "-f", "me@example.com", "you@example.net", input=MESSAGE)
    puerto.says("status=deferred")
    return sink, puerto


def told(puerto, what, code=0):
    done = puerto.command("why", what, "--json", check=False)
    assert done.returncode == code, f"{done.returncode}: {done.stdout}{done.stderr}"
    return json.loads(done.stdout)


def queue_id(puerto):
    return json.loads(puerto.command("queue", "list", "--json").stdout.splitlines()[0])["id"]


def test_a_message_that_waits_and_is_then_delivered(world):
    sink, puerto = with_a_message_that_waits(world, "450 4.7.1 Greylisted, come back")
    number = queue_id(puerto)
    for name in [number, "<story-1@example.com>", "story-1@EXAMPLE.com", "you@example.net",
                 "me@example.com", "me"]:
        story = told(puerto, name)
        assert story["id"] == number, name
    assert story["state"] == "waiting" and story["next_attempt"]
    assert story["origin"]["uid"] == 0
    assert {"what": "added", "of": "Date"} in story["changes"], story["changes"]
    assert story["unsigned"] == "no-key"
    attempt = story["recipients"][0]["attempts"][0]
    assert attempt["code"] == 450 and FINAL_ADDRESS in attempt["relay"], attempt
    assert attempt["explanation"]["class"] == "greylisted", attempt
    assert any("puerto queue retry" in advice for advice in story["advice"])

    # Do what it says, and look again.
    sink.behave()
    puerto.command("queue", "retry", number)
    puerto.wait_empty()
    wait_for("the end of the story", lambda: told(puerto, number)["state"] == "sent")
    story = told(puerto, number)
    statuses = [attempt["status"] for attempt in story["recipients"][0]["attempts"]]
    assert statuses == ["deferred", "sent"], statuses

    before = story["events"]
    puerto.kill()
    puerto.start()
    assert told(puerto, "story-1@example.com")["events"] == before

    page = puerto.command("why", number, env=puerto.environment | {"LC_ALL": "C.UTF-8"}).stdout.decode()
    for words in ["was delivered", "from the local user root (uid 0)", "not now: ", "delivered: 250",
                  "without TLS"]:
        assert words in page, f"{words}\n{page}"
    spanish = puerto.command("--lang", "es", "why", number).stdout.decode()
    assert "se entregó" in spanish and "ahora no" in spanish, spanish
    for file in (puerto.state / "history").iterdir():
        assert file.stat().st_mode & 0o027 == 0, file


def test_others_are_told_of_their_own_mail_alone(world):
    _, puerto = with_a_message_that_waits(world)
    number = queue_id(puerto)

    # Neither root nor the daemon's own user, which may ask for all.
    other = ["setpriv", "--reuid=bin", "--regid=nogroup", "--clear-groups"]

    def asked(what):
        done = run(*other, "env", f"PUERTO_CONFIG={puerto.configuration}", puerto.binary, "why",
                   what, "--json", check=False)
        return done.returncode, json.loads(done.stdout)

    for name in [number, "<story-1@example.com>", "you@example.net"]:
        code, answer = asked(name)
        assert code == 1 and answer["matches"] == [], answer
    run(*other, puerto.sendmail, "-f", "bin@example.com", "you@example.net",
        input=b"Subject: y\nMessage-ID: <story-2@example.com>\n\nhi\n")
    wait_for("the second", lambda: puerto.log().count("status=deferred") >= 2)
    code, answer = asked("you@example.net")
    assert code == 0 and answer["message_id"] == "<story-2@example.com>", answer
    assert len(told(puerto, "you@example.net")["matches"]) == 2
    unknown = told(puerto, "yuo@example.net", code=1)
    assert unknown["similar"] == ["you@example.net"], unknown
    assert unknown["history"] is True


def test_a_history_that_is_switched_off_tells_what_waits(world):
    _, puerto = with_a_message_that_waits(world, sections='[history]\nkeep = "0"\n')
    story = told(puerto, "you@example.net")
    assert story["state"] == "waiting" and story["events"] == []
    assert told(puerto, "<story-1@example.com>", code=1)["history"] is False
    assert not list((puerto.state / "history").glob("*"))
