//! The database that has the queue, where one has: whether it answers now, has tables that this
//! program works with, keeps what it has acknowledged, and tells us what slows it down.

use std::path::Path;
use std::time::Duration;

use puerto_spool::SpoolError;
use puerto_spool::postgres::{self, Seen};

use super::{Machine, Section};
use crate::finding::{Finding, kinds};
use crate::lang::{Text, said, shell_word, spool_error};
use crate::rights;
use crate::serve::store;

kinds! {
    REFUSES = "database.unusable" Error:
        "{why}", "{why}",
        "ask it as the server does: {ask}", "pregúntele como el servidor: {ask}";
    MEMORY = "database.fsync" Warning:
        "it does not wait for its disk (fsync = off): acknowledged mail is lost with a power cut",
        "no espera a su disco (fsync = off): el correo aceptado se pierde si se va la luz",
        "switch fsync on in its postgresql.conf, and have it read that again",
        "active fsync en su postgresql.conf y haga que lo lea de nuevo";
    BLIND = "database.blind" Info:
        "the role {role} may not see whose old transactions keep the database from clearing away, \
         so nothing is said of them",
        "el rol {role} no puede ver qué transacciones antiguas impiden que la base de datos se \
         limpie, así que nada se dice de ellas",
        "in psql, as a superuser: GRANT pg_read_all_stats TO {role}",
        "en psql, como superusuario: GRANT pg_read_all_stats TO {role}";
}

/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// `None` where no database has the queue.
pub(super) fn look(machine: &Machine<'_>) -> Option<Section> {
    let config = machine.config;
    let url = config.store.url.as_deref()?;
    // As who the server works: another may read other passwords.
    let service = rights::Identity::of_service(&config.user).ok().flatten();
    let seen = rights::act(service.as_ref(), || Ok(store::look(config, url, PATIENCE)));
    let mut section = Section::new("database", Text::new("database", "base de datos"));
    match seen {
        Ok(Err(_)) if !machine.is_root && !can_read(machine) => {
            section.seen = said!(
                "not asked: its password is not ours to read",
                "no se le pregunta: no podemos leer su contraseña"
            );
        }
        Ok(seen) => judge(&mut section, &ask(url, config.store.password_file.as_deref()), seen),
        Err(error) => judge(&mut section, "", Err(SpoolError::from(&error))),
    }
    Some(section)
}

fn can_read(machine: &Machine<'_>) -> bool {
    let file = machine.config.store.password_file.as_ref();
    file.is_none_or(|file| std::fs::File::open(file).is_ok())
}

// With what the server demands of it, and psql does not by itself.
fn ask(url: &str, password_file: Option<&Path>) -> String {
    let password = password_file.map_or_else(String::new, |file| {
        format!("PGPASSWORD=\"$(head -n 1 {})\" ", shell_word(file))
    });
    format!("{password}psql {}", super::word(postgres::url_for_psql(url)))
}

fn judge(section: &mut Section, ask: &str, seen: Result<Seen, SpoolError>) {
    match seen {
        Err(error) => {
            let why = spool_error(&error);
            let seen = crate::lang::Said::of_parts(REFUSES.seen, &[("why", &why)]);
            let finding = Finding { seen, ..Finding::from(REFUSES) };
            section.findings.push(finding.put("ask", ask));
        }
        Ok(seen) => {
            section.seen = said!(
                "{database} answers, PostgreSQL {server}", "{database} contesta, PostgreSQL {server}";
                database = seen.shown, server = seen.durability.server
            );
            section.findings.extend((!seen.durability.fsync).then(|| MEMORY.into()));
            let blind = (!seen.sees_holders).then(|| BLIND.put("role", &seen.role));
            section.findings.extend(blind);
        }
    }
}

#[cfg(test)]
mod tests {
    use puerto_spool::clock::{Clock as _, SystemClock};

    use super::*;
    use crate::config::Config;
    use crate::doctor::Daemon;
    use crate::lang::Language;

    #[test]
    fn a_database_is_asked_and_its_answer_told_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::for_tests(folder.path());
        config.user = String::new();
        let look = |config: &Config| {
            let (file, daemon) = (Path::new("/x"), Daemon::Down);
            let machine =
                Machine { config, file, program: file, daemon, reserve: 0, now: 0, is_root: true };
            super::look(&machine)
        };
        assert!(look(&config).is_none());
        // One that takes connections and says nothing, and one that nobody has.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let of = |port: u16| Some(format!("postgres://puerto@127.0.0.1:{port}/puerto"));
        let port = silent.local_addr().unwrap().port();
        config.store.url = of(port);
        let began = SystemClock.elapsed();
        let section = look(&config).unwrap();
        assert!(SystemClock.elapsed() - began < Duration::from_secs(5));
        let said = section.findings[0].seen.of(Language::Spanish);
        assert!(said.contains("no contesta"), "{said}");
        drop(silent);
        let said = look(&config).unwrap().findings[0].seen.of(Language::English);
        assert!(said.contains("cannot be reached"), "{said}");
        config.store.password_file = Some(folder.path().join("none"));
        let said = look(&config).unwrap().findings[0].seen.of(Language::English);
        assert!(said.contains("none cannot be used: No such file"), "{said}");
    }

    /// By hand `psql` connected where the server did not: it verifies nothing by itself.
    #[test]
    fn what_it_is_to_be_asked_with_demands_what_the_server_demands() {
        let file = Path::new("/etc/puerto/database password");
        let asked = ask("postgres://puerto:s3cret@db1/puerto?sslrootcert=/etc/ca.pem", Some(file));
        assert_eq!(
            asked,
            "PGPASSWORD=\"$(head -n 1 '/etc/puerto/database password')\" psql \
             'postgres://puerto@db1/puerto?sslmode=verify-full&sslrootcert=/etc/ca.pem'"
        );
    }

    #[test]
    fn what_the_role_may_not_see_is_told_with_what_grants_it() {
        let seen = Seen {
            shown: "postgres://db1/puerto".into(),
            version: 5,
            durability: puerto_spool::postgres::Durability {
                fsync: true,
                standbys: String::new(),
                server: "15.18".into(),
            },
            role: "puerto".into(),
            sees_holders: false,
        };
        let mut section = Section::new("database", Text::same("database"));
        judge(&mut section, "postgres://db1/puerto", Ok(seen));
        let remedy = section.findings[0].remedy.of(Language::English);
        assert!(remedy.ends_with("GRANT pg_read_all_stats TO puerto"), "{remedy}");
    }
}
