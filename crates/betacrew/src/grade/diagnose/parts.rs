//! Cause in a packet inside which its connection ended: the client joins its first bytes with those
//! of another connection.

use super::ending;
use super::kept::is_kept;
use crate::grade::observe::evidence::Evidence;
use crate::grade::observe::wire::{WireEventKind, packet_of};
use feed::base::seq::Seq;
use feed::wire::FRAME_LEN;

/// Connection that the exchange ended inside a packet, and the next one that brought packets.
struct BrokenPacket {
    /// Index of the connection that ended.
    conn: usize,
    /// Number of bytes of the packet that had arrived.
    len: usize,
    /// Index of the next connection with packets.
    next: usize,
}

/// Returns the first connection that the exchange ended inside a packet, if another one brought
/// packets after it.
fn broken_packet(evidence: &Evidence) -> Option<BrokenPacket> {
    let conns = &evidence.wire.conns;
    let conn = conns.iter().position(|conn| !conn.part().is_empty())?;
    let is_ended = evidence.events_before_kill().any(|event| {
        let ends = [WireEventKind::Finished, WireEventKind::Closed, WireEventKind::ResetByExchange];
        event.conn == conn && ends.contains(&event.what)
    });
    let next = (conn + 1..conns.len()).find(|next| !conns[*next].frames.is_empty())?;
    is_ended.then(|| BrokenPacket { conn, len: conns[conn].part().len(), next })
}

/// Detects sequences in the output that the first bytes of a packet and those of the next
/// connection mean together.
pub(super) fn joins_connections(evidence: &Evidence) -> Option<String> {
    let BrokenPacket { conn, len, next } = broken_packet(evidence)?;
    let conns = &evidence.wire.conns;
    let joined = [conns[conn].part(), conns[next].frames.as_flattened()].concat();
    let sequence = |frame: &[u8]| {
        let bytes = frame.get(FRAME_LEN - 4..)?.try_into().ok()?;
        Some(i32::from_be_bytes(bytes))
    };
    let meant: Vec<i32> = joined.chunks_exact(FRAME_LEN).filter_map(sequence).collect();
    let is_meant = |text: &String| {
        let number = text.parse::<i64>().ok();
        meant.iter().any(|meant| {
            number == Some(i64::from(*meant)) || number == Some(i64::from(meant.cast_unsigned()))
        })
    };
    let made_up = &evidence.differences.made_up;
    let first = made_up.first().filter(|_| made_up.iter().all(is_meant))?;
    Some(format!(
        "connection {} ended {len} bytes into a packet, and the client joined them with the bytes \
         of connection {}: {first} is not a sequence",
        conn + 1,
        next + 1
    ))
}

/// Detects that the client computes without an end since the connection behind a broken packet
/// brought bytes.
pub(super) fn stops_behind_a_part(evidence: &Evidence) -> Option<String> {
    let BrokenPacket { conn, len, next } = broken_packet(evidence)?;
    let mut later = evidence.events_before_kill().skip_while(|event| event.conn != next);
    let brought = later.any(|event| matches!(event.what, WireEventKind::Sent { .. }));
    let rest: Vec<_> = later.collect();
    ending::spins(evidence)?;
    // A client that still does something has understood what it had received by then.
    (brought && !rest.iter().any(|event| ending::is_clients(&event.what))).then(|| {
        format!(
            "connection {} ended {len} bytes into a packet, and since connection {} has brought \
             the next bytes, the client computes without an end: it seems to join the \
             bytes of both connections",
            conn + 1,
            next + 1
        )
    })
}

/// Returns whether the client kept the first packet of the connection behind one that ended inside
/// a packet, so that it does not join the bytes of both.
pub(super) fn keeps_behind_a_part(evidence: &Evidence) -> bool {
    let Some(BrokenPacket { next, .. }) = broken_packet(evidence) else { return false };
    let sent: Vec<Seq> =
        evidence.wire.conns.iter().flat_map(|c| &c.frames).filter_map(packet_of).collect();
    let first = evidence.wire.conns[next].frames.iter().find_map(packet_of);
    first.is_some_and(|seq| {
        is_kept(evidence, seq) && sent.iter().filter(|sent| **sent == seq).count() == 1
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{RunBuilder, classic_run, named_in};
    use crate::grade::observe::fields::OutputField;
    use crate::grade::run::process::ProcessEnd;
    use feed::base::seq::Seq;

    fn without(missing: Seq) -> impl Iterator<Item = Seq> {
        (1..=14).filter(move |seq| *seq != missing)
    }

    /// Returns a run in which the first answer ends with its connection, and another one follows.
    fn broken() -> RunBuilder {
        let run = classic_run().stream(without(5)).ask([5]).part(5, 9).finished().closed();
        run.ask([5]).send([5])
    }

    #[test]
    fn bytes_of_two_connections_that_are_joined_are_recognised() {
        // Nine bytes of packet 5 and eight of the next: the sequence begins at its fifth byte.
        let tape = feed::tape::in_memory::Tape::classic();
        let bytes = tape.frames()[4];
        let joined = i32::from_be_bytes(bytes[4..8].try_into().unwrap());
        let write = |seq: i32| {
            broken().hang_up().write_as(1..=14, move |packet, fields| {
                if packet.sequence == 5 {
                    fields[OutputField::Sequence as usize].1 = Some(seq.to_string());
                }
            })
        };
        let (id, text) = write(joined).cause();
        assert_eq!(id, "joins-connections");
        assert!(text.contains("connection 2 ended 9 bytes into a packet"), "{text}");
        assert_ne!(write(77).id(), "joins-connections");
        let kept = broken().hang_up().write(1..=14);
        let named = named_in(vec![(write(joined), true), (kept, false)]);
        assert_ne!(named[0], "joins-connections", "another run keeps the next packet");
    }

    #[test]
    fn a_client_that_computes_since_then_seems_to_join_them() {
        let spins = || broken().finished().busy().ended(ProcessEnd::Killed);
        assert_eq!(spins().id(), "joins-connections");
        let whole = classic_run().stream(without(5)).fill([5]).busy().ended(ProcessEnd::Killed);
        assert_eq!(whole.id(), "spins");
        let goes_on = broken().hang_up().connect().busy().ended(ProcessEnd::Killed);
        assert_ne!(goes_on.id(), "joins-connections", "it has understood the next bytes");
    }
}
