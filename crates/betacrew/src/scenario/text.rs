//! Notations of values in scenario files: the same as on the command line, as text or as numbers.

use crate::tape::name::TapeName;
use feed::base::chance::Chance;
use feed::base::seq::SeqSet;
use feed::base::span::{Span, TimeSpan};
use feed::faults::scenario::SlowSubscriberPolicy;
use feed::tape::pace::Pace;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Value with a notation of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QuotedText<T>(pub T);

/// Notation of a kind of value.
pub trait Notation: FromStr<Err: fmt::Display> + fmt::Display {
    /// Name in the JSON Schema.
    const NAME: &'static str;
    /// Description in one line.
    const ABOUT: &'static str;
    /// Regular expression for values that are written as text.
    const PATTERN: &'static str;
    /// True if the value may be written as a number.
    const NUMBER: bool;
}

impl Notation for Chance {
    const NAME: &'static str = "Chance";
    const ABOUT: &'static str = "a probability: \"25%\", or a number from 0 to 1";
    const PATTERN: &'static str = r"^\s*\d*\.?\d+([eE]-?\d+)?\s*%?\s*$";
    const NUMBER: bool = true;
}

impl Notation for SeqSet {
    const NAME: &'static str = "Numbers";
    const ABOUT: &'static str = "numbers from 1, with ranges and commas: \"2,5-7\"";
    const PATTERN: &'static str = r"^(\s*\d+(\s*-\s*\d+)?\s*(,\s*\d+(\s*-\s*\d+)?\s*)*)?$";
    const NUMBER: bool = true;
}

impl Notation for Span {
    const NAME: &'static str = "Span";
    const ABOUT: &'static str = "a whole number, or bounds for a random one: \"2-9\"";
    const PATTERN: &'static str = r"^\s*\d+\s*(-\s*\d+\s*)?$";
    const NUMBER: bool = true;
}

impl Notation for Pace {
    const NAME: &'static str = "Pace";
    const ABOUT: &'static str = "packets or bytes a second (\"500/s\", \"8000B/s\"), or a multiple \
                                 of the recorded pace (\"2x\", \"recorded\")";
    const PATTERN: &'static str = r"^\s*(\d+\s*/s|\d+\s*B/s|\d*\.?\d+\s*x|recorded)\s*$";
    const NUMBER: bool = false;
}

impl Notation for TapeName {
    const NAME: &'static str = "Tape";
    const ABOUT: &'static str = "the tape to play: sample[:N], classic, extremes, lengths, \
                                 random:N[:SEED], itch:N[:SEED], or a file beside this one";
    const PATTERN: &'static str = "^.+$";
    const NUMBER: bool = false;
}

/// Time, or bounds for a random time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimeSpanText(pub TimeSpan);

impl FromStr for TimeSpanText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (low, high) = text.split_once('-').unwrap_or((text, text));
        let (low, high) = (crate::args::parse::duration(low)?, crate::args::parse::duration(high)?);
        TimeSpan::new(low, high).map(Self).ok_or_else(|| "the shorter time comes first".to_owned())
    }
}

impl fmt::Display for TimeSpanText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (low, high) = (self.0.low(), self.0.high());
        match low == high {
            true => f.write_str(&written(low)),
            false => write!(f, "{}-{}", written(low), written(high)),
        }
    }
}

impl Notation for TimeSpanText {
    const NAME: &'static str = "Time";
    const ABOUT: &'static str =
        "a time (\"250ms\", \"1m30s\"; a number is seconds), or bounds: \"1ms-20ms\"";
    const PATTERN: &'static str = r"^[^-]*\d[^-]*(-[^-]*\d[^-]*)?$";
    const NUMBER: bool = true;
}

/// Returns a time as a scenario file has it: in the largest unit that gives a whole number.
fn written(time: Duration) -> String {
    let nanos = time.as_nanos();
    let units = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us"), (1, "ns")];
    let unit = units.into_iter().find(|(size, _)| nanos.is_multiple_of(*size));
    unit.map_or_else(String::new, |(size, name)| format!("{}{name}", nanos / size))
}

/// Time, or `never`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience(pub Option<Duration>);

impl FromStr for Patience {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "never" => Ok(Self(None)),
            time => crate::args::parse::duration(time).map(|time| Self(Some(time))),
        }
    }
}

impl fmt::Display for Patience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.map_or("never".to_owned(), written))
    }
}

impl Notation for Patience {
    const NAME: &'static str = "Patience";
    const ABOUT: &'static str = "a time, or \"never\"";
    const PATTERN: &'static str = r"^(never|[^-]*\d[^-]*)$";
    const NUMBER: bool = true;
}

impl Notation for SlowSubscriberPolicy {
    const NAME: &'static str = "Slow";
    const ABOUT: &'static str = "\"wait\", or how many packets behind: \"skip:1000\", \"cut:1000\"";
    const PATTERN: &'static str = r"^(wait|(skip|cut):[1-9]\d*)$";
    const NUMBER: bool = false;
}

impl<T: Notation> JsonSchema for QuotedText<T> {
    fn schema_name() -> Cow<'static, str> {
        T::NAME.into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        match T::NUMBER {
            true => json_schema!({
                "description": T::ABOUT,
                "anyOf": [
                    { "type": "string", "pattern": T::PATTERN },
                    { "type": "number", "minimum": 0 }
                ]
            }),
            false => json_schema!({
                "description": T::ABOUT,
                "type": "string",
                "pattern": T::PATTERN
            }),
        }
    }
}

impl<T: Notation> Serialize for QuotedText<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de, T: Notation> Deserialize<'de> for QuotedText<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(std::marker::PhantomData<T>);
        impl<T: Notation> Visitor<'_> for Reader<T> {
            type Value = QuotedText<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(T::ABOUT)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<QuotedText<T>, E> {
                let what = |error| E::custom(format!("`{text}` is not valid here: {error}"));
                text.parse().map(QuotedText).map_err(what)
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<QuotedText<T>, E> {
                match T::NUMBER {
                    true => self.visit_str(&number.to_string()),
                    false => Err(E::invalid_type(Unexpected::Signed(number), &self)),
                }
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<QuotedText<T>, E> {
                match T::NUMBER {
                    true => self.visit_str(&number.to_string()),
                    false => Err(E::invalid_type(Unexpected::Float(number), &self)),
                }
            }
        }
        deserializer.deserialize_any(Reader(std::marker::PhantomData))
    }
}
