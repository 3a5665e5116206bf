//! Who calls: service keys and end users' tokens. Nothing below `/v1` is anonymous but signed links.

#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod jwks;
mod jwt;
pub mod service_key;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, HeaderName};
use parking_lot::Mutex;
use storage_core::Result;

use self::jwt::TokenVerifier;
use super::error::{Code, Problem};
use super::state::HttpState;
use crate::catalog::{Catalog, KeyScope, ServiceKeyRecord, UserId};
use crate::config::AuthConfig;
use crate::service::{Actor, SimpleStorageService};

/// `X-User-Id`: the user for whom a service key acts.
const X_USER_ID: HeaderName = HeaderName::from_static("x-user-id");

/// How long a key that was read from the catalog is believed: a key works at most this long after it was revoked.
const KEY_LIFETIME: Duration = Duration::from_secs(5);

/// How many keys are remembered at once.
const MAX_REMEMBERED_KEYS: usize = 1024;

/// Decides who a request comes from.
pub(super) struct Authenticator {
    catalog: Arc<dyn Catalog>,
    keys: Mutex<HashMap<String, (ServiceKeyRecord, Instant)>>,
    tokens: Option<TokenVerifier>,
}

/// Whose credentials a request carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// A service, by the name of its key. It may act for any user.
    Service(String),
    /// An administrator, by the name of the key.
    Administrator(String),
    /// An end user.
    User(UserId),
}

/// Who calls, and for whom: the argument of every handler that touches a user's files.
#[derive(Clone)]
pub(super) struct Caller {
    /// The service, which writes the caller into its audit log.
    pub(super) service: SimpleStorageService,
    /// The owner of the files.
    pub(super) user: UserId,
}

impl Authenticator {
    pub(super) fn new(config: &AuthConfig, catalog: Arc<dyn Catalog>) -> Result<Self> {
        Ok(Self { catalog, keys: Mutex::default(), tokens: TokenVerifier::new(config)? })
    }

    /// Whose credentials the request carries.
    ///
    /// # Errors
    ///
    /// 401; what kept the catalog or the key set from being read.
    pub(super) async fn identify(&self, headers: &HeaderMap) -> Result<Identity, Problem> {
        let mut lines = headers.get_all(AUTHORIZATION).iter();
        let (Some(line), None) = (lines.next(), lines.next()) else {
            return Err(Problem::unauthenticated(
                "send one Authorization header: Bearer and a service key or a token",
            ));
        };
        let bearer = line.to_str().ok().and_then(|line| line.split_once(' '));
        let credentials = match bearer {
            Some((scheme, credentials)) if scheme.eq_ignore_ascii_case("bearer") => credentials.trim(),
            _ => {
                return Err(Problem::unauthenticated(
                    "the Authorization header is not of the form: Bearer CREDENTIALS",
                ));
            }
        };
        if service_key::looks_like_one(credentials) {
            return self.service(credentials).await;
        }
        match &self.tokens {
            Some(tokens) => tokens.verify(credentials).await.map(Identity::User),
            None => Err(Problem::unauthenticated(
                "the credentials are no service key, and no signer of end users' tokens is configured",
            )),
        }
    }

    async fn service(&self, token: &str) -> Result<Identity, Problem> {
        // One answer for every fault, so that nobody learns which keys there are.
        let refused = || Problem::unauthenticated("the service key is not known, or it was revoked");
        let (id, secret) = service_key::split(token).ok_or_else(refused)?;
        let record = self.key(id).await?.ok_or_else(refused)?;
        if record.revoked_at.is_none() && service_key::matches(&record, secret) {
            return Ok(match record.scope {
                KeyScope::Files => Identity::Service(record.name),
                KeyScope::Admin => Identity::Administrator(record.name),
            });
        }
        Err(refused())
    }

    async fn key(&self, id: &str) -> Result<Option<ServiceKeyRecord>, Problem> {
        if let Some((record, at)) = self.keys.lock().get(id)
            && at.elapsed() < KEY_LIFETIME
        {
            return Ok(Some(record.clone()));
        }
        let Some(record) = self.catalog.service_key(id).await? else {
            return Ok(None);
        };
        let mut keys = self.keys.lock();
        if keys.len() >= MAX_REMEMBERED_KEYS {
            keys.retain(|_, (_, at)| at.elapsed() < KEY_LIFETIME);
        }
        if keys.len() < MAX_REMEMBERED_KEYS {
            keys.insert(id.to_owned(), (record.clone(), Instant::now()));
        }
        Ok(Some(record))
    }
}

/// The user for whom an identity acts in this request.
fn user(identity: &Identity, headers: &HeaderMap) -> Result<UserId, Problem> {
    let mut lines = headers.get_all(&X_USER_ID).iter();
    let named = match (lines.next(), lines.next()) {
        (None, _) => None,
        // One of them may have been added on the way here; which of them counts is not for us to guess.
        (Some(_), Some(_)) => return Err(Problem::invalid(X_USER_ID.as_str(), "is there more than once")),
        (Some(value), None) => {
            let name = value.to_str().map_err(|_| Problem::invalid(X_USER_ID.as_str(), "is not ASCII"))?;
            Some(UserId::new(name).map_err(|error| Problem::invalid(X_USER_ID.as_str(), error.message()))?)
        }
    };
    match (identity, named) {
        (Identity::Administrator(_), _) => Err(Problem::new(Code::PermissionDenied).detail(
            "this key is for administration, and for nobody's files: use a service key of the scope files",
        )),
        (Identity::Service(_), Some(user)) => Ok(user),
        (Identity::Service(_), None) => Err(Problem::new(Code::UserRequired)
            .detail("a service key acts for a user: name him in the X-User-Id header")
            .field(X_USER_ID.as_str(), "is missing")),
        (Identity::User(user), None) => Ok(user.clone()),
        (Identity::User(user), Some(named)) if *user == named => Ok(named),
        (Identity::User(_), Some(_)) => {
            Err(Problem::new(Code::PermissionDenied)
                .detail("the token is another user's than X-User-Id names"))
        }
    }
}

/// Closes the routes below it to callers without credentials, and tells handlers who calls.
pub(super) async fn require(State(state): State<HttpState>, mut request: Request, next: Next) -> Response {
    let identified = state.authenticator().identify(request.headers()).await;
    let caller = identified.and_then(|identity| {
        let user = user(&identity, request.headers())?;
        let name = match &identity {
            Identity::Service(name) | Identity::Administrator(name) => format!("key:{name}"),
            Identity::User(user) => format!("user:{user}"),
        };
        let actor = Actor { name, remote: remote(request.extensions()) };
        Ok(Caller { service: state.service().with_actor(actor), user })
    });
    match caller {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

/// Who changes the service, as the log has it.
#[derive(Clone)]
pub(super) struct Administrator(pub(super) String);

/// Closes the routes below it to everybody but administrators.
pub(super) async fn require_administrator(
    State(state): State<HttpState>,
    mut request: Request,
    next: Next,
) -> Response {
    match state.authenticator().identify(request.headers()).await {
        Ok(Identity::Administrator(name)) => {
            request.extensions_mut().insert(Administrator(format!("key:{name}")));
            next.run(request).await
        }
        Ok(_) => Problem::new(Code::PermissionDenied)
            .detail("only a service key of the scope admin may do this; one is made with: storage keys create NAME --admin")
            .into_response(),
        Err(problem) => problem.into_response(),
    }
}

/// The address of the peer, which [`super::Server`] puts into every request. A proxy's header is not believed.
pub(super) fn remote(extensions: &http::Extensions) -> Option<String> {
    extensions.get::<SocketAddr>().map(|peer| peer.ip().to_string())
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // Only a route outside of `require` has no caller: a fault of this module, and closed rather than open.
        parts.extensions.get().cloned().ok_or_else(|| Problem::new(Code::Internal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn acting_for(identity: &Identity, named: Option<&str>) -> Result<UserId, Problem> {
        let mut headers = HeaderMap::new();
        if let Some(named) = named {
            headers.insert(X_USER_ID, HeaderValue::from_str(named).expect("a header value"));
        }
        user(identity, &headers)
    }

    #[test]
    fn a_service_acts_for_anybody_and_a_user_for_himself_only() {
        let service = Identity::Service("app".to_owned());
        let admin = Identity::Administrator("ops".to_owned());
        let anna = Identity::User(UserId::new("anna").expect("a user"));
        assert_eq!(acting_for(&service, Some("ben")).expect("ben").as_str(), "ben");
        assert_eq!(acting_for(&anna, None).expect("anna").as_str(), "anna");
        assert_eq!(acting_for(&anna, Some("anna")).expect("anna").as_str(), "anna");
        let refused = |identity, named| acting_for(identity, named).expect_err("refused").code();
        assert_eq!(refused(&service, None), Code::UserRequired);
        assert_eq!(refused(&admin, Some("ben")), Code::PermissionDenied);
        assert_eq!(refused(&admin, None), Code::PermissionDenied);
        assert_eq!(refused(&anna, Some("ben")), Code::PermissionDenied);
        for traversal in ["../anna", "..", "a/b", ""] {
            assert_eq!(refused(&service, Some(traversal)), Code::InvalidRequest);
        }
    }

    #[test]
    fn two_users_in_one_request_are_refused() {
        let mut headers = HeaderMap::new();
        for name in ["anna", "ben"] {
            headers.append(X_USER_ID, HeaderValue::from_static(name));
        }
        let service = Identity::Service("app".to_owned());
        assert_eq!(user(&service, &headers).expect_err("refused").code(), Code::InvalidRequest);
    }
}
