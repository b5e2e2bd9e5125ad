//! Does what commands can do on this machine, each after a question.
//!
//! What nobody would miss is proposed: to install the program, to make its user, to
//! start it where no other mail server is at work. What another program does until now
//! is never proposed, so that `--yes` alone does not stop a Postfix or take its name.

use super::person::Person;
use super::report::Step;
use super::world::World;
use crate::lang::{Said, Text};

const FAILED: Text = Text::new("`{command}` failed: {error}", "`{command}` ha fallado: {error}");

/// The question before a step's commands are run.
#[derive(Debug, Clone)]
pub(super) struct Offer {
    /// None: it can only be told, since nobody here knows how it is done.
    pub(super) question: Option<Said>,
    /// What an empty answer and `--yes` mean.
    pub(super) proposed: bool,
    /// Whether what starts the service is in vain before it is done.
    pub(super) first: bool,
    /// Whether it is what starts the service.
    pub(super) last: bool,
}

/// Runs the commands of the steps that the person agrees to; those steps are marked as
/// done. Says what failed. If the person goes, what was not done is left to be told.
pub(super) fn carry_out(
    steps: &mut [Step],
    world: &dyn World,
    person: &mut dyn Person,
) -> Vec<Said> {
    let mut problems = Vec::new();
    let mut blocked = false;
    for step in steps {
        let Some(offer) = &step.offer else { continue };
        if offer.last && blocked {
            continue;
        }
        if let Some(question) = &offer.question {
            person.tell(&step.what, &step.commands);
            let Ok(agreed) = person.confirm(question, offer.proposed) else { break };
            step.done = agreed && run_all(&step.commands, world, &mut problems);
        }
        blocked |= offer.first && !step.done;
    }
    problems
}

fn run_all(commands: &[String], world: &dyn World, problems: &mut Vec<Said>) -> bool {
    for command in commands {
        if let Err(error) = world.execute(command) {
            problems.push(Said::with(FAILED, &[("command", command), ("error", &error)]));
            return false;
        }
    }
    true
}
