//! Peers that take the recipients of one domain alone in each transaction.

use super::*;

const TOO_MANY: &str = "Multiple destination domains per transaction is unsupported.  Please";

fn mixed(plan: Plan) -> Job {
    let mut job = job(plan, 4);
    for (recipient, domain) in job.recipients.iter_mut().zip(["a", "b", "a", "c"]) {
        let address = format!("r{}@{domain}.example", recipient.index);
        recipient.recipient.address = Address::parse(&address).unwrap();
    }
    job
}

fn transaction(recipients: &str) -> String {
    let mut commands = "C: MAIL\n".to_owned();
    let mut replies = "S: 250 ok\n".to_owned();
    for recipient in recipients.split(' ') {
        commands += &format!("C: RCPT TO:<{recipient}.example>\n");
        replies += "S: 250 ok\n";
    }
    format!("{commands}C: DATA\n{replies}S: 354 go\ncontent\nS: 250 ok\n")
}

#[tokio::test]
async fn all_domains_are_sent_to_in_the_first_attempt_and_then_one_by_one() {
    let later = transaction("r11@b") + &transaction("r13@c");
    let parted = transaction("r10@a r12@a") + &later;
    let all = "C: MAIL\nC: RCPT\nC: RCPT\nC: RCPT\nC: RCPT\nC: DATA\n";
    for (first, rest) in [
        // At the first recipient of another domain.
        (
            format!(
                "S: 250 ok\nS: 250 ok\nS: 451-4.3.0 {TOO_MANY}\nS: 451 4.3.0 try again.\n\
                 S: 250 ok\nS: 451 4.3.0 {TOO_MANY}\nS: 354 go\ncontent\nS: 250 ok\n"
            ),
            &later,
        ),
        (
            format!(
                "S: 250 ok\nS: 250 ok\nS: 550 5.5.3 {TOO_MANY}\nS: 250 ok\n\
                 S: 550 5.5.3 {TOO_MANY}\nS: 354 go\ncontent\nS: 250 ok\n"
            ),
            &later,
        ),
        // Only when all of them are named, or sent to.
        (
            format!(
                "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 250 ok\nS: 250 ok\n\
                 S: 451 4.3.0 {TOO_MANY}\nC: RSET\nS: 250 ok\n"
            ),
            &parted,
        ),
        (
            format!(
                "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\ncontent\n\
                 S: 550 5.5.3 {TOO_MANY}\nC: RSET\nS: 250 ok\n"
            ),
            &parted,
        ),
    ] {
        let script = format!("{HELLO}{all}{first}{rest}{parted}");
        let peer = Peer::start(&[&script]).await;
        let remote = remote(patient());
        for attempt in ["the first", "from then on"] {
            let report = remote.deliver(&mixed(plan(&[peer.address]))).await;
            let sent = |outcome: &Outcome| outcome.status == DeliveryStatus::Sent;
            assert!(report.outcomes.iter().all(sent), "{attempt} {first}: {report:?}");
        }
        peer.check();
        assert_eq!(peer.connections(), 1);
    }
}

#[tokio::test]
async fn a_refusal_of_one_domain_in_such_words_is_a_refusal() {
    let replies = format!("S: 250 ok\nS: 550 5.5.3 {TOO_MANY}\nS: 503 no\n");
    let peer = Peer::start(&[&format!("{HELLO}C: MAIL\nC: RCPT\nC: DATA\n{replies}")]).await;
    let report = remote(patient()).deliver(&job(plan(&[peer.address]), 1)).await;
    assert_eq!(report.outcomes[0].status, DeliveryStatus::Bounced);
}

#[tokio::test]
async fn a_peer_that_parts_domains_and_closes_bounces_nobody() {
    let all = "C: MAIL\nC: RCPT\nC: RCPT\nC: RCPT\nC: RCPT\nC: DATA\n";
    let replies = format!("S: 250 ok\nS: 250 ok\nS: 550 5.5.3 {TOO_MANY}\n");
    let peer = Peer::start(&[&format!("{HELLO}{all}{replies}drop\n")]).await;
    let report = remote(patient()).deliver(&mixed(plan(&[peer.address]))).await;
    let deferred = |outcome: &Outcome| outcome.status == DeliveryStatus::Deferred;
    assert!(report.outcomes.iter().all(deferred), "{report:?}");
}
