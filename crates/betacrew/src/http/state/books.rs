//! The order books of a dashboard: made from packets in order, on a thread of their own.

use crate::error::Failure;
use crate::format::{Arrival, StreamMark};
use crate::http::state;
use crate::output::sink::PacketSink;
use feed::analysis::book::{Book, Books};
use feed::wire::packet::Side;
use feed::wire::{Frame, RawFrame, decode};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// So many packets wait for the thread; the others wait in the recording.
const WAITING: usize = 1 << 17;
/// Books are put where they are seen so often.
const OFTEN: Duration = Duration::from_millis(200);
/// So many symbols are shown, and so many levels a side.
const SYMBOLS: usize = 50;
const LEVELS: usize = 5;

/// Where the books are seen.
#[derive(Clone, Default, Debug)]
pub(crate) struct BookSnapshot(Arc<Mutex<Vec<state::BookView>>>);

impl BookSnapshot {
    pub(crate) fn look(&self) -> Vec<state::BookView> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn put(&self, books: &Books) {
        let shown = books.books().take(SYMBOLS).map(|(symbol, book)| {
            // Letters as they are, anything else escaped.
            shown(symbol.trimmed().escape_ascii().to_string(), book)
        });
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = shown.collect();
    }
}

fn shown(symbol: String, book: &Book) -> state::BookView {
    let levels = |side| -> Vec<(i32, i64)> {
        book.depth(side).take(LEVELS).map(|level| (level.price, level.quantity)).collect()
    };
    let (bids, asks) = (levels(Side::Buy), levels(Side::Sell));
    let (bid, ask) = (bids.first().copied(), asks.first().copied());
    state::BookView { symbol, bid, ask, last: book.last(), bids, asks }
}

/// Takes packets in order, and has the books made from them.
#[derive(Debug)]
pub(crate) struct BookBuilder {
    frames: Sender<Vec<RawFrame>>,
    waiting: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

impl BookBuilder {
    /// Books of a session that begins, on this shelf.
    ///
    /// # Errors
    /// [`Failure::System`] where there can be no more threads.
    pub(crate) fn new(shelf: BookSnapshot) -> Result<Self, Failure> {
        let (frames, taken) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let left = Arc::clone(&waiting);
        let thread = std::thread::Builder::new()
            .name("books".to_owned())
            .spawn(move || keep(&taken, &left, &shelf))
            .map_err(|source| Failure::System { action: "cannot keep books", source })?;
        Ok(Self { frames, waiting, thread })
    }
}

/// Keeps books until no more packets can come.
fn keep(taken: &Receiver<Vec<RawFrame>>, waiting: &AtomicUsize, shelf: &BookSnapshot) {
    let (mut books, mut put) = (Books::default(), Instant::now());
    shelf.put(&books);
    while let Ok(frames) = taken.recv() {
        for frame in &frames {
            if let Ok(Frame::Packet(packet)) = decode(frame) {
                books.add(&packet);
            }
        }
        // What comes last is shown at once.
        if waiting.fetch_sub(frames.len(), Ordering::SeqCst) == frames.len()
            || put.elapsed() >= OFTEN
        {
            shelf.put(&books);
            put = Instant::now();
        }
    }
}

impl PacketSink for BookBuilder {
    fn put(&mut self, frames: &[RawFrame], _: Arrival) -> Result<usize, Failure> {
        // A thread that has ended, by a panic that was shown, keeps nobody else from working.
        if self.thread.is_finished() {
            return Ok(frames.len());
        }
        let room = WAITING.saturating_sub(self.waiting.load(Ordering::SeqCst));
        let taken = &frames[..frames.len().min(room)];
        if !taken.is_empty() {
            self.waiting.fetch_add(taken.len(), Ordering::SeqCst);
            let _ = self.frames.send(taken.to_vec());
        }
        Ok(taken.len())
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
    fn books_are_made_from_what_comes() {
        let shelf = BookSnapshot::default();
        let mut keeper = Box::new(BookBuilder::new(shelf.clone()).unwrap());
        let tape = Tape::classic();
        assert_eq!(keeper.put(tape.frames(), Arrival::UNKNOWN).unwrap(), 14);
        let books = loop {
            let books = shelf.look();
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
        keeper.finish().unwrap();
    }

    #[test]
    fn a_thread_that_has_ended_keeps_nobody_waiting() {
        let mut keeper = BookBuilder::new(BookSnapshot::default()).unwrap();
        keeper.waiting.store(WAITING, Ordering::SeqCst);
        keeper.frames = channel().0;
        while !keeper.thread.is_finished() {
            std::thread::yield_now();
        }
        let tape = Tape::classic();
        assert_eq!(keeper.put(tape.frames(), Arrival::UNKNOWN).unwrap(), 14);
    }

    #[test]
    fn a_thread_that_is_behind_is_waited_for_by_nobody() {
        let mut keeper = BookBuilder::new(BookSnapshot::default()).unwrap();
        keeper.waiting.fetch_add(WAITING - 5, Ordering::SeqCst);
        let tape = Tape::classic();
        assert_eq!(
            keeper.put(tape.frames(), Arrival::UNKNOWN).unwrap(),
            5,
            "as many as there is room"
        );
    }
}
