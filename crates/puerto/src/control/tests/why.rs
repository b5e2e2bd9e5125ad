//! The story of a message from the queue and the history, for those who may hear it.

use super::*;
use crate::history::History;
use crate::telemetry::LocalOrigin;

fn bench_with_history(folder: &std::path::Path) -> (Bench, History) {
    let clock = ManualClock::new(Timestamp::from_millis(1_795_510_000_000));
    let config = Config::for_tests(folder);
    let history =
        History::in_folder(folder, &config, Arc::new(clock), &MailLog::nowhere()).unwrap();
    let Bench { spool, log, .. } = bench();
    let context = Context {
        config: Live::new(config),
        desk: spool.clone(),
        store: spool.clone(),
        wake: Wake::default(),
        log: MailLog::nowhere(),
        history: Some(history.clone()),
        sight: Sight::default(),
        reload: Arc::new(|| Ok(())),
    };
    (Bench { shared: Arc::new(Shared::new(context)), spool, log }, history)
}

fn heard(history: &History, id: MessageId, uid: u32) {
    let from = ReversePath::parse("<me@example.com>").unwrap();
    history.hear(&Event::FromLocalUser { id, uid, origin: &LocalOrigin::default(), from: &from });
    let recipients = [Recipient::new("you@example.net".parse().unwrap())];
    history.hear(&Event::Prepared(crate::telemetry::Prepared {
        id,
        message_id: "<1@host>",
        from: &from,
        recipients: &recipients,
        changes: &[],
        signing: &crate::telemetry::Signing::NotOurs,
    }));
}

async fn ask(bench: &Bench, uid: u32, what: &str) -> Vec<Value> {
    bench.ask(uid, json!({"why": {"what": what}})).await
}

#[tokio::test]
async fn a_message_is_told_by_all_its_names_to_those_who_may_hear_it() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, history) = bench_with_history(folder.path());
    let queued = bench.put("me@example.com", &["you@example.net"]);
    heard(&history, queued, 7);
    for name in [&*queued.to_string(), "<1@host>", "1@HOST", "you@example.net", "me"] {
        for (uid, count) in [(0, 2), (7, 2), (SOMEBODY, 0)] {
            let answers = ask(&bench, uid, name).await;
            let events = answers[0]["story"]["events"].as_array().map_or(0, Vec::len);
            assert_eq!(events, count, "{uid} {name} {answers:?}");
            let is_told = answers[0]["story"]["queued"]["id"] == queued.to_string();
            assert_eq!(is_told, count > 0, "{answers:?}");
            assert_eq!(answers[0]["unknown"]["own_only"] == true, count == 0, "{answers:?}");
        }
    }
    let gone = MessageId::from_u64(queued.as_u64() + 5);
    heard(&history, gone, SOMEBODY);
    history.hear(&Event::Removed { id: gone });
    let several = ask(&bench, 0, "you@example.net").await;
    let ids: Vec<_> = several.iter().map(|answer| &answer["match"]["id"]).take(2).collect();
    assert_eq!(ids, [&gone.to_string(), &queued.to_string()]);
    assert_eq!(several[0]["match"]["state"], "removed");
    assert_eq!(several[1]["match"]["state"], "waiting");
    let own = ask(&bench, SOMEBODY, "you@example.net").await;
    assert_eq!(own[0]["story"]["id"], gone.to_string());
}

#[tokio::test]
async fn what_is_unknown_is_told_with_what_was_perhaps_meant() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, history) = bench_with_history(folder.path());
    heard(&history, MessageId::from_u64(5), 7);
    let unknown = &ask(&bench, 0, "yuo@example.net").await[0]["unknown"];
    assert_eq!(unknown["similar"], json!(["you@example.net"]));
    assert_eq!(unknown["on"], true);
    let of_others = &ask(&bench, SOMEBODY, "yuo@example.net").await[0]["unknown"];
    assert_eq!(of_others["similar"], json!([]));
}

#[tokio::test]
async fn only_administrators_have_the_history_forget() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, history) = bench_with_history(folder.path());
    heard(&history, MessageId::from_u64(5), SOMEBODY);
    let forget = json!({"forget": {"address": "you@example.net"}});
    assert_eq!(bench.ask(SOMEBODY, forget.clone()).await[0]["error"]["code"], "denied");
    assert_eq!(bench.ask(0, forget).await[0]["end"]["count"], 1);
    assert_eq!(history.of(MessageId::from_u64(5)).unwrap(), []);
}

/// The beginning of what still waits was forgotten, too.
#[tokio::test]
async fn what_still_waits_is_not_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, history) = bench_with_history(folder.path());
    let queued = bench.put("me@example.com", &["you@example.net"]);
    heard(&history, queued, 7);
    for more in 1..=3 {
        heard(&history, MessageId::from_u64(queued.as_u64() + more), 7);
    }
    let forget = json!({"forget": {"address": "you@example.net"}});
    assert_eq!(bench.ask(0, forget.clone()).await[0]["end"]["count"], 3);
    let told = ask(&bench, 0, &queued.to_string()).await;
    assert_eq!(told[0]["story"]["events"].as_array().map(Vec::len), Some(2));
    assert_eq!(bench.ask(0, forget).await[0]["end"]["count"], 0);
}
