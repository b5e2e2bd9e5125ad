//! Whom the configuration counts on: who may log in, users of this machine that it names, and
//! who reads what the server writes to its administrators.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::User;
use puerto_smtp::Address;
use tokio::time::timeout;

use super::{Means, Trial};
use crate::accounts::{self, Book};
use crate::cause::Cause;
use crate::config::{Config, Live, Mailbox};
use crate::deliver::{Judged, Remote};
use crate::doctor::default_user;
use crate::finding::{Finding, Severity, kinds};
use crate::lang::Text;
use crate::local::{self, Reader, Standing};
use crate::recipients;
use crate::rights;
use crate::tls::ClientTls;

kinds! {
    NOBODY = "accounts.none" Warning:
        "nobody can log in: {file} has no account",
        "nadie puede identificarse: {file} no tiene ninguna cuenta",
        "make one: {puerto} user add NAME", "cree una: {puerto} user add NOMBRE";
    DOUBLE = "accounts.double" Warning:
        "{one} and {other} are two accounts for one name, by our domains of today: each has its own \
         password, and both may send from the same address",
        "{one} y {other} son dos cuentas para un mismo nombre, con nuestros dominios de hoy: cada una \
         tiene su contraseña, y ambas pueden enviar desde la misma dirección",
        "take one away: puerto user remove {one}", "quite una: puerto user remove {one}";
    NO_SUCH_ACCOUNT = "accounts.named" Warning:
        "there is no account {account}, so that this holds for nobody",
        "no existe la cuenta {account}, así que esto no vale para nadie",
        "`puerto user list` shows those that there are",
        "`puerto user list` muestra las que hay";
    NO_SUCH_USER = "user.named" Warning:
        "there is no user {user} on this machine, so that this holds for nobody",
        "no existe el usuario {user} en esta máquina, así que esto no vale para nadie",
        "mend the name, or take it out", "corrija el nombre, o quítelo";
}

const NAME_A_READER: Text = Text::new(
    "name who reads it, as in postmaster = \"ana\" in [local], or in the aliases",
    "ponga quién lo lee, como postmaster = \"ana\" en [local], o en los alias",
);
/// How long the LMTP server may take over all that it is asked.
const PATIENCE: Duration = Duration::from_secs(5);

impl Trial {
    // Without them all that the listeners for logins do is to refuse.
    pub(super) fn accounts(&mut self, config: &Config) {
        let (listen, file) = (&config.listen, &config.accounts.file);
        let key = match (listen.submission.is_empty(), listen.submissions.is_empty()) {
            (true, true) => None,
            (true, false) => Some("listen.submissions"),
            (false, _) => Some("listen.submission"),
        };
        if let Some(socket) = config.accounts.dovecot.as_ref().filter(|_| key.is_some()) {
            let connect = || std::os::unix::net::UnixStream::connect(socket);
            if let Err(error) = rights::act(self.service.as_ref(), connect) {
                let socket = socket.display().to_string();
                self.failed(Means::Warns, "accounts.dovecot", &socket, &error);
            }
            return;
        }
        let nobody = NOBODY.put("file", file.display());
        match (self.secrets(file, accounts::MAX_FILE), key) {
            (Err(error), Some(key)) if error.kind() == io::ErrorKind::NotFound => {
                self.add(key, nobody);
            }
            (Err(error), None) if error.kind() == io::ErrorKind::NotFound => {}
            (Err(error), _) => {
                let file = file.display().to_string();
                self.failed(Means::Warns, "accounts.file", &file, &error);
            }
            (Ok(_), None) => {}
            (Ok(_), Some(key)) => match Book::load(file) {
                Ok(book) if !book.accounts().is_empty() => self.names_in(&book, config),
                Ok(_) => self.add(key, nobody),
                Err(error) => self.bare(Severity::Warning, "accounts.file", false, error.said()),
            },
        }
    }

    // Accounts that are one by now, and names that are no account's.
    fn names_in(&mut self, book: &Book, config: &Config) {
        for (one, other) in book.doubles(&config.domains) {
            self.add("domains", DOUBLE.put("one", one).put("other", other));
        }
        for (key, name) in named_accounts(config) {
            if book.find(name, &config.domains).is_none() {
                self.add(key, NO_SUCH_ACCOUNT.put("account", name));
            }
        }
    }

    /// Users of this machine that keys name.
    pub(super) fn users(&mut self, config: &Config) {
        let of_caps = config.caps.users.iter().map(|(user, _)| ("caps.users", user));
        let of_sender = config.sender.users.iter().map(|(user, _)| ("sender.users", user));
        for (key, user) in of_caps.chain(of_sender).filter(|(_, user)| *user != "*") {
            // Where users cannot be looked up, nobody can say that one is missing.
            if matches!(User::from_name(user), Ok(None)) {
                self.add(key, NO_SUCH_USER.put("user", user));
            }
        }
        if let Some(missing) = default_user(config) {
            self.add("local.default_user", missing);
        }
    }

    /// Who reads what is written to postmaster and root.
    pub(super) fn readers(&mut self, config: &Config) {
        let whole = Arc::new(config.clone());
        // That users or aliases cannot be looked up is told elsewhere.
        let readers = local::readers(&whole, self.service.as_ref()).unwrap_or_default();
        let answers = ask(&whole, &readers);
        for reader in &readers {
            let (id, said) = match &reader.standing {
                Standing::Known | Standing::Unsaid(_) => continue,
                Standing::Unknown => ("postmaster.nobody", reader.nobody()),
                Standing::Asked(whom) => {
                    let mut answers = whom.iter().map(|address| answers.get(address));
                    if answers.clone().any(|answer| answer == Some(&Judged::Taken)) {
                        continue;
                    }
                    match answers.find_map(unsaid) {
                        Some(why) => {
                            let said = reader.not_asked(whom, &why);
                            self.bare(Severity::Warning, reader.key, false, said);
                            continue;
                        }
                        None => ("postmaster.unknown", reader.unknown(whom)),
                    }
                }
            };
            self.add(reader.key, Finding::new(id, Severity::Warning, said, NAME_A_READER.into()));
        }
    }
}

// Accounts that keys name, with their keys.
fn named_accounts(config: &Config) -> impl Iterator<Item = (&'static str, &String)> {
    let of_caps = config.caps.accounts.iter().map(|(name, _)| ("caps.accounts", name));
    let of_sender = config.sender.accounts.iter().map(|(name, _)| ("sender.accounts", name));
    let of_sources = config.sources.iter().flat_map(|source| &source.accounts);
    let of_sources = of_sources.map(|name| ("source.accounts", name));
    of_caps.chain(of_sender).chain(of_sources).filter(|(_, name)| *name != "*")
}

// Why nothing is known, if that is so.
fn unsaid(judged: Option<&Judged>) -> Option<Cause> {
    match judged {
        Some(Judged::Unsaid(why) | Judged::PutOff(why)) => Some(why.clone()),
        Some(Judged::Taken | Judged::Unknown(_)) => None,
        None => Some(Cause::NoAnswer {}),
    }
}

// What the LMTP server says of all that may be its; it is given up together.
fn ask(config: &Arc<Config>, readers: &[Reader]) -> BTreeMap<Address, Judged> {
    let whom = readers.iter().filter_map(|reader| match &reader.standing {
        Standing::Asked(whom) => Some(whom),
        Standing::Known | Standing::Unknown | Standing::Unsaid(_) => None,
    });
    let mut answers: BTreeMap<Address, Judged> = BTreeMap::new();
    let whom: Vec<&Address> = whom.flatten().collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let (Mailbox::Lmtp(_), false, Ok(runtime)) = (&config.local.mailbox, whom.is_empty(), runtime)
    else {
        return answers;
    };
    let remote = Remote::new(Live::new(Config::clone(config)), ClientTls::new());
    let asking = async {
        for address in whom {
            let judged = recipients::ask_lmtp(Arc::clone(config), &remote, address).await;
            answers.insert(address.clone(), judged);
        }
    };
    // Who was not come to has no answer, which says enough.
    let _ = runtime.block_on(async { timeout(PATIENCE, asking).await });
    // The system may still look for a host.
    runtime.shutdown_background();
    answers
}
