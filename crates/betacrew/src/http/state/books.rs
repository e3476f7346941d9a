//! Order books of the dashboard, built on a thread of their own so that they never delay the loop.

use crate::error::Failure;
use crate::format::{Arrival, StreamMark};
use crate::http::state::{BookPrice, BookView};
use crate::output::sink::PacketSink;
use feed::analysis::book;
use feed::analysis::messages::{MessageMeaning, MessageStats};
use feed::payload::itch50;
use feed::wire::packet::Side;
use feed::wire::{FRAME_LEN, Frame, Framing, Messages, RawFrame, Run, decode};
use std::cmp::Reverse;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Maximum number of bytes of messages queued for the thread; further ones wait in the recording.
const QUEUE_MAX: usize = FRAME_LEN << 17;
/// Minimum interval between two publications of the books.
const PUBLISH_INTERVAL: Duration = Duration::from_millis(200);
/// Maximum number of books shown.
const BOOKS_MAX: usize = 50;
/// Maximum number of levels shown a side.
const LEVELS_MAX: usize = 5;

/// Order books as pages show them.
#[derive(Clone, Default, Debug)]
pub(crate) struct ShownBooks {
    /// Books; `None` if the messages are opaque.
    pub(crate) books: Option<Vec<BookView>>,
    /// Number of all books.
    pub(crate) total: u64,
    /// Number of ITCH messages that contradicted the books and changed nothing.
    pub(crate) refused: Option<u64>,
}

/// Published order books, shared between the book thread and the loop.
#[derive(Clone, Default, Debug)]
pub(crate) struct BookSnapshot(Arc<Mutex<ShownBooks>>);

impl BookSnapshot {
    /// Returns the newest published books.
    pub(crate) fn get(&self) -> ShownBooks {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn put(&self, shown: ShownBooks) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = shown;
    }
}

/// Books of a session, of the payload that its first message has.
enum SessionBooks {
    /// Books of order packets.
    Orders(book::Books),
    /// Books of ITCH messages.
    Itch(itch50::Books),
    /// Messages without books.
    Opaque,
}

impl SessionBooks {
    fn add_packets(&mut self, frames: &[RawFrame]) {
        let Self::Orders(books) = self else { return };
        for frame in frames {
            if let Ok(Frame::Packet(packet)) = decode(frame) {
                books.add(&packet);
            }
        }
    }

    /// Adds messages, as `inspect --book` adds them. `stats` tells which of them are ITCH.
    fn add_run(&mut self, run: &Run<'_>, stats: &mut MessageStats) {
        for (_, bytes) in run.iter() {
            let message = stats.add(bytes);
            match (&mut *self, message) {
                // Messages that contradict the books are counted by them.
                (Self::Itch(books), Some(message)) => {
                    let _ = books.apply(&message);
                }
                (Self::Orders(_), Some(message)) => {
                    let mut books = itch50::Books::new();
                    let _ = books.apply(&message);
                    *self = Self::Itch(books);
                }
                (_, None) if !stats.is_itch() => *self = Self::Opaque,
                _ => {}
            }
        }
    }

    fn shown(&self) -> ShownBooks {
        match self {
            Self::Orders(books) => {
                let shown = books.books().take(BOOKS_MAX);
                let shown = shown.map(|(symbol, book)| of_orders(symbol.trimmed(), book));
                let total = books.books().count() as u64;
                ShownBooks { books: Some(shown.collect()), total, refused: None }
            }
            Self::Itch(books) => {
                let mut all: Vec<(u16, &itch50::Book)> =
                    books.books().filter(|(_, book)| book.order_count() > 0).collect();
                let total = all.len() as u64;
                all.sort_by_key(|(locate, book)| (Reverse(book.order_count()), *locate));
                all.truncate(BOOKS_MAX);
                // Rows of a table must not change places with each order.
                all.sort_by_key(|(locate, _)| *locate);
                let shown = all.into_iter().map(|(locate, book)| of_itch(locate, book));
                let books_shown = Some(shown.collect());
                ShownBooks { books: books_shown, total, refused: Some(books.refused()) }
            }
            Self::Opaque => ShownBooks::default(),
        }
    }
}

/// Returns text that has no control characters, because a symbol may hold any bytes.
fn escaped(symbol: &[u8]) -> String {
    symbol.escape_ascii().to_string()
}

fn of_orders(symbol: &[u8], book: &book::Book) -> BookView {
    let levels = |side| -> Vec<(BookPrice, i64)> {
        let levels = book.depth(side).take(LEVELS_MAX);
        levels.map(|level| (BookPrice::Units(level.price), level.quantity)).collect()
    };
    let (bids, asks) = (levels(Side::Buy), levels(Side::Sell));
    let last = book.last().map(BookPrice::Units);
    BookView { symbol: escaped(symbol), last, ..BookView::of_levels(bids, asks) }
}

fn of_itch(locate: u16, book: &itch50::Book) -> BookView {
    let levels = |side| -> Vec<(BookPrice, i64)> {
        let levels = book.levels(side).take(LEVELS_MAX);
        let shown = levels.map(|level| {
            let dollars = f64::from(level.price.0) / 10_000.0;
            (BookPrice::Dollars(dollars), i64::try_from(level.shares).unwrap_or(i64::MAX))
        });
        shown.collect()
    };
    let (bids, asks) = (levels(Side::Buy), levels(Side::Sell));
    let symbol = book.stock().map(|stock| escaped(stock.trimmed()));
    BookView {
        symbol: symbol.unwrap_or_else(|| format!("locate {locate}")),
        stock_locate: Some(locate),
        orders: Some(book.order_count() as u64),
        ..BookView::of_levels(bids, asks)
    }
}

/// Messages on their way to the book thread.
#[derive(Debug)]
enum Piece {
    Packets(Vec<RawFrame>),
    Run { first: u64, count: u64, framing: Framing, bytes: Vec<u8> },
}

impl Piece {
    /// Returns the number of bytes that the piece takes in the queue.
    fn len(&self) -> usize {
        match self {
            Self::Packets(frames) => frames.len() * FRAME_LEN,
            Self::Run { bytes, .. } => bytes.len(),
        }
    }

    /// Returns the number of messages.
    fn messages(&self) -> u64 {
        match self {
            Self::Packets(frames) => frames.len() as u64,
            Self::Run { count, .. } => *count,
        }
    }
}

/// Sink that takes messages in sequence order and has the book thread build books from them.
#[derive(Debug)]
pub(crate) struct BookBuilder {
    pieces: Sender<Piece>,
    /// Number of bytes in the queue.
    waiting: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

impl BookBuilder {
    /// Starts the book thread of a session. It publishes to `book_snapshot`. Without a `meaning`,
    /// the first message decides whether messages are ITCH.
    ///
    /// # Errors
    /// Returns [`Failure::System`] if no thread can be started.
    pub(crate) fn new(
        book_snapshot: BookSnapshot,
        meaning: Option<MessageMeaning>,
    ) -> Result<Self, Failure> {
        let (pieces, taken) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let left = Arc::clone(&waiting);
        let thread = std::thread::Builder::new()
            .name("books".to_owned())
            .spawn(move || build_books((&taken, &left), &book_snapshot, meaning))
            .map_err(|source| Failure::System {
                action: "cannot start the thread of the order books",
                source,
            })?;
        Ok(Self { pieces, waiting, thread })
    }
}

/// Builds books until the sender is dropped, or the messages turn out to be opaque.
fn build_books(
    (taken, waiting): (&Receiver<Piece>, &AtomicUsize),
    book_snapshot: &BookSnapshot,
    meaning: Option<MessageMeaning>,
) {
    let mut books = SessionBooks::Orders(book::Books::default());
    let (mut stats, mut put) = (MessageStats::with_meaning(meaning), Instant::now());
    book_snapshot.put(books.shown());
    while let Ok(piece) = taken.recv() {
        match &piece {
            Piece::Packets(frames) => books.add_packets(frames),
            Piece::Run { first, count, framing, bytes } => {
                let run = Run::counted(*first, *count, *framing, bytes);
                run.iter().for_each(|run| books.add_run(run, &mut stats));
            }
        }
        // The queue is empty: no later messages would publish the newest books.
        if waiting.fetch_sub(piece.len(), Ordering::SeqCst) == piece.len()
            || put.elapsed() >= PUBLISH_INTERVAL
        {
            book_snapshot.put(books.shown());
            put = Instant::now();
        }
        if matches!(books, SessionBooks::Opaque) {
            return;
        }
    }
}

/// Returns the longest part of the messages that fits into this number of bytes of the queue, or a
/// single message.
fn first_within(messages: Messages<'_>, room: usize) -> Option<Piece> {
    match messages {
        _ if room == 0 => None,
        Messages::Packets(frames) => {
            let taken = &frames[..frames.len().min(room / FRAME_LEN)];
            (!taken.is_empty()).then(|| Piece::Packets(taken.to_vec()))
        }
        Messages::Run(run) => {
            let (taken, _) = run.split_within(room);
            let (first, count) = (taken.range().first(), taken.range().len());
            let (framing, bytes) = (taken.framing(), taken.bytes().to_vec());
            Some(Piece::Run { first, count, framing, bytes })
        }
    }
}

impl PacketSink for BookBuilder {
    fn put(&mut self, messages: Messages<'_>, _: Arrival) -> Result<u64, Failure> {
        // The thread ends if the messages are opaque, or by a panic, which is logged. The recording
        // must go on.
        if self.thread.is_finished() || messages.is_empty() {
            return Ok(messages.len());
        }
        let room = QUEUE_MAX.saturating_sub(self.waiting.load(Ordering::SeqCst));
        let Some(piece) = first_within(messages, room) else { return Ok(0) };
        let taken = piece.messages();
        self.waiting.fetch_add(piece.len(), Ordering::SeqCst);
        let _ = self.pieces.send(piece);
        Ok(taken)
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
    use feed::base::seq::SeqRange;
    use feed::tape::in_memory::Tape;
    use feed::tape::itch_market::ItchMarket;
    use feed::tape::source::TapeSource;

    #[test]
    fn books_are_built_from_packets() {
        let book_snapshot = BookSnapshot::default();
        let mut builder = Box::new(BookBuilder::new(book_snapshot.clone(), None).unwrap());
        let tape = Tape::classic();
        assert_eq!(builder.put(Messages::Packets(tape.frames()), Arrival::UNKNOWN).unwrap(), 14);
        let books = loop {
            let books = book_snapshot.get().books.unwrap_or_default();
            if books.len() == 4 {
                break books;
            }
            std::thread::yield_now();
        };
        let apple = &books[0];
        let at = |price, quantity| (BookPrice::Units(price), quantity);
        assert_eq!(
            (apple.symbol.as_str(), apple.bid, apple.ask),
            ("AAPL", Some(at(100, 50)), Some(at(101, 20)))
        );
        assert_eq!((&apple.bids[..], apple.last), (&[at(100, 50), at(98, 30)][..], None));
        builder.finish().unwrap();
    }

    #[test]
    fn books_of_itch_messages_are_those_of_inspect() {
        let book_snapshot = BookSnapshot::default();
        let mut builder = BookBuilder::new(book_snapshot.clone(), None).unwrap();
        // Half a day, which is longer than the queue and ends with orders in the books.
        let mut tape = ItchMarket::seeded(3, 200_000);
        let mut expected = itch50::Books::new();
        let (mut next, mut added) = (1, 0);
        while let Some(range) = SeqRange::new(next, tape.last() / 2) {
            let messages = tape.messages(range);
            for (seq, bytes) in messages.iter() {
                // A full queue is offered the rest of the messages again.
                if seq > added {
                    expected.apply(&itch50::Message::parse(bytes).unwrap()).unwrap();
                    added = seq;
                }
            }
            next += builder.put(messages, Arrival::UNKNOWN).unwrap();
        }
        let wanted = SessionBooks::Itch(expected).shown();
        let shown = loop {
            let shown = book_snapshot.get();
            if shown.books == wanted.books {
                break shown;
            }
            std::thread::yield_now();
        };
        let books = shown.books.unwrap();
        assert!(!books.is_empty() && books.len() <= BOOKS_MAX);
        assert_eq!((shown.total, shown.refused), (wanted.total, Some(0)));
        let first = &books[0];
        assert!(first.stock_locate.is_some() && first.orders.is_some_and(|orders| orders > 0));
        assert!(matches!(first.bid, Some((BookPrice::Dollars(bid), _)) if bid > 0.0));
    }

    #[test]
    fn opaque_messages_have_no_books_and_cost_no_thread() {
        let book_snapshot = BookSnapshot::default();
        let mut builder = BookBuilder::new(book_snapshot.clone(), None).unwrap();
        let bytes = [0, 2, b'h', b'i'];
        let run = Run::counted(1, 1, Framing::Length, &bytes).unwrap();
        assert_eq!(builder.put(run.into(), Arrival::UNKNOWN).unwrap(), 1);
        while !builder.thread.is_finished() {
            std::thread::yield_now();
        }
        assert!(book_snapshot.get().books.is_none());
        assert_eq!(builder.put(run.into(), Arrival::UNKNOWN).unwrap(), 1);
    }

    #[test]
    fn a_thread_that_has_ended_blocks_no_recording() {
        let mut builder = BookBuilder::new(BookSnapshot::default(), None).unwrap();
        builder.waiting.store(QUEUE_MAX, Ordering::SeqCst);
        builder.pieces = channel().0;
        while !builder.thread.is_finished() {
            std::thread::yield_now();
        }
        let tape = Tape::classic();
        assert_eq!(builder.put(Messages::Packets(tape.frames()), Arrival::UNKNOWN).unwrap(), 14);
    }

    #[test]
    fn a_full_queue_takes_only_what_fits() {
        let mut builder = BookBuilder::new(BookSnapshot::default(), None).unwrap();
        builder.waiting.fetch_add(QUEUE_MAX - 5 * FRAME_LEN - 1, Ordering::SeqCst);
        let tape = Tape::classic();
        assert_eq!(
            builder.put(Messages::Packets(tape.frames()), Arrival::UNKNOWN).unwrap(),
            5,
            "as many as there is room"
        );
    }
}
