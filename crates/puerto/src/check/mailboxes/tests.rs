use std::net::SocketAddr;

use puerto_mail::dns::block_on;

use super::super::outcome::Status;
use super::super::tests::made::{Made, troubles};
use super::*;
use crate::config::Config;

fn checks(mx: &str, change: impl FnOnce(&mut Config)) -> Vec<Check> {
    let mut made = Made::default();
    made.table.mx("example.com", 10, mx);
    let last = if mx == "mail.example.com" { 7 } else { 99 };
    made.answer(mx, [192, 0, 2, last]);
    let directory = tempfile::tempdir().unwrap();
    let mut config = Config::for_tests(directory.path());
    config.listen.smtp = vec![SocketAddr::from(([0, 0, 0, 0], 25))];
    std::fs::write(&config.local.aliases, "postmaster: root\n").unwrap();
    change(&mut config);
    let ours = |context: &mut Context<'_, Made>| context.egress_given = false;
    made.judge_with(&config, ours, |context| block_on(run(context)))
}

#[test]
fn a_server_that_receives_for_its_domain_has_what_it_must() {
    let found = checks("mail.example.com", |_| {});
    assert_eq!(troubles(&found), Vec::<String>::new());
    assert!(found.iter().all(|check| check.status == Status::Pass), "{found:?}");
}

#[test]
fn mailboxes_elsewhere_are_not_judged() {
    let found = checks("mx.example.net", |config| config.listen.smtp.clear());
    assert_eq!(troubles(&found), Vec::<String>::new());
    let status = found.iter().find(|check| check.id() == "mbox.postmaster").unwrap().status;
    assert_eq!(status, Status::NotApplicable);
}

#[test]
fn an_alias_that_leads_nowhere_is_found() {
    let found = checks("mail.example.com", |config| {
        std::fs::write(&config.local.aliases, "abuse: no-such-user\n").unwrap();
    });
    assert_eq!(troubles(&found), ["mbox.abuse finding warning abuse@example.com"]);
}

#[test]
fn an_mx_that_leads_here_needs_a_listener() {
    let loopback = ["127.0.0.1:25", "[::1]:25"].map(|address| address.parse().unwrap());
    for listen in [vec![], loopback.to_vec()] {
        let found = checks("mail.example.com", |config| config.listen.smtp = listen);
        assert_eq!(troubles(&found), ["mbox.bounce finding error example.com"]);
    }
}

#[test]
fn trusting_a_large_public_network_is_an_open_relay() {
    for (network, expected) in [
        ("198.51.100.0/24", Status::Pass),
        ("10.0.0.0/8", Status::Pass),
        ("2001:db8::/48", Status::Pass),
        ("128.0.0.0/1", Status::Finding),
        ("198.0.0.0/8", Status::Finding),
        ("2000::/3", Status::Finding),
    ] {
        let found = checks("mail.example.com", |config| {
            config.trusted_networks.0.push(Network::parse(network).unwrap());
        });
        let relay = found.iter().find(|check| check.id() == "mbox.open-relay").unwrap();
        assert_eq!(relay.status, expected, "{network}");
    }
}
