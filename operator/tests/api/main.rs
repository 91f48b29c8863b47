//! The operator against a real API server without nodes: definitions, rules, apply, ownership, status.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends by a panic"
)]

mod approval;
mod archive;
mod batch;

mod certificate;
mod changes;
mod chart;
mod claims;
mod cli;
mod drift;
mod druid;
mod explain;
mod exposure;
mod external;
mod flow;
mod hdfs;
#[path = "../https_support/mod.rs"]
mod https_support;
mod ingestion;
mod kafka;
#[path = "../kafka_support/mod.rs"]
mod kafka_support;
mod leader;
mod links;
mod mongo;
mod openwhisk;
mod own_action;
mod ownership;
mod paused;
mod plan;
mod platform;
mod postgres;
mod postgres_members;
mod reconcile;
mod refused;
mod rules;
mod runs;
mod samples;
mod stopped;
mod support;
mod topic;
mod upgrade;
mod user;
mod watched;
#[path = "../whisk_support/mod.rs"]
mod whisk_support;

use support::World;

/// One API server for all checks, each in a namespace of its own.
#[test]
#[ignore = "api tier"]
fn the_operator_against_a_real_api_server() {
    let Some(server) = millrace_testkit::ApiServer::start().unwrap() else {
        return;
    };
    // Schemas lie in each other twelve deep, and reading one takes much of a stack where nothing is optimised.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_stack_size(16 * 1024 * 1024)
        .enable_all()
        .build()
        .unwrap();
    let kubeconfig = server.kubeconfig();
    // On a thread of the runtime: all checks together are one large future, too.
    let checked = runtime.spawn(async move {
        let world = World::new(&kubeconfig).await;
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
            ownership::a_second_applier_keeps_its_fields_and_gets_none_of_ours,
            rules::every_rule_accepts_and_refuses,
            mongo::a_replica_set_has_secrets_of_its_own,
            mongo::pods_stay_while_nobody_can_say_whether_the_set_needs_them,
            postgres::a_server_is_founded_once_with_secrets_of_its_own,
            postgres_members::one_begins_and_the_others_follow,
            postgres_members::a_server_that_was_alone_has_no_former_members,
            postgres_members::nobody_goes_while_no_leader_is_known,
            postgres::a_volume_with_databases_is_not_founded_over,
            postgres::a_secret_of_somebody_else_is_not_taken,
            postgres::a_server_is_stopped_and_comes_back,
            postgres::a_platform_has_a_postgres_here_or_elsewhere,
            postgres::backups_have_a_volume_that_outlives_them,
            postgres::a_cluster_that_is_restored_has_a_server_afterwards,
            postgres::nothing_is_restored_over_a_volume,
            kafka::pools_become_sets_of_their_own,
            kafka::volumes_of_a_former_cluster_are_not_founded_over,
            kafka::certificates_are_issued_once_and_rotated_in_three_phases,
            kafka::external_addresses_are_told_to_brokers,
            kafka::a_stopped_cluster_goes_to_zero_and_comes_back,
            kafka::nodes_are_held_while_a_cluster_is_stopped_or_cannot_be_asked,
            hdfs::a_file_system_is_founded_once,
            hdfs::volumes_of_a_former_file_system_are_not_formatted,
            hdfs::several_name_nodes_wait_for_their_zookeeper,
            hdfs::a_data_node_stays_until_it_is_known_to_be_empty,
            hdfs::a_stopped_file_system_goes_to_zero_and_comes_back,
            archive::an_archive_waits_for_its_file_system,
            archive::an_archive_runs_beside_its_compaction,
            archive::a_platform_has_a_lake,
            batch::a_run_that_failed_says_why,
            batch::executors_come_and_go_with_the_engine,
            links::good_and_bad_triggers_and_rules,
            links::links_wait_for_their_openwhisk_and_let_go_with_it,
            links::links_are_made_corrected_and_removed,
            links::who_uses_an_entity_goes_before_it,
            own_action::a_zip_is_deployed_as_an_action,
            own_action::code_from_elsewhere_is_pinned,
            own_action::an_action_for_the_web_is_made_of_a_resource,
            own_action::an_action_of_an_image_is_made_of_a_resource,
            runs::how_runs_went_is_told,
            openwhisk::an_openwhisk_goes_over_to_apache_and_back,
            druid::a_druid_waits_for_its_zookeeper_and_shares_a_volume,
            druid::a_druid_that_asks_has_passwords_that_outlive_it,
            druid::a_platform_has_a_druid_here_or_elsewhere,
            ingestion::the_last_good_specification_of_an_ingestion_goes_on,
            ingestion::days_of_the_lake_are_loaded_once,
            changes::changes_of_specs_are_told_with_their_field_manager,
            topic::records_bind_a_topic_to_its_schema,
            topic::a_cluster_hears_how_many_copies_a_topic_asks_for,
            topic::a_topic_tells_which_version_of_its_schema_it_has,
            user::users_need_a_secure_cluster,
            user::users_are_made_corrected_and_removed,
            samples::samples_are_accepted,
            samples::definitions_applied_twice_do_not_change,
            reconcile::a_cluster_appears_and_a_second_look_writes_nothing,
            reconcile::drift_is_corrected,
            drift::metadata_taken_off_is_put_back,
            approval::a_new_operator_restarts_nothing_until_approved,
            approval::what_is_asked_for_carries_no_other_build,
            approval::a_workload_without_marks_is_not_restarted_unasked,
            reconcile::a_ready_set_makes_the_cluster_available,
            reconcile::a_bad_spec_leaves_what_ran,
            reconcile::what_is_built_no_longer_is_removed,
            reconcile::a_taken_name_is_left_alone,
            reconcile::volumes_grown_by_hand_are_the_truth,
            reconcile::paused_means_hands_off,
            reconcile::credentials_are_made_once,
            reconcile::an_event_source_needs_its_topic,
            reconcile::a_job_needs_its_bindings,
            claims::the_older_event_source_has_the_group,
            reconcile::a_running_controller_reacts_and_stops,
            watched::a_settled_job_is_not_even_read_and_drift_is_still_seen,
            exposure::bad_rules_leave_the_last_good_ones,
            exposure::zones_are_checked_and_never_hold_anything_up,
            exposure::a_job_goes_on_without_its_files,
            certificate::a_certificate_opens_ports_and_can_close_the_plain_ones,
            exposure::older_keys_are_completed_and_given_ones_left_alone,
            exposure::an_ingress_is_made_and_taken_back,
            exposure::what_needs_an_absent_api_is_told_and_made_once_it_is_there,
            exposure::a_bad_filter_leaves_what_ran,
            refused::a_taken_name_of_an_ingress_holds_nothing_up,
            refused::a_refused_ingress_holds_nothing_up,
            certificate::half_a_certificate_is_none,
            certificate::a_certificate_is_seen_at_once,
            certificate::a_load_balancer_without_an_address_is_told,
            chart::every_values_file_gives_a_platform,
            chart::a_wrong_value_is_named,
            chart::an_operator_for_some_namespaces_has_its_rights_in_them,
            chart::an_operator_for_some_namespaces_makes_nothing_of_the_cluster,
            platform::parts_appear_and_jobs_wait_for_topics,
            plan::a_new_platform_is_planned_down_to_its_objects,
            plan::nothing_is_left_to_do_after_a_reconcile,
            plan::another_image_lists_the_pods_that_restart,
            plan::a_pause_and_its_end_are_planned_with_the_parts,
            cli::a_platform_is_told_with_its_parts_and_what_is_missing,
            cli::a_drain_is_asked_for_and_taken_back,
            cli::a_cluster_without_nodes_holds_nothing,
            plan::the_command_ends_with_the_code_that_a_script_needs,
            leader::a_standby_takes_over_from_a_leader_that_is_gone,
            leader::a_leader_that_cannot_renew_stops_and_writes_nothing,
            external::an_external_kafka_is_named_until_it_can_be_used,
            external::an_external_openwhisk_has_a_binding_as_any,
            external::what_does_not_go_together_is_refused,
            flow::a_flow_that_cannot_be_read_is_told_once,
            stopped::a_platform_goes_to_zero_in_order_and_comes_back,
            paused::a_platform_rests_with_its_parts,
            paused::a_platform_paused_by_a_former_version_rests_with_its_parts_too,
        );
        failed
    });
    let failed = runtime.block_on(checked).unwrap();
    // By kubectl, which nothing else here needs.
    let unexplained = explain::unexplained(&server);
    assert!(failed.is_empty(), "{failed:?}");
    assert!(unexplained.is_empty(), "{unexplained:?}");
}

/// A server of its own: definitions are of a whole cluster.
#[test]
#[ignore = "api tier"]
fn definitions_of_the_commit_before_are_upgraded() {
    let Some(server) = millrace_testkit::ApiServer::start().unwrap() else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let world = World::new(&server.kubeconfig()).await;
        upgrade::definitions_of_the_commit_before_are_upgraded(&world)
            .await
            .unwrap();
    });
}
