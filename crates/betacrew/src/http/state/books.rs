//! Order books of the dashboard, built on a thread of their own so that they never delay the loop.

use crate::error::Failure;
use crate::format::{Arrival, StreamMark};
use crate::http::state;
use crate::output::sink::PacketSink;
use feed::analysis::book::{Book, Books};
use feed::wire::packet::Side;
use feed::wire::{Frame, Messages, RawFrame, decode};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Maximum number of packets queued for the thread; further ones wait in the recording.
const QUEUE_MAX: usize = 1 << 17;
/// Minimum interval between two publications of the books.
const PUBLISH_INTERVAL: Duration = Duration::from_millis(200);
/// Maximum number of symbols shown.
const SYMBOLS_MAX: usize = 50;
/// Maximum number of levels shown a side.
const LEVELS_MAX: usize = 5;

/// Published order books, shared between the book thread and the loop.
#[derive(Clone, Default, Debug)]
pub(crate) struct BookSnapshot(Arc<Mutex<Vec<state::BookView>>>);

impl BookSnapshot {
    /// Returns the newest published books.
    pub(crate) fn get(&self) -> Vec<state::BookView> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn put(&self, books: &Books) {
        let shown = books.books().take(SYMBOLS_MAX).map(|(symbol, book)| {
            // A symbol may hold any four bytes; control bytes must not reach a page or a terminal.
            shown(symbol.trimmed().escape_ascii().to_string(), book)
        });
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = shown.collect();
    }
}

fn shown(symbol: String, book: &Book) -> state::BookView {
    let levels = |side| -> Vec<(i32, i64)> {
        book.depth(side).take(LEVELS_MAX).map(|level| (level.price, level.quantity)).collect()
    };
    let (bids, asks) = (levels(Side::Buy), levels(Side::Sell));
    let (bid, ask) = (bids.first().copied(), asks.first().copied());
    state::BookView { symbol, bid, ask, last: book.last(), bids, asks }
}

/// Sink that takes packets in sequence order and has the book thread build books from them.
#[derive(Debug)]
pub(crate) struct BookBuilder {
    frames: Sender<Vec<RawFrame>>,
    waiting: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

impl BookBuilder {
    /// Starts the book thread of a session. It publishes to `book_snapshot`.
    ///
    /// # Errors
    /// Returns [`Failure::System`] if no thread can be started.
    pub(crate) fn new(book_snapshot: BookSnapshot) -> Result<Self, Failure> {
        let (frames, taken) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let left = Arc::clone(&waiting);
        let thread = std::thread::Builder::new()
            .name("books".to_owned())
            .spawn(move || build_books(&taken, &left, &book_snapshot))
            .map_err(|source| Failure::System {
                action: "cannot start the thread of the order books",
                source,
            })?;
        Ok(Self { frames, waiting, thread })
    }
}

/// Builds books until the sender is dropped.
fn build_books(
    taken: &Receiver<Vec<RawFrame>>,
    waiting: &AtomicUsize,
    book_snapshot: &BookSnapshot,
) {
    let (mut books, mut put) = (Books::default(), Instant::now());
    book_snapshot.put(&books);
    while let Ok(frames) = taken.recv() {
        for frame in &frames {
            if let Ok(Frame::Packet(packet)) = decode(frame) {
                books.add(&packet);
            }
        }
        // The queue is empty: no later packets would publish the newest books.
        if waiting.fetch_sub(frames.len(), Ordering::SeqCst) == frames.len()
            || put.elapsed() >= PUBLISH_INTERVAL
        {
            book_snapshot.put(&books);
            put = Instant::now();
        }
    }
}

impl PacketSink for BookBuilder {
    fn put(&mut self, messages: Messages<'_>, _: Arrival) -> Result<u64, Failure> {
        // The thread ends early only by a panic, which is logged. The recording must go on. Books
        // of messages that are no order packets are not shown.
        let frames = messages.packets();
        if self.thread.is_finished() || frames.is_empty() {
            return Ok(messages.len());
        }
        let room = QUEUE_MAX.saturating_sub(self.waiting.load(Ordering::SeqCst));
        let taken = &frames[..frames.len().min(room)];
        if !taken.is_empty() {
            self.waiting.fetch_add(taken.len(), Ordering::SeqCst);
            let _ = self.frames.send(taken.to_vec());
        }
        Ok(taken.len() as u64)
    }

    fn mark(&mut self, _: StreamMark) -> Result<(), Failure> {
        Ok(())
    }

    fn idle(&mut self, _: Duration) -> Result<Option<Duration>, Failure> {
        Ok(None)
    }

    fn wait(&mut self) -> Result<(), Failure> {
        std::thread::sleep(Duration::from_millis(1));
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), Failure> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use feed::tape::in_memory::Tape;

    #[test]
    fn books_are_built_from_packets() {
        let book_snapshot = BookSnapshot::default();
        let mut builder = Box::new(BookBuilder::new(book_snapshot.clone()).unwrap());
        let tape = Tape::classic();
        assert_eq!(builder.put(Messages::Packets(tape.frames()), Arrival::UNKNOWN).unwrap(), 14);
        let books = loop {
            let books = book_snapshot.get();
            if books.len() == 4 {
                break books;
            }
            std::thread::yield_now();
        };
        let apple = &books[0];
        assert_eq!(
            (apple.symbol.as_str(), apple.bid, apple.ask),
            ("AAPL", Some((100, 50)), Some((101, 20)))
        );
        assert_eq!((&apple.bids[..], apple.last), (&[(100, 50), (98, 30)][..], None));
        builder.finish().unwrap();
    }

    #[test]
    fn a_thread_that_has_ended_blocks_no_recording() {
        let mut builder = BookBuilder::new(BookSnapshot::default()).unwrap();
        builder.waiting.store(QUEUE_MAX, Ordering::SeqCst);
        builder.frames = channel().0;
        while !builder.thread.is_finished() {
            std::thread::yield_now();
        }
        let tape = Tape::classic();
        assert_eq!(builder.put(Messages::Packets(tape.frames()), Arrival::UNKNOWN).unwrap(), 14);
    }

    #[test]
    fn a_full_queue_takes_only_what_fits() {
        let mut builder = BookBuilder::new(BookSnapshot::default()).unwrap();
        builder.waiting.fetch_add(QUEUE_MAX - 5, Ordering::SeqCst);
        let tape = Tape::classic();
        assert_eq!(
            builder.put(Messages::Packets(tape.frames()), Arrival::UNKNOWN).unwrap(),
            5,
            "as many as there is room"
        );
    }
}
