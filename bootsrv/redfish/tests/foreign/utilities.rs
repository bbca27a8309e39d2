//! DMTF's own utilities on the made-up service: they find everything by themselves, log in and out.

use crate::python;
use redfish::fake::{Fake, PASSWORD, Shape, USER};
use std::path::Path;
use tokio::process::Command;

const SHAPES: [Shape; 4] = [Shape::Dmtf, Shape::Hpe, Shape::Dell, Shape::OpenBmc];

/// Runs a utility as its documentation says, and gives what it prints.
async fn run(python: &Path, fake: &Fake, tool: &str, arguments: &[&str]) -> String {
    let program = python.with_file_name(format!("rf_{tool}.py"));
    let url = fake.url();
    let done = Command::new(python)
        .arg(program)
        .args(["--user", USER, "--password", PASSWORD, "--rhost", &url])
        .args(arguments)
        .output()
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    let wrong = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{tool} {arguments:?}: {text}{wrong}");
    assert!(fake.state().sessions.is_empty(), "{tool} leaves its session: {text}");
    text
}

#[tokio::test]
async fn the_service_is_one_for_dmtfs_utilities() {
    let Some(python) = python::interpreter() else { return };
    for shape in SHAPES {
        let fake = Fake::start(shape).await.unwrap();
        let use_tool = async |tool, arguments| run(&python, &fake, tool, arguments).await;
        use_tool("power_reset", &["--type", "On"]).await;
        assert!(fake.state().is_on, "{shape:?}");
        use_tool("power_reset", &["--type", "GracefulShutdown"]).await;
        assert!(!fake.state().is_on, "{shape:?}");
        assert_eq!(fake.state().resets, ["On", "GracefulShutdown"]);
        fake.state().wants_version = shape == Shape::Dmtf;
        use_tool("boot_override", &["--target", "Pxe", "--mode", "Legacy"]).await;
        assert_eq!(fake.state().boot, ["Once", "Pxe", "Legacy"], "{shape:?}");
        // The utility reads no PowerControl.
        if matches!(shape, Shape::Dmtf | Shape::OpenBmc) {
            fake.state().watts = Some(374.0);
            let sensors = use_tool("sensor_list", &[]).await;
            assert!(sensors.contains("374"), "{shape:?}: {sensors}");
        }
        // It takes whole entries only, as the schema has them.
        if shape != Shape::Hpe {
            let owner = if shape == Shape::Dell { "--manager" } else { "--system" };
            let log = use_tool("logs", &[owner]).await;
            for message in ["entry 0", "entry 9"] {
                assert!(log.contains(message), "{shape:?}: {log}");
            }
        }
    }
}
