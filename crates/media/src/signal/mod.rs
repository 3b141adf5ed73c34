//! LiveKit's signalling on the wire: frames, join requests, SDP.
