//! The world of the model: one node, up to three tries of jobs, slurmctld, a controller, bootsrv.

use crate::deployment::{Application, Blame, Deployment, Failure, State, Way};
use std::collections::VecDeque;

/// The node as slurmctld has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Power {
    Off,
    PoweringUp,
    Up,
    /// Asked for, not begun: Slurm waits until no job is on it.
    ToGoDown,
    PoweringDown,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Slurm {
    pub(super) power: Power,
    pub(super) drain: bool,
    pub(super) down: bool,
    /// It is down because it did not come up in time.
    pub(super) late: bool,
    /// Prolog has marked it: it goes off as soon as the job has ended.
    pub(super) asap: bool,
    pub(super) holder: Option<usize>,
    /// Whose boot's slurmd has registered last.
    pub(super) registered: Option<usize>,
}

/// A try of a job as slurmctld has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Try {
    /// Allocated; its prolog was not heard of by bootsrv yet.
    Allocated,
    /// Its prolog asks again and again how far it is.
    Waiting,
    Running,
    /// Ended, cancelled, or sent back to the queue: Slurm is done with it.
    Over,
}

/// What the machine does while it has power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Runs {
    Nothing,
    Firmware,
    /// The hold script.
    Hold,
    /// The boot script of a try.
    Script(usize),
    /// The kernel of a try, with the token of that many begins.
    Kernel(usize, u8),
    Agent(usize, u8),
    Slurmd(usize, u8),
    /// It hangs.
    Dead,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Order {
    On(usize),
    /// For a deployment, or because nobody wants the node.
    Off(Option<usize>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Word {
    Resume,
    Drain,
    Down,
    Spare,
    PowerDown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Hook {
    Prolog(usize),
    Epilog(usize),
    Suspend,
    ResumeFail,
}

/// What may still go wrong in a run, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Budget {
    pub(super) faults: u8,
    pub(super) restarts: u8,
    /// Machines and controllers fail too: not only words get lost.
    pub(super) hardware: bool,
    /// Tries of jobs that slurmctld may give the node to; a try's number is its deployment's.
    pub(super) tries: usize,
}

/// What bootsrv's store has of a deployment, as far as a rule asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Row {
    pub(super) state: State,
    failure: Option<bool>,
    pub(super) scripts: u32,
    pub(super) token_served: bool,
    way: Option<&'static str>,
    pub(super) stays_on: bool,
    /// How often it was begun anew: each begin has a token of its own.
    pub(super) begins: u8,
    /// Power-off was ordered.
    pub(super) ordered_off: bool,
    pub(super) suspect: bool,
    /// Its end was told to the engine.
    pub(super) ended: bool,
}

impl Row {
    pub(super) fn new(stays_on: bool) -> Self {
        Self {
            state: State::Waiting,
            failure: None,
            scripts: 0,
            token_served: false,
            way: Way::Boot.name(),
            stays_on,
            begins: 0,
            ordered_off: false,
            suspect: false,
            ended: false,
        }
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    pub(super) fn fail(&mut self, failure: &Failure) {
        self.failure.get_or_insert(failure.blame == Blame::Node);
    }

    pub(super) fn set_way(&mut self, way: Way) {
        self.way = way.name();
    }

    /// As the transition function sees it.
    pub(super) fn deployment(&self, number: usize) -> Deployment {
        let blame = |node| if node { Blame::Node } else { Blame::Job };
        Deployment {
            id: i64::try_from(number).unwrap(),
            state: self.state,
            application: Application::None,
            failure: self.failure.map(|node| Failure { blame: blame(node), reason: "r".into() }),
            scripts_served: self.scripts,
            token_served: self.token_served,
            way: Way::from_name(self.way).unwrap(),
            stays_on: self.stays_on,
            boot_id: Some("b".into()),
            ..Deployment::example()
        }
    }
}

/// Everything; two equal worlds have the same future.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) slurm: Slurm,
    pub(super) tries: Vec<Try>,
    pub(super) rows: Vec<Option<Row>>,
    /// The reason of a drain that bootsrv keeps until slurmctld cannot forget it any more.
    pub(super) kept_drain: bool,
    pub(super) orders: VecDeque<Order>,
    pub(super) words: VecDeque<Word>,
    pub(super) hooks: Vec<Hook>,
    pub(super) has_power: bool,
    pub(super) runs: Runs,
    pub(super) stays_on: bool,
    /// The controller has shown it off while it was on: nobody can know.
    pub(super) lied: bool,
    pub(super) budget: Budget,
}

impl World {
    /// A node that is off and free.
    pub(super) fn new(stays_on: bool, budget: Budget) -> Self {
        let slurm = Slurm {
            power: Power::Off,
            drain: false,
            down: false,
            late: false,
            asap: false,
            holder: None,
            registered: None,
        };
        Self {
            slurm,
            tries: vec![],
            rows: vec![],
            kept_drain: false,
            orders: VecDeque::new(),
            words: VecDeque::new(),
            hooks: vec![],
            has_power: false,
            runs: Runs::Nothing,
            stays_on,
            lied: false,
            budget,
        }
    }

    pub(super) fn row(&self, number: usize) -> Option<&Row> {
        self.rows.get(number)?.as_ref()
    }

    /// The newest deployment.
    pub(super) fn newest(&self) -> Option<usize> {
        self.rows.iter().rposition(Option::is_some)
    }

    pub(super) fn live(&self) -> impl Iterator<Item = (usize, &Row)> {
        let rows = self.rows.iter().enumerate();
        rows.filter_map(|(number, row)| Some((number, row.as_ref()?)))
            .filter(|(_, row)| row.state != State::Released)
    }
}
