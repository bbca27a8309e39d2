//! Slurm's commands in an image that has none: the agent under their names, as a user without rights, in
//! a mount namespace that stands in for the image.

use protocol::application::{NODE_ROOT_DIRECTORY, SLURM_COMMANDS_DIRECTORY};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

/// Where the node's srun is, in this test: a directory that only the node's root shows.
const OF_NODE: &str = "/mnt/of-node";
/// What the node's srun says of itself.
const SRUN: &str = "#!/bin/sh
echo \"$0\" \"$@\"; id -u; id -g; pwd; echo \"$KEPT\"
grep NoNewPrivs /proc/self/status; ls /mnt; cat; echo to-stderr >&2; exit 3
";

/// Runs a shell script in a mount namespace of its own.
fn in_namespace(script: &str) -> io::Result<Output> {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation=private", "sh", "-ec", script]);
    command.env("KEPT", "kept").output()
}

/// The image's view: the node's root at its place, another `/mnt` than the node's.
fn image(agent: &str, node: &Path) -> String {
    format!(
        "mount -t tmpfs node /run; mkdir -p {NODE_ROOT_DIRECTORY} {SLURM_COMMANDS_DIRECTORY}
         mount --rbind / {NODE_ROOT_DIRECTORY}
         mount --bind {node} {NODE_ROOT_DIRECTORY}/mnt
         mount -t tmpfs image /mnt; mkdir /mnt/only-here
         cd {SLURM_COMMANDS_DIRECTORY}
         cp {agent} node-agent; ln -s node-agent srun; ln -s {OF_NODE} of-node
         user='setpriv --reuid=2001 --regid=2002 --clear-groups --no-new-privs'\n",
        node = node.display()
    )
}

fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    assert!(is_root || std::env::var_os("CI").is_none(), "this test needs root");
    is_root
}

#[test]
fn the_nodes_program_runs_as_the_user_in_the_nodes_root() {
    if !is_root() {
        return println!("skipped: this test needs root");
    }
    let node = tempfile::tempdir().unwrap();
    let directory = node.path().join("of-node");
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("srun"), SRUN).unwrap();
    for path in [node.path(), &directory, &directory.join("srun")] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let image = image(env!("CARGO_BIN_EXE_node-agent"), node.path());
    let run = |from: &str, who: &str| {
        let output = in_namespace(&format!(
            "{image} cd {from}; echo input | {who} {SLURM_COMMANDS_DIRECTORY}/srun -n 2 'a b'"
        ))
        .unwrap();
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "to-stderr\n");
        String::from_utf8(output.stdout).unwrap()
    };
    let says = |ids: &str, directory: &str, privileges: u8| {
        format!(
            "{OF_NODE}/srun -n 2 a b\n{ids}\n{directory}\nkept\nNoNewPrivs:\t{privileges}\n\
             of-node\ninput\n"
        )
    };
    assert_eq!(run("/usr", "$user"), says("2001\n2002", "/usr", 1));
    // A directory that only the image has.
    assert_eq!(run("/mnt/only-here", "$user"), says("2001\n2002", "/", 1));
    assert_eq!(run("/usr", ""), says("0\n0", "/usr", 0));
}

#[test]
fn what_does_not_work_is_a_sentence() {
    if !is_root() {
        return println!("skipped: this test needs root");
    }
    let node = tempfile::tempdir().unwrap();
    fs::set_permissions(node.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let agent = env!("CARGO_BIN_EXE_node-agent");
    let output = in_namespace(&format!("{} $user ./srun", image(agent, node.path()))).unwrap();
    assert_eq!(output.status.code(), Some(127));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.starts_with("srun: running the node's /mnt/of-node/srun: No such file"), "{text}");

    let output =
        in_namespace(&format!("ln -s {agent} {}/srun; {0}/srun", node.path().display())).unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.starts_with("srun: this works inside an application image only"), "{text}");
}
