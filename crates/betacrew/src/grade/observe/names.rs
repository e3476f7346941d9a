//! Names of fields in a client's output: the usual ones, those that the user gave, and those that
//! the values show, because the grader knows which packets were sent.

use crate::grade::observe::fields::{self, OutputField, plain_name};
use crate::grade::observe::records;
use feed::wire::packet::Packet;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Maximum number of objects from which names are learned.
const OBJECTS_MAX: usize = 50;
/// Maximum number of packets with which an object is compared.
const PACKETS_MAX: usize = 2000;
/// Maximum depth of objects inside objects.
const DEPTH_MAX: u32 = 6;
/// Share of the objects, in percent, in which a name must have the values of its field.
const AGREEING_PERCENT: usize = 75;

/// Minimum number of fields in which an object must agree with a packet to be taken for it.
const AGREEING_MIN: usize = 4;

/// Names of fields besides the usual ones.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct FieldNames {
    /// Names that the user gave, without case, spaces and punctuation.
    given: BTreeMap<String, OutputField>,
    /// Names that an output has shown, as it writes them.
    shown: BTreeMap<String, OutputField>,
}

/// Object of an output: its values by name.
type Members = BTreeMap<String, Value>;

impl FieldNames {
    /// Parses `symbol=assetCode,price=cost`: a field of the exercise and its name in the output.
    ///
    /// # Errors
    /// Returns a message if a part is no such pair.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let pair = |pair: &str| {
            let (field, name) = pair.split_once('=')?;
            let (field, _) = OutputField::of(field)?;
            Some((plain_name(name), field)).filter(|(name, _)| !name.is_empty())
        };
        let pairs = text.split(',').map(|part| {
            let fields = OutputField::ALL.map(OutputField::name).join(", ");
            pair(part).ok_or_else(|| {
                format!(
                    "`{part}` is not FIELD=NAME with a field of {fields}; for example price=cost"
                )
            })
        });
        let mut given = BTreeMap::new();
        for pair in pairs {
            let (name, field) = pair?;
            if given.insert(name.clone(), field).is_some_and(|before| before != field) {
                return Err(format!("`{name}` is given two fields"));
            }
        }
        Ok(Self { given, shown: BTreeMap::new() })
    }

    /// Returns the field that a name means, with the rank of the name among several of one field;
    /// the lowest wins.
    pub(crate) fn of(&self, name: &str) -> Option<(OutputField, usize)> {
        let own = self.shown.get(name).or_else(|| self.given.get(&plain_name(name)));
        match own {
            Some(field) => Some((*field, 0)),
            // A usual name means nothing else once its field has been given another one.
            None => OutputField::of(name).filter(|(field, _)| !self.has_own(*field)),
        }
    }

    /// Returns whether a field has a name besides the usual ones.
    fn has_own(&self, field: OutputField) -> bool {
        self.given.values().chain(self.shown.values()).any(|own| *own == field)
    }

    /// Returns these names with those that the values of an output show, if it shows any. A name is
    /// learned if its field has no other name, and its values are those of packets on the tape.
    pub(crate) fn learned(&self, text: &str, tape: &[Packet]) -> Option<Self> {
        let objects = objects(text);
        let unnamed = self.unnamed(&objects);
        if unnamed.is_empty() || objects.is_empty() {
            return None;
        }
        let packets: Vec<[String; 5]> = tape
            .iter()
            .take(PACKETS_MAX)
            .map(|packet| OutputField::ALL.map(|field| field.expected(packet)))
            .collect();
        let mut votes: BTreeMap<(OutputField, &str), usize> = BTreeMap::new();
        for object in &objects {
            for vote in self.votes_of(object, &unnamed, &packets) {
                *votes.entry(vote).or_default() += 1;
            }
        }
        let mut names = self.clone();
        for field in unnamed {
            let mut of_field: Vec<(usize, &str)> = votes
                .iter()
                .filter(|((voted, _), _)| *voted == field)
                .map(|((_, name), count)| (*count, *name))
                .collect();
            of_field.sort_unstable();
            let Some((count, name)) = of_field.pop() else { continue };
            let is_unique = of_field.last().is_none_or(|(other, _)| *other < count);
            let is_usual = count * 100 >= objects.len() * AGREEING_PERCENT;
            // Two fields of one name cannot both be right.
            if is_unique && is_usual && names.shown.insert(name.to_owned(), field).is_some() {
                return None;
            }
        }
        (names != *self).then_some(names)
    }

    /// Returns the fields that no name of these objects means.
    fn unnamed(&self, objects: &[Members]) -> Vec<OutputField> {
        let known: BTreeSet<OutputField> = objects
            .iter()
            .flat_map(Members::keys)
            .filter_map(|name| self.of(name).map(|(field, _)| field))
            .collect();
        OutputField::ALL.into_iter().filter(|field| !known.contains(field)).collect()
    }

    /// Returns the fields that no name of an output means, and the names in it that could mean one
    /// of them, because their values are of its kind. Both are empty if no field lacks a name, or
    /// if no name could be that of a field.
    pub(crate) fn unknown(&self, text: &str) -> (Vec<OutputField>, Vec<String>) {
        let objects = objects(text);
        let unnamed = self.unnamed(&objects);
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (name, written) in objects.iter().flatten() {
            let could_be = unnamed.iter().any(|field| has_kind_of(*field, written));
            *counts.entry(name).or_default() += usize::from(could_be && self.of(name).is_none());
        }
        counts.retain(|_, count| *count > 0 && *count * 100 >= objects.len() * AGREEING_PERCENT);
        match counts.is_empty() {
            true => (Vec::new(), Vec::new()),
            false => (unnamed, counts.into_keys().map(fields::plain).collect()),
        }
    }

    /// Returns the unknown names of an object with the unnamed fields whose values they have, if
    /// the object has the values of a packet. One field may have another value, because a client
    /// may decode one wrongly.
    fn votes_of<'a>(
        &self,
        object: &'a Members,
        unnamed: &[OutputField],
        packets: &[[String; 5]],
    ) -> Vec<(OutputField, &'a str)> {
        let members: Vec<Member<'_>> = object
            .iter()
            .map(|(name, written)| Member {
                name,
                known: self.of(name).map(|(field, _)| field),
                texts: OutputField::ALL.map(|field| fields::value(field, written)),
            })
            .collect();
        let agreeing = |packet: &[String; 5]| {
            let has = |field: &OutputField| {
                let may_be = |member: &&Member<'_>| match member.known {
                    Some(known) => known == *field,
                    None => unnamed.contains(field),
                };
                members.iter().filter(may_be).any(|member| member.has(*field, packet))
            };
            OutputField::ALL.iter().filter(|field| has(field)).count()
        };
        let best = packets.iter().map(|packet| (agreeing(packet), packet));
        let best = best.rev().max_by_key(|(agreeing, _)| *agreeing);
        let Some((_, packet)) = best.filter(|(agreeing, _)| *agreeing >= AGREEING_MIN) else {
            return Vec::new();
        };
        let unknown = members.iter().filter(|member| member.known.is_none());
        unknown
            .flat_map(|member| {
                let fields = unnamed.iter().filter(|field| member.has(**field, packet));
                fields.map(|field| (*field, member.name))
            })
            .collect()
    }
}

/// Maximum length in bytes of a number with its unit.
const NUMBER_MAX: usize = 12;

/// Returns whether a value is of the kind of a field: text, or a number of 32 bits, perhaps with a
/// unit.
fn has_kind_of(field: OutputField, written: &Value) -> bool {
    let Some(text) = fields::value(field, written) else { return false };
    match field {
        OutputField::Symbol => text.parse::<f64>().is_err(),
        OutputField::Side => text.chars().count() <= 4,
        OutputField::Quantity | OutputField::Price | OutputField::Sequence => {
            let has_digits =
                text.len() <= NUMBER_MAX && text.contains(|c: char| c.is_ascii_digit());
            text.parse::<i64>().map_or(has_digits, |number| {
                i32::try_from(number).is_ok() || u32::try_from(number).is_ok()
            })
        }
    }
}

/// Member of an object.
struct Member<'a> {
    name: &'a str,
    /// Field that the name means, if it is known.
    known: Option<OutputField>,
    /// Value as that of each field.
    texts: [Option<String>; 5],
}

impl Member<'_> {
    /// Returns whether the value is that of a field of a packet.
    fn has(&self, field: OutputField, packet: &[String; 5]) -> bool {
        self.texts[field as usize].as_ref() == Some(&packet[field as usize])
    }
}

/// Returns the objects of an output: JSON, lines of JSON, JSON inside another text, CSV with a
/// header, or records that are printed for people.
fn objects(text: &str) -> Vec<Members> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(['[', '{']).filter(|_| found.len() < OBJECTS_MAX) {
        rest = &rest[start..];
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        match values.next() {
            Some(Ok(value)) => {
                collect(&value, 0, &mut found);
                rest = rest.get(values.byte_offset().max(1)..).unwrap_or_default();
            }
            // A text that is no JSON here is read as CSV, not from every brace on.
            _ => break,
        }
    }
    if !found.is_empty() {
        return found;
    }
    let printed = records::records(text).into_iter().map(|(_, records)| records);
    let printed = printed.max_by_key(Vec::len).unwrap_or_default();
    let rows = csv_objects(text);
    if rows.len() > printed.len() {
        return rows;
    }
    let object = |record: records::Record| {
        record.into_iter().map(|(name, value)| (name, Value::String(value))).collect()
    };
    printed.into_iter().take(OBJECTS_MAX).map(object).collect()
}

/// Collects the innermost objects of a value, each with the members of the objects inside it.
fn collect(value: &Value, depth: u32, found: &mut Vec<Members>) {
    if depth > DEPTH_MAX || found.len() >= OBJECTS_MAX {
        return;
    }
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, depth + 1, found)),
        Value::Object(members) => {
            let plain = |value: &Value| !value.is_array() && !value.is_object();
            let own: Members = members
                .iter()
                .filter(|(_, value)| plain(value))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect();
            if own.len() >= OutputField::ALL.len() - 1 {
                found.push(own);
            } else {
                members.values().for_each(|member| collect(member, depth + 1, found));
            }
        }
        _ => {}
    }
}

/// Returns the rows of CSV whose first line has no numbers.
fn csv_objects(text: &str) -> Vec<Members> {
    let mut lines = text.lines();
    let head = lines.next().unwrap_or_default();
    let Some(delimiter) = [',', ';', '\t', '|'].into_iter().find(|c| head.contains(*c)) else {
        return Vec::new();
    };
    let cells = |line: &str| -> Vec<String> {
        line.split(delimiter).map(|cell| cell.trim().trim_matches('"').to_owned()).collect()
    };
    let head = cells(head);
    if head.iter().any(|name| name.parse::<f64>().is_ok()) {
        return Vec::new();
    }
    lines
        .take(OBJECTS_MAX)
        .map(|line| head.iter().cloned().zip(cells(line).into_iter().map(Value::String)).collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grade::observe::rows;
    use feed::tape::in_memory::Tape;
    use feed::wire::{Frame, decode};

    fn tape() -> Vec<Packet> {
        let frames = Tape::classic();
        let packet = |frame| match decode(frame) {
            Ok(Frame::Packet(packet)) => Some(packet),
            _ => None,
        };
        frames.frames().iter().filter_map(packet).collect()
    }

    /// Returns the output of a client that writes packets under names of its own.
    fn foreign(tape: &[Packet], price: impl Fn(&Packet) -> String) -> String {
        let row = |packet: &Packet| {
            format!(
                r#"{{"assetCode":"{}","orderDirection":"{}","size":{},"cost":{},"n":{}}}"#,
                packet.symbol,
                char::from(packet.side.letter()),
                packet.quantity,
                price(packet),
                packet.sequence
            )
        };
        format!("[{}]", tape.iter().map(row).collect::<Vec<_>>().join(","))
    }

    #[test]
    fn names_are_learned_from_values() {
        let tape = tape();
        let text = foreign(&tape, |packet| packet.price.to_string());
        let names = FieldNames::default().learned(&text, &tape).unwrap();
        let rows = rows::read(text.as_bytes(), &names).unwrap();
        assert_eq!(rows.rows.len(), tape.len());
        assert!(rows.understood().contains("assetCode is symbol, orderDirection is buySell"));
        assert!(rows.understood().contains("cost is price, n is sequence"));
        let row = |packet: &Packet| {
            let Packet { symbol, quantity, price, sequence, .. } = packet;
            format!("{sequence};{symbol};{};{quantity};{price}\n", packet.side.letter() as char)
        };
        let csv = tape.iter().map(row).collect::<String>();
        let csv = format!("n;code;dir;amount;cost\n{csv}");
        let names = FieldNames::default().learned(&csv, &tape).unwrap();
        assert_eq!(rows::read(csv.as_bytes(), &names).unwrap().rows.len(), tape.len());
        // Names with wrong values are no names of the field; the others are found.
        let names = |text: &str| FieldNames::default().learned(text, &tape).unwrap();
        let wrong = foreign(&tape, |packet| packet.price.swap_bytes().to_string());
        assert_eq!(names(&wrong).of("cost"), None);
        assert_eq!(names(&wrong).of("n"), Some((OutputField::Sequence, 0)));
        let (fields, unknown) = names(&wrong).unknown(&wrong);
        assert_eq!((fields, unknown), (vec![OutputField::Price], vec!["cost".to_owned()]));
        // A field that is absent has no name, and none could be its.
        let absent = foreign(&tape, |_| "null".to_owned());
        assert_eq!(names(&absent).unknown(&absent), (Vec::new(), Vec::new()));
        // Names of texts that are printed for people are learned as well.
        let printed = foreign(&tape, |packet| packet.price.to_string()).replace('"', "'");
        assert_eq!(names(&printed).of("cost"), Some((OutputField::Price, 0)));
    }

    #[test]
    fn names_are_those_that_the_user_gave() {
        let names = FieldNames::parse("symbol=assetCode,price=size,quantity=cost").unwrap();
        assert_eq!(names.of("assetCode"), Some((OutputField::Symbol, 0)));
        assert_eq!(names.of("Asset_code"), names.of("assetCode"), "without case and punctuation");
        assert_eq!(names.of("size"), Some((OutputField::Price, 0)), "not the usual meaning");
        assert_eq!(names.of("qty"), None, "its field has another name");
        assert_eq!(names.of("seq").map(|(field, _)| field), Some(OutputField::Sequence));
        for wrong in
            ["", "symbol", "symbol=-", "colour=red", "symbol=a,,price=b", "price=x,quantity=X"]
        {
            assert!(FieldNames::parse(wrong).is_err(), "{wrong}");
        }
    }
}
