//! What is asked by mistake, or to no effect, is said and not done.

use super::*;

fn pause(to: &str, seconds: u64) -> Value {
    json!({ "order": { "what": { "kind": "pause", "to": to }, "seconds": seconds } })
}

/// A script's variable that was never set meant the whole queue.
#[tokio::test]
async fn an_empty_condition_is_not_everything() {
    let bench = bench();
    bench.put("a@example.com", &["x@example.net"]);
    bench.defer_all("later");
    for condition in ["to", "from", "destination", "reason", "account"] {
        for empty in ["", "  "] {
            let selection = json!({ condition: empty });
            for request in [
                json!({ "list": selection }),
                json!({ "brief": { "selection": selection } }),
                json!({ "ids": selection }),
                json!({ "overview": { "selection": selection, "most": 5 } }),
            ] {
                let answers = bench.ask(0, request).await;
                assert_eq!(answers[0]["error"]["code"], "malformed", "{answers:?}");
                let said = answers[0]["error"]["message"].as_str().unwrap().to_owned();
                assert!(said.contains(&format!("`{condition}` is empty")), "{said}");
            }
        }
    }
    let flush = bench.ask(0, json!({ "flush": { "destination": "" } })).await;
    assert_eq!(flush[0]["error"]["code"], "malformed");
    let hold = json!({ "order": { "what": { "kind": "hold", "account": "" } } });
    assert_eq!(bench.ask(0, hold).await[0]["error"]["code"], "malformed");
    assert_eq!(bench.ask(0, json!({ "ids": { "to": "*" } })).await[1]["end"]["count"], 1);
}

/// It said that the message was to be tried now.
#[tokio::test]
async fn a_retry_of_paused_mail_names_the_pauses() {
    let bench = bench();
    let [whole, part, free] =
        [vec!["x@example.net"], vec!["x@example.net", "y@example.org"], vec!["y@example.org"]]
            .map(|to| bench.put("a@example.com", &to).to_string());
    bench.defer_all("later");
    bench.ask(0, pause("example.net", 20)).await;
    bench.ask(0, pause("*.example.net", 7200)).await;
    let retry = json!({ "change": { "change": "retry", "ids": [whole, part, free] } });
    let paused = json!([
        { "id": whole, "orders": [2], "in_part": false },
        { "id": part, "orders": [2], "in_part": true },
    ]);
    let expected = json!({ "end": { "count": 2, "missing": [], "paused": paused } });
    assert_eq!(bench.ask(0, retry).await, [expected]);
    let flushed = bench.ask(0, json!({ "flush": { "id": whole } })).await;
    assert_eq!(flushed[0]["end"]["count"], 0);
    assert_eq!(flushed[0]["end"]["paused"][0]["orders"], json!([2]));
    let flushed = bench.ask(0, json!({ "flush": { "id": free } })).await;
    assert_eq!(flushed, [json!({ "end": { "count": 1, "missing": [] } })]);
}

/// A list named one order, the summary another.
#[tokio::test]
async fn of_two_pauses_the_same_is_named_everywhere() {
    let bench = bench();
    let id = bench.put("a@example.com", &["x@example.net"]).to_string();
    bench.ask(0, pause("example.net", 20)).await;
    bench.ask(0, pause("example.net", 7200)).await;
    let shown = &bench.ask(0, json!({ "show": { "id": id } })).await[0]["message"];
    let overview = &bench.ask(0, json!({ "overview": { "most": 5 } })).await[0]["overview"];
    assert_eq!(shown["recipients"][0]["paused"], json!(2));
    assert_eq!(overview["destinations"][0]["paused"], json!(2));
}

#[tokio::test]
async fn an_order_without_effect_is_not_given() {
    let bench = bench();
    assert_eq!(bench.ask(0, pause("example.net", 0)).await[0]["error"]["code"], "malformed");
    let own = bench.shared.context.config.get().domains[0].to_string();
    for (to, code) in [
        (own.clone(), json!("no_effect")),
        (own.to_uppercase(), json!("no_effect")),
        ("example.net".to_owned(), Value::Null),
        ("*".to_owned(), Value::Null),
    ] {
        let what = json!({ "kind": "reroute", "to": to, "via": "[relay.example.net]:587" });
        let answers = bench.ask(0, json!({ "order": { "what": what } })).await;
        assert_eq!(answers[0]["error"]["code"], code, "{to} {answers:?}");
    }
}
