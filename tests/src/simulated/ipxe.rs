//! iPXE, as far as the boot scripts use it: the script is run line by line, not guessed at. Its
//! commands are iPXE's own (ipxe.org/cmd); one that is not known ends the script with an error.

use std::collections::HashMap;
use std::time::Duration;

/// Most lines that are run; the scripts loop.
const STEPS_MAX: usize = 10_000;

/// What iPXE needs of its surroundings.
pub trait Firmware {
    /// Fetches an image by its name; `None`: it did not come.
    fn fetch(&mut self, name: &str, url: &str) -> impl Future<Output = Option<Vec<u8>>> + Send;
    /// Waits.
    fn sleep(&mut self, time: Duration) -> impl Future<Output = ()> + Send;
}

/// What a script leads to.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The kernel starts.
    Boot(Booted),
    /// Another script takes over; its text.
    Chain(String),
    /// The machine is started anew.
    Reboot,
}

/// A kernel that was started.
#[derive(Debug, PartialEq, Eq)]
pub struct Booted {
    /// The images that were fetched, by name.
    pub images: HashMap<String, Vec<u8>>,
    /// The kernel's command line.
    pub arguments: String,
}

/// Runs a script.
///
/// # Errors
/// Where iPXE would stop at its prompt: an unknown command, an end without a boot.
pub async fn run<F: Firmware>(script: &str, firmware: &mut F) -> Result<Outcome, String> {
    let lines: Vec<&str> = script.lines().map(str::trim).collect();
    if lines.first() != Some(&"#!ipxe") {
        return Err(format!("no iPXE script: {:?}", lines.first()));
    }
    let mut images = HashMap::new();
    let mut arguments = String::new();
    let mut at = 0;
    for _ in 0..STEPS_MAX {
        let Some(line) = lines.get(at) else { return Err("the script ends without a boot".into()) };
        at += 1;
        let (command, otherwise) = line.split_once(" || ").unwrap_or((line, ""));
        let words: Vec<&str> = command.split_whitespace().collect();
        let done = match words.as_slice() {
            [] | ["#!ipxe" | "echo", ..] => true,
            [label] if label.starts_with(':') => true,
            ["imgfree"] => {
                images.clear();
                true
            }
            ["kernel" | "initrd", "--name", name, url] => match firmware.fetch(name, url).await {
                Some(content) => {
                    images.insert((*name).to_owned(), content);
                    true
                }
                None => false,
            },
            ["imgargs", "kernel", rest @ ..] => {
                arguments = rest.join(" ");
                true
            }
            ["boot", "kernel"] => return Ok(Outcome::Boot(Booted { images, arguments })),
            ["sleep", seconds] => {
                let seconds = seconds.parse().map_err(|_| format!("not a number: {line}"))?;
                firmware.sleep(Duration::from_secs(seconds)).await;
                true
            }
            ["chain", "--replace", "--autofree", url] => {
                match firmware.fetch("script", url).await {
                    Some(text) => return Ok(Outcome::Chain(String::from_utf8_lossy(&text).into())),
                    None => false,
                }
            }
            ["reboot"] => return Ok(Outcome::Reboot),
            _ => return Err(format!("not a command that a script of ours has: {line}")),
        };
        match (done, otherwise) {
            (true, _) => {}
            (false, "reboot") => return Ok(Outcome::Reboot),
            (false, jump) => {
                let label = jump.strip_prefix("goto ").map(|label| format!(":{label}"));
                let place = lines.iter().position(|line| Some(*line) == label.as_deref());
                at = place.ok_or_else(|| format!("failed without a way on: {line}"))?;
            }
        }
    }
    Err(format!("more than {STEPS_MAX} lines were run"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Serves names in order; `None`: does not come.
    struct Served(Vec<(&'static str, Option<&'static str>)>);

    impl Firmware for Served {
        async fn fetch(&mut self, name: &str, _url: &str) -> Option<Vec<u8>> {
            let (expected, content) = self.0.remove(0);
            assert_eq!(name, expected);
            content.map(|content| content.as_bytes().to_vec())
        }

        async fn sleep(&mut self, _time: Duration) {}
    }

    /// As bootsrv writes it (`boot_script.rs` pins the text).
    const SCRIPT: &str = "#!ipxe\necho node n1: loading\nkernel --name kernel http://a/k || goto failed\n\
        initrd --name initrd http://a/i || goto failed\ninitrd --name token http://a/t || goto failed\n\
        imgargs kernel initrd=initrd initrd=token bmc.node=n1\nboot kernel\n:failed\nimgfree\n:again\n\
        sleep 2\nchain --replace --autofree http://a/boot || goto again\n";

    async fn outcome(served: &[(&'static str, Option<&'static str>)]) -> Result<Outcome, String> {
        run(SCRIPT, &mut Served(served.to_vec())).await
    }

    #[tokio::test]
    async fn a_boot_has_its_images_and_its_command_line() {
        let served = [("kernel", Some("K")), ("initrd", Some("I")), ("token", Some("T"))];
        let Ok(Outcome::Boot(booted)) = outcome(&served).await else { panic!() };
        assert_eq!(booted.arguments, "initrd=initrd initrd=token bmc.node=n1");
        assert_eq!(booted.images["token"], b"T");
    }

    #[tokio::test]
    async fn a_cut_download_asks_for_the_script_until_it_comes() {
        let served =
            [("kernel", Some("K")), ("initrd", None), ("script", None), ("script", Some("next"))];
        assert_eq!(outcome(&served).await, Ok(Outcome::Chain("next".into())));
        assert!(run("<html>", &mut Served(vec![])).await.is_err());
        assert!(run("#!ipxe\nshell\n", &mut Served(vec![])).await.is_err());
    }
}
