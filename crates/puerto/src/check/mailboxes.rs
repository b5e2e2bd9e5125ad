//! The mailboxes that every domain must have, and whether this server can be abused.
//! Judged from the configuration: a probe from this machine would be trusted, and so
//! prove nothing.

use puerto_smtp::LocalPart;

use super::context::Context;
use super::outcome::{Check, Definition, Draft, Judged, family, told};
use super::receiving::Receiving;
use super::world::World;
use crate::config::{Live, Network};
use crate::local::Directory;
use crate::rights;
use crate::survey::address::is_ones_own;

family! {
    FAMILY = "mailboxes" ["Mailboxes and abuse", "Buzones y abuso"] is_of_machine: false;

    POSTMASTER = "mbox.postmaster" Error "RFC 5321 §4.5.1" [
        "Mail to postmaster reaches somebody",
        "El correo a postmaster llega a alguien",
        "Every domain that sends must take mail for `postmaster`. This server always accepts it; \
         an alias must lead it to a mailbox that somebody reads.",
        "Todo dominio que envía debe aceptar correo para `postmaster`. Este servidor siempre lo \
         acepta; un alias debe llevarlo a un buzón que alguien lea.",
        right: "it reaches a mailbox", "llega a un buzón";
        wrong: "its alias leads to nobody, so that mail for it comes back",
            "su alias no lleva a nadie, de modo que su correo se devuelve";
        expected: "an alias to a mailbox that is read", "un alias a un buzón que se lea";
        remedy: "{aliases}: {name}: root";
    ];
    ABUSE = "mbox.abuse" Warning "RFC 2142 §4" like POSTMASTER [
        "Mail to abuse reaches somebody",
        "El correo a abuse llega a alguien",
        "Complaints and feedback loops go to `abuse`. Whoever cannot complain to you complains to \
         a blocklist.",
        "Las quejas y los avisos de spam van a `abuse`. Quien no puede quejarse a usted se queja a \
         una lista de bloqueo.",
    ];
    BOUNCE = "mbox.bounce" Error "RFC 5321 §4.5.5, §6.1" [
        "Bounces can come back",
        "Los rebotes pueden volver",
        "The reverse-path of your mail must take mail with the null sender: that is how you learn \
         that something was not delivered, and some receivers ask for it before they accept. If \
         the MX record leads here, this server must listen there on port 25.",
        "El remitente del sobre de su correo debe aceptar correo con remitente nulo: así se entera \
         de lo que no se entregó, y algunos receptores lo comprueban antes de aceptar. Si el \
         registro MX lleva aquí, este servidor debe escuchar ahí en el puerto 25.",
        right: "this server takes mail for its domain, the null sender's too",
            "este servidor acepta el correo de su dominio, también con remitente nulo";
        wrong: "the MX record leads here, and nothing listens on port 25 where others can reach it",
            "el registro MX lleva aquí, y nada escucha en el puerto 25 donde otros puedan llegar";
        expected: "a listener on port 25", "un puerto 25 a la escucha";
        remedy: "[listen]\nsmtp = [\"0.0.0.0:25\", \"[::]:25\"]";
    ];
    OPEN_RELAY = "mbox.open-relay" Error "RFC 5321 §3.6.1" [
        "Strangers cannot relay through this server",
        "Los extraños no pueden reenviar",
        "An open relay is found within hours and blocklisted. Only `trusted_networks` and users \
         who log in may send to other domains; a trusted network must hold no strangers.",
        "Un relay abierto se descubre en horas y acaba en las listas de bloqueo. Solo pueden \
         enviar a otros dominios las redes de `trusted_networks` y los usuarios que se \
         identifican; en una red de confianza no debe haber extraños.",
        right: "only the trusted networks and users who log in may relay",
            "solo pueden reenviar las redes de confianza y los usuarios que se identifican";
        wrong: "everybody in {networks} may send through this server, which are public networks \
                with many strangers in them",
            "cualquiera de {networks} puede enviar por este servidor, y son redes públicas llenas \
             de extraños";
        expected: "your own networks only", "solo sus propias redes";
        remedy: "trusted_networks = [\"127.0.0.0/8\", \"::1/128\"], and AUTH for users elsewhere",
            "trusted_networks = [\"127.0.0.0/8\", \"::1/128\"], y AUTH para los usuarios de fuera";
    ];
    BACKSCATTER = "mbox.backscatter" Warning "RFC 3834 §2" [
        "Unknown recipients are refused at once",
        "Los destinatarios desconocidos se rechazan al momento",
        "A server that accepts mail for anybody and bounces it later sends its bounces to \
         whoever a spammer forged as the sender. This server looks recipients up while the client \
         waits.",
        "Un servidor que acepta correo para cualquiera y lo devuelve después envía sus rebotes a \
         quien el spammer haya falsificado como remitente. Este servidor consulta los \
         destinatarios mientras el cliente espera.",
        right: "unknown recipients are refused in the dialogue",
            "los destinatarios desconocidos se rechazan en el diálogo";
    ];
}

/// Public networks that are larger hold strangers, whoever owns them.
const WIDEST_V4: u8 = 16;
const WIDEST_V6: u8 = 32;

pub(super) async fn run<W: World>(context: &Context<'_, W>) -> Vec<Check> {
    let receiving = Receiving::find(context).await;
    let of_domain = |check| ours(context, &receiving, context.about(check, &context.domain));
    let mut listeners = context.config.listen.smtp.iter();
    let is_open = listeners.any(|listener| listener.port() == 25 && !listener.ip().is_loopback());
    vec![
        told(mailbox(context, &receiving, (&POSTMASTER, "postmaster"))),
        told(mailbox(context, &receiving, (&ABUSE, "abuse"))),
        told(of_domain(&BOUNCE).map(|draft| draft.judge(!is_open))),
        open_relay(context),
        told(of_domain(&BACKSCATTER).map(Draft::right)),
    ]
}

/// That the domain's mail comes here and this server takes it for its users.
fn ours<W: World>(context: &Context<'_, W>, receiving: &Receiving, draft: Draft) -> Judged<Draft> {
    receiving.here(&draft)?;
    let mut domains = context.config.domains.iter().map(ToString::to_string);
    if domains.any(|domain| domain.eq_ignore_ascii_case(&context.domain)) {
        return Ok(draft);
    }
    draft
        .not_applicable((
            "{domain} is not among the `domains` whose users live here",
            "{domain} no está entre los `domains` cuyos usuarios viven aquí",
        ))
        .fails()
}

fn mailbox<W: World>(
    context: &Context<'_, W>,
    receiving: &Receiving,
    (definition, name): (&'static Definition, &'static str),
) -> Judged {
    let draft = context.about(definition, format!("{name}@{}", context.domain));
    let draft = ours(context, receiving, draft)?
        .with("aliases", context.config.local.aliases.display())
        .with("name", name);
    let directory = Directory::new(Live::new(context.config.clone()));
    let reached = LocalPart::from_unquoted(name).map(|part| directory.reaches_somebody(&part));
    Ok(match reached {
        Ok(Ok(is_reached)) => draft.judge(!is_reached),
        Ok(Err(error)) => draft.with_said("error", rights::said(&error)).unknown((
            "the system cannot look its users up: {error}",
            "el sistema no puede consultar sus usuarios: {error}",
        )),
        Err(_) => draft.unknown(("no such name is possible", "ese nombre no es posible")),
    })
}

fn open_relay<W: World>(context: &Context<'_, W>) -> Check {
    let trusted = &context.config.trusted_networks.0;
    let wide: Vec<&Network> = trusted.iter().filter(|network| is_wide(network)).collect();
    context.about(&OPEN_RELAY, &context.helo).list("networks", &wide).judge(!wide.is_empty())
}

fn is_wide(network: &Network) -> bool {
    let widest = if network.address.is_ipv4() { WIDEST_V4 } else { WIDEST_V6 };
    // Private and loopback ranges hold nobody from outside, whatever their size.
    network.prefix < widest && !is_ones_own(network.address, network.prefix)
}

#[cfg(test)]
mod tests;
