//! `cargo xtask mutants`: each classic mistake of energy accounting, made on purpose in a copy of the tree, must make a
//! test fail. A list, not a generator like cargo-mutants: these are the mistakes that other tools were found
//! to have, each must be caught by name, and all of them run in a minute.

use crate::run::root;
use anyhow::{Context, Result, bail, ensure};
use ignore::WalkBuilder;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// A mistake: one place in the source, as it is and as it is made.
struct Mutant {
    what: &'static str,
    /// Whose unit tests must see it, and which of them.
    package: &'static str,
    tests: &'static str,
    file: &'static str,
    right: &'static str,
    wrong: &'static str,
}

const ENERGY: &str = "energy";
const CURVE: &str = "bootsrv/energy/src/curve.rs";
const CLEAN: &str = "bootsrv/energy/src/clean.rs";
const RECORD: &str = "bootsrv/energy/src/record.rs";
const SURENESS: &str = "bootsrv/energy/src/sureness.rs";

const MUTANTS: [Mutant; 12] = [
    Mutant {
        what: "each reading held until the next one, whatever the meter means",
        package: ENERGY,
        tests: "",
        file: CURVE,
        right: "Semantics::Held if !is_gap => 0,",
        wrong: "_ if !is_gap => 0,",
    },
    Mutant {
        what: "the meter's lag ignored",
        package: ENERGY,
        tests: "",
        file: "bootsrv/energy/src/lib.rs",
        right: "saturating_sub(options.lag_ns)",
        wrong: "saturating_sub(0)",
    },
    Mutant {
        what: "times cut to whole seconds",
        package: ENERGY,
        tests: "",
        file: CURVE,
        right: "i128::from(to) - i128::from(from)",
        wrong: "(i128::from(to) - i128::from(from)) / 1_000_000_000 * 1_000_000_000",
    },
    Mutant {
        what: "an unread edge held for ever",
        package: ENERGY,
        tests: "",
        file: CURVE,
        right: "ns_between(last.unix_ns, at).min(self.allowed_ns.into())",
        wrong: "ns_between(last.unix_ns, at)",
    },
    Mutant {
        what: "what bridges a gap not counted as estimated",
        package: ENERGY,
        tests: "",
        file: CURVE,
        right: "if is_gap { energy } else { 0 }",
        wrong: "0",
    },
    Mutant {
        what: "values that mean \"no reading\" taken for one",
        package: ENERGY,
        tests: "",
        file: CLEAN,
        right: "(0..=MILLIWATTS_MAX)",
        wrong: "(-1..=MILLIWATTS_MAX)",
    },
    Mutant {
        what: "a node without a figure counted as 0 in its job",
        package: ENERGY,
        tests: "",
        file: RECORD,
        right: "sum.checked_add(node.total_millijoules?)",
        wrong: "sum.checked_add(node.total_millijoules.unwrap_or(0))",
    },
    Mutant {
        what: "meters of one make taken to be off independently",
        package: ENERGY,
        tests: "",
        file: RECORD,
        right: "map(|one| of_meter(one).max(0.0).sqrt()).sum();",
        wrong: "map(|one| of_meter(one).max(0.0)).sum::<f64>().sqrt();",
    },
    Mutant {
        what: "a standard uncertainty stated as one of 95 %",
        package: ENERGY,
        tests: "",
        file: SURENESS,
        right: "const K: f64 = 2.0;",
        wrong: "const K: f64 = 1.0;",
    },
    Mutant {
        what: "a gap as sure as what was read",
        package: ENERGY,
        tests: "",
        file: SURENESS,
        right: "            self.bridges(from, to),\n",
        wrong: "",
    },
    Mutant {
        what: "what the building takes counted twice",
        package: ENERGY,
        tests: "",
        file: "bootsrv/energy/src/footprint.rs",
        right: "let paid_for = facility.unwrap_or(nodes);",
        wrong: "let paid_for = facility.and_then(in_building).unwrap_or(nodes);",
    },
    Mutant {
        what: "the zero of a controller that says it measures nothing taken for a reading",
        package: "bootsrv",
        tests: "wire_tests",
        file: "bootsrv/src/power/drivers/ipmi.rs",
        right: "(watts > 0 && self.is_on().await?)",
        wrong: "self.is_on().await?",
    },
];

/// Makes each mistake in turn; fails if the tests pass with one of them.
pub(crate) fn run() -> Result<()> {
    let tree = root().join("target/mutants");
    if tree.exists() {
        fs::remove_dir_all(&tree).context("removing the last copy of the tree")?;
    }
    copy(&tree).context("copying the tree")?;
    let mut right: Vec<&Mutant> = MUTANTS.iter().collect();
    right.dedup_by_key(|mutant| (mutant.package, mutant.tests));
    for mutant in right {
        ensure!(passes(&tree, mutant)?, "{}: tests fail without any mistake", mutant.package);
    }
    let mut unseen = Vec::new();
    for mutant in &MUTANTS {
        let path = tree.join(mutant.file);
        let source = fs::read_to_string(&path)?;
        let places = source.matches(mutant.right).count();
        ensure!(places == 1, "{}: {:?} is there {places} times", mutant.file, mutant.right);
        fs::write(&path, source.replace(mutant.right, mutant.wrong))?;
        let is_seen = !passes(&tree, mutant)?;
        println!("{}  {}", if is_seen { "caught " } else { "MISSED " }, mutant.what);
        if !is_seen {
            unseen.push(mutant.what);
        }
        fs::write(&path, source)?;
    }
    fs::remove_dir_all(&tree).context("removing the copy of the tree")?;
    if unseen.is_empty() { Ok(()) } else { bail!("no test fails with: {}", unseen.join("; ")) }
}

/// What is no build product; the build uses the packages that the tree itself was built with.
fn copy(tree: &Path) -> Result<()> {
    for entry in WalkBuilder::new(root()).hidden(false).require_git(false).build() {
        let entry = entry?;
        let relative = entry.path().strip_prefix(root())?;
        let is_file = entry.file_type().is_some_and(|kind| kind.is_file());
        if !is_file || relative.starts_with(".git") {
            continue;
        }
        let to = tree.join(relative);
        fs::create_dir_all(to.parent().context("a file in no directory")?)?;
        fs::copy(entry.path(), to)?;
    }
    Ok(())
}

/// Whether the tests pass; a mistake that does not build is none.
fn passes(tree: &Path, mutant: &Mutant) -> Result<bool> {
    let cargo = |more: &[&str]| -> Result<bool> {
        let mut command = Command::new("cargo");
        command.args(["test", "--quiet", "--lib", "-p", mutant.package]).args(more);
        command.current_dir(tree).env("CARGO_TARGET_DIR", root().join("target"));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Ok(command.status().context("starting cargo")?.success())
    };
    ensure!(cargo(&["--no-run"])?, "it does not build");
    cargo(&["--", mutant.tests])
}
