//! Plays a scenario: the letters, the checks, the explanation, the verdict.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use puerto_lab::world::{PLAIN, RELAY, SENDER_ADDRESS, SENDER_DOMAIN, STRICT};
use puerto_lab::{Lab, Options, Resident, Transaction};
use puerto_smtp::{Address, Severity};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::internet::LabInternet;
use super::{Ending, Scenario, worlds};
use crate::cause::Cause;
use crate::check::{Asked, Check, Context, Report, Status, run};
use crate::cli::clock::now;
use crate::cli::lab::scene::Scene;
use crate::cli::lab::show::Show;
use crate::cli::lab::story::{self, Letter, Way, destined, reply_to};
use crate::cli::lab::{asked, load, started, submit};
use crate::config::Config;
use crate::control::Client;
use crate::control::protocol::Selection;
use crate::explain::{self, Explanation};
use crate::lang::{Said, Text, address_error, said, said_of};
use crate::serve::{Daemon, Prepared};

/// How long the letters may take to be answered, and the pause between looks.
const DEADLINE: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What came of a letter.
#[derive(Debug, Clone)]
pub(in crate::cli::lab) struct Answered {
    pub(in crate::cli::lab) to: String,
    /// The reply of whoever answered, or why nobody could be reached.
    pub(in crate::cli::lab) cause: Cause,
    ended: Ended,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Ended {
    Taken,
    Refused(String),
    Waits,
}

impl Answered {
    fn is_as(&self, expected: Ending) -> bool {
        match (&self.ended, expected) {
            (Ended::Taken, Ending::Taken) | (Ended::Waits, Ending::Waits) => true,
            (Ended::Refused(code), Ending::Refused(wanted)) => code == wanted,
            _ => false,
        }
    }

    /// A word for programs: `taken`, `refused` or `waits`.
    pub(in crate::cli::lab) fn ended(&self) -> &'static str {
        match self.ended {
            Ended::Taken => "taken",
            Ended::Refused(_) => "refused",
            Ended::Waits => "waits",
        }
    }
}

/// Plays a scenario to its end. True if exactly that came which is expected.
pub(in crate::cli::lab) async fn perform(scenario: &Scenario, show: &Show) -> Result<bool, Said> {
    let language = show.language();
    let mut options = Options::default();
    (scenario.options)(&mut options);
    let lab = started(options).await?;
    let scene = Scene::set(&lab, scenario.stage)?;
    worlds::publish(lab.zone());
    (scenario.change)(&lab)?;
    let config = load(&scene.config)?;
    let prepared = Prepared::new(config.clone()).map_err(|error| error.said())?;
    let prepared = match scenario.stage.is_trusting {
        true => prepared.trusting(vec![lab.certificate().to_vec().into()]),
        false => prepared,
    };
    let daemon = Daemon::start(prepared, None).await.map_err(|error| error.said())?;
    show.part(scenario.name, scenario.sentence.of(language));
    let answered = send(scenario, &lab, &scene, show).await;
    daemon.stop().await;
    let answered = answered?;
    show.done_waiting();

    let title = Text::new("What `puerto check` finds", "Lo que encuentra `puerto check`");
    show.part(title.of(language), "");
    let report = check(scenario, &lab, &config).await;
    show.report(&report);

    let explained = answered.iter().find_map(|one| Some((one, explanation(one)?)));
    if let Some((one, explanation)) = &explained {
        let title = Text::new("What `puerto explain` says", "Lo que dice `puerto explain`");
        let told = match &one.cause {
            Cause::Quoted { .. } => one.cause.text().into_owned(),
            ours => ours.said().of(language),
        };
        show.part(title.of(language), &told);
        show.explanation(explanation, check_named(&report, explanation));
    }
    let class = explained.as_ref().map(|(_, explanation)| explanation.class());
    let verdict = Verdict::of(scenario, &answered, &report, class);
    show.verdict(scenario.name, &answered, &verdict);
    Ok(verdict.faults.is_empty())
}

// A reply may fit several checks; the one that has found the cause is named.
fn check_named<'a>(report: &'a Report, explanation: &Explanation) -> Option<&'a str> {
    let wrong = report.checks.iter().filter(|check| check.is_wrong()).map(Check::id);
    let own = explanation.check();
    wrong.clone().find(|id| Some(*id) == own).or_else(|| wrong.clone().next()).or(own)
}

fn explanation(answered: &Answered) -> Option<Explanation> {
    match answered.ended {
        Ended::Taken => None,
        Ended::Refused(_) | Ended::Waits => explain::of_cause(&answered.cause, None),
    }
}

fn letters(scenario: &Scenario) -> Result<Vec<Letter>, Said> {
    let author = Address::parse(&format!("user@{SENDER_DOMAIN}"));
    let author = author.map_err(|error| address_error(&error))?;
    let domain = scenario.envelope_domain.unwrap_or(SENDER_DOMAIN);
    let from = Address::parse(&format!("user@{domain}")).map_err(|error| address_error(&error))?;
    let way = if scenario.stage.relayhost { Way::Relay } else { Way::Direct };
    [(STRICT, "ana"), (PLAIN, "luis")]
        .into_iter()
        .map(|(resident, local_part)| {
            let recipient = destined(resident, local_part, story::Ending::Delivered);
            let recipients = vec![recipient.map_err(|error| address_error(&error))?];
            Ok(Letter { from: from.clone(), author: author.clone(), recipients, way })
        })
        .collect()
}

// Sends the letters and shows what happens until each has been answered, and the sender
// was told of what was refused.
async fn send(
    scenario: &Scenario,
    lab: &Lab,
    scene: &Scene,
    show: &Show,
) -> Result<Vec<Answered>, Said> {
    let letters = letters(scenario)?;
    let mut events = lab.events();
    for letter in &letters {
        let promise = submit::submit(&scene.run_dir().join("submit"), letter).await?;
        show.promise(letter, &promise);
    }
    let since = tokio::time::Instant::now();
    let answered = loop {
        let answered = look(scenario, lab, scene, &letters).await?;
        if answered.len() == letters.len() || since.elapsed() > DEADLINE {
            break answered;
        }
        tell(&mut events, show).await?;
    };
    if answered.iter().all(|one| one.ended != Ended::Waits) {
        super::super::wait_for_empty_queue(&scene.run_dir()).await?;
    }
    while let Ok(seen) = events.try_recv() {
        show.transaction(&seen);
    }
    for one in answered.iter().filter(|one| one.ended == Ended::Waits) {
        show.waits(&one.to, &one.cause);
    }
    Ok(answered)
}

// Shows what comes for a moment.
async fn tell(events: &mut Receiver<Arc<Transaction>>, show: &Show) -> Result<(), Said> {
    match tokio::time::timeout(LOOK_AGAIN, events.recv()).await {
        Ok(Ok(seen)) => show.transaction(&seen),
        Ok(Err(RecvError::Closed)) => {
            return Err(said!("the lab has ended", "el laboratorio ha terminado"));
        }
        Ok(Err(RecvError::Lagged(_))) | Err(_) => {}
    }
    Ok(())
}

async fn look(
    scenario: &Scenario,
    lab: &Lab,
    scene: &Scene,
    letters: &[Letter],
) -> Result<Vec<Answered>, Said> {
    let seen = lab.transactions();
    let waiting = waiting(scene).await?;
    let recipients = letters.iter().flat_map(|letter| &letter.recipients);
    let residents: [Resident; 2] = match scenario.stage.relayhost {
        true => [RELAY, RELAY],
        false => [STRICT, PLAIN],
    };
    let mut answered = Vec::new();
    for (recipient, resident) in recipients.zip(residents) {
        let mut replies =
            seen.iter().filter(|one| one.receiver == resident.name).filter_map(|one| {
                one.recipients.iter().find(|(to, _)| *to == recipient.to)?;
                reply_to(one, &recipient.to)
            });
        let to = recipient.to.to_string();
        let last = replies.next_back().filter(|reply| reply.severity() != Severity::Transient);
        if let Some(reply) = last {
            let ended = match reply.is_positive() {
                true => Ended::Taken,
                false => Ended::Refused(reply.status().to_string()),
            };
            answered.push(Answered { to, cause: Cause::words(reply.to_string()), ended });
        } else if let Some((_, cause)) = waiting.iter().find(|(waits, _)| *waits == to) {
            answered.push(Answered { to, cause: cause.clone(), ended: Ended::Waits });
        }
    }
    Ok(answered)
}

// Who waits for another attempt, and what came of the last one.
async fn waiting(scene: &Scene) -> Result<Vec<(String, Cause)>, Said> {
    let waiting = |client: &mut Client| {
        let mut waiting = Vec::new();
        client.list(&Selection::default(), |message| {
            for recipient in message.recipients {
                waiting.extend(recipient.last.map(|last| (recipient.address, last.cause())));
            }
            Ok(())
        })?;
        Ok(waiting)
    };
    asked(&scene.run_dir(), waiting).await
}

async fn check(scenario: &Scenario, lab: &Lab, config: &Config) -> Report {
    let world = LabInternet::new(lab, config);
    let usual = IpAddr::V4(SENDER_ADDRESS);
    let egress = std::iter::once(usual).chain(scenario.more.iter().copied()).collect();
    let asked = Asked { domain: Some(SENDER_DOMAIN.to_owned()), egress };
    let mut context = Context::gather(&world, config, asked, now().as_second()).await;
    // They are this machine's own, and port 25 may be tried from them.
    context.egress_given = false;
    let checks = run(&context, &[], &|_| {}).await;
    Report { domains: vec![context.domain.clone()], egress: context.egress.clone(), checks }
}

/// Whether that came which was expected.
pub(in crate::cli::lab) struct Verdict {
    /// The checks that found something, and those that are unknown.
    pub(in crate::cli::lab) findings: BTreeSet<&'static str>,
    pub(in crate::cli::lab) unknown: BTreeSet<&'static str>,
    /// The class of the explanation.
    pub(in crate::cli::lab) class: Option<&'static str>,
    /// What is otherwise than expected.
    pub(in crate::cli::lab) faults: Vec<Said>,
}

const FOUND: Text = Text::new("finding: {id}", "hallazgo: {id}");
const NOT_FOUND: Text = Text::new("no finding: {id}", "falta el hallazgo: {id}");
const UNKNOWN: Text = Text::new("unknown: {id}", "sin respuesta: {id}");
const NOT_UNKNOWN: Text = Text::new("not unknown: {id}", "debía quedar sin respuesta: {id}");
const NOTHING: Text = Text::new("nothing", "nada");

impl Verdict {
    fn of(
        scenario: &Scenario,
        answered: &[Answered],
        report: &Report,
        class: Option<&'static str>,
    ) -> Self {
        let ids = |status| -> BTreeSet<&'static str> {
            let some = report.checks.iter().filter(|check| check.status == status);
            some.map(|check| check.id()).collect()
        };
        let (findings, unknown) = (ids(Status::Finding), ids(Status::Unknown));
        let mut faults = Vec::new();
        for (found, expected, more, fewer) in [
            (&findings, scenario.findings, FOUND, NOT_FOUND),
            (&unknown, scenario.unknown, UNKNOWN, NOT_UNKNOWN),
        ] {
            let expected: BTreeSet<&str> = expected.iter().copied().collect();
            faults.extend(found.difference(&expected).map(|id| Said::with(more, &[("id", id)])));
            faults.extend(expected.difference(found).map(|id| Said::with(fewer, &[("id", id)])));
        }
        for (to, expected) in [("ana@", scenario.strict), ("luis@", scenario.plain)] {
            let one = answered.iter().find(|one| one.to.starts_with(to));
            if !one.is_some_and(|one| one.is_as(expected)) {
                let came = one.map_or(Said::plain(NOTHING), |one| one.cause.said());
                faults.push(
                    said_of!("{to}: {came}", "{to}: {came}"; to = Said::words(to), came = came),
                );
            }
        }
        if class != scenario.class {
            let class = class.map_or(Said::plain(NOTHING), Said::words);
            faults.push(said_of!("explained as {class}", "explicado como {class}"; class = class));
        }
        Self { findings, unknown, class, faults }
    }
}
