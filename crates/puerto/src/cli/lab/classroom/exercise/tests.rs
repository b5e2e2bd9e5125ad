//! Each exercise: unsolved it fails, its model solution passes, and wrong solutions fail by
//! what is wrong with them.

use std::fs;
use std::path::Path;
use std::time::Duration;

use puerto_mail::dkim::{PrivateKey, zone_file_text};

use super::{Exercise, Graded, Step, all, find, grade};
use crate::cli::lab::asked;
use crate::cli::lab::classroom::home::write;
use crate::cli::lab::classroom::world::World;
use crate::control::protocol::{Change, Selection};
use crate::lang::Language;

const KEY: &str = "rsa._domainkey.lab.example";

/// What grading says once these steps were done.
async fn graded(exercise: &Exercise, steps: &[Step]) -> Vec<Graded> {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("x");
    let opened = World::open(exercise.world, Some(&place), false, Language::English).await;
    let (world, news) = match opened {
        Ok(opened) => opened,
        Err(failure) => panic!("{}", failure.of(Language::English)),
    };
    assert!(news.iter().all(|news| news.good), "{news:?}");
    settle(&world, exercise.world.letters.len()).await;
    for step in steps {
        take(step, &world).await;
        world.apply().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    if steps.iter().any(|step| matches!(step, Step::Send(..))) {
        let sent = steps.iter().filter(|step| matches!(step, Step::Send(..))).count();
        settle(&world, exercise.world.letters.len() + sent).await;
    }
    let graded = grade(exercise, &world, Language::English).await;
    world.close().await;
    graded
}

// Until so many letters were answered by somebody.
async fn settle(world: &World, count: usize) {
    for _ in 0..200 {
        let seen = world.lab.transactions();
        let from_us = |one: &&std::sync::Arc<puerto_lab::Transaction>| {
            one.receiver != "home" && !one.recipients.is_empty()
        };
        if seen.iter().filter(from_us).count() >= count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("of {count} letters some were never tried");
}

async fn take(step: &Step, world: &World) {
    let path = |name: &str| world.folder().join(name);
    let run_dir = world.run_dir();
    let port = world.lab.mx_port().to_string();
    let place = world.folder().display().to_string();
    let fill = |text: &str| text.replace("{port}", &port).replace("{folder}", &place);
    match step {
        Step::Edit(file, old, new) => {
            let text = fs::read_to_string(path(file)).unwrap();
            let old = fill(old);
            assert!(text.contains(&old), "{old:?} is not in {text}");
            write(&path(file), &text.replace(&old, &fill(new))).unwrap();
        }
        Step::Add(file, text) => {
            let before = fs::read_to_string(path(file)).unwrap_or_default();
            write(&path(file), &(before + &fill(text))).unwrap();
        }
        Step::Send(from, to) => drop(world.send(from, to, "step").await),
        Step::Retry => retry(world).await,
        Step::Remove => {
            let removed = asked(&run_dir, |client| {
                let mut ids = Vec::new();
                client.list(&Selection::default(), |message| {
                    ids.push(message.id);
                    Ok(())
                })?;
                client.change((Change::Remove, &Selection::default()), ids.into_iter(), |_| {})
            });
            assert_eq!(removed.await.unwrap().count, 1);
        }
        Step::Publish(records) => {
            unpublish(&path("dns.zone"));
            let pem = fs::read_to_string(path("dkim/lab.example/rsa.pem")).unwrap();
            let text = PrivateKey::from_pem(&pem).unwrap().record_text();
            let (first, second) = text.split_at(200);
            let lines = match records {
                1 => format!("{KEY}. TXT ( {} )\n", zone_file_text(&text)),
                _ => format!("{KEY}. TXT \"{first}\"\n{KEY}. TXT \"{second}\"\n"),
            };
            let before = fs::read_to_string(path("dns.zone")).unwrap();
            write(&path("dns.zone"), &(before + &lines)).unwrap();
        }
        Step::Unpublish => unpublish(&path("dns.zone")),
    }
}

// The record may stand in parentheses on several lines.
fn unpublish(file: &Path) {
    let text = fs::read_to_string(file).unwrap();
    let (before, key) = text.split_once("\nrsa._domainkey").expect("the key");
    let line = key.lines().next().unwrap();
    let end = if line.contains('(') { ")\n" } else { "\n" };
    let (_, after) = key.split_once(end).unwrap();
    write(file, &format!("{before}\n{after}")).unwrap();
}

async fn retry(world: &World) {
    let run_dir = world.run_dir();
    for _ in 0..200 {
        let left = asked(&run_dir, |client| {
            client.flush(None)?;
            Ok(client.health()?.messages)
        });
        if left.await.unwrap() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("something waits for ever");
}

fn findings(graded: &[Graded]) -> Vec<&str> {
    graded.iter().filter_map(|one| Some(one.finding.as_ref()?.0.as_str())).collect()
}

async fn examine(number: u8) {
    let exercise = find(number).unwrap();
    let unsolved = graded(exercise, &[]).await;
    assert!(!findings(&unsolved).is_empty(), "exercise {number} is solved before it is begun");
    let solved = graded(exercise, exercise.model).await;
    assert_eq!(findings(&solved), [""; 0], "exercise {number}: {solved:#?}");
    assert_eq!(solved.iter().map(|one| one.points).sum::<u32>(), 10);
    assert!(exercise.wrong.len() >= 3);
    for (steps, finding) in exercise.wrong {
        let wrong = graded(exercise, steps).await;
        assert!(findings(&wrong).contains(finding), "{number}: {finding}: {wrong:#?}");
    }
}

macro_rules! examined {
    ($($name:ident = $number:literal;)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                examine($number).await;
            }
        )*
    };
}

examined! {
    the_first_message = 1;
    reading_the_log = 2;
    brackets = 3;
    a_login = 4;
    the_relays_senders = 5;
    mx_and_ptr = 6;
    spf_merged = 7;
    dkim_cut = 8;
    dmarc_policy = 9;
    the_dynamic_address = 10;
    greylisting = 11;
    ipv6_without_ptr = 12;
}

#[test]
fn there_are_twelve_in_order_and_hints_get_dearer() {
    let numbers: Vec<u8> = all().map(|exercise| exercise.number).collect();
    assert_eq!(numbers, (1..=12).collect::<Vec<u8>>());
    for exercise in all() {
        let costs: Vec<u32> = exercise.hints.iter().map(|hint| hint.cost).collect();
        assert!(costs.len() >= 2 && costs.is_sorted(), "{}: {costs:?}", exercise.number);
        let points: u32 = exercise.checks.iter().map(|check| check.points).sum();
        assert_eq!(points, 10, "{}", exercise.number);
    }
}
