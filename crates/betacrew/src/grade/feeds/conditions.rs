//! Conditions under which a client passes a case of a feed.

use crate::grade::feeds::mold::rules::MoldRule;
use crate::grade::feeds::soup::rules::SoupRule;

/// Condition under which a client passes a case.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FeedCondition {
    /// The output has every message of the tape once, in any order, and nothing else.
    AnyOrder,
    /// The output has every message of the tape once, in order, and nothing else.
    Complete,
    /// `Complete`, and the client ends by itself.
    Ends,
    /// `Complete`, and the client ends by itself with exit code 0.
    EndsWithZero,
    /// The client ends by itself with another exit code than 0, and writes nothing that is not on
    /// the tape.
    ReportsFailure,
    /// Every message in the output is on the tape under its sequence, once and in order; others may
    /// be missing.
    NothingWrong,
    /// The client does not break this rule of SoupBinTCP.
    Soup(SoupRule),
    /// The client does not break this rule of MoldUDP64.
    Mold(MoldRule),
}

impl FeedCondition {
    /// Returns the condition as a sentence for `--explain`.
    pub(crate) const fn sentence(self) -> &'static str {
        match self {
            Self::AnyOrder => "the output has every message of the tape once",
            Self::Complete => "the output has every message of the tape once, in order",
            Self::Ends => "the output is complete, and the client ends by itself",
            Self::EndsWithZero => "the output is complete, and the client ends with exit code 0",
            Self::ReportsFailure => {
                "the client ends by itself with another exit code than 0, and its output has no \
                 made-up messages"
            }
            Self::NothingWrong => {
                "the output has only messages of the session, each once and in order"
            }
            Self::Soup(rule) => rule.expected(),
            Self::Mold(rule) => rule.expected(),
        }
    }

    /// Returns whether the condition is about the end of the client.
    pub(crate) const fn is_about_the_end(self) -> bool {
        matches!(self, Self::Ends | Self::EndsWithZero | Self::ReportsFailure)
    }
}
