//! Tails: knowledge of where a session ends.

/// How well the end of the session is known.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Tail {
    /// The exchange said, or the user knew, which packet is the last.
    Confirmed,
    /// Nothing above the highest packet was seen in all passes; this is the chance that there is
    /// something all the same.
    Inferred {
        /// From 0 to 1.
        doubt: f64,
    },
    /// It could not be found out.
    Unknown,
}

/// What is known of where a session ends.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub enum SessionEnd {
    /// It has at least the packets up to its last one, and may have more.
    #[default]
    Open,
    /// The exchange, or the user, has told its last packet, and all packets were recorded.
    Confirmed,
    /// Nobody has told its last packet; it was inferred, and all packets were recorded.
    Inferred,
}

impl SessionEnd {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Open => 0,
            Self::Confirmed => 1,
            Self::Inferred => 2,
        }
    }

    pub(crate) fn of_code(code: u8) -> Self {
        match code {
            1 => Self::Confirmed,
            2 => Self::Inferred,
            _ => Self::Open,
        }
    }
}
