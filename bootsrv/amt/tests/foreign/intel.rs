//! Messages of Intel's own library (npm), posted by curl with its digest authentication.

use crate::process::{run, text};
use crate::python::script;
use crate::support::{PASSWORD, start};
use amt::fake::{Algorithm, Fake, FakeSettings};
use std::path::{Path, PathBuf};
use std::process::Command;

const PACKAGE: &str = "@device-management-toolkit/wsman-messages";
const VERSION: &str = "5.14.1";

/// Installs the library below target/, once. npm is not among what this project needs (on Debian it
/// is some hundred packages), so that without it this one proof is left out, on CI too.
fn library() -> Option<PathBuf> {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("amt-npm");
    let library = directory.join("node_modules").join(PACKAGE);
    if library.join("package.json").exists() {
        return Some(library);
    }
    std::fs::create_dir_all(&directory).unwrap();
    let mut npm = Command::new("npm");
    npm.args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix"]);
    match npm.arg(&directory).arg(format!("{PACKAGE}@{VERSION}")).output() {
        Ok(output) if output.status.success() => Some(library),
        Ok(output) => {
            println!("skipped: npm cannot get {PACKAGE}: {}", text(&output));
            None
        }
        Err(_) => {
            println!("skipped: there is no npm (Debian: nodejs, npm)");
            None
        }
    }
}

fn post(fake: &Fake, message: &str) -> String {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--fail", "--max-time", "10", "--noproxy", "*"]);
    curl.args(["--digest", "--user", &format!("admin:{PASSWORD}")]);
    curl.args(["--header", "Content-Type: application/soap+xml", "--data-binary", "@-"]);
    let output = run(curl.arg(format!("http://{}/wsman", fake.address())), message);
    assert!(output.status.success(), "{} {message}", text(&output));
    text(&output)
}

#[tokio::test(flavor = "multi_thread")]
async fn intels_messages_are_understood() {
    let Some(library) = library() else { return };
    let output = run(Command::new("node").arg(script("messages.js")).arg(library), "");
    assert!(output.status.success(), "{}", text(&output));
    let messages = text(&output);
    let answers = [
        "<e:EnumerationContext>list-of-CIM_ServiceAvailableToElement</e:EnumerationContext>",
        "<g:PowerState>8</g:PowerState>",
        "<g:UseIDER>false</g:UseIDER>",
        "<g:ChangeBootOrder_OUTPUT><g:ReturnValue>0</g:ReturnValue>",
        "<g:AMT_BootSettingData>",
        "<g:SetBootConfigRole_OUTPUT><g:ReturnValue>0</g:ReturnValue>",
        "<g:ChangeBootOrder_OUTPUT><g:ReturnValue>0</g:ReturnValue>",
        "<g:RequestPowerStateChange_OUTPUT><g:ReturnValue>0</g:ReturnValue>",
    ];
    assert_eq!(messages.lines().count(), answers.len());
    for algorithm in [Algorithm::Md5, Algorithm::Sha256] {
        let fake = start(FakeSettings { algorithm, ..FakeSettings::default() }).await;
        for (message, expected) in messages.lines().zip(answers) {
            let answer = post(&fake, message);
            assert!(answer.contains(expected), "{message}\n{answer}");
        }
        let counters = fake.counters();
        assert_eq!((counters.on, counters.network_boots, counters.wrong_logins), (1, 1, 0));
    }
}
