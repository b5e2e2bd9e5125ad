//! `puerto nodes`: who shares the queue.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::Args;

use super::exit::{Failure, Sysexit, end};
use super::output::{columns, json_document, printable, say, show};
use super::sendmail;
use super::spanish::Spanish as _;
use crate::control::Client;
use crate::control::protocol::NodeView;
use crate::lang::layout::table;
use crate::lang::{Language, Text};

/// Show the nodes that share the queue.
#[derive(Debug, Args)]
pub struct NodesArgs {
    /// One JSON document instead of text
    #[arg(es = "Un documento JSON en vez de texto")]
    #[arg(long)]
    json: bool,
}

const HEADING: [Text; 5] = [
    Text::new("NODE", "NODO"),
    Text::new("STATE", "ESTADO"),
    Text::new("SINCE", "DESDE"),
    Text::new("AT WORK ON", "TRABAJA EN"),
    Text::new("VERSION", "VERSIÓN"),
];
const ALIVE: Text = Text::new("alive", "activo");
const THIS: Text = Text::new("alive, this one", "activo, es este");
const STOPPED: Text = Text::new("stopped {seen}", "parado {seen}");
const SILENT: Text = Text::new("silent since {seen}", "sin noticias desde {seen}");

/// Runs the command: 1 if a node is silent, which nobody has stopped.
pub fn run(arguments: &NodesArgs, config: Option<&Path>, language: Language) -> ExitCode {
    end("puerto nodes", nodes(arguments, config, language), language)
}

fn nodes(
    arguments: &NodesArgs,
    config: Option<&Path>,
    language: Language,
) -> Result<Sysexit, Failure> {
    let nodes = Client::connect(&sendmail::run_dir(config)?)?.nodes()?;
    if arguments.json {
        let document = serde_json::json!({ "nodes": nodes });
        say(&json_document(&document).map_err(io::Error::from)?)?;
    } else {
        show(&table_of(&nodes, language))?;
    }
    let is_missed = nodes.iter().any(|node| !node.alive && !node.stopped);
    Ok(if is_missed { Sysexit::Findings } else { Sysexit::Ok })
}

/// The nodes, as wide as the terminal.
pub(super) fn table_of(nodes: &[NodeView], language: Language) -> String {
    let rows: Vec<[String; 5]> = nodes.iter().map(|node| row(node, language)).collect();
    let heading = HEADING.map(|text| text.of(language));
    table(heading, &rows, columns(&io::stdout()))
}

fn row(node: &NodeView, language: Language) -> [String; 5] {
    let state = match (node.alive, node.is_this) {
        (true, true) => THIS.of(language).to_owned(),
        (true, false) => ALIVE.of(language).to_owned(),
        (false, _) => {
            let text = if node.stopped { STOPPED } else { SILENT };
            text.with(language, &[("seen", &node.seen)])
        }
    };
    let name = printable(&node.name);
    [name, state, node.since.clone(), node.leases.to_string(), node.version.clone()]
}
