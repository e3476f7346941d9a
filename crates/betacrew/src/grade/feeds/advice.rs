//! Advice on the causes of other protocols than the exercise's.

use super::protocol::GradedProtocol;

/// Advice on one cause.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FeedAdvice {
    /// Id of the cause.
    pub(crate) id: &'static str,
    /// Mistake, as the end of a sentence that begins with "the client".
    pub(crate) mistake: &'static str,
    /// Remedy, as one sentence.
    pub(crate) fix: &'static str,
}

/// Returns all advice on the causes of a protocol; none for the exercise's, which has tables of its
/// own.
pub(crate) const fn all(protocol: GradedProtocol) -> &'static [FeedAdvice] {
    match protocol {
        GradedProtocol::Betacrew => &[],
        GradedProtocol::Soup => SOUP,
        GradedProtocol::Mold => MOLD,
    }
}

/// Returns the advice on a cause of a protocol.
pub(crate) fn find(protocol: GradedProtocol, id: &str) -> Option<&'static FeedAdvice> {
    all(protocol).iter().find(|advice| advice.id == id)
}

/// Advice on the causes in SoupBinTCP.
const SOUP: &[FeedAdvice] = &[
    FeedAdvice {
        id: "from-the-end",
        mistake: "logs in with sequence 0, which asks for new messages only",
        fix: "Log in with the sequence of the next message that you need: 1 at first, and never 0, \
              which means only new ones.",
    },
    FeedAdvice {
        id: "crash",
        mistake: "crashes; the cause quotes the error of its runtime",
        fix: "Mend the line that the error names; an error of a connection must end that \
              connection only, and never the client.",
    },
    FeedAdvice {
        id: "no-login",
        mistake: "connects and sends no login request",
        fix: "Send a login request of 49 bytes (type L) as soon as a connection is open, because \
              an exchange sends nothing before it.",
    },
    FeedAdvice {
        id: "counts-others",
        mistake: "writes or counts heartbeats, debug packets, unsequenced messages or unknown \
                  packets as messages",
        fix: "Look at the type of each packet, and count and write those of type S only.",
    },
    FeedAdvice {
        id: "stops-at-others",
        mistake: "reads no further at a debug packet, an unsequenced message or an unknown type",
        fix: "Skip a packet whose type you do not need by its length, and read on, whatever its \
              type is.",
    },
    FeedAdvice {
        id: "part-kept",
        mistake: "writes the first bytes of a message whose connection ended inside it",
        fix: "Write a message only when all bytes that its length announces have arrived, and drop \
              the rest of a broken connection.",
    },
    FeedAdvice {
        id: "first-of-read",
        mistake: "takes a read for a packet",
        fix: "Take packets off a buffer in a loop, each with two bytes of length in front, until \
              the buffer has no whole packet.",
    },
    FeedAdvice {
        id: "split-packet",
        mistake: "does not join the bytes of two reads",
        fix: "Append each read to a buffer of the connection, and take a packet only when all its \
              bytes are there.",
    },
    FeedAdvice {
        id: "accepted-sequence-ignored",
        mistake: "counts from the sequence that it requested, not from the accepted one",
        fix: "Number the messages from the sequence in the Login Accepted packet, whatever you \
              have requested.",
    },
    FeedAdvice {
        id: "starts-over",
        mistake: "logs in again from an earlier message than the next one, and keeps the copies",
        fix: "Log in again with the session and the sequence of the next message, and skip \
              messages that you have.",
    },
    FeedAdvice {
        id: "mixes-sessions",
        mistake: "writes messages of another session behind those of the first",
        fix: "Log in again with the name of the session that you record, and stop if another one \
              is accepted.",
    },
    FeedAdvice {
        id: "gives-up",
        mistake: "ends when its connection breaks, or when a login is rejected because the session \
                  is not available",
        fix: "Connect and log in again after a pause of half a second, some times, when a \
              connection breaks or the session is not available.",
    },
    FeedAdvice {
        id: "waits-for-login",
        mistake: "waits for the answer to a login for ever",
        fix: "Close the connection if no answer to the login has come within some seconds, and try \
              again.",
    },
    FeedAdvice {
        id: "no-length-ignored",
        mistake: "keeps a connection behind a length of 0",
        fix: "Close the connection when a packet has a length of 0, because nothing behind it can \
              be read, and log in again.",
    },
    FeedAdvice {
        id: "waits-in-silence",
        mistake: "keeps a connection on which nothing arrives, not even heartbeats",
        fix: "Close the connection when nothing has arrived for 15 seconds, not even a heartbeat, \
              and log in again.",
    },
    FeedAdvice {
        id: "ends-early",
        mistake: "ends although no end of the session has come",
        fix: "End only when the End of Session packet has arrived, and log in again if a \
              connection ends before.",
    },
    FeedAdvice {
        id: "end-ignored",
        mistake: "goes on after the end of the session, or logs in again",
        fix: "Close the connection when the End of Session packet has arrived, and end without \
              another login.",
    },
    FeedAdvice {
        id: "no-heartbeats",
        mistake: "sends no heartbeats, or too few",
        fix: "Send a heartbeat whenever you have sent nothing for a second, from a timer that \
              reads do not hold up.",
    },
    FeedAdvice {
        id: "retries-for-ever",
        mistake: "logs in again and again, although it is rejected or gets no message each time",
        fix: "End with an error when a login is rejected as not authorized, and after some logins \
              in a row that bring no message.",
    },
    FeedAdvice {
        id: "always-zero",
        mistake: "ends with exit code 0 even if messages are missing",
        fix: "End with an exit code other than 0 if the end of the session has not come or a \
              message is missing.",
    },
    FeedAdvice {
        id: "lingers",
        mistake: "has all messages, and something keeps it running",
        fix: "Close every socket, timer and thread when the session has ended, or end the process \
              then.",
    },
    FeedAdvice {
        id: "too-slow",
        mistake: "was still active at the time limit",
        fix: "Read in large pieces and write behind a buffer, so that nothing waits for a single \
              message.",
    },
];

/// Advice on the causes in MoldUDP64.
const MOLD: &[FeedAdvice] = &[
    FeedAdvice {
        id: "crash",
        mistake: "crashes; the cause quotes the error of its runtime",
        fix: "Mend the line that the error names, and check every length and count of a datagram \
              before you use it.",
    },
    FeedAdvice {
        id: "heartbeat-as-message",
        mistake: "writes a message of 0 bytes for a heartbeat or an end of session",
        fix: "Take a count of 0 for a heartbeat and one of 65,535 for the end of the session: \
              neither has messages.",
    },
    FeedAdvice {
        id: "end-as-count",
        mistake: "takes the count of an end of session (65,535) for a number of messages",
        fix: "Compare the count with 65,535 first, which is the end of the session and no number \
              of messages.",
    },
    FeedAdvice {
        id: "other-session-kept",
        mistake: "takes messages from datagrams of another session",
        fix: "Compare the session in each datagram with that of the first one, and ignore \
              datagrams of others.",
    },
    FeedAdvice {
        id: "damaged-counted",
        mistake: "takes the messages of damaged datagrams for received, and does not request them",
        fix: "Count a message as received only when all its bytes are in the datagram, and request \
              the others.",
    },
    FeedAdvice {
        id: "damaged-kept",
        mistake: "writes what is in damaged datagrams",
        fix: "Check that the lengths of all messages fit into the datagram, and ignore a datagram \
              in which they do not.",
    },
    FeedAdvice {
        id: "stops-in-silence",
        mistake: "ends when nothing has come for a while",
        fix: "Wait for the end of the session: heartbeats come each second, and a line may be \
              silent for longer.",
    },
    FeedAdvice {
        id: "end-believed",
        mistake: "ends at an end of session although messages follow it",
        fix: "Go on after an end of session if messages beyond its sequence arrive, or until it \
              has been repeated for a while.",
    },
    FeedAdvice {
        id: "first-of-datagram",
        mistake: "takes only the first message of a datagram",
        fix: "Read as many messages as the count says, each with two bytes of length in front.",
    },
    FeedAdvice {
        id: "never-requests",
        mistake: "requests nothing",
        fix: "When a datagram begins behind the next expected message, send a request for what is \
              between to the request server.",
    },
    FeedAdvice {
        id: "first-gap-only",
        mistake: "requests its first gap and no other",
        fix: "Keep all missing messages in a list, and request the next range as soon as one is \
              filled.",
    },
    FeedAdvice {
        id: "start-unseen",
        mistake: "does not notice that the first messages are missing",
        fix: "Expect message 1 first, and request what is before the first datagram that you \
              receive.",
    },
    FeedAdvice {
        id: "tail-unseen",
        mistake: "does not notice that the last messages are missing",
        fix: "Read the sequence of heartbeats and of the end of session, which is the next \
              message: all before it must be there.",
    },
    FeedAdvice {
        id: "one-server-only",
        mistake: "requests messages only from a server that never answers, although the other line \
                  has one",
        fix: "Send a request that is not answered in time to the request server of the other line.",
    },
    FeedAdvice {
        id: "partial-answer",
        mistake: "does not request the rest of an answer that has fewer messages than requested",
        fix: "When an answer has fewer messages than requested, request the rest at once.",
    },
    FeedAdvice {
        id: "not-asked-again",
        mistake: "does not repeat a request that was not answered",
        fix: "Repeat a request that is not answered within about a second, as long as messages are \
              missing.",
    },
    FeedAdvice {
        id: "answers-unread",
        mistake: "requests messages and does not write the answers",
        fix: "Read the answers on the socket that sent the request, and treat them like datagrams \
              of the line.",
    },
    FeedAdvice {
        id: "duplicates-kept",
        mistake: "writes each copy of a message",
        fix: "Write a message only if its sequence is still missing, and skip all others.",
    },
    FeedAdvice {
        id: "arrival-order",
        mistake: "writes messages in the order of arrival",
        fix: "Hold messages behind a gap back until it is filled, or sort by sequence before you \
              write.",
    },
    FeedAdvice {
        id: "end-ignored",
        mistake: "goes on after the end of the session",
        fix: "End when the end of the session has come and no message before it is missing.",
    },
    FeedAdvice {
        id: "never-gives-up",
        mistake: "requests a message for ever that is not answered",
        fix: "Stop after some unanswered requests for the same message, and report by the exit \
              code what is missing.",
    },
    FeedAdvice {
        id: "waits-in-silence",
        mistake: "waits for ever for a line on which nothing of the session arrives any more",
        fix: "Give up when nothing of the session has arrived for some seconds, not even a \
              heartbeat, and report by the exit code what is missing.",
    },
    FeedAdvice {
        id: "always-zero",
        mistake: "ends with exit code 0 even if messages are missing",
        fix: "End with an exit code other than 0 if a message is missing at the end.",
    },
    FeedAdvice {
        id: "too-slow",
        mistake: "was still requesting at the time limit",
        fix: "Request whole ranges of missing messages at once, and several of them before the \
              first answer has come.",
    },
];
