//! Logins: who is asked for them, and who must never see them.

use super::real::RealRegistry;
use super::sample::Sample;
use super::scripted::{Received, Reply, Scripted, from_sample};
use super::{open, open_with, reference};
use crate::settings::RegistrySettings;
use crate::{Blame, Credential, Images, PrepareError, PreparedImage, Request, Settings};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use protocol::image_reference::ImageReference;

fn password(password: &str) -> Credential {
    Credential::Password { user: "ada".into(), password: password.into() }
}

async fn pull_as(
    images: &Images,
    text: &str,
    credential: Option<Credential>,
) -> Result<PreparedImage, PrepareError> {
    let ImageReference::Docker(image) = reference(text) else { panic!("{text}") };
    let digest = images.resolve(&image, credential.as_ref()).await?;
    let reference = reference(text).pinned(digest);
    let asked = Request { reference, uploaded: None, credential, uid: None };
    images.start(asked).finished().await
}

/// bcrypt of "secret", by crypt(3).
const HTPASSWD: &str = "ada:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";

#[tokio::test]
async fn a_registry_with_passwords() {
    let registry = RealRegistry::start_with(|directory| {
        let path = directory.path().join("htpasswd");
        std::fs::write(&path, HTPASSWD).unwrap();
        format!("auth: {{htpasswd: {{realm: r, path: {}}}}}\n", path.display())
    });
    let sample = Sample::one_layer(1000);
    registry.push(&sample, "private:1", Some("ada:secret"));
    let directory = tempfile::tempdir().unwrap();
    let images = open(directory.path(), &registry.name);
    let text = registry.image("private:1");

    let error = pull_as(&images, &text, None).await.unwrap_err();
    assert_eq!(error.blame, Blame::User);
    assert!(error.reason.contains("wants a login"), "{error}");
    let error = pull_as(&images, &text, Some(password("guess"))).await.unwrap_err();
    assert!(error.reason.contains("authentication required"), "{error}");
    assert!(error.reason.contains("with your login") && !error.reason.contains("guess"), "{error}");
    pull_as(&images, &text, Some(password("secret"))).await.unwrap();

    let file = directory.path().join("config.json");
    let settings = |auth: &str| {
        let auth = STANDARD.encode(auth);
        let text = format!(r#"{{"auths":{{"{}":{{"auth":"{auth}"}}}}}}"#, registry.name);
        std::fs::write(&file, text).unwrap();
        let insecure = RegistrySettings { insecure: true, ..RegistrySettings::default() };
        Settings {
            credentials_file: Some(file.clone()),
            registry: [(registry.name.clone(), insecure)].into(),
            ..Settings::default()
        }
    };
    let elsewhere = tempfile::tempdir().unwrap();
    let images = open_with(elsewhere.path(), settings("ada:wrong"));
    let error = pull_as(&images, &text, None).await.unwrap_err();
    assert_eq!(error.blame, Blame::Site, "{error}");
    settings("ada:secret");
    pull_as(&images, &text, None).await.expect("the file is read again");
}

/// A token server; `granted` says what it gives.
fn tokens(mut granted: impl FnMut(&Received) -> Reply + Send + 'static) -> Scripted {
    Scripted::start(move |request| granted(request))
}

/// A registry that wants a token of that server.
fn guarded(sample: &Sample, realm: String, token: &'static str) -> Scripted {
    Scripted::serve(sample.clone(), move |request| {
        let bearer = format!("Bearer {token}");
        if request.header("authorization") == Some(bearer.as_str()) {
            return None;
        }
        let challenge = format!(
            r#"Bearer realm="http://{realm}/token",service="reg",scope="repository:x:pull""#
        );
        Some(Reply::refusal(401, "authentication required").header("www-authenticate", challenge))
    })
}

#[tokio::test]
async fn a_token_is_fetched_with_the_password_for_the_repository_only() {
    let sample = Sample::one_layer(1000);
    let server = tokens(|_| Reply::new(200, r#"{"token":"tok"}"#));
    let registry = guarded(&sample, server.name(), "tok");
    let directory = tempfile::tempdir().unwrap();
    let images = open(directory.path(), &registry.name());
    pull_as(&images, &registry.image(), Some(password("secret"))).await.unwrap();
    let asked = &server.received()[0];
    assert_eq!(asked.path, "/token?service=reg&scope=repository%3Ax%3Apull");
    let basic = format!("Basic {}", STANDARD.encode("ada:secret"));
    assert_eq!(asked.header("authorization"), Some(basic.as_str()));
    assert_eq!(server.received().len(), 2, "one for resolve, one for the whole pull");
    let seen = registry
        .received()
        .into_iter()
        .filter_map(|r| r.header("authorization").map(str::to_owned));
    assert!(seen.into_iter().all(|header| header == "Bearer tok"), "the password is not for it");
}

#[tokio::test]
async fn a_refresh_token_is_exchanged() {
    let sample = Sample::one_layer(1000);
    let server = tokens(|_| Reply::new(200, r#"{"access_token":"tok"}"#));
    let registry = guarded(&sample, server.name(), "tok");
    let directory = tempfile::tempdir().unwrap();
    let images = open(directory.path(), &registry.name());
    let login = Some(Credential::IdentityToken("refresh me".into()));
    pull_as(&images, &registry.image(), login).await.unwrap();
    let asked = &server.received()[0];
    assert_eq!(asked.method, "POST");
    assert!(asked.body.contains("grant_type=refresh_token"), "{}", asked.body);
    assert!(asked.body.contains("refresh_token=refresh+me"), "{}", asked.body);
}

#[tokio::test]
async fn a_refresh_token_does_not_follow_a_redirect() {
    let sample = Sample::one_layer(1000);
    let elsewhere = tokens(|_| Reply::new(200, r#"{"access_token":"tok"}"#));
    let to = format!("http://{}/token", elsewhere.name());
    let server = tokens(move |_| Reply::new(307, "").header("location", to.clone()));
    let registry = guarded(&sample, server.name(), "tok");
    let directory = tempfile::tempdir().unwrap();
    let images = open(directory.path(), &registry.name());
    let login = Some(Credential::IdentityToken("refresh me".into()));
    let error = pull_as(&images, &registry.image(), login).await.unwrap_err();
    assert!(error.reason.contains("307"), "{error}");
    assert_eq!(elsewhere.received().len(), 0);
}

#[tokio::test]
async fn a_refused_token_is_told_in_the_servers_words() {
    let sample = Sample::one_layer(1000);
    let server = tokens(|_| Reply::new(401, r#"{"details":"incorrect username or password"}"#));
    let registry = guarded(&sample, server.name(), "tok");
    let directory = tempfile::tempdir().unwrap();
    let images = open(directory.path(), &registry.name());
    let error = pull_as(&images, &registry.image(), Some(password("pw"))).await.unwrap_err();
    assert!(error.reason.starts_with(&registry.image()), "{error}");
    assert!(error.reason.contains("incorrect username or password"), "{error}");
    // A token that does not suffice is not asked for again and again.
    let server = tokens(|_| Reply::new(200, r#"{"token":"weak"}"#));
    let registry = guarded(&sample, server.name(), "tok");
    let images = open(directory.path(), &registry.name());
    let error = pull_as(&images, &registry.image(), None).await.unwrap_err();
    assert_eq!(error.blame, Blame::User);
    assert!(error.reason.contains("authentication required), without a login"), "{error}");
    assert!(server.received().len() <= 2);
}

#[tokio::test]
async fn a_login_does_not_follow_a_redirect_to_another_host() {
    let sample = Sample::one_layer(100_000);
    let storage = Scripted::serve(sample.clone(), |_| None);
    let (there, path) = (storage.name(), sample.layer_path(0));
    let copy = sample.clone();
    let registry = Scripted::start(move |request| {
        if request.header("authorization").is_none() {
            let challenge = r#"Basic realm="r""#;
            return Reply::refusal(401, "login").header("www-authenticate", challenge);
        }
        if request.path.contains(&path) {
            let to = format!("http://{there}/x/{path}?signature=s");
            return Reply::new(307, "").header("location", to.replace("?signature=s", ""));
        }
        from_sample(&copy, request)
    });
    let directory = tempfile::tempdir().unwrap();
    let images = open(directory.path(), &registry.name());
    pull_as(&images, &registry.image(), Some(password("secret"))).await.unwrap();
    let seen = storage.received();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].header("authorization"), None);
}

#[tokio::test]
async fn a_users_login_is_not_for_a_mirror() {
    let sample = Sample::one_layer(1000);
    let mirror = Scripted::start(|_| {
        Reply::refusal(401, "login").header("www-authenticate", r#"Basic realm="m""#)
    });
    let registry = Scripted::serve(sample.clone(), |_| None);
    let own = RegistrySettings {
        insecure: true,
        mirrors: vec![format!("http://{}", mirror.name())],
        ..RegistrySettings::default()
    };
    let settings = Settings { registry: [(registry.name(), own)].into(), ..Settings::default() };
    let directory = tempfile::tempdir().unwrap();
    let images = open_with(directory.path(), settings);
    pull_as(&images, &registry.image(), Some(password("secret"))).await.unwrap();
    assert!(mirror.received().iter().all(|request| request.header("authorization").is_none()));
}
