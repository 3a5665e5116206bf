//! Placeholder: layers.
