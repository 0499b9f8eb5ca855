//! What can't be done, and what is said then.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};

use crate::broker::Broker;
use crate::clients::{Admin, produce, values};
use crate::sources::{read, session, stream};

fn says<T>(result: tidegate::Result<T>, what: &str) {
    let error = result.map(drop).unwrap_err().to_string();
    assert!(error.contains(what), "{error}");
}

pub(crate) fn records_that_are_too_large_are_refused(broker: &Broker) {
    Admin::new(broker).create_with("large", 1, &[("max.message.bytes", "50000")]);
    let write = |bytes: usize| -> tidegate::Result<()> {
        let sent: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(bytes)]));
        let batch = RecordBatch::try_from_iter_with_nullable([("value", sent, true)]).unwrap();
        let (input, frame) = session().memory_stream(batch.schema())?;
        input.add_data(batch)?;
        let writer = frame.write_stream().format("kafka").option("kafka.bootstrap.servers", broker.servers());
        writer.option("topic", "large").available_now().start()?.await_termination(None)?;
        Ok(())
    };
    // More than the producer allows, then more than the topic does.
    for bytes in [2_000_000, 200_000] {
        says(write(bytes), "kafka.message.max.bytes");
    }
    write(20_000).unwrap();
    assert_eq!(values(broker, "large").len(), 1);
}

pub(crate) fn missing_topics_are_named(broker: &Broker) {
    let checkpoint = tempfile::tempdir().unwrap();
    says(read(&stream(broker, &[("subscribe", "nowhere")]).unwrap(), checkpoint.path()), "there is no topic nowhere");
    Admin::new(broker).create("one", 1);
    let assigned = stream(broker, &[("assign", r#"{"one":[0,1]}"#)]).unwrap();
    says(read(&assigned, tempfile::tempdir().unwrap().path()), "there is no partition one-1");
    // The refusal left nothing behind.
    Admin::new(broker).create("nowhere", 1);
    assert_eq!(read(&stream(broker, &[("subscribe", "nowhere")]).unwrap(), checkpoint.path()).unwrap().0, [""; 0]);
}

pub(crate) fn lost_records_fail_the_query_or_are_skipped(broker: &Broker) {
    let admin = Admin::new(broker);
    admin.create("lost", 1);
    produce(broker, "lost", 0, ["a"]);
    let options = [("subscribe", "lost"), ("startingOffsets", "earliest"), ("failOnDataLoss", "true")];
    let lenient = [options[0], options[1], ("failOnDataLoss", "false")];
    let checkpoint = tempfile::tempdir().unwrap();
    assert_eq!(read(&stream(broker, &options).unwrap(), checkpoint.path()).unwrap().0, ["a"]);
    produce(broker, "lost", 0, ["b", "c", "d"]);
    admin.delete_before("lost", 0, 3);
    says(read(&stream(broker, &options).unwrap(), checkpoint.path()), "COULD_NOT_READ_OFFSET_RANGE");
    // The failed epoch is logged: it runs again with the same offsets, of which the rest is there.
    assert_eq!(read(&stream(broker, &lenient).unwrap(), checkpoint.path()).unwrap().0, ["d"]);
    admin.delete_before("lost", 0, 4);
    produce(broker, "lost", 0, ["e"]);
    assert_eq!(read(&stream(broker, &options).unwrap(), checkpoint.path()).unwrap().0, ["e"]);
}

pub(crate) fn a_deleted_topic_is_data_loss(broker: &Broker) {
    let admin = Admin::new(broker);
    ["deleted", "kept"].iter().for_each(|topic| admin.create(topic, 1));
    produce(broker, "deleted", 0, ["a", "b"]);
    let options = [("subscribe", "deleted,kept"), ("startingOffsets", "earliest"), ("failOnDataLoss", "true")];
    let lenient = [options[0], options[1], ("failOnDataLoss", "false")];
    let (strict, checkpoint) = (stream(broker, &options).unwrap(), tempfile::tempdir().unwrap());
    assert_eq!(read(&strict, checkpoint.path()).unwrap().0, ["a", "b"]);
    admin.delete("deleted");
    says(read(&strict, checkpoint.path()), "PARTITIONS_DELETED: partitions deleted-0 are gone");
    admin.create("deleted", 1);
    produce(broker, "deleted", 0, ["new"]);
    assert_eq!(values(broker, "deleted"), ["new"]);
    says(read(&strict, checkpoint.path()), "PARTITION_OFFSET_CHANGED: partition deleted-0 ends at 1");
    produce(broker, "kept", 0, ["c"]);
    // As in Spark: the query goes on where the new topic ends.
    assert_eq!(read(&stream(broker, &lenient).unwrap(), checkpoint.path()).unwrap().0, ["c"]);
    produce(broker, "deleted", 0, ["newer"]);
    assert_eq!(read(&strict, checkpoint.path()).unwrap().0, ["newer"]);
}

pub(crate) fn what_can_not_be_reached_or_logged_in_to_is_said(broker: &Broker) {
    // Nothing listens there.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap().to_string();
    let load = |servers: &str, options: &[(&str, &str)]| {
        let reader = session().read().option("kafka.bootstrap.servers", servers).option("subscribe", "one");
        reader.option("fetchOffset.numRetries", 0).options(options.iter().copied()).kafka()?.collect()
    };
    says(load(&nobody, &[]), "Connection refused");

    let login = |password| {
        [
            ("kafka.security.protocol", "SASL_PLAINTEXT"),
            ("kafka.sasl.mechanism", "PLAIN"),
            ("kafka.sasl.username", "tide"),
            ("kafka.sasl.password", password),
        ]
    };
    Admin::new(broker).create("login", 1);
    produce(broker, "login", 0, ["a"]);
    let servers = broker.servers_with_login();
    let reader = session().read().option("kafka.bootstrap.servers", &servers).option("subscribe", "login");
    assert_eq!(reader.options(login("gate")).kafka().unwrap().count().unwrap(), 1);
    let refused = load(&servers, &login("wrong-secret")).map(drop).unwrap_err().to_string();
    assert!(refused.contains("uthentication") && !refused.contains("wrong-secret"), "{refused}");

    let stream = session().read_stream().format("kafka").option("kafka.bootstrap.servers", &servers).option("subscribe", "login");
    let stream = stream.options(login("wrong-secret"));
    assert!(!format!("{stream:?}").contains("wrong-secret"));
    let sink = stream.load().unwrap().write_stream().format("kafka").option("kafka.bootstrap.servers", &servers);
    let sink = sink.options(login("wrong-secret")).option("topic", "login");
    assert!(!format!("{sink:?}").contains("wrong-secret"));
    let refused = sink.start().map(drop).unwrap_err().to_string();
    assert!(refused.contains("uthentication") && !refused.contains("wrong-secret"), "{refused}");
}
