//! Placeholder: plugin.
