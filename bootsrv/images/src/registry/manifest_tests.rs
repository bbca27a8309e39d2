//! Documents that registries hand out, and those they should not.

use super::manifest::*;
use serde_json::{Value, json};

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";

fn hex(of: &str) -> String {
    format!("sha256:{}", of.repeat(64 / of.len()))
}

fn descriptor(media_type: &str, of: &str) -> Value {
    json!({"mediaType": media_type, "digest": hex(of), "size": 7})
}

fn parse(document: &Value) -> Result<Document, String> {
    let bytes = serde_json::to_vec(document).unwrap();
    parse_document(&bytes, OCI, "amd64").map_err(|failure| failure.text)
}

fn image_with(layer_type: &str) -> Value {
    json!({
        "schemaVersion": 2,
        "config": descriptor("application/vnd.oci.image.config.v1+json", "cc"),
        "layers": [descriptor(layer_type, "aa")],
    })
}

#[test]
fn layers_of_oci_and_docker_are_known() {
    for media_type in [
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.oci.image.layer.v1.tar+gzip",
        "application/vnd.oci.image.layer.v1.tar+zstd",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
    ] {
        let Document::Image { layers, .. } = parse(&image_with(media_type)).unwrap() else {
            panic!("{media_type}");
        };
        assert_eq!((layers[0].media_type.as_str(), layers[0].size), (media_type, 7));
    }
}

#[test]
fn other_layers_are_refused_with_a_reason() {
    for (media_type, reason) in [
        ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "may not hand out"),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar", "may not hand out"),
        ("application/vnd.oci.image.layer.v1.tar+encrypted", "unknown type"),
        ("application/vnd.cncf.helm.chart.content.v1.tar+gzip", "unknown type"),
    ] {
        let text = parse(&image_with(media_type)).unwrap_err();
        assert!(text.contains(reason), "{text}");
    }
}

#[test]
fn what_is_no_image_is_refused() {
    let mut chart = image_with("application/vnd.oci.image.layer.v1.tar");
    chart["config"]["mediaType"] = json!("application/vnd.cncf.helm.config.v1+json");
    assert!(parse(&chart).unwrap_err().contains("helm"));

    let mut ambiguous = image_with("application/vnd.oci.image.layer.v1.tar");
    ambiguous["manifests"] = json!([]);
    assert!(parse(&ambiguous).is_err(), "two readers could read it differently");

    let mut other_hash = image_with("application/vnd.oci.image.layer.v1.tar");
    other_hash["layers"][0]["digest"] = json!("sha512:00");
    assert!(parse(&other_hash).unwrap_err().contains("only sha256"));

    assert!(parse(&json!({"schemaVersion": 1, "fsLayers": []})).unwrap_err().contains("schema 1"));
    assert!(parse(&json!({"schemaVersion": 2})).is_err());
    assert!(parse(&json!([])).is_err());
}

#[test]
fn an_index_leads_to_the_nodes_architecture() {
    let one = |architecture: &str, variant: Option<&str>, of: &str| {
        let mut one = descriptor(OCI, of);
        one["platform"] = json!({"os": "linux", "architecture": architecture, "variant": variant});
        one
    };
    let index = |manifests: Vec<Value>| json!({"schemaVersion": 2, "manifests": manifests});
    let several = index(vec![
        one("arm64", Some("v8"), "01"),
        one("amd64", Some("v3"), "02"),
        one("amd64", None, "03"),
        one("unknown", None, "04"),
    ]);
    let Document::Index(chosen) = parse(&several).unwrap() else { panic!() };
    assert_eq!(format!("sha256:{}", chosen.digest), hex("03"));

    let missing = index(vec![one("arm64", Some("v8"), "01"), one("unknown", None, "04")]);
    assert_eq!(parse(&missing).unwrap_err(), "there is none for linux/amd64, only for linux/arm64");
}

#[test]
fn a_configuration_says_how_the_image_is_run() {
    let config = |architecture: &str, layers: &[&str]| {
        json!({
            "architecture": architecture, "os": "linux",
            "config": {"Env": ["A=b"], "WorkingDir": "/w", "Entrypoint": ["/e"], "User": "root"},
            "rootfs": {"type": "layers", "diff_ids": layers},
        })
    };
    let parse = |value: Value| {
        parse_configuration(&serde_json::to_vec(&value).unwrap(), 1, "amd64").map_err(|f| f.text)
    };
    let good = parse(config("amd64", &[&hex("aa")])).unwrap();
    assert_eq!(good.run.environment, ["A=b"]);
    assert_eq!(good.run.working_directory.as_deref(), Some("/w"));
    assert_eq!(good.run.entrypoint, ["/e"]);
    assert!(parse(config("arm64", &[&hex("aa")])).unwrap_err().contains("it is for linux/arm64"));
    assert!(parse(config("amd64", &[])).unwrap_err().contains("speaks of 0 layers"));

    for (key, value, words) in [
        ("Env", json!(["A=b\0c"]), "NUL byte"),
        ("Env", json!([format!("A={}", "x".repeat(200_000))]), "at most 131072"),
        ("Env", json!(vec![""; 20_000]), "at most 131072"),
        ("Entrypoint", json!(["\0"]), "NUL byte"),
        ("WorkingDir", json!("/\0"), "NUL byte"),
    ] {
        let mut bad = config("amd64", &[&hex("aa")]);
        bad["config"][key] = value;
        let text = parse(bad).unwrap_err();
        assert!(text.contains(words), "{text}");
    }
}
