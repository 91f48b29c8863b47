//! Why a pod is not as its StatefulSet would make it now. Pure.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use kube::ResourceExt;

/// Why a pod differs from what its StatefulSet would make now; empty when it does not.
pub(super) fn reasons(set: &StatefulSet, pod: &Pod, named: &[(&str, &str)]) -> Vec<String> {
    let Some((has, wanted)) = revisions(set, pod).filter(|(has, wanted)| has != wanted) else {
        return Vec::new();
    };
    let template = set.spec.as_ref().map(|spec| &spec.template);
    let annotations =
        template.and_then(|template| template.metadata.as_ref()?.annotations.as_ref());
    let mut reasons: Vec<String> = named
        .iter()
        .filter(|(annotation, _)| {
            let of_template = annotations.and_then(|all| all.get(*annotation));
            of_template != pod.annotations().get(*annotation)
        })
        .map(|(_, words)| (*words).to_owned())
        .collect();
    let specs = template.and_then(|template| Some((pod.spec.as_ref()?, template.spec.as_ref()?)));
    if let Some((from, to)) = specs {
        reasons.extend(differing_containers(from, to));
    }
    if reasons.is_empty() {
        reasons.push(format!(
            "its template changed from revision {has} to {wanted}"
        ));
    }
    reasons
}

/// The revision that a pod has, and the one that its StatefulSet makes. A status of an older generation does not know.
fn revisions<'a>(set: &'a StatefulSet, pod: &'a Pod) -> Option<(&'a str, &'a str)> {
    let status = set.status.as_ref()?;
    if status.observed_generation != set.metadata.generation {
        return None;
    }
    let wanted = status.update_revision.as_deref()?;
    let has = pod.labels().get("controller-revision-hash")?;
    Some((has, wanted))
}

fn differing_containers(from: &PodSpec, to: &PodSpec) -> Vec<String> {
    let mut differences = Vec::new();
    for container in &to.containers {
        let Some(former) = from.containers.iter().find(|c| c.name == container.name) else {
            continue;
        };
        if let (Some(image), former) = (&container.image, former.image.as_deref())
            && former != Some(image)
        {
            let former = former.unwrap_or("none");
            differences.push(format!("its image changes from {former} to {image}"));
        }
        if resized(container, former) {
            differences.push("its memory or CPU changes".to_owned());
        }
    }
    differences
}

/// What the template does not say may have been added to the pod by Kubernetes.
fn resized(wanted: &Container, has: &Container) -> bool {
    let Some(wanted) = &wanted.resources else {
        return false;
    };
    let has = has.resources.clone().unwrap_or_default();
    [
        (&wanted.requests, has.requests.unwrap_or_default()),
        (&wanted.limits, has.limits.unwrap_or_default()),
    ]
    .into_iter()
    .any(|(wanted, has)| {
        let mut all = wanted.iter().flatten();
        all.any(|(name, quantity)| has.get(name) != Some(quantity))
    })
}
