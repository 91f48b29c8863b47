//! Patterns of LIKE.

/// Whether `text` matches `pattern`, in which `%` is any run of characters and `_` any one.
/// Takes at most |text| × |pattern| steps.
pub(crate) fn like(text: &str, pattern: &[char]) -> bool {
    let text: Vec<char> = text.chars().collect();
    let (mut t, mut p) = (0, 0);
    // Where the last % was, and how far it reaches so far.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('%') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '_' || *c == text[t] => {
                t += 1;
                p += 1;
            }
            _ => {
                let Some((at, reached)) = star else {
                    return false;
                };
                star = Some((at, reached + 1));
                t = reached + 1;
                p = at + 1;
            }
        }
    }
    pattern[p..].iter().all(|c| *c == '%')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let m = |t: &str, p: &str| like(t, &p.chars().collect::<Vec<_>>());
        for (t, p) in [
            ("P0217", "P02%"),
            ("P0217", "%17"),
            ("P0217", "P_2_7"),
            ("", "%"),
            ("", ""),
            ("aXbXc", "a%b%c"),
            ("müde", "m_de"),
            ("aab", "%ab"),
        ] {
            assert!(m(t, p), "{t} LIKE {p}");
        }
        for (t, p) in [("P0217", "P02"), ("", "_"), ("abc", "a%d"), ("abc", "ABC")] {
            assert!(!m(t, p), "{t} NOT LIKE {p}");
        }
    }
}
