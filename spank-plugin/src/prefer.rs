//! Makes a job prefer nodes that run what it asks for (docs/adr/0019), by `--prefer`, as if the user had
//! typed it. A user's own `--prefer` stays; and as Slurm takes a preference in place of the constraint
//! and not beside it, a constraint that cannot be put into it stays alone.
//!
//! Only for a job that any one node will do for: where Slurm finds some preferred nodes, but not those it
//! was told to take, or too few, it can hold the job (seen with 22.05 and 24.11).

use crate::context::Process;
use std::ffi::CStr;

/// Longest list of features, and of the whole preference: Slurm takes 1,024 characters.
const CHARS_MAX: usize = 1_000;

/// `before`: what the component before this one, of a heterogeneous job, was made to prefer. Gives what
/// this one is.
pub(crate) fn prefer(
    process: &dyn Process,
    features: &[String],
    before: Option<&str>,
) -> Option<String> {
    if features.is_empty() && before.is_none() {
        return None;
    }
    let mut own = process.slurm_option(c"prefer");
    if before.is_some() && own.as_deref() == before {
        // Slurm hands it on to the next component, whose constraint it is not.
        process.set_slurm_option(c"prefer", None);
        own = None;
    }
    if own.is_some() {
        return None;
    }
    if features.is_empty() || !is_for_any_one_node(process) {
        return None;
    }
    let text = expression(process.slurm_option(c"constraint").as_deref(), features)?;
    process.set_slurm_option(c"prefer", Some(&text)).then_some(text)
}

fn is_for_any_one_node(process: &dyn Process) -> bool {
    let free = |name: &CStr| process.slurm_option(name).is_none_or(|value| value.is_empty());
    let nodes = process.slurm_option(c"nodes").unwrap_or_default();
    let tasks = process.slurm_option(c"ntasks").unwrap_or_default();
    // As Slurm writes them: `1-0` is one or more.
    let one = matches!(nodes.as_str(), "1" | "1-1");
    let one_or_more = nodes.is_empty() || nodes.starts_with("1-");
    free(c"nodelist")
        && free(c"nodefile")
        && free(c"reservation")
        && (one || (one_or_more && matches!(tasks.as_str(), "" | "1")))
}

/// Nodes that meet the constraint and have one of the features.
fn expression(constraint: Option<&str>, features: &[String]) -> Option<String> {
    let is_name = |text: &str| {
        let mut signs = text.bytes();
        !text.is_empty() && signs.all(|sign| sign.is_ascii_alphanumeric() || b"_-.".contains(&sign))
    };
    if features.is_empty() || !features.iter().all(|feature| is_name(feature)) {
        return None;
    }
    let features = features.join("|");
    let text = match constraint.filter(|constraint| !constraint.is_empty()) {
        None => features,
        // Anything but a list of names has an order of its own.
        Some(constraint) if constraint.split(['&', ',']).all(is_name) => {
            format!("{}&({features})", constraint.replace(',', "&"))
        }
        Some(_) => return None,
    };
    (text.len() <= CHARS_MAX).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features(list: &[&str]) -> Vec<String> {
        list.iter().map(|feature| (*feature).to_owned()).collect()
    }

    #[test]
    fn a_constraint_stays_a_constraint() {
        let two = features(&["bmc_1", "bmc_2"]);
        let of = |constraint| expression(constraint, &two);
        assert_eq!(of(None).as_deref(), Some("bmc_1|bmc_2"));
        assert_eq!(of(Some("")).as_deref(), Some("bmc_1|bmc_2"));
        assert_eq!(of(Some("gpu")).as_deref(), Some("gpu&(bmc_1|bmc_2)"));
        assert_eq!(of(Some("gpu,ib")).as_deref(), Some("gpu&ib&(bmc_1|bmc_2)"));
        for odd in ["gpu|ib", "gpu*2", "[rack1|rack2]", "(gpu)", "gpu&", "a b"] {
            assert_eq!(of(Some(odd)), None, "{odd}");
        }
    }

    #[test]
    fn what_a_server_says_is_not_trusted() {
        for odd in ["", "a|b", "a b", "a*2", "[x]"] {
            assert_eq!(expression(None, &features(&[odd])), None, "{odd}");
        }
        assert_eq!(expression(None, &[]), None);
        assert_eq!(expression(None, &features(&[&"x".repeat(CHARS_MAX + 1)])), None);
    }
}
