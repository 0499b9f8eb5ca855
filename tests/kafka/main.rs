//! The Kafka source and sink against a real broker, which `broker.sh` runs.
//!
//! ```sh
//! cargo test --workspace --features kafka --test kafka            # all; skipped by name where no broker can be run
//! cargo test --workspace --features kafka --test kafka kills      # those whose names contain a word
//! KILLS=200 SEED=7 cargo test …                                   # more kills, and other moments
//! cargo test --workspace --features kafka-ssl --test kafka tls    # TLS and logins, which the feature kafka-ssl brings
//! ```
//! With `CI` set a broker that can't be run is a failure.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::print_stderr, reason = "a test may")]
#![allow(clippy::disallowed_methods, reason = "a test may have threads of its own")]

mod broker;
mod child;
mod clients;
mod failures;
mod hung;
mod kills;
mod sinks;
mod sources;
#[cfg(feature = "kafka-ssl")]
mod tls;

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};

use broker::Broker;

type Test = fn(&Broker);

/// Those that stop the broker come last, one after the other.
const TESTS: &[(&str, Test)] = &[
    ("columns_are_sparks_and_nulls_stay_nulls", sources::columns_are_sparks_and_nulls_stay_nulls),
    ("a_batch_reads_between_its_offsets", sources::a_batch_reads_between_its_offsets),
    ("a_query_starts_where_it_is_told", sources::a_query_starts_where_it_is_told),
    ("limits_cut_epochs", sources::limits_cut_epochs),
    ("few_records_wait_for_more_but_not_for_ever", sources::few_records_wait_for_more_but_not_for_ever),
    ("a_running_query_waits_for_enough", sources::a_running_query_waits_for_enough),
    ("a_query_that_starts_at_the_latest_keeps_its_place", sources::a_query_that_starts_at_the_latest_keeps_its_place),
    ("new_partitions_are_read_after_a_restart", sources::new_partitions_are_read_after_a_restart),
    ("new_partitions_and_topics_are_read_while_running", sources::new_partitions_and_topics_are_read_while_running),
    ("aborted_and_open_transactions_are_not_read", sources::aborted_and_open_transactions_are_not_read),
    ("progress_says_how_far_behind", sources::progress_says_how_far_behind),
    ("rows_come_back_as_they_went", sinks::rows_come_back_as_they_went),
    ("a_batch_is_written_whole_or_not_at_all", sinks::a_batch_is_written_whole_or_not_at_all),
    ("headers_go_out_and_come_back", sinks::headers_go_out_and_come_back),
    ("rows_choose_topic_and_partition", sinks::rows_choose_topic_and_partition),
    ("uncommitted_epochs_are_invisible", sinks::uncommitted_epochs_are_invisible),
    ("the_epoch_is_committed_with_its_rows", sinks::the_epoch_is_committed_with_its_rows),
    ("later_epochs_wait_for_earlier_ones", sinks::later_epochs_wait_for_earlier_ones),
    ("a_zombie_writes_nothing", sinks::a_zombie_writes_nothing),
    ("at_least_once_is_visible_at_once", sinks::at_least_once_is_visible_at_once),
    ("records_that_are_too_large_are_refused", failures::records_that_are_too_large_are_refused),
    ("missing_topics_are_named", failures::missing_topics_are_named),
    ("lost_records_fail_the_query_or_are_skipped", failures::lost_records_fail_the_query_or_are_skipped),
    ("a_deleted_topic_is_data_loss", failures::a_deleted_topic_is_data_loss),
    ("what_can_not_be_reached_or_logged_in_to_is_said", failures::what_can_not_be_reached_or_logged_in_to_is_said),
    #[cfg(feature = "kafka-ssl")]
    ("tls_and_logins_are_spoken", tls::tls_and_logins_are_spoken),
    #[cfg(feature = "kafka-ssl")]
    ("tls_that_is_wrong_is_said", tls::tls_that_is_wrong_is_said),
    #[cfg(feature = "kafka-ssl")]
    ("tls_secrets_are_never_shown", tls::tls_secrets_are_never_shown),
    ("hung_broker_is_waited_for", hung::hung_broker_is_waited_for),
    ("hung_broker_is_named_when_it_takes_too_long", hung::hung_broker_is_named_when_it_takes_too_long),
    ("kills_lose_nothing_and_double_nothing", kills::kills_lose_nothing_and_double_nothing),
];

fn main() -> ExitCode {
    if child::is_child() {
        return child::run();
    }
    let mut arguments = Arguments::from_args();
    // One broker on few cores.
    arguments.test_threads.get_or_insert(2);
    let broker = match arguments.list {
        true => None,
        false => match Broker::start() {
            Ok(broker) => Some(Arc::new(broker)),
            Err(reason) if std::env::var_os("CI").is_some() => {
                eprintln!("no broker: {reason}");
                return ExitCode::FAILURE;
            }
            Err(reason) => {
                println!("the tests below are skipped, because no broker can be run: {reason}");
                None
            }
        },
    };
    let trial = |(name, test): (&str, Test)| {
        let broker = broker.clone();
        let is_skipped = broker.is_none();
        let run = move || {
            if let Some(broker) = &broker {
                test(broker);
            }
            Ok(())
        };
        Trial::test(name, run).with_ignored_flag(is_skipped)
    };
    let (alone, together): (Vec<_>, Vec<_>) =
        TESTS.iter().copied().partition(|(name, _)| ["kills", "hung"].iter().any(|word| name.starts_with(word)));
    let first = libtest_mimic::run(&arguments, together.into_iter().map(trial).collect());
    arguments.test_threads = Some(1);
    let then = libtest_mimic::run(&arguments, alone.into_iter().map(trial).collect());
    match first.has_failed() || then.has_failed() {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}
