use serde_json::json;

use super::*;

fn activation(success: bool, status: &str, result: Value) -> Value {
    json!({"activationId": "a1", "response": {"success": success, "status": status, "result": result}})
}

#[test]
fn success_is_what_the_record_says() {
    let good = activation(true, "success", json!({}));
    assert_eq!(invoked(StatusCode::OK, &good), Answer::Succeeded(json!({})));
    let bad = activation(false, "application error", json!({"error": "boom"}));
    let failed = Answer::Failed(Failure::of_action(
        "application error: boom (activation a1)".to_owned(),
    ));
    assert_eq!(invoked(StatusCode::BAD_GATEWAY, &bad), failed);
    assert_eq!(invoked(StatusCode::OK, &bad), failed);
    assert_eq!(recorded(StatusCode::OK, &bad), Ok(failed));
}

#[test]
fn the_platforms_trouble_is_not_the_records() {
    let throttled = json!({"error": "Too many requests in the last minute"});
    assert!(matches!(
        invoked(StatusCode::TOO_MANY_REQUESTS, &throttled),
        Answer::Unavailable(_)
    ));
    assert!(matches!(
        invoked(StatusCode::SERVICE_UNAVAILABLE, &Value::Null),
        Answer::Unavailable(_)
    ));
    // A proxy's 502 has no record in it.
    assert!(matches!(
        invoked(StatusCode::BAD_GATEWAY, &Value::Null),
        Answer::Unavailable(_)
    ));
    let own = activation(
        false,
        "whisk internal error",
        json!({"error": "no invoker"}),
    );
    for status in [StatusCode::BAD_GATEWAY, StatusCode::INTERNAL_SERVER_ERROR] {
        let why = Answer::Unavailable("no invoker".to_owned());
        assert_eq!(invoked(status, &own), why);
    }
    assert_eq!(
        invoked(StatusCode::NOT_FOUND, &Value::Null),
        Answer::NoSuchTarget
    );
    assert!(matches!(
        invoked(StatusCode::PAYLOAD_TOO_LARGE, &Value::Null),
        Answer::Refused(_)
    ));
}

#[test]
fn late_answers_name_their_activation() {
    let late = json!({"activationId": "a2"});
    assert_eq!(
        invoked(StatusCode::ACCEPTED, &late),
        Answer::Later("a2".to_owned())
    );
    assert_eq!(
        recorded(StatusCode::NOT_FOUND, &Value::Null),
        Err(Answer::NoRecordYet)
    );
}

#[test]
fn addresses_are_put_together() {
    let access = Access {
        uri: "http://w:3233/".to_owned(),
        authority: None,
        username: "u".to_owned(),
        password: Secret::new("p"),
        namespace: "_".to_owned(),
    };
    let whisk = Whisk::new(
        access.clone(),
        &Target::Action("pkg/warn".to_owned()),
        Duration::from_secs(1),
    )
    .unwrap();
    assert_eq!(
        whisk.send.as_str(),
        "http://w:3233/api/v1/namespaces/_/actions/pkg/warn?blocking=true&result=false"
    );
    assert_eq!(
        whisk.activations.as_str(),
        "http://w:3233/api/v1/namespaces/_/activations"
    );
    let trigger = Target::Trigger("late".to_owned());
    let whisk = Whisk::new(access.clone(), &trigger, Duration::from_secs(1)).unwrap();
    assert_eq!(
        whisk.send.as_str(),
        "http://w:3233/api/v1/namespaces/_/triggers/late"
    );
    let secure = Access {
        uri: "https://w.example.org".to_owned(),
        authority: Some("no certificate".to_owned()),
        ..access.clone()
    };
    let told = Whisk::new(secure, &trigger, Duration::from_secs(1)).unwrap_err();
    assert!(matches!(told, WhiskError::Authority(_)), "{told}");
    let wrong = Access {
        uri: "openwhisk".to_owned(),
        ..access
    };
    let e = Whisk::new(wrong, &trigger, Duration::from_secs(1))
        .unwrap_err()
        .to_string();
    assert!(e.contains("openwhisk") && e.contains("http://"), "{e}");
}

#[test]
fn a_fire_is_followed_to_what_it_started() {
    let id = json!({"activationId": "t1"});
    assert_eq!(
        fired(StatusCode::ACCEPTED, &id),
        Answer::Fired("t1".to_owned())
    );
    let Answer::Failed(none) = fired(StatusCode::NO_CONTENT, &Value::Null) else {
        panic!("no rule is a failure")
    };
    assert!(none.problem.contains("no active rule") && none.cure.contains("activate"));
    assert_eq!(
        fired(StatusCode::NOT_FOUND, &Value::Null),
        Answer::NoSuchTarget
    );
    // As recorded of the real server.
    let record = json!({"logs": [
        r#"{"statusCode":0,"success":true,"activationId":"224a","rule":"guest/r","action":"guest/echo"}"#,
        r#"{"statusCode":1,"success":false,"rule":"guest/r2","error":"Rule 'guest/r2' is inactive, action 'guest/echo' was not activated.","action":"guest/echo"}"#,
    ]});
    let read = rules(&record);
    assert_eq!(
        read.started,
        [(
            "224a".to_owned(),
            "rule guest/r, action guest/echo".to_owned()
        )]
    );
    assert_eq!(nothing_started(&read), None);
    let dangling = json!({"logs": [
        r#"{"statusCode":1,"success":false,"rule":"guest/rt","error":"The requested resource does not exist.","action":"guest/tmp"}"#,
    ]});
    let failure = nothing_started(&rules(&dangling)).unwrap();
    assert!(failure.problem.contains("guest/tmp"), "{failure:?}");
    let all_off = json!({"logs": [
        r#"{"statusCode":1,"success":false,"rule":"guest/r2","error":"Rule 'guest/r2' is inactive, …"}"#,
    ]});
    let failure = nothing_started(&rules(&all_off)).unwrap();
    assert_eq!(failure.cure, ACTIVATE_A_RULE);
}
