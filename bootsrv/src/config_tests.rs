//! What `bootsrv.toml` may say.

use super::*;
use protocol::energy::{Accuracy, AccuracyBasis, Factors};

const GOOD: &str = r#"
    state_dir = "/s"
    profiles_dir = "/p"
    [listen]
    http = "10.0.0.1:8080"
    https = "10.0.0.1:8443"
    [url]
    http = "http://10.0.0.1:8080"
    https = "https://10.0.0.1:8443"
    [slurm]
    user = "slurm"
    conf_server = "10.0.0.1:6817"
    [[partition]]
    name = "bmc"
    default_kernel = "6.1-cloud"
    default_image = "debian12"
"#;

fn check(text: &str) -> Result<Config, String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    Config::read(file.path()).map_err(|error| crate::chain(&error))
}

#[test]
fn a_good_file_is_read() {
    let config = check(GOOD).unwrap();
    assert_eq!(config.partition("bmc").unwrap().default_image.as_str(), "debian12");
    assert_eq!(config.energy.accuracy, Accuracy::ASSUMED);
    let energy = "[energy]\nmeter_accuracy_percent = 1.5\npue = 1.25\ncarbon_grams_per_kwh = 380.0\n\
                  price_per_kwh = 0.2134\ncurrency = \"EUR\"\n[[partition]]";
    let energy = check(&GOOD.replace("[[partition]]", energy)).unwrap().energy;
    let stated = Accuracy { parts_per_million: 15_000, basis: AccuracyBasis::Stated };
    assert_eq!(energy.accuracy, stated);
    let factors = Factors {
        pue_thousandths: Some(1_250),
        carbon_milligrams_per_kwh: Some(380_000),
        price_millionths_per_kwh: Some(213_400),
        currency: Some("EUR".into()),
    };
    assert_eq!(energy.factors(), factors);
    assert!(config.partition("other").is_none());
}

#[test]
fn a_node_for_no_job_boots_its_own_partitions_defaults() {
    let other = "[[partition]]\nname = \"gpu\"\nnodes = \"g[1-2]\"\n\
                 default_kernel = \"rt\"\ndefault_image = \"i\"\n";
    let config = check(&format!("{GOOD}{other}")).unwrap();
    let name = |node: &str| config.partition_of(&node.parse().unwrap()).unwrap().name.clone();
    assert_eq!((name("g2"), name("n1")), ("gpu".into(), "bmc".into()));
    assert!(check(&format!("{GOOD}{}", other.replace("g[1-2]", "g[1-"))).is_err());
}

#[test]
fn unknown_keys_are_refused_with_their_line() {
    let error = check(&GOOD.replace("default_image", "default_imag")).unwrap_err();
    assert!(error.contains("line 16") && error.contains("default_imag"), "{error}");
}

#[test]
fn values_that_cannot_work_are_refused() {
    for (from, to, expected) in [
        ("http://10.0.0.1:8080\"", "http://10.0.0.1:8080/\"", "slash"),
        ("[[partition]]", "[limits]\npower_on_per_second = 0\n[[partition]]", "never"),
        (
            "[[partition]]",
            "[energy]\nmeter_accuracy_percent = 0.0\n[[partition]]",
            "above 0 and at most 100",
        ),
        ("[[partition]]", "[energy]\npue = 0.9\n[[partition]]", "must be from 1 to 10"),
        ("[[partition]]", "[energy]\nprice_per_kwh = 0.3\n[[partition]]", "go together"),
        ("[[partition]]", "[energy]\ncurrency = \"eur\"\n[[partition]]", "capital letters"),
        ("[[partition]]", "[[site_file]]\npath=\"/a/../b\"\nsource=\"/x\"\n[[partition]]", ".."),
    ] {
        let error = check(&GOOD.replace(from, to)).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}
