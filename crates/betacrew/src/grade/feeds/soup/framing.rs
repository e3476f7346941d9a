//! Causes in how a client of SoupBinTCP splits its reads into packets.

use crate::grade::feeds::soup::causes::Run;
use crate::grade::feeds::soup::conversation::{SentKind, SentPacket};
use feed::base::seq::Seq;

/// Maximum number of bytes that a read on the loopback interface usually brings at once.
const READ_MAX: usize = 32 << 10;

/// Place of a message in the exchange's writes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Behind another packet in its write.
    Behind,
    /// In more than one write.
    Cut,
    /// First in a write that has all of it.
    First,
}

/// Returns the place of each message that was sent whole, by connection and in order.
fn places(run: &Run<'_>) -> Vec<(Seq, Place)> {
    let mut found = Vec::new();
    for soup in &run.all {
        for (seq, packet) in soup.messages() {
            let (first, last) = soup.writes_of(packet);
            let begins = soup.writes.get(first).is_some_and(|(_, w)| w.start == packet.bytes.start);
            found.push((
                seq,
                match (first == last, begins) {
                    (false, _) => Place::Cut,
                    (true, true) => Place::First,
                    (true, false) => Place::Behind,
                },
            ));
        }
    }
    found
}

/// Returns the first message that the output lacks although it was sent whole, with its place.
fn first_missing(run: &Run<'_>) -> Option<(Seq, Place)> {
    let all = places(run);
    // A message that was sent twice may be missing for another reason.
    let seq = (1..=run.feed.tape.last())
        .filter(|seq| !run.takes(*seq))
        .find(|seq| all.iter().any(|(sent, _)| sent == seq))?;
    let mut sent = all.into_iter().filter(|(sent, _)| *sent == seq);
    sent.next()
}

/// Returns a message that a client requests although it was sent behind another message in one
/// write, and the connection did not break before its end.
fn requested_behind(run: &Run<'_>) -> Option<Seq> {
    run.all.windows(2).find_map(|pair| {
        let [one, next] = pair else { return None };
        let (_, login, _) = next.logins().next()?;
        let (_, packet) = one.messages().find(|(seq, _)| *seq == login.sequence)?;
        let (first, before) = one.messages().next()?;
        let (write, last) = one.writes_of(packet);
        let is_behind = one.writes.get(write)?.1.start < packet.bytes.start && write == last;
        let same = one.writes_of(before).0 <= write;
        (is_behind && same && login.sequence > first && one.ended_at().is_some())
            .then_some(login.sequence)
    })
}

/// Detects that a client takes only the first packet of each read.
pub(super) fn first_of_read(run: &Run<'_>) -> Option<String> {
    if let Some(seq) = requested_behind(run) {
        return Some(format!(
            "message {seq} was sent in one write behind another packet, and the client requested \
             it again: it takes a read for a packet; split it by the lengths in it"
        ));
    }
    let (seq, place) = first_missing(run)?;
    let all = places(run);
    let is_kept = |wanted| all.iter().all(|(seq, place)| *place != wanted || run.takes(*seq));
    let none_behind = all.iter().all(|(seq, place)| *place != Place::Behind || !run.has(*seq));
    (place == Place::Behind && is_kept(Place::First) && none_behind).then(|| {
        format!(
            "message {seq} was sent in one write behind another packet, and is missing like all \
             such: the client takes a read for a packet; split it by the lengths in it"
        )
    })
}

/// Returns whether a client has taken a message of, or behind, a packet that was cut.
fn joins(run: &Run<'_>) -> bool {
    run.all.iter().any(|soup| {
        let is_cut = |packet: &SentPacket| {
            let (first, last) = soup.writes_of(packet);
            first != last
        };
        let cut = soup.sent.iter().position(is_cut).unwrap_or(soup.sent.len());
        let mut behind = soup.sent[cut..].iter();
        behind.any(|packet| matches!(packet.what, SentKind::Message(seq) if run.takes(seq)))
    })
}

/// Detects that a client does not join the parts of a packet.
pub(super) fn split_packet(run: &Run<'_>) -> Option<String> {
    let is_in_part = run.all.last().is_some_and(|soup| soup.ends_in_a_part());
    if is_in_part && run.ends_first() && !joins(run) {
        return Some(
            "a packet was sent in several writes, and the client ended the connection when it had \
             read a part of it: keep what there is of a packet, and read on"
                .to_owned(),
        );
    }
    let (seq, place) = first_missing(run)?;
    let length = run.feed.tape.message(seq).map_or(0, <[u8]>::len);
    if place != Place::Cut && length > READ_MAX && run.ends_first() {
        return Some(format!(
            "message {seq} has {length} bytes, which one read seldom brings, and the client ended \
             the connection: keep what there is of a packet, and read on"
        ));
    }
    (place == Place::Cut).then(|| {
        format!(
            "message {seq} was sent in several writes, and is missing: the client does not join \
             the bytes of two reads; keep what is left of a read for the next one"
        )
    })
}
