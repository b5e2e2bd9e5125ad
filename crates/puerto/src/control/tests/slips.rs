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

async fn found(bench: &Bench, selection: Value) -> Vec<String> {
    let answers = bench.ask(0, json!({ "ids": selection })).await;
    let ids = answers.iter().filter_map(|answer| answer["ids"].as_array()).flatten();
    ids.map(|id| id.as_str().unwrap().to_owned()).collect()
}

/// `--account ana@example.com` found nothing, though one logs in to `ana` by it.
#[tokio::test]
async fn an_account_is_meant_by_each_of_its_names() {
    let bench = bench();
    let put = |name: &str| {
        let origin = Origin::Account { name: name.to_owned(), client: "[192.0.2.1]".to_owned() };
        bench.put_by(origin, "a@example.com", &["x@example.net"], |_| {}).to_string()
    };
    let [ana, whole, other] = ["ana", "ana@example.com", "ana@example.net"].map(put);
    for (name, expected) in [
        ("ana", vec![&ana]),
        ("ANA", vec![&ana]),
        ("Ana@Example.com", vec![&ana, &whole]),
        ("ana@example.net", vec![&other]),
        ("ana*", vec![&ana, &whole, &other]),
        ("*@example.com", vec![&whole]),
        ("an", vec![]),
    ] {
        let found = found(&bench, json!({ "account": name })).await;
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{name}");
    }
}

#[tokio::test]
async fn a_domain_is_meant_in_both_scripts() {
    let bench = bench();
    let to = ["x@ñandú.example", "x@xn--and-6ma2c.example"];
    let ids = to.map(|to| bench.put("a@ñandú.example", &[to]).to_string());
    for selection in [
        json!({ "destination": "ñandú.example" }),
        json!({ "destination": "XN--and-6ma2c.example" }),
        json!({ "to": "x@ñandú.example" }),
        json!({ "to": "*@xn--and-6ma2c.example" }),
        json!({ "from": "@xn--and-6ma2c.example" }),
    ] {
        assert_eq!(found(&bench, selection.clone()).await, ids, "{selection}");
    }
}

/// The summary told of an attempt in an hour, which is where paused mail is put aside.
#[tokio::test]
async fn a_pause_without_an_end_has_no_next_attempt() {
    let bench = bench();
    let id = bench.put("a@example.com", &["x@example.net"]).to_string();
    bench.defer_all("later");
    let endless = json!({ "order": { "what": { "kind": "pause", "to": "example.net" } } });
    bench.ask(0, endless).await;
    let shown = &bench.ask(0, json!({ "show": { "id": id } })).await[0]["message"];
    assert_eq!(shown["recipients"][0]["next_attempt"], Value::Null, "{shown}");
    let overview = &bench.ask(0, json!({ "overview": { "most": 5 } })).await[0]["overview"];
    for numbers in [
        &overview["recipients"],
        &overview["destinations"][0]["recipients"],
        &overview["reasons"][0]["recipients"],
    ] {
        assert_eq!((&numbers["next_attempt"], &numbers["count"]), (&Value::Null, &json!(1)));
    }
    // One that ends has: when it ends, or later.
    bench.ask(0, json!({ "take_back": { "numbers": [1] } })).await;
    bench.ask(0, pause("example.net", 7200)).await;
    let shown = &bench.ask(0, json!({ "show": { "id": id } })).await[0]["message"];
    assert!(shown["recipients"][0]["next_attempt"].is_string(), "{shown}");
}

/// What was released waited for a pause that was over.
#[tokio::test]
async fn what_is_released_is_tried_now_and_what_was_free_is_told() {
    let bench = bench();
    let [held, free] =
        ["x@example.net", "y@example.net"].map(|to| bench.put("a@example.com", &[to]).to_string());
    bench.defer_all("later");
    bench.ask(0, json!({ "change": { "change": "hold", "ids": [held] } })).await;
    let release = json!({ "change": { "change": "release", "ids": [held, free] } });
    let end = bench.ask(0, release).await[0]["end"].clone();
    assert_eq!((&end["count"], &end["not_held"]), (&json!(1), &json!([free])), "{end}");
    let mut next = Vec::new();
    for id in [held, free] {
        let shown = &bench.ask(0, json!({ "show": { "id": id } })).await[0]["message"];
        next.push(shown["recipients"][0]["next_attempt"].as_str().unwrap().to_owned());
    }
    assert!(next[0] < next[1], "the one that was free waits as before: {next:?}");
}
