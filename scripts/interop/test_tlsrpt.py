"""Reports to receivers of how TLS towards them went: to a real HTTPS server, and by mail whose
signature dkimpy verifies; and how a host that has lost its TLS is told of."""

import base64
import contextlib
import email
import gzip
import json
import re
import time

import dkim
from peers import RECORDS, MailSink, Puerto, Unbound, page, wait_for, web
from test_dkim import as_txt, key_records
from test_transport import line_about, send, sink

REPORTS_ADDRESS = "127.0.0.61"
DAY = 24 * 3600


@contextlib.contextmanager
def posted_to(certificate, status=201):
    """What is posted, and answered as it is told."""
    posts = []

    def answer(request):
        octets = request.rfile.read(int(request.headers["Content-Length"]))
        posts.append((request.path, request.headers["Content-Type"], octets))
        page(request, b"", status)
    with web(certificate, answer, REPORTS_ADDRESS):
        yield posts


def tally(domain, day, **more):
    return json.dumps({"day": day, "domain": domain, "kind": "no-policy-found", "policy": [],
                       "hosts": [], "good": 3, "bad": 1, "faults": [
                           {"kind": "starttls-not-supported", "from": "192.0.2.20",
                            "host": f"mx.{domain}", "to": "192.0.2.1",
                            "reason": "transport.plain-not-offered", "count": 1}]} | more)


def test_the_days_before_are_reported_by_https_and_by_mail(world):
    puerto = Puerto(world, start=False)
    puerto.command("dkim", "new", "example.com", "--selector", "r", "--type", "rsa")
    records = [*RECORDS, "wants.example.org. IN MX 10 mx.wants.example.org.",
               "mx.wants.example.org. IN A 127.0.4.1", f"r.example.org. IN A {REPORTS_ADDRESS}",
               '_smtp._tls.web.example.org. IN TXT '
               '"v=TLSRPTv1; rua=https://r.example.org/v1/tls?x=1"',
               '_smtp._tls.mail.example.org. IN TXT '
               '"v=TLSRPTv1; rua=mailto:tls@wants.example.org"']
    keys = key_records(puerto)
    records += [as_txt(name, value) for name, value in keys.items()]
    Unbound(world, records)
    keeper = MailSink(world, "127.0.4.1")
    with posted_to(world.authority.issue("r.example.org")) as posts:
        today = int(time.time()) // DAY
        puerto.state.mkdir(exist_ok=True)
        # Two days ago, so that it is due at whatever hour this runs; one is too old, and one
        # domain wants none.
        lines = [tally("web.example.org", today - 2), tally("mail.example.org", today - 2),
                 tally("web.example.org", today - 5), tally("none.example.org", today - 2)]
        (puerto.state / "tls-results").write_text("\n".join(lines) + "\n")
        puerto.start()
        wait_for("the post", lambda: posts)
        [(path, kind, octets)] = posts
        assert (path, kind) == ("/v1/tls?x=1", "application/tlsrpt+gzip"), (path, kind)
        report = json.loads(gzip.decompress(octets))
        assert report["organization-name"] == "example.com", report
        [policy] = report["policies"]
        assert policy["summary"] == {"total-successful-session-count": 3,
                                     "total-failure-session-count": 1}, policy
        assert policy["failure-details"][0]["receiving-ip"] == "192.0.2.1", policy
        wait_for("the letter", lambda: keeper.letters)
        [letter] = keeper.letters
        read = email.message_from_bytes(letter)
        assert read.get_content_type() == "multipart/report", read
        assert read.get_param("report-type") == "tlsrpt", read
        assert read["TLS-Report-Domain"] == "mail.example.org", read
        assert read["TLS-Report-Submitter"] == "example.com" and read["TLS-Required"] == "No", read
        part = read.get_payload()[1]
        assert part.get_content_type() == "application/tlsrpt+gzip", part
        assert part.get_filename().startswith("example.com!mail.example.org!"), part.get_filename()
        report = json.loads(gzip.decompress(base64.b64decode(part.get_payload())))
        assert report["policies"][0]["policy"]["policy-domain"] == "mail.example.org", report
        [fields] = re.findall(r"[;\s]h=([^;]*)", read["DKIM-Signature"])
        signed = {field.strip().lower() for field in fields.split(":")}
        assert {"tls-report-domain", "tls-report-submitter"} <= signed, signed
        assert dkim.verify(letter, dnsfunc=lambda name, timeout=5: keys.get(
            name.decode().rstrip("."), "").encode())
        puerto.says("TLS report about mail.example.org sent")
        # Nothing is reported twice, a report is about no report, and nobody hears of its fate.
        puerto.stop()
        kept = (puerto.state / "tls-results").read_text()
        assert kept.strip() == "", kept
        puerto.start()
        time.sleep(2)
        assert len(posts) == 1 and len(keeper.letters) == 1


def test_a_host_that_has_lost_its_tls_is_told_of_and_counted(world):
    records = [*RECORDS, "lost.example.org. IN MX 10 mx.lost.example.org.",
               "mx.lost.example.org. IN A 127.0.4.2"]
    Unbound(world, records)
    certificate = world.authority.issue("mx.lost.example.org")
    host = sink(world, "127.0.4.2", certificate)
    puerto = Puerto(world)
    send(puerto, "lost.example.org")
    assert "status=sent" in line_about(puerto, "lost.example.org")
    puerto.stop()
    assert "mx.lost.example.org" in (puerto.state / "tls-hosts").read_text()
    counted = json.loads((puerto.state / "tls-results").read_text())
    assert (counted["domain"], counted["good"], counted["bad"]) == ("lost.example.org", 1, 0)
    # Somebody on the way takes STARTTLS out.
    host.context = None
    puerto.mail_log.unlink()
    puerto.start()
    send(puerto, "lost.example.org")
    line = line_about(puerto, "lost.example.org")
    assert "status=sent" in line and "spoke TLS before" in line, line
    puerto.stop()
    text = puerto.configuration.read_text()
    puerto.configuration.write_text(
        text.replace("[delivery]\n", '[delivery]\ndowngrade = "refuse"\n'))
    puerto.mail_log.unlink()
    puerto.start()
    send(puerto, "lost.example.org")
    line = line_about(puerto, "lost.example.org")
    assert "status=deferred" in line and "does not now" in line, line
    assert len(host.mail) == 2
    counted = json.loads((puerto.state / "tls-results").read_text()
                         if (puerto.state / "tls-results").exists() else "{}")
    assert counted["domain"] == "lost.example.org", counted
