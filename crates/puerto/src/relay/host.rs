//! What is wrong with one host of a relayhost: whether it answers, its TLS, its
//! certificate, our login, our addresses, the size of messages.

use puerto_smtp::ReversePath;
use puerto_smtp::client::{AuthUnavailable, Failure};

use super::problem::Problem;
use super::{Report, trouble};
use crate::cause::Cause;
use crate::config::TlsLevel;
use crate::deliver::probe::{Granted, Sight, Why};
use crate::lang::{Said, Text, octets, said, said_of, shown};
use crate::tls::{Acquaintance, Certificate, CertificateFault, Inspected};
use crate::transport::Demand;

/// Days before a certificate ends at which it should have been renewed.
const RENEWAL_DAYS: i64 = 14;

/// Whether mail of ours would go through.
pub(super) fn takes_mail(sight: &Sight) -> bool {
    let refused = |granted: &Granted| {
        granted.wish.reverse_path != ReversePath::Null && granted.answer.is_err()
    };
    sight.failure.is_none()
        && !matches!(sight.login, Some(Err(_)))
        && !matches!(sight.verdict, Some(Err(_)))
        && !sight.granted.is_empty()
        && !sight.granted.iter().any(refused)
}

/// Everything that is wrong with a host.
pub(super) fn find(report: &Report, sight: &Sight, now: i64) -> Vec<Problem> {
    let mut problems = Vec::new();
    problems.extend(reach(report, sight));
    problems.extend(encryption(report, sight));
    match sight.rule.demand {
        Demand::Dane(_) => problems.extend(records(sight)),
        _ => problems.extend(certificate(report, sight, now)),
    }
    problems.extend(login(sight));
    problems.extend(addresses(report, sight));
    problems.extend(size(report, sight));
    problems
}

fn reach(report: &Report, sight: &Sight) -> Option<Problem> {
    let why = sight.failure.as_ref()?;
    // A port that speaks otherwise is a problem of its own.
    let wrong_port = super::problem::port(report).is_some();
    if wrong_port && !matches!(why, Why::NotConnected(_)) || matches!(why, Why::NoTls) {
        return None;
    }
    let seen = said_of!(
        "{host}: {what}", "{host}: {what}";
        host = Said::words(title(sight)), what = trouble::said(why)
    );
    let remedy = trouble::remedy(why, &sight.host, sight.address.port());
    let meaning = trouble::meaning(trouble::reply(why), &sight.host);
    Some(Problem::error("relay.unreachable", seen, remedy).meaning(meaning))
}

/// The host and where it is, as the report names it.
pub(super) fn title(sight: &Sight) -> String {
    let (host, address) = (&sight.host, sight.address);
    if **host == *address.ip().to_string() {
        address.to_string()
    } else {
        format!("{host}[{}]:{}", address.ip(), address.port())
    }
}

fn encryption(report: &Report, sight: &Sight) -> Option<Problem> {
    let plan = report.plan.as_ref().ok()?;
    let off = plan.tls == TlsLevel::None;
    if sight.offered.is_none() || sight.tls.is_some() || sight.offered_starttls && !off {
        return None;
    }
    if off {
        let seen = said!(
            "TLS is switched off for this relay (tls = \"none\"): all mail can be read on the way",
            "TLS está desactivado para este relay (tls = \"none\"): todo el correo puede leerse por el camino"
        );
        let remedy = said!(
            "take tls = \"none\" out, unless the way there is your own network",
            "quite tls = \"none\", salvo que el camino sea su propia red"
        );
        return Some(Problem::warning("relay.no-tls", seen, remedy));
    }
    let seen = said!("{host} offers no TLS", "{host} no ofrece TLS"; host = sight.host);
    let remedy = said!(
        "ask its administrator for TLS, or use a port or a relay that offers it: what is sent can be read on \
         the way",
        "pida TLS a su administrador, o use un puerto o un relay que lo ofrezca: lo que se envía puede leerse \
         por el camino"
    );
    let needed = plan.tls == TlsLevel::Required || plan.login.is_some();
    let make = if needed { Problem::error } else { Problem::warning };
    Some(make("relay.no-tls", seen, remedy))
}

fn certificate(report: &Report, sight: &Sight, now: i64) -> Option<Problem> {
    let (Some(inspected), Ok(plan)) = (&sight.inspected, &report.plan) else { return None };
    let Err(fault) = &inspected.verdict else { return ends_soon(sight, inspected, now) };
    let seen = said_of!(
        "the certificate of {host} is not good: {reason}",
        "el certificado de {host} no es bueno: {reason}";
        host = Said::words(&*sight.host), reason = fault_of(fault, inspected)
    );
    let required = sight.rule.demand == Demand::Verified;
    let consequence = match (required, plan.login.is_some(), inspected.acquaintance) {
        (true, ..) if plan.tls != TlsLevel::Required => Text::new(
            "its MTA-STS policy is enforced, so that no mail goes there until then",
            "su política MTA-STS es de obligado cumplimiento (enforce): hasta entonces no le llega correo",
        ),
        (true, ..) => Text::new(
            "with tls = \"required\" no mail goes there until then",
            "hasta entonces, con tls = \"required\" no le llega correo",
        ),
        (_, true, Acquaintance::Changed) => return Some(key_changed(report, sight)),
        (_, true, Acquaintance::New) => Text::new(
            "until then the password goes to whoever answers at the first login, and from then on to the same key alone",
            "hasta entonces la contraseña va a quien conteste la primera vez, y desde ese momento solo a la misma clave",
        ),
        (_, true, Acquaintance::Same) => Text::new(
            "until then the password goes to the key alone that was seen at the first login",
            "hasta entonces la contraseña va solo a la clave que se vio la primera vez",
        ),
        (_, false, _) => Text::new(
            "until then mail goes there encrypted, but to whoever answers",
            "hasta entonces el correo va cifrado, pero a quien conteste",
        ),
    };
    let remedy = Said::joined(&[certificate_remedy(fault).into(), consequence.into()], "; ");
    let make = if required { Problem::error } else { Problem::warning };
    Some(make("relay.certificate", seen, remedy))
}

// Where records decide, no authority and no date does.
fn records(sight: &Sight) -> Option<Problem> {
    let Some(Err(why)) = &sight.verdict else { return None };
    let seen = said_of!(
        "{host}: {reason}, and {why}", "{host}: {reason}, y {why}";
        host = Said::words(&*sight.host), reason = &sight.rule.reason, why = why
    );
    let remedy = said!(
        "tell the relay's administrator that its TLSA records and its certificate do not belong together: a renewed certificate needs its record; until then no mail goes there",
        "diga al administrador del relay que sus registros TLSA y su certificado no se corresponden: un certificado renovado necesita su registro; hasta entonces no le llega correo"
    );
    Some(Problem::error("relay.tlsa", seen, remedy))
}

fn key_changed(report: &Report, sight: &Sight) -> Problem {
    let seen = said!(
        "the certificate of {host} is not good, and its key is not the one that it had when the password was first sent: it is not sent now",
        "el certificado de {host} no es bueno, y su clave no es la que tenía cuando se envió por primera vez la contraseña: ahora no se envía";
        host = sight.host
    );
    let remedy = said!(
        "ask the relay's administrator: if the key was changed on purpose, remove the line of {host} from {file} and restart the server; otherwise somebody else answers in the relay's place",
        "pregunte al administrador del relay: si la clave se cambió a propósito, quite la línea de {host} de {file} y reinicie el servidor; si no, otro contesta en lugar del relay";
        host = sight.host, file = report.keys_file.display()
    );
    Problem::error("relay.key-changed", seen, remedy)
}

fn ends_soon(sight: &Sight, inspected: &Inspected, now: i64) -> Option<Problem> {
    const DAY: Text = Text::new(
        "the certificate of {host} ends in 1 day",
        "el certificado de {host} caduca en 1 día",
    );
    const DAYS: Text = Text::new(
        "the certificate of {host} ends in {days} days",
        "el certificado de {host} caduca en {days} días",
    );
    let ends = Certificate::parse(inspected.chain.first()?)?.not_after;
    let today = jiff::Timestamp::from_second(now).ok()?.to_zoned(jiff::tz::TimeZone::UTC).date();
    let days = i64::from(today.until(ends).ok()?.get_days());
    let text = Text::by_count(days, DAY, DAYS);
    let seen = Said::with(text, &[("host", &sight.host), ("days", &days.to_string())]);
    let remedy = said!(
        "tell the relay's administrator to renew it",
        "avise al administrador del relay para que lo renueve"
    );
    (days < RENEWAL_DAYS).then(|| Problem::warning("relay.certificate-ends", seen, remedy))
}

/// What is wrong with a certificate.
pub(super) fn fault_of(fault: &CertificateFault, inspected: &Inspected) -> Said {
    let own = inspected.chain.first().and_then(|der| Certificate::parse(der));
    let last = inspected.chain.last().and_then(|der| Certificate::parse(der));
    match (fault, own, last) {
        (CertificateFault::Expired, Some(own), _) => said!(
            "it ended on {date}", "caducó el {date}"; date = own.not_after
        ),
        (CertificateFault::NotYetValid, Some(own), _) => said!(
            "it begins on {date}, or this machine's clock is wrong",
            "empieza el {date}, o el reloj de esta máquina está mal"; date = own.not_before
        ),
        (CertificateFault::OtherName, Some(own), _) => {
            let names = if own.names.is_empty() { vec![own.subject] } else { own.names };
            said!("it is for {names}", "es para {names}"; names = names.join(", "))
        }
        (CertificateFault::SelfSigned, ..) => {
            said!("it vouches for itself (self-signed)", "se avala a sí mismo (autofirmado)")
        }
        (CertificateFault::UntrustedIssuer, _, Some(last)) => said!(
            "its chain ends at {issuer}, which this machine does not trust",
            "su cadena acaba en {issuer}, en quien esta máquina no confía"; issuer = last.issuer
        ),
        (fault, ..) => {
            let cause = Cause::from(fault).said();
            Said::of_both(|language| shown(&cause.of(language)))
        }
    }
}

fn certificate_remedy(fault: &CertificateFault) -> Text {
    match fault {
        CertificateFault::Expired => Text::new(
            "have the relay's administrator renew it",
            "haga que el administrador del relay lo renueve",
        ),
        CertificateFault::NotYetValid => Text::new(
            "check this machine's clock, or wait",
            "compruebe el reloj de esta máquina, o espere",
        ),
        CertificateFault::OtherName => Text::new(
            "write the name that the certificate is for, if that is the relay",
            "escriba el nombre para el que es el certificado, si ese es el relay",
        ),
        CertificateFault::SelfSigned => Text::new(
            "have the relay use a certificate of an authority, such as Let's Encrypt, or one of its own that you trust here",
            "haga que el relay use un certificado de una autoridad, como Let's Encrypt, o de una propia en la que se confíe aquí",
        ),
        CertificateFault::UntrustedIssuer => Text::new(
            "if that authority is your own, put its certificate into /usr/local/share/ca-certificates and run update-ca-certificates; otherwise the relay does not send its whole chain, and its administrator has to mend that",
            "si esa autoridad es propia, ponga su certificado en /usr/local/share/ca-certificates y ejecute update-ca-certificates; si no, el relay no envía su cadena completa y lo ha de arreglar su administrador",
        ),
        CertificateFault::Changed | CertificateFault::Other(_) => {
            Text::new("tell the relay's administrator", "avise al administrador del relay")
        }
    }
}

fn login(sight: &Sight) -> Option<Problem> {
    let Some(Err(why)) = &sight.login else { return None };
    let remedy = match why {
        // That TLS is missing is said by another problem.
        Why::NoLogin(AuthUnavailable::NotEncrypted) => return None,
        Why::NoLogin(_) => said!(
            "logins are usually taken at port 587; if the relay knows this machine by its address, take user and password out of the configuration",
            "el usuario suele aceptarse en el puerto 587; si el relay conoce a esta máquina por su dirección, quite usuario y contraseña de la configuración"
        ),
        Why::Password(..) => said!(
            "correct the path, and let the user that the server runs as read the file",
            "corrija la ruta y dé permiso de lectura al usuario con el que corre el servidor"
        ),
        _ => said!(
            "correct the user and the password file; many providers want an application password",
            "corrija el usuario y el fichero de la contraseña; muchos proveedores exigen una contraseña de aplicación"
        ),
    };
    let seen = said_of!(
        "the login at {host} does not work: {reason}",
        "no se puede iniciar sesión en {host}: {reason}";
        host = Said::words(&*sight.host), reason = trouble::said(why)
    );
    let meaning = trouble::meaning(trouble::reply(why), &sight.host);
    Some(Problem::error("relay.login", seen, remedy).meaning(meaning))
}

// Where nothing of ours is taken, that the null reverse-path is not adds nothing.
fn addresses<'a>(report: &Report, sight: &'a Sight) -> Option<Problem> {
    let refused = |granted: &'a Granted| Some((&granted.wish, granted.answer.as_ref().err()?));
    let (wish, failure) = sight.granted.iter().find_map(refused)?;
    let (host, reason) = (Said::words(&*sight.host), trouble::refusal(failure));
    if let ReversePath::Address(sender) = &wish.reverse_path {
        let [sender, recipient] = [sender, &wish.recipient].map(|it| Said::words(it.to_string()));
        let seen = said_of!(
            "{host} does not take mail from {sender} to {recipient}: {reason}",
            "{host} no acepta correo de {sender} para {recipient}: {reason}";
            host = host, sender = sender, recipient = recipient, reason = reason
        );
        return Some(sender_refused(report, sight, failure, seen));
    }
    let seen = said_of!(
        "{host} does not take the null reverse-path, so that notifications are lost: {reason}",
        "{host} no acepta el remitente nulo, así que los avisos se pierden: {reason}";
        host = host, reason = reason
    );
    let remedy = said!(
        "ask the relay's administrator: every server has to take it (RFC 5321 §4.5.5)",
        "pregunte al administrador del relay: todo servidor debe aceptarlo (RFC 5321 §4.5.5)"
    );
    Some(Problem::warning("relay.null-sender", seen, remedy))
}

fn sender_refused(report: &Report, sight: &Sight, failure: &Failure, seen: Said) -> Problem {
    let meaning = trouble::meaning(failure.reply(), &sight.host);
    let class = meaning.as_ref().map(crate::explain::Explanation::class);
    let offers_login = sight.offered.as_ref().is_some_and(|offered| !offered.auth.is_empty());
    let login = report.plan.as_ref().ok().and_then(|plan| plan.login.as_ref());
    let about_login = matches!(class, Some("relay-denied" | "auth-required" | "sender-rejected"));
    let remedy = match (login, class) {
        (None, _) if about_login && offers_login => said!(
            "log in: set relayhost_user and relayhost_password_file; or have this machine's address allowed at the relay",
            "inicie sesión: configure relayhost_user y relayhost_password_file; o haga que el relay permita la dirección de esta máquina"
        ),
        (None, Some("relay-denied" | "auth-required")) => said!(
            "have this machine's address allowed at the relay (mynetworks, in Postfix); if it takes logins, that is usually at port 587",
            "haga que el relay permita la dirección de esta máquina (mynetworks, en Postfix); si admite usuarios, suele ser en el puerto 587"
        ),
        (Some(login), Some("sender-rejected")) => said!(
            "have {user} allowed to send as this address at the relay, or send from an address of that user: --from ADDRESS tries one",
            "haga que el relay permita a {user} enviar con esta dirección, o envíe desde una dirección de ese usuario: --from DIRECCIÓN prueba una";
            user = login.user
        ),
        _ => meaning.as_ref().map(trouble::explained_remedy).unwrap_or_else(|| {
            said!(
                "have the domain of the sender, or this machine's address, allowed at the relay",
                "haga que el relay permita el dominio del remitente, o la dirección de esta máquina"
            )
        }),
    };
    Problem::error("relay.sender", seen, remedy).meaning(meaning)
}

fn size(report: &Report, sight: &Sight) -> Option<Problem> {
    let theirs = sight.offered.as_ref()?.size.filter(|size| *size > 0)?;
    let ours = report.message_size;
    (theirs < ours).then(|| {
        let seen = said!(
            "{host} takes messages of up to {theirs}, but this server takes up to {ours} from its users: what is larger bounces",
            "{host} acepta mensajes de hasta {theirs}, pero este servidor los acepta de hasta {ours} a sus usuarios: los mayores rebotan";
            host = sight.host, theirs = octets(theirs), ours = octets(ours)
        );
        let remedy = said!(
            "set message_size = {theirs} in [limits], so that users hear it at once",
            "ponga message_size = {theirs} en [limits], para que los usuarios lo sepan al momento";
            theirs = theirs
        );
        Problem::warning("relay.size", seen, remedy)
    })
}
