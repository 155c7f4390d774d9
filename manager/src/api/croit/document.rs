//! The OpenAPI document, made from the list of routes (spec/hooks.md §2). croit's own client builds its tools from it.

mod schemas;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{HeaderValue, header};
use serde_json::{Map, Value, json};

use super::Croit;
use super::routes::{Answer, ROUTES, Route};
use hostler_core::policy::{Action, Caller, Role, allowed};

/// `GET /swagger.json` and `GET /openapi.json`
pub(super) async fn show(State(croit): State<Croit>) -> Response {
    let text = croit.document.get_or_init(|| Bytes::from(document().to_string())).clone();
    let media = HeaderValue::from_static("application/json");
    let fresh = HeaderValue::from_static("no-cache");
    ([(header::CONTENT_TYPE, media), (header::CACHE_CONTROL, fresh)], text).into_response()
}

fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for route in ROUTES {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.to_ascii_lowercase()] = operation(route);
    }
    let mut tags: Vec<&str> = Vec::new();
    for route in ROUTES {
        if !tags.contains(&route.tag) {
            tags.push(route.tag);
        }
    }
    let tags: Vec<Value> = tags.into_iter().map(|name| json!({ "name": name })).collect();
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Hostler", "version": env!("CARGO_PKG_VERSION") },
        "servers": [{ "url": "/api" }],
        "tags": tags,
        "security": [{ "bearer": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas::all(),
            "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer" } },
        },
    })
}

/// The roles of the dialect of which a caller needs one.
fn permissions(action: Action) -> Vec<&'static str> {
    let viewer = Caller { name: String::new(), roles: vec![Role::Reader], system_scope: false, project: None };
    if allowed(&viewer, action) { vec!["VIEWER"] } else { vec!["ADMIN"] }
}

fn operation(route: &Route) -> Value {
    let mut operation = json!({
        "operationId": operation_id(route),
        "summary": route.summary,
        "tags": [route.tag],
        "parameters": parameters(route),
        "responses": {
            "default": answer(route.answer),
            "400": { "description": "The request breaks a rule.", "content": error() },
        },
    });
    if route.deprecated {
        operation["deprecated"] = true.into();
    }
    match route.action {
        Some(action) => operation["x-required-permissions"] = permissions(action).into(),
        None => operation["security"] = json!([]),
    }
    if !route.body.is_empty() {
        let media = if route.body == "LoginForm" { "application/x-www-form-urlencoded" } else { "application/json" };
        operation["requestBody"] =
            json!({ "required": true, "content": { media: { "schema": reference(route.body) } } });
    }
    operation
}

/// A name that no other operation has: the method and the words of the path.
fn operation_id(route: &Route) -> String {
    let mut id = route.method.to_ascii_lowercase();
    for word in route.path.split(['/', '-', '.']).filter(|word| !word.is_empty()) {
        let (by, word) = match word.strip_prefix('{').and_then(|word| word.strip_suffix('}')) {
            Some(variable) => ("By", variable),
            None => ("", word),
        };
        let (first, rest) = word.split_at(1);
        id.push_str(&format!("{by}{}{rest}", first.to_ascii_uppercase()));
    }
    id
}

fn parameters(route: &Route) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    let variables = route.path.split('/').filter_map(|word| word.strip_prefix('{')?.strip_suffix('}'));
    for name in variables {
        let number = name == "id" && route.tag != "secrets";
        let schema = if number { json!({ "type": "integer", "format": "int32" }) } else { json!({ "type": "string" }) };
        all.push(json!({ "name": name, "in": "path", "required": true, "schema": schema }));
    }
    if matches!(route.answer, Answer::Page(_) | Answer::ListOrPage(_)) {
        // Clients of croit ask for a page where the document says that they must, and expect an array elsewhere.
        let required = matches!(route.answer, Answer::Page(_));
        all.push(json!({
            "name": "pagination", "in": "query", "required": required,
            "description": "JSON text.", "schema": reference("PaginationRequest"),
        }));
    }
    for name in route.query {
        let schema = match *name {
            "force" | "follow" | "output" | "bytes" | "pieces" => json!({ "type": "boolean" }),
            "server" | "cluster" => json!({ "type": "string" }),
            "id" => json!({ "type": "array", "items": { "type": "integer", "format": "int32" } }),
            _ => json!({ "type": "integer" }),
        };
        all.push(json!({ "name": name, "in": "query", "required": false, "schema": schema }));
    }
    all
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn error() -> Value {
    json!({ "application/json": { "schema": reference("Error") } })
}

fn answer(answer: Answer) -> Value {
    let list = |schema: &str| json!({ "type": "array", "items": reference(schema) });
    let page = |schema: &str| {
        json!({
            "type": "object", "required": ["data"],
            "properties": {
                "data": list(schema), "total": { "type": "integer" }, "after": { "type": "integer" },
                "limit": { "type": ["integer", "null"] },
            },
        })
    };
    let (description, content) = match answer {
        Answer::Empty(201) => return json!({ "description": "Created; no body." }),
        Answer::Empty(_) => return json!({ "description": "Done; no body." }),
        Answer::One(schema) => ("Done.", json!({ "application/json": { "schema": reference(schema) } })),
        Answer::List(schema) => ("Done.", json!({ "application/json": { "schema": list(schema) } })),
        Answer::ListOrPage(schema) => {
            let either = json!({ "oneOf": [list(schema), page(schema)] });
            ("An array; a page where one is asked for.", json!({ "application/json": { "schema": either } }))
        }
        Answer::Page(schema) => ("A page.", json!({ "application/json": { "schema": page(schema) } })),
        Answer::Text => ("The bytes.", json!({ "text/plain": { "schema": { "type": "string" } } })),
        Answer::Events => ("Events.", json!({ "text/event-stream": { "schema": { "type": "string" } } })),
    };
    json!({ "description": description, "content": content })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_operation_has_a_name_of_its_own_and_every_reference_a_schema() {
        let document = document();
        let mut names = BTreeSet::new();
        for route in ROUTES {
            let operation = &document["paths"][route.path][route.method.to_ascii_lowercase()];
            assert!(names.insert(operation["operationId"].as_str().unwrap().to_owned()), "{operation}");
        }
        let text = document.to_string();
        for part in text.split("#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(document["components"]["schemas"].get(name).is_some(), "{name}");
        }
        assert_eq!(operation_id(&ROUTES[0]), "postAuthLogin");
    }

    #[test]
    fn what_croits_client_looks_for_is_there() {
        let document = document();
        let execute = &document["paths"]["/events/scripts/execute"]["post"];
        assert_eq!(execute["x-required-permissions"], json!(["ADMIN"]));
        assert_eq!(execute["tags"], json!(["hooks"]));
        assert_eq!(document["paths"]["/tasks"]["get"]["parameters"][0]["required"], true);
        assert_eq!(document["paths"]["/events/hooks"]["get"]["parameters"][0]["required"], false);
        assert_eq!(document["paths"]["/events/hooks"]["get"]["x-required-permissions"], json!(["VIEWER"]));
        let tags: Vec<_> =
            document["tags"].as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap()).collect();
        for tag in ["hooks", "tasks", "servers", "maintenance", "authentication"] {
            assert!(tags.contains(&tag), "{tag}");
        }
    }
}
