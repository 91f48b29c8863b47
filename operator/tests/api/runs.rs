//! How runs went, as the statuses of Action, Trigger and Rule tell it.

use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ObjectMeta, PostParams};
use millrace_operator::action::crd::Action;
use millrace_operator::remote::action::Actions;
use millrace_operator::remote::openwhisk::{Invocation, Invoked, WhiskClient};
use millrace_operator::remote::rule::WhiskRules;
use millrace_operator::remote::trigger::Triggers;
use millrace_operator::rule::crd::WhiskRule;
use millrace_operator::trigger::crd::Trigger;
use serde_json::json;

use crate::links::openwhisk;
use crate::support::{Scene, eventually};
use crate::whisk_support::{KEY, USER, answering, start, zip};

pub async fn how_runs_went_is_told(scene: &Scene) {
    let Some(whisk) = start() else { return };
    let client = WhiskClient::new(&whisk.uri, USER, KEY, Duration::from_secs(10)).unwrap();
    openwhisk(scene, &whisk.uri).await;
    let archive = zip("exec", answering(r#"{"error":"no fuel"}"#).as_bytes());
    let map = ConfigMap {
        metadata: ObjectMeta {
            name: Some("assess-code".to_owned()),
            ..ObjectMeta::default()
        },
        binary_data: Some([("action.zip".to_owned(), ByteString(archive))].into()),
        ..ConfigMap::default()
    };
    let maps = scene.api::<ConfigMap>();
    maps.create(&PostParams::default(), &map).await.unwrap();
    let code = json!({"configMap": {"name": "assess-code", "key": "action.zip"}});
    let spec = json!({"openwhisk": "w", "code": code});
    assert!(scene.make::<Actions>("assess", spec).await);
    let alerts = json!({"openwhisk": "w"});
    assert!(scene.make::<Triggers>("alerts", alerts).await);
    let warn = json!({"openwhisk": "w", "trigger": "alerts", "action": "assess"});
    assert!(scene.make::<WhiskRules>("warn", warn).await);
    let (actions, triggers) = (scene.api::<Action>(), scene.api::<Trigger>());
    let rules = scene.api::<WhiskRule>();
    let of_action = || async {
        assert!(scene.look::<Actions>("assess").await);
        let status = actions.get("assess").await.unwrap().status.unwrap();
        status.activations
    };
    assert_eq!(of_action().await, None, "it has not run");

    let how = Invocation {
        blocking: true,
        timeout_ms: None,
    };
    let Invoked::Finished(record) = client.invoke("assess", &json!({}), how).await.unwrap() else {
        panic!("it goes on");
    };
    let seen = eventually("what the action did", of_action).await;
    assert_eq!(
        (seen.count, seen.failed, seen.error_rate_percent),
        (1, 1, 100)
    );
    let error = seen.last_error.unwrap();
    assert_eq!(
        (error.message.as_str(), &error.activation),
        ("no fuel", &record.id)
    );
    let writes = scene.writes();
    assert!(scene.look::<Actions>("assess").await);
    assert!(scene.look::<Triggers>("alerts").await && scene.look::<WhiskRules>("warn").await);
    assert_eq!(scene.writes(), writes, "a second look writes nothing");

    // The same by way of a rule: the trigger has done its part.
    assert!(client.fire("alerts", &json!({})).await.unwrap().is_some());
    let seen = eventually("the failure of the rule", || async {
        assert!(scene.look::<WhiskRules>("warn").await);
        let status = rules.get("warn").await.unwrap().status.unwrap();
        status.activations.filter(|seen| seen.failed == 1)
    })
    .await;
    assert_eq!(seen.count, 1);
    assert_eq!(seen.last_error.unwrap().message, "no fuel");
    assert!(scene.look::<Triggers>("alerts").await);
    let status = triggers.get("alerts").await.unwrap().status.unwrap();
    let seen = status.activations.unwrap();
    assert_eq!((seen.count, seen.failed), (1, 0));
}
