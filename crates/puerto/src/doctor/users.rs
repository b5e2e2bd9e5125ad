//! The users and groups that the configuration counts on.

use std::path::Path;

use nix::unistd::{Group, User};

use super::{Section, word};
use crate::config::Config;
use crate::finding::{Finding, kinds};
use crate::lang::{Text, said};

kinds! {
    NO_USER = "user.none" Error:
        "there is no user {user}, whom the server is to become",
        "no existe el usuario {user}, con el que ha de trabajar el servidor",
        "useradd --system --user-group --no-create-home --home-dir {state} --shell \
         /usr/sbin/nologin {user}",
        "useradd --system --user-group --no-create-home --home-dir {state} --shell \
         /usr/sbin/nologin {user}";
    NO_GROUP = "user.no-group" Warning:
        "there is no group {user}, to which the service's files are given",
        "no existe el grupo {user}, al que se dan los ficheros del servicio",
        "groupadd --system {user}", "groupadd --system {user}";
    IS_ROOT = "user.root" Warning:
        "the server works as root ({user}): a fault in it would be root's",
        "el servidor trabaja como root ({user}): un fallo suyo sería de root",
        "set `user = \"puerto\"` in the configuration, then: systemd-sysusers; systemctl restart \
         puerto",
        "ponga `user = \"puerto\"` en la configuración y después: systemd-sysusers; systemctl \
         restart puerto";
    NO_DEFAULT = "user.no-default" Warning:
        "there is no user {user}, who runs the commands of root's aliases",
        "no existe el usuario {user}, que ejecuta las órdenes de los alias de root",
        "useradd --system --user-group --no-create-home --shell /usr/sbin/nologin {user}",
        "useradd --system --user-group --no-create-home --shell /usr/sbin/nologin {user}";
}

/// Where the service's user is declared, for who makes it.
const DECLARED: [&str; 2] = ["/etc/sysusers.d/puerto.conf", "/usr/lib/sysusers.d/puerto.conf"];

pub(super) fn look(config: &Config) -> Section {
    let mut section = Section::new("users", Text::new("users", "usuarios"));
    let found = &mut section.findings;
    let user = config.user.as_str();
    match User::from_name(user) {
        _ if user.is_empty() => {
            section.seen =
                said!("the server stays who starts it", "el de quien arranca el servidor");
        }
        Ok(None) => {
            let finding =
                NO_USER.put("user", word(user)).put("state", word(config.state_dir.display()));
            let declared = DECLARED.iter().any(|file| Path::new(file).exists());
            let remedy = match declared && user == "puerto" {
                true => said!("systemd-sysusers", "systemd-sysusers"),
                false => finding.remedy.clone(),
            };
            found.push(Finding { remedy, ..finding });
        }
        Ok(Some(known)) => {
            section.seen =
                said!("{user} (uid {uid})", "{user} (uid {uid})"; user = user, uid = known.uid);
            if known.uid.is_root() {
                found.push(IS_ROOT.put("user", user));
            } else if matches!(Group::from_name(user), Ok(None)) {
                found.push(NO_GROUP.put("user", word(user)));
            }
        }
        Err(_) => {}
    }
    found.extend(default_user(config));
    section
}

/// That the user is missing as whom commands of root's are run, if so.
pub fn default_user(config: &Config) -> Option<Finding> {
    let user = config.local.default_user.as_str();
    let is_missing = !user.is_empty() && matches!(User::from_name(user), Ok(None));
    is_missing.then(|| NO_DEFAULT.put("user", word(user)))
}
