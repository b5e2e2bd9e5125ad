use puerto_mail::dns::{DnsError, block_on};

use super::super::Status;
use super::super::context::Relay;
use super::super::tests::made::{Made, troubles};
use super::*;

/// Every list answers its tests and lists nothing else.
fn healthy() -> Made {
    let mut made = Made::default();
    for list in &Lists::known().lists {
        let answer = if list.is_allow_list() { [127, 0, 5, 0] } else { [127, 0, 0, 2] };
        let answer = if list.check == "bl.spamhaus-dbl" { [127, 0, 1, 2] } else { answer };
        made.answer(&format!("2.0.0.127.{}", list.zone), answer);
        made.answer(&format!("test.{}", list.zone), answer);
        let mapped = "2.0.0.0.0.0.f.7.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0";
        made.answer(&format!("{mapped}.{}", list.zone), answer);
    }
    made
}

fn checks_of(made: &Made, change: impl FnOnce(&mut Context<'_, Made>)) -> Vec<Check> {
    made.judge(change, |context| block_on(run(context)))
}

#[test]
fn a_healthy_world_has_no_findings_and_each_list_is_asked_about_what_it_lists() {
    let made = healthy();
    let checks = checks_of(&made, |_| {});
    assert_eq!(troubles(&checks), Vec::<String>::new());
    let asked = made.asked.lock().unwrap();
    for name in [
        "7.2.0.192.zen.spamhaus.org",
        "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.zen.spamhaus.org",
        "example.com.dbl.spamhaus.org",
        "7.2.0.192.dnsbl-3.uceprotect.net",
    ] {
        assert!(asked.iter().any(|asked| asked == name), "{name}");
    }
    // The name in EHLO is under the domain, which lists cover as a whole.
    assert!(!asked.iter().any(|name| name.starts_with("mail.example.com.")));
}

#[test]
fn lists_that_were_closed_or_need_a_key_are_never_asked() {
    let closed = "sorbs.net ix.dnsbl.manitu.net bl.spamcannibal.org dnsbl.inps.de \
        ubl.unsubscore.com ubl.lashback.com dnsbl.ahbl.org ircbl.ahbl.org rhsbl.ahbl.org \
        dnsbl.njabl.org combined.njabl.org list.dsbl.org multihop.dsbl.org \
        unconfirmed.dsbl.org mail.abusix.zone bl.score.senderscore.com";
    let made = healthy();
    checks_of(&made, |_| {});
    for name in made.asked.lock().unwrap().iter() {
        let is_of = |zone: &&str| is_at_or_below(name, zone);
        assert_eq!(closed.split(' ').find(is_of), None, "{name}");
    }
}

#[test]
fn an_entry_in_the_pbl_is_exactly_that() {
    let mut made = healthy();
    made.answer("7.2.0.192.zen.spamhaus.org", [127, 0, 0, 10]);
    let checks = checks_of(&made, |_| {});
    assert_eq!(troubles(&checks), ["bl.spamhaus-zen finding error 192.0.2.7"]);
    let check = checks.iter().find(|check| check.status == Status::Finding).unwrap();
    assert!(
        check.seen.to_string().starts_with("listed by Spamhaus ZEN as PBL (127.0.0.10)"),
        "{check:?}"
    );
    assert!(
        check.remedy.to_string().contains("relayhost")
            && check.remedy.to_string().contains("check.spamhaus.org")
    );
    assert_eq!(check.asked, "A 7.2.0.192.zen.spamhaus.org @192.0.2.53");
}

#[test]
fn a_list_that_refuses_the_resolver_is_unknown_and_the_resolver_is_named() {
    let mut made = Made::default();
    made.answer("2.0.0.127.zen.spamhaus.org", [127, 255, 255, 254]);
    made.answer("1.0.0.127.zen.spamhaus.org", [127, 255, 255, 254]);
    made.answer("7.2.0.192.zen.spamhaus.org", [127, 255, 255, 254]);
    let checks = checks_of(&made, |_| {});
    assert!(checks.iter().all(|check| check.status != Status::Finding));
    let zen = checks.iter().find(|c| c.id() == "bl.spamhaus-zen" && c.subject == "192.0.2.7");
    let zen = zen.unwrap();
    assert_eq!(zen.status, Status::Unknown);
    assert!(
        zen.seen.to_string().contains("192.0.2.53")
            && zen.seen.to_string().contains("127.255.255.254"),
        "{zen:?}"
    );
    assert!(zen.remedy.to_string().contains("unbound"));
}

#[test]
fn a_list_that_lists_everything_or_fails_is_unknown() {
    let mut everything = healthy();
    everything.answer("1.0.0.127.bl.spamcop.net", [127, 0, 0, 2]);
    everything.answer("7.2.0.192.bl.spamcop.net", [127, 0, 0, 2]);
    let mut failing = healthy();
    let servfail = DnsError::Failure("SERVFAIL".into());
    failing.table.fail("7.2.0.192.bl.spamcop.net", RecordType::A, servfail);
    assert_eq!(
        troubles(&checks_of(&everything, |_| {})),
        ["bl.sanity unknown error 192.0.2.53", "bl.spamcop unknown warning 192.0.2.7"]
    );
    assert_eq!(troubles(&checks_of(&failing, |_| {})), ["bl.spamcop unknown warning 192.0.2.7"]);
}

#[test]
fn the_smaller_lists_are_information() {
    let mut made = healthy();
    made.answer("7.2.0.192.psbl.surriel.com", [127, 0, 0, 2]);
    assert_eq!(troubles(&checks_of(&made, |_| {})), ["bl.other finding info 192.0.2.7"]);
    made.answer("7.2.0.192.all.spamrats.com", [127, 0, 0, 38]);
    let two = ["bl.other finding info 192.0.2.7"; 2];
    assert_eq!(troubles(&checks_of(&made, |_| {})), two);
}

#[test]
fn behind_a_relayhost_only_the_domain_is_asked_about() {
    let mut made = healthy();
    made.answer("7.2.0.192.zen.spamhaus.org", [127, 0, 0, 10]);
    made.answer("example.com.dbl.spamhaus.org", [127, 0, 1, 102]);
    let checks = checks_of(&made, |context| {
        let addresses = Ok(vec!["198.51.100.1".parse().unwrap()]);
        context.relay = Some(Relay { name: "relay.example.net".to_owned(), addresses });
    });
    assert_eq!(troubles(&checks), ["bl.spamhaus-dbl finding warning example.com"]);
    let zen = checks.iter().find(|check| check.id() == "bl.spamhaus-zen").unwrap();
    assert_eq!(zen.status, Status::NotApplicable);
}

#[test]
fn bad_neighbours_are_told_of_and_dynamic_ones_are_not() {
    for (answer, expected) in [([127, 0, 0, 4], 1), ([127, 0, 0, 10], 0)] {
        let mut made = healthy();
        for last in [6, 5, 3] {
            made.answer(&format!("{last}.2.0.192.zen.spamhaus.org"), answer);
        }
        let troubles = troubles(&checks_of(&made, |_| {}));
        assert_eq!(troubles.len(), expected, "{troubles:?}");
    }
}
