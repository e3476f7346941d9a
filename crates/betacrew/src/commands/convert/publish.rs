//! `betacrew convert` into a NATS stream: publishes the packets that the stream does not have yet.

use crate::error::{Exit, Failure};
use crate::format::{DamagePolicy, Format};
use crate::nats::outlet::{PublishLimit, notice, tell};
use crate::nats::{PublishFlags, order_packets};
use crate::net::Stop;
use crate::source;
use crate::storage::FileStorage;
use feed::analysis::survey::SequenceOrder;
use feed::base::seq::Seq;
use feed::tape::file::{OpenMode, TapeFile};
use feed::wire::{SessionId, sequence_of};
use gateway::Gateway;
use std::path::Path;
use std::time::Duration;

/// Time that the stream may accept no packet before the command gives up.
const PATIENCE: Duration = Duration::from_secs(10);
/// Maximum number of gaps that an error lists.
const LISTED: usize = 100;

/// Publishes a file of packets to the NATS stream of a URL.
///
/// # Errors
/// Returns a [`Failure`] if packets are missing from the file, or the stream does not accept them.
pub(crate) fn publish_recording(
    input: &Path,
    format: Format,
    (url, flags): (&Path, &PublishFlags),
    stop: &Stop,
) -> Result<Exit, Failure> {
    let settings = flags.settings(url)?;
    // Published packets cannot be taken back, so the file is checked before the first one.
    let last = check_complete(input, format, stop)?;
    let gateway = Gateway::start(&settings, session(input, format))?;
    let mut limit = PublishLimit::new(PATIENCE, stop);
    while last > 0 && !gateway.done(last)? {
        notice(&gateway, &settings);
        match gateway.wants()?.filter(|&next| next <= last) {
            // Usually this happens once. A stream that has lost packets wants them again.
            Some(next) => publish(input, format, next, &gateway, &mut limit)?,
            None => limit.wait(&gateway, last)?,
        }
    }
    tell(&gateway.published(), &settings);
    Ok(Exit::Complete)
}

/// Publishes packets from `next` until the file ends or the stream wants an earlier packet.
fn publish(
    input: &Path,
    format: Format,
    next: Seq,
    gateway: &Gateway,
    limit: &mut PublishLimit,
) -> Result<(), Failure> {
    let mut next = next;
    let mut wants_earlier = false;
    let done = source::read(input, format, DamagePolicy::Refuse, &mut |messages, _| {
        let mut rest = order_packets(messages)?;
        loop {
            rest = &rest[rest.partition_point(|frame| sequence_of(frame) < next)..];
            if rest.is_empty() {
                return Ok(());
            }
            let taken = gateway.put(rest)?;
            next += taken as u64;
            // A later packet is further down the file; for an earlier one it is read again.
            match gateway.wants()? {
                Some(wanted) if wanted < next => {
                    wants_earlier = true;
                    return Err(Failure::Stopped);
                }
                Some(wanted) => next = wanted,
                None => {}
            }
            if taken == 0 {
                limit.wait(gateway, next)?;
            }
        }
    });
    match done {
        Err(Failure::Stopped) if wants_earlier => Ok(()),
        done => done.map(drop),
    }
}

/// Returns the last sequence of a file, or [`Failure::Lacking`] if packets are missing from it.
fn check_complete(input: &Path, format: Format, stop: &Stop) -> Result<Seq, Failure> {
    let mut order = SequenceOrder::listing(LISTED);
    let facts = source::read(input, format, DamagePolicy::Refuse, &mut |messages, _| {
        order_packets(messages)?;
        if stop.asked() {
            return Err(Failure::Stopped);
        }
        order.take(messages, |_| {}).map_err(|disorder| Failure::Content {
            path: input.to_owned(),
            reason: disorder.to_string(),
        })
    })?;
    match facts.lacking(&mut order) {
        None => Ok(order.highest()),
        Some(missing) => Err(Failure::Lacking { path: input.to_owned(), missing }),
    }
}

/// Returns the session of a tape file, if the file has it.
fn session(input: &Path, format: Format) -> Option<SessionId> {
    let storage = FileStorage::read(input).ok().filter(|_| format == Format::Tape)?;
    let (file, _) = TapeFile::open(storage, OpenMode::Index).ok()?;
    file.session_id()
}
