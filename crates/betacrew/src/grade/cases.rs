//! The cases: what is asked of a client, where that is written, and how it is tried.

mod table;

pub(super) use table::CASES;

/// How much a case matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Severity {
    /// A client that fails it loses packets, does not end or harms the exchange.
    Must,
    /// A client that fails it is not as good as it could be.
    Should,
}

impl Severity {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Must => "must",
            Self::Should => "should",
        }
    }
}

/// What the exchange does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Play {
    /// Our exchange, as `betacrew serve` with these flags.
    Serve(&'static str),
    /// The original, which dies when it is mistreated.
    Original,
    /// Nothing listens.
    Nobody,
}

/// What a client must have done to pass.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Passes {
    /// Written all packets, each once, nothing else.
    Complete,
    /// The same, in the order of their sequences.
    InOrder,
    /// The same as `Complete`, and ended by itself.
    Ends,
    /// The same, with exit code 0.
    EndsWithZero,
    /// Ended by itself with another exit code than 0, and written nothing that is not on the tape.
    Admits,
    /// Done nothing on the wire that this finds.
    Conduct(super::conduct::Rule),
}

/// One case.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    /// Group and name. It never changes its meaning.
    pub(super) id: &'static str,
    pub(super) severity: Severity,
    /// The requirement that it checks, as it stands in `docs/protocol.md`.
    pub(super) requirement: &'static str,
    /// The section where it stands.
    pub(super) section: &'static str,
    /// What the exchange does, in a few words.
    pub(super) what: &'static str,
    pub(super) play: Play,
    pub(super) passes: Passes,
}

impl Case {
    /// The part of the id before the slash.
    pub(super) fn group(&self) -> &'static str {
        self.id.split('/').next().unwrap_or_default()
    }
}
