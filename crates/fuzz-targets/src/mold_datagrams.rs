//! MoldUDP64: a datagram that parses is made of the same bytes, and a receiver that believes it
//! has as many messages as it says; requests that parse encode to the same bytes.

use feed::wire::mold::{Builder, Content, Datagram, PayloadLimit, Request};

pub(crate) fn run(bytes: &[u8]) {
    if let Ok(request) = Request::parse(bytes) {
        assert_eq!(request.encode(), bytes);
        assert!(!request.to_string().contains(['\n', '\x1b']));
    }
    let datagram = match Datagram::parse(bytes) {
        Ok(datagram) => datagram,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    assert!(!datagram.to_string().contains(['\n', '\x1b']));
    let messages = datagram.messages();
    assert_eq!(messages.len(), usize::from(datagram.count()));
    let numbered: Vec<(u64, &[u8])> = messages.numbered().collect();
    assert_eq!(numbered.len(), usize::from(datagram.count()));
    assert!(
        numbered
            .iter()
            .map(|&(sequence, _)| sequence)
            .eq(datagram.sequence()..datagram.next_sequence())
    );
    match datagram.content() {
        Content::Messages(_) => {
            let mut again = Vec::new();
            let (session, sequence) = (datagram.session(), datagram.sequence());
            let mut builder = Builder::new(&mut again, session, sequence, PayloadLimit::MAX);
            numbered.iter().for_each(|&(_, message)| assert_eq!(builder.push(message), Ok(())));
            assert_eq!(builder.finish(), datagram.next_sequence());
            assert_eq!(again, bytes);
        }
        Content::Heartbeat | Content::EndOfSession => assert_eq!(datagram.header().encode(), bytes),
    }
}
