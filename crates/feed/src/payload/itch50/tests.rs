use super::messages::{AddOrder, NetOrderImbalance, SystemEvent};
use super::*;
use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::vec::Vec;
use proptest::prelude::*;

/// One captured message of the venue for each type that was seen, with its fields as the package
/// itchfeed decodes them.
const CAPTURED: [(&str, &str); 15] = [
    (
        "53000000001f1acedb02f051",
        "09:30:00.000070384 SystemEvent stock_locate=0 tracking_number=0 event_code=Q",
    ),
    (
        "482c3d00001f1e7036e4655a585a5a5420202050204c554450",
        "09:30:15.592125541 StockTradingAction stock_locate=11325 tracking_number=0 \
         stock=ZXZZT trading_state=P reserved=\" \" reason=LUDP",
    ),
    (
        "5924bd00001f1ad5cc18b7534f50412020202031",
        "09:30:00.116533431 RegShoRestriction stock_locate=9405 tracking_number=0 \
         stock=SOPA reg_sho_action=1",
    ),
    (
        "4c0e4000001f208142f8464d41584d46444c5320202020594e41",
        "09:30:24.468064326 MarketParticipantPosition stock_locate=3648 tracking_number=0 \
         mpid=MAXM stock=FDLS primary_market_maker=Y market_maker_mode=N \
         participant_state=A",
    ),
    (
        "4a2c3d00001f1e703b4f955a585a5a5420202000020918000223440001aa9000000000",
        "09:30:15.592415125 LuldAuctionCollar stock_locate=11325 tracking_number=0 \
         stock=ZXZZT reference_price=13.3400 upper_price=14.0100 lower_price=10.9200 \
         extension=0",
    ),
    (
        "41159800001f1aced85306000000000166b53e420000064049564f4f20202020000d55ac",
        "09:29:59.999894278 AddOrder stock_locate=5528 tracking_number=0 \
         order_reference=23508286 side=B shares=1600 stock=IVOO price=87.3900",
    ),
    (
        "4606ca00001f1aced99936000000000120be75530000006443415359202020200026fd40464c5455",
        "09:29:59.999977782 AddOrderWithMpid stock_locate=1738 tracking_number=0 \
         order_reference=18923125 side=S shares=100 stock=CASY price=255.5200 \
         attribution=FLTU",
    ),
    (
        "45092900021f1aced8f061000000000166929a00000019000000000003e63b",
        "09:29:59.999934561 OrderExecuted stock_locate=2345 tracking_number=2 \
         order_reference=23499418 executed_shares=25 match_number=255547",
    ),
    (
        "4313e400011f1aceebb03b00000000013113de0000133e000000000003e65d4e00036e20",
        "09:30:00.001163323 OrderExecutedWithPrice stock_locate=5092 tracking_number=1 \
         order_reference=19993566 executed_shares=4926 match_number=255581 printable=N \
         execution_price=22.4800",
    ),
    (
        "5824c500001f1acefe785d0000000002041a0000000064",
        "09:30:00.002394205 OrderCancel stock_locate=9413 tracking_number=0 \
         order_reference=33823232 cancelled_shares=100",
    ),
    (
        "440d1900001f1aced840ed000000000165b51a",
        "09:29:59.999889645 OrderDelete stock_locate=3353 tracking_number=0 \
         order_reference=23442714",
    ),
    (
        "551db300001f1aced771e90000000000e6897f000000000145f2c700000064001036c8",
        "09:29:59.999836649 OrderReplace stock_locate=7603 tracking_number=0 \
         original_order_reference=15108479 new_order_reference=21361351 shares=100 \
         price=106.2600",
    ),
    (
        "50119300021f1acee462a900000000000000004200000064474f4f474c202020001399f8000000000003e6\
         42",
        "09:30:00.000684713 Trade stock_locate=4499 tracking_number=2 order_reference=0 \
         side=B shares=100 stock=GOOGL price=128.4600 match_number=255554",
    ),
    (
        "5103d700011f1acee1500300000000000000004241432d5120202000000000000000000003e63e4f",
        "09:30:00.000483331 CrossTrade stock_locate=983 tracking_number=1 shares=0 \
         stock=BAC-Q cross_price=0.0000 match_number=255550 cross_type=O",
    ),
    (
        "491ead00001f1acedb43f1000000000000000000000000000000004f504654415720202000000000000000\
         00000000004f20",
        "09:30:00.000087025 NetOrderImbalance stock_locate=7853 tracking_number=0 \
         paired_shares=0 imbalance_shares=0 imbalance_direction=O stock=PFTAW \
         far_price=0.0000 near_price=0.0000 reference_price=0.0000 cross_type=O \
         price_variation=\" \"",
    ),
];

fn from_hex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

#[test]
fn captured_messages_are_decoded() {
    for (hex, text) in CAPTURED {
        let bytes = from_hex(hex);
        let message = Message::parse(&bytes).unwrap();
        assert_eq!(message.to_string(), text);
        assert_eq!(*message.reencoded(), *bytes);
    }
}

#[test]
fn lengths_are_checked() {
    for known in TYPES {
        let mut bytes = std::vec![0; known.len() + 1];
        bytes[0] = known.letter();
        for len in 1..bytes.len() + 1 {
            let parsed = Message::parse(&bytes[..len]);
            if len == known.len() {
                assert_eq!(parsed.unwrap().message_type(), Some(*known));
            } else {
                assert_eq!(parsed, Err(ParseError::Length { message_type: known, found: len }));
            }
        }
    }
    assert_eq!(Message::parse(&[]), Err(ParseError::Empty));
    let error = Message::parse(b"S").unwrap_err();
    assert_eq!(
        error.to_string(),
        "an ITCH 5.0 message of type S (SystemEvent) has 12 bytes, but this one has 1: is the feed \
         ITCH 5.0, and is the message complete?"
    );
}

#[test]
fn unknown_types_pass_through() {
    let bytes = [b'Z'; 100];
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message, Message::Opaque(&bytes));
    assert_eq!(message.bytes(), bytes);
    assert_eq!((message.message_type(), message.timestamp()), (None, None));
    assert_eq!(message.fields().count(), 0);
    let shown = message.to_string();
    assert!(shown.starts_with("Opaque type=Z bytes=100 hex=5a5a"), "{shown}");
    assert!(shown.ends_with("5a..."), "{shown}");
    assert_eq!(Message::parse(b"\x1b").unwrap().to_string(), "Opaque type=\\x1b bytes=1 hex=1b");
}

#[test]
fn the_table_has_all_types_of_the_specification() {
    let letters: Vec<u8> = TYPES.iter().map(|known| known.letter()).collect();
    assert_eq!(letters, b"SRHYLVWKJhAFECXDUPQBINO");
    let lengths: Vec<usize> = TYPES.iter().map(|known| known.len()).collect();
    let expected = [
        12, 39, 25, 20, 26, 35, 12, 28, 35, 21, 36, 40, 31, 36, 23, 19, 35, 44, 40, 19, 50, 20, 48,
    ];
    assert_eq!(lengths, expected);
    assert_eq!(MAX_LEN, 50);
}

/// One table with a column for each name can hold all messages only if this is true.
#[test]
fn fields_of_one_name_have_one_kind_and_unit() {
    let mut known = BTreeMap::new();
    for field in TYPES.iter().flat_map(|known| known.fields()) {
        let meaning = (field.kind(), field.unit());
        assert_eq!(*known.entry(field.name()).or_insert(meaning), meaning, "{}", field.name());
    }
}

#[test]
fn views_and_fields_agree() {
    let order = AddOrder {
        header: Header {
            stock_locate: 1,
            tracking_number: 2,
            timestamp: TimeOfDay::from_nanos(3).unwrap(),
        },
        order_reference: 4,
        side: Letter(b'S'),
        shares: 5,
        stock: Alpha(*b"AB      "),
        price: Price4(6),
    };
    let bytes = order.encode();
    let Ok(Message::AddOrder(view)) = Message::parse(&bytes) else { panic!("not an order") };
    assert_eq!((view.order_reference(), view.shares(), view.price()), (4, 5, Price4(6)));
    assert_eq!((view.stock(), view.side()), (order.stock, order.side));
    let values: Vec<Value<'_>> = Message::AddOrder(view).fields().map(|(_, value)| value).collect();
    let expected = [
        Value::Integer(1),
        Value::Integer(2),
        Value::Time(order.header.timestamp),
        Value::Integer(4),
        Value::Letter(order.side),
        Value::Integer(5),
        Value::Text(b"AB"),
        Value::Price4(Price4(6)),
    ];
    assert_eq!(values, expected);
}

#[test]
fn an_encoded_message_keeps_its_length() {
    assert_eq!(EncodedMessage::new(&SystemEvent::default()).len(), 12);
    assert_eq!(EncodedMessage::new(&NetOrderImbalance::default()).len(), MAX_LEN);
}

proptest! {
    /// Decodes all fields of a message of any type and encodes them again.
    #[test]
    fn every_message_round_trips(which in 0..TYPES.len(), body in any::<[u8; MAX_LEN]>()) {
        let mut bytes = body;
        bytes[0] = TYPES[which].letter();
        let bytes = &bytes[..TYPES[which].len()];
        let message = Message::parse(bytes).unwrap();
        prop_assert_eq!(&*message.reencoded(), bytes);
        prop_assert_eq!(message.fields().count(), TYPES[which].fields().len());
        prop_assert!(message.to_string().bytes().all(|byte| (0x20..0x7f).contains(&byte)));
    }

    #[test]
    fn any_bytes_are_parsed_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        match Message::parse(&bytes) {
            Ok(message) => prop_assert_eq!(message.bytes(), &*bytes),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }
}
