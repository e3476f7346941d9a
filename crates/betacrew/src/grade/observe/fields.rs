//! Field names that clients use in their output, and normalisation of the values.

use feed::wire::packet::Packet;
use serde_json::Value;

/// Field of a packet in a client's output.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum OutputField {
    Symbol,
    Side,
    Quantity,
    Price,
    Sequence,
}

impl OutputField {
    /// All fields, in the order of the wire.
    pub(crate) const ALL: [Self; 5] =
        [Self::Symbol, Self::Side, Self::Quantity, Self::Price, Self::Sequence];

    /// Returns the field's name in the text of the exercise.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Symbol => "symbol",
            Self::Side => "buySellIndicator",
            Self::Quantity => "quantity",
            Self::Price => "price",
            Self::Sequence => "sequence",
        }
    }

    /// Returns the names that are accepted for the field, in lower case and without punctuation.
    /// Earlier names are better.
    pub(crate) const fn aliases(self) -> &'static [&'static str] {
        match self {
            Self::Symbol => &[
                "symbol",
                "ticker",
                "tickersymbol",
                "stock",
                "stocksymbol",
                "sym",
                "instrument",
                "name",
            ],
            Self::Side => &[
                "buysellindicator",
                "buysell",
                "buyorsell",
                "buysellind",
                "buysellflag",
                "indicator",
                "side",
                "bs",
                "direction",
                "ordertype",
                "type",
            ],
            Self::Quantity => &["quantity", "qty", "size", "volume", "amount", "shares"],
            Self::Price => &["price", "px", "orderprice", "rate"],
            Self::Sequence => &[
                "sequence",
                "packetsequence",
                "packetsequencenumber",
                "sequencenumber",
                "sequenceno",
                "seq",
                "seqno",
                "seqnum",
                "seqnumber",
                "packetseq",
                "packetnumber",
                "packetno",
                "packetid",
                "id",
            ],
        }
    }

    /// Returns the field that a name means, with the position of the name among the field's
    /// aliases. If several names of a row mean one field, the lowest position wins.
    pub(crate) fn of(name: &str) -> Option<(Self, usize)> {
        let plain = plain_name(name);
        Self::ALL.into_iter().find_map(|field| {
            let place = field.aliases().iter().position(|alias| *alias == plain)?;
            Some((field, place))
        })
    }

    /// Returns the field's value in a packet, as normalised text.
    pub(crate) fn expected(self, packet: &Packet) -> String {
        match self {
            Self::Symbol => packet.symbol.to_string(),
            Self::Side => char::from(packet.side.letter()).to_string(),
            Self::Quantity => packet.quantity.to_string(),
            Self::Price => packet.price.to_string(),
            Self::Sequence => packet.sequence.to_string(),
        }
    }
}

/// Returns a JSON value as normalised text, so that equal values in different notations compare as
/// equal. Returns `None` for null, arrays and objects.
pub(crate) fn value(field: OutputField, written: &Value) -> Option<String> {
    match written {
        Value::String(text) => Some(text_value(field, text)),
        Value::Number(number) => Some(number_value(&number.to_string())),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Returns a name without case, spaces and punctuation.
pub(crate) fn plain_name(name: &str) -> String {
    let letters = name.chars().filter(|c| c.is_alphanumeric());
    letters.flat_map(char::to_lowercase).take(64).collect()
}

/// Replaces characters that could control a terminal.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if crate::text::escape::steers(c) { '·' } else { c }).collect()
}

/// Returns a text value in normalised form.
pub(crate) fn text_value(field: OutputField, text: &str) -> String {
    // Symbols have 4 bytes on the wire and are padded with spaces; some clients pad with NUL.
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    match field {
        OutputField::Symbol => plain(text),
        OutputField::Side => match text.to_ascii_lowercase().as_str() {
            "b" | "buy" | "bid" => "B".to_owned(),
            "s" | "sell" | "ask" => "S".to_owned(),
            _ => plain(text),
        },
        OutputField::Quantity | OutputField::Price | OutputField::Sequence => number_value(text),
    }
}

/// Returns a number in normalised form: `100`, `100.0`, `1e2` and `+100` are equal.
fn number_value(text: &str) -> String {
    if let Ok(whole) = text.parse::<i64>() {
        return whole.to_string();
    }
    match text.parse::<f64>() {
        Ok(number) if number.fract() == 0.0 && number.abs() < 1e15 => format!("{number:.0}"),
        _ => plain(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn field_names_are_recognised_in_many_spellings() {
        for (name, field) in [
            ("buysellindicator", OutputField::Side),
            ("Buy/Sell Indicator", OutputField::Side),
            ("buy_sell", OutputField::Side),
            ("PacketSequence", OutputField::Sequence),
            ("packet_sequence", OutputField::Sequence),
            ("seqNo.", OutputField::Sequence),
            ("Ticker", OutputField::Symbol),
            ("QTY", OutputField::Quantity),
            ("price", OutputField::Price),
        ] {
            assert_eq!(OutputField::of(name).map(|(field, _)| field), Some(field), "{name}");
        }
        assert_eq!((OutputField::of("timestamp"), OutputField::of("")), (None, None));
        let mut all: Vec<_> = OutputField::ALL.iter().flat_map(|field| field.aliases()).collect();
        all.sort();
        assert!(all.windows(2).all(|pair| pair[0] != pair[1]), "no name means two fields");
        assert!(
            OutputField::ALL.iter().all(|field| OutputField::of(field.name()) == Some((*field, 0)))
        );
    }

    #[test]
    fn equal_values_in_different_notations_compare_as_equal() {
        let is = |field, written: Value| value(field, &written).unwrap();
        assert_eq!(is(OutputField::Side, json!("Buy")), "B");
        assert_eq!(is(OutputField::Side, json!("s")), "S");
        assert_eq!(is(OutputField::Side, json!(66)), "66", "a character code is not a letter");
        assert_eq!(is(OutputField::Symbol, json!("AB  ")), "AB");
        assert_eq!(is(OutputField::Symbol, json!("AB\0\0")), "AB");
        assert_eq!(is(OutputField::Symbol, json!("\u{1b}[2J")), "·[2J");
        assert_eq!(is(OutputField::Price, json!("100")), "100");
        assert_eq!(is(OutputField::Price, json!(100.0)), "100");
        assert_eq!(is(OutputField::Price, json!(-7)), "-7");
        assert_eq!(is(OutputField::Price, json!(1.5)), "1.5");
        assert_eq!(value(OutputField::Price, &json!(null)), None);
    }
}
