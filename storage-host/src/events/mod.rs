//! Placeholder: events.
