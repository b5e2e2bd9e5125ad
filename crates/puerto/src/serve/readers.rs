//! Whether anybody reads what the server writes to its administrators, and what else is wrong
//! with who lives here: told when it starts, since nobody may have asked `puerto config check`.

use std::sync::Arc;

use super::notice;
use crate::config::{Config, Inhabitant, Live};
use crate::local::{self, Standing};
use crate::recipients::{self, Answer, Recipients};
use crate::telemetry::MailLog;

/// Tells it once. Where the LMTP server gives no answer, nothing is known.
pub(super) async fn tell(live: Live, recipients: Arc<Recipients>, log: MailLog) {
    for text in wrong(live.get(), &recipients).await {
        notice(&log, "warning", &text);
    }
}

async fn wrong(config: Arc<Config>, recipients: &Recipients) -> Vec<String> {
    let asked = Arc::clone(&config);
    let found = tokio::task::spawn_blocking(move || (local::readers(&asked, None), broken(&asked)));
    let Ok((readers, mut told)) = found.await else { return Vec::new() };
    // That users or aliases cannot be looked up is told elsewhere.
    for reader in readers.unwrap_or_default() {
        match &reader.standing {
            Standing::Known | Standing::Unsaid(_) => {}
            Standing::Unknown => told.push(reader.nobody().to_string()),
            Standing::Asked(whom) => {
                if recipients.ask(whom).await == Answer::Unknown {
                    told.push(reader.unknown(whom).to_string());
                }
            }
        }
    }
    told
}

fn broken(config: &Config) -> Vec<String> {
    let files = config.relay_recipients.iter().filter_map(|who| match who {
        Inhabitant::File(file) => Some(file),
        Inhabitant::Listed(_) => None,
    });
    let of_file = |file: &std::path::PathBuf| {
        let lines = recipients::broken_lines(file, None).into_iter();
        let file = file.display().to_string();
        lines.map(move |(line, what)| format!("{file}:{line}: {what}")).collect::<Vec<_>>()
    };
    files.flat_map(of_file).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn that_nobody_reads_postmasters_mail_is_told_at_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::for_tests(folder.path());
        let list = folder.path().join("list");
        std::fs::write(&list, "ana@example.net\nmal linea\n").unwrap();
        config.relay_recipients = vec![Inhabitant::File(list)];
        let told = |config: &Config| {
            let live = Live::new(config.clone());
            async move { wrong(live.get(), &Recipients::new(live.clone())).await }
        };
        std::fs::write(&config.local.aliases, "postmaster: root\nroot: root\n").unwrap();
        let heard = told(&config).await;
        assert!(heard.len() == 1 && heard[0].contains("list:2: `mal`"), "{heard:?}");
        std::fs::write(&config.local.aliases, "postmaster: nosuch\nroot: root\n").unwrap();
        let heard = told(&config).await;
        assert!(heard.len() == 2 && heard[1].contains("there is no nosuch"), "{heard:?}");
    }
}
