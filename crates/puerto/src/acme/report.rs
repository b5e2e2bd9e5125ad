//! How the certificate stands, to be shown.

use std::path::Path;

use serde_json::{Value, json};

use super::folder::{Folder, Standing};
use super::run::chance_of;
use super::when;
use crate::cause::Cause;
use crate::config::Config;
use crate::explain;
use crate::lang::{Language, Said, said, said_of};
use crate::rights::Identity;
use crate::tls::{Certificate, OwnCertificate};

/// What is seen of it.
#[derive(Debug, Default)]
pub struct Report {
    /// The authority that is asked, if one is.
    pub directory: Option<String>,
    /// The names that it ought to have and lacks.
    pub lacks: Vec<String>,
    /// The certificate, if there is one that can be read.
    pub held: Option<Held>,
    /// What became of the last attempts.
    pub standing: Standing,
    /// Why nothing can be seen.
    pub unread: Option<Said>,
}

/// A certificate.
#[derive(Debug)]
pub struct Held {
    /// Its file.
    pub file: String,
    /// Its names.
    pub names: Vec<String>,
    /// Who gave it.
    pub issuer: String,
    /// From when to when it holds, in seconds since the epoch.
    pub holds: (i64, i64),
    /// When it is renewed, if that is ours to do.
    pub renewal: Option<i64>,
}

impl Report {
    /// Looks, with the rights of whoever calls.
    pub fn of(config: &Config, service: Option<&Identity>) -> Self {
        let folder = Folder::of(&config.state_dir);
        let is_on = config.acme.is_on();
        let standing = if is_on { folder.standing(service) } else { Ok(Standing::default()) };
        let mut report = Self { directory: config.acme.directory.clone(), ..Self::default() };
        match standing {
            Ok(standing) => report.standing = standing,
            Err(error) => report.unread = Some(Cause::AcmeUnkept { error: error.into() }.said()),
        }
        let Some(files) = &config.tls else { return report };
        let own = match OwnCertificate::load(files) {
            Ok(own) => own,
            Err(_) if is_on && is_missing(&files.certificate) => return report,
            Err(error) => {
                report.unread = Some(error.said());
                return report;
            }
        };
        let leaf = own.chain().next().and_then(|(leaf, _)| Certificate::parse(leaf));
        let wanted = config.acme.names.iter().filter(|name| is_on && !own.names(name));
        report.lacks = wanted.cloned().collect();
        report.held = leaf.map(|leaf| {
            let window = report.standing.window;
            let renewal = || when::renewal(leaf.holds, window, chance_of(&leaf.number.0));
            Held {
                file: files.certificate.display().to_string(),
                renewal: is_on.then(renewal),
                names: leaf.names,
                issuer: leaf.issuer,
                holds: leaf.holds,
            }
        });
        report
    }

    /// Whether nothing is wrong at this time.
    pub fn is_well(&self, now: i64) -> bool {
        let is_held = self.held.as_ref().is_some_and(|held| now < held.holds.1);
        is_held && self.lacks.is_empty() && self.standing.trouble.is_none() && self.unread.is_none()
    }

    /// For people.
    pub fn show(&self, language: Language) -> String {
        let mut lines = Vec::new();
        let mut line = |said: Said| lines.push(said.of(language));
        match &self.held {
            Some(held) => {
                line(said!(
                    "{file}: {names}", "{file}: {names}";
                    file = held.file, names = held.names.join(", ")
                ));
                line(said!(
                    "given by {issuer}, holds from {from} to {to}",
                    "dado por {issuer}, válido del {from} al {to}";
                    issuer = held.issuer, from = moment(held.holds.0), to = moment(held.holds.1)
                ));
            }
            None if self.unread.is_none() => {
                line(said!("there is no certificate", "no hay certificado"));
            }
            None => {}
        }
        self.unread.iter().cloned().for_each(&mut line);
        match (&self.directory, self.held.as_ref().and_then(|held| held.renewal)) {
            (Some(directory), Some(at)) => line(said!(
                "{directory} is asked for the next on {at}",
                "el siguiente se pide a {directory} el {at}"; directory = directory, at = moment(at)
            )),
            (Some(directory), None) => line(said!(
                "{directory} is asked for one", "se pide uno a {directory}"; directory = directory
            )),
            (None, _) => line(said!(
                "this server does not renew it: [acme] names no authority",
                "este servidor no lo renueva: [acme] no nombra ninguna autoridad"
            )),
        }
        let missing = &self.standing.unresolved;
        let lacks = self.lacks.iter().filter(|name| !missing.contains(name));
        let lacks: Vec<&str> = lacks.map(String::as_str).collect();
        if !lacks.is_empty() {
            line(said!(
                "it lacks {names}: another is asked for at once",
                "le falta {names}: se pide otro enseguida"; names = lacks.join(", ")
            ));
        }
        if !missing.is_empty() {
            line(said!(
                "no A or AAAA record is there for {names}, and no certificate for it before there \
                 is: publish it (`puerto dns` has it); one is asked for within minutes of seeing it",
                "no hay registro A ni AAAA de {names}, y sin él no hay certificado para ese nombre: \
                 publíquelo (lo da `puerto dns`); se pide uno a los pocos minutos de verlo";
                names = missing.join(", ")
            ));
        }
        match self.standing.roll.as_ref().map(|roll| roll.ready()) {
            None => {}
            Some(None) => line(said!(
                "a new key waits until its TLSA record is published: `puerto dns` has it",
                "una clave nueva espera a que se publique su registro TLSA: lo da `puerto dns`"
            )),
            Some(Some(at)) => line(said!(
                "the TLSA record of the new key is published: it is taken into use on {at}",
                "el registro TLSA de la clave nueva está publicado: se empieza a usar el {at}";
                at = moment(at)
            )),
        }
        self.trouble(&mut line);
        lines.join("\n") + "\n"
    }

    fn trouble(&self, line: &mut impl FnMut(Said)) {
        let Some(trouble) = &self.standing.trouble else { return };
        let cause = trouble.cause();
        line(said_of!("not renewed: {why}", "no se ha renovado: {why}"; why = cause.said()));
        if let Some(explanation) = explain::of_cause(&cause, None) {
            line(Said::of_both(|language| explanation.remedy(language).to_owned()));
        }
        if let Some(at) = self.standing.not_before {
            line(said!(
                "tried {count} times, again on {at}; `puerto certificate --renew` tries at once",
                "{count} intentos; el siguiente, el {at}; `puerto certificate --renew` lo intenta \
                 ya"; count = self.standing.failures, at = moment(at)
            ));
        }
    }

    /// For programs.
    pub fn to_json(&self, now: i64, language: Language) -> Value {
        let trouble = self.standing.trouble.as_ref().map(|trouble| {
            let cause = trouble.cause();
            let explanation = explain::of_cause(&cause, None);
            json!({
                "id": cause.id(),
                "said": cause.said().of(language),
                "remedy": explanation.map(|explanation| explanation.remedy(language)),
                "failures": self.standing.failures,
                "next_try": self.standing.not_before.map(moment),
            })
        });
        let held = self.held.as_ref();
        json!({
            "well": self.is_well(now),
            "directory": self.directory,
            "file": held.map(|held| &held.file),
            "names": held.map(|held| &held.names),
            "missing_names": self.lacks,
            "unresolved_names": self.standing.unresolved,
            "issuer": held.map(|held| &held.issuer),
            "not_before": held.map(|held| moment(held.holds.0)),
            "not_after": held.map(|held| moment(held.holds.1)),
            "renewal": held.and_then(|held| held.renewal).map(moment),
            "new_key": self.standing.roll.as_ref().map(|roll| {
                json!({ "published": roll.seen.map(moment), "in_use": roll.ready().map(moment) })
            }),
            "tried": self.standing.tried.map(moment),
            "trouble": trouble,
            "unread": self.unread.as_ref().map(|said| said.of(language)),
        })
    }
}

fn is_missing(file: &Path) -> bool {
    matches!(std::fs::metadata(file), Err(error) if error.kind() == std::io::ErrorKind::NotFound)
}

fn moment(at: i64) -> String {
    jiff::Timestamp::from_second(at).map_or_else(|_| at.to_string(), |at| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_has_no_record_is_told_with_what_to_publish() {
        let name = "mta-sts.example.com".to_owned();
        let standing = Standing { unresolved: vec![name.clone()], ..Standing::default() };
        let report = Report { lacks: vec![name.clone()], standing, ..Report::default() };
        for language in [Language::English, Language::Spanish] {
            let shown = report.show(language);
            assert!(shown.contains(&name) && shown.contains("puerto dns"), "{shown}");
            assert!(!shown.contains("at once") && !shown.contains("enseguida"), "{shown}");
        }
        assert_eq!(report.to_json(0, Language::English)["unresolved_names"], json!([name]));
        assert!(!report.is_well(0));
    }
}
