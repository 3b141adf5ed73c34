//! One participant's connections: the only place that touches a str0m instance.
