//! How exercises are shown: their list, a task, a grade, a hint.

use super::{Exercise, Graded, all};
use crate::cli::lab::classroom::home::named;
use crate::cli::lab::classroom::world::World;
use crate::cli::lab::classroom::{files_and_commands, program, started};
use crate::cli::lab::show::{BAD, FAINT, GOOD, Show, TITLE, paint};
use crate::cli::output::printable;
use crate::lang::layout::whole;
use crate::lang::{Language, Text};

const EXERCISE: Text = Text::new("Exercise {number}: {title}", "Ejercicio {number}: {title}");
const GRADE: Text = Text::new(
    "When you think that it is right, or stuck:",
    "Cuando crea que está bien, o se atasque:",
);
const TOTAL: Text = Text::new("{points} of {of} points{less}", "{points} de {of} puntos{less}");
const LESS: Text = Text::new("; the hints cost {cost}", "; las pistas han costado {cost}");
const SOLVED: Text = Text::new("Solved.", "Resuelto.");
const NOT_YET: Text = Text::new("Not yet.", "Todavía no.");
const HINT: Text = Text::new(
    "Hint {number} of {all} (it costs {cost}): {text}",
    "Pista {number} de {all} (cuesta {cost}): {text}",
);
const NO_MORE: Text =
    Text::new("There are no more hints. All again:", "No quedan más pistas. Todas otra vez:");

/// The list of all.
pub(in crate::cli::lab::classroom) fn listed(language: Language, json: bool) -> String {
    let line = |exercise: &Exercise| {
        let title = exercise.title.of(language);
        match json {
            true => serde_json::json!({"number": exercise.number, "title": title}).to_string(),
            false => format!("{:>3}  {title}", exercise.number),
        }
    };
    all().map(line).collect::<Vec<_>>().join("\n")
}

/// The task, and what there is to work with.
pub(in crate::cli::lab::classroom) fn introduce(exercise: &Exercise, world: &World, show: &Show) {
    let language = show.language();
    let title = exercise.title.of(language);
    let task = filled(exercise.task, world, language);
    if show.json {
        let mut object = started(world);
        if let serde_json::Value::Object(fields) = &mut object {
            fields.insert("exercise".to_owned(), exercise.number.into());
            fields.insert("title".to_owned(), title.into());
            fields.insert("task".to_owned(), task.into());
        }
        return show.object(&object);
    }
    let number = exercise.number.to_string();
    let values = [("number", number.as_str()), ("title", title)];
    show.line(&format!("\n{}\n", paint(TITLE, &EXERCISE.with(language, &values))));
    show.line(&format!("{task}\n"));
    files_and_commands(world, show, "ana@strict.example");
    let (program, which) = (program(), named(world.folder()));
    show.line(GRADE.of(language));
    for command in ["grade", "hint"] {
        show.line(&whole(&format!("  {program} lab {command}{which}")));
    }
    show.line("");
}

fn filled(text: Text, world: &World, language: Language) -> String {
    let port = world.lab.mx_port().to_string();
    let folder = world.folder().display().to_string();
    text.with(language, &[("port", &port), ("folder", &folder)])
}

/// A grade for people, with the points that are left of so many.
pub(in crate::cli::lab::classroom) fn shown_grade(
    graded: &[Graded],
    cost: u32,
    language: Language,
) -> String {
    let mut out = String::new();
    for one in graded {
        let word = match one.finding {
            None => paint(GOOD, Text::new("yes", "sí ").of(language)),
            Some(_) => paint(BAD, Text::new("no ", "no ").of(language)),
        };
        let points =
            if one.of == 0 { "   ".to_owned() } else { format!("{}/{}", one.points, one.of) };
        out.push_str(&format!("  {word}  {points}  {}\n", one.title));
        if let Some((_, why)) = &one.finding {
            for line in why.lines() {
                out.push_str(&format!("            {}\n", paint(FAINT, &printable(line))));
            }
        }
    }
    let is_solved = graded.iter().all(|one| one.finding.is_none());
    let (points, of) = points(graded, cost);
    let less = LESS.with(language, &[("cost", &cost.to_string())]);
    let less = if cost == 0 { String::new() } else { less };
    let values = [("points", points.to_string()), ("of", of.to_string()), ("less", less)];
    let values = values.each_ref().map(|(name, value)| (*name, value.as_str()));
    let (style, word) = if is_solved { (GOOD, SOLVED) } else { (BAD, NOT_YET) };
    let word = paint(style, word.of(language));
    out.push_str(&format!("\n  {word} {}\n", TOTAL.with(language, &values)));
    out
}

/// The points that are left, and those that there were.
pub(in crate::cli::lab::classroom) fn points(graded: &[Graded], cost: u32) -> (u32, u32) {
    let got: u32 = graded.iter().map(|one| one.points).sum();
    (got.saturating_sub(cost), graded.iter().map(|one| one.of).sum())
}

/// The next hint, `taken` having been given before; all, once there are no more.
pub(in crate::cli::lab::classroom) fn shown_hint(
    exercise: &Exercise,
    taken: usize,
    world: &World,
    language: Language,
) -> Vec<(u32, String)> {
    let count = exercise.hints.len();
    let one = |(index, hint): (usize, &super::Hint)| {
        let [number, all, cost] = [index + 1, count, hint.cost as usize].map(|n| n.to_string());
        let text = filled(hint.text, world, language);
        let values = [("number", &*number), ("all", &*all), ("cost", &*cost), ("text", &*text)];
        (hint.cost, HINT.with(language, &values))
    };
    let mut hints = exercise.hints.iter().enumerate().map(one);
    match taken < count {
        true => hints.nth(taken).into_iter().collect(),
        false => std::iter::once((0, NO_MORE.of(language).to_owned())).chain(hints).collect(),
    }
}
