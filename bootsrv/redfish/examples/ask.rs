//! What the client sees of a service, without changing anything on it but for its session:
//! `ask URL USER [FINGERPRINT|-] [SYSTEM]`, with the password in REDFISH_PASSWORD. For trying it on
//! a controller that nobody here has had.

use redfish::{Account, Client, ResetType, Trust};
use std::error::Error;
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    match ask().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn ask() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().ok_or("which service?")?;
    let user = arguments.next().ok_or("which user?")?;
    let trust = match arguments.next().as_deref() {
        None | Some("-") => Trust::Host,
        Some(text) => {
            let fingerprint = pinned_tls::parse_fingerprint(text);
            Trust::Fingerprint(fingerprint.ok_or("a SHA-256 has 64 hexadecimal digits")?)
        }
    };
    let password = std::env::var("REDFISH_PASSWORD").map_err(|_| "which REDFISH_PASSWORD?")?;
    let client = Client::new(Account { url, user, password, trust, system: arguments.next() })?;
    println!("power: {:?}", client.power_state().await?);
    for reset in [
        ResetType::On,
        ResetType::ForceOff,
        ResetType::GracefulShutdown,
        ResetType::ForceRestart,
        ResetType::PowerCycle,
    ] {
        println!("can {reset:?}: {}", client.can_reset(reset).await?);
    }
    println!("boot: {:?}", client.boot_override().await?);
    println!("power meter: {:?}", client.power_reading().await?);
    println!("energy meter: {:?}", client.energy_reading().await?);
    for entry in client.log_entries(5).await? {
        println!("log: {entry:?}");
    }
    match client.events().await? {
        Some(_) => println!("events: it streams them"),
        None => println!("events: none"),
    }
    client.close().await?;
    Ok(())
}
