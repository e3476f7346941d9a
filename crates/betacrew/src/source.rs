//! Sources of messages by name: a file of any format, or a NATS stream.

use crate::error::Failure;
use crate::format::{self, DamagePolicy, Format, MessageConsumer, SessionFacts};
use std::path::Path;

/// Reads all messages of a file or NATS stream in its order; `-` is stdin. Returns the source's
/// statements about its session.
///
/// Order packets have a legal side and sequence. `each` checks that sequences ascend.
///
/// # Errors
/// [`Failure::Usage`] where this program was built without the format; [`Failure::Storage`] and
/// [`Failure::Content`] where the source cannot be read or is not in the format; errors of `each`.
pub(crate) fn read(
    path: &Path,
    format: Format,
    damage: DamagePolicy,
    each: &mut MessageConsumer<'_>,
) -> Result<SessionFacts, Failure> {
    match format {
        #[cfg(feature = "nats")]
        Format::Nats => crate::nats::read(path, each),
        _ if format.is_capture() => crate::capture::read(&[path.to_owned()], None, damage, each),
        _ => format::read(path, format, damage, each),
    }
}
