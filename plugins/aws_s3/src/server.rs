//! [`NoteServer`]: remembers what the server calls itself.

use std::sync::{Arc, OnceLock};

use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;

/// Looks at the first answer and remembers its `Server` header.
#[derive(Clone, Debug, Default)]
pub(crate) struct NoteServer(Arc<OnceLock<String>>);

impl NoteServer {
    /// What the server that answered calls itself.
    pub(crate) fn name(&self) -> Option<String> {
        self.0.get().cloned()
    }
}

impl Intercept for NoteServer {
    fn name(&self) -> &'static str {
        "NoteServer"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(name) = context.response().headers().get("server") {
            // Only the first answer sets it.
            self.0.get_or_init(|| name.to_owned());
        }
        Ok(())
    }
}
