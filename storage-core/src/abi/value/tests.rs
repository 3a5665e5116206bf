//! Round trips of values, and what becomes of those that this version does not know.
