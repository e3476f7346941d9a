//! Lines of datagrams: the parts of an exchange that have no connections, for drivers with UDP
//! sockets.

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

/// Number of datagrams from which on a batch is full.
pub const BATCH_DATAGRAMS: usize = 64;

/// Number of bytes from which on a batch is full.
pub const BATCH_BYTES: usize = 256 * 1024;

/// Datagrams to be sent together, in their order.
#[derive(Clone, Default, Debug)]
pub struct DatagramBatch {
    bytes: Vec<u8>,
    /// End of each datagram in `bytes`, and its receiver if it has one of its own.
    datagrams: Vec<(usize, Option<SocketAddr>)>,
}

impl DatagramBatch {
    /// Removes all datagrams, and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.datagrams.clear();
    }

    /// Returns the number of datagrams.
    #[must_use]
    pub fn len(&self) -> usize {
        self.datagrams.len()
    }

    /// Returns true without datagrams.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    /// Returns true if no more datagrams should be added. A fault that repeats a datagram may still
    /// add its copies.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.datagrams.len() >= BATCH_DATAGRAMS || self.bytes.len() >= BATCH_BYTES
    }

    /// Adds a datagram for the receivers of the line.
    pub fn push(&mut self, datagram: &[u8]) {
        self.push_parts(datagram, &[]);
    }

    /// Adds a datagram of two parts for the receivers of the line.
    pub fn push_parts(&mut self, head: &[u8], rest: &[u8]) {
        self.bytes.extend_from_slice(head);
        self.bytes.extend_from_slice(rest);
        self.datagrams.push((self.bytes.len(), None));
    }

    /// Adds a datagram for one receiver.
    pub fn push_to(&mut self, receiver: SocketAddr, datagram: &[u8]) {
        self.bytes.extend_from_slice(datagram);
        self.datagrams.push((self.bytes.len(), Some(receiver)));
    }

    /// Returns the datagrams, each with its receiver if it has one of its own.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Option<SocketAddr>, &[u8])> {
        let mut start = 0;
        self.datagrams.iter().map(move |&(end, receiver)| {
            let datagram = self.bytes.get(start..end).unwrap_or_default();
            start = end;
            (receiver, datagram)
        })
    }
}

/// Lines of an exchange, counted from 0.
///
/// A driver has a socket that sends for each line, and one for its request server. At the line's
/// [`deadline`](Self::line_deadline) it sends the datagrams of [`send_due`](Self::send_due) to the
/// line's receivers until there are none, and those of
/// [`send_late_answers`](Self::send_late_answers) to their own. Each datagram that the request
/// server receives goes to [`receive_request`](Self::receive_request). An example is in
/// [`client::mold`](crate::client::mold).
pub trait DatagramLines {
    /// Returns the number of lines.
    fn line_count(&self) -> usize;

    /// Adds the datagrams that a line sends now to `out`, until it is full.
    fn send_due(&mut self, line: usize, out: &mut DatagramBatch, now: Duration);

    /// Takes a request that a client has sent to a line's request server, and adds the answer to
    /// `out`, for that client alone.
    fn receive_request(
        &mut self,
        line: usize,
        client: SocketAddr,
        request: &[u8],
        out: &mut DatagramBatch,
        now: Duration,
    );

    /// Adds the answers of a line's request server that a fault has delayed until now to `out`.
    fn send_late_answers(&mut self, line: usize, out: &mut DatagramBatch, now: Duration);

    /// Returns the time at which a line has something to send again; `None` if only an order or a
    /// request can change that.
    fn line_deadline(&mut self, line: usize) -> Option<Duration>;
}
