//! What `engine.rs`, `reconciler.rs` and `resync.rs` do with the rules, in the world of the model.

use super::world::{Order, Power, Row, Runs, Try, Word, World};
use crate::config::Limits;
use crate::deployment::transition::{Action, Event, Outcome, may_be_taken_over, taken_up_again};
use crate::deployment::{Blame, Deployment, Failure, State, Way};

/// The rules under check.
pub(super) type Next = fn(&Deployment, &Event, &Limits) -> Outcome;

/// A broken promise.
pub(super) type Broken = String;

pub(super) fn node_fault() -> Event {
    Event::Failed(Failure { blame: Blame::Node, reason: "r".into() })
}

impl World {
    /// One event is decided, written, and acted upon.
    pub(super) fn apply(&mut self, next: Next, number: usize, event: &Event) -> Result<(), Broken> {
        let Some(Some(row)) = self.rows.get(number) else { return Ok(()) };
        let before = row.state;
        let outcome = next(&row.deployment(number), event, &Limits::default());
        let newest = self.live().all(|(other, _)| other <= number);
        let row = self.rows[number].as_mut().unwrap();
        if let Some(state) = outcome.state {
            // Its power was cut: it is on its way up once more.
            if state < before && *event != Event::Repowered {
                return Err(format!("deployment {number} goes back from {before:?} to {state:?}"));
            }
            row.state = state;
        }
        if let Some(failure) = &outcome.failure {
            row.fail(failure);
        }
        if let Some(way) = outcome.way {
            row.set_way(way);
            if way == Way::Boot {
                (row.scripts, row.token_served) = (0, false);
                row.begins += 1;
            }
        }
        for action in &outcome.actions {
            if *action == Action::PowerOff {
                row.ordered_off = true;
            }
            if *action == Action::PowerOn && row.ordered_off {
                return Err(format!("deployment {number} is powered on after it was powered off"));
            }
        }
        for action in outcome.actions.iter().filter(|one| newest || !one.is_about_use()) {
            self.act(number, action);
        }
        Ok(())
    }

    fn act(&mut self, number: usize, action: &Action) {
        match action {
            Action::PowerOn => self.orders.push_back(Order::On(number)),
            // The worker may be told the same again: one more look, and no more.
            Action::PowerOff if self.orders.back() == Some(&Order::Off(Some(number))) => {}
            Action::PowerOff => self.orders.push_back(Order::Off(Some(number))),
            Action::Drain(_) => {
                self.kept_drain = true;
                self.say(Word::Drain);
            }
            Action::Down(_) => self.say(Word::Down),
            Action::PowerDownInSlurm => self.say(Word::PowerDown),
            Action::ResumeInSlurm => self.say(Word::Resume),
        }
    }

    fn say(&mut self, word: Word) {
        if self.words.back() != Some(&word) {
            self.words.push_back(word);
        }
    }

    pub(super) fn end_try(&mut self, next: Next, number: usize) -> Result<(), Broken> {
        match self.rows.get_mut(number) {
            Some(Some(row)) if !row.ended => {
                row.ended = true;
                self.apply(next, number, &Event::JobEnded)
            }
            _ => Ok(()),
        }
    }

    /// The reconciler's look at a deployment that waits for the node.
    pub(super) fn free_or_supersede(&mut self, next: Next, number: usize) -> Result<(), Broken> {
        let older: Vec<(usize, Row)> =
            self.live().filter(|one| one.0 < number).map(|(n, row)| (n, row.clone())).collect();
        let holders = older.iter().filter(|(_, row)| !row.state.has_given_node_back());
        let holders: Vec<_> = holders.collect();
        if let [(from, row)] = holders[..]
            && may_be_taken_over(&row.deployment(*from))
            && matches!(self.runs, Runs::Slurmd(of, _) if of == *from)
        {
            // A node of an even number runs what is asked for, the other's kernel has to be changed.
            let way = if number.is_multiple_of(2) { Way::Adopt } else { Way::Kexec };
            self.apply(next, number, &Event::TakeOver(way))?;
            return self.apply(next, *from, &Event::HandedOver);
        }
        for (older, _) in &older {
            self.apply(next, *older, &Event::Superseded)?;
        }
        if holders.is_empty() { self.apply(next, number, &Event::NodeFree) } else { Ok(()) }
    }

    /// bootsrv was killed, and is started again.
    pub(super) fn restart(&mut self) {
        self.orders.clear();
        self.words.clear();
        if self.kept_drain {
            self.say(Word::Drain);
        }
        let live: Vec<(usize, Row)> = self.live().map(|(n, row)| (n, row.clone())).collect();
        for (number, row) in live {
            self.rows[number].as_mut().unwrap().suspect = false;
            for action in taken_up_again(row.state, row.has_failed()) {
                self.act(number, &action);
            }
        }
    }

    /// The reconciler's comparison with slurmctld; gives whether there was anything to repair.
    pub(super) fn resync(&mut self, next: Next) -> Result<(), Broken> {
        let powered_down = matches!(self.slurm.power, Power::Off | Power::PoweringDown);
        let has_job = self.slurm.holder.is_some();
        let owner = self.live().find(|(_, row)| !row.state.has_given_node_back());
        if let Some((number, row)) = owner {
            let state = row.state;
            let in_use = matches!(state, State::Ready | State::Ended | State::Kept);
            let lost = state == State::Kept && self.slurm.down;
            if state <= State::Ready && !has_job && self.tries[number] == Try::Over {
                return self.end_try(next, number);
            }
            if in_use && (powered_down || lost) && !has_job {
                return self.apply(next, number, &Event::GivenBack);
            }
            return Ok(());
        }
        if has_job {
            return Ok(());
        }
        if self.slurm.down && self.slurm.late && powered_down {
            self.say(if self.kept_drain { Word::Drain } else { Word::Spare });
            return Ok(());
        }
        match self.slurm.power {
            Power::PoweringUp => self.say(Word::PowerDown),
            Power::PoweringDown => self.say(Word::Resume),
            Power::Up | Power::ToGoDown if !self.slurm.drain => self.say(Word::PowerDown),
            // It answers no more.
            Power::Up if !self.has_power => self.say(Word::PowerDown),
            Power::Off if self.has_power && self.runs == Runs::Hold => {
                self.orders.push_back(Order::Off(None));
            }
            Power::Off | Power::Up | Power::ToGoDown => {}
        }
        Ok(())
    }
}
