//! What cannot be changed: the domain, the roles, the region, the services and their endpoints.

use axum::response::Response;
use hostler_core::policy::Role;
use http::StatusCode;
use serde_json::{Value, json};

use super::call::{Call, listed, ok};
use super::catalog::{INTERFACES, REGION, SERVICES, Service};
use super::failure::Failure;
use crate::identity::{DOMAIN_ID, DOMAIN_NAME};

type Result<T> = std::result::Result<T, Failure>;

/// A list of which the query may choose: each given parameter must be equal to the field of that name.
fn chosen(call: &Call, key: &str, by: &[&str], items: Vec<Value>) -> Response {
    let matches = |item: &Value| {
        by.iter().all(|field| call.param(field).is_none_or(|wanted| item[*field].as_str() == Some(wanted)))
    };
    listed(call, key, items.into_iter().filter(matches).collect())
}

/// One of a list, by its id.
fn one(call: &Call, part: &str, items: Vec<Value>) -> Result<Response> {
    let found = items.into_iter().find(|item| item["id"].as_str() == Some(call.part(part)));
    let found = found.ok_or_else(|| Failure::missing(part, call.part(part)))?;
    Ok(ok(StatusCode::OK, &json!({part: found})))
}

fn all_domains(call: &Call) -> Vec<Value> {
    vec![json!({
        "id": DOMAIN_ID,
        "name": DOMAIN_NAME,
        "description": "The one domain there is",
        "enabled": true,
        "tags": [],
        "options": {},
        "links": {"self": call.url("/domains/default")},
    })]
}

/// `GET /v3/domains`.
pub(super) async fn domains(call: Call) -> Result<Response> {
    call.who().await?;
    let items = if call.flag("enabled")? == Some(false) { Vec::new() } else { all_domains(&call) };
    Ok(chosen(&call, "domains", &["name"], items))
}

/// `GET /v3/domains/{domain}`.
pub(super) async fn domain(call: Call) -> Result<Response> {
    call.who().await?;
    one(&call, "domain", all_domains(&call))
}

/// A role; its name is its id.
pub(super) fn render_role(call: &Call, role: Role) -> Value {
    json!({
        "id": role.name(),
        "name": role.name(),
        "description": match role {
            Role::Admin => "Does everything",
            Role::Service => "Does everything but identity and enrolment",
            Role::Manager => "Manages a project",
            Role::Member => "Member of a project",
            Role::Reader => "Only reads",
        },
        "domain_id": null,
        "options": {},
        "links": {"self": call.url(&format!("/roles/{}", role.name()))},
    })
}

fn all_roles(call: &Call) -> Vec<Value> {
    Role::ALL.into_iter().map(|role| render_role(call, role)).collect()
}

/// `GET /v3/roles`.
pub(super) async fn roles(call: Call) -> Result<Response> {
    call.who().await?;
    // No role belongs to a domain.
    let items = if call.param("domain_id").is_some_and(|id| !id.is_empty()) { Vec::new() } else { all_roles(&call) };
    Ok(chosen(&call, "roles", &["name"], items))
}

/// `GET /v3/roles/{role}`.
pub(super) async fn role(call: Call) -> Result<Response> {
    call.who().await?;
    one(&call, "role", all_roles(&call))
}

fn all_regions(call: &Call) -> Vec<Value> {
    let link = call.url(&format!("/regions/{REGION}"));
    vec![json!({"id": REGION, "description": "", "parent_region_id": null, "links": {"self": link}})]
}

/// `GET /v3/regions`.
pub(super) async fn regions(call: Call) -> Result<Response> {
    call.who().await?;
    Ok(chosen(&call, "regions", &["parent_region_id"], all_regions(&call)))
}

/// `GET /v3/regions/{region}`.
pub(super) async fn region(call: Call) -> Result<Response> {
    call.who().await?;
    one(&call, "region", all_regions(&call))
}

fn all_services(call: &Call) -> Vec<Value> {
    let render = |service: &Service| {
        json!({
            "id": service.kind,
            "type": service.kind,
            "name": service.name,
            "description": service.description,
            "enabled": true,
            "links": {"self": call.url(&format!("/services/{}", service.kind))},
        })
    };
    SERVICES.iter().map(render).collect()
}

/// `GET /v3/services`.
pub(super) async fn services(call: Call) -> Result<Response> {
    call.who().await?;
    Ok(chosen(&call, "services", &["type", "name"], all_services(&call)))
}

/// `GET /v3/services/{service}`.
pub(super) async fn service(call: Call) -> Result<Response> {
    call.who().await?;
    one(&call, "service", all_services(&call))
}

fn all_endpoints(call: &Call) -> Vec<Value> {
    let render = |service: &Service, interface: &str| {
        let id = service.endpoint_id(interface);
        json!({
            "id": id,
            "interface": interface,
            "region": REGION,
            "region_id": REGION,
            "service_id": service.kind,
            "url": service.url(call),
            "enabled": true,
            "links": {"self": call.url(&format!("/endpoints/{id}"))},
        })
    };
    SERVICES.iter().flat_map(|service| INTERFACES.map(|interface| render(service, interface))).collect()
}

/// `GET /v3/endpoints`.
pub(super) async fn endpoints(call: Call) -> Result<Response> {
    call.who().await?;
    Ok(chosen(&call, "endpoints", &["interface", "service_id", "region_id"], all_endpoints(&call)))
}

/// `GET /v3/endpoints/{endpoint}`.
pub(super) async fn endpoint(call: Call) -> Result<Response> {
    call.who().await?;
    one(&call, "endpoint", all_endpoints(&call))
}
