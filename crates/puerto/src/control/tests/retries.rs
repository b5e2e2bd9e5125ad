//! What is to be tried now, and whose pauses that ends.

use puerto_smtp::Domain;
use puerto_spool::{Desk as _, MessageId};
use serde_json::json;

use super::bench;
use crate::intake::{Meant, Retry};

#[tokio::test]
async fn a_retry_of_held_mail_leaves_it_and_says_so() {
    let bench = bench();
    let [held, waiting] = ["b", "c"]
        .map(|to| bench.put("a@example.com", &[&format!("{to}@example.net")]).to_string());
    bench.defer_all("later");
    bench.ask(0, json!({ "change": { "change": "hold", "ids": [held] } })).await;
    let before = bench.spool.get(held.parse().unwrap()).wait().unwrap();
    let both = json!({ "change": { "change": "retry", "ids": [held, waiting] } });
    let expected = json!({ "end": { "count": 1, "missing": [], "held": [held] } });
    assert_eq!(bench.ask(0, both).await, [expected]);
    let after = bench.spool.get(held.parse().unwrap()).wait().unwrap();
    assert_eq!((after.held, after.recipients), (true, before.recipients));
    let flushed = bench.ask(0, json!({ "flush": { "id": held } })).await;
    assert_eq!(flushed, [json!({ "end": { "count": 0, "missing": [], "held": [held] } })]);
}

#[tokio::test]
async fn held_mail_is_not_flushed() {
    let bench = bench();
    let id = bench.put("a@example.com", &["x@example.net"]).to_string();
    bench.ask(0, json!({ "change": { "change": "hold", "ids": [id] } })).await;
    assert_eq!(bench.ask(0, json!({ "flush": {} })).await[0]["end"]["count"], 0);
}

// Found by hand: a retry for one recipient's domain ended the pauses of the others', too.
#[tokio::test]
async fn a_retry_is_for_the_recipients_that_it_was_asked_for() {
    let bench = bench();
    let both = bench.put("a@example.com", &["x@example.net", "y@example.org"]);
    let other = bench.put("a@example.com", &["z@example.com"]);
    bench.defer_all("Connection refused");
    let only = |name: &str| Meant::In([Domain::parse(name).unwrap()].into());
    let ids = json!([both.to_string(), other.to_string()]);
    let change = |chosen| json!({ "change": { "change": "retry", "ids": ids, "chosen": chosen } });
    let named = json!({ "change": { "change": "retry", "ids": ids } });
    let released = json!({ "change": { "change": "release", "ids": ids } });
    for (request, expected) in [
        (change(json!({ "to": "@example.net" })), vec![(both, only("example.net"))]),
        (change(json!({ "destination": "EXAMPLE.org" })), vec![(both, only("example.org"))]),
        (change(json!({ "from": "a@example.com" })), vec![(both, Meant::All), (other, Meant::All)]),
        (named, vec![(both, Meant::All), (other, Meant::All)]),
        (released, vec![]),
        (json!({ "flush": { "destination": "example.net" } }), vec![(both, only("example.net"))]),
    ] {
        let answer = bench.ask(0, request.clone()).await;
        assert!(answer[0].get("end").is_some(), "{request} {answer:?}");
        let expected: std::collections::HashMap<MessageId, Meant> = expected.into_iter().collect();
        assert_eq!(bench.shared.context.wake.take_retry(), Retry::Of(expected), "{request}");
    }
    let empty = bench.ask(0, change(json!({ "to": "" }))).await;
    assert_eq!(empty[0]["error"]["code"], "malformed");
}
