//! [`ErrorContext`]: says in every error which backend, operation and key it is about.

use std::future::Future;
use std::sync::Arc;

use storage_core::{ByteStream, Error, ObjectKey, Result};

use super::layer::{Answer, Call, Layer};

/// Names backend, operation and key in errors that do not, those of a body being read included.
pub(super) struct ErrorContext {
    pub(super) backend: Arc<str>,
}

impl Layer for ErrorContext {
    async fn around<T, F>(
        &self,
        call: &Call<'_>,
        body: ByteStream,
        next: &(impl Fn(ByteStream) -> F + Sync),
    ) -> Result<T>
    where
        T: Answer,
        F: Future<Output = Result<T>> + Send,
    {
        let name = explain(self.backend.clone(), call.operation, call.key.cloned());
        match next(body).await {
            Ok(answer) => Ok(answer.map_errors(name)),
            Err(error) => Err(name(error)),
        }
    }
}

fn explain(
    backend: Arc<str>,
    operation: &'static str,
    key: Option<ObjectKey>,
) -> impl Fn(Error) -> Error + Send + 'static {
    move |error| {
        let error = error.with_operation(operation).with_backend(&*backend);
        match &key {
            Some(key) => error.with_key(key),
            None => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use storage_core::{Backend, RetrieveOptions, Retry};

    use super::*;
    use crate::layers::testing::{Fault, Faults, key};

    fn layer() -> ErrorContext {
        ErrorContext { backend: "hot".into() }
    }

    fn assert_named(error: &Error) {
        assert_eq!(error.backend(), Some("hot"));
        assert_eq!(error.operation(), Some("retrieve"));
        assert_eq!(error.key(), Some(key().as_str()));
    }

    #[tokio::test]
    async fn errors_of_a_call_and_of_its_body_name_backend_operation_and_key() {
        let faults = Faults::new([Fault::Error(Retry::Never), Fault::BreakBody(Some(Retry::May))]);
        let backend = faults.below(layer()).await;
        assert_named(&backend.retrieve(&key(), RetrieveOptions::default()).await.expect_err("refused"));
        let mut body = backend.retrieve(&key(), RetrieveOptions::default()).await.expect("answered").body;
        assert!(body.next().await.expect("a chunk").is_ok());
        assert_named(&body.next().await.expect("an item").expect_err("broken"));
    }

    #[tokio::test]
    async fn what_the_backend_named_itself_stays() {
        let memory = storage_core::memory::MemoryBackend::new("inner");
        let backend = crate::layers::Layered { backend: Arc::new(memory), layer: layer() };
        let other = ObjectKey::new("absent").expect("a legal key");
        let error = backend.retrieve(&other, RetrieveOptions::default()).await.expect_err("absent");
        assert_eq!(error.backend(), Some("inner"));
        assert_eq!(error.to_string().matches("backend:").count(), 1);
    }
}
