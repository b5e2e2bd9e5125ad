//! What is said of the worlds of these tests, in both languages, and whole reports as
//! people and programs see them: golden files.

use std::fmt::Write as _;

use puerto_mail::dns::{DnsError, RecordType};

use super::world::{KEY, Made, V4};
use super::{CASES, reverse, variations};
use crate::check::{Check, Greeting, Report, Status, Trial};
use crate::config::NextHop;
use crate::finding::{Finding, Severity};
use crate::lang::{Language, said};

const LANGUAGES: [(&str, Language); 2] = [("en", Language::English), ("es", Language::Spanish)];

/// Without what is another in each run: keys, folders, the time.
fn steady(text: &str, world: &Made) -> String {
    const KEY_AT_LEAST: usize = 24;
    let text = text.replace(&*world.directory.path().to_string_lossy(), "{folder}");
    let is_of_key = |c: char| c.is_ascii_alphanumeric() || "+/".contains(c);
    let (mut out, mut rest) = (String::new(), text.as_str());
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c| !is_of_key(c)).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end.max(first.len_utf8()));
        let is_time = out.ends_with("puerto-") && run.chars().all(|c| c.is_ascii_hexdigit());
        match () {
            () if is_time && run.len() > 6 => out.push_str("{now}"),
            () if run.len() >= KEY_AT_LEAST => out.push_str("{key}"),
            () => out.push_str(run),
        }
        rest = after;
    }
    out
}

/// What is not as it should be, as somebody is told it.
fn told(checks: &[Check], language: Language) -> String {
    let mut out = String::new();
    let silent = [Status::Pass, Status::NotApplicable];
    let report = Report { domains: Vec::new(), egress: Vec::new(), checks: checks.to_vec() };
    let json = report.to_json(language);
    for check in json["checks"].as_array().unwrap() {
        let of = |name: &str| check[name].as_str().unwrap().to_owned();
        if silent.iter().any(|status| status.as_str() == of("status")) {
            continue;
        }
        let (id, subject) = (of("id"), of("subject"));
        let _ = writeln!(out, "  {id} {subject} ({}, {})", of("status"), of("severity"));
        for name in ["asked", "seen", "expected", "remedy"] {
            let _ = writeln!(out, "    {name}: {}", of(name).replace('\n', " / "));
        }
    }
    out
}

#[tokio::test]
async fn what_is_found_is_said_as_it_was_in_both_languages() {
    let of_cases = CASES.iter().map(|(title, breaks, _)| {
        let mut world = Made::healthy().with_lists();
        breaks(&mut world);
        (*title, world)
    });
    let worlds = of_cases.chain(variations::cases().into_iter().map(|c| (c.title, c.world())));
    let mut out = LANGUAGES.map(|_| String::new());
    for (title, world) in worlds {
        let checks = world.judge_all().await.checks;
        for ((_, language), out) in LANGUAGES.iter().zip(&mut out) {
            let told = steady(&told(&checks, *language), &world);
            let _ = writeln!(out, "{title}\n{told}");
        }
    }
    for ((name, _), out) in LANGUAGES.iter().zip(&out) {
        crate::golden::same(&format!("check/findings.{name}.txt"), out);
    }
}

/// Worlds whose reports are kept whole.
fn reported() -> [(&'static str, Made); 6] {
    let healthy = Made::healthy().with_lists();
    let mut ruin = Made::healthy().with_lists();
    ruin.set_pointer(V4, "192-0-2-10.dynamic.isp.example");
    ruin.set_txt("example.com", "v=spf1 ip6:2001:db8::10 ?all");
    ruin.set_txt(KEY, "v=DKIM1; k=rsa; t=y; p=");
    ruin.absent("_dmarc.example.com", RecordType::Txt);
    ruin.table.mx("example.com", 20, "backup.example.com\u{1b}[2J");
    ruin.sendmail = Some("/usr/sbin/sendmail → /usr/sbin/exim4".to_owned());
    let mut silent = Made::healthy();
    silent.silent = true;
    let mut unregistered = Made::healthy().with_lists();
    unregistered.config.domains = vec![puerto_smtp::Domain::parse("shop.example.org").unwrap()];
    let mut relayed = Made::healthy().with_lists();
    relayed.config.relayhost = Some(NextHop::parse("[relay.isp.example]:587").unwrap());
    relayed.table.address("relay.isp.example", "198.51.100.25".parse().unwrap());
    relayed.trial = Trial::Answered(vec![Finding::new(
        "relay.login",
        Severity::Error,
        said!("the login does not work", "no se puede iniciar sesión"),
        said!("correct the password", "corrija la contraseña"),
    )]);
    let mut several = Made::healthy().with_lists().with_receivers(|_| Greeting::TimedOut);
    several.config.domains.push(puerto_smtp::Domain::parse("example.net").unwrap());
    several.add_domain("example.net", "v=spf1 ip6:2001:db8::10 -all");
    several.table.fail(&reverse(V4), RecordType::Ptr, DnsError::Timeout);
    [
        ("healthy", healthy),
        ("ruin", ruin),
        ("silent", silent),
        ("unregistered", unregistered),
        ("relayed", relayed),
        ("several", several),
    ]
}

#[tokio::test]
async fn reports_are_shown_as_they_were() {
    for (name, world) in reported() {
        let report = world.judge_all().await;
        for (code, language) in LANGUAGES {
            let shown = |all| crate::check::show(&report, all, language);
            let page = format!("{}\n--all\n\n{}", shown(false), shown(true));
            let page = anstream::adapter::strip_str(&page).to_string();
            crate::golden::same(&format!("check/{name}.{code}.txt"), &steady(&page, &world));
            // One has it all: the others would only be long.
            if name == "ruin" {
                let json = serde_json::to_string_pretty(&report.to_json(language)).unwrap();
                crate::golden::same(&format!("check/{name}.{code}.json"), &steady(&json, &world));
            }
        }
    }
}
