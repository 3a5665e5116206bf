//! The plugin boundary: a native [`crate::Backend`] on either side, an ABI-stable mirror between.
