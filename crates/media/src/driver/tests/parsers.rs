use proptest::collection::vec;
use proptest::prelude::*;

use super::super::stun::{Kind, classify};
use super::super::tcp::{Framer, write_frame};
use super::super::udp::DATAGRAM_BYTES;
use super::check;

proptest! {
    #[test]
    fn any_datagram_is_classified(bytes in vec(any::<u8>(), 0..300)) {
        let _kind = classify(&bytes);
    }

    #[test]
    fn a_check_with_any_attributes_is_classified(body in vec(any::<u8>(), 0..60)) {
        let mut message = check("frag", b"transaction0")[..20].to_vec();
        message.extend(&body[..body.len() / 4 * 4]);
        let length = u16::try_from(message.len() - 20).unwrap();
        message[2..4].copy_from_slice(&length.to_be_bytes());
        let _kind = classify(&message);
    }

    #[test]
    fn the_fragment_of_a_check_is_found(ufrag in "[A-Za-z0-9+/]{4,256}", transaction in any::<[u8; 12]>()) {
        let message = check(&ufrag, &transaction);
        prop_assert_eq!(classify(&message), Kind::Check { ufrag: &ufrag });
    }

    #[test]
    fn a_cut_or_lengthened_check_is_malformed(cut in 1_usize..44, more in 1_usize..9) {
        let message = check("fragment", b"transaction0");
        prop_assert_eq!(classify(&message[..message.len() - cut]), Kind::Malformed);
        let mut longer = message;
        longer.resize(longer.len() + more, 0);
        prop_assert_eq!(classify(&longer), Kind::Malformed);
    }

    #[test]
    fn frames_survive_any_cutting(packets in vec(vec(any::<u8>(), 1..400), 1..20), cuts in vec(1_usize..700, 1..40)) {
        let mut stream = Vec::new();
        for packet in &packets {
            prop_assert!(write_frame(packet, &mut stream));
        }
        let (mut framer, mut found, mut rest) = (Framer::default(), Vec::new(), stream.as_slice());
        let mut cuts = cuts.iter().cycle();
        while !rest.is_empty() {
            let (now, later) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
            framer.space().extend_from_slice(now);
            rest = later;
            while let Some(peeked) = framer.peek().unwrap().map(<[u8]>::to_vec) {
                prop_assert_eq!(framer.next().unwrap(), Some(peeked.as_slice()));
                found.push(peeked);
            }
        }
        prop_assert_eq!(found, packets);
    }

    #[test]
    fn any_stream_is_framed_in_bounded_memory(chunks in vec(vec(any::<u8>(), 0..4096), 0..30)) {
        let mut framer = Framer::default();
        for chunk in &chunks {
            framer.space().extend_from_slice(chunk);
            let ended = loop {
                match framer.next() {
                    Ok(Some(frame)) => prop_assert!(!frame.is_empty() && frame.len() <= DATAGRAM_BYTES),
                    Ok(None) => break false,
                    Err(_) => break true,
                }
            };
            prop_assert!(framer.held() <= 4 * 4096, "{}", framer.held());
            if ended {
                break;
            }
        }
    }
}

#[test]
fn responses_and_media_belong_to_their_path() {
    let mut response = check("frag", b"transaction0");
    response[0] = 0x01;
    assert_eq!(classify(&response), Kind::Established);
    for first in [20, 63, 128, 191] {
        assert_eq!(classify(&[first, 0]), Kind::Established);
    }
    for first in [4, 19, 64, 127, 192, 255] {
        assert_eq!(classify(&[first, 0]), Kind::Malformed);
    }
}

#[test]
fn a_check_without_a_usable_name_is_malformed() {
    let named = |name: &str| classify(&check(name, b"transaction0")) != Kind::Malformed;
    assert!(
        named("frag")
            && !named("abc")
            && !named("fräg")
            && !named("fr g")
            && !named(&"x".repeat(257))
    );
    // No colon: the name is all of it.
    let mut message = check("frag", b"transaction0");
    let colon = message.iter().position(|b| *b == b':').unwrap();
    message[colon] = b'x';
    assert_eq!(classify(&message), Kind::Malformed);
    // Attributes without end.
    let mut endless = check("frag", b"transaction0")[..20].to_vec();
    endless.extend([0x80, 0x22, 0, 0].repeat(100));
    endless[2..4].copy_from_slice(&400_u16.to_be_bytes());
    assert_eq!(classify(&endless), Kind::Malformed);
}
