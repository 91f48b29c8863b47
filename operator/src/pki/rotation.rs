//! How one authority takes over from another without an outage.
//!
//! Three phases, each of which is over when all nodes run it: first every node trusts both authorities, so that it will
//! understand certificates of either; then every node gets a certificate of the next one; then the former is trusted no
//! longer. A node that is a phase behind or ahead of another always understands it.

use jiff::Timestamp;

use super::{Authority, PkiError};

/// How far the change of an authority is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Phase {
    /// One authority is trusted, and it issues.
    #[default]
    Settled,
    /// The next authority comes to be trusted too.
    TrustBoth,
    /// The next authority issues.
    Reissue,
    /// The former authority ceases to be trusted.
    DropFormer,
}

impl Phase {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Settled => "Settled",
            Self::TrustBoth => "TrustBoth",
            Self::Reissue => "Reissue",
            Self::DropFormer => "DropFormer",
        }
    }

    /// The phase of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [
            Self::Settled,
            Self::TrustBoth,
            Self::Reissue,
            Self::DropFormer,
        ]
        .into_iter()
        .find(|phase| phase.name() == name)
    }
}

/// The authorities of a system.
#[derive(Clone, Debug, PartialEq)]
pub struct Rotation {
    /// How far a change is.
    pub phase: Phase,
    /// Counts the authorities.
    pub generation: i64,
    /// Counts what nodes have to be restarted for.
    pub revision: i64,
    /// The authority; in [`Phase::DropFormer`] already the next one.
    pub authority: Authority,
    /// The one that is to take over.
    pub next: Option<Authority>,
    /// What was last followed of those who asked for a new one.
    pub rotated_for: Option<String>,
}

/// Why a new authority might be wanted.
#[derive(Debug, Default)]
pub struct Cause<'a> {
    /// Somebody asks for a new one; each new text asks once.
    pub asked: Option<&'a str>,
    /// The authority that is given from outside, if one is.
    pub given: Option<&'a Authority>,
}

impl Rotation {
    /// The first authority of a system.
    #[must_use]
    pub fn first(authority: Authority, asked: Option<&str>) -> Self {
        Self {
            phase: Phase::Settled,
            generation: 1,
            revision: 1,
            authority,
            next: None,
            // What is asked for at the beginning is a new authority anyway.
            rotated_for: asked.map(str::to_owned),
        }
    }

    /// The authority that issues now.
    #[must_use]
    pub fn issuer(&self) -> &Authority {
        match (&self.phase, &self.next) {
            (Phase::Reissue, Some(next)) => next,
            _ => &self.authority,
        }
    }

    /// The certificates that are trusted now, in PEM.
    #[must_use]
    pub fn trusted(&self) -> String {
        let mut text = self.authority.certificate.clone();
        if let (Phase::TrustBoth | Phase::Reissue, Some(next)) = (self.phase, &self.next) {
            text.push_str(&next.certificate);
        }
        text
    }

    /// Takes one step if there is one to take. Nothing happens before `all_run` says that every node runs the present
    /// revision. `make` makes the authority of a generation.
    ///
    /// # Errors
    /// The next authority could not be made.
    pub fn advance(
        &mut self,
        cause: &Cause<'_>,
        all_run: bool,
        now: Timestamp,
        make: impl FnOnce(i64) -> Result<Authority, PkiError>,
    ) -> Result<(), PkiError> {
        if !all_run {
            return Ok(());
        }
        match self.phase {
            Phase::Settled => {
                let next = match cause.given {
                    Some(given) => (*given != self.authority).then(|| given.clone()),
                    None if self.is_due(cause.asked, now) => Some(make(self.generation + 1)?),
                    None => None,
                };
                if let Some(next) = next {
                    self.rotated_for = cause.asked.map(str::to_owned);
                    self.next = Some(next);
                    self.step(Phase::TrustBoth);
                }
            }
            Phase::TrustBoth => self.step(Phase::Reissue),
            Phase::Reissue => {
                if let Some(next) = self.next.take() {
                    self.authority = next;
                    self.generation += 1;
                }
                self.step(Phase::DropFormer);
            }
            // Nothing differs any more, so that nobody has to be restarted.
            Phase::DropFormer => self.phase = Phase::Settled,
        }
        Ok(())
    }

    fn is_due(&self, asked: Option<&str>, now: Timestamp) -> bool {
        asked.is_some_and(|asked| self.rotated_for.as_deref() != Some(asked))
            || self.authority.ends_soon(now)
    }

    fn step(&mut self, phase: Phase) {
        self.phase = phase;
        self.revision += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::super::Request;
    use super::super::authority::tests::accepts;
    use super::*;

    fn now() -> Timestamp {
        "2026-11-28T00:00:00Z".parse().unwrap()
    }

    fn make(generation: i64) -> Result<Authority, PkiError> {
        Authority::make(&format!("ca {generation}"), now())
    }

    fn settled() -> Rotation {
        Rotation::first(make(1).unwrap(), None)
    }

    fn advance(rotation: &mut Rotation, asked: Option<&str>, all_run: bool) {
        let cause = Cause { asked, given: None };
        rotation.advance(&cause, all_run, now(), make).unwrap();
    }

    /// What a node runs: what it trusts, and its certificate.
    struct Node {
        trusted: String,
        certificate: String,
    }

    fn node(rotation: &Rotation) -> Node {
        let request = Request {
            common_name: "node".into(),
            names: ["n".to_owned()].into(),
        };
        Node {
            trusted: rotation.trusted(),
            certificate: rotation
                .issuer()
                .issue(&request, now())
                .unwrap()
                .certificate,
        }
    }

    #[test]
    fn nodes_of_neighbouring_phases_always_understand_each_other() {
        let mut rotation = settled();
        let before = node(&rotation);
        let mut phases = vec![rotation.phase];
        let mut former = node(&rotation);
        loop {
            advance(&mut rotation, Some("now"), true);
            let present = node(&rotation);
            for (a, b) in [(&former, &present), (&present, &former)] {
                assert!(accepts(&a.trusted, &b.certificate, "n"), "{rotation:?}");
            }
            phases.push(rotation.phase);
            former = present;
            if rotation.phase == Phase::Settled {
                break;
            }
        }
        assert_eq!(
            phases,
            [
                Phase::Settled,
                Phase::TrustBoth,
                Phase::Reissue,
                Phase::DropFormer,
                Phase::Settled
            ]
        );
        // Three rolls, a new authority, and the former one is good for nothing.
        assert_eq!(rotation.revision, 4);
        assert_eq!(rotation.generation, 2);
        assert!(!accepts(&rotation.trusted(), &before.certificate, "n"));
    }

    #[test]
    fn no_step_is_taken_before_all_nodes_run_the_one_before() {
        let mut rotation = settled();
        advance(&mut rotation, Some("now"), false);
        assert_eq!(rotation.phase, Phase::Settled);
        advance(&mut rotation, Some("now"), true);
        for _ in 0..3 {
            advance(&mut rotation, Some("now"), false);
            assert_eq!(rotation.phase, Phase::TrustBoth);
        }
        // That the request is taken back changes nothing on the way.
        advance(&mut rotation, None, true);
        assert_eq!(rotation.phase, Phase::Reissue);
    }

    #[test]
    fn each_text_asks_once() {
        let mut rotation = settled();
        for _ in 0..4 {
            advance(&mut rotation, Some("now"), true);
        }
        let after = rotation.clone();
        advance(&mut rotation, Some("now"), true);
        assert_eq!(rotation, after);
        advance(&mut rotation, Some("again"), true);
        assert_eq!(rotation.phase, Phase::TrustBoth);
        let mut first = Rotation::first(make(1).unwrap(), Some("now"));
        advance(&mut first, Some("now"), true);
        assert_eq!(first.phase, Phase::Settled);
    }

    #[test]
    fn a_given_authority_takes_over_when_it_is_another() {
        let (one, two) = (make(1).unwrap(), make(2).unwrap());
        let mut rotation = Rotation::first(one.clone(), None);
        let given = |given| Cause {
            asked: None,
            given: Some(given),
        };
        rotation.advance(&given(&one), true, now(), make).unwrap();
        assert_eq!(rotation.phase, Phase::Settled);
        rotation.advance(&given(&two), true, now(), make).unwrap();
        assert_eq!(rotation.phase, Phase::TrustBoth);
        assert_eq!(rotation.next, Some(two));
    }

    #[test]
    fn an_authority_near_its_end_is_replaced_unasked() {
        let mut rotation = settled();
        let late = now() + jiff::SignedDuration::from_hours(24 * 3300);
        rotation
            .advance(&Cause::default(), true, late, make)
            .unwrap();
        assert_eq!(rotation.phase, Phase::TrustBoth);
    }

    #[test]
    fn phases_have_names() {
        assert_eq!(Phase::named(Phase::Reissue.name()), Some(Phase::Reissue));
        assert_eq!(Phase::named("x"), None);
    }
}
