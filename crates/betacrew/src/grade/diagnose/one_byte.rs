//! Causes in the single byte that a resend call has for the sequence.

use crate::grade::observe::evidence::Evidence;
use crate::grade::run::process::ProcessEnd;
use feed::base::seq::Seq;

/// Highest sequence that fits into the byte of a resend call.
pub(super) const BYTE_MAX: Seq = 255;

/// Highest sequence that fits into a signed byte, which some clients write.
const SIGNED_BYTE_MAX: Seq = 127;

/// Number of the first of [`TOO_LARGE`] that say so without doubt.
const CERTAIN: usize = 8;

/// Number of the first of [`TOO_LARGE`] that name the limit of a byte, so that nothing else can be
/// meant.
const LIMITS: usize = 2;

/// Words with which runtimes report, in lower case, that a number does not fit into a byte.
const TOO_LARGE: [&str; 12] = [
    "<= 255",
    "<= 127",
    "ubyte",
    "byte format requires",
    "range(0, 256)",
    "byte must be",
    "int too big",
    "tryfrominterror",
    "out of range integral",
    "unsigned byte",
    "too large or too small",
    "overflow",
];

/// Detects that the client crashed on a sequence that does not fit into one byte.
pub(super) fn too_large_to_ask(evidence: &Evidence) -> Option<String> {
    let stderr_text = String::from_utf8_lossy(&evidence.process.stderr).to_lowercase();
    // A client may also log the error on stdout.
    let logged = String::from_utf8_lossy(&evidence.process.stdout).to_lowercase();
    let says = |word: &&&str| stderr_text.contains(**word) || logged.contains(**word);
    let is_signed = ["<= 127", ">= -128", "signed byte"].iter().any(|word| says(&word));
    let limit = if is_signed { SIGNED_BYTE_MAX } else { BYTE_MAX };
    // A client that has requested a packet has crashed on another one.
    let mut high = evidence.gaps().range(limit + 1..);
    let first = high.find(|seq| !evidence.requested().contains(seq))?;
    // A client may also catch the error, and wait for an answer to a request that it never sent.
    let has_crashed =
        matches!(evidence.process.ended, ProcessEnd::Signal(_) | ProcessEnd::Exited(1..));
    let words = if has_crashed { &TOO_LARGE[..] } else { &TOO_LARGE[..CERTAIN] };
    let is_said = words.iter().any(|words| stderr_text.contains(words))
        || TOO_LARGE[..LIMITS].iter().any(|word| says(&word));
    is_said.then(|| {
        format!(
            "the client failed on the request for packet {first}: a resend call has one byte for \
             the sequence. Higher packets must be received in another stream"
        )
    })
}

/// Minimum number of requests up to the limit of a byte with which it is no accident that there are
/// none above.
const BELOW_MIN: usize = 2;

/// Detects that the client requested every missing packet up to the limit of a byte and none above,
/// and then did not come to its end.
pub(super) fn stops_at_a_byte(evidence: &Evidence) -> Option<String> {
    let (gaps, requested) = (evidence.gaps(), evidence.requested());
    let stops = |limit: &Seq| {
        gaps.range(..=*limit).count() >= BELOW_MIN
            && gaps.range(limit + 1..).next().is_some()
            && gaps.iter().all(|seq| requested.contains(seq) == (seq <= limit))
    };
    let limit = [BYTE_MAX, SIGNED_BYTE_MAX].into_iter().find(stops)?;
    (!evidence.has_output() && evidence.wire.streams() == 1).then(|| {
        format!(
            "the client requested every missing packet up to {limit} and none above: a resend call \
             has one byte for the sequence. Higher packets must be received in another stream"
        )
    })
}

/// Detects that the client requested the lowest byte of a sequence above 255.
pub(super) fn cut_to_a_byte(evidence: &Evidence) -> Option<String> {
    let (gaps, requested, streamed) = (evidence.gaps(), evidence.requested(), evidence.streamed());
    // A resend call of the original protocol has one byte for the sequence.
    let cut = |seq: Seq| seq % 256;
    let high: Vec<Seq> =
        gaps.iter().copied().filter(|seq| *seq > 255 && evidence.output_lacks(*seq)).collect();
    let wrong = high.iter().copied().filter(|seq| {
        let low = cut(*seq);
        requested.contains(&low) && (streamed.contains(&low) || low == 0)
    });
    let wrong: Vec<Seq> = wrong.collect();
    let first = wrong.first()?;
    // A client that requests other received packets has another reason for these as well.
    let needless = requested.iter().filter(|seq| streamed.contains(seq) && !gaps.contains(seq));
    let explained = needless.into_iter().all(|seq| high.iter().any(|high| cut(*high) == *seq));
    // A client that is killed at the time limit has not requested all of them, so half is enough.
    (explained && wrong.len() * 2 >= high.len()).then(|| {
        format!(
            "the client requested packet {} when packet {first} was missing: a resend call has one \
             byte for the sequence, and the other bytes were cut off. Higher packets must be \
             received in another stream",
            cut(*first)
        )
    })
}
