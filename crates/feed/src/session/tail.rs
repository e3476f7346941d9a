//! Tail of a session: how well its end is known.

/// Knowledge of a session's end, as a recorder has it.
///
/// Concept: [tail](crate#tail).
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Tail {
    /// Last packet reported by the exchange, or given by the user.
    Confirmed,
    /// End inferred: no pass has delivered a packet above the highest one.
    Inferred {
        /// Probability that packets above the highest one exist, from 0 to 1.
        miss_probability: f64,
    },
    /// End unknown.
    Unknown,
}

/// Knowledge of a session's end, as a tape file stores it.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub enum SessionEnd {
    /// End unknown: the session has at least the packets up to the last known one.
    #[default]
    Open,
    /// Last packet reported by the exchange or given by the user, and all packets recorded.
    Confirmed,
    /// Last packet inferred, and all packets recorded.
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
