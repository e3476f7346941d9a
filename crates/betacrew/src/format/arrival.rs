//! Arrival of packets: time and origin, which every format but JSON stores.

use super::rows::shown;
use feed::ledger::{Origin, Source};
use feed::tape::file::{BlockHead, BlockKind};

/// Time and origin of packets that arrived together.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Arrival {
    /// Nanoseconds since 1970 (UTC), or zero if unknown. Times after the year 2262 do not fit in 63
    /// bits and count as unknown.
    pub at: u64,
    /// Line and call that delivered the packets, if known.
    pub origin: Option<Origin>,
}

impl Arrival {
    /// Arrival of which nothing is known.
    pub const UNKNOWN: Self = Self { at: 0, origin: None };

    /// Returns the arrival in a block of a tape file, where pass 0 stands for unknown.
    #[must_use]
    pub fn of(block: &BlockHead) -> Self {
        let origin = match block.kind {
            BlockKind::Messages(Origin { source: Source::Stream { pass: 0 }, .. }, _) => None,
            BlockKind::Messages(origin, _) => Some(origin),
            _ => None,
        };
        Self { at: block.arrived, origin }
    }

    /// Returns the time as formats store it.
    #[must_use]
    pub fn time(&self) -> Option<i64> {
        i64::try_from(self.at).ok().filter(|&at| at > 0)
    }

    /// Returns the origin as formats store it: `pass 2`, or `resend, line 2`. Lines count from 1,
    /// and the first one is left out.
    #[must_use]
    pub fn origin_text(&self) -> Option<String> {
        let Origin { line, source } = self.origin?;
        let source = match source {
            Source::Resend => "resend".to_owned(),
            Source::Stream { pass } => format!("pass {pass}"),
        };
        Some(match line {
            0 => source,
            _ => format!("{source}, line {}", u32::from(line) + 1),
        })
    }

    /// Returns the arrival from the values that a format stores; absent values are `None`.
    pub(super) fn parse(at: Option<i64>, origin: Option<&str>) -> Result<Self, String> {
        let at = match at.map(u64::try_from) {
            None => 0,
            Some(Ok(at)) => at,
            Some(Err(_)) => return Err("arrived lies before 1970".to_owned()),
        };
        let origin = origin
            .map(|text| {
                parse_origin(text).ok_or_else(|| {
                    format!(
                        "origin is {:?}, not such as \"pass 1\" or \"resend, line 2\"",
                        shown(text)
                    )
                })
            })
            .transpose()?;
        Ok(Self { at, origin })
    }
}

fn parse_origin(text: &str) -> Option<Origin> {
    let (source, line) = match text.split_once(", line ") {
        Some((source, line)) => (source, line.parse::<u32>().ok()?.checked_sub(1)?),
        None => (text, 0),
    };
    let source = match source.strip_prefix("pass ") {
        Some(pass) => Source::Stream { pass: pass.parse().ok().filter(|&pass| pass > 0)? },
        None if source == "resend" => Source::Resend,
        None => return None,
    };
    Some(Origin { line: u16::try_from(line).ok()?, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_text_and_back() {
        for (line, source, text) in [
            (0, Source::Resend, "resend"),
            (1, Source::Resend, "resend, line 2"),
            (0, Source::Stream { pass: 1 }, "pass 1"),
            (u16::MAX, Source::Stream { pass: u32::MAX }, "pass 4294967295, line 65536"),
        ] {
            let arrival = Arrival { at: 7, origin: Some(Origin { line, source }) };
            assert_eq!(arrival.origin_text().as_deref(), Some(text));
            assert_eq!(Arrival::parse(Some(7), Some(text)), Ok(arrival));
        }
        for bad in ["", "pass", "pass 0", "pass -1", "resend, line 0", "resend, line 65537", "x"] {
            let error = Arrival::parse(None, Some(bad)).unwrap_err();
            assert!(error.contains("origin is"), "{bad}: {error}");
        }
        assert!(Arrival::parse(Some(-1), None).is_err());
        assert_eq!(Arrival::parse(None, None), Ok(Arrival::UNKNOWN));
        assert_eq!(Arrival { at: u64::MAX, origin: None }.time(), None);
    }
}
