//! The examples run.

#[path = "../../examples/payload.rs"]
mod payload;
#[path = "../../examples/record.rs"]
mod record;

#[test]
fn a_feed_is_recorded_into_ones_own_program() {
    record::main().unwrap();
}

#[test]
fn messages_get_a_meaning_of_ones_own() {
    payload::main().unwrap();
}
