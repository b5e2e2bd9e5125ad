//! The files by which systemd knows the service: its unit, its user, its folders.
//!
//! The daemon is started as root and becomes its own user itself, after it has opened
//! ports, certificates and keys. The mailbox agent and the certificate's keeper keep
//! root's identity, so the unit takes from them every capability but those that writing
//! mailboxes needs, and leaves home directories visible.
//!
//! The folders are tmpfiles' and the daemon's own affair: systemd would give those that
//! the unit names to root, with the whole queue, at each start and at each reload.
//!
//! A socket unit holds the addresses while the daemon is started again, so that clients
//! and `sendmail` wait for a moment instead of being refused.
//!
//! A package brings the same files below `/usr/lib`, made here too, as they are for the
//! defaults. What it says already is not said again below `/etc`, so that an upgrade
//! brings new units. Neither unit does anything before there is a configuration, nor when
//! the program is gone.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::batch::{Batch, Unwritten};
use super::files::{Content, State, Wanted};
use super::root::Root;
use crate::config::{Config, DEFAULT_FILE, Listen};
use crate::finding::{Finding, kinds};
use crate::receive::SUBMIT_SOCKET;

kinds! {
    OVERLAP = "listener.unit" Error:
        "the server cannot open {address} at its next start: the unit puerto.socket holds {held}, \
         which `[listen]` does not list",
        "el servidor no podrá abrir {address} cuando vuelva a arrancar: la unidad puerto.socket ocupa \
         {held}, que no está en `[listen]`",
        "run `puerto setup {domain}`, which has the unit follow the configuration and starts the server with \
         it; a unit of your own is changed by `systemctl edit puerto.socket`",
        "ejecute `puerto setup {domain}`, que adapta la unidad a la configuración y arranca el servidor con \
         ella; una unidad propia se cambia con `systemctl edit puerto.socket`";
}

kinds! {
    UNUSED = "listener.unused" Warning:
        "the unit puerto.socket holds {held}, which `[listen]` does not list: whoever connects there \
         waits for nobody",
        "la unidad puerto.socket ocupa {held}, que no está en `[listen]`: quien se conecta ahí espera \
         en vano",
        "run `puerto setup {domain}`, which has the unit follow the configuration; a unit of your own \
         is changed by `systemctl edit puerto.socket`",
        "ejecute `puerto setup {domain}`, que adapta la unidad a la configuración; una unidad propia se \
         cambia con `systemctl edit puerto.socket`";
}

/// Where the unit goes.
pub(super) const UNIT: &str = "/etc/systemd/system/puerto.service";
/// Where the unit of its sockets goes.
pub(super) const SOCKET: &str = "/etc/systemd/system/puerto.socket";
/// Where the user is declared.
pub(super) const SYSUSERS: &str = "/etc/sysusers.d/puerto.conf";
/// Where the folders are declared.
pub(super) const TMPFILES: &str = "/etc/tmpfiles.d/puerto.conf";

/// Where units are, the strongest first.
const UNITS: [&str; 3] = ["/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system"];
/// What is there where systemd runs.
const MANAGED: &str = "/run/systemd/system";
/// What names an address in the unit of the sockets.
const LISTEN: &str = "ListenStream=";

/// Where a package puts the program.
const PACKAGED: &str = "/usr/bin/puerto";

/// The program and its configuration, as paths of the machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct Installed<'a> {
    pub(super) program: &'a Path,
    pub(super) config_file: &'a Path,
}

/// The files that a machine needs; none of those that its package says already.
pub(super) fn files(root: &Root, installed: Installed<'_>, config: &Config) -> Vec<Wanted> {
    let mut files = all(installed, config);
    files.retain(|wanted| root.has(&wanted.path) || !is_packaged(root, wanted));
    files
}

/// Whether what is there is the unit of the sockets as it was made for other addresses: that is
/// nobody's own work, and follows the configuration.
pub(super) fn is_followed(root: &Root, wanted: &Wanted) -> bool {
    let Content::Text(text, _) = &wanted.content else { return false };
    let there = || root.read(&wanted.path).ok().flatten();
    let is_other = |line: &&str| !line.starts_with(LISTEN);
    wanted.path == Path::new(SOCKET)
        && there()
            .is_some_and(|there| there.lines().filter(is_other).eq(text.lines().filter(is_other)))
}

/// What the unit of the sockets holds and the configuration does not list: the server may not
/// be able to open its own addresses beside it, and nobody answers there. Nothing where no
/// service manager runs.
pub fn overlap(root: &Root, config: &Config) -> Option<Finding> {
    if !root.has(MANAGED) {
        return None;
    }
    let listed: Vec<SocketAddr> = config.listen.all().copied().collect();
    let mut held = held(root);
    held.retain(|held| !listed.contains(held));
    let own = |held: &SocketAddr| listed.iter().find(|own| Listen::meet(own, held));
    let pair = held.iter().find_map(|held| Some((*own(held)?, *held)));
    let finding = match pair {
        Some((own, held)) => OVERLAP.put("address", own).put("held", held),
        None => UNUSED.put("held", held.first()?),
    };
    let domain = config.domains.first().map_or(config.hostname.clone(), ToString::to_string);
    Some(finding.put("domain", domain))
}

/// The addresses that the service manager holds for us, by the unit that is in force and what
/// is dropped in beside it.
fn held(root: &Root) -> Vec<SocketAddr> {
    let read = |path: &Path| root.read(path).ok().flatten();
    let mut texts: Vec<String> = UNITS
        .iter()
        .find_map(|folder| read(&Path::new(folder).join("puerto.socket")))
        .into_iter()
        .collect();
    for folder in UNITS.iter().rev() {
        let folder = Path::new(folder).join("puerto.socket.d");
        let names = root.names(&folder);
        texts.extend(names.iter().filter_map(|name| read(&folder.join(name))));
    }
    let mut held = Vec::new();
    for value in texts.iter().flat_map(|text| text.lines()).filter_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "ListenStream").then_some(value.trim())
    }) {
        match value {
            "" => held.clear(),
            value => held.extend(value.parse::<SocketAddr>()),
        }
    }
    held
}

/// Writes the files as a package brings them below a folder.
pub fn write_packaged(folder: &Path) -> Result<(), Unwritten> {
    let root = Root::new(folder);
    let config = Config::with_defaults("localhost".to_owned());
    let places = Installed { program: PACKAGED.as_ref(), config_file: DEFAULT_FILE.as_ref() };
    let mut batch = Batch::new(&root, "");
    for wanted in all(places, &config) {
        batch.stage(&Wanted { path: packaged(&wanted.path), ..wanted }, false)?;
    }
    batch.commit()
}

/// Whether the program belongs to a package, which keeps its names and manual pages.
pub(super) fn has_package(root: &Root, program: &Path) -> bool {
    program == Path::new(PACKAGED) && root.has(packaged(Path::new(UNIT)))
}

fn is_packaged(root: &Root, wanted: &Wanted) -> bool {
    let twin = Wanted { path: packaged(&wanted.path), content: wanted.content.clone() };
    twin.state(root).is_ok_and(|state| state == State::Same)
}

/// Where a package has what an administrator has below `/etc`.
fn packaged(path: &Path) -> PathBuf {
    Path::new("/usr/lib").join(path.strip_prefix("/etc").unwrap_or(path))
}

fn all(installed: Installed<'_>, config: &Config) -> Vec<Wanted> {
    let mut files = vec![
        Wanted::text(UNIT, unit(installed, &config.state_dir)),
        Wanted::text(SOCKET, socket(installed, config)),
        Wanted::text(TMPFILES, tmpfiles(config)),
    ];
    files.extend(sysusers(config).map(|text| Wanted::text(SYSUSERS, text)));
    files
}

/// The unit; the queue is in `state`.
pub(super) fn unit(installed: Installed<'_>, state: &Path) -> String {
    let options = match installed.config_file == Path::new(DEFAULT_FILE) {
        true => String::new(),
        false => format!(" --config {}", installed.config_file.display()),
    };
    let (program, state) = (installed.program.display(), state.display());
    let conditions = conditions(installed);
    format!(
        "\
[Unit]
Description=Buen Puerto, a mail server for sending
Documentation=man:puerto(1)
{conditions}
Wants=network-online.target
After=network-online.target nss-lookup.target
# The queue's disk is there before the queue is looked for.
RequiresMountsFor={state}

[Service]
Type=notify
Sockets=puerto.socket
ExecStart={program}{options} serve
# A reload fails where the new configuration is wrong; the daemon keeps the old one. Where it
# only makes some mail wait (1), all else is taken over.
ExecReload=/bin/sh -c '{program}{options} config check || [ $$? -eq 1 ]'
# With all rights: those of the service do not reach the daemon, which is another user. By the
# shell's own: a small machine may have no /bin/kill.
ExecReload=+/bin/sh -c 'kill -HUP ${{MAINPID}}'
Restart=on-failure
RestartSec=2s
# A wrong configuration does not become right by trying again.
RestartPreventExitStatus=78
# A long queue is read before mail is taken.
TimeoutStartSec=5min
WatchdogSec=3min
# The daemon finishes what is in flight when it is told to stop.
TimeoutStopSec=60s
KillMode=mixed
LimitNOFILE=65536

# It starts as root to open ports and keys, then becomes its own user. Two small processes
# stay behind, to write mailboxes as their users and to read a renewed certificate; these
# are all they need for that. Other users' processes are not hidden from it (ProtectProc=):
# the log says from which of them mail has come.
CapabilityBoundingSet=CAP_NET_BIND_SERVICE CAP_SETUID CAP_SETGID CAP_KILL CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER
NoNewPrivileges=yes
ProtectSystem=full
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectHostname=yes
ProtectControlGroups=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
Also=puerto.socket
"
    )
}

/// When the units do anything.
fn conditions(Installed { program, config_file }: Installed<'_>) -> String {
    let (program, config_file) = (program.display(), config_file.display());
    format!(
        "\
# Not before `puerto setup`, and not once the program is gone.
ConditionPathExists={config_file}
ConditionFileIsExecutable={program}"
    )
}

/// The unit of the sockets that a configuration lists.
pub(super) fn socket(installed: Installed<'_>, config: &Config) -> String {
    let conditions = conditions(installed);
    let lines = config.listen.all().map(|address| format!("{LISTEN}{address}\n"));
    let lines: String = lines.collect();
    let local = config.run_dir.join(SUBMIT_SOCKET);
    let local = local.display();
    format!(
        "\
[Unit]
Description=Buen Puerto's addresses, held while it is started again
Documentation=man:puerto(1)
{conditions}

# The addresses of [listen] in the configuration, and the socket that sendmail uses. Where
# the two differ, the daemon opens what is missing here and warns of what is too much:
# `puerto setup` proposes the right file when the configuration has changed.
# To stop everything: systemctl stop puerto.socket puerto.service
[Socket]
{lines}{LISTEN}{local}
BindIPv6Only=ipv6-only
SocketMode=0666
RemoveOnStop=yes

[Install]
WantedBy=sockets.target
"
    )
}

/// The user and group, unless the daemon stays who it is.
fn sysusers(config: &Config) -> Option<String> {
    let Config { user, state_dir, .. } = config;
    let home = state_dir.display();
    (!user.is_empty()).then(|| format!("u {user} - \"Buen Puerto mail server\" {home} -\n"))
}

/// The folders and who may read the secrets.
fn tmpfiles(config: &Config) -> String {
    let user = if config.user.is_empty() { "root" } else { &config.user };
    let (state, run) = (config.state_dir.display(), config.run_dir.display());
    let dkim = config.dkim_directory.display();
    let drop = config.pickup.directory.as_ref();
    // The daemon makes the users' own, each theirs alone, when it starts.
    let drop = drop.map(|path| format!("d {} 0755 root root -\n", path.display()));
    let drop = drop.filter(|_| !config.user.is_empty()).unwrap_or_default();
    let mut out = format!(
        "d {state} 0700 {user} {user} -\n\
         {drop}\
         d {run} 0755 {user} {user} -\n\
         # The daemon reads its secrets, and cannot change them.\n\
         Z {dkim} ~0750 root {user} -\n"
    );
    for login in config.relays().filter_map(|relay| relay.login) {
        out.push_str(&format!("z {} 0640 root {user} -\n", login.password_file.display()));
    }
    out
}
