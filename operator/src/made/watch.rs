//! The watches themselves.

use std::sync::Arc;

use futures::{StreamExt, future};
use kube::Api;
use kube::api::ApiResource;
use kube::runtime::{WatchStreamExt, watcher};

use super::Seen;
use crate::context::Context;
use crate::reconcile::OWNER_LABEL;

/// Watches all that the operator has made of these kinds, in all its namespaces. It never ends by itself.
pub async fn watch(context: Arc<Context>, kinds: Vec<ApiResource>) {
    let mut watches = Vec::new();
    for kind in kinds {
        for scope in context.scopes() {
            watches.push(one(Arc::clone(&context), kind.clone(), scope));
        }
    }
    future::join_all(watches).await;
}

async fn one(context: Arc<Context>, kind: ApiResource, scope: Option<String>) {
    let api: Api<Seen> = match &scope {
        Some(namespace) => Api::namespaced_with(context.client.clone(), namespace, &kind),
        None => Api::all_with(context.client.clone(), &kind),
    };
    let id = context.made.add(&kind.kind, scope.as_deref());
    let ours = watcher::Config::default().labels(OWNER_LABEL);
    watcher(api, ours)
        .default_backoff()
        .for_each(|event| {
            match event {
                Ok(event) => context.made.take(id, event),
                Err(error) => {
                    context.made.fails(id);
                    tracing::warn!(kind = kind.kind, %error, "a watch failed; it is taken up again");
                }
            }
            future::ready(())
        })
        .await;
}
