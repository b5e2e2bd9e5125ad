//! Does what commands can do on this machine, each after a question.
//!
//! What nobody would miss is proposed: to install the program, to make its user, to
//! start it where no other mail server is at work. What another program does until now
//! is never proposed, so that `--yes` alone does not stop a Postfix or take its name.

use super::person::Person;
use super::world::World;
use crate::finding::{Finding, Severity};
use crate::lang::{Said, said};

/// Something that is still to do: told, or done after a question.
#[derive(Debug)]
pub struct Step {
    /// What, and why.
    pub what: Said,
    /// The commands that do it, if commands do.
    pub commands: Vec<String>,
    /// Whether they were run now.
    pub done: bool,
    /// The question before they are run; none: it can only be told, since nobody here
    /// knows how it is done, or others must do it.
    pub(super) question: Option<Said>,
    /// What an empty answer and `--yes` mean.
    pub(super) proposed: bool,
    /// Whether what starts the service is in vain before it is done.
    pub(super) first: bool,
    /// Whether it is what starts the service.
    last: bool,
}

impl Step {
    pub(super) fn new(what: Said, commands: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let commands = commands.into_iter().map(Into::into).collect();
        let (question, proposed, first, last) = (None, false, false, false);
        Self { what, commands, done: false, question, proposed, first, last }
    }

    pub(super) fn proposed(self, question: Said) -> Self {
        Self { proposed: true, ..self.offered(question) }
    }

    pub(super) fn offered(self, question: Said) -> Self {
        Self { question: Some(question), ..self }
    }

    pub(super) fn first(self, first: bool) -> Self {
        Self { first, ..self }
    }

    pub(super) fn last(self) -> Self {
        Self { last: true, ..self }
    }
}

/// Runs the commands of the steps that the person agrees to; those steps are marked as
/// done. Says what failed. If the person goes, what was not done is left to be told.
pub(super) fn carry_out(
    steps: &mut [Step],
    world: &dyn World,
    person: &mut dyn Person,
) -> Vec<Finding> {
    let mut problems = Vec::new();
    let mut blocked = false;
    for step in steps {
        if step.last && blocked {
            continue;
        }
        if let Some(question) = &step.question {
            person.tell(&step.what, &step.commands);
            let Ok(agreed) = person.confirm(question, step.proposed) else { break };
            step.done = agreed && run_all(&step.commands, world, &mut problems);
        }
        blocked |= step.first && !step.done;
    }
    problems
}

fn run_all(commands: &[String], world: &dyn World, problems: &mut Vec<Finding>) -> bool {
    for command in commands {
        if let Err(error) = world.execute(command) {
            let seen = said!(
                "`{command}` failed: {error}", "`{command}` ha fallado: {error}";
                command = command, error = error
            );
            let remedy =
                said!("`puerto doctor` looks for the cause", "`puerto doctor` busca la causa");
            problems.push(Finding::new("setup.command", Severity::Error, seen, remedy));
            return false;
        }
    }
    true
}
