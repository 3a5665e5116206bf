//! The headers that carry meaning of their own, parsed and written: text in, values out, no request and no service.

pub(super) mod condition;
pub(super) mod digest;
pub(super) mod pairs;
pub(super) mod range;
