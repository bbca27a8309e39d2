//! What a move makes of the world, and the promises that must hold at each.

use super::engine::{Broken, Next, node_fault};
use super::moves::{Fault, Move};
use super::world::{Hook, Order, Power, Row, Runs, Try, Word, World};
use crate::deployment::State;
use crate::deployment::transition::Event;
use protocol::boot::AgentStage;

impl World {
    /// Carries a move out.
    pub(super) fn carry_out(&mut self, next: Next, one: Move) -> Result<(), Broken> {
        match one {
            Move::Word => self.word(),
            Move::Hook(place) => {
                let hook = self.hooks.remove(place);
                self.hook(next, hook)?;
            }
            Move::Order => self.order(next)?,
            Move::Machine => self.machine(next)?,
            Move::Free(number) => self.free_or_supersede(next, number)?,
            Move::See(number) => self.apply(next, number, &Event::Registered)?,
            Move::Settle(number) => self.apply(next, number, &Event::Settled)?,
            Move::Prolog(number) => self.prolog(next, number)?,
            Move::Suspend => {
                // It forgets a drain with the mark that uses the same flag.
                (self.slurm.power, self.slurm.drain) = (Power::PoweringDown, false);
                self.slurm.asap = false;
                self.hooks.push(Hook::Suspend);
            }
            Move::End => self.leave(),
            Move::Silent(number) => self.apply(next, number, &Event::Silent)?,
            Move::Resync => self.resync(next)?,
            Move::TimeOut(number) => self.apply(next, number, &Event::TimedOut)?,
            Move::SuspendTimeout => self.slurm.power = Power::Off,
            Move::ResumeTimeout => self.resume_timeout(),
            Move::SlurmdTimeout => {
                self.slurm.down = true;
                self.leave();
            }
            Move::Allocate => self.allocate(),
            Move::Fault(fault) => {
                self.budget.faults -= 1;
                self.fault(next, fault)?;
            }
            Move::Restart => {
                self.budget.restarts -= 1;
                self.restart();
            }
        }
        self.owners()
    }

    /// Two deployments never both have the hardware.
    fn owners(&self) -> Result<(), Broken> {
        let owns = |row: &Row| row.state != State::Waiting && row.state < State::PoweringOff;
        let owners: Vec<usize> =
            self.live().filter(|(_, row)| owns(row)).map(|(number, _)| number).collect();
        if owners.len() > 1 {
            return Err(format!("deployments {owners:?} both have the node"));
        }
        Ok(())
    }

    fn word(&mut self) {
        let safe = matches!(self.slurm.power, Power::Off | Power::PoweringDown);
        match self.words.pop_front() {
            Some(Word::Resume) => {
                if (self.slurm.drain || self.slurm.down) && safe {
                    self.kept_drain = false;
                }
                if self.slurm.power == Power::PoweringDown && !self.slurm.drain && !self.slurm.down
                {
                    if self.kept_drain {
                        (self.slurm.drain, self.kept_drain) = (true, false);
                    } else {
                        self.slurm.power = Power::Off;
                    }
                }
            }
            Some(Word::Drain) => {
                // With our reason in the place of Slurm's own.
                (self.slurm.drain, self.slurm.late) = (true, false);
                // Seen with 22.05: the job goes back to the queue.
                if self.slurm.power == Power::PoweringUp {
                    self.leave();
                }
            }
            // It has no fault: `state=resume`.
            Some(Word::Spare) => (self.slurm.down, self.slurm.late) = (false, false),
            Some(Word::Down) => {
                (self.slurm.down, self.slurm.late) = (true, false);
                self.leave();
            }
            Some(Word::PowerDown) => {
                // It has a job by now, or still: that one's end says it again.
                let has_job = self.slurm.holder.is_some();
                if !has_job && self.slurm.power != Power::PoweringDown {
                    self.slurm.power = Power::ToGoDown;
                }
            }
            None => {}
        }
    }

    /// The job leaves the node: it ended, was cancelled, or goes back to the queue.
    fn leave(&mut self) {
        let Some(holder) = self.slurm.holder.take() else { return };
        self.tries[holder] = Try::Over;
        self.hooks.retain(|hook| *hook != Hook::Prolog(holder));
        self.hooks.push(Hook::Epilog(holder));
        if self.slurm.asap && self.slurm.power == Power::Up {
            self.slurm.power = Power::ToGoDown;
        }
    }

    fn hook(&mut self, next: Next, hook: Hook) -> Result<(), Broken> {
        match hook {
            Hook::Prolog(number) => {
                self.rows[number] = Some(Row::new(self.stays_on));
                self.tries[number] = Try::Waiting;
                Ok(())
            }
            Hook::Epilog(number) => self.end_try(next, number),
            Hook::Suspend | Hook::ResumeFail => {
                let live = self.live().map(|(number, _)| number).max();
                let newest = live.or_else(|| self.newest());
                let Some(newest) = newest else {
                    self.words.push_back(Word::Resume);
                    return Ok(());
                };
                let fails = hook == Hook::ResumeFail;
                self.apply(
                    next,
                    newest,
                    &if fails { Event::ResumeTimedOut } else { Event::GivenBack },
                )
            }
        }
    }

    fn order(&mut self, next: Next) -> Result<(), Broken> {
        match self.orders.pop_front() {
            Some(Order::Off(of)) => {
                self.switch_off()?;
                of.map_or(Ok(()), |of| self.apply(next, of, &Event::PowerSeenOff))
            }
            Some(Order::On(of)) => {
                if !(self.has_power && self.runs == Runs::Hold) {
                    let was_on = self.has_power;
                    self.switch_off()?;
                    (self.has_power, self.runs) = (true, Runs::Firmware);
                    if was_on {
                        self.apply(next, of, &Event::Repowered)?;
                    }
                }
                self.apply(next, of, &Event::PowerOnAccepted)
            }
            None => Ok(()),
        }
    }

    /// A job that is well is never switched off.
    fn switch_off(&mut self) -> Result<(), Broken> {
        let runs = self.tries.iter().position(|of| *of == Try::Running);
        if let (Some(number), Runs::Slurmd(of, _)) = (runs, self.runs)
            && of == number
            && self.row(number).is_some_and(|row| !row.has_failed())
        {
            return Err(format!("the node is switched off under the running job {number}"));
        }
        (self.has_power, self.runs) = (false, Runs::Nothing);
        Ok(())
    }

    fn prolog(&mut self, next: Next, number: usize) -> Result<(), Broken> {
        if self.verdict(number) != Some(true) {
            self.leave();
            return Ok(());
        }
        self.apply(next, number, &Event::JobStarted)?;
        self.tries[number] = Try::Running;
        self.slurm.asap = !self.stays_on;
        match self.runs {
            Runs::Slurmd(of, _) | Runs::Kernel(of, _) | Runs::Agent(of, _) if of != number => {
                Err(format!("job {number} starts on the boot of {of}"))
            }
            _ => Ok(()),
        }
    }

    fn allocate(&mut self) {
        let number = self.tries.len();
        self.tries.push(Try::Allocated);
        self.rows.push(None);
        self.slurm.holder = Some(number);
        self.slurm.asap = false;
        if self.slurm.power == Power::Off {
            self.slurm.power = Power::PoweringUp;
        }
        self.hooks.push(Hook::Prolog(number));
    }

    fn resume_timeout(&mut self) {
        (self.slurm.power, self.slurm.down, self.slurm.drain) = (Power::Off, true, false);
        self.slurm.late = true;
        self.leave();
        self.hooks.push(Hook::ResumeFail);
    }

    fn ask_script(&mut self, next: Next) -> Result<(), Broken> {
        let newest =
            self.newest().filter(|newest| self.row(*newest).unwrap().state != State::Released);
        self.runs = Runs::Hold;
        let Some(newest) = newest else { return Ok(()) };
        let row = self.rows[newest].as_mut().unwrap();
        let expected = row.state.is_booting() && !row.has_failed();
        if matches!(row.state, State::Ready | State::Kept) {
            row.suspect = true;
            return Ok(());
        }
        self.apply(next, newest, &Event::ScriptAsked)?;
        let row = self.rows[newest].as_mut().unwrap();
        if expected && row.state == State::Booting {
            row.scripts += 1;
            self.runs = Runs::Script(newest);
        }
        Ok(())
    }

    fn machine(&mut self, next: Next) -> Result<(), Broken> {
        match self.runs {
            Runs::Nothing | Runs::Dead => Ok(()),
            Runs::Firmware | Runs::Hold => self.ask_script(next),
            Runs::Script(of) => self.fetch_token(next, of),
            Runs::Kernel(of, begin) => self.report(next, of, begin, AgentStage::AgentStarted),
            Runs::Agent(of, begin) => self.report(next, of, begin, AgentStage::SlurmdStarted),
            Runs::Slurmd(of, begin) => self.run_on(next, of, begin),
        }
    }

    fn fetch_token(&mut self, next: Next, of: usize) -> Result<(), Broken> {
        let row = self.rows[of].as_mut().unwrap();
        self.runs = Runs::Hold;
        if row.state != State::Booting || self.newest() != Some(of) {
            return Ok(());
        }
        let row = self.rows[of].as_mut().unwrap();
        if std::mem::replace(&mut row.token_served, true) {
            return self.apply(next, of, &node_fault());
        }
        self.runs = Runs::Kernel(of, row.begins);
        Ok(())
    }

    fn report(
        &mut self,
        next: Next,
        of: usize,
        begin: u8,
        stage: AgentStage,
    ) -> Result<(), Broken> {
        let row = self.row(of).unwrap();
        if row.begins != begin || row.state >= State::PoweringOff {
            // Not wanted: the agent shuts the node down.
            (self.has_power, self.runs) = (false, Runs::Nothing);
            return Ok(());
        }
        self.rows[of].as_mut().unwrap().suspect = false;
        self.runs = match stage {
            AgentStage::SlurmdStarted => Runs::Slurmd(of, begin),
            _ => Runs::Agent(of, begin),
        };
        self.apply(next, of, &Event::Agent(stage))
    }

    /// slurmd registers; a running node is taken over.
    fn run_on(&mut self, next: Next, of: usize, begin: u8) -> Result<(), Broken> {
        if let Some(heir) = self.heir(of) {
            let begin = self.row(heir).unwrap().begins;
            if heir.is_multiple_of(2) {
                self.slurm.registered = Some(heir);
                return self.report(next, heir, begin, AgentStage::SlurmdStarted);
            }
            self.runs = Runs::Kernel(heir, begin);
            return Ok(());
        }
        if self.row(of).is_none_or(|row| row.state >= State::PoweringOff) {
            return self.report(next, of, begin, AgentStage::SlurmdStarted);
        }
        match self.slurm.power {
            Power::PoweringUp => {
                (self.slurm.power, self.slurm.registered) = (Power::Up, Some(of));
            }
            Power::Up => self.slurm.registered = Some(of),
            // Not expected: it is ignored.
            Power::Off | Power::ToGoDown | Power::PoweringDown => {
                self.slurm.registered = Some(of);
            }
        }
        Ok(())
    }

    fn fault(&mut self, next: Next, fault: Fault) -> Result<(), Broken> {
        match fault {
            Fault::LoseWord => drop(self.words.pop_front()),
            Fault::LoseHook(place) => {
                let hook = self.hooks.remove(place);
                // A prolog that dies fails: the job goes back to the queue.
                if matches!(hook, Hook::Prolog(_)) {
                    self.leave();
                }
            }
            Fault::DoubleHook(place) => self.hook(next, self.hooks[place])?,
            Fault::Refuse | Fault::Late => {
                if let Some(Order::On(of)) = self.orders.pop_front() {
                    if fault == Fault::Late {
                        (self.has_power, self.runs) = (true, Runs::Firmware);
                    }
                    self.apply(next, of, &node_fault())?;
                }
            }
            Fault::Lie => {
                self.lied = true;
                if let Some(Order::Off(Some(of))) = self.orders.pop_front() {
                    self.apply(next, of, &Event::PowerSeenOff)?;
                }
            }
            Fault::Reset => self.runs = Runs::Firmware,
            Fault::Hang => self.runs = Runs::Dead,
            Fault::Cancel => self.leave(),
            Fault::TimeOut(number) => self.apply(next, number, &Event::TimedOut)?,
            Fault::SuspendTimeout => self.slurm.power = Power::Off,
            Fault::ResumeTimeout => self.resume_timeout(),
            Fault::AskTwice => match self.runs {
                Runs::Script(of) => {
                    self.fetch_token(next, of)?;
                    self.fetch_token(next, of)?;
                }
                _ => self.ask_script(next)?,
            },
        }
        Ok(())
    }
}
