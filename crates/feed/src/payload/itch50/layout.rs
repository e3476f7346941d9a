//! Layouts of messages: the macro that turns one table into types, views, encoders and
//! descriptions.

use super::field::{Field, FieldType, TimeOfDay};
use core::fmt;
use core::ops::Deref;

/// Description of one message type.
#[derive(PartialEq, Eq, Debug)]
pub struct MessageType {
    pub(super) letter: u8,
    pub(super) name: &'static str,
    pub(super) len: usize,
    pub(super) about: &'static str,
    pub(super) fields: &'static [Field],
}

impl MessageType {
    /// Returns the letter at the message's first byte.
    #[must_use]
    pub const fn letter(&self) -> u8 {
        self.letter
    }

    /// Returns the name, for example `AddOrder`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the number of bytes, with the letter.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "no message is empty")]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Returns the meaning of the message, in one or two sentences.
    #[must_use]
    pub fn about(&self) -> &'static str {
        self.about.trim()
    }

    /// Returns the fields in the order of their bytes, without the letter.
    #[must_use]
    pub const fn fields(&self) -> &'static [Field] {
        self.fields
    }
}

/// Fields that every message has.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Debug)]
pub struct Header {
    /// Code of the stock for this day; 0 if the message concerns the whole market.
    pub stock_locate: u16,
    /// Internal tracking number of the venue.
    pub tracking_number: u16,
    /// Time of the event.
    pub timestamp: TimeOfDay,
}

impl Header {
    /// Writes the fields behind the letter of a message.
    pub(super) fn write_to(self, message: &mut [u8]) {
        self.stock_locate.write_at(message, LOCATE_OFFSET);
        self.tracking_number.write_at(message, TRACKING_OFFSET);
        self.timestamp.write_at(message, TIME_OFFSET);
    }
}

/// Message type as a Rust value with named fields.
///
/// The table of messages implements it; [`super::messages`] lists the implementations.
pub trait Layout: Copy + Default + fmt::Debug + PartialEq {
    /// Array with the message's length.
    type Bytes: AsRef<[u8]> + Copy + PartialEq + fmt::Debug;

    /// Description of the message type.
    const TYPE: &'static MessageType;

    /// Returns the message's bytes.
    #[must_use]
    fn encode(&self) -> Self::Bytes;

    /// Returns the fields of a message.
    #[must_use]
    fn decode(view: View<'_, Self>) -> Self;
}

/// Bytes of a message whose letter and length are checked. Its methods decode one field each.
#[derive(Clone, Copy, PartialEq)]
pub struct View<'a, T: Layout> {
    bytes: &'a T::Bytes,
}

impl<'a, T: Layout> View<'a, T> {
    /// Views bytes that have the letter and the length of the type.
    pub(super) fn new(bytes: &'a T::Bytes) -> Self {
        Self { bytes }
    }

    /// Returns the message's bytes.
    #[must_use]
    #[inline]
    pub fn bytes(self) -> &'a [u8] {
        self.bytes.as_ref()
    }

    /// Returns the code of the stock for this day; 0 for messages that concern the whole market.
    #[must_use]
    #[inline]
    pub fn stock_locate(self) -> u16 {
        u16::read_at(self.bytes(), LOCATE_OFFSET)
    }

    /// Returns the venue's internal tracking number.
    #[must_use]
    #[inline]
    pub fn tracking_number(self) -> u16 {
        u16::read_at(self.bytes(), TRACKING_OFFSET)
    }

    /// Returns the time of the event.
    #[must_use]
    #[inline]
    pub fn timestamp(self) -> TimeOfDay {
        TimeOfDay::read_at(self.bytes(), TIME_OFFSET)
    }

    /// Returns the fields that every message has.
    #[must_use]
    #[inline]
    pub fn header(self) -> Header {
        Header {
            stock_locate: self.stock_locate(),
            tracking_number: self.tracking_number(),
            timestamp: self.timestamp(),
        }
    }

    /// Returns all fields, decoded.
    #[must_use]
    #[inline]
    pub fn to_value(self) -> T {
        T::decode(self)
    }
}

impl<T: Layout> fmt::Debug for View<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_value().fmt(f)
    }
}

/// Offset of the stock locate in every message.
pub(super) const LOCATE_OFFSET: usize = 1;
/// Offset of the tracking number in every message.
pub(super) const TRACKING_OFFSET: usize = 3;
/// Offset of the time in every message.
pub(super) const TIME_OFFSET: usize = 5;

/// Returns whether fields follow one another without a hole, from behind the letter to `len`.
pub(super) const fn is_contiguous(fields: &[Field], len: usize) -> bool {
    let (mut index, mut end) = (0, 1);
    while index < fields.len() {
        if fields[index].offset() != end {
            return false;
        }
        end += fields[index].width();
        index += 1;
    }
    end == len
}

/// Returns the length of the longest message type.
pub(super) const fn longest(types: &[&MessageType]) -> usize {
    let (mut index, mut longest) = (0, 0);
    while index < types.len() {
        if types[index].len > longest {
            longest = types[index].len;
        }
        index += 1;
    }
    longest
}

/// Encoded message of any type, kept without an allocation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EncodedMessage {
    bytes: [u8; super::MAX_LEN],
    len: usize,
}

impl EncodedMessage {
    /// Encodes a message.
    #[must_use]
    pub fn new<T: Layout>(message: &T) -> Self {
        let mut bytes = [0; super::MAX_LEN];
        let encoded = message.encode();
        let encoded = encoded.as_ref();
        bytes[..encoded.len()].copy_from_slice(encoded);
        Self { bytes, len: encoded.len() }
    }
}

impl Deref for EncodedMessage {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Defines the message types.
///
/// One entry is the only source of a type's struct, view, encoder, decoder and description, so that
/// none of them can disagree with another. Offsets are written out, because readers compare them
/// with the specification; a gap or an overlap is refused by the compiler.
macro_rules! messages {
    ($(
        $(#[doc = $about:literal])+
        $name:ident = $letter:literal, $len:literal {
            $(
                $(#[doc = $field_about:literal])+
                $offset:literal $field:ident: $type:ty $(, $unit:literal)?;
            )+
        }
    )+) => {
        $(
            $(#[doc = $about])+
            #[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Debug)]
            pub struct $name {
                /// Fields that every message has.
                pub header: Header,
                $($(#[doc = $field_about])+ pub $field: $type,)+
            }

            impl $name {
                /// Description of this message type.
                pub const TYPE: &'static MessageType = &MessageType {
                    letter: $letter,
                    name: stringify!($name),
                    len: $len,
                    about: concat!($($about),+),
                    fields: &[
                        Field::new::<u16>("stock_locate", LOCATE_OFFSET, "", LOCATE_ABOUT),
                        Field::new::<u16>("tracking_number", TRACKING_OFFSET, "", TRACKING_ABOUT),
                        Field::new::<TimeOfDay>("timestamp", TIME_OFFSET, "", TIME_ABOUT),
                        $(Field::new::<$type>(
                            stringify!($field),
                            $offset,
                            concat!($($unit)?),
                            concat!($($field_about),+),
                        ),)+
                    ],
                };
            }

            const _: () = assert!(
                is_contiguous($name::TYPE.fields(), $len),
                "the offsets of a message type leave a hole or overlap"
            );

            impl Layout for $name {
                type Bytes = [u8; $len];

                const TYPE: &'static MessageType = Self::TYPE;

                fn encode(&self) -> [u8; $len] {
                    let mut bytes = [0; $len];
                    bytes[0] = $letter;
                    self.header.write_to(&mut bytes);
                    $(self.$field.write_at(&mut bytes, $offset);)+
                    bytes
                }

                #[inline]
                fn decode(view: View<'_, Self>) -> Self {
                    Self {
                        header: view.header(),
                        $($field: view.$field(),)+
                    }
                }
            }

            impl View<'_, $name> {
                $(
                    $(#[doc = $field_about])+
                    #[must_use]
                    #[inline]
                    pub fn $field(self) -> $type {
                        <$type>::read_at(self.bytes(), $offset)
                    }
                )+
            }
        )+

        /// Message of any type, as a view of its bytes.
        #[derive(Clone, Copy, PartialEq, Debug)]
        pub enum Message<'a> {
            $($(#[doc = $about])+ $name(View<'a, $name>),)+
            /// Message of a type that this table does not have. It passes through by its length.
            Opaque(&'a [u8]),
        }

        impl<'a> Message<'a> {
            /// Checks the letter and the length of a message and returns its view.
            ///
            /// Codes inside the message are not checked: see [`Letter`].
            ///
            /// # Errors
            ///
            /// Returns [`ParseError`] if there are no bytes, or if their number is not the length
            /// of a known type. An unknown type is no error but [`Message::Opaque`].
            #[inline]
            pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
                match bytes.first() {
                    None => Err(ParseError::Empty),
                    $(Some(&$letter) => match bytes.try_into() {
                        Ok(bytes) => Ok(Self::$name(View::new(bytes))),
                        Err(_) => Err(ParseError::Length {
                            message_type: $name::TYPE,
                            found: bytes.len(),
                        }),
                    },)+
                    Some(_) => Ok(Self::Opaque(bytes)),
                }
            }

            /// Returns the message's bytes.
            #[must_use]
            #[inline]
            pub fn bytes(&self) -> &'a [u8] {
                match self {
                    $(Self::$name(view) => view.bytes(),)+
                    Self::Opaque(bytes) => bytes,
                }
            }

            /// Returns the description of the message's type, or `None` for an unknown type.
            #[must_use]
            #[inline]
            pub fn message_type(&self) -> Option<&'static MessageType> {
                match self {
                    $(Self::$name(_) => Some($name::TYPE),)+
                    Self::Opaque(_) => None,
                }
            }

            /// Decodes all fields into a value and encodes the value.
            #[cfg(test)]
            pub(super) fn reencoded(&self) -> super::EncodedMessage {
                match self {
                    $(Self::$name(view) => super::EncodedMessage::new(&view.to_value()),)+
                    Self::Opaque(_) => unreachable!("an unknown type has no fields"),
                }
            }
        }

        /// All message types, in the order of the specification.
        pub const TYPES: &[&MessageType] = &[$($name::TYPE),+];
    };
}

pub(super) use messages;
