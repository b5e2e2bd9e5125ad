//! `sendmail` and the other names by which programs of this machine call a mail server.

use std::path::Path;

use super::Section;
use crate::finding::{Finding, kinds};
use crate::lang::{Said, Text, said};
use crate::setup::{Name, Root, commands_to_take, install_command, names_of_commands};

kinds! {
    ANOTHERS = "command.another" Warning:
        "{subject} is {program}: what programs send by it does not go through this server",
        "{subject} es {program}: lo que los programas envían con él no pasa por este servidor",
        "", "";
    PROGRAM = "command.another" Warning:
        "{subject} is another program: what is sent by it does not go through this server",
        "{subject} es otro programa: lo que se envía con él no pasa por este servidor",
        "", "";
    MISSING = "command.missing" Warning:
        "{subject} is not there: programs that send by it fail",
        "{subject} no existe: los programas que envían con él fallan",
        "", "";
}

pub(super) fn look(program: &Path) -> Section {
    of(&Root::new("/"), program)
}

pub(super) fn of(root: &Root, program: &Path) -> Section {
    let mut section = Section::new("commands", Text::new("sendmail and mailq", "sendmail y mailq"));
    let names = names_of_commands(root);
    let is_ours = |end: &Path| end == program || end.file_name().is_some_and(|f| f == "puerto");
    // Another of ours may have them: what a package brings, beside one that was built.
    let leads = names.iter().filter_map(|name| name.leads_to.as_deref());
    let ours = leads.clone().find(|end| is_ours(end)).unwrap_or(program);
    let wrong: Vec<&Name> =
        names.iter().filter(|name| !name.leads_to.as_deref().is_some_and(is_ours)).collect();
    // A link to a program that is not there helps nobody.
    let install = install_command(root, ours);
    let commands: Vec<String> = install.into_iter().chain(commands_to_take(root, ours)).collect();
    let remedy = Said::words(commands.join("\n"));
    section.findings.extend(wrong.iter().map(|name| {
        let kind = match &name.leads_to {
            Some(end) if end == name.path => PROGRAM,
            Some(_) => ANOTHERS,
            None => MISSING,
        };
        let program = name.leads_to.as_deref().unwrap_or(name.path).display().to_string();
        let finding = kind.put("subject", name.path.display()).put("program", program);
        Finding {
            subject: Some(name.path.display().to_string()),
            remedy: remedy.clone(),
            ..finding
        }
    }));
    section.seen = match wrong.is_empty() {
        true => said!("ours ({program})", "los nuestros ({program})"; program = ours.display()),
        false => Said::default(),
    };
    section
}
