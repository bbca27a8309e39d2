//! The product on real parts: real slurmctld and munge, real network boots in QEMU, real IPMI.
//!
//! `cargo xtask test` runs it; `cargo xtask test --only NAME` runs the cases whose name contains
//! NAME. All cases share one cluster and run one after the other: each leaves every node off and
//! allocatable, and that is checked too. Where something basic is broken the rest is not run.

mod break_even;
mod case;
mod choices;
mod console;
mod down;
mod energy;
mod energy_sureness;
mod faults;
mod hooks;
mod hub;
mod idle;
mod image_catalog;
mod image_files;
mod image_hostile;
mod image_mounts;
mod image_mpi;
mod image_registry;
mod image_trouble;
mod images;
mod jobs;
mod kernels;
mod limit;
mod limits;
mod logs;
mod lost;
mod matrix_cancel;
mod matrix_damaged;
mod matrix_failover;
mod matrix_kept;
mod matrix_means;
mod matrix_power;
mod matrix_register;
mod matrix_rumours;
mod matrix_silence;
mod matrix_slurmctld;
mod matrix_store;
mod once;
mod outages;
mod parts;
mod power_methods;
mod quarantine;
mod requeue;
mod restarts;
mod scheduler;
mod search;
mod secrets;
mod site;
mod stand_in;
mod strangers;
mod syslog;
mod undone;
mod views;
mod warm;
mod web;

use anyhow::{Context, Result, anyhow};
use case::Case;
use limit::Left;
use logs::Logs;
use std::process::ExitCode;
use std::time::Instant;
use tests::cluster::{Cluster, Options};
use tests::product::{self, Assets};

/// One case.
type Test = fn(&Case) -> Result<()>;

/// Name and what it proves, in the order they run.
const CASES: &[(&str, Test)] = &[
    ("slurm_conf_check_is_content", site::slurm_conf_check_is_content),
    ("the_stand_in_prints_as_slurm_does", stand_in::the_stand_in_prints_as_slurm_does),
    ("choices_are_listed", views::choices_are_listed),
    ("two_kernels", jobs::two_kernels),
    ("other_release", jobs::other_release),
    ("kernel_from_parts_boots", kernels::kernel_from_parts_boots),
    ("reimport_leaves_a_boot_alone", kernels::reimport_leaves_a_boot_alone),
    ("two_nodes_at_once", jobs::two_nodes_at_once),
    ("srun_interactively", jobs::srun_interactively),
    ("queued_job_starts_at_once", jobs::queued_job_starts_at_once),
    ("one_node_never_a_wrong_kernel", requeue::one_node_never_a_wrong_kernel),
    ("array_tasks_get_their_kernel", parts::array_tasks_get_their_kernel),
    ("components_get_their_kernels", parts::components_get_their_kernels),
    ("requeued_job_boots_its_kernel_again", requeue::requeued_job_boots_its_kernel_again),
    ("requeued_while_booting", requeue::requeued_while_booting),
    ("preempted_job_boots_again", requeue::preempted_job_boots_again),
    ("matrix_lost_under_their_jobs", matrix_silence::lost_under_their_jobs),
    ("salloc_boots_and_its_steps_stay", choices::salloc_boots_and_its_steps_stay),
    ("command_line_over_script", choices::command_line_over_script_over_environment),
    ("site_scripts_are_chained", hooks::site_scripts_are_chained),
    ("power_up_reboot_power_down", idle::power_up_reboot_power_down),
    ("one_job_over_all_power_methods", power_methods::one_job_over_all_power_methods),
    ("one_job_by_amt_outlet_and_program", power_methods::one_job_by_amt_outlet_and_program),
    ("outlet_is_the_last_resort", power_methods::an_outlet_is_the_last_resort),
    ("canary_nodes_try_a_new_default", idle::canary_nodes_try_a_new_default),
    ("kernel_in_use_is_not_removed", hub::kernel_in_use_is_not_removed),
    ("nodes_stay_on_for_the_next_job", warm::nodes_stay_on_for_the_next_job),
    ("jobs_go_where_their_kernel_runs", scheduler::jobs_go_where_their_kernel_runs),
    ("a_node_boots_ahead_of_its_job", scheduler::a_node_boots_ahead_of_its_job),
    ("matrix_kept_nodes_die", matrix_kept::kept_nodes_die),
    ("settings_are_effective", jobs::settings_are_effective),
    ("unknown_kernel_is_refused", limits::unknown_kernel_is_refused),
    ("forbidden_kernel_is_refused_twice", limits::forbidden_kernel_is_refused_twice),
    ("refused_setting_holds_the_job", limits::refused_setting_holds_the_job),
    ("image_that_undoes_a_setting_holds", undone::image_that_undoes_a_setting_holds_the_job),
    ("cancel_while_booting", limits::cancel_while_booting),
    ("admins_drain_stays", limits::admins_drain_stays),
    ("maintenance_keeps_a_node_out", views::maintenance_keeps_a_node_out),
    ("a_boot_is_seen", views::a_boot_is_seen),
    ("strangers_get_nothing", strangers::strangers_get_nothing),
    ("a_boot_is_given_once", once::a_boot_is_given_once),
    ("damaged_artifact_is_refused", faults::damaged_artifact_is_refused),
    ("bad_nodes_are_drained_and_the_job_goes_on", faults::bad_nodes_are_drained),
    ("console_of_a_failed_boot", console::a_failed_boot_is_explained),
    ("all_nodes_bad_holds_the_job", faults::all_nodes_bad_holds_the_job),
    ("failed_node_is_cleared", quarantine::failed_node_is_cleared),
    ("clearing_spares_an_admins_drain", quarantine::clearing_spares_an_admins_drain),
    ("bootsrv_is_killed_while_booting", restarts::bootsrv_is_killed_while_booting),
    ("bootsrv_is_away_while_the_kernel_loads", outages::bootsrv_is_away_while_the_kernel_loads),
    ("bootsrv_is_away_while_the_agent_starts", outages::bootsrv_is_away_while_the_agent_starts),
    ("broken_client_toml_holds_who_asks", outages::broken_client_toml_holds_who_asks),
    ("epilog_of_an_unknown_job_is_content", outages::epilog_of_an_unknown_job_is_content),
    ("slurmctld_restarts_while_prolog_waits", restarts::slurmctld_restarts_while_prolog_waits),
    ("log_goes_to_syslog", syslog::log_goes_to_syslog),
    ("lost_words_are_made_good", lost::lost_words_are_made_good),
    ("node_is_reset_in_use", lost::node_is_reset_in_use),
    ("matrix_bad_controllers", matrix_power::bad_controllers),
    ("matrix_silent_while_booting", matrix_silence::silent_while_booting),
    ("matrix_booted_but_wrong", matrix_register::booted_but_wrong),
    ("matrix_cancelled_at_each_stage", matrix_cancel::cancelled_at_each_stage),
    ("matrix_slurmctld_is_killed", matrix_slurmctld::slurmctld_is_killed_at_each_stage),
    ("matrix_prolog_is_killed", matrix_slurmctld::prolog_is_killed),
    ("matrix_slurmctld_fails_over", matrix_failover::slurmctld_fails_over),
    ("matrix_resume_timeout_is_too_short", matrix_slurmctld::resume_timeout_is_too_short),
    ("matrix_seem_dead_and_are_not", matrix_rumours::seem_dead_and_are_not),
    ("matrix_damaged_on_the_way", matrix_damaged::damaged_on_the_way),
    ("matrix_store_is_locked", matrix_store::store_is_locked),
    ("matrix_disk_is_full", matrix_store::disk_is_full),
    ("matrix_damaged_store", matrix_store::damaged_store_is_refused),
    ("three_images_on_two_kernels", images::three_images_on_two_kernels),
    ("image_script_runs_inside", images::a_script_runs_inside),
    ("image_terminal", images::a_terminal_inside),
    ("image_says_how_it_is_run", images::an_image_says_how_it_is_run),
    ("image_mounts_are_the_sites_to_allow", image_mounts::mounts_are_the_sites_to_allow),
    ("image_rule_denies", image_mounts::a_rule_denies_an_image),
    ("image_root_on_nfs", image_mounts::root_on_nfs),
    ("image_mpi_on_two_nodes", image_mpi::mpi_on_two_nodes),
    ("image_gives_no_rights", image_hostile::an_image_gives_no_rights),
    ("bad_image_holds_the_job", image_hostile::a_bad_image_holds_the_job),
    ("tricky_image_is_whole", image_hostile::a_tricky_image_is_whole),
    ("image_from_each_kind_of_file", image_files::each_kind_of_file_runs),
    ("image_in_a_closed_registry", image_registry::a_closed_registry_wants_a_login),
    ("image_registry_is_away", image_registry::a_registry_that_is_away),
    ("image_pull_goes_on_after_a_kill", image_registry::a_slow_pull_goes_on_after_a_kill),
    ("image_trouble_is_told", image_trouble::what_goes_wrong_is_told),
    ("image_is_pulled_once", image_registry::two_jobs_pull_once),
    ("requeued_job_keeps_its_image", image_registry::a_requeued_job_keeps_its_image),
    ("images_are_managed", image_catalog::images_are_managed),
    ("node_images_of_container_tools_boot", image_catalog::node_images_of_container_tools_boot),
    ("no_secret_is_seen", secrets::no_secret_is_seen),
    ("energy_a_faster_kernel_pays_off", break_even::a_faster_kernel_pays_off),
    ("energy_agrees_with_the_truth", energy::agrees_with_the_truth),
    ("energy_is_as_sure_as_it_says", energy_sureness::energy_is_as_sure_as_it_says),
];

/// Four nodes: two good ones, one more to break, and the last with two hardware threads.
const NODES: u8 = 4;
/// The last case, which ends the cluster of all others.
const SECOND_LIFE: &str = "second_life_in_the_same_directory";

/// The argument that says how often.
const TIMES: &str = "--times=";

fn main() -> ExitCode {
    let (times, filters): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|argument| argument.starts_with(TIMES));
    let times = times.iter().find_map(|text| text.strip_prefix(TIMES)?.parse().ok()).unwrap_or(1);
    let names = CASES.iter().map(|case| case.0).chain([SECOND_LIFE]);
    let left = Left::new(names.filter(|name| wanted(name, &filters)));
    let of_run = left.clone();
    match limit::within(limit::RUN, &left, move || run(&filters, times, &of_run)) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failed) => {
            eprintln!("{failed} case(s) failed");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("real: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// `times`: in a row on one cluster, for what fails rarely.
fn run(filters: &[String], times: usize, left: &Left) -> Result<usize> {
    let dir = format!("/var/tmp/bare-metal-container/test-{}", std::process::id());
    let options = Options { dir: dir.clone().into(), nodes: NODES, ..Options::default() };
    let assets = Assets::beside(&options.program_dir);
    let start = Instant::now();
    let cluster = product::up(options.clone(), &assets).context("bringing the cluster up")?;
    println!("cluster up after {:.1} s in {dir}", start.elapsed().as_secs_f64());
    let mut failed = 0;
    let of_one: Vec<&(&str, Test)> = CASES.iter().filter(|case| wanted(case.0, filters)).collect();
    for (name, test) in std::iter::repeat_n(of_one, times).flatten() {
        let start = Instant::now();
        let result = run_case(&cluster, *test);
        let seconds = start.elapsed().as_secs_f64();
        match result {
            Ok(()) => println!("ok      {name} ({seconds:.1} s)"),
            Err(error) => {
                failed += 1;
                println!("FAILED  {name} ({seconds:.1} s): {error:#}");
            }
        }
        left.is_done(name);
        if failed >= limit::FAILED {
            println!("FAILED  {failed} cases, so the rest is not run: {left}");
            break;
        }
    }
    let cluster = if failed < limit::FAILED && wanted(SECOND_LIFE, filters) {
        let start = Instant::now();
        let again = down::and_up_again(cluster, options, &assets).context(SECOND_LIFE)?;
        println!("ok      {SECOND_LIFE} ({:.1} s)", start.elapsed().as_secs_f64());
        again
    } else {
        cluster
    };
    failed += usize::from(!down::leaves_nothing(cluster, failed)?);
    Ok(failed)
}

fn wanted(name: &str, filters: &[String]) -> bool {
    filters.is_empty() || filters.iter().any(|filter| name.contains(filter))
}

fn run_case(cluster: &Cluster, test: Test) -> Result<()> {
    let case = Case::new(cluster);
    let logs = Logs::here(cluster);
    let with_logs = |error: anyhow::Error| anyhow!("{error:#}{logs}");
    let result = test(&case).map_err(with_logs);
    let tidied = case.tidy().context("tidying up after the case").map_err(with_logs);
    result.and(tidied)
}
