"""Notices (RFC 3461, RFC 3464) between Postfix and us, in both directions, and envelope
senders that name their recipient. Whom a notice is for has a mailbox at a Postfix."""

import email
import email.policy
import smtplib

from peers import FINAL_ADDRESS, RECORDS, RELAY_ADDRESS, SENDER_ADDRESS, Postfix, Puerto, Unbound
from peers import final_postfix, run, wait_for

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
        world.add(Unbound(world, RECORDS)).start()
        self.final = final_postfix(world, **final)
        self.puerto = world.add(Puerto(world, "", SECTIONS))

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
