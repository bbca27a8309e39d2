//! What a simulated controller answers to commands.

use super::chassis::Effect;
use super::serve::Machine;
use super::wire::Asked;
use super::{Answer, log};
use crate::completion::CompletionCode;

const DONE: u8 = 0;
/// Privilege levels that commands need (IPMI 2.0, appendix G).
const USER: u8 = 2;
const OPERATOR: u8 = 3;
/// Boot option parameters: set in progress, boot info acknowledge, boot flags.
const BOOT_PARAMETERS: [u8; 4] = [0, 3, 4, 5];
const BOOT_FLAGS: u8 = 5;
const PARAMETER_NOT_SUPPORTED: CompletionCode = CompletionCode(0x80);
const DCMI: u8 = 0xDC;

/// An answer, or the code of the error.
type Answered = Result<Vec<u8>, CompletionCode>;

fn coded(answered: Answered) -> Answer {
    match answered {
        Ok(data) => (DONE, data),
        Err(code) => (code.0, Vec::new()),
    }
}

impl Machine {
    /// Commands that need no session. `None`: it is none of them.
    pub(super) fn sessionless(&self, asked: &Asked) -> Option<Answer> {
        // Channel 1 knows RMCP+ and no older login; names are needed; K_G is set or not.
        let key = if self.settings.controller_key.is_some() { 0x20 } else { 0 };
        ((asked.net_fn, asked.command) == (0x06, 0x38))
            .then(|| (DONE, vec![1, 0x80, 0x04 | key, 0x02, 0, 0, 0, 0]))
    }

    /// A command in session `id`.
    pub(super) fn command(
        &mut self,
        id: u32,
        privilege: u8,
        asked: &Asked,
    ) -> (Answer, Vec<Effect>) {
        let none = Vec::new();
        match (asked.net_fn, asked.command) {
            (0x06, 0x3B) => return (coded(self.set_privilege(id, privilege, &asked.data)), none),
            (0x06, 0x3C) => {
                self.sessions.remove(id);
                return ((DONE, Vec::new()), none);
            }
            _ => {}
        }
        let own = self.commands.as_mut();
        if let Some(answer) =
            own.and_then(|commands| commands(asked.net_fn, asked.command, &asked.data))
        {
            return (answer, none);
        }
        if self.knobs.busy > 0 {
            self.knobs.busy -= 1;
            return (coded(Err(CompletionCode::NODE_BUSY)), none);
        }
        let needed = match (asked.net_fn, asked.command) {
            (0x00, 0x02 | 0x08) | (0x0A, 0x44 | 0x47) => OPERATOR,
            _ => USER,
        };
        if privilege < needed {
            return (coded(Err(CompletionCode::INSUFFICIENT_PRIVILEGE)), none);
        }
        if (asked.net_fn, asked.command) == (0x00, 0x02) {
            return match self.control(&asked.data) {
                Ok(effects) => ((DONE, Vec::new()), effects),
                Err(code) => (coded(Err(code)), none),
            };
        }
        (coded(self.harmless(asked)), none)
    }

    fn harmless(&mut self, asked: &Asked) -> Answered {
        let data = asked.data.as_slice();
        match (asked.net_fn, asked.command) {
            // A controller of IPMI 2.0 with an event log and a chassis, by nobody known.
            (0x06, 0x01) => Ok(vec![0x20, 1, 1, 0, 0x02, 0x84, 0, 0, 0, 0, 0]),
            (0x00, 0x01) => {
                self.counters.statuses += 1;
                let on = self.knobs.status_says.unwrap_or_else(|| self.chassis.is_on());
                Ok(vec![u8::from(on), 0, 0])
            }
            (0x00, 0x08) => self.set_boot_option(data),
            (0x00, 0x09) => self.boot_option(data),
            (log::NET_FN, command) => self.log.answer(command, data),
            (0x2C, command) => self.dcmi(command, data),
            _ => Err(CompletionCode::INVALID_COMMAND),
        }
    }

    fn set_privilege(&mut self, id: u32, now: u8, data: &[u8]) -> Answered {
        let asked = *data.first().ok_or(CompletionCode::REQUEST_LENGTH)?;
        // 0 asks what it is; 0x81: the account or channel has less.
        let level = if asked == 0 { now } else { asked };
        if level > self.settings.session_privilege.level() {
            return Err(CompletionCode(0x81));
        }
        if let Some(session) = self.sessions.get(id, tokio::time::Instant::now()) {
            session.privilege = level;
        }
        Ok(vec![level])
    }

    fn control(&mut self, data: &[u8]) -> Result<Vec<Effect>, CompletionCode> {
        let number = data.first().ok_or(CompletionCode::REQUEST_LENGTH)? & 0x0F;
        if self.random.happens(self.knobs.refused_percent) {
            self.counters.refused += 1;
            return Err(self.knobs.refusal);
        }
        if self.random.happens(self.knobs.ignored_percent) {
            self.counters.ignored += 1;
            return Ok(Vec::new());
        }
        self.chassis.control(number, &self.knobs, &mut self.counters)
    }

    fn set_boot_option(&mut self, data: &[u8]) -> Answered {
        let (parameter, value) = data.split_first().ok_or(CompletionCode::REQUEST_LENGTH)?;
        let parameter = parameter & 0x7F;
        if !BOOT_PARAMETERS.contains(&parameter) {
            return Err(PARAMETER_NOT_SUPPORTED);
        }
        if parameter == BOOT_FLAGS {
            self.chassis.boot_flags =
                value.try_into().map_err(|_length| CompletionCode::REQUEST_LENGTH)?;
            self.counters.boot_flags += 1;
        }
        Ok(Vec::new())
    }

    fn boot_option(&self, data: &[u8]) -> Answered {
        let parameter = data.first().ok_or(CompletionCode::REQUEST_LENGTH)? & 0x7F;
        if parameter != BOOT_FLAGS {
            return Err(PARAMETER_NOT_SUPPORTED);
        }
        Ok([&[1, BOOT_FLAGS], &self.chassis.boot_flags[..]].concat())
    }

    fn dcmi(&mut self, command: u8, data: &[u8]) -> Answered {
        let Some(watts) = self.knobs.watts.filter(|_| data.first() == Some(&DCMI)) else {
            return Err(CompletionCode::INVALID_COMMAND);
        };
        match command {
            // DCMI 1.5, a power meter.
            0x01 => Ok(vec![DCMI, 1, 5, 2, 0, 1, 0]),
            0x02 => {
                self.counters.readings += 1;
                let watts = watts.to_le_bytes();
                let (time, period) = (log::now().to_le_bytes(), 1000u32.to_le_bytes());
                let four = [watts; 4].concat();
                let state = u8::from(self.knobs.measures) << 6;
                Ok([&[DCMI], &four[..], &time, &period, &[state]].concat())
            }
            _ => Err(CompletionCode::INVALID_COMMAND),
        }
    }
}
