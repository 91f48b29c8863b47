//! What the controller of an Apache OpenWhisk says of its invokers.

use std::collections::BTreeMap;

use crate::remote::http;

/// Which invokers the controller at `http://host:port` gives activations to, by their number; `None` when it does not say.
pub async fn invokers(uri: &str) -> Option<BTreeMap<u32, bool>> {
    match http::text(&format!("{uri}/invokers")).await {
        Ok(answer) => parse(&answer),
        Err(problem) => {
            tracing::debug!(uri, problem, "a controller does not speak of its invokers");
            None
        }
    }
}

/// `{"invoker0/…": "up"}`, where the name may end with what else an invoker is called.
fn parse(answer: &str) -> Option<BTreeMap<u32, bool>> {
    let told: BTreeMap<String, String> = serde_json::from_str(answer).ok()?;
    Some(
        told.iter()
            .filter_map(|(name, state)| {
                let rest = name.strip_prefix("invoker")?;
                let digits = rest.find(|c: char| !c.is_ascii_digit());
                let number = rest.get(..digits.unwrap_or(rest.len()))?.parse().ok()?;
                Some((number, state == "up"))
            })
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read() {
        let told = parse(r#"{"invoker0": "up", "invoker11/w-invoker-11": "unhealthy", "x": "up"}"#);
        assert_eq!(told, Some(BTreeMap::from([(0, true), (11, false)])));
        assert_eq!(parse("unauthorized"), None);
    }
}
