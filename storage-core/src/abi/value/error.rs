//! The mirror of [`Error`]: every part of it crosses, the source chain as its messages.

use std::fmt;

use abi_stable::std_types::RBox;

use super::{Mirror, mirror};
use crate::error::{Error, ErrorKind, Result, Retry};

/// An error on its way. Boxed, so that the good answers stay small.
pub(crate) type AbiError = RBox<AbiErrorParts>;

/// The parts of an [`Error`].
pub(crate) struct ErrorParts {
    kind: u32,
    retry: Retry,
    message: String,
    operation: Option<String>,
    backend: Option<String>,
    key: Option<String>,
    context: Vec<(String, String)>,
    causes: Vec<String>,
}

mirror! {
    answer ErrorParts as AbiErrorParts {
        kind: u32,
        retry: Retry,
        message: String,
        operation: Option<String>,
        backend: Option<String>,
        key: Option<String>,
        context: Vec<(String, String)>,
        causes: Vec<String>,
    }
}

impl Mirror for Error {
    type Abi = AbiError;

    fn into_abi(self) -> AbiError {
        let own = |text: Option<&str>| text.map(str::to_owned);
        RBox::new(
            ErrorParts {
                kind: self.kind().code(),
                retry: self.retry(),
                message: self.message().to_owned(),
                operation: own(self.operation()),
                backend: own(self.backend()),
                key: own(self.key()),
                context: self.context().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
                causes: self.causes(),
            }
            .into_abi(),
        )
    }

    fn from_abi(abi: AbiError) -> Result<Self> {
        let parts = ErrorParts::from_abi(RBox::into_inner(abi))?;
        let mut error = Error::new(ErrorKind::from_code(parts.kind), parts.message).with_retry(parts.retry);
        if let Some(operation) = parts.operation {
            error = error.with_operation(operation);
        }
        if let Some(backend) = parts.backend {
            error = error.with_backend(backend);
        }
        if let Some(key) = parts.key {
            error = error.with_key(key);
        }
        for (name, value) in parts.context {
            error = error.with_context(name, value);
        }
        let chain = |source, message| Some(Box::new(Cause { message, source }));
        Ok(match parts.causes.into_iter().rev().fold(None, chain) {
            Some(cause) => error.with_source(cause),
            None => error,
        })
    }
}

/// One error of a source chain whose types stayed on the other side.
#[derive(Debug)]
struct Cause {
    message: String,
    source: Option<Box<Cause>>,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Cause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
