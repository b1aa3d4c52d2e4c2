//! The warnings about invented people and about log-ins that everybody knows.

use std::sync::Arc;

use crate::auth::SystemRandom;
use crate::auth::password::{HasherLimits, PasswordHasher};
use crate::demo;
use crate::service::{App, Error, seed};

/// Says aloud that anybody can log in. The hasher is one of its own, so that the memory of the
/// check is given back.
pub(super) async fn warn(app: Arc<App>) {
    match app.store.read(|tx| demo::seed_of(tx)).await {
        Ok(None) => {}
        Ok(Some(seed)) => tracing::warn!(
            seed,
            "this is a demo: all people are invented, and no real patient may be registered here"
        ),
        Err(error) => tracing::warn!(%error, "could not look whether this is a demo"),
    }
    let checked: Result<Vec<String>, Error> = async {
        let candidates = app.store.read(|tx| seed::candidates(tx)).await?;
        if candidates.is_empty() {
            return Ok(Vec::new());
        }
        let limits = HasherLimits {
            threads: 1,
            ..HasherLimits::default()
        };
        match PasswordHasher::start(limits, Arc::new(SystemRandom)) {
            Ok(hasher) => seed::still_work(&hasher, candidates).await,
            Err(error) => Err(Error::Internal(error.to_string())),
        }
    }
    .await;
    match checked {
        Ok(names) if names.is_empty() => {}
        Ok(names) => tracing::warn!(
            accounts = names.join(", "),
            "ANYBODY CAN LOG IN: these accounts have passwords that are printed in public; \
             this node is for tests and must not hold real patients"
        ),
        Err(error) => tracing::warn!(%error, "could not look for well-known log-ins"),
    }
}
