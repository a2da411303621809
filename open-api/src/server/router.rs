//! From handlers to an axum router.

use std::collections::HashSet;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::routing::any;
use schemars::{Schema, SchemaGenerator};

use super::Caller;
use super::endpoint::{Endpoint, Typed};
use super::gate::Gate;
use super::options::{Identity, Repeats, ServerOptions};
use crate::signature::KeyRing;
use crate::{Api, ResultInfo};

/// One API of a router: for metrics, and to describe what is served.
#[derive(Clone)]
pub struct ApiRoute {
    /// [`Api::NAME`].
    pub name: &'static str,
    /// Where it listens, before any nesting.
    pub path: String,
    endpoint: Arc<dyn Endpoint>,
}

impl ApiRoute {
    /// JSON schema of what is asked, for a description such as OpenAPI. The generator collects what it
    /// refers to.
    pub fn request_schema(&self, generator: &mut SchemaGenerator) -> Schema {
        self.endpoint.request_schema(generator)
    }

    /// JSON schema of what is answered.
    pub fn answer_schema(&self, generator: &mut SchemaGenerator) -> Schema {
        self.endpoint.answer_schema(generator)
    }
}

impl std::fmt::Debug for ApiRoute {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {}", self.name, self.path)
    }
}

/// Collects handlers, and becomes an [`axum::Router`].
pub struct ApiRouter {
    gate: Gate,
    endpoints: Vec<(String, Arc<dyn Endpoint>)>,
}

impl ApiRouter {
    /// Without any API. Answers are signed by `identity`; requests are verified with `keys`. Both are
    /// shared: keys that are added to or removed from them later count at once.
    #[must_use]
    pub fn new(identity: Identity, keys: KeyRing, options: ServerOptions) -> Self {
        Self { gate: Gate { identity, keys, options }, endpoints: Vec::new() }
    }

    /// Serves `A` at `path`, or at its default path. What goes wrong here is told by [`Self::build`].
    ///
    /// `handler` is called with requests that are verified and checked, and may be called again with the
    /// same: it must be idempotent by the ids in the request. It runs to its end even if nobody waits.
    #[must_use]
    pub fn api<A, H, F>(mut self, path: Option<&str>, handler: H) -> Self
    where
        A: Api,
        H: Fn(Caller, A::Request) -> F + Send + Sync + 'static,
        F: Future<Output = Result<A::Answer, ResultInfo>> + Send + 'static,
    {
        let path = path.unwrap_or(A::PATH).to_owned();
        self.endpoints.push((path, Typed::<A, H>::shared(handler)));
        self
    }

    /// What is served, in the order in which it was added.
    #[must_use]
    pub fn apis(&self) -> Vec<ApiRoute> {
        let route = |(path, endpoint): &(String, Arc<dyn Endpoint>)| ApiRoute {
            name: endpoint.name(),
            path: path.clone(),
            endpoint: Arc::clone(endpoint),
        };
        self.endpoints.iter().map(route).collect()
    }

    /// The router, with a fallback that answers `NO_INTERFACE_DEF`, signed.
    ///
    /// # Errors
    /// [`RouterError`]: two APIs at one path, a path that cannot be one, options that contradict each other.
    pub fn build<S: Clone + Send + Sync + 'static>(self) -> Result<Router<S>, RouterError> {
        let (router, gate) = self.into_routes()?;
        Ok(router.fallback(move |request: Request| {
            let gate = Arc::clone(&gate);
            async move { gate.answer(None, request).await }
        }))
    }

    /// The router without a fallback, to be merged into one that has its own.
    ///
    /// # Errors
    /// As [`Self::build`].
    pub fn build_without_fallback<S: Clone + Send + Sync + 'static>(self) -> Result<Router<S>, RouterError> {
        Ok(self.into_routes()?.0)
    }

    fn into_routes<S: Clone + Send + Sync + 'static>(self) -> Result<(Router<S>, Arc<Gate>), RouterError> {
        self.check()?;
        let gate = Arc::new(self.gate);
        let mut router = Router::new();
        for (path, endpoint) in self.endpoints {
            let gate = Arc::clone(&gate);
            // Every method: the wrong ones get a signed answer too.
            let answer = move |request: Request| {
                let (gate, endpoint) = (Arc::clone(&gate), Arc::clone(&endpoint));
                async move { gate.answer(Some(&endpoint), request).await }
            };
            router = router.route(&path, any(answer));
        }
        Ok((router, gate))
    }

    fn check(&self) -> Result<(), RouterError> {
        let options = &self.gate.options;
        if matches!(options.repeats, Repeats::Refuse(_)) && options.max_clock_skew.is_zero() {
            return Err(RouterError::RepeatsWithoutWindow);
        }
        let mut taken = HashSet::new();
        for (path, _) in &self.endpoints {
            let is_allowed = |byte: u8| byte.is_ascii_graphic() && !b"{}*:?#%\\".contains(&byte);
            if !path.starts_with('/') || !path.bytes().all(is_allowed) {
                return Err(RouterError::PathMalformed { path: path.clone() });
            }
            if !taken.insert(path) {
                return Err(RouterError::PathTaken { path: path.clone() });
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for ApiRouter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiRouter").field("apis", &self.apis()).field("options", &self.gate.options).finish()
    }
}

/// Why there is no router.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouterError {
    /// It does not begin with `/`, or has a character that is not one of a plain path.
    #[error("{path} is not a path")]
    PathMalformed {
        /// Which.
        path: String,
    },
    /// Two APIs listen at it.
    #[error("two apis listen at {path}")]
    PathTaken {
        /// Which.
        path: String,
    },
    /// Repeats are to be refused, but requests stay fresh for ever: they would have to be remembered for ever.
    #[error("repeats can be refused only if the clock skew is limited")]
    RepeatsWithoutWindow,
}
