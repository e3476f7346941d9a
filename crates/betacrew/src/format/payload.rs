//! Payload of a file: the meaning of its messages, which decides its columns. A file has one.

use super::{Arrival, Encoder, EncoderTarget, Format, SessionFacts, StreamMark};
use feed::analysis::messages::MessageMeaning;
use feed::base::seq::Seq;
use feed::payload::itch50::Message;
use feed::wire::{Messages, RawFrame, packet_seq};
use std::io;

/// Meaning of the messages of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Payload {
    /// Order packets of 17 bytes.
    Orders,
    /// Nasdaq TotalView-ITCH 5.0.
    Itch50,
    /// Messages of any content, as hexadecimal digits.
    Opaque,
}

/// Returns a message as an order packet; `None` if it is not one, or has another sequence.
pub(crate) fn order_packet(seq: Seq, message: &[u8]) -> Option<RawFrame> {
    let frame = RawFrame::try_from(message).ok()?;
    (packet_seq(&frame) == Some(seq)).then_some(frame)
}

impl Payload {
    /// Returns the payload of a session by its first message.
    pub(crate) fn of(seq: Seq, message: &[u8]) -> Self {
        if order_packet(seq, message).is_some() {
            return Self::Orders;
        }
        match Message::parse(message) {
            Ok(Message::Opaque(_)) | Err(_) => Self::Opaque,
            Ok(_) => Self::Itch50,
        }
    }

    /// Returns the meaning of messages that are no order packets; `None` if they are.
    pub(crate) fn meaning(self) -> Option<MessageMeaning> {
        match self {
            Self::Orders => None,
            Self::Itch50 => Some(MessageMeaning::Itch50),
            Self::Opaque => Some(MessageMeaning::Opaque),
        }
    }

    /// Checks that a message is one of this payload.
    fn check(self, seq: Seq, message: &[u8]) -> io::Result<()> {
        match self {
            Self::Orders if order_packet(seq, message).is_none() => Err(no_order(seq, message)),
            Self::Itch50 => parsed(seq, message).map(drop),
            Self::Orders | Self::Opaque => Ok(()),
        }
    }
}

/// Returns the ITCH message of these bytes.
///
/// # Errors
/// Returns [`io::ErrorKind::InvalidData`] if a message of its type has another length.
pub(super) fn parsed(seq: Seq, message: &[u8]) -> io::Result<Message<'_>> {
    Message::parse(message).map_err(|error| {
        unfit(format!(
            "message {seq} does not fit the payload itch50: {error} --payload opaque writes \
             messages of any content"
        ))
    })
}

fn no_order(seq: Seq, message: &[u8]) -> io::Error {
    let why = match (RawFrame::try_from(message), packet_seq) {
        (Err(_), _) => format!("it has {} bytes, not 17", message.len()),
        (Ok(frame), sequence) => match sequence(&frame) {
            Some(own) => format!("its sequence field is {own}"),
            None => "its fields are not those of an order packet".to_owned(),
        },
    };
    unfit(format!(
        "message {seq} does not fit the payload orders: {why}. --payload opaque writes messages of \
         any content"
    ))
}

fn unfit(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

/// Encoder that opens the encoder of a payload at the first message, and checks that all messages
/// have this payload.
pub(super) struct PayloadEncoder<'a> {
    format: Format,
    /// Payload of the file; `None` until the first message decides it.
    payload: Option<Payload>,
    state: EncoderState<'a>,
    /// Marks before the first message.
    marks: Vec<StreamMark>,
    /// Order packets of a run.
    frames: Vec<RawFrame>,
}

enum EncoderState<'a> {
    /// No message has arrived yet.
    Waiting(EncoderTarget<'a>),
    /// Encoder of the payload.
    Open(Box<dyn Encoder + 'a>),
    /// Encoder that could not be opened.
    Failed,
}

impl<'a> PayloadEncoder<'a> {
    pub(super) fn new(format: Format, payload: Option<Payload>, target: EncoderTarget<'a>) -> Self {
        let state = EncoderState::Waiting(target);
        Self { format, payload, state, marks: Vec::new(), frames: Vec::new() }
    }

    /// Returns the encoder of the payload, opening it if it is not open.
    fn open(&mut self, payload: Payload) -> io::Result<&mut Box<dyn Encoder + 'a>> {
        if let EncoderState::Waiting(_) = &self.state {
            let state = std::mem::replace(&mut self.state, EncoderState::Failed);
            let EncoderState::Waiting(target) = state else { return Err(failed()) };
            let mut encoder = self.format.encoder_of(payload, target)?;
            self.marks.drain(..).try_for_each(|mark| encoder.mark(mark))?;
            self.state = EncoderState::Open(encoder);
        }
        match &mut self.state {
            EncoderState::Open(encoder) => Ok(encoder),
            _ => Err(failed()),
        }
    }
}

/// Returns the error of an encoder that is used after it has failed.
fn failed() -> io::Error {
    io::Error::other("the file could not be begun")
}

impl Encoder for PayloadEncoder<'_> {
    fn put(&mut self, messages: Messages<'_>, arrival: Arrival) -> io::Result<()> {
        let payload = match (self.payload, messages) {
            (Some(payload), _) => payload,
            (None, Messages::Packets(_)) => Payload::Orders,
            (None, Messages::Run(run)) => {
                let Some((seq, message)) = run.iter().next() else { return Ok(()) };
                // Formats without columns take any message.
                match self.format.has_columns() {
                    true => Payload::of(seq, message),
                    false => Payload::Opaque,
                }
            }
        };
        if messages.is_empty() {
            return Ok(());
        }
        if self.format.has_columns() {
            self.payload = Some(payload);
        } else if let Some(payload) = self.payload {
            messages.iter().try_for_each(|(seq, message)| payload.check(seq, message))?;
        }
        match messages {
            Messages::Run(run) if payload == Payload::Orders => {
                let mut frames = std::mem::take(&mut self.frames);
                frames.clear();
                for (seq, message) in run.iter() {
                    let frame = order_packet(seq, message);
                    frames.push(frame.ok_or_else(|| no_order(seq, message))?);
                }
                let done = self.open(payload)?.put(Messages::Packets(&frames), arrival);
                self.frames = frames;
                done
            }
            messages => self.open(payload)?.put(messages, arrival),
        }
    }

    fn mark(&mut self, mark: StreamMark) -> io::Result<()> {
        match &mut self.state {
            EncoderState::Open(encoder) => encoder.mark(mark),
            _ => {
                self.marks.push(mark);
                Ok(())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.state {
            EncoderState::Open(encoder) => encoder.flush(),
            _ => Ok(()),
        }
    }

    fn session_facts(&mut self, facts: SessionFacts) -> io::Result<()> {
        let payload = self.payload.unwrap_or(Payload::Orders);
        self.open(payload)?.session_facts(facts)
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        let payload = self.payload.unwrap_or(Payload::Orders);
        self.open(payload)?;
        match self.state {
            EncoderState::Open(encoder) => encoder.finish(),
            _ => Err(failed()),
        }
    }
}
