"""puerto and the TLS of old, odd and careless servers, which is OpenSSL's."""

import shutil
import ssl
import warnings

from peers import RECORDS, UNPRIVILEGED, MailSink, Puerto, Unbound, run, wait_for

EVERYTHING = "ALL:@SECLEVEL=0"
OLD = (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1)
TLS12, TLS13 = (ssl.TLSVersion.TLSv1_2,) * 2, (ssl.TLSVersion.TLSv1_3,) * 2
ANY = (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_3)
ENCRYPTED, PLAIN = "encrypted", "plain"

# Name → the certificate, TLS versions, ciphers; what becomes of opportunistic mail, and
# whether a relay so gets the password.
KINDS = {
    "v1": ("v1", ANY, EVERYTHING, ENCRYPTED, True),
    "v1-tls12": ("v1", TLS12, EVERYTHING, ENCRYPTED, True),
    "rsa1024": ("rsa1024", TLS13, EVERYTHING, ENCRYPTED, True),
    "rsa1024-tls12": ("rsa1024", TLS12, EVERYTHING, ENCRYPTED, True),
    "rsa512": ("rsa512", TLS12, EVERYTHING, ENCRYPTED, False),
    "expired": ("expired", ANY, EVERYTHING, ENCRYPTED, True),
    "sha1": ("sha1", ANY, EVERYTHING, ENCRYPTED, True),
    "md5": ("md5", ANY, EVERYTHING, ENCRYPTED, True),
    "md5-chain": ("md5-chain", ANY, EVERYTHING, ENCRYPTED, True),
    "p384": ("p384", ANY, EVERYTHING, ENCRYPTED, True),
    "p521": ("p521", ANY, EVERYTHING, ENCRYPTED, True),
    "ed25519": ("ed25519", ANY, EVERYTHING, ENCRYPTED, True),
    # What rustls has no part of: such a host gets plain text, and no password.
    "tls10": ("rsa2048", OLD, EVERYTHING, PLAIN, False),
    "anonymous": (None, TLS12, "aNULL:@SECLEVEL=0", PLAIN, False),
    "cbc-only": ("rsa2048", TLS12, "AES128-SHA:@SECLEVEL=0", PLAIN, False),
    "dhe-only": ("rsa2048", TLS12, "DHE-RSA-AES256-GCM-SHA384:@SECLEVEL=0", PLAIN, False),
    "dsa": ("dsa", TLS12, "ALL:@SECLEVEL=0", PLAIN, False),
    "p521-tls12": ("p521", TLS12, EVERYTHING, PLAIN, False),
    "ed448": ("ed448", ANY, EVERYTHING, PLAIN, False),
}


def certificate(folder, kind):
    """A chain and a key, made by OpenSSL."""
    chain, key, request = (folder / f"{kind}.{end}" for end in ("pem", "key", "csr"))
    if chain.exists():
        return chain, key
    made = {"p384": ["ec", "-pkeyopt", "ec_paramgen_curve:P-384"],
            "p521": ["ec", "-pkeyopt", "ec_paramgen_curve:P-521"],
            "ed25519": ["ed25519"], "ed448": ["ed448"], "rsa1024": ["rsa:1024"],
            "v1": ["rsa:1024"], "rsa512": ["rsa:512"]}.get(kind, ["rsa:2048"])
    if kind == "dsa":
        run("openssl", "dsaparam", "-out", folder / "dsa.parameters", "1024")
        made = [f"dsa:{folder}/dsa.parameters"]
    run("openssl", "req", "-newkey", *made, "-nodes", "-subj", f"/CN={kind}.example.net",
        "-keyout", key, "-out", request)
    digest = {"sha1": ["-sha1"], "md5": ["-md5"], "md5-chain": ["-md5"],
              "rsa512": ["-sha1"]}.get(kind, [])
    signer = ["-signkey", key]
    if kind == "md5-chain":
        above, above_key = certificate(folder, "md5")
        signer = ["-CA", above, "-CAkey", above_key, "-CAcreateserial"]
    extensions = folder / "extensions"
    extensions.write_text(f"subjectAltName=DNS:{kind}.example.net\n")
    version = [] if kind == "v1" else ["-extfile", extensions]
    run("openssl", "x509", "-req", "-in", request, "-days", "-1" if kind == "expired" else "2",
        *digest, *signer, *version, "-out", chain)
    if kind == "md5-chain":
        chain.write_text(chain.read_text() + above.read_text())
    return chain, key


def server(world, address, kind):
    """Offers STARTTLS, with AUTH behind it, and notes which mail came how."""
    name, (oldest, newest), ciphers, *_ = KINDS[kind]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version, context.maximum_version = oldest, newest
    context.set_ciphers(ciphers)
    if name:
        context.load_cert_chain(*certificate(world.folder, name))
    return MailSink(world, address, context, ["AUTH PLAIN"])


def servers(world):
    return {kind: server(world, f"127.0.1.{place}", kind) for place, kind in enumerate(KINDS, 1)}


def records():
    return RECORDS + [f"{kind}.example.net. IN A 127.0.1.{place}"
                      for place, kind in enumerate(KINDS, 1)]


def send(puerto, kind):
    run(puerto.sendmail, "-f", "me@example.com", f"user@{kind}.example.net",
        input=b"Subject: x\n\nhi\n")


def lines_about(puerto, kind, words):
    return [line for line in puerto.log().splitlines() if f"{kind}.example.net[" in line
            and words in line]


def test_mail_is_encrypted_where_it_can_be_and_otherwise_the_log_says_why_not(world):
    Unbound(world, records())
    peers = servers(world)
    puerto = Puerto(world)
    for kind in KINDS:
        send(puerto, kind)
    puerto.wait_empty()
    # A line is written some time after what it tells.
    wait_for("the log to be whole", lambda: all(lines_about(puerto, kind, "status=") for kind in KINDS))
    for kind, (*_, expected, _) in KINDS.items():
        [how] = peers[kind].mail
        assert (how is None) == (expected == PLAIN), f"{kind}: {how}\n{puerto.log()}"
        causes = lines_about(puerto, kind, "going on in plain text, since tls is opportunistic")
        assert len(causes) == (expected == PLAIN), f"{kind}: {causes}"
        for cause in causes:
            assert "Cannot start TLS with" in cause and "warning" in cause, cause


def test_a_relay_gets_the_password_by_the_key_that_was_seen_first(world):
    Unbound(world, records())
    peers = servers(world)
    password = world.folder / "password"
    password.write_text("secret of the relay\n")
    password.chmod(0o600)
    shutil.chown(password, UNPRIVILEGED)
    puerto = Puerto(world, sections='[delivery]\nallow_private = true\n' + "".join(
        f'[[route]]\nto = "{kind}.example.net"\nvia = "[{kind}.example.net]"\nuser = "puerto"\n'
        f'password_file = "{password}"\n' for kind in KINDS))
    for again in (1, 2):
        for kind in KINDS:
            send(puerto, kind)
        for kind, (*_, gets) in KINDS.items():
            words = "status=sent" if gets else "status=deferred"
            lines = wait_for(f"{words} of {kind}",
                             lambda: lines_about(puerto, kind, words)[again - 1:])
            assert gets or "Cannot start TLS" in lines[0], lines
        # The key is remembered, also by the next process.
        puerto.stop()
        puerto.start()
    for kind, (*_, gets) in KINDS.items():
        assert (peers[kind].logins > 0) == gets, kind
        assert None not in peers[kind].mail, kind
    shown = puerto.command("queue", "list", "--json").stdout.decode()
    for kind, (*_, gets) in KINDS.items():
        assert gets or f"Cannot start TLS with {kind}.example.net" in shown, (kind, shown)
    known = (puerto.state / "relay-keys").read_text()
    assert known.count("SHA256:") == sum(gets for *_, gets in KINDS.values()), known
