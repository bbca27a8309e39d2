//! How far an application image is, in one line.

use crate::table::{bytes, printable};
use protocol::application::{PreparationState, PreparationView};

/// `pulling: 12.0 MiB of 80.0 MiB, 4.0 MiB/s, 3 of 5 layers`.
pub(crate) fn line(view: &PreparationView) -> String {
    let mut parts = Vec::new();
    match view.bytes_total {
        _ if view.state == PreparationState::Resolving => {}
        Some(total) if view.state == PreparationState::Ready => parts.push(bytes(total)),
        Some(total) => parts.push(format!("{} of {}", bytes(view.bytes_done), bytes(total))),
        None if view.bytes_done > 0 => parts.push(bytes(view.bytes_done)),
        None => {}
    }
    parts.extend(view.bytes_per_second.map(|rate| format!("{}/s", bytes(rate))));
    parts.extend(view.layers_total.map(|total| {
        let done = view.layers_done;
        let ready = view.state == PreparationState::Ready;
        if ready { format!("{total} layers") } else { format!("{done} of {total} layers") }
    }));
    parts.extend(view.detail.as_deref().map(printable));
    let state = title(view.state);
    if parts.is_empty() { state.to_owned() } else { format!("{state}: {}", parts.join(", ")) }
}

fn title(state: PreparationState) -> &'static str {
    match state {
        PreparationState::Resolving => "asking the registry",
        PreparationState::Pulling => "pulling",
        PreparationState::Converting => "converting",
        PreparationState::Ready => "ready",
        PreparationState::Failed => "failed",
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A pull in the middle.
    pub(crate) fn pulling() -> PreparationView {
        PreparationView {
            reference: "docker://r.io/x:1".into(),
            digest: None,
            state: PreparationState::Pulling,
            bytes_done: 12 << 20,
            bytes_total: Some(80 << 20),
            bytes_per_second: Some(4 << 20),
            layers_done: 3,
            layers_total: Some(5),
            detail: None,
            blame: None,
        }
    }

    #[test]
    fn a_line_has_what_is_known() {
        let view = pulling();
        assert_eq!(line(&view), "pulling: 12.0 MiB of 80.0 MiB, 4.0 MiB/s, 3 of 5 layers");
        let ready =
            PreparationView { state: PreparationState::Ready, bytes_per_second: None, ..pulling() };
        assert_eq!(line(&ready), "ready: 80.0 MiB, 5 layers");
        let resolving = PreparationView {
            state: PreparationState::Resolving,
            bytes_per_second: None,
            layers_total: None,
            detail: Some("r.io asks for 7 s".into()),
            ..pulling()
        };
        assert_eq!(line(&resolving), "asking the registry: r.io asks for 7 s");
    }
}
