//! Names that go into objects of Kubernetes and of others, as rules of the definitions: what is written in another form
//! would be refused there, and told far from the field that is to blame.

use kube::core::{Message, Rule};

/// One label of a DNS name.
const LABEL: &str = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?";
/// What stands between dots in the name of an object: the name as a whole has a bound, and its parts have none.
const PART: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";

fn rule(good: &str, form: &str) -> Rule {
    let cure = format!("self + ': is no {form}'");
    Rule::new(good.to_owned()).message(Message::Expression(cure))
}

fn is_host(name: &str) -> String {
    // Classes instead of escapes, which CEL would read once more.
    format!("({name}.matches('^([*][.])?{LABEL}([.]{LABEL})*$') && !isIP({name}))")
}

const HOST: &str = "DNS name in lower case; write it like cars.example.org or *.example.org";

/// That a text is a DNS name, the first label of which may be `*`.
#[must_use]
pub fn host() -> Rule {
    rule(&is_host("self"), HOST)
}

/// That all texts of a list are such names.
#[must_use]
pub fn hosts() -> Rule {
    let good = is_host("h");
    let bad = format!("self.filter(h, !{good})[0] + ': is no {HOST}'");
    Rule::new(format!("self.all(h, {good})")).message(Message::Expression(bad))
}

/// That a text can be the name of a namespace.
#[must_use]
pub fn namespace() -> Rule {
    rule(
        &format!("self.matches('^{LABEL}$')"),
        "name of a namespace; write lower-case letters, digits and dashes",
    )
}

/// That a text can be the name of an object, or of a listener.
#[must_use]
pub fn object() -> Rule {
    rule(
        &format!("self.matches('^{PART}([.]{PART})*$')"),
        "name in Kubernetes; write lower-case letters, digits, dashes and dots",
    )
}

/// That a text can be a kind.
#[must_use]
pub fn kind() -> Rule {
    rule(
        "self.matches('^[A-Z][A-Za-z0-9]*$')",
        "kind in Kubernetes; write it like Issuer or ClusterIssuer",
    )
}
