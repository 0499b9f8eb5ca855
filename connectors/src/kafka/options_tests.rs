use super::*;

fn given(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let servers = ("kafka.bootstrap.servers", "localhost:9092");
    pairs.iter().chain([&servers]).map(|(name, value)| (name.to_lowercase(), (*value).to_owned())).collect()
}

fn stream(pairs: &[(&str, &str)]) -> Result<SourceOptions> {
    SourceOptions::new(&given(&[&[("subscribe", "a")], pairs].concat()), Reading::Stream)
}

fn batch(pairs: &[(&str, &str)]) -> Result<SourceOptions> {
    SourceOptions::new(&given(&[&[("subscribe", "a")], pairs].concat()), Reading::Batch)
}

fn says<T: std::fmt::Debug>(result: Result<T>, what: &str) {
    let error = result.unwrap_err().to_string();
    assert!(error.contains(what), "{error}");
}

#[test]
fn defaults_are_sparks() {
    let options = stream(&[]).unwrap();
    assert_eq!((options.start, options.end), (Position::Latest, Position::Latest));
    assert!(options.fail_on_data_loss && !options.include_headers);
    assert_eq!((options.poll_timeout, options.max_delay), (Duration::from_secs(120), Duration::from_secs(900)));
    assert_eq!((options.retries, options.retry_interval), (3, Duration::from_millis(10)));
    assert_eq!(batch(&[]).unwrap().start, Position::Earliest);
}

#[test]
fn exactly_one_way_to_subscribe() {
    let source = |pairs: &[(&str, &str)]| SourceOptions::new(&given(pairs), Reading::Stream);
    says(source(&[]), "One of the following options must be specified");
    says(source(&[("subscribe", "a"), ("assign", r#"{"a":[0]}"#)]), "Only one of the following options");
    says(source(&[("subscribe", " , ")]), "'subscribe'");
    says(source(&[("subscribePattern", "(")]), "regular expression");
    says(source(&[("assign", "a")]), "'assign' must be JSON");
    says(source(&[("assign", r#"{"a":[-1]}"#)]), "partitions from 0 on");
    let Subscription::Topics(topics) = source(&[("subscribe", "b, a,b")]).unwrap().subscription else { panic!("not topics") };
    assert_eq!(topics, ["a", "b"]);
    let Subscription::Pattern(pattern) = source(&[("subscribePattern", "a|b.*")]).unwrap().subscription else {
        panic!("no pattern")
    };
    assert!(pattern.is_match("a") && pattern.is_match("bb") && !pattern.is_match("ab"));
}

#[test]
fn a_time_comes_before_times_and_these_before_offsets() {
    let (one, many, offsets) = (
        ("startingTimestamp", "1000"),
        ("startingOffsetsByTimestamp", r#"{"a":{"0":5}}"#),
        ("startingOffsets", r#"{"a":{"0":-2}}"#),
    );
    let at = |text| Offsets::parse("x", text).unwrap();
    assert_eq!(stream(&[offsets, many, one]).unwrap().start, Position::Time(1_000));
    assert_eq!(stream(&[offsets, many]).unwrap().start, Position::Times(at(many.1)));
    assert_eq!(stream(&[offsets]).unwrap().start, Position::Offsets(at(offsets.1)));
    assert_eq!(stream(&[("STARTINGOFFSETS", "Earliest")]).unwrap().start, Position::Earliest);
}

#[test]
fn what_only_a_batch_or_only_a_stream_has_is_refused_in_the_other() {
    says(stream(&[("endingOffsets", "latest")]), "'endingOffsets' is not valid in streaming queries");
    says(batch(&[("maxOffsetsPerTrigger", "5")]), "not valid in batch queries");
    says(batch(&[("startingOffsets", "latest")]), "can't be latest");
    says(batch(&[("startingOffsets", r#"{"a":{"0":-1}}"#)]), "can't be latest (-1)");
    says(batch(&[("endingOffsets", "earliest")]), "can't be earliest");
    says(batch(&[("endingOffsets", r#"{"a":{"0":-2}}"#)]), "can't be earliest (-2)");
}

#[test]
fn values_that_can_not_be_are_named() {
    says(stream(&[("maxOffsetsPerTrigger", "0")]), "'maxOffsetsPerTrigger'");
    says(stream(&[("maxOffsetsPerTrigger", "5"), ("minOffsetsPerTrigger", "6")]), "minOffsetsPerTrigger(6)");
    says(stream(&[("failOnDataLoss", "maybe")]), "'failOnDataLoss'");
    says(stream(&[("maxTriggerDelay", "soon")]), "'maxTriggerDelay'");
    says(stream(&[("startingOffsets", r#"{"a":{"0":-3}}"#)]), "partition a-0");
    says(stream(&[("startingTimestamp", "-5")]), "'startingTimestamp'");
    says(stream(&[("startingOffsetsByTimestampStrategy", "guess")]), "error or latest");
    says(
        SourceOptions::new(&given(&[("assign", r#"{"a":[0,1]}"#), ("startingOffsets", r#"{"a":{"0":1}}"#)]), Reading::Stream),
        "you must specify all TopicPartitions",
    );
    assert_eq!(stream(&[("maxTriggerDelay", "10s")]).unwrap().max_delay, Duration::from_secs(10));
    assert_eq!(stream(&[("maxTriggerDelay", "250")]).unwrap().max_delay, Duration::from_millis(250));
}

#[test]
fn the_sink_is_exactly_once_by_default() {
    assert_eq!(SinkOptions::new(&given(&[])).unwrap().guarantee, Guarantee::ExactlyOnce);
    let at_least_once = SinkOptions::new(&given(&[("delivery.guarantee", "at-least-once")])).unwrap();
    assert_eq!(at_least_once.guarantee, Guarantee::AtLeastOnce);
    says(SinkOptions::new(&given(&[("delivery.guarantee", "at-most-once")])), "exactly-once or at-least-once");
    says(SinkOptions::new(&given(&[("kafka.transactional.id", "mine")])), "transactionalIdPrefix");
}
