//! Why there was no session, and what a reply means, in words for people.

use std::io::ErrorKind;

use puerto_smtp::client::{AuthUnavailable, Cause, Failure, Loss, Stage};
use puerto_smtp::{Reply, Severity};

use crate::deliver::probe::{PATIENCE, Why};
use crate::explain::{self, Explanation};
use crate::lang::{Said, Text, reply_error, said, said_of, shown, system};
use crate::rights;

/// What happened, told of the host, whose name the reader has seen.
pub(super) fn said(why: &Why) -> Said {
    match why {
        Why::NotConnected(error) if error.kind() == ErrorKind::TimedOut => said!(
            "nothing answers: what is sent there is dropped on the way",
            "no responde nada: lo que se envía allí se pierde por el camino"
        ),
        Why::NotConnected(error) => said_of!(
            "no connection: {error}", "no hay conexión: {error}"; error = system(error)
        ),
        Why::Session(failure) => of_session(failure),
        Why::NoTls => said!(
            "TLS is required (tls = \"required\"), and it offers none",
            "se exige TLS (tls = \"required\") y no lo ofrece"
        ),
        Why::Handshake(error) => said_of!(
            "TLS could not be started: {error}", "no se pudo iniciar TLS: {error}";
            error = error
        ),
        Why::Password(file, error) => said_of!(
            "the password file {file} cannot be read: {error}",
            "no se puede leer el fichero de la contraseña {file}: {error}";
            file = Said::words(file.display().to_string()), error = rights::said(error)
        ),
        Why::NoLogin(AuthUnavailable::NotEncrypted) => {
            said!("no password is sent without TLS", "sin TLS no se envía ninguna contraseña")
        }
        Why::NoLogin(AuthUnavailable::NoMechanism(offered)) if offered.is_empty() => {
            said!("it offers no AUTH here", "aquí no ofrece AUTH")
        }
        Why::NoLogin(AuthUnavailable::NoMechanism(offered)) => said!(
            "of its AUTH mechanisms ({offered}) none is known here: PLAIN and LOGIN are",
            "no se conoce aquí ninguno de sus mecanismos AUTH ({offered}), solo PLAIN y LOGIN";
            offered = offered.join(" ")
        ),
    }
}

fn of_session(failure: &Failure) -> Said {
    // The protocol's words are the same in every language.
    let command = failure.stage.verb().unwrap_or_default();
    match (&failure.cause, failure.stage) {
        // Said before anything was asked of the server: it is about the client.
        (Cause::Reply(reply), Stage::Greeting | Stage::Ehlo | Stage::Helo) => said!(
            "it turns this machine away: {reply}", "rechaza a esta máquina: {reply}"; reply = reply
        ),
        (Cause::Reply(reply), _) => said!(
            "{command} is refused: {reply}", "rechaza {command}: {reply}";
            command = command, reply = reply
        ),
        (Cause::OutOfStep, Stage::Greeting) => said!(
            "it speaks before it is asked: more than a greeting came",
            "habla antes de que se le pregunte: llegó algo más que un saludo"
        ),
        (Cause::Garbage(_), Stage::Greeting) => said!(
            "what answers is no mail server: it does not greet with 220",
            "lo que responde no es un servidor de correo: no saluda con 220"
        ),
        (Cause::Garbage(error), _) => said_of!(
            "in reply to {command}, {error}", "en respuesta a {command}, {error}";
            command = Said::words(command), error = reply_error(error)
        ),
        (Cause::OutOfStep, _) => said!(
            "its reply to {command} makes no sense", "su respuesta a {command} no tiene sentido";
            command = command
        ),
        (Cause::InjectedBeforeTls, _) => said!(
            "plain text followed the reply to STARTTLS: somebody may be interfering with the connection",
            "tras la respuesta a STARTTLS llegó texto sin cifrar: quizá alguien manipula la conexión"
        ),
        (Cause::Lost(Loss::TimedOut), Stage::Greeting) => said!(
            "it takes the connection, but says nothing in {seconds} seconds",
            "acepta la conexión, pero en {seconds} segundos no dice nada";
            seconds = PATIENCE.as_secs()
        ),
        (Cause::Lost(_), Stage::Greeting) => said!(
            "it takes the connection and closes it without a word",
            "acepta la conexión y la cierra sin decir nada"
        ),
        (Cause::Lost(Loss::TimedOut), _) => said!(
            "no reply to {command} came in {seconds} seconds",
            "en {seconds} segundos no llegó la respuesta a {command}";
            command = command, seconds = PATIENCE.as_secs()
        ),
        (Cause::Lost(_), _) => said!(
            "it closed the connection instead of answering {command}",
            "cerró la conexión en lugar de responder a {command}"; command = command
        ),
        (Cause::TooLarge { limit }, _) => said!(
            "it takes {limit} octets at most", "acepta como mucho {limit} octetos"; limit = limit
        ),
        (Cause::NeedsSmtputf8, _) => said!(
            "the address needs SMTPUTF8, which it does not offer",
            "la dirección necesita SMTPUTF8 y no lo ofrece"
        ),
    }
}

/// What to do about a session that failed; `port` is where.
pub(super) fn remedy(why: &Why, host: &str, port: u16) -> Said {
    const PORT: Text = Text::new(
        "check the host and the port: relays take mail at 587 or 25, and at 465 with smtps://",
        "compruebe la máquina y el puerto: los relays aceptan correo en el 587 o el 25, y en el 465 con smtps://",
    );
    const BLOCKED_25: Text = Text::new(
        "many hosting companies and providers block port 25 outbound: try port 587, or have it opened",
        "muchos proveedores bloquean el puerto 25 de salida: pruebe el 587, o pida que lo abran",
    );
    const BLOCKED: Text = Text::new(
        "check the address and the port, and whether a firewall here or there drops it",
        "compruebe la dirección y el puerto, y si lo descarta un cortafuegos de aquí o de allí",
    );
    const LATER: Text = Text::new(
        "it is overloaded, or a firewall interferes: try again, and ask the relay's administrator",
        "está sobrecargado o interfiere un cortafuegos: pruebe otra vez y pregunte al administrador del relay",
    );
    const TURNED_AWAY: Text = Text::new(
        "have this machine's address allowed at the relay: read what it says",
        "haga que el relay permita la dirección de esta máquina: lea lo que dice",
    );
    const ANOTHER_PORT: Text = Text::new(
        "use a port of the relay that offers TLS, such as 587",
        "use un puerto del relay que ofrezca TLS, como el 587",
    );
    let text = match why {
        Why::NotConnected(error) if error.kind() == ErrorKind::TimedOut && port == 25 => BLOCKED_25,
        Why::NotConnected(error) if error.kind() == ErrorKind::TimedOut => BLOCKED,
        Why::NotConnected(_) | Why::Handshake(_) => PORT,
        Why::NoTls | Why::Password(..) | Why::NoLogin(_) => ANOTHER_PORT,
        Why::Session(failure) => match &failure.cause {
            Cause::Reply(reply) => match meaning(Some(reply), host) {
                Some(found) => return explained_remedy(&found),
                None => TURNED_AWAY,
            },
            Cause::Garbage(_) | Cause::OutOfStep => PORT,
            _ => LATER,
        },
    };
    text.into()
}

/// What a reply means, where that is known of its text or, if it asks to come back, of
/// its code.
pub(super) fn meaning(reply: Option<&Reply>, host: &str) -> Option<Explanation> {
    let reply = reply?;
    let text = reply.to_string();
    match reply.severity() {
        Severity::Transient => explain::explain(&text, Some(host)),
        _ => explain::specific(&text, Some(host)),
    }
}

/// What to do about what a reply means.
pub(super) fn explained_remedy(explanation: &Explanation) -> Said {
    Said::of_both(|language| explanation.remedy(language).to_owned())
}

/// The reply that a failure is about.
pub(super) fn reply(why: &Why) -> Option<&Reply> {
    if let Why::Session(failure) = why { failure.reply() } else { None }
}

/// A failure of MAIL or RCPT, which the reader knows to have been asked.
pub(super) fn refusal(failure: &Failure) -> Said {
    match &failure.cause {
        Cause::Reply(reply) => Said::words(shown(&reply.to_string())),
        _ => of_session(failure),
    }
}
