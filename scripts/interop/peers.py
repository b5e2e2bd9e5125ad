"""The peers of the interoperability tests, each a real program on loopback."""

import contextlib
import email
import email.policy
import http.server
import os
import pathlib
import pwd
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import textwrap
import threading
import time

DNS_ADDRESS = "127.0.0.53"
SENDER_ADDRESS = "127.0.0.20"
FINAL_ADDRESS = "127.0.0.30"
RELAY_ADDRESS = "127.0.0.40"
WEB_ADDRESS = "127.0.0.60"
UNPRIVILEGED = "nobody"


class Skipped(Exception):
    """This machine lacks what a test needs."""


def wait_for(what, condition, seconds=30):
    """Waits until condition() is true, and returns what it returned."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s in vain for {what}")
        time.sleep(0.05)


@contextlib.contextmanager
def again_and_again(act):
    """Calls act() beside what is done within; what it raises fails the test."""
    ended, raised = threading.Event(), []

    def repeat():
        try:
            while not ended.is_set():
                act()
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(30)
    if raised:
        raise raised[0]


def listens(address, port):
    try:
        socket.create_connection((address, port), timeout=1).close()
        return True
    except OSError:
        return False


def run(*command, check=True, **options):
    """Runs a command, and shows all that it said if it fails."""
    done = subprocess.run([str(c) for c in command], capture_output=True, **options)
    if check and done.returncode != 0:
        raise AssertionError(
            f"{command} ended with {done.returncode}\n{done.stdout.decode(errors='replace')}"
            f"{done.stderr.decode(errors='replace')}"
        )
    return done


class World:
    """A folder and the peers that run in it."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="puerto-interop-"))
        self.folder.chmod(0o755)
        self.running = []
        self._authority = None

    def add(self, peer):
        self.running.append(peer)
        return peer

    def close(self, keep=False):
        for peer in reversed(self.running):
            try:
                peer.stop()
            except Exception as error:  # the next peer is stopped all the same
                print(f"    {type(peer).__name__} did not stop: {error}")
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def authority(self):
        """A certificate authority of the test's own."""
        if self._authority is None:
            self._authority = Authority(self.folder / "ca")
        return self._authority


class Authority:
    """Issues certificates."""

    def __init__(self, folder):
        folder.mkdir()
        self.folder, self.certificate, self.key = folder, folder / "ca.pem", folder / "ca.key"
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
            "-subj", "/CN=Test authority", "-keyout", self.key, "-out", self.certificate)

    def issue(self, name, days=2, digest="sha256"):
        """A certificate and its key for a host name."""
        return self._sign(name, f"subjectAltName=DNS:{name}\n", days, digest)

    def authority_below(self, name):
        """An authority whose certificate this one has signed."""
        below = object.__new__(Authority)
        below.folder = self.folder
        below.certificate, below.key = self._sign(
            name, "basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign\n", 2)
        return below

    def _sign(self, name, extensions, days, digest="sha256"):
        key, request, certificate = (self.folder / f"{name}.{e}" for e in ("key", "csr", "pem"))
        run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}",
            "-keyout", key, "-out", request)
        file = self.folder / f"{name}.ext"
        file.write_text(extensions)
        run("openssl", "x509", "-req", f"-{digest}", "-in", request, "-CA", self.certificate, "-days", days,
            "-CAkey", self.key, "-CAcreateserial", "-extfile", file, "-out", certificate)
        key.chmod(0o600)
        return certificate, key


def server_context(certificate):
    """What a server with this certificate and key speaks TLS by."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


class Listener:
    """Listens on port 25, and has each connection served in a thread of its own."""

    def __init__(self, world, address):
        self._listener = socket.create_server((address, 25))
        threading.Thread(target=self._accept, daemon=True).start()
        world.add(self)

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection):
        with contextlib.suppress(OSError, EOFError), connection:
            self._talk(connection)

    def stop(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


class MailSink(Listener):
    """Takes mail, over STARTTLS if it has a context, and notes of each message by which version of
    TLS it came (`None`: in plain text), and what MAIL said. `behind` is offered under TLS."""

    def __init__(self, world, address, context=None, behind=()):
        self.context, self.behind = context, behind
        self.mail, self.senders, self.letters, self.logins = [], [], [], 0
        super().__init__(world, address)

    def _talk(self, connection):
        stream, version = connection.makefile("rwb"), None

        def say(*lines):
            for line in lines[:-1]:
                stream.write(line.replace(" ", "-", 1).encode() + b"\r\n")
            stream.write(lines[-1].encode() + b"\r\n")
            stream.flush()

        say("220 sink ESMTP")
        while line := stream.readline():
            command = line.upper()
            if command.startswith(b"EHLO"):
                starttls = ["STARTTLS"] if self.context and not version else []
                offered = self.behind if version else starttls
                say("250 sink", *(f"250 {extension}" for extension in offered))
            elif command.startswith(b"STARTTLS"):
                say("220 go")
                connection = self.context.wrap_socket(connection, server_side=True)
                stream, version = connection.makefile("rwb"), connection.version()
            elif command.startswith(b"AUTH"):
                self.logins += 1
                say("235 2.7.0 ok")
            elif command.startswith(b"DATA"):
                say("354 go on")
                lines = []
                while (line := stream.readline()) not in (b".\r\n", b""):
                    lines.append(line.removeprefix(b"."))
                self.letters.append(b"".join(lines))
                self.mail.append(version)
                say("250 2.0.0 taken")
            elif command.startswith(b"QUIT"):
                say("221 bye")
                return
            else:
                if command.startswith(b"MAIL"):
                    self.senders.append(line.decode().strip())
                say("250 2.0.0 ok")


@contextlib.contextmanager
def web(certificate, answer, address=WEB_ADDRESS):
    """A server for HTTPS; `answer` gets each request's handler."""
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            answer(self)

        do_HEAD = do_POST = do_GET

        def log_message(self, *_):
            pass
    server = http.server.ThreadingHTTPServer((address, 443), Handler)
    server.socket = server_context(certificate).wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def page(request, octets, status=200, kind="text/plain", **fields):
    """Answers a request whole."""
    request.send_response(status)
    for name, value in {"Content-Type": kind, "Content-Length": len(octets), **fields}.items():
        request.send_header(name, str(value))
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(octets)


class Process:
    """A process in the foreground, its output in a file."""

    process = None

    def start_process(self, command, log, **options):
        self.log_path = log
        with open(log, "ab") as output:
            self.process = subprocess.Popen(
                [str(c) for c in command], stdout=output, stderr=output,
                stdin=subprocess.DEVNULL, **options)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                self.process.kill()
                raise

    def text(self):
        return pathlib.Path(self.log_path).read_text(errors="replace")


class Unbound(Process):
    """A resolver that knows the records it is given and nothing else. For what is in
    `example.edu`, it would have to ask a server that it must not ask: SERVFAIL. What
    is in `stubs` it asks the name server that stands there. What is in `zones` it has from
    their files, and it validates what is below the `anchors`."""

    def __init__(self, world, records, stubs=None, zones=None, anchors=(), address=None):
        address = address or DNS_ADDRESS
        folder = world.folder / "unbound"
        folder.mkdir(exist_ok=True)
        stubs, zones = stubs or {}, zones or {}
        own = {"example.com", "example.net", "example.org", "127.in-addr.arpa"}
        own -= set(stubs) | set(zones)
        local = "\n".join([f'    local-zone: "{zone}." static' for zone in sorted(own)]
                          + [f'    local-zone: "{zone}." nodefault' for zone in stubs])
        asked = "".join(f"stub-zone:\n    name: {zone}.\n    stub-addr: {address}\n"
                        for zone, address in stubs.items())
        asked += "".join(f"auth-zone:\n    name: {zone}.\n    zonefile: \"{file}\"\n"
                         "    for-downstream: no\n    for-upstream: yes\n"
                         for zone, file in zones.items())
        trusted = "".join(f"    trust-anchor-file: \"{file}\"\n" for file in anchors)
        data = "\n".join(f"    local-data: '{record}'" for record in records)
        (folder / "unbound.conf").write_text(
            f"server:\n    interface: {address}\n    port: 53\n    do-ip6: no\n"
            "    do-daemonize: no\n    use-syslog: no\n    username: \"\"\n    chroot: \"\"\n"
            f"    directory: \"{folder}\"\n    pidfile: \"{folder}/pid\"\n    verbosity: 1\n"
            f"    module-config: \"{'validator ' if anchors else ''}iterator\"\n"
            f"    access-control: 0.0.0.0/0 allow\n{trusted}"
            + ("    do-not-query-localhost: no\n" if stubs else "") +
            f"{local}\n{data}\nremote-control:\n    control-enable: no\n{asked}"
            "forward-zone:\n    name: example.edu.\n    forward-addr: 127.0.0.99\n")
        self.folder, self.address = folder, address
        self.start()
        world.add(self)

    def start(self):
        self.start_process(["unbound", "-d", "-c", self.folder / "unbound.conf"],
                           self.folder / "log")
        wait_for("Unbound", lambda: listens(self.address, 53))


# Where example.net receives; the sender's own name and address.
RECORDS = [
    "example.net. IN MX 10 mx.example.net.",
    f"mx.example.net. IN A {FINAL_ADDRESS}",
    f"relay.example.org. IN A {RELAY_ADDRESS}",
    f"mail.example.com. IN A {SENDER_ADDRESS}",
    f"20.0.0.127.in-addr.arpa. IN PTR mail.example.com.",
]


class Postfix:
    """A Postfix instance with its own queue, on port 25 of its own address; `services`
    are more lines of its master.cf. With a `password` the user `puerto` may log in, by the
    `mechanisms` that each of its services has."""

    def __init__(self, world, name, address, settings, services="", password=None,
                 mechanisms=(("smtpd", "PLAIN LOGIN"),)):
        self.folder = world.folder / name
        self.folder.mkdir(mode=0o755)
        for sub in ("queue", "data", "sasl", "mail"):
            (self.folder / sub).mkdir(mode=0o755)
        shutil.chown(self.folder / "data", "postfix", "postfix")
        shutil.chown(self.folder / "mail", UNPRIVILEGED)
        # Before it starts: a process that is ready already would not read it.
        if password:
            settings = settings | self._login(password, mechanisms)
        main = {
            "compatibility_level": "3.6",
            "queue_directory": self.folder / "queue",
            "data_directory": self.folder / "data",
            "command_directory": "/usr/sbin",
            "daemon_directory": "/usr/lib/postfix/sbin",
            "mail_owner": "postfix",
            "setgid_group": "postdrop",
            "myhostname": f"{name}.example.org",
            "mydestination": "",
            "inet_interfaces": address,
            "inet_protocols": "ipv4",
            "mynetworks": "127.0.0.0/8",
            "maillog_file": self.folder / "maillog",
            "maillog_file_prefixes": world.folder,
            "smtputf8_enable": "yes",
            "default_process_limit": "60",
            "alias_maps": "",
            "smtp_host_lookup": "dns",
            "smtp_tls_security_level": "may",
            "message_size_limit": "52428800",
            "in_flow_delay": "0",
        } | settings
        text = "".join(f"{key} = {value}\n" for key, value in main.items())
        (self.folder / "main.cf").write_text(text)
        (self.folder / "master.cf").write_text(textwrap.dedent("""\
            smtp inet n - n - - smtpd
            pickup unix n - n 60 1 pickup
            cleanup unix n - n - 0 cleanup
            qmgr unix n - n 300 1 qmgr
            tlsmgr unix - - n 1000? 1 tlsmgr
            rewrite unix - - n - - trivial-rewrite
            bounce unix - - n - 0 bounce
            defer unix - - n - 0 bounce
            trace unix - - n - 0 bounce
            verify unix - - n - 1 verify
            proxymap unix - - n - - proxymap
            smtp unix - - n - - smtp
            relay unix - - n - - smtp
            showq unix n - n - - showq
            error unix - - n - - error
            retry unix - - n - - error
            discard unix - - n - - discard
            local unix - n n - - local
            virtual unix - n n - - virtual
            anvil unix - - n - 1 anvil
            scache unix - - n - 1 scache
            postlog unix-dgram n - n - 1 postlogd
            """) + services)
        # Postfix listens only at addresses that an interface is seen to have.
        run("ip", "address", "add", f"{address}/32", "dev", "lo", check=False)
        run("postfix", "-c", self.folder, "start")
        wait_for(f"Postfix {name}", lambda: listens(address, 25))
        world.add(self)

    def _login(self, password, mechanisms):
        sasl = self.folder / "sasl"
        for name, offered in mechanisms:
            (sasl / f"{name}.conf").write_text(
                f"pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: {offered}\n"
                f"sasldb_path: {sasl}/sasldb\n")
        run("saslpasswd2", "-p", "-c", "-f", sasl / "sasldb", "-u", "example.org", "puerto",
            input=password.encode())
        (sasl / "sasldb").chmod(0o644)
        return {"smtpd_sasl_local_domain": "example.org", "cyrus_sasl_config_path": sasl}

    def stop(self):
        self.resume()
        # `stop` waits for clients that linger; nothing here is worth waiting for.
        run("postfix", "-c", self.folder, "abort", check=False)

    def pause(self):
        """From now on it takes connections and says nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self):
        self._signal(signal.SIGCONT)

    def _signal(self, number):
        master = (self.folder / "queue" / "pid" / "master.pid").read_text().strip()
        children = run("pgrep", "--parent", master, check=False).stdout.decode().split()
        for pid in [master, *children]:
            os.kill(int(pid), number)

    def log(self):
        path = self.folder / "maillog"
        return path.read_text(errors="replace") if path.exists() else ""

    def messages(self):
        """The raw messages that arrived in its one Maildir, with bare LF."""
        folder = self.folder / "mail" / "all" / "new"
        return [p.read_bytes() for p in sorted(folder.iterdir())] if folder.is_dir() else []

    def count(self):
        folder = self.folder / "mail" / "all" / "new"
        return len(os.listdir(folder)) if folder.is_dir() else 0

    def wait(self, number, seconds=60):
        """Waits until so many messages have arrived and returns them parsed."""
        wait_for(f"{number} messages (there are {self.count()})",
                 lambda: self.count() >= number, seconds)
        return [email.message_from_bytes(m, policy=email.policy.default) for m in self.messages()]


def final_postfix(world, address=FINAL_ADDRESS, **settings):
    """The final recipient for example.net: everything lands in one Maildir."""
    user = pwd.getpwnam(UNPRIVILEGED)
    return Postfix(world, "final", address, {
        "virtual_mailbox_domains": "example.net",
        "virtual_mailbox_base": world.folder / "final" / "mail",
        "virtual_mailbox_maps": "static:all/",
        "virtual_uid_maps": f"static:{user.pw_uid}",
        "virtual_gid_maps": f"static:{user.pw_gid}",
        "virtual_minimum_uid": "1",
        "virtual_mailbox_limit": "0",
        "mydestination": "",
    } | settings)


class Puerto(Process):
    """The daemon under test, started as root, which it gives up."""

    def __init__(self, world, configuration="", sections="", environment=None, start=True,
                 state=None, prefix=()):
        """`state` is where the queue is, if not beside the rest; `prefix` is a command
        that runs it, such as strace."""
        self.folder = world.folder / "puerto"
        self.folder.mkdir(mode=0o755)
        self.state = state or self.folder / "state"
        self.prefix = list(prefix)
        self.configuration = self.folder / "puerto.toml"
        self.keys = self.folder / "dkim"
        self.binary = os.environ["PUERTO_BINARY"]
        self.environment = os.environ | {"SSL_CERT_FILE": str(world.authority.certificate)} | (
            environment or {})
        self.mail_log = self.folder / "mail.log"
        self.configuration.write_text(
            'hostname = "mail.example.com"\ndomains = ["example.com"]\n'
            f'state_dir = "{self.state}"\nrun_dir = "{self.folder}/run"\n'
            f'user = "{UNPRIVILEGED}"\nlog = "postfix"\nlog_to = "{self.mail_log}"\n'
            f'{configuration}\n[listen]\nsmtp = ["{SENDER_ADDRESS}:25"]\n'
            f'[dns]\nservers = ["{DNS_ADDRESS}:53"]\n[dkim]\ndirectory = "{self.keys}"\n'
            f'{sections}')
        if "[delivery]" not in sections:
            with open(self.configuration, "a") as file:
                file.write(f'[delivery]\nallow_private = true\nbind_ipv4 = "{SENDER_ADDRESS}"\n')
        self.sendmail = self.folder / "sendmail"
        self.sendmail.write_text(
            f'#!/bin/sh\nexport PUERTO_CONFIG={self.configuration}\n'
            f'exec {self.binary} sendmail "$@"\n')
        self.sendmail.chmod(0o755)
        world.add(self)
        if start:
            self.start()

    def start(self):
        self.start_process([*self.prefix, self.binary, "serve", "--config", self.configuration],
                           self.folder / "output", env=self.environment)
        # The socket is bound first, but is served only once the spool is open.
        wait_for("puerto", lambda: self.alive() and listens(SENDER_ADDRESS, 25), 20)
        # The one that a killed daemon left refuses.
        wait_for("its control socket", lambda: self.alive() and self.answers(), 20)

    def answers(self):
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as control:
            control.connect(str(self.folder / "run" / "control"))
            return True
        return False

    def alive(self):
        if self.process.poll() is not None:
            raise AssertionError(f"puerto ended with {self.process.returncode}:\n{self.text()}")
        return True

    def kill(self):
        self.process.kill()
        self.process.wait()

    def command(self, *arguments, **options):
        return run(self.binary, *arguments, "--config", self.configuration, **options)

    def log(self):
        return self.mail_log.read_text(errors="replace") if self.mail_log.exists() else ""

    def says(self, words):
        """Its log has these words; a line is written some time after what it tells."""
        wait_for(f"the log to say {words!r}", lambda: words in self.log())

    def queue_length(self):
        done = self.command("queue", "list", "--json")
        return sum(1 for line in done.stdout.splitlines() if line.strip())

    def wait_empty(self, seconds=60):
        wait_for("the queue to be empty", lambda: self.queue_length() == 0, seconds)


def opening(world, receiver=final_postfix, **settings):
    """What most tests begin with: a resolver, whoever receives for example.net, and us."""
    Unbound(world, RECORDS)
    return receiver(world), Puerto(world, **settings)


def as_user(*command, **options):
    """Runs a command as an unprivileged user."""
    return run("setpriv", f"--reuid={UNPRIVILEGED}", "--regid=nogroup", "--clear-groups",
               *command, **options)
