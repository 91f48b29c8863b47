use super::outcome::response;
use super::*;
use crate::pool::Outcome;

fn answer(line: &str) -> Response {
    response(
        Outcome::Answer {
            line: line.as_bytes().to_vec(),
            length: line.len() + 1,
        },
        500,
        64,
    )
}

#[test]
fn answers_are_classified_as_the_real_server_does() {
    assert_eq!(answer("{}").status, Status::Success);
    assert_eq!(answer("[1]").status, Status::Success);
    assert_eq!(answer("{\"error\":null}").status, Status::Application);
    assert_eq!(answer("\"s\"").size, Some(61));
    assert_eq!(answer("junk").status, Status::Developer);
    assert_eq!(answer("null").size, Some(5));
    let long = answer(&format!("{{\"x\":\"{}\"}}", "x".repeat(64)));
    assert_eq!(long.status, Status::Application);
    assert!(
        long.result["error"]
            .as_str()
            .unwrap()
            .contains("allowed length: 73 > 64 bytes"),
        "{long:?}"
    );
    let late = response(Outcome::TimedOut, 500, 64);
    assert_eq!(
        late.result["error"],
        "The action exceeded its time limits of 500 milliseconds."
    );
    assert_eq!(late.size, None);
}
