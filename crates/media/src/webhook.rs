//! LiveKit's webhooks: their body, signature and check.
