//! Vehicle ids.

use crate::Invalid;

/// Longest vehicle id, in characters.
pub const MAX_LENGTH: usize = 64;

/// Checks a vehicle id: `[A-Za-z0-9._-]{1,64}`, not only dots (it is a part of URLs and MQTT topics).
///
/// # Errors
/// Says what is wrong and what an id looks like.
pub fn check_vehicle_id(id: &str) -> Result<(), Invalid> {
    let problem = if id.is_empty() {
        "empty".to_owned()
    } else if id.len() > MAX_LENGTH {
        format!("longer than {MAX_LENGTH} characters")
    } else if let Some(c) = id
        .chars()
        .find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '_' | '-'))
    {
        format!("has the character {c:?}")
    } else if id.bytes().all(|b| b == b'.') {
        "has only dots".to_owned()
    } else {
        return Ok(());
    };
    Err(Invalid::new(
        "vehicle",
        id,
        problem,
        format!(
            "use 1 to {MAX_LENGTH} letters, digits, dots, hyphens or underscores, for instance car-0017"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids() {
        for good in [
            "a",
            "car-0017",
            "WVWZZZ1JZXW000001",
            "drive1.v2_b",
            &"x".repeat(64),
        ] {
            check_vehicle_id(good).unwrap();
        }
        for bad in ["", ".", "..", "a b", "a/b", "+", "#", "ä", &"x".repeat(65)] {
            let e = check_vehicle_id(bad).unwrap_err();
            assert_eq!(e.field, "vehicle");
        }
    }
}
