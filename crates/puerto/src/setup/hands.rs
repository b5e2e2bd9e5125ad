//! Does what commands can do on this machine, each after a question.
//!
//! What nobody would miss is proposed: to install the program, to make its user, to
//! start it where no other mail server is at work. What another program does until now
//! is never proposed, so that `--yes` alone does not stop a Postfix or take its name.

use super::person::{Gone, Person};
use super::report::Step;
use super::world::World;
use crate::lang::{Said, Text};

const FAILED: Text = Text::new("`{command}` failed: {error}", "`{command}` ha fallado: {error}");

/// The question before a step's commands are run.
#[derive(Debug, Clone)]
pub(super) struct Offer {
    pub(super) question: Said,
    /// What an empty answer and `--yes` mean.
    pub(super) proposed: bool,
    /// Whether what starts the service is in vain before it is done.
    pub(super) first: bool,
    /// Whether it is what starts the service.
    pub(super) last: bool,
}

/// Runs the commands of the steps that the person agrees to; those steps are marked as
/// done. Says what failed.
pub(super) fn carry_out(
    steps: &mut [Step],
    world: &dyn World,
    person: &mut dyn Person,
) -> Result<Vec<Said>, Gone> {
    let mut problems = Vec::new();
    let mut blocked = false;
    for step in steps {
        let Some(offer) = &step.offer else { continue };
        if offer.last && blocked {
            continue;
        }
        person.tell(&step.commands);
        let agreed = person.confirm(&offer.question, offer.proposed)?;
        step.done = agreed && run_all(&step.commands, world, &mut problems);
        blocked |= offer.first && !step.done;
    }
    Ok(problems)
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
