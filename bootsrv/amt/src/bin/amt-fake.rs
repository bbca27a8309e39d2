//! An AMT controller for tests: `amt-fake --listen ADDRESS:PORT --password-file FILE COMMAND…`
//! switches a machine by a command in the words of ipmi_sim's chassis program
//! (`amt::fake::Hook::Command`). Runs until it is ended.

use amt::fake::{Fake, FakeSettings, Hook, Tls};
use anyhow::{Context, bail};
use clap::Parser;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// An AMT controller for tests.
#[derive(Debug, Parser)]
struct Options {
    /// Where it listens; port 0: any that is free.
    #[arg(long)]
    listen: SocketAddr,
    #[arg(long, default_value = "admin")]
    user: String,
    /// File with the user's password; the space around it does not count.
    #[arg(long)]
    password_file: PathBuf,
    /// File with its certificate, PEM; it speaks TLS then.
    #[arg(long, requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// File with the certificate's key, PEM.
    #[arg(long, requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    /// From the answer to a request until it is done, in milliseconds.
    #[arg(long, default_value_t = 0)]
    delay: u64,
    /// Program and first words; without it the machine is a flag, off at the start.
    #[arg(trailing_var_arg = true)]
    command: Vec<String>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let password = String::from_utf8(read(&options.password_file)?).context("the password")?;
    if password.trim().is_empty() {
        bail!("the password is empty");
    }
    let tls = match (&options.tls_certificate, &options.tls_key) {
        (Some(certificate), Some(key)) => {
            Some(Tls { certificates: read(certificate)?, key: read(key)? })
        }
        _ => None,
    };
    let hook = match options.command.is_empty() {
        true => Hook::default(),
        false => Hook::Command(options.command),
    };
    let fake = Fake::start(FakeSettings {
        listen: options.listen,
        user: options.user,
        password: password.trim().to_owned(),
        tls,
        delay: Duration::from_millis(options.delay),
        hook,
        ..FakeSettings::default()
    });
    let fake = fake.await.with_context(|| format!("listening on {}", options.listen))?;
    println!("listening on {}", fake.address());
    std::future::pending().await
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("reading {}", path.display()))
}
