use super::super::view::tests::view;
use super::*;

fn node(id: i32) -> Node {
    Node {
        id,
        pod: format!("k-{id}"),
        host: String::new(),
        controller: true,
        broker: true,
    }
}

fn members() -> Vec<Member> {
    (0..3)
        .map(|id| Member {
            pod: format!("k-{id}"),
            uid: Some(format!("pod-{id}")),
            since: None,
            standing: Standing::Ready,
            reasons: Vec::new(),
            held: None,
        })
        .collect()
}

fn claim(uid: Option<&str>, leaves: bool) -> Claim {
    Claim {
        name: "data-k-1".into(),
        uid: uid.map(str::to_owned),
        leaves,
    }
}

struct Scene {
    members: Vec<Member>,
    claims: Vec<Claim>,
    view: Option<View>,
    controllers: usize,
}

fn scene() -> Scene {
    Scene {
        members: members(),
        claims: vec![claim(Some("claim-1"), false)],
        view: Some(view(&[(&[0, 1, 2], &[0, 1, 2])])),
        controllers: 3,
    }
}

impl Scene {
    fn next(&self, before: Option<&VolumeReplacementStatus>) -> Next {
        let node = node(1);
        let facts = Facts {
            members: &self.members,
            claims: &self.claims,
            node: Some(&node),
            view: self.view.as_ref(),
            controllers: self.controllers,
        };
        next(Some("k-1"), before, &facts)
    }
}

fn phase(next: &Next) -> Phase {
    next.status.as_ref().unwrap().phase
}

#[test]
fn it_is_noted_first_then_deleted_then_filled() {
    let mut scene = scene();
    let noted = scene.next(None);
    assert_eq!(phase(&noted), Phase::Deleting);
    assert!(noted.claims.is_empty() && noted.pod.is_none());
    let status = noted.status.unwrap();
    assert_eq!(status.former, ["claim-1", "pod-1"]);

    let deletes = scene.next(Some(&status));
    assert_eq!(deletes.claims.len(), 1);
    assert_eq!(deletes.pod.as_ref().unwrap().uid.as_deref(), Some("pod-1"));
    // While they are on their way out nothing is deleted twice, and there is no way back.
    scene.claims = vec![claim(Some("claim-1"), true)];
    scene.members[1].standing = Standing::Leaving;
    scene.members[2].standing = Standing::Unready { runs: true };
    let waits = scene.next(Some(&status));
    assert!(waits.claims.is_empty() && waits.pod.is_none());
    assert_eq!(phase(&waits), Phase::Deleting);

    scene.claims = vec![claim(Some("claim-2"), false)];
    scene.members = members();
    scene.members[1].uid = Some("pod-1b".into());
    let filling = scene.next(Some(&status));
    assert_eq!(phase(&filling), Phase::Filling);
    let status = filling.status.unwrap();
    scene.view = Some(view(&[(&[0, 1, 2], &[0, 2])]));
    assert_eq!(phase(&scene.next(Some(&status))), Phase::Filling);
    scene.view = Some(view(&[(&[0, 1, 2], &[0, 1, 2])]));
    let done = scene.next(Some(&status));
    assert_eq!(phase(&done), Phase::Done);
    // The same annotation asks once.
    assert_eq!(phase(&scene.next(done.status.as_ref())), Phase::Done);
}

#[test]
fn nothing_is_deleted_when_things_changed_after_it_was_noted() {
    let mut scene = scene();
    let status = scene.next(None).status.unwrap();
    scene.view = Some(view(&[(&[0, 1, 2], &[1, 2])]));
    let waits = scene.next(Some(&status));
    assert!(waits.claims.is_empty() && waits.pod.is_none());
    scene.view = None;
    assert!(scene.next(Some(&status)).pod.is_none());
}

#[test]
fn it_waits_until_the_node_can_be_spared() {
    let mut unready = scene();
    unready.members[2].standing = Standing::Unready { runs: true };
    let mut unsynced = scene();
    unsynced.view = Some(view(&[(&[0, 1, 2], &[1, 2])]));
    let mut behind = scene();
    behind.view.as_mut().unwrap().quorum.voters[2].last_caught_up_ms -= 60_000;
    let mut unknown = scene();
    unknown.view = None;
    for scene in [unready, unsynced, behind, unknown] {
        let next = scene.next(None);
        assert_eq!(phase(&next), Phase::Waiting);
        assert!(next.status.unwrap().message.is_some());
    }
}

#[test]
fn what_would_be_lost_is_refused_with_the_cure() {
    let mut only_copy = scene();
    only_copy.view = Some(view(&[(&[1], &[1])]));
    let mut too_few = scene();
    too_few.view = Some(view(&[(&[1, 2], &[1, 2])]));
    let mut alone = scene();
    alone.controllers = 2;
    for (scene, says) in [
        (only_copy, "1 copies"),
        (too_few, "min.insync.replicas"),
        (alone, "three of them"),
    ] {
        let next = scene.next(None);
        assert_eq!(phase(&next), Phase::Refused);
        let message = next.status.unwrap().message.unwrap();
        assert!(message.contains(says), "{message}");
    }
}

#[test]
fn a_controller_is_filled_when_it_votes_again() {
    let mut scene = scene();
    let status = VolumeReplacementStatus {
        pod: "k-1".into(),
        phase: Phase::Filling,
        ..VolumeReplacementStatus::default()
    };
    let quorum = &mut scene.view.as_mut().unwrap().quorum;
    let mut new = quorum.voters[1].clone();
    new.directory = uuid::Uuid::from_u128(7);
    new.last_fetch_ms += 1;
    quorum.observers.push(new);
    assert_eq!(phase(&scene.next(Some(&status))), Phase::Filling);
    // It votes; its former directory is still listed.
    let quorum = &mut scene.view.as_mut().unwrap().quorum;
    std::mem::swap(&mut quorum.voters[1], &mut quorum.observers[0]);
    assert_eq!(phase(&scene.next(Some(&status))), Phase::Done);
}

#[test]
fn a_pod_that_came_too_early_for_its_claim_is_made_anew() {
    let mut scene = scene();
    let status = VolumeReplacementStatus {
        pod: "k-1".into(),
        phase: Phase::Filling,
        ..VolumeReplacementStatus::default()
    };
    scene.claims = vec![claim(None, false)];
    scene.members[1].standing = Standing::Unready { runs: false };
    assert!(scene.next(Some(&status)).pod.is_some());
}

#[test]
fn what_has_begun_goes_on_though_nobody_asks_any_more() {
    let begun = VolumeReplacementStatus {
        pod: "k-1".into(),
        phase: Phase::Filling,
        ..VolumeReplacementStatus::default()
    };
    assert_eq!(pod(None, Some(&begun)), Some("k-1"));
    assert_eq!(pod(Some("k-2"), Some(&begun)), Some("k-1"));
    let done = VolumeReplacementStatus {
        phase: Phase::Done,
        ..begun
    };
    assert_eq!(pod(None, Some(&done)), None);
    assert_eq!(pod(Some("k-2"), Some(&done)), Some("k-2"));
}
