//! The client against a small server that checks every credential.
#![expect(clippy::unwrap_used, reason = "the helpers of a test may fail it")]

use bootsrv_client::test_server::TestServer;
use bootsrv_client::{Client, ClientConfig, ClientError, Timeouts};
use protocol::api::{CheckRequest, NodesRequest};
use protocol::error::{ApiError, ErrorKind};
use protocol::job_options::JobOptions;
use protocol::names::{JobId, JobReference};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

fn client(toml: &str) -> Client {
    let config = ClientConfig::parse(toml, Path::new("client.toml")).unwrap();
    Client::new(&config, Timeouts::total(Duration::from_secs(5)))
}

fn nodes(list: &str) -> NodesRequest {
    NodesRequest { nodes: protocol::node_list::expand(list).unwrap(), for_jobs: vec![] }
}

#[test]
fn requests_are_signed_typed_and_share_a_connection() {
    let answer = |seen: &bootsrv_client::test_server::Seen| match seen.path.as_str() {
        "/v1/check" => (200, "{}".to_owned()),
        "/v1/catalog?partition=b%26c" => (200, r#"{"kernels":[],"images":[]}"#.to_owned()),
        _ => (200, "[]".to_owned()),
    };
    let Some(server) = TestServer::start(answer).unwrap() else { return };
    let client = client(&server.client_toml());
    let request = CheckRequest {
        options: JobOptions::default(),
        partition: None,
        account: Some("x".into()),
        credential: None,
    };
    client.check_options(&request).unwrap();
    assert!(client.catalog(Some("b&c"), None).unwrap().kernels.is_empty());
    assert!(client.jobs(true).unwrap().is_empty());
    client.resume(&nodes("n[1-2]")).unwrap();
    let seen = server.seen();
    let lines: Vec<_> = seen.iter().map(|seen| format!("{} {}", seen.method, seen.path)).collect();
    assert_eq!(
        lines,
        [
            "POST /v1/check",
            "GET /v1/catalog?partition=b%26c",
            "GET /v1/jobs?all=true",
            "POST /v1/power/resume"
        ]
    );
    assert!(seen.iter().all(|one| one.from_port == seen[0].from_port), "{seen:?}");
    assert_eq!(seen[3].body, br#"{"nodes":["n1","n2"],"for_jobs":[]}"#);
}

#[test]
fn runs_are_asked_for_by_kernel_node_and_time() {
    let answer = r#"{"kernel":"k+1","runs":[],"tries_max":1000,"is_cut":false}"#;
    let Some(server) = TestServer::start(move |_| (200, answer.to_owned())).unwrap() else {
        return;
    };
    let client = client(&server.client_toml());
    let (kernel, node) = ("k+1".parse().unwrap(), "n1".parse().unwrap());
    assert_eq!(client.runs(&kernel, None, None).unwrap().tries_max, 1_000);
    client.runs(&kernel, Some(&node), Some(7)).unwrap();
    let seen: Vec<_> = server.seen().into_iter().map(|seen| seen.path).collect();
    assert_eq!(seen, ["/v1/runs?kernel=k%2B1", "/v1/runs?kernel=k%2B1&node=n1&since_unix_ns=7"]);
}

#[test]
fn the_power_is_asked_for_by_job_and_try() {
    let Some(server) = TestServer::start(|_| (200, "[]".to_owned())).unwrap() else { return };
    let client = client(&server.client_toml());
    assert!(client.power_series("42_7".parse().unwrap(), 1).unwrap().is_empty());
    assert_eq!(server.seen()[0].path, "/v1/energy/42_7/power?restart_count=1");
}

#[test]
fn a_file_is_sent_as_it_is() {
    let Some(server) = TestServer::start(|_| {
        let refused = ApiError::new(ErrorKind::Busy, "one import at a time");
        (409, serde_json::to_string(&refused).unwrap())
    })
    .unwrap() else {
        return;
    };
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let content: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    file.write_all(&content).unwrap();
    let refused = client(&server.client_toml())
        .put_image(&"debian12".parse().unwrap(), file.path())
        .unwrap_err();
    assert_eq!(
        (refused.kind(), refused.to_string().as_str()),
        (ErrorKind::Busy, "one import at a time")
    );
    assert!(server.seen()[0].body == content);
}

#[test]
fn refusals_foreign_answers_and_silence_are_told_apart() {
    let Some(server) = TestServer::start(|seen| match seen.path.as_str() {
        "/v1/jobs/1" => {
            let refused = ApiError::new(ErrorKind::User, "no job 1").hint("List them.");
            (404, serde_json::to_string(&refused).unwrap())
        }
        "/v1/jobs/2" => (200, "<html>".into()),
        "/v1/jobs/3" => (502, "bad\ngateway".into()),
        _ => {
            std::thread::sleep(Duration::from_secs(3));
            (200, "[]".into())
        }
    })
    .unwrap() else {
        return;
    };
    let client = client(&server.client_toml());
    let refused = client.job(JobReference::Job(JobId(1))).unwrap_err();
    assert_eq!((refused.kind(), refused.hint()), (ErrorKind::User, Some("List them.")));
    assert!(matches!(
        client.job(JobReference::Job(JobId(2))),
        Err(ClientError::Foreign { status: 200, .. })
    ));
    let gateway = client.job(JobReference::Job(JobId(3))).unwrap_err();
    assert_eq!(gateway.kind(), ErrorKind::Busy);
    assert!(
        gateway.to_string().ends_with("/v1/jobs/3 answered with status 502 and \"badgateway\"")
    );
    let started = Instant::now();
    let silent = client.with_total(Duration::from_millis(300)).jobs(false).unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    assert_eq!(silent.kind(), ErrorKind::Busy);
    assert!(silent.chain().contains("/v1/jobs does not answer: timeout"), "{}", silent.chain());
}

#[test]
fn the_end_of_a_job_that_bootsrv_never_had_is_none() {
    let Some(server) = TestServer::start(|_| (200, "null".into())).unwrap() else { return };
    assert_eq!(client(&server.client_toml()).end_job(JobId(7)).unwrap(), None);
    assert_eq!(server.seen()[0].method, "DELETE");
}

#[test]
fn nobody_there_is_busy_and_names_the_url() {
    let Some(server) = TestServer::start(|_| (200, "[]".into())).unwrap() else { return };
    let toml = server.client_toml();
    let socket = toml.lines().nth(1).unwrap();
    let refused =
        client(&format!("server = \"http://127.0.0.1:9\"\n{socket}")).nodes().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Busy);
    assert!(refused.to_string().contains("http://127.0.0.1:9/v1/nodes"), "{refused}");
}
