"""`puerto explain` beside a running daemon: by queue id, by the lines of the daemon's own
log in each form, and with the check that covers a refusal run live."""

import json

from peers import FINAL_ADDRESS, Puerto, run, wait_for
from scripted import Client, Sink, numbered
from test_check import EGRESS, healthy, replaced, served

GREY = "450 4.7.1 Recipient address rejected: Greylisted, see http://grey.example.net/"
GONE = "550 5.1.1 Recipient address rejected: User unknown in virtual mailbox table"
NO_SPF = "451 4.7.23 SPF check failed: 185.20.30.40 may not send for example.com"

SHORT_GREY = "greylisting, the first try is always turned away: it is tried again by itself"
SHORT_GONE = "no such recipient: check the address, take it off your lists"


def zones():
    """A sender with whom all is well, and a receiver."""
    receiver = ["@ IN MX 10 mx.example.net.", f"mx IN A {FINAL_ADDRESS}"]
    return healthy([]) | {"example.net": receiver}


def started(world, log="postfix"):
    """The daemon, sending from the address that the records name."""
    run("ip", "address", "add", f"{EGRESS}/32", "dev", "lo", check=False)
    puerto = Puerto(world, start=False, sections=(
        f'[delivery]\nallow_private = true\nbind_ipv4 = "{EGRESS}"\n'))
    text = puerto.configuration.read_text()
    puerto.configuration.write_text(text.replace('log = "postfix"', f'log = "{log}"'))
    puerto.start()
    return puerto


def sent(*recipients):
    """Sends a message from an address at the receiver; returns its queue id."""
    with Client() as client:
        reply = client.send(numbered(1), *recipients, sender="sender@example.net")
    assert reply.startswith("250"), reply
    return reply.rsplit(" ", 1)[-1]


def explain(puerto, *arguments, **options):
    """The document, or None if there was nothing to explain."""
    done = puerto.command("explain", "--json", *arguments, check=False, **options)
    assert done.returncode in (0, 1), done.stderr.decode()
    return json.loads(done.stdout) if done.returncode == 0 else None


def tried(puerto, text, times=1):
    wait_for(f"{text} in the log", lambda: puerto.log().count(text) >= times)


def test_a_queued_message_is_explained(world):
    sink = Sink(world, FINAL_ADDRESS)
    sink.recipients = {"grey@example.net": GREY, "gone@example.net": GONE}
    with served(world, zones()):
        puerto = started(world)
        alone = sent("grey@example.net")
        both = sent("grey@example.net", "gone@example.net")
        tried(puerto, "status=deferred", 2)
        tried(puerto, "status=bounced")
        answer = explain(puerto, alone)
        assert (answer["class"], answer["kind"]) == ("greylisted", "temporary"), answer
        assert answer["recipient"] == "grey@example.net", answer

        def settled():
            answers = explain(puerto, both)
            return answers if isinstance(answers, list) and len(answers) == 2 else None

        answers = wait_for("both recipients to be settled", settled)
        assert {a["recipient"]: a["class"] for a in answers} == {
            "grey@example.net": "greylisted", "gone@example.net": "mailbox-unknown"}, answers
        shown = puerto.command("queue", "show", both).stdout.decode()
        for short in (SHORT_GREY, SHORT_GONE):
            assert "Meaning" in shown and short in " ".join(shown.split()), shown
        people = puerto.command("explain", alone).stdout.decode()
        assert people.startswith("grey@example.net\ngreylisted  temporary"), people
        unknown = puerto.command("explain", "0" * len(alone), check=False)
        assert unknown.returncode not in (0, 1) and unknown.stderr, unknown


def test_log_and_notification_carry_the_short_form(world):
    sink = Sink(world, FINAL_ADDRESS)
    sink.recipients = {"grey@example.net": GREY, "gone@example.net": GONE}
    with served(world, zones()):
        puerto = started(world)
        sent("grey@example.net", "gone@example.net")
        tried(puerto, "status=deferred")
        tried(puerto, "status=bounced")
        line = {name: next(l for l in puerto.log().splitlines() if f"status={name}" in l)
                for name in ("deferred", "bounced")}
        assert line["deferred"].endswith(f"; why: {SHORT_GREY}"), line
        assert line["bounced"].endswith(f"; why: {SHORT_GONE}"), line
        notice = wait_for("the notification", lambda: next(
            (m for m in sink.messages if m.sender == ""), None))
        assert notice.recipients == ["sender@example.net"], notice.recipients
        human = " ".join(bytes(notice.start).decode().split())
        # What is to be done is said to whoever wrote one message, not to a sender of many.
        assert "In short: no such recipient. Check it for typing mistakes." in human, human
        answer = explain(puerto, input=bytes(notice.start))
        assert answer["class"] == "mailbox-unknown", answer


def test_each_form_of_the_log_is_understood(world):
    sink = Sink(world, FINAL_ADDRESS)
    sink.recipients = {"grey@example.net": GREY, "gone@example.net": GONE}
    lines = 0
    with served(world, zones()):
        for log in ("postfix", "json", "text"):
            puerto = started(world, log)
            sent("you@example.net", "grey@example.net", "gone@example.net")
            wait_for("three attempts", lambda: all(
                any(name in line and FINAL_ADDRESS in line for line in puerto.log().splitlines())
                for name in ("you@", "grey@", "gone@")))
            puerto.stop()
            world.running.remove(puerto)
            for line in puerto.log().splitlines():
                answer = explain(puerto, input=line.encode())
                attempt = FINAL_ADDRESS in line
                expected = None
                if attempt and "grey@example.net" in line:
                    expected = ("greylisted", "temporary")
                elif attempt and "gone@example.net" in line:
                    expected = ("mailbox-unknown", "permanent")
                found = answer and (answer["class"], answer["kind"])
                assert found == expected, (log, line, answer)
                lines += 1
            whole = explain(puerto, input=puerto.log().encode())
            assert {a["recipient"]: a["class"] for a in whole} == {
                "grey@example.net": "greylisted", "gone@example.net": "mailbox-unknown"}, whole
            puerto.folder.rename(world.folder / f"puerto-{log}")
    return f"{lines} lines"


def test_the_check_that_covers_it_is_run_live(world):
    sink = Sink(world, FINAL_ADDRESS)
    sink.recipients = {"spf@example.net": NO_SPF}
    other = ['@ IN TXT "v=spf1 ip4:192.0.2.1 -all"']
    broken = replaced(zones(), "example.com", f'@ IN TXT "v=spf1 ip4:{EGRESS}', other)
    with served(world, broken):
        puerto = started(world)
        message = sent("spf@example.net")
        tried(puerto, "status=deferred")
        said = " ".join(puerto.command("explain", message, "--live").stdout.decode().split())
        assert "Check spf.covers-ip" in said, said
        assert "spf.covers-ip is still failing now:" in said, said
        assert EGRESS in said.split("is still failing now:")[1], said
    with served(world, zones()):
        said = " ".join(puerto.command("explain", message, "--live").stdout.decode().split())
        assert "is still failing now" not in said, said
        assert "spf.covers-ip is right now:" in said, said
        spanish = puerto.command("--lang", "es", "explain", message, "--live").stdout.decode()
        assert "está bien ahora" in " ".join(spanish.split()), spanish
