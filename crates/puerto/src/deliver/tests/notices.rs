//! What a next hop is told of the sender's wishes for notices (RFC 3461 §5.2), and
//! reverse-paths that name their recipient.

use puerto_smtp::{Notify, Verp};

use super::*;
use crate::cause::Cause;
use crate::deliver::Success;
use crate::telemetry::{Event, MailLog};

fn wishful(plan: Plan) -> Job {
    let mut job = job(plan, 2);
    job.envelope_id = Some("QQ 1".to_owned());
    job.ret = Some(puerto_smtp::Return::Headers);
    let recipient = &mut job.recipients[1].recipient;
    recipient.notify = Some(Notify { success: true, failure: true, delay: false });
    recipient.original = Some("rfc822;Written+x@example.org".to_owned());
    job
}

#[tokio::test]
async fn a_next_hop_that_offers_dsn_is_told_the_wishes_and_the_original_addresses() {
    let script = format!(
        "{HELLO}C: MAIL FROM:<me@example.com> RET=HDRS ENVID=QQ+201\n\
         C: RCPT TO:<r0@example.net> ORCPT=rfc822;r0@example.net\n\
         C: RCPT TO:<r1@example.net> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Written+2Bx@example.org\n\
         C: DATA\nS: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\ncontent\nS: 250 ok\n"
    );
    let peer = Peer::start(&[&script]).await;
    let report = remote(patient()).deliver(&wishful(plan(&[peer.address]))).await;
    peer.check();
    assert!(report.outcomes.iter().all(|outcome| outcome.success == Success::ToldElsewhere));
}

#[tokio::test]
async fn a_next_hop_that_does_not_is_told_nothing_and_we_say_that_it_was_passed_on() {
    let script = "S: 220 mx\nC: EHLO\nS: 250-mx\nS: 250-PIPELINING\nS: 250 XVERP\n\
                  C: MAIL FROM:<me@example.com>\nC: RCPT TO:<r0@example.net>\n\
                  C: RCPT TO:<r1@example.net>\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 250 ok\n\
                  S: 354 go\ncontent\nS: 250 ok\n";
    let peer = Peer::start(&[script]).await;
    let report = remote(patient()).deliver(&wishful(plan(&[peer.address]))).await;
    peer.check();
    let commands = peer.commands();
    assert!(commands.iter().any(|line| line == "RCPT TO:<r1@example.net>"), "{commands:?}");
    assert!(report.outcomes.iter().all(|outcome| outcome.success == Success::Relayed));
}

#[tokio::test]
async fn each_recipient_has_a_transaction_with_a_reverse_path_that_names_it() {
    let part = |name: &str| {
        format!(
            "C: MAIL FROM:<me+{name}=example.net@example.com>\nC: RCPT TO:<{name}@example.net>\n\
             C: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\ncontent\nS: 250 ok\n"
        )
    };
    let script = format!("{HELLO}{}{}{}", part("r0"), part("r1"), part("r2"));
    let peer = Peer::start(&[&script]).await;
    let mut job = job(plan(&[peer.address]), 3);
    job.verp = Some(Verp::default());
    let report = remote(patient()).deliver(&job).await;
    peer.check();
    assert_eq!(peer.contents().len(), 3);
    assert!(report.outcomes.iter().all(|o| o.status == DeliveryStatus::Sent));
}

/// The log has it once in a while; `puerto why` finds it with each message.
#[tokio::test]
async fn an_address_that_is_not_sent_from_is_told_once_and_kept_with_each_message() {
    let told = Arc::new(std::sync::Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    let log = MailLog::new(move |event| {
        if let Event::Remark { level, id, cause, .. } = event {
            heard.lock().unwrap().push((*level, *id, cause.text().into_owned()));
        }
    });
    let peer = Peer::start(&[&format!("{HELLO}{ACCEPT}{ACCEPT}{ACCEPT}{ACCEPT}")]).await;
    let avoided = |domain: &str| {
        Some(Cause::AddressNotPermitted {
            address: "2001:db8::1".to_owned(),
            domain: domain.to_owned(),
            receiver: "google".to_owned(),
        })
    };
    let remote = remote(patient()).with_log(log);
    let plans = [avoided("example.com"), None, avoided("example.com"), avoided("shop.test")];
    for avoided in plans {
        remote.deliver(&job(Plan { avoided, ..plan(&[peer.address]) }, 1)).await;
    }
    let told = told.lock().unwrap();
    let levels: Vec<&str> = told.iter().map(|(level, ..)| *level).collect();
    assert_eq!(levels, ["warning", "debug", "warning"], "{told:?}");
    let text = &told[0].2;
    assert!(
        text.contains("2001:db8::1") && text.contains("the SPF record of example.com"),
        "{text}"
    );
}
