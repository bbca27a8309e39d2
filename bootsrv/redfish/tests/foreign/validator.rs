//! DMTF's protocol validator on the made-up service's stream of events.

use crate::python;
use redfish::fake::{Fake, PASSWORD, Shape, USER};
use std::path::Path;
use std::time::Duration;
use tokio::process::Command;

/// What it asserts of streams that bring events.
const ASSERTIONS: [&str; 11] = [
    "SUCCESSFUL_RESPONSE",
    "UNSUCCESSFUL_RESPONSE",
    "BLANK_LINES_BETWEEN_EVENTS",
    "CONNECTION_OPEN_UNTIL_CLOSED",
    "EVENTS_SENT_VIA_OPEN_CONNECTION",
    "OPEN_CREATES_EVENT_DEST",
    "EVENT_DEST_CONTEXT_OPAQUE_STR",
    "EVENT_DEST_DELETED_ON_CLOSE",
    "CLOSE_CONNECTION_IF_EVENT_DEST_DELETED",
    "ID_FIELD_UNIQUELY_IDENTIFIES_PAYLOAD",
    "JSON_EVENT_MESSAGE_FORMAT",
];

#[tokio::test]
async fn dmtfs_validator_finds_the_stream_right() {
    let Some(python) = python::interpreter() else { return };
    for shape in [Shape::Dmtf, Shape::Dell, Shape::OpenBmc] {
        let fake = Fake::start(shape).await.unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/validate_stream.py");
        let mut command = Command::new(&python);
        command.arg(script).args([&fake.url(), USER, PASSWORD]);
        // It listens for three seconds, and ends with the event after that.
        let happens = async {
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                fake.state().tell("OK", "Something happened.");
            }
        };
        let done = tokio::select! {
            done = command.output() => done.unwrap(),
            () = happens => unreachable!(),
        };
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        let wrong = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{shape:?}: {text}{wrong}");
        for assertion in ASSERTIONS {
            let line = format!("SERV_SSE_{assertion} PASS");
            assert!(text.lines().any(|one| one.starts_with(&line)), "{shape:?} {line}: {text}");
        }
        assert!(!text.contains(" FAIL "), "{shape:?}: {text}");
        assert!(fake.state().streams.is_empty() && fake.state().sessions.is_empty(), "{shape:?}");
    }
}
