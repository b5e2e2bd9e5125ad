//! Mail that passes a cap: it is taken, and held; the administrator is told once in each
//! overrun, with the command that releases it.

use puerto_smtp::{Address, Envelope, LocalPart, Recipient, ReversePath};
use puerto_spool::{Content, MessageId, NewMessage};

use super::{Intake, Source};
use crate::caps::{Caps, Over, Sending};
use crate::cause::Cause;
use crate::config::Config;
use crate::lang::{Language, Text};
use crate::route;

const SUBJECT: Text =
    Text::new("Mail of {who} is held: it passes a cap", "Correo de {who} retenido: supera un tope");

const BODY: Text = Text::new(
    "{why}.\n\n\
     The cap is `{cap}`, in [caps] of the configuration. What comes beyond it is taken and\n\
     held; nothing is lost, and nobody else was told. The first such message is {id},\n\
     from <{from}>.\n\n\
     To see what is held:\n\n    puerto queue list {selection}\n\n\
     If it is meant, have it sent:\n\n    puerto queue release {selection}\n\n\
     If it is not, somebody may be using a stolen password or a hole in a program:\n\
     change the password, and\n\n    puerto queue remove {selection}\n\n\
     You are told once for each time that the cap is passed.\n",
    "{why}.\n\n\
     El tope es `{cap}`, en [caps] de la configuración. Lo que llega de más se acepta y se\n\
     retiene; no se pierde nada, y no se ha avisado a nadie más. El primero de esos\n\
     mensajes es {id}, de <{from}>.\n\n\
     Para ver lo retenido:\n\n    puerto queue list {selection}\n\n\
     Si es correo legítimo, para que salga:\n\n    puerto queue release {selection}\n\n\
     Si no, puede que alguien use una contraseña robada o un fallo de un programa:\n\
     cambie la contraseña, y\n\n    puerto queue remove {selection}\n\n\
     Se avisa una vez cada vez que se supera el tope.\n",
);

impl Intake {
    /// Counts a message of ours; says which cap it passes, if one.
    pub(super) fn over_cap(&self, source: &Source, message: &NewMessage) -> Option<Over> {
        let config = self.context.config.get();
        if config.caps.is_empty() {
            return None;
        }
        let sending = match source {
            Source::Local { uid, user, .. } => {
                Sending { account: None, user: Some((*uid, user)), client: None }
            }
            Source::Smtp { trusted: true, peer, account, .. } => Sending {
                account: account.as_ref().map(|account| account.name.as_str()),
                user: None,
                client: Some(peer.ip()),
            },
            // Notifications never count, nor what strangers send to our users.
            Source::Smtp { .. } | Source::Internal | Source::Outward | Source::Forwarded => {
                return None;
            }
        };
        let recipients = message.envelope.recipients.iter().map(|recipient| &recipient.address);
        let elsewhere = recipients.filter(|address| !route::is_local(&config, address.domain()));
        let now = message.received_at;
        let over = self.caps.count((&config.caps, &config.domains), sending, elsewhere, now);
        let at_once = over.as_ref().is_some_and(|over| over.is_first);
        if let Some(octets) = self.caps.to_be_written(now, at_once) {
            let path = self.caps.path().to_owned();
            // Whoever sends does not wait for it, nor is refused because it cannot be written.
            tokio::task::spawn_blocking(move || drop(Caps::write(&path, &octets)));
        }
        over
    }

    /// Tells the administrator that mail is held.
    pub(super) async fn tell_of_cap(&self, over: &Over, id: MessageId, from: &ReversePath) {
        let config = self.context.config.get();
        let Some(to) = postmaster(&config) else { return };
        let text = letter(over, id, from, &to, &config);
        let envelope = Envelope::new(ReversePath::Null, vec![Recipient::new(to)]);
        let letter = self.new_id();
        let content = Content::Memory(text.into_bytes());
        let told = Box::pin(self.accept(letter, &Source::Internal, envelope, content)).await;
        if let Err(refusal) = told {
            self.notice(id, &Cause::PostmasterUntold { reply: refusal.reply.to_string() });
        }
    }
}

fn postmaster(config: &Config) -> Option<Address> {
    let at_home = || {
        let domain = config.domains.first()?.clone();
        Some(Address::new(LocalPart::parse("postmaster").ok()?, domain))
    };
    config.postmaster.clone().or_else(at_home)
}

fn letter(over: &Over, id: MessageId, from: &ReversePath, to: &Address, config: &Config) -> String {
    let language: Language = config.language;
    let (condition, value) = &over.selection;
    let selection = format!("--held {condition} {}", quoted(value));
    let id = id.to_string();
    let from = from.address().map(ToString::to_string).unwrap_or_default();
    let (why, cap) = (over.cause().said().of(language), over.cap.to_string());
    let values = [
        ("why", why.as_str()),
        ("cap", &cap),
        ("id", &id),
        ("from", &from),
        ("selection", &selection),
    ];
    let body = BODY.with(language, &values);
    let subject = SUBJECT.with(language, &[("who", &over.who)]);
    let hostname = &config.hostname;
    let text = format!(
        "From: MAILER-DAEMON@{hostname}\nTo: {to}\nSubject: {subject}\n\
         Auto-Submitted: auto-generated\n\n{body}"
    );
    text.replace('\n', "\r\n")
}

// As a shell takes it.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "@.+-_".contains(c);
    match text.chars().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}
