"""The MTA-STS policy as `puerto check` fetches it from a real HTTPS server."""

import json

import peers
from peers import Authority, Puerto, SENDER_ADDRESS, Unbound, WEB_ADDRESS, run, web

PATH = "/.well-known/mta-sts.txt"
POLICY = ("version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\n"
          "mx: *.mx.example.com\r\nmax_age: 604800\r\n")
RECORDS = [
    "example.com. IN MX 10 mail.example.com.",
    "example.com. IN MX 20 b.mx.example.com.",
    f"mail.example.com. IN A {SENDER_ADDRESS}",
    '_mta-sts.example.com. IN TXT "v=STSv1; id=20261124T0800;"',
    f"mta-sts.example.com. IN A {WEB_ADDRESS}",
]


def page(body=POLICY, status=200, kind="text/plain; charset=utf-8", chunked=False, **fields):
    def answer(request):
        assert request.path == PATH and request.headers["Host"] == "mta-sts.example.com"
        octets = body.encode()
        if not chunked:
            return peers.page(request, octets, status, kind, **fields)
        request.send_response(status)
        request.send_header("Content-Type", kind)
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        for at in range(0, len(octets), 10):
            piece = octets[at:at + 10]
            request.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        request.wfile.write(b"0\r\n\r\n")
    return answer


def outcome(puerto):
    done = run(puerto.binary, "check", "example.com", "--only", "mtasts.policy", "--only",
               "mtasts.mx-match", "--only", "mtasts.max-age", "--json", "--lang", "en",
               "--config", puerto.configuration, env=puerto.environment, check=False)
    report = json.loads(done.stdout)
    return {c["id"].removeprefix("mtasts."): (c["status"], c["seen"]) for c in report["checks"]}


def test_a_policy_is_fetched_over_https(world):
    Unbound(world, RECORDS)
    puerto = Puerto(world, start=False)
    world.running.remove(puerto)
    certificate = world.authority.issue("mta-sts.example.com")
    for answer in (page(), page(chunked=True), page(POLICY.replace("\r\n", "\n"))):
        with web(certificate, answer):
            found = outcome(puerto)
        assert {status for status, _ in found.values()} == {"pass"}, found
        assert found["policy"][1] == "mode: enforce", found


def test_each_fault_of_a_policy_is_told(world):
    Unbound(world, RECORDS)
    puerto = Puerto(world, start=False)
    world.running.remove(puerto)
    right = world.authority.issue("mta-sts.example.com")
    other_name = world.authority.issue("www.example.com")
    stranger = Authority(world.folder / "stranger").issue("mta-sts.example.com")
    elsewhere = f"https://www.example.com{PATH}"
    for certificate, answer, check, words in (
            (other_name, page(), "policy", "the certificate of mta-sts.example.com is not valid"),
            (stranger, page(), "policy", "the certificate of mta-sts.example.com is not valid"),
            (right, page("", 301, Location=elsewhere), "policy", "the server answers 301"),
            (right, page("no such page", 404), "policy", "the server answers 404"),
            (right, page(kind="text/html"), "policy", "its type is text/html"),
            (right, page(POLICY.replace("enforce", "strict")), "policy", "the field mode"),
            (right, page(POLICY.replace("*.mx", "*.other")), "mx-match", "b.mx.example.com"),
            (right, page(POLICY.replace("604800", "60")), "max-age", "60 seconds")):
        with web(certificate, answer):
            found = outcome(puerto)
        assert found[check][0] == "finding" and words in found[check][1], (words, found)
        others = {status for name, (status, _) in found.items() if name != check}
        assert "finding" not in others, (words, found)
    # Nobody listens: that says nothing of the policy.
    assert outcome(puerto)["policy"][0] == "unknown"
