//! The files by which systemd knows the service: its unit, its user, its folders.
//!
//! The daemon is started as root and becomes its own user itself, after it has opened
//! ports, certificates and keys. The mailbox agent keeps root's identity, so the unit
//! takes from it every capability but those that writing mailboxes needs, and leaves
//! home directories visible.

use std::path::Path;

/// Where the unit goes.
pub(super) const UNIT: &str = "/etc/systemd/system/puerto.service";
/// Where the user is declared.
pub(super) const SYSUSERS: &str = "/etc/sysusers.d/puerto.conf";
/// Where the folders are declared.
pub(super) const TMPFILES: &str = "/etc/tmpfiles.d/puerto.conf";

/// The unit; `options` stand before `serve`.
pub(super) fn unit(program: &Path, options: &str) -> String {
    let program = program.display();
    format!(
        "\
[Unit]
Description=Buen Puerto, a mail server for sending
Documentation=man:puerto(1)
Wants=network-online.target
After=network-online.target nss-lookup.target

[Service]
Type=notify
ExecStart={program}{options} serve
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
RestartSec=2s
# The daemon finishes what is in flight when it is told to stop.
TimeoutStopSec=60s
KillMode=mixed
StateDirectory=puerto
StateDirectoryMode=0700
RuntimeDirectory=puerto
RuntimeDirectoryMode=0755
LimitNOFILE=65536

# It starts as root to open ports and keys, then becomes the user puerto. The mailbox
# agent stays behind to write mailboxes as their users; these are all it needs for that.
CapabilityBoundingSet=CAP_NET_BIND_SERVICE CAP_SETUID CAP_SETGID CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER
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
"
    )
}

/// The user and group.
pub(super) fn sysusers() -> String {
    "u puerto - \"Buen Puerto mail server\" /var/lib/puerto -\n".to_owned()
}

/// The folders and who may read the secrets.
pub(super) fn tmpfiles(dkim: &Path, password: Option<&Path>) -> String {
    let dkim = dkim.display();
    let mut out = format!(
        "d /var/lib/puerto 0700 puerto puerto -\n\
         d /run/puerto 0755 puerto puerto -\n\
         # The daemon reads its secrets, and cannot change them.\n\
         Z {dkim} ~0750 root puerto -\n"
    );
    if let Some(password) = password {
        out.push_str(&format!("z {} 0640 root puerto -\n", password.display()));
    }
    out
}
