//! When and how packets came, as every format but JSON says it.

use super::rows::shown;
use feed::ledger::{Origin, Source};
use feed::tape::file::{BlockHead, BlockKind};

/// When and how packets came.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Arrival {
    /// In nanoseconds since 1970 (UTC); zero where it is not known. What lies beyond the year
    /// 2262, which 63 bits cannot say, is not known either.
    pub at: u64,
    /// From which line and by which call, if that is known.
    pub origin: Option<Origin>,
}

impl Arrival {
    /// Nothing is known.
    pub const UNKNOWN: Self = Self { at: 0, origin: None };

    /// As a tape file's block says it; pass 0 is how it says that nothing is known.
    #[must_use]
    pub fn of(block: &BlockHead) -> Self {
        let origin = match block.kind {
            BlockKind::Packets(Origin { source: Source::Stream { pass: 0 }, .. }) => None,
            BlockKind::Packets(origin) => Some(origin),
            _ => None,
        };
        Self { at: block.arrived, origin }
    }

    /// The time as the formats have it.
    #[must_use]
    pub fn time(&self) -> Option<i64> {
        i64::try_from(self.at).ok().filter(|&at| at > 0)
    }

    /// The origin as the formats have it: `pass 2`, or `resend, line 2`. Lines count from 1, and
    /// the first is not mentioned.
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

    /// Of what a format has; nothing is absent in it.
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
