//! Captures: any bytes of a file are read to their end or to a place that is said, and messages
//! come in ascending order.

use betacrew::capture;
use betacrew::format::DamagePolicy;
use std::io::Write;

pub(crate) fn run(bytes: &[u8]) {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(bytes).expect("a temporary file can be written");
    let (mut last, mut count) = (0, 0);
    let read =
        capture::read(&[file.path().to_owned()], None, DamagePolicy::Skip, &mut |messages, _| {
            for (seq, _) in messages.iter() {
                assert!(seq > last, "{seq} after {last}");
                (last, count) = (seq, count + 1);
            }
            Ok(())
        });
    match read {
        Ok(facts) => assert!(facts.last >= last),
        Err(failure) => assert!(!failure.to_string().is_empty()),
    }
    // Each message takes two bytes at least.
    assert!(
        2 * count <= crate::EXPANSION * bytes.len(),
        "{count} messages of {} bytes",
        bytes.len()
    );
}
