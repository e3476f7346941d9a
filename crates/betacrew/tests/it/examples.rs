//! The examples run.

#[path = "../../examples/record.rs"]
mod record;

#[test]
fn a_feed_is_recorded_into_ones_own_program() {
    record::main().unwrap();
}
