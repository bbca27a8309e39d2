//! A talk with one unit: reads and writes single objects, asks again when nothing comes or the unit
//! is busy. Knows no outlets.

use crate::error::{PduError, Trouble};
use crate::settings::{Patience, Unit};
use async_snmp::{
    Auth, ClientBuilder, DecodeConfig, FixedCardinalityResponse, Oid, Retry, UdpClient, Value,
};
use std::time::Duration;
use tokio::time::sleep;

/// The pause before a question is sent again for want of an answer grows from the first to the second.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// By how much of itself that pause varies by chance.
const JITTER: f64 = 0.5;
/// Longest wait for the unit's name to be looked up.
const LOOKUP_SECONDS_MAX: u64 = 5;
/// How long a unit has been up (RFC 3418): every unit has it, and reading it does nothing.
const SYS_UP_TIME: [u32; 9] = [1, 3, 6, 1, 2, 1, 1, 3, 0];
/// Units pad their answers; nothing else that is wrong in them is taken.
const DECODE: DecodeConfig = {
    let mut config = DecodeConfig::STRICT;
    config.trailing_bytes = true;
    config
};

pub(crate) struct Session<'a> {
    host: &'a str,
    auth: Auth,
    client: UdpClient,
    patience: Patience,
}

impl<'a> Session<'a> {
    /// Opens a socket. With v3, the unit is asked who it is before the first question; so a unit
    /// that was restarted or replaced since is no trouble.
    pub(crate) async fn open(unit: &'a Unit, patience: Patience) -> Result<Self, PduError> {
        let host = unit.address.as_str();
        // Checked before, when the outlets were described.
        let auth =
            unit.credentials.auth().map_err(|_| PduError::new(Trouble::Refused, host, None))?;
        let client = connect(host, ClientBuilder::new(auth.clone()), patience)
            .await
            .map_err(|error| PduError::connecting(host, error))?;
        Ok(Self { host, auth, client, patience })
    }

    /// A number; `None`: the unit has no such object.
    pub(crate) async fn read(&self, oid: &Oid) -> Result<Option<i64>, PduError> {
        let response = self.asked(oid, None).await?;
        let value = response.single().map(|binding| &binding.value);
        let missing = [Value::NoSuchObject, Value::NoSuchInstance, Value::EndOfMibView];
        if value.is_some_and(|value| missing.contains(value)) {
            return Ok(None);
        }
        let number = value.and_then(number);
        number.map(Some).ok_or_else(|| PduError::new(Trouble::Malformed, self.host, Some(oid)))
    }

    /// Writes an INTEGER. The unit's answer repeats something, not always what was written: whether
    /// it did it, its state tells.
    pub(crate) async fn write(&self, oid: &Oid, value: i32) -> Result<(), PduError> {
        self.asked(oid, Some(value)).await.map(|_| ())
    }

    /// Reads, or writes that value. No closure: its future could not go from thread to thread.
    async fn asked(
        &self,
        oid: &Oid,
        value: Option<i32>,
    ) -> Result<FixedCardinalityResponse, PduError> {
        let mut repeated = 0;
        loop {
            let asked = match value {
                None => self.client.get(oid).await,
                Some(value) => self.client.set(oid, Value::Integer(value)).await,
            };
            let error = match asked {
                Ok(response) => return Ok(response),
                Err(error) => PduError::asking(self.host, oid, error),
            };
            if error.trouble == Trouble::NoAnswer && matches!(self.auth, Auth::Usm(_)) {
                return Err(self.refusal(oid).await.unwrap_or(error));
            }
            if error.trouble != Trouble::Busy || repeated >= self.patience.busy_tries {
                return Err(error);
            }
            repeated += 1;
            sleep(self.patience.busy_pause.mul_f64(rand::random_range(0.5..1.5))).await;
        }
    }

    /// Why a unit with v3 keeps silent. Whom it does not let in it does answer, but it cannot sign that
    /// answer; anybody may have sent it, so it is not taken for one. It only serves to tell a wrong
    /// password from a dead unit. The question is one that may be heard and repeated by anybody.
    async fn refusal(&self, oid: &Oid) -> Option<PduError> {
        let builder =
            ClientBuilder::new(self.auth.clone()).allow_unauthenticated_v3_time_correction(true);
        let once = Patience { tries: 1, ..self.patience };
        let client = connect(self.host, builder, once).await.ok()?;
        let error = client.get(&Oid::new(SYS_UP_TIME)).await.err()?;
        let error = PduError::asking(self.host, oid, error);
        (error.trouble == Trouble::Refused).then_some(error)
    }
}

async fn connect(
    host: &str,
    builder: ClientBuilder,
    patience: Patience,
) -> async_snmp::Result<UdpClient> {
    let retry = Retry::exponential(patience.tries.saturating_sub(1))
        .initial_delay(PAUSE_MIN)
        .max_delay(PAUSE_MAX)
        .jitter(JITTER)
        .build()
        .unwrap_or_default();
    let longest = (patience.reply_timeout + PAUSE_MAX.mul_f64(1.0 + JITTER)) * patience.tries;
    builder
        .request_timeout(patience.reply_timeout)
        .exchange_timeout(Some(longest))
        .retry(retry)
        .decode_config(DECODE)
        .target(host)
        .construction_timeout(Duration::from_secs(LOOKUP_SECONDS_MAX))
        .strict_source(true)
        .connect()
        .await
}

/// The number in a value of any of SNMP's numeric types.
fn number(value: &Value) -> Option<i64> {
    let unsigned = || value.as_u64().and_then(|number| i64::try_from(number).ok());
    value.as_i32().map(i64::from).or_else(unsigned)
}
