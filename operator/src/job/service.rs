//! The Services of a job that serves. Pure.

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::validate::ValidatedJob;
use super::{HTTP_PORT, HTTPS_SERVICE_PORT, MQTT_PORT, MQTTS_PORT};
use crate::job::crd::ServiceType;

/// Name of the Service that stays inside Kubernetes.
#[must_use]
pub fn internal_name(job: &str) -> String {
    format!("{job}-internal")
}

/// The Services of a job: one that is reached as asked for, and one for plain HTTP inside Kubernetes.
#[must_use]
pub fn services(job: &ValidatedJob) -> Vec<Service> {
    outer(job).into_iter().chain(inner(job)).collect()
}

fn outer(job: &ValidatedJob) -> Option<Service> {
    let service = job.service.as_ref()?;
    let component = job.job.command();
    let mut metadata = job.owner.meta(job.owner.name.clone(), component);
    metadata.annotations = (!service.annotations.is_empty()).then(|| service.annotations.clone());
    let ranges = &service.load_balancer_source_ranges;
    Some(Service {
        metadata,
        spec: Some(ServiceSpec {
            type_: Some(service.type_.name().into()),
            selector: Some(job.owner.selector(component)),
            ports: Some(ports(job)),
            load_balancer_source_ranges: (!ranges.is_empty()).then(|| ranges.clone()),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    })
}

/// Always there, whatever becomes of the other one's ports: who speaks to it need not change when these are closed.
#[must_use]
pub fn inner(job: &ValidatedJob) -> Option<Service> {
    job.service.as_ref()?;
    let component = job.job.command();
    Some(Service {
        metadata: job.owner.meta(internal_name(&job.owner.name), component),
        spec: Some(ServiceSpec {
            type_: Some(ServiceType::ClusterIP.name().into()),
            selector: Some(job.owner.selector(component)),
            ports: Some(vec![port("http", HTTP_PORT, None)]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    })
}

/// What to say of a Service whose load balancer has not given it an address: nobody outside reaches it, though all pods
/// are ready.
#[must_use]
pub fn waits_for_address(service: &Service) -> Option<String> {
    let balanced =
        service.spec.as_ref()?.type_.as_deref() == Some(ServiceType::LoadBalancer.name());
    let addresses = service
        .status
        .as_ref()
        .and_then(|status| status.load_balancer.as_ref()?.ingress.as_ref());
    (balanced && addresses.is_none_or(Vec::is_empty)).then(|| {
        let name = service.metadata.name.as_deref().unwrap_or_default();
        format!(
            "spec.service.type: LoadBalancer: the Service {name} has no address yet; see to the cluster's load balancer, or take another type"
        )
    })
}

/// The ports of the Service that is reached as asked for.
fn ports(job: &ValidatedJob) -> Vec<ServicePort> {
    let fixed = job
        .service
        .as_ref()
        .and_then(|service| service.node_ports.clone())
        .unwrap_or_default();
    let mut ports = Vec::new();
    if !job.only_tls() {
        ports.push(port("http", HTTP_PORT, fixed.http));
        ports.push(port("mqtt", MQTT_PORT, fixed.mqtt));
    }
    if job.tls.is_some() {
        ports.push(port("https", HTTPS_SERVICE_PORT, fixed.https));
        ports.push(port("mqtts", MQTTS_PORT, fixed.mqtts));
    }
    ports
}

fn port(name: &str, port: i32, node_port: Option<i32>) -> ServicePort {
    ServicePort {
        name: Some(name.into()),
        port,
        // By the name of the container's port, which differs in number.
        target_port: Some(IntOrString::String(name.into())),
        protocol: Some("TCP".into()),
        node_port,
        ..ServicePort::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::validate::tests::{images, job};
    use super::super::validate::validate;
    use super::*;
    use serde_json::json;

    fn made(spec: serde_json::Value) -> Vec<Service> {
        services(&validate(&job(spec), &images()).unwrap())
    }

    fn numbers(service: &Service) -> Vec<(String, i32, Option<i32>)> {
        let ports = service.spec.as_ref().unwrap().ports.as_ref().unwrap();
        ports
            .iter()
            .map(|p| (p.name.clone().unwrap(), p.port, p.node_port))
            .collect()
    }

    #[test]
    fn fixed_node_ports_are_taken_over() {
        let all = made(
            json!({"job": "gateway", "service": {"type": "NodePort", "nodePorts": {"http": 30080}}}),
        );
        assert_eq!(
            numbers(&all[0]),
            [
                ("http".to_owned(), 8080, Some(30080)),
                ("mqtt".to_owned(), 1883, None)
            ]
        );
    }

    #[test]
    fn a_certificate_adds_ports_and_can_close_the_plain_ones() {
        let names = |service: &Service| -> Vec<(String, i32)> {
            numbers(service)
                .into_iter()
                .map(|(name, port, _)| (name, port))
                .collect()
        };
        let both = made(json!({"job": "gateway", "tls": {"secretName": "s"}}));
        assert_eq!(names(&both[0]).len(), 4);
        let closed = made(
            json!({"job": "gateway", "tls": {"secretName": "s", "only": true},
            "service": {"type": "LoadBalancer", "annotations": {"a/b": "c"}, "loadBalancerSourceRanges": ["192.0.2.0/24"]}}),
        );
        assert_eq!(
            names(&closed[0]),
            [("https".to_owned(), 443), ("mqtts".to_owned(), 8883)]
        );
        let spec = closed[0].spec.as_ref().unwrap();
        assert_eq!(
            spec.load_balancer_source_ranges.as_deref(),
            Some(&["192.0.2.0/24".to_owned()][..])
        );
        assert_eq!(closed[0].metadata.annotations.as_ref().unwrap()["a/b"], "c");
    }

    #[test]
    fn a_load_balancer_without_an_address_is_told() {
        let mut all = made(json!({"job": "gateway", "service": {"type": "LoadBalancer"}}));
        let told = waits_for_address(&all[0]).unwrap();
        assert!(told.contains("Service j has no address yet"), "{told}");
        assert_eq!(waits_for_address(&all[1]), None);
        let status = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}});
        all[0].status = Some(serde_json::from_value(status).unwrap());
        assert_eq!(waits_for_address(&all[0]), None);
    }

    #[test]
    fn the_service_inside_is_always_the_same() {
        let plain = made(json!({"job": "gateway", "service": {"type": "LoadBalancer"}}));
        let closed = made(json!({"job": "gateway", "tls": {"secretName": "s", "only": true}}));
        for all in [&plain, &closed] {
            assert_eq!(all.len(), 2);
            assert_eq!(all[1].metadata.name.as_deref(), Some("j-internal"));
            assert_eq!(numbers(&all[1]), [("http".to_owned(), 8080, None)]);
            assert_eq!(
                all[1].spec.as_ref().unwrap().type_.as_deref(),
                Some("ClusterIP")
            );
        }
        assert_eq!(plain[1], closed[1]);
        assert!(made(json!({"job": "detect"})).is_empty());
    }
}
