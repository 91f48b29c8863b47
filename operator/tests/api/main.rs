//! The operator against a real API server without nodes: definitions, rules, apply, ownership, status.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends by a panic"
)]

mod cel;
mod platform;
mod reconcile;
mod samples;
mod support;

use support::World;

/// One API server for all checks, each in a namespace of its own.
#[test]
#[ignore = "api tier"]
fn the_operator_against_a_real_api_server() {
    let Some(server) = millrace_testkit::ApiServer::start().unwrap() else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let world = World::new(&server.kubeconfig()).await;
        world.install_definitions().await;
        let mut failed = Vec::new();
        macro_rules! check {
            ($($module:ident :: $name:ident),* $(,)?) => {$(
                let namespace = stringify!($name).replace('_', "-");
                let scene = world.scene(&namespace).await;
                // A task of its own, so that one failure does not hide the others.
                match tokio::spawn(async move { $module::$name(&scene).await }).await {
                    Ok(()) => println!("ok      {}", stringify!($name)),
                    Err(error) => {
                        println!("FAILED  {}: {error}", stringify!($name));
                        failed.push(stringify!($name));
                    }
                }
            )*};
        }
        check!(
            cel::good_resources_are_accepted,
            cel::bad_resources_are_refused_with_field_and_cure,
            cel::bad_changes_are_refused,
            samples::samples_are_accepted,
            samples::definitions_applied_twice_do_not_change,
            reconcile::a_cluster_appears_and_a_second_look_writes_nothing,
            reconcile::drift_is_corrected,
            reconcile::a_ready_set_makes_the_cluster_available,
            reconcile::a_bad_spec_leaves_what_ran,
            reconcile::what_is_built_no_longer_is_removed,
            reconcile::a_taken_name_is_left_alone,
            reconcile::volumes_grown_by_hand_are_the_truth,
            reconcile::paused_means_hands_off,
            reconcile::credentials_are_made_once,
            reconcile::an_event_source_needs_its_topic,
            reconcile::a_job_needs_its_bindings,
            reconcile::a_running_controller_reacts_and_stops,
            platform::parts_appear_and_jobs_wait_for_topics,
        );
        assert!(failed.is_empty(), "{failed:?}");
    });
}
