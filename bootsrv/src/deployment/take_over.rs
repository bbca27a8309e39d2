//! Whether a running node may go to the next job without a power cycle, and how. Pure.
//!
//! What a former user left in memory is not for a stranger: only within the partition's trust domain
//! does a node go on as it is, or to another kernel that has not cleared the memory first.

use super::transition::may_be_taken_over;
use super::{Deployment, Way};
use crate::config::{Partition, ShareWith};
use crate::pin::Pin;
use crate::store::Try;

/// Whom a job belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner<'a> {
    /// User.
    pub uid: u32,
    /// Slurm account; `None` without accounting.
    pub account: Option<&'a str>,
}

impl<'a> Owner<'a> {
    /// The owner of a try.
    #[must_use]
    pub fn of(of: &'a Try) -> Self {
        Self { uid: of.asked.uid, account: of.asked.account.as_deref() }
    }

    fn trusts(self, other: Self, share_with: ShareWith) -> bool {
        match share_with {
            ShareWith::User => self.uid == other.uid,
            ShareWith::Account => self.account.is_some() && self.account == other.account,
            ShareWith::Anybody => true,
        }
    }
}

/// A node that is on, and what it runs.
#[derive(Debug, Clone, Copy)]
pub struct Running<'a> {
    /// What it was booted for.
    pub deployment: &'a Deployment,
    /// What it runs.
    pub pin: &'a Pin,
    /// Whose job it was; `None`: nobody's since it was powered on.
    pub owner: Option<Owner<'a>>,
    /// Its agent was heard of lately.
    pub is_alive: bool,
}

/// What the next job asks for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// What it is to run.
    pub pin: &'a Pin,
    /// Whose job it is.
    pub owner: Owner<'a>,
    /// The job's partition.
    pub partition: &'a Partition,
    /// The kernel was seen not to clear memory when it was told to.
    pub cannot_clear: bool,
}

/// How a node is taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TakeOver {
    /// As it is, or by kexec.
    pub way: Way,
    /// The next kernel has to clear the memory before it does anything else.
    pub clears_memory: bool,
}

/// Decides; `None`: it has to be powered off and on.
#[must_use]
pub fn choose(running: Running<'_>, wanted: Wanted<'_>) -> Option<TakeOver> {
    let Running { deployment, pin, owner, is_alive } = running;
    let healthy = may_be_taken_over(deployment)
        && is_alive
        && deployment.failure.is_none()
        && deployment.boot_id.is_some();
    if !healthy {
        return None;
    }
    let share_with = wanted.partition.share_with;
    let trusted = owner.is_none_or(|owner| owner.trusts(wanted.owner, share_with));
    if trusted && pin == wanted.pin {
        return Some(TakeOver { way: Way::Adopt, clears_memory: false });
    }
    let clears_memory = !trusted;
    let possible = wanted.partition.kexec && !(clears_memory && wanted.cannot_clear);
    possible.then_some(TakeOver { way: Way::Kexec, clears_memory })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AfterJob;
    use crate::deployment::{Blame, Failure, State};

    fn kept() -> Deployment {
        Deployment {
            state: State::Kept,
            stays_on: true,
            boot_id: Some("b".into()),
            ..Deployment::example()
        }
    }

    fn partition(share_with: ShareWith, kexec: bool) -> Partition {
        Partition { share_with, kexec, ..Partition::example(AfterJob::StayOn) }
    }

    const ALICE: Owner<'_> = Owner { uid: 1, account: Some("physics") };
    const BOB: Owner<'_> = Owner { uid: 2, account: Some("physics") };
    const EVE: Owner<'_> = Owner { uid: 3, account: None };

    fn chosen(
        from: Option<Owner<'_>>,
        to: Owner<'_>,
        same: bool,
        of: &Partition,
    ) -> Option<TakeOver> {
        let (deployment, pin) = (kept(), Pin::of_nothing());
        let other = Pin { release: "6.12.0".into(), ..Pin::of_nothing() };
        let running = Running { deployment: &deployment, pin: &pin, owner: from, is_alive: true };
        let pin = if same { &pin } else { &other };
        choose(running, Wanted { pin, owner: to, partition: of, cannot_clear: false })
    }

    const ADOPT: Option<TakeOver> = Some(TakeOver { way: Way::Adopt, clears_memory: false });
    const JUMP: Option<TakeOver> = Some(TakeOver { way: Way::Kexec, clears_memory: false });
    const CLEAR: Option<TakeOver> = Some(TakeOver { way: Way::Kexec, clears_memory: true });

    #[test]
    fn memory_of_a_former_user_stays_within_the_trust_domain() {
        let own = partition(ShareWith::User, true);
        assert_eq!(chosen(Some(ALICE), ALICE, true, &own), ADOPT);
        assert_eq!(chosen(Some(ALICE), ALICE, false, &own), JUMP);
        assert_eq!(chosen(Some(ALICE), BOB, true, &own), CLEAR);
        assert_eq!(chosen(None, BOB, true, &own), ADOPT, "nobody has used it");
        let account = partition(ShareWith::Account, true);
        assert_eq!(chosen(Some(ALICE), BOB, true, &account), ADOPT);
        assert_eq!(chosen(Some(BOB), EVE, false, &account), CLEAR);
        assert_eq!(chosen(Some(EVE), EVE, true, &account), CLEAR, "no account is no domain");
        let anybody = partition(ShareWith::Anybody, true);
        assert_eq!(chosen(Some(ALICE), EVE, true, &anybody), ADOPT);
        let no_kexec = partition(ShareWith::User, false);
        assert_eq!(chosen(Some(ALICE), ALICE, true, &no_kexec), ADOPT);
        assert_eq!(chosen(Some(ALICE), BOB, true, &no_kexec), None);
    }

    #[test]
    fn what_is_not_known_to_be_well_is_powered_off_and_on() {
        let pin = Pin::of_nothing();
        let of = partition(ShareWith::User, true);
        let wanted = Wanted { pin: &pin, owner: ALICE, partition: &of, cannot_clear: false };
        let choice = |deployment: &Deployment, is_alive| {
            let running = Running { deployment, pin: &pin, owner: Some(ALICE), is_alive };
            choose(running, wanted)
        };
        assert_eq!(choice(&kept(), true), ADOPT);
        assert_eq!(choice(&kept(), false), None, "not heard of");
        assert_eq!(choice(&Deployment { boot_id: None, ..kept() }, true), None);
        assert_eq!(choice(&Deployment { state: State::Ended, ..kept() }, true), None);
        assert_eq!(choice(&Deployment { state: State::Ready, ..kept() }, true), None, "in use");
        let failure = Some(Failure { blame: Blame::Node, reason: "r".into() });
        assert_eq!(choice(&Deployment { failure, ..kept() }, true), None);
        let running = Running { deployment: &kept(), pin: &pin, owner: Some(BOB), is_alive: true };
        assert_eq!(choose(running, Wanted { cannot_clear: true, ..wanted }), None);
    }
}
