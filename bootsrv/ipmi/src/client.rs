//! The client: logs in with the strongest suite and the highest privilege it can get, and asks
//! commands one at a time. What the commands mean stands in `command/`.

use crate::address::{ClientConfig, ControllerAddress, Privilege};
use crate::completion::CompletionCode;
use crate::error::{IpmiError, Refusal};
use crate::session::{Login, NET_FN_APP, Session};
use crate::wire::message::Request;
use crate::wire::reader::Reader;
use crate::wire::suite::CipherSuite;
use std::fmt;
use std::net::SocketAddr;

/// IPMI 2.0, section 22.28.
const USER_BYTES_MAX: usize = 16;
/// IPMI 2.0, section 22.30; also the longest K_G.
const KEY_BYTES_MAX: usize = 20;
const SET_SESSION_PRIVILEGE: u8 = 0x3B;

/// An open session with a controller. One command at a time; dropping it closes the session without
/// waiting, [`Client::close`] waits.
///
/// After an error with [`IpmiError::session_is_lost`] the caller drops it and connects again.
pub struct Client {
    session: Session,
    privilege: Privilege,
}

impl Client {
    /// Logs in with default patience.
    ///
    /// # Errors
    /// [`IpmiError::Timeout`], [`IpmiError::AuthenticationRefused`], [`IpmiError::SessionRefused`] and more.
    pub async fn connect(address: ControllerAddress) -> Result<Self, IpmiError> {
        Self::connect_with(&address, ClientConfig::default()).await
    }

    /// Logs in: with the suite named, or with 17 and then 3; with the privilege named, or as
    /// administrator and else operator.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub async fn connect_with(
        address: &ControllerAddress,
        config: ClientConfig,
    ) -> Result<Self, IpmiError> {
        check(address)?;
        let named = match address.cipher_suite {
            None => None,
            Some(number) => Some(
                CipherSuite::from_number(number).ok_or(IpmiError::UnknownCipherSuite(number))?,
            ),
        };
        let strongest = named.unwrap_or(CipherSuite::Sha256);
        match login(address, strongest, config).await {
            // Only if the controller says that it lacks the algorithms: any other trouble would
            // be the same with the weaker suite.
            Err(IpmiError::SessionRefused { status, .. })
                if named.is_none() && status.is_about_algorithms() =>
            {
                login(address, CipherSuite::Sha1, config).await
            }
            done => done,
        }
    }

    /// Where the controller is.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.session.link().addr()
    }

    /// The suite the session uses.
    #[must_use]
    pub fn cipher_suite(&self) -> CipherSuite {
        self.session.keys().suite()
    }

    /// What the session may do.
    #[must_use]
    pub fn privilege(&self) -> Privilege {
        self.privilege
    }

    /// Ends the session and waits once for the controller's word on it.
    ///
    /// # Errors
    /// [`IpmiError::Timeout`] if no word came; the session is of no use in any case.
    pub async fn close(self) -> Result<(), IpmiError> {
        self.session.close().await
    }

    pub(crate) fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Asks one command and gives its data if it was completed normally.
    pub(crate) async fn ask(
        &mut self,
        command: &'static str,
        request: Request<'_>,
    ) -> Result<Vec<u8>, IpmiError> {
        let config = self.session.link().config();
        let mut asked = 0;
        loop {
            asked += 1;
            let response = self.session.ask(command, request).await?;
            match CompletionCode(response.completion) {
                CompletionCode(0) => return Ok(response.data),
                CompletionCode::NODE_BUSY if asked <= config.busy_tries => {
                    tokio::time::sleep(config.busy_pause).await;
                }
                code => return Err(IpmiError::Completion { command, code }),
            }
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("session", &self.session)
            .field("privilege", &self.privilege)
            .finish()
    }
}

fn check(address: &ControllerAddress) -> Result<(), IpmiError> {
    if address.user.len() > USER_BYTES_MAX {
        return Err(IpmiError::Account("user name of more than 16 bytes"));
    }
    if address.password.len() > KEY_BYTES_MAX {
        return Err(IpmiError::Account("password of more than 20 bytes"));
    }
    if address.controller_key.as_ref().is_some_and(|key| key.len() > KEY_BYTES_MAX) {
        return Err(IpmiError::Account("controller key of more than 20 bytes"));
    }
    Ok(())
}

async fn login(
    address: &ControllerAddress,
    suite: CipherSuite,
    config: ClientConfig,
) -> Result<Client, IpmiError> {
    let highest = address.privilege.unwrap_or(Privilege::Administrator);
    match login_as(address, suite, highest, config).await {
        // The account is good, but not for administrators.
        Err(IpmiError::AuthenticationRefused { reason: Refusal::ByController(status), .. })
            if address.privilege.is_none() && status.is_about_role() =>
        {
            login_as(address, suite, Privilege::Operator, config).await
        }
        done => done,
    }
}

async fn login_as(
    address: &ControllerAddress,
    suite: CipherSuite,
    privilege: Privilege,
    config: ClientConfig,
) -> Result<Client, IpmiError> {
    let login = Login { address, suite, privilege: privilege.level() };
    let session = Session::open(&login, config).await?;
    let mut client = Client { session, privilege };
    // The command cannot ask for this one (IPMI 2.0, section 22.18), and nothing needs it.
    if privilege == Privilege::Callback {
        return Ok(client);
    }
    // A session starts with user privilege; until it is raised every command is refused.
    match client.set_privilege(privilege).await {
        Err(IpmiError::Completion { code, .. })
            if address.privilege.is_none()
                && privilege == Privilege::Administrator
                && is_about_privilege(code) =>
        {
            client.set_privilege(Privilege::Operator).await?;
        }
        done => done?,
    }
    Ok(client)
}

/// The completion codes of Set Session Privilege that say that this level is too high
/// (IPMI 2.0, section 22.18).
fn is_about_privilege(code: CompletionCode) -> bool {
    matches!(code, CompletionCode(0x80 | 0x81) | CompletionCode::INSUFFICIENT_PRIVILEGE)
}

impl Client {
    async fn set_privilege(&mut self, privilege: Privilege) -> Result<(), IpmiError> {
        let doing = "Set Session Privilege Level";
        let data = [privilege.level()];
        let request =
            Request { net_fn: NET_FN_APP, lun: 0, command: SET_SESSION_PRIVILEGE, data: &data };
        let answer = self.ask(doing, request).await?;
        let mut reader = Reader::new(&answer);
        reader.expect_u8("privilege", privilege.level()).map_err(IpmiError::malformed(doing))?;
        self.privilege = privilege;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::chassis::ChassisControl;
    use crate::fake::{Fake, Settings};

    #[tokio::test]
    async fn unusable_accounts_are_refused_before_anything_is_sent() {
        let good = ControllerAddress::new(
            "127.0.0.1:9".parse().unwrap(),
            "admin".to_owned(),
            "password".to_owned(),
        );
        let mut address = good.clone();
        address.user = "x".repeat(17);
        assert!(matches!(Client::connect(address).await, Err(IpmiError::Account(_))));
        let mut address = good.clone();
        address.password = "x".repeat(21);
        assert!(matches!(Client::connect(address).await, Err(IpmiError::Account(_))));
        let mut address = good;
        address.cipher_suite = Some(0);
        assert!(matches!(Client::connect(address).await, Err(IpmiError::UnknownCipherSuite(0))));
    }

    #[tokio::test]
    async fn the_strongest_suite_that_the_controller_knows_is_taken() {
        for suite in CipherSuite::ALL {
            let settings = Settings { suites: vec![suite], power_on: true, ..Settings::default() };
            let fake = Fake::start(settings).await.unwrap();
            let mut client = fake.connect().await.unwrap();
            assert_eq!(client.cipher_suite(), suite);
            assert_eq!(client.privilege(), Privilege::Administrator);
            assert!(client.chassis_status().await.unwrap().power_on);
            client.close().await.unwrap();
        }
    }

    #[tokio::test]
    async fn an_operator_account_gets_an_operator_session() {
        use Privilege::{Administrator, Operator, User};
        for (login_privilege, session_privilege) in
            [(Operator, Administrator), (Operator, Operator), (Administrator, Operator)]
        {
            let settings = Settings { login_privilege, session_privilege, ..Settings::default() };
            let fake = Fake::start(settings).await.unwrap();
            let mut client = fake.connect().await.unwrap();
            assert_eq!(client.privilege(), Operator);
            client.chassis_control(ChassisControl::On).await.unwrap();
        }
        let settings = Settings { login_privilege: User, ..Settings::default() };
        let error = Fake::start(settings).await.unwrap().connect().await.unwrap_err();
        assert!(matches!(error, IpmiError::AuthenticationRefused { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn a_named_privilege_is_asked_for_alone() {
        use Privilege::{Administrator, Callback, Operator, User};
        let settings = Settings { login_privilege: Operator, ..Settings::default() };
        let fake = Fake::start(settings).await.unwrap();
        let mut address = fake.account();
        for (privilege, may_look, may_switch) in
            [(Callback, false, false), (User, true, false), (Operator, true, true)]
        {
            address.privilege = Some(privilege);
            let mut client = Client::connect(address.clone()).await.unwrap();
            assert_eq!(client.privilege(), privilege);
            assert_eq!(client.chassis_status().await.is_ok(), may_look, "{privilege:?}");
            let switched = client.chassis_control(ChassisControl::On).await;
            let code = switched.err().and_then(|error| error.completion_code());
            let wanted = (!may_switch).then_some(CompletionCode::INSUFFICIENT_PRIVILEGE);
            assert_eq!(code, wanted, "{privilege:?}");
        }
        address.privilege = Some(Administrator);
        let error = Client::connect(address).await.unwrap_err();
        assert!(matches!(error, IpmiError::AuthenticationRefused { .. }), "{error:?}");
        assert_eq!(fake.counters().refused_logins, 1, "not tried again as operator");
    }

    #[tokio::test]
    async fn a_busy_controller_is_asked_again_but_not_for_ever() {
        for (busy, works) in [(0, true), (2, true), (3, false)] {
            let fake = Fake::start(Settings::default()).await.unwrap();
            fake.turn(|knobs| knobs.busy = busy);
            let status = fake.connect().await.unwrap().chassis_status().await;
            assert_eq!(status.is_ok(), works, "{status:?}");
        }
    }

    #[tokio::test]
    async fn a_short_answer_is_malformed() {
        let fake = Fake::start(Settings::default()).await.unwrap();
        fake.answer_with(Box::new(|_, _, _| Some((0, vec![0x01]))));
        let mut client = fake.connect().await.unwrap();
        let error = client.chassis_status().await.unwrap_err();
        assert!(matches!(error, IpmiError::Malformed { .. }), "{error:?}");
    }
}
