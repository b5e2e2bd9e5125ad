"""`puerto verify` against OpenDMARC's library, on the same messages and records."""

import contextlib
import ctypes

import dkim
from peers import RECORDS, Puerto, Skipped, Unbound
from test_verify import as_txt, rsa_key, verify

# The domains are in test., of which the resolver knows by itself that nothing is there.
DMARC = {
    "plain.test": "v=DMARC1; p=reject",
    "strict.test": "v=DMARC1; p=quarantine; adkim=s; aspf=s",
    "mixed.test": "v=DMARC1; p=reject; adkim=s; aspf=r",
    "sub.test": "v=DMARC1; p=none; sp=reject",
    "spaces.test": "v=DMARC1;p=quarantine ;  rua=mailto:reports@spaces.test;",
}
NONE, OTHER = "none.test", "other.test"
ALLOWED, FOREIGN = "192.0.2.1", "192.0.2.99"
PLACES = ["", "news.", "a.b."]
POLICIES = {14: "none", 15: "pass", 16: "reject", 17: "quarantine", 18: "none"}


def records(public):
    for domain in [*DMARC, NONE, OTHER]:
        for place in PLACES:
            yield as_txt(place + domain, f"v=spf1 ip4:{ALLOWED} -all")
            yield as_txt(f"r._domainkey.{place}{domain}", f"v=DKIM1; k=rsa; p={public}")
    for domain, record in DMARC.items():
        yield as_txt(f"_dmarc.{domain}", record)


def questions():
    """From domain, domain of the reverse-path, client, and domain of the signature."""
    for domain in [*DMARC, NONE]:
        own = [place + domain for place in PLACES]
        for author in own:
            for signer in [None, *own, OTHER]:
                yield author, domain, FOREIGN, signer
            for sender in [*own, OTHER]:
                yield author, sender, ALLOWED, None
            yield author, OTHER, ALLOWED, own[1]


def strictly_below(author, sender, client, signer, record):
    """Where OpenDMARC 1.4.2 errs: strict alignment takes what is below From for From
    itself (RFC 7489 §3.1 wants both to be identical)."""
    def is_asked(domain, tag):
        return domain and domain.endswith("." + author) and f"{tag}=s" in (record or "")
    return is_asked(signer, "adkim") or client == ALLOWED and is_asked(sender, "aspf")


def message(author, signer, private):
    text = (f"From: Me <me@{author}>\r\nTo: you@example.net\r\nSubject: x\r\n"
            "Date: Tue, 24 Nov 2026 10:00:00 +0000\r\n"
            f"Message-ID: <1@{author}>\r\n\r\nHello\r\n").encode()
    return (dkim.sign(text, b"r", signer.encode(), private) if signer else b"") + text


class OpenDmarc:
    """The library: the outcomes of SPF and DKIM go in, what DMARC makes of them comes out."""

    # Its constants.
    IPV4, MAIL_FROM, OUTCOME_PASS, OUTCOME_FAIL = 4, 1, 1, 2
    SUFFIXES_IN_FILE = 1
    ALIGNED = 4

    def __init__(self, folder):
        try:
            self.library = ctypes.CDLL("libopendmarc.so.2")
        except OSError as error:
            raise Skipped(f"no OpenDMARC: {error}") from error
        file = folder / "suffixes"
        file.write_text("test\n")
        for name in ("connect_init", "connect_shutdown"):
            getattr(self.library, f"opendmarc_policy_{name}").restype = ctypes.c_void_p
        # The number of the kind, the path of the file, and the rest is empty.
        self.settings = ctypes.create_string_buffer(
            self.SUFFIXES_IN_FILE.to_bytes(4, "little") + str(file).encode(), 16_384)
        self.call("library_init", self.settings)

    def call(self, name, *arguments):
        done = getattr(self.library, f"opendmarc_policy_{name}")(*arguments)
        assert done == 0, (name, done)

    def judge(self, author, organization, record, spf, signer):
        """The policy to enforce, or "pass", and the alignment of DKIM and of SPF."""
        context = ctypes.c_void_p(
            self.library.opendmarc_policy_connect_init(ALLOWED.encode(), self.IPV4))
        try:
            self.call("store_from_domain", context, author.encode())
            sender, is_pass = spf
            self.call("store_spf", context, sender.encode(),
                      self.OUTCOME_PASS if is_pass else self.OUTCOME_FAIL, self.MAIL_FROM, None)
            if signer:
                self.call("store_dkim", context, signer.encode(), b"r", self.OUTCOME_PASS, None)
            if record is None:
                return "none", False, False
            # The organization is only named where the record is not the author's own.
            above = organization.encode() if organization != author else None
            self.call("store_dmarc", context, record.encode(), author.encode(), above)
            policy = self.library.opendmarc_get_policy_to_enforce(context)
            dkim_aligned, spf_aligned = ctypes.c_int(), ctypes.c_int()
            self.call("fetch_alignment", context, ctypes.byref(dkim_aligned),
                      ctypes.byref(spf_aligned))
            return (POLICIES[policy], dkim_aligned.value == self.ALIGNED,
                    spf_aligned.value == self.ALIGNED)
        finally:
            with contextlib.suppress(AttributeError):
                self.library.opendmarc_policy_connect_shutdown(context)


def test_opendmarc_and_puerto_verify_agree(world):
    puerto = Puerto(world, start=False)
    private, public = rsa_key(world.folder)
    Unbound(world, RECORDS + list(records(public)))
    library, counts = OpenDmarc(world.folder), {}
    for author, sender, client, signer in questions():
        ours = verify(puerto, message(author, signer, private), "--ip", client, "--helo",
                      "host.example.net", "--from", f"bounce@{sender}")
        judged = ours["dmarc"]
        organization = ".".join(author.split(".")[-2:])
        record = DMARC.get(organization)
        spf = (sender, ours["spf"]["result"] == "pass")
        theirs, dkim_aligned, spf_aligned = library.judge(author, organization, record, spf, signer)
        result = judged["result"]
        enforced = "pass" if result == "pass" else judged["disposition"]
        question = (author, sender, client, signer, judged)
        if strictly_below(author, sender, client, signer, record):
            assert result == "fail", question
            continue
        assert enforced == theirs, (question, theirs)
        assert (result == "none") == (record is None), question
        if record:
            aligned = (judged["alignment"]["dkim"], judged["alignment"]["spf"])
            assert aligned == (dkim_aligned, spf_aligned), (question, dkim_aligned, spf_aligned)
            assert judged["org_domain"] == organization, question
        counts[enforced] = counts.get(enforced, 0) + 1
    assert {"pass", "reject", "quarantine", "none"} <= set(counts), counts
    return f"{sum(counts.values())} messages"
