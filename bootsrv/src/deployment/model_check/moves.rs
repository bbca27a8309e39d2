//! Everything that can happen next, in the order in which it happens when nothing goes wrong: what is
//! under way arrives, machines and loops go on, jobs end, and only then time passes.

use super::world::{Hook, Order, Power, Runs, Try, World};
use crate::config::Limits;
use crate::deployment::State;
use crate::deployment::transition::limit_seconds;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Move {
    /// slurmctld hears the next word.
    Word,
    /// The hook at that place reaches bootsrv.
    Hook(usize),
    /// The worker carries its next order out.
    Order,
    /// The machine goes on.
    Machine,
    /// The reconciler looks at a deployment that waits for its node.
    Free(usize),
    /// The reconciler sees a registration.
    See(usize),
    /// The readings have settled.
    Settle(usize),
    /// A prolog asks how far its job is.
    Prolog(usize),
    /// slurmctld begins to power the node down.
    Suspend,
    /// A running job ends.
    End,
    /// A suspect was not heard of.
    Silent(usize),
    /// The reconciler compares with slurmctld.
    Resync,
    /// A state has lasted too long.
    TimeOut(usize),
    SuspendTimeout,
    ResumeTimeout,
    /// slurmctld does not hear of a node that is up for it.
    SlurmdTimeout,
    /// slurmctld gives the node to the next try.
    Allocate,
    Fault(Fault),
    /// bootsrv is killed and started again.
    Restart,
}

/// What goes wrong; each costs one of the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Fault {
    LoseWord,
    LoseHook(usize),
    /// A hook reaches bootsrv, and comes again.
    DoubleHook(usize),
    /// The controller does not do it, and the worker gives up.
    Refuse,
    /// The same, and it does it after all.
    Late,
    /// It shows the node off, and it is on.
    Lie,
    /// The machine is reset.
    Reset,
    /// The machine hangs.
    Hang,
    /// Its user cancels the job, or it is requeued.
    Cancel,
    /// A state lasts too long although everything goes on.
    TimeOut(usize),
    /// slurmctld's time-outs pass although everything goes on.
    SuspendTimeout,
    ResumeTimeout,
    /// A token is fetched, or a script asked for, twice.
    AskTwice,
}

impl World {
    /// What happens at once.
    pub(super) fn prompt(&self) -> Vec<Move> {
        let mut moves = Vec::new();
        let mut may = |possible: bool, one: Move| {
            if possible {
                moves.push(one);
            }
        };
        may(!self.words.is_empty(), Move::Word);
        (0..self.hooks.len()).for_each(|place| may(true, Move::Hook(place)));
        may(!self.orders.is_empty(), Move::Order);
        // A power order and a hook take seconds, a kernel's start longer.
        let slow = matches!(self.runs, Runs::Kernel(..) | Runs::Agent(..));
        let quick = !self.orders.is_empty() || !self.hooks.is_empty();
        may(self.machine_goes_on() && !(slow && quick), Move::Machine);
        for (number, row) in self.live() {
            may(row.state == State::Waiting, Move::Free(number));
            let seen = row.state == State::Registering
                && self.slurm.power == Power::Up
                && !self.slurm.down
                && self.slurm.registered == Some(number);
            may(seen, Move::See(number));
            may(row.state == State::Settling, Move::Settle(number));
        }
        for (number, of) in self.tries.iter().enumerate() {
            may(*of == Try::Waiting && self.verdict(number).is_some(), Move::Prolog(number));
        }
        let idle = self.slurm.holder.is_none();
        may(idle && self.slurm.power == Power::ToGoDown, Move::Suspend);
        may(self.tries.contains(&Try::Running), Move::End);
        moves
    }

    /// What takes long: it comes when nothing else can.
    pub(super) fn timed(&self) -> Vec<Move> {
        let mut moves = Vec::new();
        let mut may = |possible: bool, one: Move| {
            if possible {
                moves.push(one);
            }
        };
        let quiet = self.words.is_empty() && self.hooks.is_empty() && self.orders.is_empty();
        for (number, row) in self.live() {
            let lives = matches!(self.runs, Runs::Slurmd(of, _) if of == number);
            may(quiet && row.suspect && !lives, Move::Silent(number));
        }
        for (number, row) in self.live() {
            let limited = limit_seconds(&row.deployment(number), &Limits::default()).is_some();
            // Its power-off goes on all the time.
            let under_way = row.state == State::PoweringOff && !self.orders.is_empty();
            may(limited && !under_way, Move::TimeOut(number));
        }
        may(self.slurm.power == Power::PoweringDown && quiet, Move::SuspendTimeout);
        may(quiet, Move::Resync);
        may(self.slurm.power == Power::PoweringUp && quiet, Move::ResumeTimeout);
        let silent = !matches!(self.runs, Runs::Slurmd(..)) && !self.slurm.down;
        // The reconciler compares more often: where it has nothing to repair.
        let owned = self.slurm.holder.is_some()
            || self.live().any(|(_, row)| !row.state.has_given_node_back());
        may(self.slurm.power == Power::Up && silent && owned, Move::SlurmdTimeout);
        moves
    }

    /// What can go wrong, or is begun by others.
    pub(super) fn outside(&self) -> Vec<Move> {
        let mut moves = Vec::new();
        let free = matches!(self.slurm.power, Power::Off | Power::Up)
            && !self.slurm.drain
            && !self.slurm.down
            && self.slurm.holder.is_none();
        if free && self.tries.len() < self.budget.tries {
            moves.push(Move::Allocate);
        }
        if self.budget.restarts > 0 {
            moves.push(Move::Restart);
        }
        if self.budget.faults > 0 {
            moves.extend(self.faults().into_iter().map(Move::Fault));
        }
        moves
    }

    fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut may = |possible: bool, one: Fault| {
            if possible {
                faults.push(one);
            }
        };
        may(!self.words.is_empty(), Fault::LoseWord);
        for (place, hook) in self.hooks.iter().enumerate() {
            may(true, Fault::LoseHook(place));
            may(!matches!(hook, Hook::Prolog(_)), Fault::DoubleHook(place));
        }
        may(self.slurm.holder.is_some(), Fault::Cancel);
        if !self.budget.hardware {
            return faults;
        }
        let mut may = |possible: bool, one: Fault| {
            if possible {
                faults.push(one);
            }
        };
        if let Some(order) = self.orders.front() {
            may(matches!(order, Order::On(_)), Fault::Refuse);
            may(matches!(order, Order::On(_)), Fault::Late);
            may(matches!(order, Order::Off(_)) && self.has_power, Fault::Lie);
        }
        may(self.has_power && self.runs != Runs::Firmware, Fault::Reset);
        may(self.has_power && self.runs != Runs::Dead, Fault::Hang);
        for (number, row) in self.live() {
            let limited = limit_seconds(&row.deployment(number), &Limits::default()).is_some();
            may(limited, Fault::TimeOut(number));
        }
        may(self.slurm.power == Power::PoweringDown, Fault::SuspendTimeout);
        may(self.slurm.power == Power::PoweringUp, Fault::ResumeTimeout);
        may(matches!(self.runs, Runs::Script(_) | Runs::Kernel(..)), Fault::AskTwice);
        faults
    }

    /// Who is about to take the running node over.
    pub(super) fn heir(&self, of: usize) -> Option<usize> {
        let newest = self.newest().filter(|newest| *newest > of)?;
        (self.row(newest)?.state == State::TakingOver).then_some(newest)
    }

    fn machine_goes_on(&self) -> bool {
        let registers =
            |of: usize| self.slurm.registered != Some(of) || self.slurm.power == Power::PoweringUp;
        let over = |of: usize| self.row(of).is_none_or(|row| row.state >= State::PoweringOff);
        match self.runs {
            Runs::Nothing | Runs::Dead => false,
            Runs::Slurmd(of, _) => self.heir(of).is_some() || registers(of) || over(of),
            Runs::Firmware | Runs::Hold | Runs::Script(_) | Runs::Kernel(..) | Runs::Agent(..) => {
                true
            }
        }
    }

    /// What prolog makes of how far its job is: `Some(true)`: it starts.
    pub(super) fn verdict(&self, number: usize) -> Option<bool> {
        let row = self.row(number)?;
        if row.has_failed() || row.state > State::Ready {
            return Some(false);
        }
        (row.state == State::Ready).then_some(true)
    }
}
