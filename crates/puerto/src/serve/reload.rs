//! What a reload takes over while the server runs: configuration, certificate, keys, what is
//! kept, and who may come to the doors of `web`.

use std::path::PathBuf;
use std::sync::Arc;

use super::keeper::Keeper;
use super::notice;
use crate::acme;
use crate::config::{Config, Live, TlsFiles};
use crate::control;
use crate::history::History;
use crate::intake::KeyRing;
use crate::telemetry::MailLog;
use crate::tls::{ServerTls, TlsError};
use crate::web::Doors;

/// Sockets, folders and the user stay as they were: to change them is to start anew.
pub(super) fn reloader(
    live: Live,
    file: Option<PathBuf>,
    (tls, keeper): (ServerTls, Option<Arc<Keeper>>),
    keys: Arc<KeyRing>,
    log: MailLog,
) -> control::Reload {
    Arc::new(move || {
        let config = Config::load_whole(file.as_deref())
            .map_err(|errors| format!("the configuration was not read again: {errors}"))?;
        let reloaded = reload_certificate(&tls, config.tls.as_ref(), keeper.as_deref());
        // One that is to be got by ACME may not be there yet.
        if let Some(error) = reloaded.err().filter(|_| !config.acme.is_on()) {
            notice(&log, "error", &format!("the old certificate stays in use: {error}"));
        }
        for problem in keys.reload() {
            notice(&log, "warning", &problem.said.to_string());
        }
        live.replace(config);
        Ok(())
    })
}

/// Another configuration holds for what is kept, too.
pub(super) fn also_the_history(
    reload: control::Reload,
    history: Option<History>,
    live: Live,
) -> control::Reload {
    Arc::new(move || {
        reload()?;
        history.iter().for_each(|history| history.reload(&live.get()));
        Ok(())
    })
}

/// A reload may ask for another certificate than before, and for other sockets to prove it at.
pub(super) fn also_the_web(
    reload: control::Reload,
    (doors, renew): (Doors, acme::Renew),
    live: Live,
) -> control::Reload {
    Arc::new(move || {
        reload()?;
        let unbound = doors.reload(&live.get());
        renew.look();
        match unbound.is_empty() {
            true => Ok(()),
            false => Err(format!("the configuration was read again, but {}", unbound.join("; "))),
        }
    })
}

/// Tells at each reload what of the configuration waits for the next start.
pub(super) fn also_what_waits(reload: control::Reload, live: Live) -> control::Reload {
    let started = live.get();
    Arc::new(move || {
        let reloaded = reload();
        let waiting = started.waiting_for_a_start(&live.get());
        if waiting.is_empty() {
            return reloaded;
        }
        let told = format!(
            "{} changed and holds from the next start on, since a server that runs has given up the \
             right to open its sockets, log and queue anew (systemctl restart puerto)",
            waiting.join(", ")
        );
        match reloaded {
            Ok(()) => Err(format!("the configuration was read again, but {told}")),
            Err(error) => Err(format!("{error}; {told}")),
        }
    })
}

/// What was got by ourselves belongs to the service's user.
pub(super) fn certificate_reload(tls: ServerTls, live: Live) -> control::Reload {
    Arc::new(move || tls.reload(live.get().tls.as_ref()).map_err(|error| error.to_string()))
}

/// Root could read the certificate's key; whether that holds from now on would else show only
/// when the certificate has run out.
pub(super) fn try_reload(tls: &ServerTls, config: &Config, keeper: Option<&Keeper>, log: &MailLog) {
    if config.acme.is_on() {
        // Without one there is no TLS until there is; that is told where it is got.
        let _ = tls.reload(config.tls.as_ref());
        return;
    }
    if let Err(error) = reload_certificate(tls, config.tls.as_ref(), keeper) {
        let text = format!(
            "a new certificate will need a restart, since a reload cannot take it: {error}; let \
             the user {:?} read it (chgrp, chmod 0640)",
            config.user
        );
        notice(log, "warning", &text);
    }
}

/// Reads the certificate again: as who we are, or through the keeper where root alone may.
fn reload_certificate(
    tls: &ServerTls,
    files: Option<&TlsFiles>,
    keeper: Option<&Keeper>,
) -> Result<(), String> {
    let Err(error) = tls.reload(files) else { return Ok(()) };
    let (TlsError::Read { .. }, Some(files)) = (&error, files) else {
        return Err(error.to_string());
    };
    match keeper.and_then(|keeper| keeper.read(files)) {
        Some(Ok(pem)) => tls.reload_from(files, &pem).map_err(|error| error.to_string()),
        Some(Err(why)) => Err(why),
        None => Err(format!("{error}; a restart reads it with root's rights")),
    }
}

/// The certificate's files where they are not our own to write. What is got by ACME may not
/// be there yet, and is read when root's rights are gone.
pub(super) fn files_of_others(config: &Config) -> Option<&TlsFiles> {
    config.tls.as_ref().filter(|_| !config.acme.is_on())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_a_reload_cannot_open_is_told_until_the_server_is_started_again() {
        let of = |text: &str| Config::parse(text, "puerto.toml").unwrap();
        let live = Live::new(of("[listen]\nsmtp = [\"0.0.0.0:25\"]\n"));
        let next = Arc::new(std::sync::Mutex::new(Ok(String::new())));
        let (file, to) = (Arc::clone(&next), live.clone());
        let read: control::Reload = Arc::new(move || {
            let text = file.lock().unwrap().clone()?;
            to.replace(Config::parse(&text, "puerto.toml").unwrap());
            Ok(())
        });
        let reload = also_what_waits(read, live);
        let more = "[listen]\nsmtp = [\"0.0.0.0:25\", \"0.0.0.0:2525\"]\n";
        for (text, told) in [
            (Ok("[listen]\nsmtp = [\"0.0.0.0:25\"]\n[queue]\nexpire = \"2d\"\n"), None),
            (Ok(more), Some("read again, but listen.smtp changed")),
            // As long as it is so.
            (Ok(more), Some("systemctl restart puerto")),
            (Err("line 3 is wrong"), Some("line 3 is wrong; listen.smtp")),
            (Ok("[listen]\nsmtp = [\"0.0.0.0:25\"]\n"), None),
            (Err("line 3 is wrong"), Some("line 3 is wrong")),
        ] {
            *next.lock().unwrap() = text.map(str::to_owned).map_err(str::to_owned);
            match (reload(), told) {
                (Ok(()), None) => {}
                (Err(error), Some(told)) => assert!(error.contains(told), "{error}"),
                (other, _) => panic!("{text:?}: {other:?}"),
            }
        }
    }
}
