//! How the story is told: a line for each step, tables, the account; or one JSON document.

use serde_json::{Value, json};

use super::account::Balance;
use crate::cli::lab::show::Show;
use crate::cli::nodes;
use crate::cli::output::{json_document, print};
use crate::control::protocol::NodeView;
use crate::lang::{Said, Text, said};

/// Where it is told.
pub(super) struct Screen {
    show: Show,
    json: bool,
    steps: Vec<Value>,
}

impl Screen {
    pub(super) fn new(show: Show, json: bool) -> Self {
        Self { show, json, steps: Vec::new() }
    }

    /// A part of the story begins.
    pub(super) fn part(&self, title: Text) {
        self.show.part(title.of(self.show.language()), "");
    }

    /// Something has happened. `facts` is an object.
    pub(super) fn step(&mut self, name: &'static str, said: &Said, mut facts: Value) {
        let seconds = self.show.seconds();
        if let Value::Object(object) = &mut facts {
            object.insert("step".to_owned(), json!(name));
            object.insert("at".to_owned(), json!(round(seconds)));
        }
        self.steps.push(facts);
        if !self.json {
            self.show.line(&format!("{seconds:>6.1} s  {}", said.of(self.show.language())));
        }
    }

    /// The nodes, as `puerto nodes` shows them.
    pub(super) fn nodes(&mut self, nodes: &[NodeView]) {
        let said = Said::plain(Text::same("puerto nodes"));
        self.step("nodes", &said, json!({ "nodes": nodes }));
        if !self.json {
            let table = nodes::table_of(nodes, self.show.language());
            self.show.line(&format!("\n{table}"));
        }
    }

    /// Something is waited for.
    pub(super) fn waiting(&self, said: &Said) {
        self.show.waiting_for(said.of(self.show.language()));
    }

    /// Nothing is waited for any more.
    pub(super) fn done(&self) {
        self.show.done_waiting();
    }

    /// How it ended. `None`: it was broken off.
    pub(super) fn end(&self, balance: Option<Balance>, well: bool) {
        self.show.done_waiting();
        if self.json {
            let mut document = json!({
                "ok": well,
                "seconds": round(self.show.seconds()),
                "steps": self.steps,
            });
            if let (Some(balance), Value::Object(object)) = (balance, &mut document) {
                for (key, count) in [
                    ("acknowledged", balance.acknowledged),
                    ("arrived", balance.arrived),
                    ("lost", balance.lost),
                    ("second_copies", balance.second_copies),
                    ("excused", balance.excused),
                ] {
                    object.insert(key.to_owned(), json!(count));
                }
            }
            if let Ok(text) = json_document(&document) {
                // Whoever stopped reading wants nothing more.
                let _ignored = print(&(text + "\n"));
            }
            return;
        }
        let said = balance.map_or_else(
            || {
                said!(
                    "Broken off; everything that was started is removed.",
                    "Interrumpido; se retira todo lo que se había iniciado."
                )
            },
            |balance| said_of_balance(balance, self.show.seconds()),
        );
        self.show.verdict_line(well, &said.of(self.show.language()));
    }
}

fn said_of_balance(balance: Balance, seconds: f64) -> Said {
    let Balance { acknowledged, arrived, lost, second_copies, .. } = balance;
    said!(
        "acknowledged {acknowledged}, arrived {arrived}, lost {lost}, second copies {second}, in \
         {seconds} s.",
        "confirmadas {acknowledged}, llegadas {arrived}, perdidas {lost}, segundas copias \
         {second}, en {seconds} s.";
        acknowledged = acknowledged, arrived = arrived, lost = lost, second = second_copies,
        seconds = format!("{seconds:.1}")
    )
}

/// Tenths are enough for people and programs.
pub(super) fn round(seconds: f64) -> f64 {
    (seconds * 10.0).round() / 10.0
}
