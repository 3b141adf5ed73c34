//! WebSocket frames: the protocol's messages as binary protobuf, or as JSON in text frames for clients that speak it.

use bytes::Bytes;
use livekit_protocol::{SignalRequest, SignalResponse, signal_request};
use prost::Message;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The largest message that a client or worker may send, in bytes; a LiveKit server's default.
pub const MAX_FRAME_BYTES: usize = 2 * 1024 * 1024;

/// One WebSocket message, in or out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Protobuf.
    Binary(Bytes),
    /// JSON.
    Text(String),
}

impl Frame {
    /// The payload's size in bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Binary(bytes) => bytes.len(),
            Self::Text(text) => text.len(),
        }
    }

    /// Whether the payload is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A frame that is not a message. The sender is to be closed with this text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Larger than [`MAX_FRAME_BYTES`].
    #[error("message of {0} bytes exceeds the limit of {MAX_FRAME_BYTES} bytes")]
    TooLarge(usize),
    /// Neither protobuf nor JSON of the expected message.
    #[error("malformed message")]
    Malformed,
}

/// Which of the two languages the other side speaks: that of its latest frame, binary before the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FrameCodec {
    json: bool,
}

impl FrameCodec {
    /// Reads a client's frame; `None` for a message that this server does not know (a newer client's), to be ignored.
    ///
    /// # Errors
    /// When the frame is too large or malformed.
    pub fn decode_request(
        &mut self,
        frame: &Frame,
    ) -> Result<Option<signal_request::Message>, FrameError> {
        Ok(self.decode::<SignalRequest>(frame)?.message)
    }

    /// Writes a server's message in the language of the client.
    pub fn encode_response(&self, response: &SignalResponse) -> Frame {
        self.encode(response)
    }

    /// Reads any message of the protocol.
    ///
    /// # Errors
    /// When the frame is too large or malformed.
    pub fn decode<M: Message + Default + DeserializeOwned>(
        &mut self,
        frame: &Frame,
    ) -> Result<M, FrameError> {
        if frame.len() > MAX_FRAME_BYTES {
            return Err(FrameError::TooLarge(frame.len()));
        }
        match frame {
            Frame::Binary(bytes) => {
                self.json = false;
                M::decode(bytes.clone()).map_err(|_| FrameError::Malformed)
            }
            Frame::Text(text) => {
                self.json = true;
                serde_json::from_str(text).map_err(|_| FrameError::Malformed)
            }
        }
    }

    /// Writes any message of the protocol.
    pub fn encode<M: Message + Serialize>(&self, message: &M) -> Frame {
        // JSON fails only for an enumeration's number that has no name; those are never made here,
        // and a reader of protobuf is the better answer than none.
        if self.json
            && let Ok(text) = serde_json::to_string(message)
        {
            return Frame::Text(text);
        }
        Frame::Binary(message.encode_to_vec().into())
    }
}

#[cfg(test)]
mod tests {
    use livekit_protocol::{Pong, signal_response};
    use proptest::prelude::*;

    use super::*;

    /// `rtc.SignalRequest(add_track=AddTrackRequest(cid="cid1", name="mic", muted=True))` by livekit-protocol 1.1.29 of PyPI.
    const ADD_TRACK: &[u8] = &[
        0x22, 0x0d, 0x0a, 0x04, 0x63, 0x69, 0x64, 0x31, 0x12, 0x03, 0x6d, 0x69, 0x63, 0x30, 0x01,
    ];
    const ADD_TRACK_JSON: &str = r#"{"addTrack": {"cid": "cid1", "name": "mic", "muted": true}}"#;

    fn pong() -> SignalResponse {
        SignalResponse {
            message: Some(signal_response::Message::PongResp(Pong {
                last_ping_timestamp: 7,
                timestamp: 8,
            })),
        }
    }

    #[test]
    fn a_client_gets_the_language_that_it_speaks() {
        let mut codec = FrameCodec::default();
        let binary = codec
            .decode_request(&Frame::Binary(Bytes::from_static(ADD_TRACK)))
            .expect("valid");
        let Some(signal_request::Message::AddTrack(track)) = &binary else {
            panic!("another message: {binary:?}")
        };
        assert_eq!(
            (track.cid.as_str(), track.name.as_str(), track.muted),
            ("cid1", "mic", true)
        );
        assert!(matches!(codec.encode_response(&pong()), Frame::Binary(_)));

        let text = codec
            .decode_request(&Frame::Text(ADD_TRACK_JSON.to_owned()))
            .expect("valid");
        assert_eq!(text, binary);
        assert_eq!(
            codec.encode_response(&pong()),
            Frame::Text(r#"{"pongResp":{"lastPingTimestamp":"7","timestamp":"8"}}"#.to_owned())
        );
    }

    #[test]
    fn an_unknown_message_is_ignored_and_a_large_one_refused() {
        let mut codec = FrameCodec::default();
        // Field 99, a string.
        let newer = Frame::Binary(Bytes::from_static(&[0x9a, 0x06, 0x01, b'x']));
        assert_eq!(codec.decode_request(&newer), Ok(None));
        assert_eq!(
            codec.decode_request(&Frame::Text(r#"{"later": {}}"#.to_owned())),
            Ok(None)
        );
        let large = Frame::Binary(vec![0; MAX_FRAME_BYTES + 1].into());
        assert_eq!(
            codec.decode_request(&large),
            Err(FrameError::TooLarge(MAX_FRAME_BYTES + 1))
        );
        let deep = Frame::Text("[".repeat(100_000));
        assert_eq!(codec.decode_request(&deep), Err(FrameError::Malformed));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), text in "\\PC{0,200}") {
            let mut codec = FrameCodec::default();
            let _ = codec.decode_request(&Frame::Binary(bytes.into()));
            let _ = codec.decode_request(&Frame::Text(text));
        }

        #[test]
        fn a_changed_frame_never_panics(at in 0usize..15, with in any::<u8>()) {
            let mut bytes = ADD_TRACK.to_vec();
            bytes[at] = with;
            let _ = FrameCodec::default().decode_request(&Frame::Binary(bytes.into()));
        }
    }
}
