//! A recording of any format into a log: all that is not there yet.

use crate::error::{Exit, Failure};
use crate::format::{DamagePolicy, Format};
use crate::nats::PublishFlags;
use crate::nats::outlet::{PublishLimit, notice, tell};
use crate::net::Stop;
use crate::source;
use crate::storage::FileStorage;
use feed::analysis::survey::SequenceOrder;
use feed::base::seq::Seq;
use feed::tape::file::TapeFile;
use feed::wire::{RawFrame, SessionId, sequence_of};
use gateway::Gateway;
use std::path::Path;
use std::time::Duration;

/// How long the log may take nothing.
const PATIENCE: Duration = Duration::from_secs(10);
/// So many gaps are listed.
const LISTED: usize = 100;

/// Publishes a file of packets into the log of this URL.
///
/// # Errors
/// Where the file lacks packets, or the log does not take them.
pub(crate) fn publish_recording(
    input: &Path,
    format: Format,
    (url, flags): (&Path, &PublishFlags),
    stop: &Stop,
) -> Result<Exit, Failure> {
    let settings = flags.settings(url)?;
    // What is published cannot be taken back: nothing is, unless all can be.
    let last = whole(input, format, stop)?;
    let gateway = Gateway::start(&settings, session(input, format))?;
    let mut limit = PublishLimit::new(PATIENCE, stop);
    while last > 0 && !gateway.done(last)? {
        notice(&gateway, &settings);
        match gateway.wants()?.filter(|&next| next <= last) {
            // As a rule that is once; the log may have lost something, and want it again.
            Some(next) => publish(input, format, next, &gateway, &mut limit)?,
            None => limit.wait(&gateway, last)?,
        }
    }
    tell(&gateway.published(), &settings);
    Ok(Exit::Complete)
}

/// Puts packets from `next` on, for as long as they are those that are wanted.
fn publish(
    input: &Path,
    format: Format,
    next: Seq,
    gateway: &Gateway,
    limit: &mut PublishLimit,
) -> Result<(), Failure> {
    let mut next = next;
    let mut turned = false;
    let done = source::read(input, format, DamagePolicy::Refuse, &mut |frames, _| {
        let mut rest: &[RawFrame] = frames;
        loop {
            rest = &rest[rest.partition_point(|frame| sequence_of(frame) < next)..];
            if rest.is_empty() {
                return Ok(());
            }
            let taken = gateway.put(rest)?;
            next += u32::try_from(taken).unwrap_or(0);
            // Ahead is what it will come to; behind is what must be read once more.
            match gateway.wants()? {
                Some(wanted) if wanted < next => {
                    turned = true;
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
        Err(Failure::Stopped) if turned => Ok(()),
        done => done.map(drop),
    }
}

/// The last packet of a file that lacks none.
fn whole(input: &Path, format: Format, stop: &Stop) -> Result<Seq, Failure> {
    let mut order = SequenceOrder::listing(LISTED);
    let told = source::read(input, format, DamagePolicy::Refuse, &mut |frames, _| {
        if stop.asked() {
            return Err(Failure::Stopped);
        }
        order.take(frames, |_| {}).map_err(|disorder| Failure::Content {
            path: input.to_owned(),
            reason: disorder.to_string(),
        })
    })?;
    match told.lacking(&mut order) {
        None => Ok(order.highest()),
        Some(missing) => Err(Failure::Lacking { path: input.to_owned(), missing }),
    }
}

/// The session of a tape file, if that is known.
fn session(input: &Path, format: Format) -> Option<SessionId> {
    let storage = FileStorage::read(input).ok().filter(|_| format == Format::Tape)?;
    let (file, _) = TapeFile::open(storage, true).ok()?;
    file.session_id()
}
