//! How many files and connections this process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// More are of no use: a hard limit may be a billion, and programs we start walk through all of theirs.
const DESCRIPTORS_MAX: u64 = 1 << 20;

/// Raises the limit to what the system's administrator allows, and says how many that are. The usual
/// 1024 is for programs that know no more; a few hundred nodes that fetch at once take several
/// connections each.
///
/// # Errors
/// When the kernel refuses.
pub fn raise() -> std::io::Result<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // None: without a limit.
    let Some(current) = current else { return Ok(u64::MAX) };
    let wanted = maximum.unwrap_or(u64::MAX).min(DESCRIPTORS_MAX).max(current);
    setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum })?;
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_what_the_system_allows() {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let less = current.map(|current| current - 1);
        setrlimit(Resource::Nofile, Rlimit { current: less, maximum }).unwrap();
        let raised = raise().unwrap();
        assert_eq!(getrlimit(Resource::Nofile).current, Some(raised));
        assert_eq!(raised, maximum.unwrap_or(u64::MAX).min(DESCRIPTORS_MAX));
    }
}
