"""Notices (RFC 3461, RFC 3464) between Postfix and us, in both directions, and envelope
senders that name their recipient. Whom a notice is for has a mailbox at a Postfix."""

import email
import email.policy
import json
import smtplib

from peers import (FINAL_ADDRESS, RECORDS, RELAY_ADDRESS, SENDER_ADDRESS, Postfix, Unbound, final_postfix,
                   opening, run, wait_for)
from scripted import Sink
from test_local import House

SECTIONS = """
[[route]]
from = "list@example.net"
verp = "+="
"""


def parts(message):
    """What people read, and the groups of fields that programs do."""
    assert message.get_content_type() == "multipart/report", message
    people, status, *returned = message.iter_parts()
    groups = [dict(group.items()) for group in status.get_payload()]
    return people.get_content(), groups, returned


class Peers:
    """Us, and Postfix as the recipients' server, where notices come to as well."""

    def __init__(self, world, **final):
        self.final, self.puerto = opening(
            world, lambda world: final_postfix(world, **final), sections=SECTIONS)

    def sendmail(self, *arguments, text="Subject: año\n\nhello\n"):
        run(self.puerto.sendmail, "-f", "me@example.net", *arguments, input=text.encode())

    def notices(self, number):
        """So many messages of other kinds than the one that was sent."""
        def come():
            all_of = [email.message_from_bytes(m, policy=email.policy.default)
                      for m in self.final.messages()]
            found = [m for m in all_of if m.get_content_type() == "multipart/report"]
            return found if len(found) >= number else None
        return wait_for(f"{number} notices", come, 60)


def test_notices_success_where_postfix_offers_no_dsn(world):
    peers = Peers(world, smtpd_discard_ehlo_keywords="dsn")
    peers.sendmail("-N", "success,failure", "-V", "QQ 1", "bo@example.net")
    [notice] = peers.notices(1)
    people, groups, returned = parts(notice)
    assert groups[0]["Original-Envelope-Id"] == "QQ 1", groups
    assert groups[1]["Action"] == "relayed" and groups[1]["Status"].startswith("2."), groups
    assert groups[1]["Final-Recipient"] == "rfc822; bo@example.net", groups
    assert "año" in people and "does not tell what becomes of it" in people, people
    assert returned[0].get_content_type() == "text/rfc822-headers", returned
    assert notice["Auto-Submitted"] == "auto-replied" and notice["Return-Path"] == "<>", notice


def test_notices_that_mutt_asks_for(world):
    peers = Peers(world, smtpd_discard_ehlo_keywords="dsn")
    run("mutt", "-n", "-F", "/dev/null", "-e", f'set sendmail="{peers.puerto.sendmail} -oem -oi"',
        "-e", 'set from="me@example.net" use_from=yes use_envelope_from=yes copy=no',
        "-e", 'set dsn_notify="success,failure" dsn_return=hdrs', "-s", "by mutt", "--", "bo@example.net",
        input=b"hello\n", env={"HOME": str(world.folder), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"})
    [notice] = peers.notices(1)
    people, groups, returned = parts(notice)
    assert groups[1]["Action"] == "relayed" and "by mutt" in people, people
    assert returned[0].get_content_type() == "text/rfc822-headers", returned


def test_notices_success_is_told_by_a_postfix_that_offers_dsn(world):
    peers = Peers(world)
    peers.sendmail("-N", "success", "-V", "QQ1", "-R", "hdrs", "bo@example.net")
    [notice] = peers.notices(1)
    _, groups, _ = parts(notice)
    assert groups[0]["Reporting-MTA"] == "dns; final.example.org", groups
    assert groups[0]["Original-Envelope-Id"] == "QQ1", groups
    # We have made it of the address.
    assert groups[1]["Original-Recipient"] == "rfc822;bo@example.net", groups
    assert groups[1]["Action"] == "delivered", groups
    assert "sender delivery status notification" not in peers.puerto.log()


def test_notices_never_and_refusals(world):
    peers = Peers(world, smtpd_recipient_restrictions=(
        "inline:{{gone@example.net=REJECT no such user here}},permit"))
    never, told = (["-N", wish, "gone@example.net"] for wish in ("never", "failure"))
    peers.sendmail(*never, text="Subject: one\n\nhello\n")
    wait_for("the refusal", lambda: peers.puerto.log().count("status=bounced") == 1)
    wait_for("its end", lambda: peers.puerto.queue_length() == 0)
    peers.sendmail(*told, text="Subject: two\n\nhello\n")
    [notice] = peers.notices(1)
    people, groups, _ = parts(notice)
    assert "Its subject: two" in people and "no such user here" in people, people
    assert groups[1]["Action"] == "failed" and groups[1]["Status"].startswith("5."), groups
    assert groups[1]["Remote-MTA"].startswith("dns; "), groups


def test_notices_for_a_postfix_that_sends_with_parameters(world):
    peers = Peers(world, smtpd_discard_ehlo_keywords="dsn")
    relay = Postfix(world, "relay", RELAY_ADDRESS, {"relayhost": f"[{SENDER_ADDRESS}]"})
    run("sendmail", "-C", relay.folder, "-f", "me@example.net", "-N", "success", "-V", "id9",
        "bo@example.net", input=b"Subject: by postfix\n\nhello\n")
    [notice] = peers.notices(1)
    _, groups, _ = parts(notice)
    assert groups[0]["Reporting-MTA"] == "dns; mail.example.com", groups
    assert groups[0]["Original-Envelope-Id"] == "id9", groups
    assert groups[1]["Original-Recipient"] == "rfc822; bo@example.net", groups
    assert groups[1]["Action"] == "relayed", groups


def test_notices_verp_by_route_by_command_and_by_xverp(world):
    peers = Peers(world)
    both = ["ana@example.net", "bo+x@example.net"]
    run(peers.puerto.sendmail, "-f", "list@example.net", *both, input=b"Subject: route\n\nhi\n")
    run(peers.puerto.sendmail, "-XV-=", "-f", "me@example.net", *both,
        input=b"Subject: command\n\nhi\n")
    with smtplib.SMTP(SENDER_ADDRESS, 25) as client:
        client.ehlo()
        assert client.has_extn("xverp"), client.ehlo_resp
        client.mail("me@example.net", ["XVERP"])
        for recipient in both:
            assert client.rcpt(recipient)[0] == 250
        assert client.data(b"Subject: xverp\r\n\r\nhi\r\n")[0] == 250
    senders = {(m["Subject"], m["Return-Path"]) for m in peers.final.wait(6)}
    assert senders == {
        ("route", "<list+ana=example.net@example.net>"),
        ("route", "<list+bo+x=example.net@example.net>"),
        ("command", "<me-ana=example.net@example.net>"),
        ("command", "<me-bo+x=example.net@example.net>"),
        ("xverp", "<me+ana=example.net@example.net>"),
        ("xverp", "<me+bo+x=example.net@example.net>"),
    }, senders


REPORT = """\
From: Mail Delivery System <MAILER-DAEMON@mx.example.net>\r
To: ana@example.com\r
Subject: Undelivered Mail Returned to Sender\r
MIME-Version: 1.0\r
Content-Type: multipart/report; report-type=delivery-status; boundary=b\r
\r
--b\r
\r
It did not work.\r
--b\r
Content-Type: message/delivery-status\r
\r
Reporting-MTA: dns; mx.example.net\r
\r
Final-Recipient: rfc822; RECIPIENT\r
Action: failed\r
Status: 5.2.2\r
Diagnostic-Code: smtp; 552 5.2.2 mailbox full\r
\r
--b\r
Content-Type: message/rfc822\r
\r
Message-ID: <MESSAGE@example.com>\r
Subject: x\r
\r
hi\r
--b--\r
"""


def test_notices_that_come_back_later_are_noted_with_their_message_and_forged_ones_are_not(world):
    Unbound(world, RECORDS)
    sink = Sink(world, FINAL_ADDRESS)
    house = House(world)
    run(house.puerto.sendmail, "-f", "ana@example.com", "you@example.net", "bo@example.net",
        input=b"Subject: x\nMessage-ID: <sent@example.com>\n\nhi\n")
    wait_for("both", lambda: sink.copies_for("you@example.net") + sink.copies_for("bo@example.net") == 2)
    for number, (sender, recipient, message, to) in enumerate((
            ("", "victim@example.net", "sent", "ana@example.com"),
            ("", "you@example.net", "another", "ana@example.com"),
            ("", "you@example.net", "sent", "luis@example.com"),
            # What our own domains write is no report, and is not opened.
            ("luis@example.com", "you@example.net", "sent", "ana@example.com"),
            ("", "you@example.net", "sent", "ana@example.com"))):
        report = REPORT.replace("RECIPIENT", recipient).replace("MESSAGE", message)
        with smtplib.SMTP(SENDER_ADDRESS, 25) as client:
            client.sendmail(sender, to, report)
        wait_for("the mailboxes", lambda: house.mbox("ana").count("\nSubject: Undel")
                 + house.mbox("luis").count("\nSubject: Undel") == number + 1)
    house.puerto.says("refused later: ")
    assert house.puerto.log().count("refused later: ") == 1, house.puerto.log()
    told = json.loads(house.puerto.command("why", "<sent@example.com>", "--json").stdout)
    later = [event for event in told["events"] if event["event"] == "later"]
    assert [(event["news"], event["to"]) for event in later] == [("refused", "you@example.net")], later
    page = house.puerto.command("--lang", "en", "why", "<sent@example.com>").stdout.decode()
    assert "mailbox full" in page, page
